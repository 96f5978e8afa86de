"""How far the parts of a learner - trees, members - disagree, over its newest labelled examples."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence

from learners.base import Task

__all__ = ["NEWEST_N", "RecentSpread", "deviation"]

NEWEST_N = 100


class RecentSpread:
    """Of classes the mean share of the parts that differ from the answer, from 0 to 1; of numbers the parts' mean
    standard deviation, in standard deviations of the labels."""

    def __init__(self, task: Task) -> None:
        self._is_shares = task == "classification"
        self._rows: deque[list[float]] = deque(maxlen=NEWEST_N)

    def add(self, rows: Iterable[list[float]]) -> None:
        """Of each labelled example `[share]`, or `[standard deviation, label]`."""
        self._rows.extend(rows)

    def value(self, newest_n: int = NEWEST_N) -> float | None:
        """Over so many of the newest examples; None while there is nothing to say."""
        values = [row[0] for row in list(self._rows)[-newest_n:]]
        if not values:
            return None
        mean = sum(values) / len(values)
        if self._is_shares:
            return mean
        scale = deviation([row[1] for row in self._rows])
        return mean / scale if scale > 0.0 else None

    def state(self) -> list[list[float]]:
        """Plain values for a snapshot."""
        return [list(row) for row in self._rows]

    def load(self, rows: Iterable[Sequence[float]]) -> None:
        """Take over what `state` gave; ValueError where it cannot be that."""
        width = 1 if self._is_shares else 2
        for row in rows:
            if len(row) != width or not all(math.isfinite(value) for value in row):
                raise ValueError(f"{row!r} is no spread")
            self._rows.append([float(value) for value in row])


def deviation(values: Sequence[float]) -> float:
    """Standard deviation, in order; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    scale = max(abs(value) for value in values)
    if scale == 0.0:
        return 0.0
    mean = sum(value / scale for value in values) / len(values)
    square = sum((value / scale - mean) * (value / scale - mean) for value in values)
    return scale * math.sqrt(square / len(values))
