"""The check of ADWIN: which split of the window differs most, whether it differs too much, and where a change began.

A window is at hand as *splits*: the number and the sum of the values before each boundary between buckets, the oldest
first. They are a function of the buckets alone; a check renews only those that insertion has touched.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from detectors.base import DRIFT, WARNING, Floats, Ints

__all__ = [
    "BORROWING",
    "LEVELS",
    "NO_SPLIT",
    "Buckets",
    "Rule",
    "Splits",
    "at_or_before",
    "depth_of",
    "judge",
    "lay_out",
    "onset_of",
    "shrink",
    "tested",
]

# Kernels that allocate nothing borrow their arrays: counting references in the loops took more time than the sums.
BORROWING: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
LEVELS = 48  # buckets of up to 2^47 values: at a million values a second they last for twenty years
NO_SPLIT = -1
# Signals without gaps and cuts are as wide as each other: their logarithms are taken once a block.
WIDTHS = 512
# 95 % point of the likelihood-ratio statistic of a change point (Hansen 2000, Econometrica 68, table 1).
_ONSET_SET = 7.35
# The filter of `_widest` lets pass what comes this near to the best: far more than what rounding can shift.
_NEAR = 1.0 - 1e-9
# Below this the squares in that filter could vanish.
_SMALLEST = 1e-130
_U = np.uint64
_NONE, _ONE = np.uint64(0), np.uint64(1)


class Rule(NamedTuple):
    delta: float
    warning_delta: float
    clock: int
    min_window_length: int
    grace_period: int
    direction: int
    restart: int


class Buckets(NamedTuple):
    """One signal's buckets while a block is folded: those of a level stand from place `head` up to `tail`.

    New ones are appended and old ones left behind, so that nothing is moved.
    """

    total: Floats
    squares: Floats
    first: Ints
    head: Ints  # [levels]
    tail: Ints  # [levels]
    start: Ints  # [levels]: where a level's room begins


class Splits(NamedTuple):
    """One window's boundaries between buckets and, by level, what lies before the level's oldest bucket."""

    older: Floats  # values before the boundary
    older_total: Floats  # their sum
    margin: Floats  # room for the filter of `_widest`
    before: Floats  # [levels, 3]: values, sum, sum of squared deviations
    lane: Ints  # [levels]: boundaries
    shares: Floats  # 1 / (k (k + 1)) at place k
    chosen: Ints  # room for the boundaries that pass that filter
    known: Floats  # widths whose logarithms are known, at their place modulo WIDTHS
    doubling: Floats  # of those widths twice the logarithm
    confidence: Floats


@njit(inline="always", **BORROWING)
def depth_of(buckets):  # type: ignore[no-untyped-def]
    """Levels in use, 1 or more."""
    depth = LEVELS
    while depth > 1 and buckets.head[depth - 1] == buckets.tail[depth - 1]:
        depth -= 1
    return depth


@njit(inline="always", **BORROWING)
def lay_out(top, depth, buckets, splits):  # type: ignore[no-untyped-def]
    """Renew the splits of the levels up to `top`: buckets there have changed, those above have not.

    Sums run from the oldest bucket to the newest in an order that the buckets alone decide, so that it does not show
    which levels were renewed when. Returns the number of boundaries (the last is the window's end), the window's sum
    and its sum of squared deviations.
    """
    total, squares, _, head, tail, _ = buckets
    older, older_total, _, before, lane, shares, _, _, _, _ = splits
    values, sum_, spread, k = 0.0, 0.0, 0.0, _U(0)
    if top < depth - 1:
        values, sum_, spread, k = before[top, 0], before[top, 1], before[top, 2], _U(lane[top])
    size = float(1 << top)
    inverse = 1.0 / size
    for level in range(top, -1, -1):
        before[level, 0], before[level, 1], before[level, 2], lane[level] = values, sum_, spread, k
        start, count = _U(head[level]), tail[level] - head[level]
        part, within, between, seen = 0.0, 0.0, 0.0, 0.0
        for place in range(_U(count)):
            bucket = total[start + place]
            # Welford's step for parts of one size, with the division taken from a table.
            gap = part - bucket * seen
            between += gap * gap * shares[place]
            within += squares[start + place]
            part += bucket
            seen += 1.0
            older[k + place] = values + size * seen
            older_total[k + place] = sum_ + part
        k += _U(count)
        held = size * seen
        within += between * inverse
        if values > 0.0 and seen > 0.0:
            gap = sum_ * held - part * values
            within += gap * gap / (values * held * (values + held))
        values, sum_, spread = values + held, sum_ + part, spread + within
        size *= 0.5
        inverse += inverse
    return np.int64(k), sum_, spread


@njit(inline="always", **BORROWING)
def at_or_before(older, lane, values):  # type: ignore[no-untyped-def]
    """The last boundary up to `lane` that has `values` before it, or fewer: 0 where all have more."""
    lane = _U(max(lane, 0))
    while lane > _NONE and older[lane] > values:
        lane -= _ONE
    return np.int64(lane)


@njit(inline="always", **BORROWING)
def judge(lanes, sum_, squares, rule, value_range, splits, hint):  # type: ignore[no-untyped-def]
    """The verdict of a check; difference, threshold and place of the split with the largest ratio of both."""
    width, least = splits.older[_U(lanes - 1)], float(rule.min_window_length)
    spread, mean = 2.0 * squares / width, sum_ / width
    place = _U(width) & _U(WIDTHS - 1)
    if splits.known[place] != width:
        splits.known[place], splits.doubling[place] = width, 2.0 * math.log(max(width, 2.0))
        splits.confidence[place] = math.log(splits.doubling[place] / rule.delta)
    confidence, verdict, gap, epsilon, at = splits.confidence[place], 0, np.nan, np.nan, hint
    # A loop, not two calls: the second would double what there is to compile.
    for status in range(DRIFT, DRIFT - 2 if rule.warning_delta > 0.0 else DRIFT - 1, -1):
        if status == WARNING and verdict == 0:
            confidence = math.log(splits.doubling[place] / rule.warning_delta)
        if verdict == 0:
            linear = 2.0 / 3.0 * value_range * confidence
            near, limit, found = _widest(lanes, mean, spread * confidence, linear, least, splits, at)
            verdict = status if near > limit else 0
            if status == DRIFT:
                gap, epsilon, at = near, limit, found
    return verdict, gap, epsilon, at


@njit(inline="always", **BORROWING)
def _widest(lanes, mean, square, linear, least, splits, hint):  # type: ignore[no-untyped-def]
    """Difference, threshold and place of the split with the largest ratio of both, the oldest of equals.

    Roots and divisions cost more than all else, so a filter without them goes over the splits first. With E = S - mean
    * n0 (S the sum before the split) the difference is |E| n / (n0 n1), and as m >= n / (n0 n1) a split's ratio exceeds
    r only where |E| > r (sqrt(square n0 n1 / n) + linear). The filter takes for r the ratio at `hint`, a little
    lowered, so that rounding loses nothing; what passes is computed and compared in full. The hint thus decides how
    many pass, and never which one wins.
    """
    older, older_total, margin, _, _, _, chosen, _, _, _ = splits
    width = older[_U(lanes - 1)]
    gap, epsilon, at = np.nan, np.nan, _valid(older, lanes, least, hint)
    if at != NO_SPLIT:
        gap, epsilon = _difference(older[at], older_total[at], width, mean, square, linear, least)
        lowered = gap / epsilon * _NEAR
        floor, slope = lowered * linear, lowered * lowered * square / width
        hits = 0
        for k in range(lanes - 1):
            beyond = max(abs(older_total[k] - mean * older[k]) - floor, 0.0)
            margin[k] = beyond * beyond - slope * (older[k] * (width - older[k]))
            hits += 1 if margin[k] > 0.0 else 0
        if floor < _SMALLEST:
            hits = _differing(lanes, mean, older, older_total, margin)
            at = _valid(older, lanes, least, NO_SPLIT)
            gap, epsilon = _difference(older[at], older_total[at], width, mean, square, linear, least)
            hits += 1 if hits else 0
        if hits > 1:
            at = _best(lanes, width, mean, square, linear, least, older, older_total, margin, chosen)
            gap, epsilon = _difference(older[at], older_total[at], width, mean, square, linear, least)
    return gap, epsilon, at


@njit(inline="always", **BORROWING)
def _best(lanes, width, mean, square, linear, least, older, older_total, margin, chosen):  # type: ignore[no-untyped-def]
    """The split with the largest ratio among those that passed the filter, without branches that nobody can foresee."""
    count = _NONE
    for k in range(lanes - 1):
        chosen[count] = k
        count += _ONE if margin[k] > 0.0 else _NONE
    for j in range(count):
        at = _U(chosen[j])
        newer = width - older[at]
        one, two = max(older[at] - least, 0.0) + 1.0, max(newer - least, 0.0) + 1.0
        # The ratio as `_difference` has it, over one denominator.
        both, product = one + two, one * two
        ratio = abs(older_total[at] - mean * older[at]) * width * product
        ratio /= older[at] * newer * (math.sqrt(square * both * product) + linear * both)
        margin[j] = ratio if older[at] >= least and newer >= least else -1.0
    best, found = -1.0, NO_SPLIT
    for j in range(count):
        found = chosen[j] if margin[j] > best else found
        best = max(margin[j], best)
    return found


@njit(inline="always", **BORROWING)
def _differing(lanes, mean, older, older_total, margin):  # type: ignore[no-untyped-def]
    """Let every split pass where any has a difference: for values so small, or equal, that squares would vanish."""
    hits = 0
    for k in range(lanes - 1):
        hits += 1 if older_total[k] != mean * older[k] else 0
        margin[k] = 1.0
    return hits


@njit(inline="always", **BORROWING)
def _valid(older, lanes, least, hint):  # type: ignore[no-untyped-def]
    """`hint` where both sides of it are long enough, else the oldest boundary of that kind."""
    width, found = older[_U(lanes - 1)], NO_SPLIT
    if 0 <= hint < lanes and older[hint] >= least and width - older[hint] >= least:
        found = hint
    else:
        k = 0
        while k < lanes and older[k] < least:
            k += 1
        if k < lanes and width - older[k] >= least:
            found = k
    return found


@njit(inline="always", **BORROWING)
def _difference(older, older_total, width, mean, square, linear, least):  # type: ignore[no-untyped-def]
    """Difference of the means beside a split, and what the paper's test compares it with."""
    newer = width - older
    one, two = max(older - least, 0.0) + 1.0, max(newer - least, 0.0) + 1.0
    m = (one + two) / (one * two)
    gap = abs(older_total - mean * older) * width / (older * newer)
    return gap, math.sqrt(m * square) + linear * m


@njit(**BORROWING)
def tested(buckets, splits, rule, value_range):  # type: ignore[no-untyped-def]
    """Lay out and judge a whole window; returns the verdict, the window's sum and its sum of squared deviations."""
    depth = depth_of(buckets)
    lanes, sum_, squares = lay_out(depth - 1, depth, buckets, splits)
    return judge(lanes, sum_, squares, rule, value_range, splits, NO_SPLIT)[0], sum_, squares


@njit(inline="always", **BORROWING)
def shrink(buckets, rule, value_range, splits):  # type: ignore[no-untyped-def]
    """Drop the oldest bucket while a split passes the test; returns the number of values dropped."""
    dropped, verdict = 0, DRIFT
    while verdict == DRIFT:
        level = depth_of(buckets) - 1
        buckets.head[level] += 1
        dropped += 1 << level
        verdict = tested(buckets, splits, rule, value_range)[0]
    return dropped


@njit(**BORROWING)
def onset_of(buckets, width, total, squares, position):  # type: ignore[no-untyped-def]
    """Jump of the mean at the most likely boundary, its index, and the ends of its likelihood-ratio set."""
    best, jump, onset = -1.0, 0.0, position
    older, older_total = 0, 0.0
    for level in range(LEVELS - 1, -1, -1):
        for k in range(buckets.head[level], buckets.tail[level]):
            gap = (total - older_total) / (width - older) - older_total / max(older, 1)
            between = gap * gap * older * (width - older) / width
            if older > 0 and between > best:
                best, jump, onset = between, gap, buckets.first[k]
            older += 1 << level
            older_total += buckets.total[k]
    earliest, latest = _onset_set(buckets, width, total, position, best - _ONSET_SET * (squares - best) / width)
    return jump, onset, earliest, latest


@njit(**BORROWING)
def _onset_set(buckets, width, total, position, least):  # type: ignore[no-untyped-def]
    """Indices between which lie all boundaries that explain `least` or more, and a bucket on each side."""
    older, older_total, before, inside = 0, 0.0, 0, False
    earliest, latest = position, -1
    for level in range(LEVELS - 1, -1, -1):
        for k in range(buckets.head[level], buckets.tail[level]):
            start = buckets.first[k]
            if inside:
                latest = start
            inside = False
            if older > 0:
                gap = (total - older_total) / (width - older) - older_total / older
                inside = gap * gap * older * (width - older) / width >= least
            if inside:
                earliest = min(earliest, before)
            older += 1 << level
            older_total += buckets.total[k]
            before = start
    return earliest, position if inside else latest
