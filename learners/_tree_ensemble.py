"""State of the compiled tree learners: arrays that grow with classes, categories and columns, and the block call.

A block is cut where a class or a category has no place yet, so that growth happens at the same row however the stream
was cut into blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners._adaptive_kernels import adaptive_block, start_adaptive
from learners._forest_kernels import MEMBER_N, bag_block, forest_block
from learners._spread import NEWEST_N, RecentSpread
from learners._tree_adwin import ADWIN_N, clear_window
from learners._tree_draws import poisson_places, stream_of
from learners._tree_kernels import Rule, start_tree
from learners._tree_layout import NODES_USED, ROOT, Layout, Pool, Shape, allocate, regrown, shape_of, used_bytes
from learners._tree_plan import PER_TREE, Plan

__all__ = ["Ensemble"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
_LARGEST = 1e100  # squares and their sums stay finite
# A tree that sees two of three columns lacks what it needs too often (SEA: 82 % against 88 %).
_LEAST_COLUMNS = 3


class Ensemble:
    """The trees of one learner."""

    def __init__(self, plan: Plan, columns: int, nominal: tuple[int, ...] = ()) -> None:
        self.plan = plan
        self.classes = 0
        self.spread = RecentSpread("classification")
        self.shape: Shape
        self.layout: Layout
        self.pool: Pool
        self.by_node = plan.kind == "adaptive"
        self._node_bytes = 4 * ADWIN_N if self.by_node else 0
        self._regions = plan.trees * (2 if plan.kind == "forest" else 1)
        self._poisson = poisson_places(plan.mean_weight)
        self.windows = np.zeros((self._regions, ADWIN_N), dtype=np.int32)
        self.members: Codes = np.full((plan.trees, MEMBER_N), -1, dtype=np.int64)
        self.members[:, 2:] = 0
        self.streams = np.array([stream_of(plan.seed, t) for t in range(plan.trees)], dtype=np.uint64)
        self.reshape(2, tuple(2 if column in nominal else 0 for column in range(columns)))
        for a in range(0 if self.by_node else len(self.windows)):
            clear_window(self.windows, a)
        for t in range(plan.trees):
            self.members[t, 0] = t * (self._regions // plan.trees)
            self.start(self.members[t, 0], t)

    @property
    def columns(self) -> int:
        """How many columns a row has."""
        return len(self.shape.categories)

    @property
    def used_bytes(self) -> int:
        """Bytes of the nodes and leaves in use, and of all that has a fixed size."""
        return self._fixed_bytes + used_bytes(self.pool, self._node_bytes)

    @property
    def _fixed_bytes(self) -> int:
        return self.members.nbytes + self.streams.nbytes + (0 if self.by_node else self.windows.nbytes)

    def run(self, rows: Floats, labels: Codes) -> Floats:
        """Probabilities [n, classes] of `rows`, each answered before it is learned; label -1: only answered.

        A row of zeros means that nothing was known yet.
        """
        rows = self._tidied(rows)
        learned = labels >= 0
        classes = max(self.classes, int(labels.max(initial=-1)) + 1)
        if classes > self.plan.classes_cap:
            raise ValueError(f"label {classes - 1} is beyond classes_cap = {self.plan.classes_cap}")
        out = np.zeros((len(rows), max(classes, 1)))
        tally = np.zeros(out.shape, dtype=np.int16)
        start = 0
        while start < len(rows):
            self._grow_for(rows[start], int(labels[start]))
            end = start + self._fits(rows[start:], labels[start:], learned[start:])
            self._block(rows[start:end], labels[start:end], out[start:end], tally[start:end])
            start = end
        if self.plan.trees > 1:
            self._note_spread(out, tally, np.flatnonzero(learned)[-NEWEST_N:])
        total = out.sum(axis=1, keepdims=True)
        shares: Floats = np.divide(out, total, out=out, where=total > 0.0)
        return shares

    def _note_spread(self, out: Floats, tally: NDArray[np.int16], learned: NDArray[np.intp]) -> None:
        """Take note of which share of the trees named another class than all together did."""
        named = tally[learned]
        known = named.sum(axis=1)
        agreed = named[np.arange(len(learned)), out[learned].argmax(axis=1)]
        shares = np.where(known > 0, 1.0 - agreed / np.maximum(known, 1), 0.0)
        self.spread.add(shares[:, None].tolist())

    def _tidied(self, rows: Floats) -> Floats:
        if rows.ndim != 2 or rows.shape[1] != self.columns:
            raise ValueError(f"rows of shape {rows.shape}: must be [n, {self.columns}]")
        rows = np.clip(rows, -_LARGEST, _LARGEST)
        nominal = [c for c, n in enumerate(self.shape.categories) if n]
        if nominal:
            codes = np.trunc(rows[:, nominal])
            rows[:, nominal] = np.where((codes < 0) | (codes >= self.plan.categories_cap), -1.0, codes)
        return rows

    def _fits(self, rows: Floats, labels: Codes, learned: NDArray[np.bool_]) -> int:
        """How many rows, the first included, need no growth."""
        stops = labels >= self.classes
        for column, known in enumerate(self.shape.categories):
            if known:
                stops |= learned & (rows[:, column] >= known)
        stops[0] = False
        return int(np.argmax(stops)) if stops.any() else len(rows)

    def _grow_for(self, row: Floats, label: int) -> None:
        if label < 0 or (label < self.classes and not any(self.shape.categories)):
            return
        known = self.shape.categories
        self.grow(
            tuple(max(n, int(x) + 1) if n else 0 for n, x in zip(known, np.nan_to_num(row), strict=True)), label + 1
        )
        self.classes = max(self.classes, label + 1)

    def grow(self, categories: tuple[int, ...], class_places: int = 0) -> None:
        """Make places for more columns (appended), categories and classes; nothing happens where there are enough.

        Raises
        ------
        ValueError
            the byte budget does not hold a leaf a tree of that size; nothing has changed then.
        """
        places = max(_power_of_two(class_places), self.shape.class_places)
        known = (*self.shape.categories, *(0 for _ in categories[self.columns :]))
        wanted = tuple(max(n, _power_of_two(m)) if m else 0 for n, m in zip(known, categories, strict=True))
        if (wanted, places) == (self.shape.categories, self.shape.class_places):
            return
        shape = self._shape_for(places, wanted)
        layout = self._layout_for(shape)
        per_tree = self.plan.subspace == PER_TREE
        self.pool = regrown(self.pool, (self.layout, self.shape), (layout, shape), per_tree=per_tree)
        if self.by_node:
            before = self.windows
            self.windows = np.zeros((layout.regions * layout.nodes, ADWIN_N), dtype=np.int32)
            nodes = int(self.pool.region[0, NODES_USED])
            self.windows[:nodes] = before[:nodes]
        self.layout, self.shape = layout, shape
        self._scratch = np.zeros((4, places))
        for t in range(self.plan.trees):
            for region in self.members[t, :2]:
                if region >= 0 and self.pool.region[region, ROOT] < 0:
                    self.start(region, t)

    def start(self, region: int, t: int) -> None:
        """Make a region an empty tree of member `t`."""
        if self.by_node:
            start_adaptive(self.pool, self._rule(), self.windows, self.streams)
        else:
            start_tree(region, self.pool, self._rule(), self.streams, t)

    def reshape(self, class_places: int, categories: tuple[int, ...]) -> None:
        """Forget all trees and make room for others of that shape."""
        self.shape = self._shape_for(class_places, categories)
        self.layout = self._layout_for(self.shape)
        self.pool = allocate(self.layout, self.shape)
        self._scratch = np.zeros((4, class_places))
        if self.by_node:
            self.windows = np.zeros((self.layout.regions * self.layout.nodes, ADWIN_N), dtype=np.int32)

    def _shape_for(self, class_places: int, categories: tuple[int, ...]) -> Shape:
        observed_n = max(round(self.plan.columns_share * len(categories)), _LEAST_COLUMNS)
        return Shape(class_places, min(observed_n, len(categories)), categories)

    def _layout_for(self, shape: Shape) -> Layout:
        return shape_of(shape, self._regions, self.plan.budget_bytes, self._fixed_bytes, self._node_bytes)

    def _rule(self) -> Rule:
        plan = self.plan
        return Rule(
            classes=self.classes, grace=plan.grace_n, delta=plan.delta, tau=plan.tau, patience=plan.patience,
            leaf_mode=plan.leaf,
            subspace=plan.subspace, nodes=self.layout.nodes, blocks=self.layout.blocks,
            warning_delta=plan.warning_delta, drift_delta=plan.drift_delta,
        )  # fmt: skip

    def _block(self, rows: Floats, labels: Codes, out: Floats, tally: NDArray[np.int16]) -> None:
        block: Any = {"adaptive": adaptive_block, "bag": bag_block, "forest": forest_block}[self.plan.kind]
        block(
            rows, labels, out, tally, self.pool, self._rule(), self.members, self.windows, self.streams, self._poisson,
            self._scratch,
        )  # fmt: skip


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()
