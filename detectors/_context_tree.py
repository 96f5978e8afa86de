"""A small decision tree over the features and the time of labelled rows: where would it split on time?

Labels enter as columns that can be summed ("targets"): for classes one column of zeros and ones each, for numbers 1, y
and y squared. Gains are log-likelihood ratios times 2 (G; for numbers n times the log of a ratio of variances).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.base import Floats, Ints

__all__ = [
    "CLASSES",
    "NUMBERS",
    "TIME_CUTS",
    "Condition",
    "Rows",
    "Split",
    "best_feature",
    "chi_square_critical",
    "time_gains",
]

CLASSES, NUMBERS = 0, 1
# Finer for features than for time: what a feature's cut leaves mixed must not look like a change.
BINS, TIME_CUTS = 128, 63
_MISSING = BINS
_GOES_RIGHT, _GOES_LEFT = 0, 1
# A condition confines a change if the other side holds at most this part of the evidence.
_REST = 0.1


class Condition(NamedTuple):
    """`column` `relation` `threshold`, e.g. (0, "<=", 1.5)."""

    column: int
    relation: str
    threshold: float


class Split(NamedTuple):
    """A split on time: `members` (row numbers in time order) before and from row `cut` on, found under `path`."""

    members: Ints
    cut: int
    gain: float
    path: tuple[Condition, ...]


class _Feature(NamedTuple):
    gain: float
    column: int
    at: int
    missing: int
    is_missing: bool


@dataclass(frozen=True)
class Rows:
    """Labelled rows in time order: bins [d, n] of the features, their upper `edges`, targets [n, K]."""

    bins: Ints
    edges: list[Floats]
    targets: Floats
    task: int
    min_leaf: int

    @classmethod
    def of(cls, features: Floats, labels: Floats, *, task: int, min_leaf: int) -> Rows:
        """Bin features [n, d] at their quantiles; NaN is missing."""
        bins = np.full(features.T.shape, _MISSING, dtype=np.int64)
        edges = []
        for column, values in enumerate(features.T):
            present = np.sort(values[~np.isnan(values)])
            places = np.arange(1, BINS) * len(present) // BINS
            edges.append(np.unique(present[places]) if len(present) else np.zeros(0))
            bins[column] = np.where(np.isnan(values), _MISSING, np.searchsorted(edges[-1], values))
        return cls(bins, edges, _targets(labels, task), task, min_leaf)

    def time_splits(self, members: Ints, depth: int, path: tuple[Condition, ...] = ()) -> list[Split]:
        """The nodes of the tree over `members` that split on time."""
        if depth == 0 or len(members) < 2 * self.min_leaf:
            return []
        feature = self._feature(members)
        gains = time_gains(self.targets[members], self.min_leaf, self.task)
        cuts = np.arange(1, TIME_CUTS + 1) * len(members) // (TIME_CUTS + 1)
        place = int(cuts[np.argmax(gains[cuts])])
        gain = float(gains[place])
        if gain > max(feature.gain, 0.0):
            here = [Split(members, int(members[place]), gain, path)]
            sides = [(members[:place], path), (members[place:], path)]
        elif feature.column >= 0:
            here, sides = [], self._sides(members, feature, path)
        else:
            return []
        return here + [split for part, way in sides for split in self.time_splits(part, depth - 1, way)]

    def leaves(self, members: Ints, depth: int) -> list[Ints]:
        """The leaves of a tree over `members` that knows no time."""
        feature = self._feature(members) if depth > 0 and len(members) >= 2 * self.min_leaf else None
        if feature is None or feature.column < 0:
            return [members]
        return [leaf for part, _ in self._sides(members, feature, ()) for leaf in self.leaves(part, depth - 1)]

    def gain_within(self, leaves: list[Ints], cut: int) -> float:
        """What a split at row `cut` gains where the leaf is known."""
        # As plain Python: called alone these few sums would compile in the middle of a stream.
        plain_disorder: Any = _disorder.py_func
        plain_gain: Any = _gain.py_func
        whole = parts = gains = 0.0
        n = 0
        for leaf in leaves:
            sums = self._sums(leaf), self._sums(leaf[leaf < cut]), self._sums(leaf[leaf >= cut])
            disorder = [plain_disorder(s, self.task) for s in sums]
            gains += 2.0 * (disorder[0] - disorder[1] - disorder[2])
            whole, parts, n = whole + disorder[0], parts + disorder[1] + disorder[2], n + len(leaf)
        return max(gains, 0.0) if self.task == CLASSES else float(plain_gain(whole, parts, 0.0, n, self.task))

    def confine(self, split: Split, needed: float, depth: int) -> Split:
        """The split under further conditions, as long as nearly all of the change lies on one side of one."""
        members, path, gain = split.members, split.path, self.gain_within([split.members], split.cut)
        for _ in range(depth):
            feature = self._feature(members, split.cut)
            if feature.column < 0 or feature.gain < gain + needed:
                break
            sides = sorted(
                ((self.gain_within([part], split.cut), part, way) for part, way in self._sides(members, feature, path)),
                key=lambda side: side[0],
            )
            if sides[0][0] > _REST * feature.gain:
                break
            gain, members, path = sides[1]
        return Split(members, split.cut, gain, path)

    def _sums(self, members: Ints) -> Floats:
        sums: Floats = self.targets[members].sum(axis=0)
        return sums

    def _feature(self, members: Ints, cut: int = -1) -> _Feature:
        """The best split on a feature: of the labels, or with `cut` of their change at that row."""
        late = members >= cut
        # numpy lays these columns out by their number; one layout is one kernel.
        bins = np.ascontiguousarray(self.bins[:, members])
        best = best_feature(bins, self.targets[members], late, cut >= 0, self.min_leaf, self.task)
        return _Feature(*best)

    def _sides(
        self, members: Ints, feature: _Feature, path: tuple[Condition, ...]
    ) -> list[tuple[Ints, tuple[Condition, ...]]]:
        bins = self.bins[feature.column, members]
        left: NDArray[np.bool_] = bins <= feature.at
        if feature.missing == _GOES_LEFT:
            left |= bins == _MISSING
        edge = math.inf if feature.is_missing else float(self.edges[feature.column][feature.at])
        return [
            (members[left], (*path, Condition(feature.column, "<=", edge))),
            (members[~left], (*path, Condition(feature.column, ">", edge))),
        ]


def _targets(labels: Floats, task: int) -> Floats:
    if task == CLASSES:
        return np.ascontiguousarray(labels[:, None] == np.unique(labels), dtype=np.float64)
    low, high = np.sort(labels)[[len(labels) // 100, -1 - len(labels) // 100]]
    clipped = np.clip(labels, low, high)
    # Halved first: the difference of two large numbers stays finite.
    scale = max(high / 2.0 - low / 2.0, 1e-300)
    scaled = (clipped / 2.0 - low / 2.0) / scale
    scaled -= scaled.mean()
    return np.column_stack([np.ones(len(labels)), scaled, scaled * scaled])


@lru_cache(maxsize=1024)
def chi_square_critical(alpha: float, degrees: int) -> float:
    """What a chi-square variable with whole `degrees` of freedom exceeds with probability `alpha`, by bisection."""
    low, high = 0.0, 1.0
    while _chi_square_tail(high, degrees) > alpha:
        low, high = high, 2.0 * high
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _chi_square_tail(middle, degrees) > alpha else (low, middle)
    return (low + high) / 2.0


def _chi_square_tail(x: float, degrees: int) -> float:
    """P(chi-square > x): a finite sum for whole degrees of freedom, all terms positive."""
    half, odd = x / 2.0, degrees % 2
    tail = math.erfc(math.sqrt(half)) if odd else 0.0
    terms = [
        math.exp((k + odd / 2.0) * math.log(half) - half - math.lgamma(k + 1.0 + odd / 2.0)) if half > 0.0 else 0.0
        for k in range(degrees // 2)
    ]
    return tail + math.fsum(terms) if x > 0.0 else 1.0


@njit(cache=True, nogil=True)
def time_gains(targets, least, task):  # type: ignore[no-untyped-def]
    """What a split before each row would gain; 0 where a side holds fewer than `least` rows."""
    n, width = targets.shape
    gains = np.zeros(n)
    before, after = np.zeros(width), np.zeros(width)
    for i in range(n):
        for j in range(width):
            after[j] += targets[i, j]
    whole = _disorder(after, task)
    for i in range(1, n):
        for j in range(width):
            before[j] += targets[i - 1, j]
            after[j] -= targets[i - 1, j]
        if i >= least and n - i >= least:
            gains[i] = _gain(whole, _disorder(before, task), _disorder(after, task), n, task)
    return gains


@njit(cache=True, nogil=True)
def best_feature(bins, targets, late, change, least, task):  # type: ignore[no-untyped-def]
    """The best split of rows [m] on a feature: gain, column (-1: none), bin, side of missing values, whether it parts
    missing values from the others. With `change` the gain is that of time within both sides, else that of the split."""
    columns, m = bins.shape
    width = targets.shape[1]
    sums, counts = np.zeros((BINS + 1, 2 * width)), np.zeros(BINS + 1, dtype=np.int64)
    best = (0.0, -1, 0, 0, False)
    for f in range(columns):
        sums[:], counts[:] = 0.0, 0
        for i in range(m):
            b = bins[f, i]
            first = width if late[i] else 0
            counts[b] += 1
            for j in range(width):
                sums[b, first + j] += targets[i, j]
        gain, at, side, is_missing = _best_cut(sums, counts, change, least, task)
        if gain > best[0]:
            best = (gain, f, at, side, is_missing)
    return best


@njit(cache=True, nogil=True)
def _best_cut(sums, counts, change, least, task):  # type: ignore[no-untyped-def]
    width = sums.shape[1]
    left, right, low, high = np.zeros(width), np.zeros(width), np.zeros(width), np.zeros(width)
    for b in range(BINS):
        for j in range(width):
            right[j] += sums[b, j]
    n, missing = counts.sum(), counts[BINS]
    lefts = 0
    best = (0.0, 0, 0, False)
    for b in range(BINS):
        if counts[b] == 0:
            continue
        lefts += counts[b]
        for j in range(width):
            left[j] += sums[b, j]
            right[j] -= sums[b, j]
        rights = n - missing - lefts
        side = _GOES_LEFT if lefts >= rights > 0 else _GOES_RIGHT
        size = lefts + (missing if side == _GOES_LEFT else 0)
        if size < least or n - size < least:
            continue
        for j in range(width):
            low[j] = left[j] + (sums[BINS, j] if side == _GOES_LEFT else 0.0)
            high[j] = right[j] + (sums[BINS, j] if side == _GOES_RIGHT else 0.0)
        gain = _score(low, high, size, n, change, task)
        if gain > best[0]:
            best = (gain, b, side, rights == 0)
    return best


@njit(cache=True, nogil=True)
def _score(low, high, size, n, change, task):  # type: ignore[no-untyped-def]
    """Gain of a split from both sides' sums, each of early rows and of late rows."""
    k = low.shape[0] // 2
    one, two = low[:k] + low[k:], high[:k] + high[k:]
    if change:
        return _gain(_disorder(one, task), _disorder(low[:k], task), _disorder(low[k:], task), size, task) + _gain(
            _disorder(two, task), _disorder(high[:k], task), _disorder(high[k:], task), n - size, task
        )
    return _gain(_disorder(one + two, task), _disorder(one, task), _disorder(two, task), n, task)


@njit(cache=True, nogil=True)
def _disorder(sums, task):  # type: ignore[no-untyped-def]
    """Classes: n times the entropy of the labels in nats; numbers: their sum of squares around the mean."""
    if task == NUMBERS:
        return max(sums[2] - sums[1] * sums[1] / sums[0], 0.0) if sums[0] > 0.0 else 0.0
    n, inside = 0.0, 0.0
    for count in sums:
        n += count
        if count > 0.0:
            inside += count * np.log(count)
    return n * np.log(n) - inside if n > 0.0 else 0.0


@njit(cache=True, nogil=True)
def _gain(whole, one, two, n, task):  # type: ignore[no-untyped-def]
    if task == CLASSES:
        return max(2.0 * (whole - one - two), 0.0)
    # Differences below this are rounding, and labels without any spread can have none.
    least = 1e-12 * n
    return max(n * np.log(max(whole, least) / max(one + two, least)), 0.0)
