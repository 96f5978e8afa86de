"""Small boosted trees that tell two samples apart, and the ranks that judge them.

Values become bins first, so that only their order counts; squared loss needs no exponential, and all sums keep one
order, so that the same rows give the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from detectors.base import Floats, Ints

__all__ = ["BINS", "Trees", "auc", "binned", "empty_trees", "grow", "score"]

BINS = 32
# Splits on the way to a leaf: enough to mark off a region of two columns, which dependence between them fills.
_DEPTH = 4
_LEAVES = 1 << _DEPTH
_RATE = 0.1
# Pseudo-rows at 0 in a leaf, and rows that a leaf needs: a leaf of a few rows says little.
_RIDGE, _LEAST = 5.0, 5


class Trees(NamedTuple):
    """Complete trees; a row goes right where its bin in `column` is above `cut`."""

    column: Ints  # [rounds, 2^depth - 1], by level
    cut: Ints
    value: Floats  # [rounds, 2^depth]


def empty_trees(rounds: int) -> Trees:
    """Room for `rounds` trees."""
    return Trees(
        np.zeros((rounds, _LEAVES - 1), dtype=np.int64),
        np.zeros((rounds, _LEAVES - 1), dtype=np.int64),
        np.zeros((rounds, _LEAVES)),
    )


@njit(cache=True, nogil=True)
def _edges(ascending, edges):  # type: ignore[no-untyped-def]
    """Cut sorted values into at most 32 bins of near equal weight, equal values in one; returns the number of edges.

    Where there are few enough values each gets its own bin, so that a rare category is not lumped with its neighbour.
    """
    n, distinct = len(ascending), 1
    for i in range(1, n):
        distinct += ascending[i] > ascending[i - 1]
    found, end = 0, 0
    while found < BINS - 1:
        end += 1 if distinct <= BINS else max((n - end) // (BINS - found), 1)
        while end < n and ascending[end] == ascending[end - 1]:
            end += 1
        if end >= n:
            break
        edges[found] = ascending[end]
        found += 1
    return found


@njit(cache=True, nogil=True)
def binned(rows, codes):  # type: ignore[no-untyped-def]
    """Write the bins [n, d] of rows; edges are the pooled sample's, which know nothing of who is who."""
    edges = np.empty(BINS)
    for column in range(rows.shape[1]):
        found = _edges(np.sort(rows[:, column]), edges)
        for i in range(len(rows)):
            codes[i, column] = _bin_of(rows[i, column], edges, found)


@njit(cache=True, nogil=True)
def _bin_of(x, edges, found):  # type: ignore[no-untyped-def]
    """How many of the first `found` edges are at or below x."""
    low, high = 0, found
    while low < high:
        middle = (low + high) >> 1
        if edges[middle] <= x:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _mixed(x):  # type: ignore[no-untyped-def]
    """A well-mixed 64-bit number of a counter (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195)."""
    x = np.uint64(x) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True)
def grow(codes, target, members, trees, seed):  # type: ignore[no-untyped-def]
    """Fit trees to `target` [n] on the rows `members`, round by round on what is left.

    Each node may split on a random half of the columns: where only two columns together tell the samples apart, one of
    them has to be tried although it promises nothing.
    """
    n = len(members)
    left, node = np.empty(n), np.zeros(n, dtype=np.int64)
    sums = np.empty((_LEAVES, codes.shape[1], BINS))
    counts = np.empty((_LEAVES, codes.shape[1], BINS), dtype=np.int64)
    total = 0.0
    for i in range(n):
        total += target[members[i]]
    for i in range(n):
        left[i] = target[members[i]] - total / n
    for tree in range(len(trees.value)):
        node[:] = 0
        for level in range(_DEPTH):
            width = 1 << level
            _count(codes, members, left, node, width, sums, counts)
            for place in range(width):
                at = width - 1 + place
                number = _mixed(seed) + np.uint64(tree * _LEAVES + at)
                _split(sums[place], counts[place], number, trees.column[tree], trees.cut[tree], at)
            for i in range(n):
                at = width - 1 + node[i]
                right = codes[members[i], trees.column[tree, at]] > trees.cut[tree, at]
                node[i] = 2 * node[i] + right
        _settle(left, node, trees.value[tree])


@njit(cache=True, nogil=True)
def _count(codes, members, left, node, width, sums, counts):  # type: ignore[no-untyped-def]
    """Sum what is left, and count rows, by node, column and bin."""
    sums[:width], counts[:width] = 0.0, 0
    for i in range(len(members)):
        here, number, row = sums[node[i]], counts[node[i]], codes[members[i]]
        for column in range(len(row)):
            here[column, row[column]] += left[i]
            number[column, row[column]] += 1


@njit(cache=True, nogil=True)
def _split(sums, counts, number, columns, cuts, at):  # type: ignore[no-untyped-def]
    """Find the split of a node that takes away most of the squares; without one all its rows go left."""
    columns[at], cuts[at] = 0, BINS
    total, n, best = 0.0, 0, 0.0
    for k in range(BINS):
        total += sums[0, k]
        n += counts[0, k]
    least = total * total / (n + _RIDGE)
    d = len(sums)
    sure = np.int64(_mixed(number) % np.uint64(d))
    for column in range(d):
        if column != sure and _mixed(number * np.uint64(d) + np.uint64(column)) & np.uint64(1):
            continue
        low, rows = 0.0, 0
        for k in range(BINS - 1):
            low += sums[column, k]
            rows += counts[column, k]
            if rows < _LEAST or not counts[column, k]:
                continue
            if n - rows < _LEAST:
                break
            high = total - low
            gain = low * low / (rows + _RIDGE) + high * high / (n - rows + _RIDGE) - least
            if gain > best:
                best, columns[at], cuts[at] = gain, column, k


@njit(cache=True, nogil=True)
def _settle(left, node, value):  # type: ignore[no-untyped-def]
    """Give leaves their values and take these from what is left."""
    rows = np.zeros(_LEAVES)
    value[:] = 0.0
    for i in range(len(left)):
        value[node[i]] += left[i]
        rows[node[i]] += 1.0
    for leaf in range(_LEAVES):
        value[leaf] *= _RATE / (rows[leaf] + _RIDGE)
    for i in range(len(left)):
        left[i] -= value[node[i]]


@njit(cache=True, nogil=True)
def score(codes, trees, out):  # type: ignore[no-untyped-def]
    """Sum the trees' values for each row."""
    inner = _LEAVES - 1
    out[:] = 0.0
    for tree in range(len(trees.value)):
        column, cut, value = trees.column[tree], trees.cut[tree], trees.value[tree]
        for i in range(len(codes)):
            at = 0
            for _ in range(_DEPTH):
                at = 2 * at + 1 + (codes[i, column[at]] > cut[at])
            out[i] += value[at - inner]


@njit(cache=True, nogil=True)
def auc(scores, positive):  # type: ignore[no-untyped-def]
    """Chance that a positive row's score is above another's, a tie for half; 0.5 where either is missing.

    Mann and Whitney's count is a whole number of halves, whatever order equal scores come in.
    """
    order = np.argsort(scores)
    n, twice, below, start = len(scores), 0, 0, 0
    while start < n:
        end, ups = start, 0
        while end < n and scores[order[end]] == scores[order[start]]:
            ups += positive[order[end]]
            end += 1
        downs = end - start - ups
        twice += ups * (2 * below + downs)
        below += downs
        start = end
    pairs = below * (n - below)
    return twice / (2.0 * pairs) if pairs else 0.5
