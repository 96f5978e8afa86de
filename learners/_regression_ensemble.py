"""State of the compiled regression learners: arrays that grow with the columns, and the block call."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learners._checks import in_range
from learners._regression_adwin import WINDOW_N, clear_values
from learners._regression_forest import (
    ACTIVE,
    BACKGROUND,
    DRIFTS,
    DUE,
    FADED,
    MEMBER_N,
    RECORD_N,
    SCORED,
    aggregate,
    block_of,
)
from learners._regression_kernels import Rule, start_tree
from learners._regression_layout import (
    BLOCKS_USED,
    BORN_WITH,
    NODES_USED,
    SLOT_WIDTH,
    SLOTS,
    SUM,
    TOTAL,
    TRIED_AT,
    WEIGHTS,
    Layout,
    Pool,
    allocate,
    layout_of,
    regrown,
    used_bytes,
)
from learners._regression_plan import LEAVES, VOTES, RegressionPlan
from learners._regression_scale import CLIP_N, SCALE_N, standardize, tidy_targets
from learners._spread import NEWEST_N, RecentSpread, deviation
from learners._tree_draws import poisson_places, stream_of

__all__ = ["RegressionEnsemble"]

Floats = NDArray[np.float64]
_LARGEST = 1e100  # squares and their sums stay finite
_LEAST_WEIGHT = 1e-9
# A tree that sees two of three columns lacks what it needs too often.
_LEAST_COLUMNS = 3
# Rows at once: what lies between the trees' passes stays small.
_ROWS = 2_048


class RegressionEnsemble:
    """The trees of one learner."""

    def __init__(self, plan: RegressionPlan, columns: int, nominal: tuple[int, ...] = ()) -> None:
        self.plan = plan
        self.spread = RecentSpread("regression")
        self._regions = plan.trees * (2 if plan.is_forest else 1)
        self._poisson = poisson_places(plan.mean_weight)
        self.nominal: tuple[bool, ...] = ()
        self.layout: Layout
        self.pool: Pool
        self.members = np.zeros((plan.trees, MEMBER_N), dtype=np.int64)
        self.members[:, ACTIVE] = np.arange(plan.trees) * (self._regions // plan.trees)
        self.members[:, BACKGROUND] = -1
        self.record = np.zeros((self._regions, RECORD_N))
        self.windows = np.zeros((self._regions if plan.is_forest else 0, WINDOW_N))
        self.streams = np.array([stream_of(plan.seed, t) for t in range(plan.trees)], dtype=np.uint64)
        self.clip = np.zeros(CLIP_N)
        self.scale = np.zeros((columns, SCALE_N))
        self.reshape(tuple(column in nominal for column in range(columns)))
        self.start_anew()

    @property
    def used_bytes(self) -> int:
        """Bytes of the nodes and leaves in use, and of all that has a fixed size."""
        return self._fixed_bytes(len(self.scale)) + used_bytes(self.pool)

    def _fixed_bytes(self, columns: int) -> int:
        parts = (self.members, self.record, self.windows, self.streams, self.clip)
        return sum(part.nbytes for part in parts) + columns * SCALE_N * self.scale.itemsize

    @property
    def replaced_n(self) -> int:
        """How many trees have been replaced because of a drift."""
        return int(self.members[:, DRIFTS].sum())

    def start_anew(self) -> None:
        """Let every tree forget all; numbers go on from where the generators stand."""
        for a in range(len(self.windows)):
            clear_values(self.windows, a)
        self.record[:] = 0.0
        self.members[:, BACKGROUND], self.members[:, DUE] = -1, 0
        for t in range(self.plan.trees):
            start_tree(self.members[t, ACTIVE], self.pool, self._rule(), self.streams, t)

    def repair(self) -> int:
        """Put the tree that grows in the background, or else an empty one, in the place of the tree with the largest
        faded squared error; how many were: 0 where there is one tree, or none was scored."""
        active = self.members[:, ACTIVE]
        worst = int(np.argmax(self.record[active, FADED]))
        region, spare = active[worst], self.members[worst, BACKGROUND]
        if len(active) < 2 or self.record[region, SCORED] == 0.0:
            return 0
        if spare >= 0:
            self.members[worst, ACTIVE] = spare
        else:
            start_tree(region, self.pool, self._rule(), self.streams, worst)
            self.record[region] = 0.0
        self.members[worst, BACKGROUND], self.members[worst, DUE] = -1, 0
        self.members[worst, DRIFTS] += 1
        for a in range(2 * worst, 2 * worst + 2) if self.plan.is_forest else ():
            clear_values(self.windows, a)
        return 1

    def fade(self, keep: float) -> None:
        """Multiply the weights in all leaves by `keep`, in (0, 1]; means, splits and linear models stay."""
        in_range("keep", keep, "in (0, 1]", holds=0.0 < keep <= 1.0)
        weights, sums = [TOTAL], [SUM]
        for at in range(WEIGHTS + len(self.nominal), self.pool.stats.shape[1], SLOT_WIDTH):
            weights += range(at + 1 + SLOTS, at + 1 + 2 * SLOTS)
            sums += range(at + 1 + 2 * SLOTS, at + SLOT_WIDTH)
        for i, used in enumerate(self.pool.region[:, BLOCKS_USED].tolist()):
            blocks = slice(i * self.layout.blocks, i * self.layout.blocks + used)
            self.pool.stats[blocks, [TRIED_AT, BORN_WITH]] *= keep
            before = self.pool.stats[blocks, weights]
            # A slot in use never weighs nothing: its mean is a quotient.
            kept = np.maximum(keep * before, np.minimum(before, _LEAST_WEIGHT))
            self.pool.stats[blocks, weights] = kept
            self.pool.stats[blocks, sums] *= np.divide(kept, before, out=np.ones_like(kept), where=before > 0.0)

    def reshape(self, nominal: tuple[bool, ...]) -> None:
        """Forget all trees and make room for others over these columns."""
        self.nominal = nominal
        self.layout = self._layout_for(len(nominal))
        self.pool = allocate(self.layout, nominal)

    def grow(self, nominal: tuple[bool, ...]) -> None:
        """Make places for more columns (appended); nothing happens where there are none.

        Raises
        ------
        ValueError
            the byte budget does not hold a leaf a tree of that width; nothing has changed then.
        """
        if nominal == self.nominal:
            return
        layout = self._layout_for(len(nominal))
        self.pool = regrown(self.pool, self.layout, layout, nominal)
        self.layout, self.nominal = layout, nominal
        added = len(nominal) - len(self.scale)
        self.scale = np.concatenate([self.scale, np.zeros((added, SCALE_N))])
        for t in range(self.plan.trees):
            for region in self.members[t, :2]:
                if region >= 0 and self.pool.region[region, NODES_USED] == 0:
                    start_tree(region, self.pool, self._rule(), self.streams, t)

    def run(self, rows: Floats, targets: Floats) -> Floats:
        """Answers [n] to `rows`, each before it is learned (target NaN: it is not); NaN while nothing is known."""
        rows = self._tidied(rows)
        out = np.empty(len(rows))
        for start in range(0, len(rows), _ROWS):
            part = slice(start, start + _ROWS)
            self._run_part(rows[part], targets[part], out[part])
        return out

    def _run_part(self, rows: Floats, targets: Floats, out: Floats) -> None:
        standard, tidy, limits = np.empty(rows.shape), np.empty(len(rows)), np.empty((len(rows), 3))
        standardize(rows, targets, self.pool.nominal, self.scale, standard)
        said, trust = np.empty((len(rows), self.plan.trees)), np.empty((len(rows), self.plan.trees))
        start = 0
        while start < len(rows):
            last = tidy_targets(targets, self.clip, start, tidy, limits)
            part = slice(start, last + 1)
            block_of(
                rows[part], standard[part], tidy[part], limits[part], said[part], trust[part], self.pool, self._rule(),
                self.members, self.record, self.windows, self.streams, self._poisson,
            )  # fmt: skip
            if last < len(rows):
                self.start_anew()
            start = last + 1
        aggregate(said, trust, limits, VOTES[self.plan.aggregation], out)
        if self.plan.trees > 1:
            self._note_spread(said, targets)

    def _note_spread(self, said: Floats, targets: Floats) -> None:
        """Take note of how far the trees lay apart."""
        learned = np.flatnonzero(~np.isnan(targets))[-NEWEST_N:]
        labels = np.clip(targets[learned], -_LARGEST, _LARGEST).tolist()
        for row, label in zip(said[learned].tolist(), labels, strict=True):
            self.spread.add([[deviation([y for y in row if y == y]), label]])  # noqa: PLR0124 # NaN knows nothing

    def _tidied(self, rows: Floats) -> Floats:
        if rows.ndim != 2 or rows.shape[1] != len(self.nominal):
            raise ValueError(f"rows of shape {rows.shape}: must be [n, {len(self.nominal)}]")
        rows = np.clip(rows, -_LARGEST, _LARGEST)
        for column in np.flatnonzero(self.nominal):
            codes = np.trunc(rows[:, column])
            rows[:, column] = np.where((codes < 0) | (codes >= self.plan.categories_cap), np.nan, codes)
        return rows

    def _layout_for(self, columns: int) -> Layout:
        observed_n = max(round(self.plan.columns_share * columns), _LEAST_COLUMNS)
        fixed = self._fixed_bytes(columns)
        return layout_of(columns, min(observed_n, columns), self._regions, self.plan.budget_bytes, fixed)

    def _rule(self) -> Rule:
        plan = self.plan
        return Rule(
            grace=plan.grace_n, delta=plan.delta, tau=plan.tau, least=plan.split_least_n,
            leaf_mode=LEAVES[plan.leaf], rate=plan.learning_rate, fading=plan.fading,
            nodes=self.layout.nodes, blocks=self.layout.blocks,
            warning_delta=plan.warning_delta, drift_delta=plan.drift_delta,
        )  # fmt: skip
