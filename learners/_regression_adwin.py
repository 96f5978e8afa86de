"""ADWIN over numbers from 0 to 1: one row of an array is one window.

Differs from `_tree_adwin`, which holds zeros and ones, in that each bucket also keeps its squared deviations.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["WINDOW_N", "add_value", "clear_values", "window_mean", "windows_hold"]

# 22 levels hold 21 million values; beyond, the oldest are forgotten.
_LEVELS, _PLACES = 22, 6
_COUNT, _TICKS, _DEPTH, _USED = range(4)
_SUMS = _USED + _LEVELS
_SQUARES = _SUMS + _LEVELS * _PLACES
WINDOW_N = _SQUARES + _LEVELS * _PLACES
# Of the published algorithm: a check every 32 values, no part of the window shorter than 5.
_CLOCK, _LEAST = 32, 5


@njit(cache=True, nogil=True)
def clear_values(windows, a):  # type: ignore[no-untyped-def]
    """Forget everything."""
    windows[a, :] = 0.0
    windows[a, _DEPTH] = 1.0


@njit(cache=True, nogil=True)
def _moments(windows, a):  # type: ignore[no-untyped-def]
    """Number of values, sum, sum of squared deviations, the oldest first."""
    n, total, squares = 0.0, 0.0, 0.0
    for level in range(int(windows[a, _DEPTH]) - 1, -1, -1):
        size = float(1 << level)
        for i in range(int(windows[a, _USED + level])):
            part = windows[a, _SUMS + level * _PLACES + i]
            if n > 0.0:
                gap = total / n - part / size
                squares += gap * gap * n * size / (n + size)
            squares += windows[a, _SQUARES + level * _PLACES + i]
            n += size
            total += part
    return n, total, squares


@njit(cache=True, nogil=True)
def window_mean(windows, a):  # type: ignore[no-untyped-def]
    """Mean of the window, 0 when it is empty."""
    n, total, _ = _moments(windows, a)
    return total / n if n > 0.0 else 0.0


@njit(cache=True, nogil=True)
def add_value(windows, a, value, delta):  # type: ignore[no-untyped-def]
    """Add a number from 0 to 1; True when the window was cut and its mean has risen by that."""
    _insert(windows, a, value)
    windows[a, _TICKS] = (windows[a, _TICKS] + 1.0) % _CLOCK
    if windows[a, _TICKS] != 0.0 or windows[a, _COUNT] <= 2 * _LEAST:
        return False
    before = window_mean(windows, a)
    cut = False
    while _differs(windows, a, delta):
        _drop_oldest(windows, a)
        cut = True
    return cut and window_mean(windows, a) > before


@njit(cache=True, nogil=True)
def _insert(windows, a, value):  # type: ignore[no-untyped-def]
    windows[a, _COUNT] += 1.0
    level, part, squares = 0, value, 0.0
    while True:
        sums, deviations = _SUMS + level * _PLACES, _SQUARES + level * _PLACES
        used = int(windows[a, _USED + level])
        windows[a, sums + used], windows[a, deviations + used] = part, squares
        windows[a, _USED + level] = used + 1.0
        if used + 1 < _PLACES:
            break
        if level == _LEVELS - 1:
            _drop_oldest(windows, a)
            break
        gap = windows[a, sums] - windows[a, sums + 1]
        part = windows[a, sums] + windows[a, sums + 1]
        # Of two halves of one size: their own deviations, and that of their means.
        squares = windows[a, deviations] + windows[a, deviations + 1] + gap * gap / (2.0 * (1 << level))
        for i in range(2, _PLACES):
            windows[a, sums + i - 2], windows[a, deviations + i - 2] = windows[a, sums + i], windows[a, deviations + i]
        windows[a, _USED + level] = _PLACES - 2.0
        level += 1
    windows[a, _DEPTH] = max(windows[a, _DEPTH], level + 1.0)


@njit(cache=True, nogil=True)
def _drop_oldest(windows, a):  # type: ignore[no-untyped-def]
    level = int(windows[a, _DEPTH]) - 1
    sums, deviations = _SUMS + level * _PLACES, _SQUARES + level * _PLACES
    used = int(windows[a, _USED + level])
    windows[a, _COUNT] -= float(1 << level)
    for i in range(1, used):
        windows[a, sums + i - 1], windows[a, deviations + i - 1] = windows[a, sums + i], windows[a, deviations + i]
    windows[a, _USED + level] = used - 1.0
    while windows[a, _DEPTH] > 1.0 and windows[a, _USED + int(windows[a, _DEPTH]) - 1] == 0.0:
        windows[a, _DEPTH] -= 1.0


@njit(cache=True, nogil=True)
def _differs(windows, a, delta):  # type: ignore[no-untyped-def]
    """Whether some split of the window into older and newer has means further apart than chance allows."""
    n, total, squares = _moments(windows, a)
    if n <= 2 * _LEAST:
        return False
    confidence = np.log(2.0 * np.log(n) / delta)
    spread, linear = 2.0 * squares / n * confidence, 2.0 / 3.0 * confidence
    older, part = 0.0, 0.0
    for level in range(int(windows[a, _DEPTH]) - 1, -1, -1):
        for i in range(int(windows[a, _USED + level])):
            older += float(1 << level)
            part += windows[a, _SUMS + level * _PLACES + i]
            newer = n - older
            if newer < _LEAST:
                return False
            if older < _LEAST:
                continue
            m = 1.0 / (older - _LEAST + 1.0) + 1.0 / (newer - _LEAST + 1.0)
            excess = abs(part / older - (total - part) / newer) - linear * m
            if excess > 0.0 and excess * excess > m * spread:
                return True
    return False


def windows_hold(windows: NDArray[np.float64]) -> bool:
    """Whether all is finite, and counts of levels and buckets are whole and stay within their places."""
    if not np.isfinite(windows).all():
        return False
    used, depth = windows[:, _USED:_SUMS], windows[:, _DEPTH]
    levels = np.arange(1, _LEVELS + 1)
    # The highest level in use is the depth; a window without values has depth 1.
    deepest = np.max(np.where(used > 0.0, levels, 1), axis=1, initial=1)
    return bool(np.all((used >= 0) & (used < _PLACES) & (used == np.trunc(used))) and np.all(depth == deepest))
