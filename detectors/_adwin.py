"""Kernels of ADWIN: bucket lists of F signals as arrays.

A level's buckets go round in their places, so that nothing is moved; sums are taken anew from the buckets at each
check.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from detectors.base import DRIFT, LARGEST, WARNING, Floats, Ints

__all__ = ["DEPTH", "LEVELS", "WARNED", "Rule", "Window", "fold", "moments"]

LEVELS = 40  # buckets of up to 2^39 values: no stream fills them
TICKS, DEPTH, WIDTH, WARNED, PENDING = range(5)
# 95 % point of the likelihood-ratio statistic of a change point (Hansen 2000, Econometrica 68, table 1).
_ONSET_SET = 7.35


class Window(NamedTuple):
    """Buckets of F signals: level l holds buckets of 2^l values, the oldest first."""

    total: Floats  # [F, levels, max_buckets + 1]
    squares: Floats  # the same: sum of squared deviations from the bucket's mean
    first: Ints  # the same: `index` of the bucket's oldest value
    head: Ints  # [F, levels]: place of the oldest bucket, places going round
    used: Ints  # [F, levels]
    counters: Ints  # [F, 5]: values since the start, levels in use, width, warned, restart pending
    newest: Floats  # [F, 2]: statistic and threshold of the newest check


class Rule(NamedTuple):
    delta: float
    warning_delta: float
    clock: int
    min_window_length: int
    grace_period: int
    direction: int
    restart: int


@njit(cache=True, nogil=True)
def fold(values, index, window, rule, low, high, ranges, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    """Fold a block signal by signal (one signal's buckets fit the first-level cache); returns the number of alarms."""
    count = 0
    counters = window.counters
    for f in range(values.shape[1]):
        for row in range(values.shape[0]):
            x = min(max(values[row, f], low[f]), high[f])
            if not np.isnan(values[row, f]) and abs(x) <= LARGEST:
                _insert(window, f, x, index[row])
                counters[f, TICKS] += 1
                due = counters[f, TICKS] % rule.clock == 0 and counters[f, WIDTH] > rule.grace_period
                count += due and _check(row, f, index[row], window, rule, ranges[f], whole[count], real[count])
            statistic[row, f] = window.newest[f, 0]
            threshold[row, f] = window.newest[f, 1]
    return count


@njit(cache=True, nogil=True)
def _check(row, f, position, window, rule, value_range, whole, real):  # type: ignore[no-untyped-def]
    """Test the window and shrink it; returns 1 where an alarm was written."""
    counters = window.counters[f]
    verdict, statistic, epsilon = _scan(window, f, rule, value_range)
    window.newest[f, 0] = statistic
    window.newest[f, 1] = epsilon
    fresh_warning = verdict == WARNING and not counters[WARNED]
    counters[WARNED] = 1 if verdict == WARNING else 0
    if verdict != DRIFT and not fresh_warning:
        return 0
    jump, onset, earliest, latest = _onset(window, f, position)
    effect = jump / np.sqrt(moments(window, f)[2] / counters[WIDTH])
    if verdict == DRIFT:
        _shrink(window, f, rule, value_range)
        counters[PENDING] = rule.restart
    sign = 1 if jump > 0 else -1
    if rule.direction and sign != rule.direction:
        return 0
    whole[:] = (row, f, verdict, sign, onset, earliest, latest, counters[WIDTH])
    real[:] = (statistic, epsilon, abs(effect))
    return 1


@njit(cache=True, nogil=True)
def _clear(window, f):  # type: ignore[no-untyped-def]
    window.total[f] = 0.0
    window.squares[f] = 0.0
    window.first[f] = 0
    window.head[f] = 0
    window.used[f] = 0
    window.counters[f] = 0
    window.counters[f, DEPTH] = 1


@njit(cache=True, nogil=True)
def _insert(window, f, x, position):  # type: ignore[no-untyped-def]
    # Whole indices, no views of a signal's part: a view costs more here than the insertion itself.
    full = window.total.shape[2]
    if window.counters[f, PENDING]:
        _clear(window, f)
    window.counters[f, WIDTH] += 1
    _append(window, f, 0, x, 0.0, position)
    level = 0
    while window.used[f, level] == full and level < LEVELS - 1:
        size = float(1 << level)
        one, two = _place(window, f, level, 0), _place(window, f, level, 1)
        older, newer = window.total[f, level, one], window.total[f, level, two]
        gap = (older - newer) / size
        squares = window.squares[f, level, one] + window.squares[f, level, two] + gap * gap * size / 2.0
        _append(window, f, level + 1, older + newer, squares, window.first[f, level, one])
        _forget(window, f, level, 2)
        level += 1
    if level >= window.counters[f, DEPTH]:
        window.counters[f, DEPTH] = level + 1


@njit(cache=True, nogil=True)
def _place(window, f, level, k):  # type: ignore[no-untyped-def]
    """Where a level's k-th bucket lies, counted from the oldest."""
    at = window.head[f, level] + k
    return at - window.total.shape[2] if at >= window.total.shape[2] else at


@njit(cache=True, nogil=True)
def _append(window, f, level, total, squares, first):  # type: ignore[no-untyped-def]
    at = _place(window, f, level, window.used[f, level])
    window.total[f, level, at] = total
    window.squares[f, level, at] = squares
    window.first[f, level, at] = first
    window.used[f, level] += 1


@njit(cache=True, nogil=True)
def _forget(window, f, level, count):  # type: ignore[no-untyped-def]
    """Take the `count` oldest buckets out of a level."""
    window.head[f, level] = _place(window, f, level, count)
    window.used[f, level] -= count


@njit(cache=True, nogil=True)
def moments(window, f):  # type: ignore[no-untyped-def]
    """Width, sum and sum of squared deviations, from the buckets, the oldest first."""
    width, total, squares = 0, 0.0, 0.0
    for level in range(window.counters[f, DEPTH] - 1, -1, -1):
        size = 1 << level
        for k in range(window.used[f, level]):
            at = _place(window, f, level, k)
            bucket = window.total[f, level, at]
            squares += window.squares[f, level, at]
            if width:
                gap = total / width - bucket / size
                squares += gap * gap * width * size / (width + size)
            width += size
            total += bucket
    return width, total, squares


@njit(cache=True, nogil=True)
def _scan(window, f, rule, value_range):  # type: ignore[no-untyped-def]
    """The verdict of a check, and the difference and threshold of the split with the largest ratio of both."""
    width, total, squares = moments(window, f)
    spread = 2.0 * squares / width
    confidence = np.log(2.0 * np.log(width) / rule.delta)
    doubt = np.log(2.0 * np.log(width) / rule.warning_delta) if rule.warning_delta > 0.0 else np.inf
    least = rule.min_window_length
    verdict, ratio, statistic, threshold = 0, -1.0, np.nan, np.nan
    older, older_total = 0, 0.0
    for level in range(window.counters[f, DEPTH] - 1, -1, -1):
        for k in range(window.used[f, level]):
            older += 1 << level
            older_total += window.total[f, level, _place(window, f, level, k)]
            newer = width - older
            if older < least or newer < least:
                continue
            gap = abs(older_total / older - (total - older_total) / newer)
            m = 1.0 / (older - least + 1) + 1.0 / (newer - least + 1)
            epsilon = np.sqrt(m * spread * confidence) + 2.0 / 3.0 * value_range * confidence * m
            if gap > epsilon:
                verdict = DRIFT
            elif verdict == 0 and gap > np.sqrt(m * spread * doubt) + 2.0 / 3.0 * value_range * doubt * m:
                verdict = WARNING
            if gap > ratio * epsilon:
                ratio, statistic, threshold = gap / epsilon, gap, epsilon
    return verdict, statistic, threshold


@njit(cache=True, nogil=True)
def _shrink(window, f, rule, value_range):  # type: ignore[no-untyped-def]
    """Drop the oldest bucket while a split passes the test."""
    counters = window.counters[f]
    verdict = DRIFT
    while verdict == DRIFT:
        level = counters[DEPTH] - 1
        _forget(window, f, level, 1)
        counters[WIDTH] -= 1 << level
        while counters[DEPTH] > 1 and window.used[f, counters[DEPTH] - 1] == 0:
            counters[DEPTH] -= 1
        verdict = _scan(window, f, rule, value_range)[0]


@njit(cache=True, nogil=True)
def _onset(window, f, position):  # type: ignore[no-untyped-def]
    """Jump of the mean at the most likely boundary, its index, and the ends of its likelihood-ratio set."""
    width, total, squares = moments(window, f)
    best, jump, onset = -1.0, 0.0, position
    older, older_total = 0, 0.0
    for level in range(window.counters[f, DEPTH] - 1, -1, -1):
        for k in range(window.used[f, level]):
            gap = (total - older_total) / (width - older) - older_total / max(older, 1)
            between = gap * gap * older * (width - older) / width
            if older > 0 and between > best:
                best, jump, onset = between, gap, window.first[f, level, _place(window, f, level, k)]
            older += 1 << level
            older_total += window.total[f, level, _place(window, f, level, k)]
    earliest, latest = _onset_set(window, f, position, best - _ONSET_SET * (squares - best) / width)
    return jump, onset, earliest, latest


@njit(cache=True, nogil=True)
def _onset_set(window, f, position, least):  # type: ignore[no-untyped-def]
    """Indices between which lie all boundaries that explain `least` or more, and a bucket on each side."""
    width, total, _ = moments(window, f)
    older, older_total, before, inside = 0, 0.0, 0, False
    earliest, latest = position, -1
    for level in range(window.counters[f, DEPTH] - 1, -1, -1):
        for k in range(window.used[f, level]):
            start = window.first[f, level, _place(window, f, level, k)]
            if inside:
                latest = start
            inside = False
            if older > 0:
                gap = (total - older_total) / (width - older) - older_total / older
                inside = gap * gap * older * (width - older) / width >= least
            if inside:
                earliest = min(earliest, before)
            older += 1 << level
            older_total += window.total[f, level, _place(window, f, level, k)]
            before = start
    return earliest, position if inside else latest
