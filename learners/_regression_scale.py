"""Kernels that bring rows and targets to scale before the trees see them: standardized columns and clipped targets.

Both are folded row by row over the labelled rows; a row is standardized by what came before it.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["CLIP_N", "SCALE_N", "START_N", "clip_holds", "clipped", "standardize", "tidy_targets"]

# Per column: values so far, faded mean, faded variance.
SCALE_N = 3
_HORIZON, _FEW = 5_000.0, 32.0
# A value further from the mean counts as that many standard deviations: in the linear models, and in the scale.
_FAR_IN_MODEL, _FAR_IN_SCALE = 4.0, 10.0
# Of the targets: how many so far, faded mean and variance, least and largest; then the first ones, from which the first
# scale comes.
START_N = 64
_COUNT, _MEAN, _VARIANCE, _LOW, _HIGH, _FIRST = range(6)
CLIP_N = _FIRST + START_N
_TARGET_HORIZON = 2_000.0
# Targets further from the mean than so many standard deviations are clipped; before there is a scale, at 1e12
# (as in `learners.clipping`).
_FAR_TARGET, _NO_SCALE = 20.0, 1e12
_LARGEST = 1e100  # squares and their sums stay finite
# A standard deviation below this part of the mean says that the target is constant.
_CONSTANT = 1e-9


@njit(cache=True, nogil=True)
def standardize(rows, targets, nominal, scale, out):  # type: ignore[no-untyped-def]
    """Fill `out` [n, columns] with standardized numbers, 0 where missing, constant or a code."""
    for r in range(rows.shape[0]):
        known = not np.isnan(targets[r])
        for c in range(rows.shape[1]):
            x = rows[r, c]
            out[r, c] = 0.0
            if nominal[c] or np.isnan(x):
                continue
            if scale[c, 2] > 0.0:
                z = (x - scale[c, 1]) / math.sqrt(scale[c, 2])
                out[r, c] = min(max(z, -_FAR_IN_MODEL), _FAR_IN_MODEL)
            if known:
                _widen(scale, c, x)


@njit(cache=True, nogil=True)
def _widen(scale, c, x):  # type: ignore[no-untyped-def]
    scale[c, 0] += 1.0
    if scale[c, 0] > _FEW and scale[c, 2] > 0.0:
        far = _FAR_IN_SCALE * math.sqrt(scale[c, 2])
        x = min(max(x, scale[c, 1] - far), scale[c, 1] + far)
    rate = max(1.0 / scale[c, 0], 1.0 / _HORIZON)
    gap = x - scale[c, 1]
    scale[c, 1] += rate * gap
    scale[c, 2] = (1.0 - rate) * (scale[c, 2] + rate * gap * gap)


@njit(cache=True, nogil=True)
def clipped(y, clip):  # type: ignore[no-untyped-def]
    """`y` within what the targets so far make plausible."""
    low, high = -_NO_SCALE, _NO_SCALE
    if clip[_COUNT] >= START_N:
        far = _FAR_TARGET * math.sqrt(clip[_VARIANCE])
        if far <= _CONSTANT * abs(clip[_MEAN]):
            far = _FAR_TARGET * abs(clip[_MEAN])
        if far > 0.0:
            low, high = max(clip[_MEAN] - far, -_LARGEST), min(clip[_MEAN] + far, _LARGEST)
    return min(max(y, low), high)


@njit(cache=True, nogil=True)
def tidy_targets(targets, clip, start, out, limits):  # type: ignore[no-untyped-def]
    """Clip the targets from row `start` on into `out`; `limits` [n, 3] gets least, largest and mean before each row.

    The mean, which answers where no tree can, is NaN before the first scale.

    Returns the row after which all trees must begin anew, because the first scale shows a target before it to have
    been absurd; the number of rows if there is none.
    """
    for r in range(start, targets.shape[0]):
        limits[r, 0], limits[r, 1] = clip[_LOW], clip[_HIGH]
        limits[r, 2] = clip[_MEAN] if clip[_COUNT] >= START_N else np.nan
        out[r] = targets[r]
        if np.isnan(targets[r]):
            continue
        y = clipped(targets[r], clip)
        out[r] = y
        n = int(clip[_COUNT])
        clip[_COUNT] += 1.0
        clip[_LOW] = min(clip[_LOW], y) if n > 0 else y
        clip[_HIGH] = max(clip[_HIGH], y) if n > 0 else y
        if n < START_N:
            clip[_FIRST + n] = y
            if n == START_N - 1 and _settle(clip):
                return r
            continue
        rate = max(1.0 / clip[_COUNT], 1.0 / _TARGET_HORIZON)
        gap = y - clip[_MEAN]
        clip[_MEAN] += rate * gap
        clip[_VARIANCE] = (1.0 - rate) * (clip[_VARIANCE] + rate * gap * gap)
    return targets.shape[0]


@njit(cache=True, nogil=True)
def _settle(clip):  # type: ignore[no-untyped-def]
    """Set the first scale from the middle of the first targets; True if one of them lay far outside."""
    first = np.sort(clip[_FIRST : _FIRST + START_N])
    middle = first[START_N // 2]
    reach = 0.0
    for margin in (START_N // 8, 2, 1):
        if reach == 0.0:
            reach = max(middle - first[margin], first[START_N - 1 - margin] - middle)
    if reach == 0.0:
        reach = abs(middle) if middle != 0.0 else _NO_SCALE
    low, high = middle - _FAR_TARGET * reach, middle + _FAR_TARGET * reach
    mean, squares = 0.0, 0.0
    for k in range(START_N):
        mean += min(max(first[k], low), high) / START_N
    for k in range(START_N):
        gap = min(max(first[k], low), high) - mean
        squares += gap * gap / START_N
    clip[_MEAN], clip[_VARIANCE] = mean, squares
    absurd = first[0] < low or first[START_N - 1] > high
    clip[_LOW], clip[_HIGH] = max(first[0], low), min(first[START_N - 1], high)
    return absurd


def clip_holds(clip: NDArray[np.float64]) -> bool:
    """Whether all is finite and the count a whole number from 0."""
    return bool(np.isfinite(clip).all() and clip[_COUNT] >= 0.0 and clip[_COUNT] == np.trunc(clip[_COUNT]))
