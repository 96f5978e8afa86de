"""Kernels of ADWIN: bucket lists of F signals as arrays.

A level's buckets go round in their places, so that nothing is moved; sums are taken anew from the buckets at each
check.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from detectors.base import DRIFT, LARGEST, WARNING, Floats, Ints

__all__ = ["DEPTH", "LEVELS", "WARNED", "Rule", "Window", "fold", "moments", "window_of"]

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
def window_of(windows, f):  # type: ignore[no-untyped-def]
    """One signal's part; the kernels below take this, the hot ones its arrays (each taken out costs a count)."""
    return Window(
        windows.total[f], windows.squares[f], windows.first[f], windows.head[f], windows.used[f], windows.counters[f],
        windows.newest[f],
    )  # fmt: skip


@njit(cache=True, nogil=True)
def fold(values, index, windows, rule, low, high, ranges, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    """Fold a block signal by signal (one signal's buckets fit the first-level cache); returns the number of alarms."""
    count = 0
    for f in range(values.shape[1]):
        window = window_of(windows, f)
        total, squares, first, head, used, counters, newest = window
        for row in range(values.shape[0]):
            x = min(max(values[row, f], low[f]), high[f])
            if not np.isnan(values[row, f]) and abs(x) <= LARGEST:
                _insert(x, index[row], total, squares, first, head, used, counters)
                due = counters[TICKS] % rule.clock == 0 and counters[WIDTH] > rule.grace_period
                count += due and _check(row, f, index[row], window, rule, ranges[f], whole[count], real[count])
            statistic[row, f], threshold[row, f] = newest[0], newest[1]
    return count


@njit(cache=True, nogil=True)
def _check(row, f, position, window, rule, value_range, whole, real):  # type: ignore[no-untyped-def]
    """Test the window and shrink it; returns 1 where an alarm was written."""
    counters = window.counters
    verdict, statistic, epsilon = _scan(window, rule, value_range)
    window.newest[0], window.newest[1] = statistic, epsilon
    fresh_warning = verdict == WARNING and not counters[WARNED]
    counters[WARNED] = 1 if verdict == WARNING else 0
    if verdict != DRIFT and not fresh_warning:
        return 0
    jump, onset, earliest, latest = _onset(window, position)
    effect = jump / np.sqrt(moments(window)[2] / counters[WIDTH])
    if verdict == DRIFT:
        _shrink(window, rule, value_range)
        counters[PENDING] = rule.restart
    sign = 1 if jump > 0 else -1
    if rule.direction and sign != rule.direction:
        return 0
    whole[:] = (row, f, verdict, sign, onset, earliest, latest, counters[WIDTH])
    real[:] = (statistic, epsilon, abs(effect))
    return 1


@njit(cache=True, nogil=True)
def _insert(x, position, total, squares, first, head, used, counters):  # type: ignore[no-untyped-def]
    if counters[PENDING]:
        total[:], squares[:], first[:] = 0.0, 0.0, 0
        head[:], used[:], counters[:] = 0, 0, 0
        counters[DEPTH] = 1
    counters[WIDTH] += 1
    counters[TICKS] += 1
    full, level = total.shape[1], 0
    sum_, square, start = x, 0.0, position
    while True:
        at = _place(head[level], used[level], full)
        total[level, at], squares[level, at], first[level, at] = sum_, square, start
        used[level] += 1
        if used[level] < full or level == LEVELS - 1:
            break
        size = float(1 << level)
        one, two = head[level], _place(head[level], 1, full)
        gap = (total[level, one] - total[level, two]) / size
        sum_, start = total[level, one] + total[level, two], first[level, one]
        square = squares[level, one] + squares[level, two] + gap * gap * size / 2.0
        head[level] = _place(head[level], 2, full)
        used[level] -= 2
        level += 1
    if level >= counters[DEPTH]:
        counters[DEPTH] = level + 1


@njit(cache=True, nogil=True)
def _place(head, k, full):  # type: ignore[no-untyped-def]
    """Where a level's k-th bucket lies, counted from the oldest."""
    at = head + k
    return at - full if at >= full else at


@njit(cache=True, nogil=True)
def moments(window):  # type: ignore[no-untyped-def]
    """Width, sum and sum of squared deviations, from the buckets, the oldest first."""
    totals, squares_of, head, used = window.total, window.squares, window.head, window.used
    full = totals.shape[1]
    width, total, squares = 0, 0.0, 0.0
    for level in range(window.counters[DEPTH] - 1, -1, -1):
        size, start, count = 1 << level, head[level], used[level]
        for k in range(count):
            at = _place(start, k, full)
            bucket = totals[level, at]
            squares += squares_of[level, at]
            if width:
                # Means over one denominator: divisions are what a check spends its time on.
                gap = total * size - bucket * width
                squares += gap * gap / (float(width) * size * (width + size))
            width += size
            total += bucket
    return width, total, squares


@njit(cache=True, nogil=True)
def _scan(window, rule, value_range):  # type: ignore[no-untyped-def]
    """The verdict of a check, and the difference and threshold of the split with the largest ratio of both."""
    totals, head, used = window.total, window.head, window.used
    width, total, squares = moments(window)
    spread, full, least = 2.0 * squares / width, totals.shape[1], rule.min_window_length
    confidence = np.log(2.0 * np.log(width) / rule.delta)
    warns = rule.warning_delta > 0.0
    doubt = np.log(2.0 * np.log(width) / rule.warning_delta) if warns else 0.0
    # A split is of interest where gap > ratio * epsilon; squared, that needs no root for most of them.
    square, linear = spread * confidence, 2.0 / 3.0 * value_range * confidence
    verdict, ratio, statistic, threshold = 0, -1.0, np.nan, np.nan
    older, older_total = 0, 0.0
    for level in range(window.counters[DEPTH] - 1, -1, -1):
        start, count = head[level], used[level]
        for k in range(count):
            older += 1 << level
            older_total += totals[level, _place(start, k, full)]
            newer = width - older
            if older < least or newer < least:
                continue
            gap = abs(older_total * newer - (total - older_total) * older) / (float(older) * newer)
            one, two = float(older - least + 1), float(newer - least + 1)
            m = (one + two) / (one * two)
            excess = gap - ratio * linear * m
            if ratio < 0.0 or (excess > 0.0 and excess * excess > ratio * ratio * m * square):
                epsilon = np.sqrt(m * square) + linear * m
                ratio, statistic, threshold = gap / epsilon, gap, epsilon
                verdict = DRIFT if gap > epsilon else verdict
            if warns and verdict == 0 and gap > np.sqrt(m * spread * doubt) + 2.0 / 3.0 * value_range * doubt * m:
                verdict = WARNING
    return verdict, statistic, threshold


@njit(cache=True, nogil=True)
def _shrink(window, rule, value_range):  # type: ignore[no-untyped-def]
    """Drop the oldest bucket while a split passes the test."""
    counters, head, used = window.counters, window.head, window.used
    verdict = DRIFT
    while verdict == DRIFT:
        level = counters[DEPTH] - 1
        head[level] = _place(head[level], 1, window.total.shape[1])
        used[level] -= 1
        counters[WIDTH] -= 1 << level
        while counters[DEPTH] > 1 and used[counters[DEPTH] - 1] == 0:
            counters[DEPTH] -= 1
        verdict = _scan(window, rule, value_range)[0]


@njit(cache=True, nogil=True)
def _onset(window, position):  # type: ignore[no-untyped-def]
    """Jump of the mean at the most likely boundary, its index, and the ends of its likelihood-ratio set."""
    width, total, squares = moments(window)
    best, jump, onset = -1.0, 0.0, position
    older, older_total = 0, 0.0
    for level in range(window.counters[DEPTH] - 1, -1, -1):
        for k in range(window.used[level]):
            at = _place(window.head[level], k, window.total.shape[1])
            gap = (total - older_total) / (width - older) - older_total / max(older, 1)
            between = gap * gap * older * (width - older) / width
            if older > 0 and between > best:
                best, jump, onset = between, gap, window.first[level, at]
            older += 1 << level
            older_total += window.total[level, at]
    earliest, latest = _onset_set(window, position, best - _ONSET_SET * (squares - best) / width)
    return jump, onset, earliest, latest


@njit(cache=True, nogil=True)
def _onset_set(window, position, least):  # type: ignore[no-untyped-def]
    """Indices between which lie all boundaries that explain `least` or more, and a bucket on each side."""
    width, total, _ = moments(window)
    older, older_total, before, inside = 0, 0.0, 0, False
    earliest, latest = position, -1
    for level in range(window.counters[DEPTH] - 1, -1, -1):
        for k in range(window.used[level]):
            at = _place(window.head[level], k, window.total.shape[1])
            start = window.first[level, at]
            if inside:
                latest = start
            inside = False
            if older > 0:
                gap = (total - older_total) / (width - older) - older_total / older
                inside = gap * gap * older * (width - older) / width >= least
            if inside:
                earliest = min(earliest, before)
            older += 1 << level
            older_total += window.total[level, at]
            before = start
    return earliest, position if inside else latest
