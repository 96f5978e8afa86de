"""ADWIN over zeros and ones, as small whole numbers: one row of an array is one window.

The variance of zeros and ones follows from their sum, so a bucket is one count.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "ADWIN_N",
    "WINDOW_N",
    "WINDOW_ONES",
    "add_bit",
    "clear_window",
    "error_rate",
    "has_changed",
    "windows_are_sound",
]

# 22 levels hold 21 million values; beyond, the oldest are forgotten.
_LEVELS, _PLACES = 22, 6
WINDOW_N, WINDOW_ONES, _TICKS, _DEPTH, _USED = range(5)
_BUCKETS = _USED + _LEVELS
ADWIN_N = _BUCKETS + _LEVELS * _PLACES
# Of the published algorithm: a check every 32 values, no part of the window shorter than 5.
_CLOCK, _LEAST = 32, 5


@njit(cache=True, nogil=True, error_model="numpy")
def clear_window(windows, a):  # type: ignore[no-untyped-def]
    """Forget everything."""
    windows[a, :] = 0
    windows[a, _DEPTH] = 1


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def error_rate(windows, a):  # type: ignore[no-untyped-def]
    """Mean of the window, 0 when it is empty."""
    n = windows[a, WINDOW_N]
    return windows[a, WINDOW_ONES] / n if n > 0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def add_bit(windows, a, bit, delta):  # type: ignore[no-untyped-def]
    """Add 0 or 1; True when the window was cut and its mean has risen by that."""
    _insert(windows, a, bit)
    windows[a, _TICKS] = (windows[a, _TICKS] + 1) % _CLOCK
    if windows[a, _TICKS] != 0 or windows[a, WINDOW_N] <= 2 * _LEAST:
        return False
    before = error_rate(windows, a)
    cut = False
    while has_changed(windows, a, delta):
        _drop_oldest(windows, a)
        cut = True
    return cut and error_rate(windows, a) > before


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _insert(windows, a, bit):  # type: ignore[no-untyped-def]
    windows[a, WINDOW_N] += 1
    windows[a, WINDOW_ONES] += bit
    level, ones = 0, bit
    while True:
        at = _BUCKETS + level * _PLACES
        used = windows[a, _USED + level]
        windows[a, at + used] = ones
        windows[a, _USED + level] = used + 1
        if used + 1 < _PLACES:
            break
        if level == _LEVELS - 1:
            _drop_oldest(windows, a)
            break
        ones = windows[a, at] + windows[a, at + 1]
        for i in range(2, _PLACES):
            windows[a, at + i - 2] = windows[a, at + i]
        windows[a, _USED + level] = _PLACES - 2
        level += 1
    if level >= windows[a, _DEPTH]:
        windows[a, _DEPTH] = level + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _drop_oldest(windows, a):  # type: ignore[no-untyped-def]
    level = windows[a, _DEPTH] - 1
    at = _BUCKETS + level * _PLACES
    used = windows[a, _USED + level]
    windows[a, WINDOW_N] -= 1 << level
    windows[a, WINDOW_ONES] -= windows[a, at]
    for i in range(1, used):
        windows[a, at + i - 1] = windows[a, at + i]
    windows[a, _USED + level] = used - 1
    while windows[a, _DEPTH] > 1 and windows[a, _USED + windows[a, _DEPTH] - 1] == 0:
        windows[a, _DEPTH] -= 1


@njit(cache=True, nogil=True, error_model="numpy")
def has_changed(windows, a, delta):  # type: ignore[no-untyped-def]
    """Whether some split of the window into older and newer has means further apart than chance allows."""
    n, total = windows[a, WINDOW_N], windows[a, WINDOW_ONES]
    if n <= 2 * _LEAST:
        return False
    mean = total / n
    confidence = np.log(2.0 * np.log(n) / delta)
    square, linear = 2.0 * mean * (1.0 - mean) * confidence, 2.0 / 3.0 * confidence
    older, ones = 0, 0
    for level in range(windows[a, _DEPTH] - 1, -1, -1):
        at = _BUCKETS + level * _PLACES
        for i in range(windows[a, _USED + level]):
            older += 1 << level
            ones += windows[a, at + i]
            newer = n - older
            if newer < _LEAST:
                return False
            if older < _LEAST:
                continue
            gap = abs(ones / older - (total - ones) / newer)
            m = 1.0 / (older - _LEAST + 1) + 1.0 / (newer - _LEAST + 1)
            excess = gap - linear * m
            if excess > 0.0 and excess * excess > m * square:
                return True
    return False


def windows_are_sound(windows: NDArray[np.int32]) -> bool:
    """Whether counts of levels and buckets stay within their places."""
    used = windows[:, _USED:_BUCKETS]
    depth = windows[:, _DEPTH]
    return bool(np.all((used >= 0) & (used < _PLACES)) and np.all((depth >= 0) & (depth <= _LEVELS)))
