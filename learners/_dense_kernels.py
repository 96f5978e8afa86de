"""Kernels that all learners over dense rows share: running moments of columns, codes, probabilities.

Weights grow instead of shrinking: with a decay each new example weighs more than all before it, which costs nothing per
event, and all weights are brought down together before they get too large.
"""

from __future__ import annotations

import math

from numba import njit

__all__ = [
    "BLOCK_N",
    "CLASSES",
    "KNOWN",
    "LEARNED",
    "MEAN",
    "OFFSET",
    "PLACES",
    "SCALE_N",
    "SQUARES",
    "WEIGHT",
    "WEIGHT2",
    "WEIGHT_NOW",
    "code_of",
    "normalise",
    "observe",
    "several",
    "shrink_scales",
    "tick",
]

# A row of `layout`: where a column's places begin, how many codes it has room for (0: numbers), codes learned so far.
OFFSET, PLACES, KNOWN = range(3)
# A row of `scale`: weight, sum of squared weights, mean, weighted squared deviations, then those of the block at hand.
WEIGHT, WEIGHT2, MEAN, SQUARES, _BLOCK_COUNT, _BLOCK_MEAN, _BLOCK_SQUARES, _BLOCK_LARGEST = range(8)
SCALE_N = 8
# `clock`: weight of the newest example, examples learned, classes met.
WEIGHT_NOW, LEARNED, CLASSES = range(3)

BLOCK_N = 256
_ABSURD = 1e3
_HEAVY = 1e100  # its square, times squares of 1e50 and a hundred million examples, is finite
_NOTHING = 1e-150


@njit(cache=True, nogil=True)
def code_of(x, layout, c):  # type: ignore[no-untyped-def]
    """The code in a nominal column, -1 for one without a place and for what is missing."""
    return int(x) if 0.0 <= x < layout[c, PLACES] else -1


@njit(cache=True, nogil=True)
def several(weight, weight2):  # type: ignore[no-untyped-def]
    """Whether the weights are of more than one example."""
    return weight > 0.0 and weight - weight2 / weight > 1e-9 * weight


@njit(cache=True, nogil=True)
def observe(at, x, weight):  # type: ignore[no-untyped-def]
    """Add a number to the moments in `at`; True if that made the column start anew.

    After each 256th number the moments are held against these 256: if the root mean square of all is over 1,000 times
    the largest of them, something absurd is left in the moments and they start anew from the block.
    """
    at[WEIGHT] += weight
    at[WEIGHT2] += weight * weight
    share = weight / at[WEIGHT]
    step = x - at[MEAN]
    at[MEAN] += share * step
    at[SQUARES] += weight * step * step * (1.0 - share)
    at[_BLOCK_COUNT] += 1.0
    step = x - at[_BLOCK_MEAN]
    at[_BLOCK_MEAN] += step / at[_BLOCK_COUNT]
    at[_BLOCK_SQUARES] += step * step * (1.0 - 1.0 / at[_BLOCK_COUNT])
    at[_BLOCK_LARGEST] = max(at[_BLOCK_LARGEST], abs(x))
    if at[_BLOCK_COUNT] < BLOCK_N:
        return False
    largest = at[_BLOCK_LARGEST]
    root = math.sqrt(at[MEAN] * at[MEAN] + at[SQUARES] / at[WEIGHT])
    absurd = largest > 0.0 and root > _ABSURD * largest
    if absurd:
        at[WEIGHT], at[WEIGHT2] = BLOCK_N * weight, BLOCK_N * weight * weight
        at[MEAN], at[SQUARES] = at[_BLOCK_MEAN], at[_BLOCK_SQUARES] * weight
    at[_BLOCK_COUNT:] = 0.0
    return absurd


@njit(cache=True, nogil=True)
def tick(clock, growth, scale):  # type: ignore[no-untyped-def]
    """Give the next example its weight; what other weights must be multiplied by, 1 nearly always."""
    clock[LEARNED] += 1.0
    clock[WEIGHT_NOW] *= growth
    if clock[WEIGHT_NOW] <= _HEAVY:
        return 1.0
    factor = 1.0 / clock[WEIGHT_NOW]
    clock[WEIGHT_NOW] = 1.0
    shrink_scales(scale, factor)
    return factor


@njit(cache=True, nogil=True)
def shrink_scales(scale, factor):  # type: ignore[no-untyped-def]
    """Multiply the weights behind all moments; means and variances stay."""
    for c in range(len(scale)):
        if scale[c, WEIGHT] * factor < _NOTHING:
            scale[c, :4] = 0.0
        else:
            scale[c, WEIGHT] *= factor
            scale[c, WEIGHT2] *= factor * factor
            scale[c, SQUARES] *= factor


@njit(cache=True, nogil=True)
def normalise(scores, classes):  # type: ignore[no-untyped-def]
    """Turn log scores into probabilities; all zero if no class has a finite score."""
    best = -math.inf
    for k in range(classes):
        best = max(best, scores[k])
    if best == -math.inf:
        scores[:classes] = 0.0
        return
    total = 0.0
    for k in range(classes):
        scores[k] = math.exp(scores[k] - best)
        total += scores[k]
    for k in range(classes):
        scores[k] /= total
