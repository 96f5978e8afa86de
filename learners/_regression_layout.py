"""Where a regression tree's numbers lie: nodes and leaf statistics of all trees as flat arrays of a fixed capacity.

A tree is a region of nodes and of blocks; a leaf holds one block. Node and block numbers are absolute, the root is the
first node of its region.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BIAS",
    "BLOCKS_USED",
    "BORN_WITH",
    "ERROR_LINEAR",
    "ERROR_MEAN",
    "FEATURE",
    "FLAGS",
    "LEFT",
    "MISSING_LEFT",
    "NODES_USED",
    "NOMINAL",
    "REFERENCE",
    "RIGHT",
    "SLOTS",
    "SLOT_WIDTH",
    "SUM",
    "TOTAL",
    "TRIED_AT",
    "WEIGHTS",
    "Layout",
    "Pool",
    "allocate",
    "bytes_per_block",
    "layout_of",
    "regrown",
    "used_bytes",
]

# Columns of `link`. FEATURE is -1 in a leaf, whose block then stands under LEFT.
FEATURE, LEFT, RIGHT, FLAGS = range(4)
_LINKS = 4
# Bits of FLAGS: a split by a set of codes, and where a missing value goes (to the side with more weight).
NOMINAL, MISSING_LEFT = 1, 2
# Head of a block: weight at the last attempt to split, at birth, and now; sum of the targets' weighted distances from
# the reference, which keeps small differences between large targets; the reference; faded squared errors of the mean
# and of the linear model; the linear model's constant. Then its weight per column, then the observed columns.
TRIED_AT, BORN_WITH, TOTAL, SUM, REFERENCE, ERROR_MEAN, ERROR_LINEAR, BIAS, WEIGHTS = range(9)
# An observed column: how many slots are in use, then edges, weights and sums of `SLOTS` each (`_regression_observer`).
# Half as many lose accuracy, twice as many gain next to nothing (bike sharing, Friedman).
SLOTS = 32
SLOT_WIDTH = 1 + 3 * SLOTS
# Per region: nodes and blocks in use.
NODES_USED, BLOCKS_USED = range(2)
_REGION = 2
_BYTES_PER_NODE = 4 * _LINKS + 8 + 8


class Layout(NamedTuple):
    """Columns, how many of them a leaf observes, and the capacity of a region."""

    columns: int
    observed_n: int
    regions: int
    nodes: int
    blocks: int


class Pool(NamedTuple):
    """The arrays of all trees."""

    link: NDArray[np.int32]  # [regions × nodes, 4]
    cut: NDArray[np.float64]  # [regions × nodes]: largest number of the left side
    codes: NDArray[np.uint64]  # [regions × nodes]: bit set of the codes of the left side
    stats: NDArray[np.float64]  # [regions × blocks, width]
    subset: NDArray[np.int16]  # [regions × blocks, observed]: columns that the leaf observes, -1 none
    nominal: NDArray[np.int64]  # [columns]: 1 for codes, 0 for numbers
    region: NDArray[np.int64]  # [regions, 2]


def _width(columns: int, observed_n: int) -> int:
    return WEIGHTS + columns + observed_n * SLOT_WIDTH


def bytes_per_block(columns: int, observed_n: int) -> int:
    """What one leaf costs: its block, its columns' names, and two nodes."""
    return 8 * _width(columns, observed_n) + 2 * observed_n + 2 * _BYTES_PER_NODE


def layout_of(columns: int, observed_n: int, regions: int, budget_bytes: int, fixed_bytes: int = 0) -> Layout:
    """As many leaves per region as the budget holds beside `fixed_bytes`.

    Raises
    ------
    ValueError
        the budget does not hold one leaf per region.
    """
    each = bytes_per_block(columns, observed_n)
    blocks = (budget_bytes - fixed_bytes) // (regions * each)
    if blocks < 1:
        least = fixed_bytes + regions * each
        raise ValueError(f"budget_bytes = {budget_bytes}: {least} or more are needed for one leaf a tree")
    return Layout(columns, observed_n, regions, 2 * blocks, blocks)


def allocate(layout: Layout, nominal: tuple[bool, ...]) -> Pool:
    """Empty trees; the system gives the memory when it is first written."""
    nodes, blocks = layout.regions * layout.nodes, layout.regions * layout.blocks
    return Pool(
        link=np.zeros((nodes, _LINKS), dtype=np.int32),
        cut=np.zeros(nodes),
        codes=np.zeros(nodes, dtype=np.uint64),
        stats=np.zeros((blocks, _width(layout.columns, layout.observed_n))),
        subset=np.zeros((blocks, layout.observed_n), dtype=np.int16),
        nominal=np.array(nominal, dtype=np.int64),
        region=np.zeros((layout.regions, _REGION), dtype=np.int64),
    )


def regrown(pool: Pool, before: Layout, after: Layout, nominal: tuple[bool, ...]) -> Pool:
    """The same trees with places for more columns.

    A tree that no longer fits comes back without a node, and so does one that has learned nothing.
    """
    grown = allocate(after, nominal)
    for i in range(before.regions):
        nodes_n, blocks_n = (int(n) for n in pool.region[i])
        learned = pool.stats[i * before.blocks : i * before.blocks + blocks_n, TOTAL].any()
        if nodes_n > after.nodes or blocks_n > after.blocks or not learned:
            continue
        old, new = i * before.nodes, i * after.nodes
        for name in ("cut", "codes"):
            getattr(grown, name)[new : new + nodes_n] = getattr(pool, name)[old : old + nodes_n]
        link = pool.link[old : old + nodes_n].copy()
        inner = link[:, FEATURE] >= 0
        link[inner, LEFT] += new - old
        link[inner, RIGHT] += new - old
        link[~inner, LEFT] += i * (after.blocks - before.blocks)
        grown.link[new : new + nodes_n] = link
        _copy_blocks(pool, grown, (i, blocks_n), before, after)
        grown.region[i] = pool.region[i]
    return grown


def _copy_blocks(pool: Pool, grown: Pool, part: tuple[int, int], before: Layout, after: Layout) -> None:
    i, n = part
    old = slice(i * before.blocks, i * before.blocks + n)
    new = slice(i * after.blocks, i * after.blocks + n)
    at, to = WEIGHTS + before.columns, WEIGHTS + after.columns
    grown.stats[new, :at] = pool.stats[old, :at]
    grown.stats[new, to : to + before.observed_n * SLOT_WIDTH] = pool.stats[old, at:]
    grown.subset[new, : before.observed_n] = pool.subset[old]
    # New places go to new columns, of which each leaf gets others.
    added = after.columns - before.columns
    for k in range(before.observed_n, after.observed_n):
        grown.subset[new, k] = before.columns + (np.arange(n) + i + k - before.observed_n) % added


def used_bytes(pool: Pool) -> int:
    """Bytes of the nodes and blocks in use."""
    per_block = 8 * pool.stats.shape[1] + 2 * pool.subset.shape[1]
    return int((pool.region[:, NODES_USED] * _BYTES_PER_NODE + pool.region[:, BLOCKS_USED] * per_block).sum())
