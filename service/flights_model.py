"""The producer's model of the flights sample: a logistic regression, trained on January and then frozen.

It stands for the user's own model, the one that is watched: it is ordinary on purpose, sees only what is known at
the scheduled departure, and never learns again, so that its decay through the year is real.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NUMERIC", "DelayModel", "Features"]

Features = Mapping[str, str | float | None]

NUMERIC = ("distance", "temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
_TOP_DESTINATIONS = 40  # rarer ones had under about 80 flights in January, too few for a weight of their own
_RIDGE = 5.0  # a prior standard deviation of .45 on standardised weights: keeps rare hours and airlines near zero
_ITERATIONS = 25  # Newton steps at most; January takes seven
_SMALL_STEP = 1e-9
_DECIMALS = 6  # weights are rounded, so that another order of summation in BLAS gives the same model


@dataclass(frozen=True, slots=True)
class DelayModel:
    """P(delayed) from carrier, destination, hour and weather; a missing number counts as January's mean.

    Attributes
    ----------
    carriers, destinations, hours : the categories that have a weight; any other adds nothing
    mean, scale : float64[9], of the numeric features in January
    weights : float64[1 + 9 + categories], the intercept first
    """

    carriers: tuple[str, ...]
    destinations: tuple[str, ...]
    hours: tuple[float, ...]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def train(cls, rows: Sequence[Features], delayed: Sequence[bool]) -> DelayModel:
        """Fit by iteratively reweighted least squares with a ridge; deterministic."""
        if len(rows) != len(delayed) or not rows:
            raise ValueError(f"rows = {len(rows)}, delayed = {len(delayed)}: give one label for each of 1 or more rows")
        numbers = _numbers(rows)
        mean, scale = np.nanmean(numbers, axis=0), np.nanstd(numbers, axis=0)
        empty = cls(
            carriers=_most_common(rows, "carrier", None),
            destinations=_most_common(rows, "dest", _TOP_DESTINATIONS),
            hours=tuple(sorted({float(row["hour"] or 0.0) for row in rows})),
            mean=mean,
            scale=np.where(scale > 0, scale, 1.0),
            weights=np.empty(0),
        )
        weights = _fit(empty.design(rows), np.asarray(delayed, dtype=np.float64))
        return cls(empty.carriers, empty.destinations, empty.hours, empty.mean, empty.scale, weights)

    def design(self, rows: Sequence[Features]) -> NDArray[np.float64]:
        """Return the matrix [rows, weights] that the weights multiply."""
        numbers = (_numbers(rows) - self.mean) / self.scale
        columns = [np.ones((len(rows), 1)), np.where(np.isnan(numbers), 0.0, numbers)]
        for name, known in (("carrier", self.carriers), ("dest", self.destinations), ("hour", self.hours)):
            place = {category: k for k, category in enumerate(known)}
            one_hot = np.zeros((len(rows), len(known)))
            for i, row in enumerate(rows):
                k = place.get(row[name])
                if k is not None:
                    one_hot[i, k] = 1.0
            columns.append(one_hot)
        return np.hstack(columns)

    def probability(self, rows: Sequence[Features]) -> NDArray[np.float64]:
        """Return P(delayed) of each row, rounded to four decimals and strictly between 0 and 1."""
        if not rows:
            return np.empty(0)
        with np.errstate(over="ignore"):
            probability = 1.0 / (1.0 + np.exp(-(self.design(rows) @ self.weights)))
        return np.clip(np.round(probability, 4), 0.0001, 0.9999)


def _numbers(rows: Sequence[Features]) -> NDArray[np.float64]:
    return np.array([[np.nan if row[name] is None else row[name] for name in NUMERIC] for row in rows], dtype=float)


def _most_common(rows: Sequence[Features], name: str, top: int | None) -> tuple[str, ...]:
    counts = Counter(str(row[name]) for row in rows)
    ordered = sorted(counts, key=lambda category: (-counts[category], category))
    return tuple(ordered[:top])


def _fit(design: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    penalty = np.full(design.shape[1], _RIDGE)
    penalty[0] = 1e-6  # the intercept carries the base rate and is not shrunk
    weights = np.zeros(design.shape[1])
    for _ in range(_ITERATIONS):
        probability = 1.0 / (1.0 + np.exp(-(design @ weights)))
        curvature = probability * (1.0 - probability)
        gradient = design.T @ (target - probability) - penalty * weights
        hessian = (design.T * curvature) @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        weights = weights + step
        if np.abs(step).max() < _SMALL_STEP:
            break
    return np.round(weights, _DECIMALS)
