"""Where a tree's numbers lie: nodes and leaf statistics of all trees as flat arrays of a fixed capacity.

A tree is a region of nodes and of blocks; a leaf holds one block. Node and block numbers are absolute, the root is the
first node of its region (a Hoeffding adaptive tree keeps the root's number, because a root can be replaced).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ALTERNATE",
    "BAYES_HITS",
    "BLOCKS_FREE",
    "BLOCKS_USED",
    "COUNTS",
    "FEATURE",
    "FLAGS",
    "GAUSSIAN_N",
    "LEFT",
    "MAJORITY_HITS",
    "MISSING_LEFT",
    "MULTIWAY",
    "NEXT",
    "NODES_FREE",
    "NODES_USED",
    "NOMINAL",
    "RIGHT",
    "ROOT",
    "TOTAL",
    "TRIED_AT",
    "Layout",
    "Pool",
    "Shape",
    "allocate",
    "bytes_per_block",
    "regrown",
    "shape_of",
    "used_bytes",
]

# Columns of `link`. FEATURE is -1 in a leaf, whose block then stands under LEFT, and -2 in a free node.
# A split in many ways has its first branch under LEFT, the others along NEXT, and under RIGHT the branch with the most
# weight when it was made, where missing and unseen values go.
FEATURE, LEFT, RIGHT, FLAGS, ALTERNATE, NEXT = range(6)
_LINKS, _FREE = 6, -2
# Bits of FLAGS: what kind of split, and for one in two ways where a missing value goes (to the side with more weight).
NOMINAL, MISSING_LEFT, MULTIWAY = 1, 2, 4
# Head of a block: weight at the last attempt to split, weight that majority and naive Bayes got right, total weight;
# then the weight of each class, then the statistics of the observed columns.
TRIED_AT, MAJORITY_HITS, BAYES_HITS, TOTAL, COUNTS = range(5)
# A numeric column per class: weight, mean, sum of squared deviations, least, largest, and 1 / variance (0: none yet, or
# no variance), which answers need more often than it changes.
GAUSSIAN_N = 6
# Per region: nodes and blocks ever used, the first of those set free (counted from the region's start; -1: none; the
# next one stands under LEFT, or at the head of the block), and the root (-1: no tree yet).
NODES_USED, BLOCKS_USED, NODES_FREE, BLOCKS_FREE, ROOT = range(5)
_REGION = 5


class Shape(NamedTuple):
    """What decides the size of a block: class places, observed columns, known categories per column (0: numeric)."""

    class_places: int
    observed_n: int
    categories: tuple[int, ...]


class Layout(NamedTuple):
    """Capacity of a region, and where in a block each observed column lies: `slots` [observed, 2] place and width."""

    regions: int
    nodes: int
    blocks: int
    width: int
    slots: NDArray[np.int64]


class Pool(NamedTuple):
    """The arrays of all trees."""

    link: NDArray[np.int32]  # [regions × nodes, 6]
    cut: NDArray[np.float64]  # [regions × nodes]
    stats: NDArray[np.float64]  # [regions × blocks, width]
    subset: NDArray[np.int16]  # [regions × blocks, observed]: columns that the leaf observes, -1 none
    slots: NDArray[np.int64]  # [observed, 2]
    columns: NDArray[np.int64]  # [columns]: known categories, 0 for numbers
    region: NDArray[np.int64]  # [regions, 5]


def bytes_per_block(shape: Shape, node_bytes: int = 0) -> int:
    """What one leaf costs: its block, its columns' names, and two nodes with `node_bytes` more each."""
    width, _ = _slots(shape)
    return 8 * width + 2 * shape.observed_n + 2 * (4 * _LINKS + 8 + node_bytes)


def shape_of(shape: Shape, regions: int, budget_bytes: int, fixed_bytes: int = 0, node_bytes: int = 0) -> Layout:
    """As many leaves per region as the budget holds beside `fixed_bytes`.

    Raises
    ------
    ValueError
        the budget does not hold one leaf per region.
    """
    width, slots = _slots(shape)
    blocks = (budget_bytes - fixed_bytes) // (regions * bytes_per_block(shape, node_bytes))
    if blocks < 1:
        least = fixed_bytes + regions * bytes_per_block(shape, node_bytes)
        raise ValueError(f"budget_bytes = {budget_bytes}: {least} or more are needed for one leaf a tree")
    return Layout(regions, 2 * blocks, blocks, width, slots)


def _slots(shape: Shape) -> tuple[int, NDArray[np.int64]]:
    widths = [1 + n if n else GAUSSIAN_N for n in shape.categories]
    if shape.observed_n < len(widths):
        # Any column may stand in any place.
        widths = [max(widths)] * shape.observed_n
    ends = COUNTS + shape.class_places + np.cumsum([0, *(shape.class_places * w for w in widths)])
    slots = np.array([(at, width) for at, width in zip(ends, widths, strict=False)], dtype=np.int64)
    return int(ends[-1]), slots.reshape(shape.observed_n, 2)


def allocate(layout: Layout, shape: Shape) -> Pool:
    """Empty trees; the system gives the memory when it is first written."""
    nodes, blocks = layout.regions * layout.nodes, layout.regions * layout.blocks
    region = np.zeros((layout.regions, _REGION), dtype=np.int64)
    region[:, NODES_FREE] = region[:, BLOCKS_FREE] = region[:, ROOT] = -1
    return Pool(
        link=np.zeros((nodes, _LINKS), dtype=np.int32),
        cut=np.zeros(nodes),
        stats=np.zeros((blocks, layout.width)),
        subset=np.zeros((blocks, shape.observed_n), dtype=np.int16),
        slots=layout.slots,
        columns=np.array(shape.categories, dtype=np.int64),
        region=region,
    )


def regrown(pool: Pool, before: tuple[Layout, Shape], after: tuple[Layout, Shape], *, per_tree: bool) -> Pool:
    """The same trees with places for more classes, categories or columns.

    A tree that is too large comes back empty, and one that has learned nothing too.
    """
    (old, old_shape), (new, new_shape) = before, after
    grown = allocate(new, new_shape)
    for i in range(old.regions):
        nodes_n, blocks_n = int(pool.region[i, NODES_USED]), int(pool.region[i, BLOCKS_USED])
        if nodes_n > new.nodes or blocks_n > new.blocks or not _has_learned(pool, old, i):
            continue
        nodes, blocks = slice(i * old.nodes, i * old.nodes + nodes_n), slice(i * old.blocks, i * old.blocks + blocks_n)
        to_nodes = slice(i * new.nodes, i * new.nodes + nodes_n)
        to_blocks = slice(i * new.blocks, i * new.blocks + blocks_n)
        grown.cut[to_nodes] = pool.cut[nodes]
        by_node, by_block = i * (new.nodes - old.nodes), i * (new.blocks - old.blocks)
        grown.link[to_nodes] = _moved(pool.link[nodes], by_node, by_block)
        keys = np.full(blocks_n, i) if per_tree else np.arange(blocks_n)
        _copy_blocks(pool, grown, (blocks, to_blocks), (old_shape, new_shape), keys)
        grown.region[i] = pool.region[i]
        grown.region[i, ROOT] += by_node if pool.region[i, ROOT] >= 0 else 0
    return grown


def _has_learned(pool: Pool, layout: Layout, i: int) -> bool:
    blocks = slice(i * layout.blocks, i * layout.blocks + int(pool.region[i, BLOCKS_USED]))
    return bool(pool.stats[blocks, TOTAL].any())


def _moved(link: NDArray[np.int32], by_node: int, by_block: int) -> NDArray[np.int32]:
    moved = link.copy()
    inner = link[:, FEATURE] >= 0
    moved[inner, LEFT] += by_node
    moved[inner, RIGHT] += by_node
    moved[link[:, FEATURE] == -1, LEFT] += by_block
    for field in (ALTERNATE, NEXT):
        moved[(link[:, FEATURE] != _FREE) & (link[:, field] >= 0), field] += by_node
    return moved


def _copy_blocks(pool: Pool, grown: Pool, rows: tuple[slice, slice], shapes: tuple[Shape, Shape], keys: Any) -> None:
    (old, new), (before, after) = rows, shapes
    n = old.stop - old.start
    head = COUNTS + before.class_places
    grown.stats[new, :head] = pool.stats[old, :head]
    for i in range(before.observed_n):
        (at, width), (to, to_width) = pool.slots[i], grown.slots[i]
        part = pool.stats[old, at : at + before.class_places * width].reshape(n, before.class_places, width)
        space = np.zeros((n, after.class_places, to_width))
        space[:, : before.class_places, :width] = part
        grown.stats[new, to : to + after.class_places * to_width] = space.reshape(n, after.class_places * to_width)
    grown.subset[new] = -1
    grown.subset[new, : before.observed_n] = pool.subset[old]
    # New places go to new columns, of which each leaf (or each tree, `keys` being the same) gets others.
    known, free = len(before.categories), range(before.observed_n, after.observed_n)
    for i in free:
        grown.subset[new, i] = known + (keys + i - free.start) % (len(after.categories) - known)


def used_bytes(pool: Pool, node_bytes: int = 0) -> int:
    """Bytes of the nodes and blocks in use."""
    per_node = 4 * _LINKS + 8 + node_bytes
    per_block = 8 * pool.stats.shape[1] + 2 * pool.subset.shape[1]
    nodes, blocks = pool.region[:, NODES_USED], pool.region[:, BLOCKS_USED]
    return int((nodes * per_node + blocks * per_block).sum())
