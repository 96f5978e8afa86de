"""Clip whole columns of numbers as `learners.clipping.RangeClip` clips one value after the other, bit for bit."""

from __future__ import annotations

import numpy as np
from numba import njit

from learners.clipping import BLOCK_N, FACTOR, FIRST_LIMIT

__all__ = ["clip_columns"]

_LIMIT, _BEFORE, _NOW, _COUNT = range(4)


@njit(cache=True, nogil=True)
def clip_columns(columns, learned, states):  # type: ignore[no-untyped-def]
    """Clip `columns` [columns, n] in place; a value of a row that is `learned` counts for the limits from itself on.

    `states` [columns, 4] is what `RangeClip` keeps per name, and moves on with the rows.
    """
    for c in range(columns.shape[0]):
        for r in range(columns.shape[1]):
            x = columns[c, r]
            if np.isnan(x):
                continue
            if learned[r]:
                _widen(states[c], x)
            columns[c, r] = min(max(x, -states[c, _LIMIT]), states[c, _LIMIT])


@njit(cache=True, nogil=True)
def _widen(state, x):  # type: ignore[no-untyped-def]
    limit = state[_LIMIT]
    state[_NOW] = max(state[_NOW], abs(min(max(x, -limit), limit)))
    state[_COUNT] += 1.0
    if state[_COUNT] == BLOCK_N:
        largest = max(state[_BEFORE], state[_NOW])
        state[_LIMIT], state[_BEFORE] = FACTOR * largest if largest > 0.0 else FIRST_LIMIT, state[_NOW]
        state[_NOW] = state[_COUNT] = 0.0
