"""The regression tree in plain Python, written for being read: the twin that the kernels are held to.

A leaf keeps all that it has seen and works out sums by going through it. Covers numbers, codes and gaps, weights of 1,
all columns observed, and targets that need no clipping.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

__all__ = ["SlowColumn", "SlowLeaf", "SlowTree", "fall_of"]

PLACES = 32


def fall_of(left: list[float], right: list[float]) -> float:
    """How much the sum of squared errors falls when each side has its own mean."""

    def squares(values: list[float]) -> float:
        mean = math.fsum(values) / len(values)
        return math.fsum((y - mean) ** 2 for y in values)

    return squares(left + right) - squares(left) - squares(right)


@dataclass
class SlowColumn:
    """What a leaf has seen of one column, and the edges that cut it."""

    is_codes: bool = False
    seen: list[tuple[float, float]] = field(default_factory=list)
    edges: list[float] = field(default_factory=list)

    def add(self, x: float, y: float) -> None:
        """See one value and its target."""
        if x not in self.edges:
            if len(self.edges) < PLACES:
                self.edges = sorted([*self.edges, x])
            elif self.is_codes:
                return
            elif not self.edges[0] < x < self.edges[-1]:
                del self.edges[self._lightest()]
                self.edges = sorted([*self.edges, x])
        self.seen.append((x, y))

    def _lightest(self) -> int:
        """Of the slots but the first, the one that holds least together with the next."""
        slots = list(itertools.pairwise([-math.inf, *self.edges]))
        counts = [sum(low < x <= high for x, _ in self.seen) for low, high in slots]
        pairs = [counts[k] + counts[k + 1] for k in range(1, PLACES - 1)]
        return 1 + pairs.index(min(pairs))

    def sides(self) -> list[tuple[Any, list[float], list[float]]]:
        """Each candidate split: cut or set of codes, targets to the left, targets to the right."""
        if self.is_codes:
            # The first code stays on one side, as a set and its complement are the same split.
            first, *rest = self.edges or [0.0]
            sizes = range(len(rest) + 1)
            sets = [{first, *others} for size in sizes for others in itertools.combinations(rest, size)]
            return [(codes, *self._parted(codes)) for codes in sets]
        pairs = itertools.pairwise(self.edges)
        middles = [(low, low + (high - low) / 2 if len(self.edges) < PLACES else low) for low, high in pairs]
        return [
            (cut, [y for x, y in self.seen if x <= edge], [y for x, y in self.seen if x > edge])
            for edge, cut in middles
        ]

    def _parted(self, codes: set[float]) -> tuple[list[float], list[float]]:
        return [y for x, y in self.seen if x in codes], [y for x, y in self.seen if x not in codes]

    def best(self, least: float) -> tuple[float, Any, list[float], list[float]]:
        """The largest fall, and the split that gives it; a fall of -1 if there is none."""
        found = [
            (fall_of(left, right), cut, left, right)
            for cut, left, right in self.sides()
            if min(len(left), len(right)) >= least
        ]
        return max(found, key=lambda one: one[0], default=(-1.0, None, [], []))


@dataclass
class SlowLeaf:
    """A leaf: weight and mean that it began with, what it saw, and a linear model."""

    codes: tuple[int, ...]
    width: int
    born_with: int = 0
    born_mean: float = 0.0
    weights: list[float] = field(default_factory=list)
    bias: float = 0.0
    errors: tuple[float, float] = (0.0, 0.0)
    targets: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.columns = [SlowColumn(c in self.codes) for c in range(self.width)]
        self.weights = self.weights or [0.0] * self.width

    @property
    def n(self) -> int:
        """Rows, those that it began with included."""
        return self.born_with + len(self.targets)

    def mean(self) -> float:
        """Mean of the targets."""
        return (self.born_with * self.born_mean + math.fsum(self.targets)) / self.n

    def linear(self, z: list[float]) -> float:
        """What the linear model says."""
        return self.bias + math.fsum(w * x for w, x in zip(self.weights, z, strict=True))

    def answer(self, z: list[float], low: float, high: float) -> float | None:
        """The mean or the linear model, whichever erred less."""
        if self.n == 0:
            return None
        mean_error, linear_error = self.errors
        return min(max(self.linear(z), low), high) if linear_error <= mean_error else self.mean()

    def learn(self, row: list[float], z: list[float], y: float, tree: SlowTree) -> None:
        """Fit the linear model, fade the errors, note the target and all columns."""
        if self.n == 0:
            self.bias = y
        else:
            gaps = y - self.mean(), y - self.linear(z)
            self.errors = tree.fading * self.errors[0] + gaps[0] ** 2, tree.fading * self.errors[1] + gaps[1] ** 2
            step = tree.rate * gaps[1] / (1.0 + math.fsum(x * x for x in z))
            self.bias += step
            self.weights = [w + step * x for w, x in zip(self.weights, z, strict=True)]
        self.targets.append(y)
        for column, x in zip(self.columns, row, strict=True):
            if not math.isnan(x):
                column.add(x, y)

    def child(self, targets: list[float]) -> SlowLeaf:
        """A leaf that begins with these targets and this one's linear model."""
        mean = math.fsum(targets) / len(targets)
        return SlowLeaf(self.codes, self.width, len(targets), mean, list(self.weights), self.bias, self.errors)


@dataclass
class _Split:
    column: int
    cut: Any
    known: set[float]
    missing_left: bool
    left: Any
    right: Any

    def side(self, row: list[float]) -> str:
        x = row[self.column]
        if math.isnan(x) or (isinstance(self.cut, set) and x not in self.known):
            return "left" if self.missing_left else "right"
        return "left" if (x in self.cut if isinstance(self.cut, set) else x <= self.cut) else "right"


class SlowTree:
    """`HoeffdingTreeRegressor` with its default parameters unless given."""

    def __init__(self, width: int, codes: tuple[int, ...] = (), *, grace: int = 100) -> None:
        self.grace, self.delta, self.tau, self.least = grace, 0.01, 0.05, 5.0
        self.rate, self.fading, self.width, self.codes = 0.2, 0.95, width, codes
        self.root: Any = SlowLeaf(codes, width)
        self.seen: list[list[float]] = [[] for _ in range(width)]
        self.low = self.high = 0.0
        self.splits_n = 0

    def step(self, row: list[float], y: float) -> float | None:
        """Answer a row, then learn it."""
        z = [self._standard(c, x) for c, x in enumerate(row)]
        parent, side, leaf = None, "", self.root
        while isinstance(leaf, _Split):
            parent, side = leaf, leaf.side(row)
            leaf = getattr(leaf, side)
        said: float | None = leaf.answer(z, self.low, self.high)
        leaf.learn(row, z, y, self)
        self.low, self.high = (min(self.low, y), max(self.high, y)) if said is not None else (y, y)
        for values, x in zip(self.seen, row, strict=True):
            if not math.isnan(x):
                values.append(x)
        if len(leaf.targets) % self.grace == 0:
            split = self._split(leaf)
            if split is not None and parent is None:
                self.root = split
            elif split is not None:
                setattr(parent, side, split)
        return said

    def _standard(self, c: int, x: float) -> float:
        """Distance from the mean of all so far in standard deviations, 4 at most (fewer than 5,000 rows)."""
        values = self.seen[c]
        if c in self.codes or math.isnan(x) or not values:
            return 0.0
        mean = math.fsum(values) / len(values)
        variance = math.fsum((v - mean) ** 2 for v in values) / len(values)
        return max(-4.0, min(4.0, (x - mean) / math.sqrt(variance))) if variance > 0.0 else 0.0

    def _split(self, leaf: SlowLeaf) -> _Split | None:
        bound = math.sqrt(math.log(1.0 / self.delta) / (2.0 * leaf.n))
        least = max(self.least, 0.01 * len(leaf.targets))
        found = [(*column.best(least), c) for c, column in enumerate(leaf.columns)]
        found.sort(key=lambda one: -one[0])
        (first, cut, left, right, c), second = found[0], max(found[1][0], 0.0)
        if first <= 0.0 or (second > (1.0 - bound) * first and bound >= self.tau):
            return None
        self.splits_n += 1
        known = set(leaf.columns[c].edges)
        return _Split(c, cut, known, len(left) >= len(right), leaf.child(left), leaf.child(right))
