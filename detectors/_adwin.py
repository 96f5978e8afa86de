"""Kernels of ADWIN: values enter the bucket lists of F signals run by run, a run being what lies between two checks.

All buckets that a block's values will make are made at once, level by level; a run then only moves the ends of the
levels, and leaves the very buckets that one value after the other would leave.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from detectors._adwin_check import (
    BORROWING,
    LEVELS,
    NO_SPLIT,
    WIDTHS,
    Buckets,
    Splits,
    at_or_before,
    depth_of,
    judge,
    lay_out,
    onset_of,
    shrink,
    tested,
)
from detectors.base import DRIFT, LARGEST, WARNING, Floats, Ints

__all__ = ["LEVELS", "TICKS", "WARNED", "WIDTH", "Window", "fold", "moments"]

TICKS, WIDTH, WARNED, PENDING, HINT = range(5)
# Rows that are folded at once: their values, and all that they become, fit the first-level cache.
_ROWS = 512
# Signals whose values are turned into columns at once: two cache lines of a row.
_COLUMNS = 16
# Numba guards every signed index against negative numbers, which costs more than what is done at the place.
_U = np.uint64
_NONE, _ONE = np.uint64(0), np.uint64(1)


class Window(NamedTuple):
    """Buckets of F signals: a bucket of level l holds 2^l values. A level's buckets stand from place 0 on, the oldest
    first; what stands behind the last one has no meaning."""

    total: Floats  # [F, levels, max_buckets]
    squares: Floats  # the same: sum of squared deviations from the bucket's mean
    first: Ints  # the same: `index` of the bucket's oldest value
    used: Ints  # [F, levels]: buckets
    # [F, 5]: values since the start, width, warned, restart pending, values before the split that differed most
    counters: Ints
    newest: Floats  # [F, 2]: statistic and threshold of the newest check


@njit(cache=True, nogil=True)
def _room(rows, most):  # type: ignore[no-untyped-def]
    """Room for one signal's buckets and splits: a level takes `most` buckets, and half of what enters below."""
    start, size = np.zeros(LEVELS, dtype=np.int64), 0
    for level in range(LEVELS):
        start[level] = size
        size += most + (rows >> level) + 2
    size += most  # copies of a level go on behind its last bucket
    buckets = Buckets(
        np.empty(size), np.zeros(size), np.empty(size, dtype=np.int64), np.zeros(LEVELS, dtype=np.int64),
        np.zeros(LEVELS, dtype=np.int64), start,
    )  # fmt: skip
    size = LEVELS * (most + 1)
    shares = np.zeros(most + 2)
    for k in range(1, most + 2):
        shares[k] = 1.0 / (k * (k + 1.0))
    splits = Splits(
        np.empty(size), np.empty(size), np.empty(size), np.zeros((LEVELS, 3)), np.zeros(LEVELS, dtype=np.int64), shares,
        np.empty(size, dtype=np.int64), np.zeros(WIDTHS), np.empty(WIDTHS), np.empty(WIDTHS),
    )  # fmt: skip
    return buckets, splits


@njit(cache=True, nogil=True)
def moments(windows, f):  # type: ignore[no-untyped-def]
    """Width, sum and sum of squared deviations of a signal's window, as a check would take them."""
    buckets, splits = _room(0, windows.total.shape[2])
    _load(f, windows, buckets)
    depth = depth_of(buckets)
    _, total, squares = lay_out(depth - 1, depth, buckets, splits)
    return windows.counters[f, WIDTH], total, squares


@njit(cache=True, nogil=True)
def fold(values, index, windows, rule, low, high, ranges, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    """Fold a block, `statistic` and `threshold` being [F, n]; returns the number of alarms."""
    count, rows = np.int64(0), values.shape[0]
    buckets, splits = _room(min(rows, _ROWS), windows.total.shape[2])
    row_of = np.empty(min(rows, _ROWS), dtype=np.int64)
    # Columns a power of two apart would push each other out of the cache.
    columns = np.empty((_COLUMNS, _ROWS + 8))
    for start in range(0, rows, _ROWS):
        for f in range(values.shape[1]):
            if f % _COLUMNS == 0:
                _turn(values, start, f, columns)
            count = _fold_signal(
                f, start, count, columns[f % _COLUMNS], index, windows, rule, (low[f], high[f], ranges[f]), buckets,
                splits, row_of, (statistic, threshold), whole, real,
            )  # fmt: skip
    return count


@njit(**BORROWING)
def _turn(values, start, f, columns):  # type: ignore[no-untyped-def]
    """Copy the values of some signals from `f` on so that each signal's stand in one piece."""
    rows, width = _U(min(_ROWS, values.shape[0] - start)), _U(min(_COLUMNS, values.shape[1] - f))
    begin, left = _U(start), _U(f)
    for row in range(rows):
        for k in range(width):
            columns[k, row] = values[begin + row, left + k]


@njit(**BORROWING)
def _fold_signal(f, start, count, column, index, windows, rule, limits, buckets, splits, row_of, shown, whole, real):  # type: ignore[no-untyped-def]
    """Fold one signal's values of the rows from `start` on."""
    low, high, value_range = limits
    statistic, threshold = shown
    stop = min(start + _ROWS, index.shape[0])
    _load(f, windows, buckets)
    left = _gather(start, stop, column, index, low, high, buckets, row_of)
    at, told = 0, start
    while at < left:
        at, told, verdict = _advance(
            f, at, left, told, windows, rule, value_range, buckets, splits, row_of, statistic, threshold
        )
        if verdict:
            row = row_of[at - 1]
            count += _say(
                f, row, index[row], verdict, windows, rule, value_range, buckets, splits, whole[count], real[count]
            )
    gap, epsilon = windows.newest[f, 0], windows.newest[f, 1]
    for k in range(_U(told), _U(stop)):
        statistic[f, k], threshold[f, k] = gap, epsilon
    _store(f, windows, buckets)
    return count


@njit(**BORROWING)
def _load(f, windows, buckets):  # type: ignore[no-untyped-def]
    total, squares, first, used = windows.total[f], windows.squares[f], windows.first[f], windows.used[f]
    depth = _NONE
    for level in range(_U(LEVELS)):
        buckets.head[level], buckets.tail[level] = buckets.start[level], buckets.start[level] + used[level]
        depth += _ONE if used[level] > 0 else _NONE
    # One array a loop, and all places of a level: checks for overlap and a count that nobody can foresee cost more than
    # the copies. Buckets of one value have no squares.
    for level in range(depth):
        start = _U(buckets.start[level])
        for k in range(_U(total.shape[1])):
            buckets.total[start + k] = total[level, k]
    for level in range(_ONE, depth):
        start = _U(buckets.start[level])
        for k in range(_U(total.shape[1])):
            buckets.squares[start + k] = squares[level, k]
    for level in range(depth):
        start = _U(buckets.start[level])
        for k in range(_U(total.shape[1])):
            buckets.first[start + k] = first[level, k]


@njit(**BORROWING)
def _store(f, windows, buckets):  # type: ignore[no-untyped-def]
    total, squares, first, used = windows.total[f], windows.squares[f], windows.first[f], windows.used[f]
    depth = _NONE
    for level in range(_U(LEVELS)):
        used[level] = buckets.tail[level] - buckets.head[level]
        depth += _ONE if used[level] > 0 else _NONE
    for level in range(depth):
        head = _U(buckets.head[level])
        for k in range(_U(total.shape[1])):
            total[level, k] = buckets.total[head + k]
    for level in range(_ONE, depth):
        head = _U(buckets.head[level])
        for k in range(_U(total.shape[1])):
            squares[level, k] = buckets.squares[head + k]
    for level in range(depth):
        head = _U(buckets.head[level])
        for k in range(_U(total.shape[1])):
            first[level, k] = buckets.first[head + k]


@njit(inline="always", **BORROWING)
def _gather(start, stop, column, index, low, high, buckets, row_of):  # type: ignore[no-untyped-def]
    """Write a signal's values that are not missing, clipped, behind the buckets of level 0; returns their number."""
    total, first, begin, end = buckets.total, buckets.first, _U(buckets.tail[0]), _U(stop - start)
    missing = 0
    for k in range(end):
        x = min(max(column[k], low), high)
        total[begin + k] = x
        missing += 1 if np.isnan(column[k]) or abs(x) > LARGEST else 0
    for k in range(end):
        first[begin + k], row_of[k] = index[_U(start) + k], np.int64(_U(start) + k)
    if missing:
        taken = _NONE
        for k in range(end):
            x = min(max(column[k], low), high)
            total[begin + taken], first[begin + taken], row_of[taken] = x, index[_U(start) + k], np.int64(_U(start) + k)
            taken += _NONE if np.isnan(column[k]) or abs(x) > LARGEST else _ONE
        end = taken
    return np.int64(end)


@njit(inline="always", **BORROWING)
def _advance(f, at, left, told, windows, rule, value_range, buckets, splits, row_of, statistic, threshold):  # type: ignore[no-untyped-def]
    """Take a signal's values, check where a check is due and write the rows' statistics, up to the last value or a
    check that says something; returns the values taken, the next row to write, and the verdict."""
    most, depth = windows.total.shape[2], depth_of(buckets)
    top, verdict = depth - 1, 0
    gap, epsilon = windows.newest[f, 0], windows.newest[f, 1]
    best, hint = LEVELS * most, float(windows.counters[f, HINT])
    ticks, width = windows.counters[f, TICKS], windows.counters[f, WIDTH]
    due = rule.clock - ticks % rule.clock
    if windows.counters[f, PENDING]:
        # Values not taken yet stay behind the buckets of level 0.
        for level in range(LEVELS):
            buckets.head[level] = buckets.tail[level]
        windows.counters[f, :] = 0
        ticks, width, depth, top, due = 0, 0, 1, 0, rule.clock
    # Anew after each alarm, which may have dropped buckets that were to merge.
    _merge(left - at, most, buckets)
    while at < left and verdict == 0:
        run = min(due, left - at)
        top = max(top, _insert(run, most, buckets))
        at, due, ticks, width, depth = at + run, due - run, ticks + run, width + run, max(depth, top + 1)
        if due == 0 and width > rule.grace_period:
            row = row_of[at - 1]
            for k in range(_U(told), _U(row)):
                statistic[f, k], threshold[f, k] = gap, epsilon
            told = row
            lanes, sum_, squares = lay_out(top, depth, buckets, splits)
            top = 0
            best = at_or_before(splits.older, min(best, lanes - 1), hint)
            verdict, gap, epsilon, best = judge(lanes, sum_, squares, rule, value_range, splits, best)
            hint = 0.0 if best == NO_SPLIT else splits.older[best]
            warned = 1 if verdict == WARNING else 0
            verdict = 0 if warned and windows.counters[f, WARNED] else verdict
            windows.counters[f, WARNED] = warned
        due = due or rule.clock
    windows.newest[f, 0], windows.newest[f, 1] = gap, epsilon
    windows.counters[f, TICKS], windows.counters[f, WIDTH], windows.counters[f, HINT] = ticks, width, np.int64(hint)
    return at, told, verdict


@njit(inline="always", **BORROWING)
def _merge(values, most, buckets):  # type: ignore[no-untyped-def]
    """Make the buckets that the next `values` values behind level 0 will make, without taking the values.

    A level that holds more than `most` merges its two oldest. Which buckets merge does not depend on when: they are
    the oldest, in order, and as many pairs as it takes. So all that enter a level are appended at once.
    """
    total, squares, first, head, tail, _ = buckets
    level, inverse, half, held = 0, 1.0, 0.5, tail[0] - head[0] + values
    while held > most:
        pairs = (held - most + 1) // 2
        begin, end = _U(head[level]), _U(tail[level + 1])
        for k in range(_U(pairs)):
            one, two, out = begin + k + k, begin + k + k + _ONE, end + k
            gap = (total[one] - total[two]) * inverse
            squares[out] = squares[one] + squares[two] + gap * gap * half
            total[out] = total[one] + total[two]
            first[out] = first[one]
        level, inverse, half = level + 1, inverse * 0.5, half + half
        held = tail[level] - head[level] + pairs


@njit(inline="always", **BORROWING)
def _insert(run, most, buckets):  # type: ignore[no-untyped-def]
    """Take the next `run` values, whose buckets `_merge` has made; returns the highest level that changed."""
    head, tail = buckets.head, buckets.tail
    level = _NONE
    tail[level] += run
    while tail[level] - head[level] > most:
        pairs = (tail[level] - head[level] - most + 1) >> 1
        head[level] += pairs + pairs
        level += _ONE
        tail[level] += pairs
    return np.int64(level)


@njit(inline="always", **BORROWING)
def _say(f, row, position, verdict, windows, rule, value_range, buckets, splits, whole, real):  # type: ignore[no-untyped-def]
    """Write an alarm and, at a drift, shrink the window; returns 1, or 0 where the direction is not asked for."""
    _, sum_, squares = tested(buckets, splits, rule, value_range)
    width = windows.counters[f, WIDTH]
    jump, onset, earliest, latest = onset_of(buckets, width, sum_, squares, position)
    effect = jump / np.sqrt(squares / width)
    if verdict == DRIFT:
        windows.counters[f, WIDTH] -= shrink(buckets, rule, value_range, splits)
        windows.counters[f, PENDING] = rule.restart
    sign = 1 if jump > 0 else -1
    asked = rule.direction in (0, sign)
    if asked:
        whole[:] = (row, f, verdict, sign, onset, earliest, latest, windows.counters[f, WIDTH])
        real[:] = (windows.newest[f, 0], windows.newest[f, 1], abs(effect))
    return 1 if asked else 0
