"""Arrays of the rank tests: the tree over a reference and the ring of a window, for F signals.

The kernels in `_rank_tree` take one signal's part of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detectors.base import Floats, Ints

__all__ = ["FOUR", "Ring", "Rule", "Tree", "empty_ring", "empty_tree"]

# Children of a node, and leaves of a run: fewer levels, each as fast as one of two children.
FOUR = 4


class Tree(NamedTuple):
    """The reference of F signals and where the window's values lie in it."""

    unique: Floats  # [F, U] ascending
    cells: Ints  # [F, cells + 1]: unique values below each of the cells that cut the range evenly
    grid: Floats  # [F, 2]: where the first cell begins, cells per unit
    leaves: Ints  # [F, runs * 4, 4]: window values between, equal; reference values equal, below
    nodes: Ints  # [F, nodes, 6]: the root first, a node's four children from 4 node + 1, the runs last
    size: Ints  # [F, 3]: unique values, n, sum(g^3 - g)


class Ring(NamedTuple):
    """The newest `window_n` values of F signals."""

    values: Floats  # [F, m]
    positions: Ints  # [F, m]: `index` of each
    places: Ints  # [F, m]: twice the leaf, plus 1 where equal to its value
    flags: Ints  # [F, 3]: values seen, KS open, CvM open
    sums: Ints  # [F, 3]: of squared doubled mid-ranks among the reference; of t^3 - t over equal values; see `_shares`
    newest: Floats  # [F, 3]: KS, CvM and the part of CvM that ties alone make, of the newest test


class Rule(NamedTuple):
    """When to test and what is an alarm."""

    test_every: int
    min_effect: float
    clear_ratio: float
    ks: int
    cvm: int


def empty_tree(n_signals: int, reference_n: int) -> Tree:
    """Room for references of up to `reference_n` values."""
    runs, nodes = 1, 1
    while runs * FOUR < reference_n + 1:
        runs *= FOUR
        nodes += runs
    return Tree(
        unique=np.zeros((n_signals, max(1, reference_n))),
        cells=np.zeros((n_signals, runs * FOUR + 1), dtype=np.int64),
        grid=np.zeros((n_signals, 2)),
        leaves=np.zeros((n_signals, runs * FOUR, 4), dtype=np.int64),
        nodes=np.zeros((n_signals, nodes, 6), dtype=np.int64),
        size=np.zeros((n_signals, 3), dtype=np.int64),
    )


def empty_ring(n_signals: int, window_n: int) -> Ring:
    """An empty window."""
    shape = (n_signals, window_n)
    return Ring(
        values=np.zeros(shape), positions=np.zeros(shape, dtype=np.int64), places=np.zeros(shape, dtype=np.int64),
        flags=np.zeros((n_signals, 3), dtype=np.int64), sums=np.zeros((n_signals, 3), dtype=np.int64),
        newest=np.full((n_signals, 3), np.nan),
    )  # fmt: skip
