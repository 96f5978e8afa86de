"""The contextual check: does a small decision tree over labelled rows split on time, and for which inputs?

If it does, the relation between features and label changed; a drift of the features alone is split on the features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from detectors._context_tree import (
    CLASSES,
    NUMBERS,
    TIME_CUTS,
    Condition,
    Rows,
    Split,
    chi_square_critical,
    time_gains,
)
from detectors.base import (
    DRIFT,
    LARGEST,
    Alarm,
    BlockResult,
    Domain,
    Floats,
    Ints,
    State,
    checked_block,
    require,
    restored,
)

__all__ = ["ContextBank", "Explanation", "Side"]

_SEEN, _HELD, _CONDITIONS, _EXPLAINED, _SINCE, _FIRST, _LAST = range(7)
_MOST_CLASSES = 16
_TASKS = ("classification", "regression")
# 95 % point of the likelihood-ratio statistic of a change point (Hansen 2000, Econometrica 68, table 1).
_ONSET_SET = 7.35
_LEAST_EFFECT = 1e-9
# Deep enough for `min_leaf` to be the limit: leaves that are too fine cost some power, too coarse ones false alarms.
_FURTHER_DEPTH = 7


@dataclass(frozen=True, slots=True)
class Side:
    """Rows of a region before or after its split, with the share of each class by code (regression: `(mean,)`)."""

    rows: int
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """For which inputs the relation changed, when, and how.

    `path`: conditions (column, "<=" or ">", threshold), all of which hold; none: for all inputs. A threshold of
    infinity parts the values that are there ("<=") from missing ones (">"). `since`: index of the first row after the
    split; `first`, `last`: those of the region's oldest and newest row.
    """

    path: tuple[Condition, ...]
    since: int
    first: int
    last: int
    before: Side
    after: Side


class ContextBank:
    """A decision tree over the newest labelled rows that may split on time.

    Parameters
    ----------
    n_features : d, 1 or more; rows are [n, d + 1] with the label last
    task : `classification`: labels are class numbers 0 to 15; `regression`: numbers
    window_n : labelled rows kept, 4 min_leaf or more
    test_every : a tree is grown after every so-many-th labelled row, 1 to window_n
    alpha : in (0, 1), nominal level of one tree's test
    max_depth : of the tree, 1 to 6
    min_leaf : rows in a leaf, 2 or more

    Notes
    -----
    Every `test_every` labelled rows a tree is grown on the window: at each node the split that gains most, of 127
    quantile cuts a feature and 63 of time. Time has to beat all features, a draw is theirs. Missing features go to the
    side with more rows; whether a feature is missing can be split on as well. Rows whose label is missing or no class
    number are left out.

    **The statistic** is the largest of all time splits of the tree, 0 if it has none; for each the smaller one of two
    G statistics (2 n times the mutual information of side and label; regression: n times the log of the ratio of
    variances): that of the split, and that of the split where the leaf of a further tree over the features alone,
    grown below the node up to 7 levels, is known, times the ratio of both critical values. The second is not in the
    paper. It refuses splits on time that merely stand for features which need several splits. The threshold is the
    chi-square critical value at alpha / (63 (2^max_depth - 1)), the Bonferroni correction for all cuts at all nodes,
    with as many degrees of freedom as the window has classes, less one (with leaves: times their number). Tests of
    overlapping windows are not independent, and rows that depend on each other break the level.

    **What it cannot tell**: a relation that neither the tree nor the further tree finds may look like a change when
    the features drift. Greedy trees are poor at borders slanted through many features, and at parities (exclusive or),
    of which no single feature shows anything. A change that only shows in interactions deeper than `max_depth` is
    missed. Labels of a regression are clipped to the window's 1 % and 99 %.

    An alarm is a pulse: status 2, direction 0. It forgets the rows before its `onset_high`, so the same split cannot
    speak again; what follows is compared with what came after it. The region is narrowed by further conditions to
    which at least 90 % of the evidence is confined. `onset` is the region's likeliest cut, `onset_low` and
    `onset_high` span its 95 % likelihood-ratio set; `effect` is Cramér's V of side and label there (regression: the
    difference of means in spreads within the sides); `n` the region's rows after the cut. `statistic` is shared by all
    columns: one signal, [n, 1].

    Cost: about 15 µs a row at the defaults with five features, 40 µs with twenty, nearly all of it in the trees; memory
    8 (d + 2) bytes for each row of the window.

    References
    ----------
    Harries, Sammut, Horn (1998), Extracting hidden context, doi:10.1023/A:1007420529897

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(1).normal(size=(3000, 2))
    >>> flipped = (np.arange(3000) >= 2000) & (x[:, 1] > 0)
    >>> bank = ContextBank(2)
    >>> result = bank.update_many(np.column_stack([x, (x[:, 0] > 0) ^ flipped]), np.arange(3000))
    >>> [alarm.onset for alarm in result.alarms]
    [2000]
    >>> condition = bank.explanation().path[-1]
    >>> condition.column, condition.relation, abs(condition.threshold) < 0.1
    (1, '>', True)
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"labelled"})

    def __init__(
        self,
        n_features: int,
        *,
        task: Literal["classification", "regression"] = "classification",
        window_n: int = 2_000,
        test_every: int = 250,
        alpha: float = 1e-4,
        max_depth: int = 3,
        min_leaf: int = 50,
    ) -> None:
        require("n_features", n_features, "1 or more", holds=n_features >= 1)
        require("min_leaf", min_leaf, "2 or more", holds=min_leaf >= 2)
        require("window_n", window_n, f"{4 * min_leaf} (4 min_leaf) or more", holds=window_n >= 4 * min_leaf)
        require("test_every", test_every, f"1 to {window_n} (window_n)", holds=1 <= test_every <= window_n)
        require("alpha", alpha, "a number in (0, 1)", holds=0 < alpha < 1)
        require("max_depth", max_depth, "1 to 6", holds=1 <= max_depth <= 6)
        if task not in _TASKS:
            raise ValueError(f"task = {task!r}; give 'classification' or 'regression'")
        self.n_features, self.window_n, self.test_every, self.alpha = n_features, window_n, test_every, alpha
        self.max_depth, self.min_leaf = max_depth, min_leaf
        self._task = CLASSES if task == "classification" else NUMBERS
        self._rows = np.zeros((window_n, n_features + 1))
        self._positions = np.zeros(window_n, dtype=np.int64)
        self._counters = np.zeros(7, dtype=np.int64)
        self._newest = np.full(2, np.nan)
        self._path = np.zeros((2 * max_depth, 3))
        self._shares = np.zeros((2, _MOST_CLASSES + 1))

    def update_many(self, values: Floats, index: Ints) -> BlockResult:
        """Fold rows [n, d + 1], the label last; `index` [n] gives their positions."""
        block, positions = checked_block(values, index, self.n_features + 1)
        tests = np.empty((len(block), 2))
        alarms: list[Alarm] = []
        usable = np.flatnonzero(self._labelled(block[:, -1]))
        start = taken = 0
        while True:
            left = self.test_every - int(self._counters[_SEEN]) % self.test_every
            new = usable[taken : taken + left]
            self._keep(block[new], positions[new])
            if len(new) < left:
                break
            row = int(new[-1])
            tests[start:row] = self._newest
            alarms += self._test(row)
            start, taken = row, taken + left
        tests[start:] = self._newest
        return BlockResult(alarms, tests[:, :1].copy(), tests[:, 1:].copy())

    def explanation(self) -> Explanation | None:
        """Where and when the newest alarm's relation changed; None before the first alarm."""
        counters = self._counters.tolist()
        if not counters[_EXPLAINED]:
            return None
        path = tuple(
            Condition(int(column), "<=" if sign < 0 else ">", threshold)
            for column, sign, threshold in self._path[: counters[_CONDITIONS]].tolist()
        )
        sides = [Side(int(row[0]), tuple(row[1 : 1 + self._width()])) for row in self._shares.tolist()]
        return Explanation(path, counters[_SINCE], counters[_FIRST], counters[_LAST], sides[0], sides[1])

    def _width(self) -> int:
        if self._task == NUMBERS:
            return 1
        return int(np.flatnonzero(self._shares[:, 1:].any(axis=0)).max(initial=0)) + 1

    def _labelled(self, labels: Floats) -> Any:
        if self._task == NUMBERS:
            return np.abs(labels) <= LARGEST
        return (labels >= 0) & (labels < _MOST_CLASSES) & (labels == np.floor(labels))

    def _keep(self, rows: Floats, positions: Ints) -> None:
        places = (self._counters[_SEEN] + np.arange(len(rows))) % self.window_n
        features = rows[:, :-1]
        self._rows[places, :-1] = np.where(np.abs(features) <= LARGEST, features, np.nan)
        self._rows[places, -1] = rows[:, -1]
        self._positions[places] = positions
        self._counters[_SEEN] += len(rows)
        self._counters[_HELD] = min(self._counters[_HELD] + len(rows), self.window_n)

    def _test(self, row: int) -> list[Alarm]:
        held, seen = int(self._counters[_HELD]), int(self._counters[_SEEN])
        if held < 2 * self.min_leaf:
            return []
        places = np.arange(seen - held, seen) % self.window_n
        window, positions = self._rows[places], self._positions[places]
        rows = Rows.of(window[:, :-1], window[:, -1], task=self._task, min_leaf=self.min_leaf)
        classes = rows.targets.shape[1] if self._task == CLASSES else 2
        level, degrees = self.alpha / (TIME_CUTS * (2**self.max_depth - 1)), max(classes - 1, 1)
        threshold = chi_square_critical(level, degrees)
        best, split = 0.0, None
        for candidate in rows.time_splits(np.arange(held), self.max_depth):
            leaves = rows.leaves(candidate.members, _FURTHER_DEPTH)
            scale = threshold / chi_square_critical(level, degrees * len(leaves))
            statistic = min(candidate.gain, rows.gain_within(leaves, candidate.cut) * scale)
            if statistic > best:
                best, split = statistic, candidate
        self._newest[:] = best, threshold
        if split is None or not best > threshold:
            return []
        return [self._alarm(row, rows, rows.confine(split, threshold, self.max_depth), window[:, -1], positions)]

    def _alarm(self, row: int, rows: Rows, region: Split, labels: Floats, positions: Ints) -> Alarm:
        members = region.members
        gains = time_gains(rows.targets[members], 1, self._task)
        cut = int(np.argmax(gains))
        likely = np.flatnonzero(gains >= gains[cut] - _ONSET_SET)
        likely = likely[likely > 0]
        at, low, high = positions[members[[cut, likely[0] - 1, likely[-1]]]].tolist()
        self._explain(region, labels[members], cut, positions[members])
        self._counters[_HELD] -= members[likely[-1]]
        return Alarm(
            row=row, signal=0, status=DRIFT, direction=0, statistic=float(self._newest[0]),
            threshold=float(self._newest[1]), effect=max(self._effect(labels[members], cut), _LEAST_EFFECT),
            onset=at, onset_low=low, onset_high=high, n=len(members) - cut,
        )  # fmt: skip

    def _explain(self, region: Split, labels: Floats, cut: int, positions: Ints) -> None:
        self._path[:] = 0.0
        for place, condition in enumerate(region.path):
            sign = -1.0 if condition.relation == "<=" else 1.0
            self._path[place] = condition.column, sign, condition.threshold
        self._counters[_CONDITIONS], self._counters[_EXPLAINED] = len(region.path), 1
        self._counters[[_SINCE, _FIRST, _LAST]] = positions[[cut, 0, -1]]
        self._shares[:] = 0.0
        for side, part in enumerate((labels[:cut], labels[cut:])):
            self._shares[side, 0] = len(part)
            self._shares[side, 1:] = _shares(part) if self._task == CLASSES else 0.0
            if self._task == NUMBERS:
                self._shares[side, 1] = part.mean()

    def _effect(self, labels: Floats, cut: int) -> float:
        before, after = labels[:cut], labels[cut:]
        if self._task == NUMBERS:
            gap, within = abs(after.mean() - before.mean()), (before.var() * cut + after.var() * len(after))
            spread = np.sqrt(within / len(labels))
            return float(gap / spread) if spread > 0.0 else float(gap > 0.0)
        shares = _shares(labels)
        seen = shares > 0.0
        parts = ((_shares(part) - shares)[seen] ** 2 / shares[seen] * len(part) for part in (before, after))
        return float(np.sqrt(sum(part.sum() for part in parts) / len(labels)))

    def _arrays(self) -> dict[str, Any]:
        return {
            "rows": self._rows,
            "positions": self._positions,
            "counters": self._counters,
            "newest": self._newest,
            "path": self._path,
            "shares": self._shares,
        }

    def state(self) -> State:
        """Parameters, window and newest explanation, copied."""
        plan = {
            "n_features": self.n_features,
            "task": self._task,
            "window_n": self.window_n,
            "test_every": self.test_every,
            "alpha": self.alpha,
            "max_depth": self.max_depth,
            "min_leaf": self.min_leaf,
        }
        return {**plan, **{name: array.copy() for name, array in self._arrays().items()}}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ContextBank:
        """The bank that gave `state`.

        Raises
        ------
        ValueError
            where an array is missing or has another shape.
        """
        bank = cls(
            int(state["n_features"]), task="regression" if state["task"] else "classification",
            window_n=int(state["window_n"]), test_every=int(state["test_every"]), alpha=float(state["alpha"]),
            max_depth=int(state["max_depth"]), min_leaf=int(state["min_leaf"]),
        )  # fmt: skip
        restored(state, bank._arrays())
        return bank

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held; constant."""
        return sum(array.nbytes for array in self._arrays().values())


def _shares(labels: Floats) -> Floats:
    """The share of each class number among labels."""
    counts: Floats = np.bincount(labels.astype(np.int64), minlength=_MOST_CLASSES) / max(len(labels), 1)
    return counts
