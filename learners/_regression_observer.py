"""Kernels of the observer of one column in one leaf: a bounded number of slots with weight and sum of targets.

A slot holds the values above the edge before it and up to its own edge. Edges are the first distinct values that came,
so the candidate cuts are limited, but what is known of each is exact. Codes have a slot each.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from learners._regression_layout import SLOTS

__all__ = ["best_codes", "best_number", "codes_outside", "observe_code", "observe_number", "weigh"]

_X, _N, _S = 1, 1 + SLOTS, 1 + 2 * SLOTS


@njit(cache=True, nogil=True)
def _place_of(row, at, used, x):  # type: ignore[no-untyped-def]
    """The first slot whose edge is not below `x`; `used` if there is none."""
    low, high = 0, used
    while low < high:
        middle = (low + high) >> 1
        if row[at + _X + middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def observe_number(row, at, x, weight, distance):  # type: ignore[no-untyped-def]
    """Take in a number; `distance` is that of its target from the leaf's reference."""
    used = int(row[at])
    i = _place_of(row, at, used, x)
    if i == used or row[at + _X + i] != x:
        if used < SLOTS:
            _insert(row, at, used, i, x)
        elif i == used:
            # Beyond all known values: a slot of its own, for which two others become one.
            _close_up(row, at, _lightest_pair(row, at))
            i = used - 1
            _insert(row, at, i, i, x)
        elif i == 0:
            _close_up(row, at, _lightest_pair(row, at))
            _insert(row, at, used - 1, 0, x)
    row[at + _N + i] += weight
    row[at + _S + i] += weight * distance


@njit(cache=True, nogil=True)
def observe_code(row, at, x, weight, distance):  # type: ignore[no-untyped-def]
    """Take in a code; a code for which there is no slot left is not observed."""
    used = int(row[at])
    i = _place_of(row, at, used, x)
    if i == used or row[at + _X + i] != x:
        if used == SLOTS:
            return
        _insert(row, at, used, i, x)
    row[at + _N + i] += weight
    row[at + _S + i] += weight * distance


@njit(cache=True, nogil=True)
def _insert(row, at, used, i, x):  # type: ignore[no-untyped-def]
    """Open slot `i` with edge `x`: at an end, or where no value but its edge is in slot `i`."""
    for k in range(used, i, -1):
        for part in (at + _X, at + _N, at + _S):
            row[part + k] = row[part + k - 1]
    row[at + _X + i], row[at + _N + i], row[at + _S + i] = x, 0.0, 0.0
    row[at] = used + 1


@njit(cache=True, nogil=True)
def _lightest_pair(row, at):  # type: ignore[no-untyped-def]
    """The slot that weighs least together with the next; never the first, whose edge is the least value so far."""
    best, least = 1, np.inf
    for k in range(1, SLOTS - 1):
        weight = row[at + _N + k] + row[at + _N + k + 1]
        if weight < least:
            best, least = k, weight
    return best


@njit(cache=True, nogil=True)
def _close_up(row, at, i):  # type: ignore[no-untyped-def]
    """Merge slot `i` into the next."""
    row[at + _N + i + 1] += row[at + _N + i]
    row[at + _S + i + 1] += row[at + _S + i]
    for k in range(i, SLOTS - 1):
        for part in (at + _X, at + _N, at + _S):
            row[part + k] = row[part + k + 1]
    row[at] = SLOTS - 1


@njit(cache=True, nogil=True)
def weigh(row, at):  # type: ignore[no-untyped-def]
    """Weight and sum of all slots."""
    n, s = 0.0, 0.0
    for k in range(int(row[at])):
        n += row[at + _N + k]
        s += row[at + _S + k]
    return n, s


@njit(cache=True, nogil=True)
def best_number(row, at, least):  # type: ignore[no-untyped-def]
    """The best cut of numbers: fall of the sum of squared errors, cut, weight and sum of the left side.

    Both sides hold `least` or more; -1 if no cut does. A cut lies in the middle between the edge and the next slot's
    where each slot is a single value, and on the edge otherwise.
    """
    n, s = weigh(row, at)
    used = int(row[at])
    best, place, left_n, left_s, best_n, best_s = -1.0, 0, 0.0, 0.0, 0.0, 0.0
    for k in range(used - 1):
        left_n += row[at + _N + k]
        left_s += row[at + _S + k]
        right_n = n - left_n
        if left_n < least or right_n < least:
            continue
        gap = left_s / left_n - (s - left_s) / right_n
        fall = left_n * right_n / n * gap * gap
        if fall > best:
            best, place, best_n, best_s = fall, k, left_n, left_s
    cut = row[at + _X + place]
    if used < SLOTS and used > 1:
        cut += 0.5 * (row[at + _X + place + 1] - cut)
    return best, cut, best_n, best_s


@njit(cache=True, nogil=True)
def best_codes(row, at, least):  # type: ignore[no-untyped-def]
    """The best set of codes: fall of the sum of squared errors, the set, weight and sum of the set.

    With codes in order of their mean target one of the cuts is the best of all sets (Fisher 1958).
    """
    n, s = weigh(row, at)
    used = int(row[at])
    order = np.empty(SLOTS, dtype=np.int64)
    for k in range(used):
        mean, i = row[at + _S + k] / row[at + _N + k], k
        while i > 0 and row[at + _S + order[i - 1]] / row[at + _N + order[i - 1]] > mean:
            order[i] = order[i - 1]
            i -= 1
        order[i] = k
    best, codes, best_codes, left_n, left_s, best_n, best_s = -1.0, np.uint64(0), np.uint64(0), 0.0, 0.0, 0.0, 0.0
    for i in range(used - 1):
        k = order[i]
        left_n += row[at + _N + k]
        left_s += row[at + _S + k]
        codes |= np.uint64(1) << np.uint64(row[at + _X + k])
        right_n = n - left_n
        if left_n < least or right_n < least:
            continue
        gap = left_s / left_n - (s - left_s) / right_n
        fall = left_n * right_n / n * gap * gap
        if fall > best:
            best, best_codes, best_n, best_s = fall, codes, left_n, left_s
    return best, best_codes, best_n, best_s


@njit(cache=True, nogil=True)
def codes_outside(row, at, codes):  # type: ignore[no-untyped-def]
    """The codes that were seen and are not among `codes`."""
    seen = np.uint64(0)
    for k in range(int(row[at])):
        seen |= np.uint64(1) << np.uint64(row[at + _X + k])
    return seen & ~codes
