"""Kernel of the tests that compare the sorted window with the sorted reference: Anderson-Darling and Wasserstein.

The window is kept in ascending order, and a test is one scan of both in that order, so that a statistic depends on
what the window holds and never on how it came there.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numba import njit

from detectors._window import SEEN, WindowRule, due, judge
from detectors.base import DRIFT, LARGEST, Floats, Ints

__all__ = ["ANDERSON_DARLING", "WASSERSTEIN", "Sorted", "anderson_darling", "fold", "wasserstein"]

ANDERSON_DARLING, WASSERSTEIN = 0, 1


class Sorted(NamedTuple):
    """References, the newest `window_n` values and the newest test of F signals."""

    reference: Floats  # [F, size] ascending, the places after its end unused
    reference_n: Ints  # [F]
    spreads: Floats  # [F]: the unit of Wasserstein's effect
    limits: Floats  # [F]: thresholds
    values: Floats  # [F, window_n] in the ring's order
    ascending: Floats  # [F, window_n] the same in their own
    positions: Ints  # [F, window_n]: `index` of each of `values`
    flags: Ints  # [F, 2]: values seen, alarm open
    newest: Floats  # [F, 3]: statistic, threshold and effect of the newest test

    def refer(self, parts: list[Floats]) -> None:
        """Take each signal's reference, ascending."""
        for f, part in enumerate(parts):
            self.reference[f, : len(part)], self.reference_n[f] = part, len(part)

    @classmethod
    def empty(cls, n_signals: int, rule: WindowRule) -> Self:
        """Empty windows, and room for references of up to `rule.size` values."""
        shape = (n_signals, rule.window_n)
        return cls(
            reference=np.zeros((n_signals, rule.size)), reference_n=np.zeros(n_signals, dtype=np.int64),
            spreads=np.ones(n_signals), limits=np.full(n_signals, np.inf),
            values=np.zeros(shape), ascending=np.zeros(shape), positions=np.zeros(shape, dtype=np.int64),
            flags=np.zeros((n_signals, 2), dtype=np.int64), newest=np.full((n_signals, 3), np.nan),
        )  # fmt: skip


@njit(cache=True, nogil=True)
def fold(values, index, signals, rule, low, high, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    """Fold a block signal by signal, values clipped to `low` and `high` [F]; returns the number of alarms."""
    count, m = 0, signals.values.shape[1]
    for f in range(values.shape[1]):
        n = signals.reference_n[f]
        reference, ascending = signals.reference[f, :n], signals.ascending[f]
        ring, positions = signals.values[f], signals.positions[f]
        flags, newest = signals.flags[f], signals.newest[f]
        for row in range(values.shape[0]):
            x, status, sign = values[row, f], 0, 0
            taken = abs(x) <= LARGEST  # NaN is not
            if taken:
                x = min(max(x, low[f]), high[f]) + 0.0  # one zero only: -0.0 and 0.0 tie
                _take(x, index[row], ring, ascending, positions, flags)
            if taken and due(flags, n, m, rule.test_every):
                sign = _test(rule.kind, reference, ascending, signals.spreads[f], newest)
                newest[1] = signals.limits[f]
                status = judge(newest, flags, rule.min_effect, rule.clear_ratio)
            if status:
                onset = _onset(reference, ring, positions, flags[SEEN]) if status == DRIFT else index[row]
                whole[count] = (row, f, status, sign, onset, positions[flags[SEEN] % m], index[row], m)
                real[count] = (newest[0], newest[1], newest[2])
                count += 1
            statistic[f, row], threshold[f, row] = newest[0], newest[1]
    return count


@njit(cache=True, nogil=True)
def _take(x, position, ring, ascending, positions, flags):  # type: ignore[no-untyped-def]
    """Put x into the place of the oldest value, and keep the order by shifting what lies between the two."""
    m = ring.shape[0]
    slot = flags[SEEN] % m
    held = min(flags[SEEN], m)
    place = _below(ascending[:held], ring[slot]) if held == m else held
    while place > 0 and ascending[place - 1] > x:
        ascending[place] = ascending[place - 1]
        place -= 1
    while place + 1 < held and ascending[place + 1] < x:
        ascending[place] = ascending[place + 1]
        place += 1
    ascending[place], ring[slot], positions[slot] = x, x, position
    flags[SEEN] += 1


@njit(cache=True, nogil=True)
def _below(ascending, x):  # type: ignore[no-untyped-def]
    """How many of the values lie below x."""
    low, high = 0, ascending.shape[0]
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _test(kind, reference, ascending, spread, newest):  # type: ignore[no-untyped-def]
    """Compute statistic and effect; returns the direction."""
    if kind == ANDERSON_DARLING:
        newest[0], newest[2], sign = anderson_darling(reference, ascending)
    else:
        newest[0], sign = wasserstein(reference, ascending)
        newest[2] = newest[0] / spread
    return sign


@njit(cache=True, nogil=True)
def anderson_darling(x, y):  # type: ignore[no-untyped-def]
    """A² over mid-ranks, the Kolmogorov-Smirnov distance, and the sign of the mean difference of ranks, y less x.

    Both are ascending. With N values in all, the j-th distinct one l times, B = values below it plus l / 2, and M the
    same of y alone: (N - 1) / (n m N) sum l (N M - m B)² / (B (N - B) - N l / 4), in doubled whole numbers.
    """
    n, m = x.shape[0], y.shape[0]
    both = n + m
    i, j, most, side, total = 0, 0, 0, 0, 0.0
    while i < n or j < m:
        value = x[i] if j == m or (i < n and x[i] <= y[j]) else y[j]
        first_i, first_j = i, j
        while i < n and x[i] == value:
            i += 1
        while j < m and y[j] == value:
            j += 1
        equal, middle = i + j - first_i - first_j, i + j + first_i + first_j
        gap = both * (j + first_j) - m * middle
        if equal < both:
            total += equal * (float(gap) * float(gap)) / (float(middle) * (2 * both - middle) - float(both) * equal)
        side += equal * gap
        most = max(most, abs(n * j - m * i))
    pairs = float(n) * float(m)
    return total * (both - 1.0) / (pairs * both), most / pairs, 0 if side == 0 else (-1 if side > 0 else 1)


@njit(cache=True, nogil=True)
def wasserstein(x, y):  # type: ignore[no-untyped-def]
    """W1: the area between the two distribution functions, and the sign of the mean difference, y less x.

    Both are ascending; summed in the order of the values.
    """
    n, m = x.shape[0], y.shape[0]
    i, j, area, difference = 0, 0, 0.0, 0.0
    before = min(x[0], y[0])
    while i < n or j < m:
        from_x = j == m or (i < n and x[i] <= y[j])
        value = x[i] if from_x else y[j]
        part = float(i * m - j * n) * (value - before)
        area += abs(part)
        difference += part
        before = value
        if from_x:
            i += 1
        else:
            j += 1
    return area / (float(n) * float(m)), 0 if difference == 0.0 else (1 if difference > 0.0 else -1)


@njit(cache=True, nogil=True)
def _onset(reference, ring, positions, seen):  # type: ignore[no-untyped-def]
    """Index of the value from which on the doubled mid-ranks among the reference differ most from n.

    They average n while window and reference share a law, so the split is where the squared sum of what follows, over
    its length, is largest.
    """
    m, n = ring.shape[0], reference.shape[0]
    newest = (seen - 1) % m
    total, best, onset = 0, -1.0, newest
    for back in range(m):
        slot = newest - back if newest >= back else newest - back + m
        total += _below(reference, ring[slot]) + _below(reference, np.nextafter(ring[slot], np.inf)) - n
        gain = float(total) * float(total) / (back + 1.0)
        if gain > best:
            best, onset = gain, slot
    return positions[onset]
