"""Kernel of the tests that compare counts over cells: bins of numbers, or categories.

A value that comes or goes changes one count, and a test is one pass over the cells, so that a statistic depends on the
counts alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np
from numba import njit

from detectors._window import SEEN, WindowRule, due, judge
from detectors.base import DRIFT, LARGEST, Floats, Ints

__all__ = ["CHI_SQUARE", "G_TEST", "JENSEN_SHANNON", "PSI", "Cells", "fold", "measure"]

# Kinds of statistic; from CHI_SQUARE on the values are category codes.
PSI, JENSEN_SHANNON, CHI_SQUARE, G_TEST = range(4)


class Cells(NamedTuple):
    """Counts of references and of the newest `window_n` values of F signals over `size` cells, and the newest test."""

    edges: Floats  # [F, size]: ascending; cell c holds what c of them are not above; infinite after the last
    reference: Ints  # [F, size]
    limits: Floats  # [F, size + 1]: threshold by how many cells hold anything in reference or window
    counts: Ints  # [F, size] of the window
    cells: Ints  # [F, window_n] in the ring's order
    positions: Ints  # [F, window_n]: `index` of each
    flags: Ints  # [F, 2]: values seen, alarm open
    newest: Floats  # [F, 3]: statistic, threshold and effect of the newest test

    def refer(self, parts: list[Floats], edges: list[Floats], *, quantiles: Floats, scales: Floats) -> None:
        """Count each signal's reference between its edges.

        `quantiles` [size + 1] are those of chi-square by cells in use, `scales` [F] make them a signal's thresholds.
        """
        for f, (part, cuts) in enumerate(zip(parts, edges, strict=True)):
            self.edges[f, : len(cuts)] = cuts
            self.reference[f] = np.bincount(np.searchsorted(cuts, part, side="right"), minlength=len(quantiles) - 1)
            if len(part):
                self.limits[f] = quantiles * scales[f]

    @classmethod
    def empty(cls, n_signals: int, rule: WindowRule) -> Self:
        """Empty windows and references."""
        window_n, size = rule.window_n, rule.size
        return cls(
            edges=np.full((n_signals, size), np.inf), reference=np.zeros((n_signals, size), dtype=np.int64),
            limits=np.full((n_signals, size + 1), np.inf), counts=np.zeros((n_signals, size), dtype=np.int64),
            cells=np.zeros((n_signals, window_n), dtype=np.int64),
            positions=np.zeros((n_signals, window_n), dtype=np.int64),
            flags=np.zeros((n_signals, 2), dtype=np.int64), newest=np.full((n_signals, 3), np.nan),
        )  # fmt: skip


@njit(cache=True, nogil=True)
def fold(values, index, signals, rule, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    """Fold a block signal by signal; returns the number of alarms."""
    count, m = 0, signals.cells.shape[1]
    for f in range(values.shape[1]):
        edges, reference, counts = signals.edges[f], signals.reference[f], signals.counts[f]
        ring, positions = signals.cells[f], signals.positions[f]
        flags, newest = signals.flags[f], signals.newest[f]
        n = reference.sum()
        for row in range(values.shape[0]):
            x, status = values[row, f], 0
            taken = abs(x) <= LARGEST  # NaN is not
            if rule.kind >= CHI_SQUARE:
                taken = taken and x >= 0.0 and x == np.floor(x)
            if taken:
                _take(_cell(edges, x), index[row], ring, counts, positions, flags)
            if taken and due(flags, n, m, rule.test_every):
                newest[0], newest[2], used = measure(rule.kind, reference, counts, rule.empty)
                newest[1] = signals.limits[f, used]
                status = judge(newest, flags, rule.min_effect, rule.clear_ratio)
            if status:
                onset = _onset(reference, ring, positions, flags[SEEN]) if status == DRIFT else index[row]
                whole[count] = (row, f, status, 0, onset, positions[flags[SEEN] % m], index[row], m)
                real[count] = (newest[0], newest[1], newest[2])
                count += 1
            statistic[f, row], threshold[f, row] = newest[0], newest[1]
    return count


@njit(cache=True, nogil=True)
def _cell(edges, x):  # type: ignore[no-untyped-def]
    """How many edges are not above x."""
    low, high = 0, edges.shape[0]
    while low < high:
        middle = (low + high) // 2
        if edges[middle] <= x:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _take(cell, position, ring, counts, positions, flags):  # type: ignore[no-untyped-def]
    """Count a value in the place of the oldest."""
    slot = flags[SEEN] % ring.shape[0]
    if flags[SEEN] >= ring.shape[0]:
        counts[ring[slot]] -= 1
    counts[cell] += 1
    ring[slot], positions[slot] = cell, position
    flags[SEEN] += 1


@njit(cache=True, nogil=True)
def measure(kind, reference, counts, empty):  # type: ignore[no-untyped-def]
    """Statistic, effect, and how many cells hold anything."""
    n, m, used, total, squares = reference.sum(), counts.sum(), 0, 0.0, 0.0
    for cell in range(counts.shape[0]):
        r, w = reference[cell], counts[cell]
        if r + w == 0:
            continue
        used += 1
        if kind == PSI:
            p, q = (r or empty) / n, (w or empty) / m
            total += (q - p) * math.log(q / p)
        elif kind == JENSEN_SHANNON:
            p, q = r / n, w / m
            total += (_surprise(p, 0.5 * (p + q)) + _surprise(q, 0.5 * (p + q))) / 2.0
        else:
            gap = float(n * w - m * r)
            squares += gap * gap / (float(n) * float(m) * (r + w))
            part = (r + w) / (n + m)
            total += 2.0 * (_surprise(float(r), n * part) + _surprise(float(w), m * part))
    if kind == PSI:
        return total, total, used
    if kind == JENSEN_SHANNON:
        return total, math.sqrt(max(total, 0.0) / math.log(2.0)), used
    return squares if kind == CHI_SQUARE else total, math.sqrt(squares / (n + m)), used


@njit(cache=True, nogil=True)
def _surprise(p, q):  # type: ignore[no-untyped-def]
    """p ln(p / q), 0 where p is 0."""
    return p * math.log(p / q) if p > 0.0 else 0.0


@njit(cache=True, nogil=True)
def _onset(reference, ring, positions, seen):  # type: ignore[no-untyped-def]
    """Index of the value after the likeliest split: older values have the reference's shares, newer ones others.

    Half a value is added to each of the reference's counts, so that an empty cell is not impossible before the split.
    """
    m, cells = ring.shape[0], reference.shape[0]
    whole = reference.sum() + 0.5 * cells
    counts = np.zeros(cells)
    newest = (seen - 1) % m
    total, best, onset = 0.0, -np.inf, newest
    for back in range(m):
        slot = newest - back if newest >= back else newest - back + m
        cell = ring[slot]
        # The logarithm of (count / length)^count over all cells, less what the reference's shares give.
        total += _log_power(counts[cell] + 1.0) - _log_power(counts[cell])
        total -= math.log((reference[cell] + 0.5) / whole)
        counts[cell] += 1.0
        gain = total - _log_power(back + 1.0)
        if gain > best:
            best, onset = gain, slot
    return positions[onset]


@njit(cache=True, nogil=True)
def _log_power(x):  # type: ignore[no-untyped-def]
    """ln x^x, 0 at 0."""
    return x * math.log(x) if x > 0.0 else 0.0
