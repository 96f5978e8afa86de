"""What the detectors of a stream of errors share: what counts as a bit, and how an alarm is written down.

A bit is 0 or 1, 1 an error; every other value, NaN among them, is missing.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors._recent import RECENT_N, locate
from detectors.base import Floats, Ints

__all__ = ["is_bit", "recent_rings", "write"]

# One bit that differs from its part gives 256 values a deviation of 1/23 at least: a larger effect is what rounding
# left of a deviation of 0.
_MOST_EFFECT = 32.0


def recent_rings(n_signals: int) -> tuple[Floats, Ints]:
    """Empty rings [F, 256] for the newest values and their positions."""
    return np.zeros((n_signals, RECENT_N)), np.zeros((n_signals, RECENT_N), dtype=np.int64)


@njit(cache=True, nogil=True)
def is_bit(x):  # type: ignore[no-untyped-def]
    """Whether a value is 0 or 1."""
    return x == 0.0 or x == 1.0  # noqa: PLR1714 - numba would build a set for each value


@njit(cache=True, nogil=True)
def write(row, f, status, sign, measured, limit, ring, ring_at, seen, first, rate, whole, real):  # type: ignore[no-untyped-def]
    """Write an alarm into its two buffers; `rate` is the error rate of all values since the restart.
    Where the values before and after the onset do not vary, the effect is counted in standard deviations of all
    values since the restart: an alarm needs both bits, so these do vary.
    """
    onset, low, high, effect, newer = locate(ring, ring_at, seen, first, sign)
    if not 0.0 < effect < _MOST_EFFECT and 0.0 < rate < 1.0:
        effect = 1.0 / np.sqrt(rate * (1.0 - rate))
    whole[:] = (row, f, status, sign, onset, low, high, newer)
    real[:] = (measured, limit, effect)
