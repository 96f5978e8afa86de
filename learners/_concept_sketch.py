"""A sketch of the data that a learner was right about: per feature moments and shares of bins, and shares of classes.

Its size depends on the number of features alone. Two sketches can be compared where they were made on the same bins.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from learners.base import Features, Label

__all__ = ["Bins", "distance", "reference_bins", "sketch"]

Bins = Mapping[str, Sequence[float]]
_BINS, _FEATURES_CAP, _VALUES_CAP = 8, 64, 16
_LARGEST = 1e100  # squares stay finite


def reference_bins(examples: Sequence[tuple[Features, Label]]) -> dict[str, list[float]]:
    """Inner edges of `_BINS` bins with equally many of the examples' values each, per numeric feature."""
    values: dict[str, list[float]] = {}
    for x, _ in examples:
        for name, value in x.items():
            if not isinstance(value, str) and math.isfinite(value) and (name in values or len(values) < _FEATURES_CAP):
                values.setdefault(name, []).append(float(value))
    return {name: _edges(sorted(column)) for name, column in sorted(values.items())}


def _edges(ordered: list[float]) -> list[float]:
    return sorted({ordered[len(ordered) * i // _BINS] for i in range(1, _BINS)})


def sketch(examples: Sequence[tuple[Features, Label]], losses: Sequence[float], bins: Bins) -> dict[str, Any]:
    """Plain tree: `n`, `features` (per feature weight, mean, sd and shares of bins; for text shares of values),
    `classes` (shares; for numbers under one name) and `losses` (mean loss per class)."""
    features: dict[str, Any] = {}
    columns: dict[str, list[float | str]] = {}
    for x, _ in examples:
        for name, value in x.items():
            if name in columns or len(columns) < _FEATURES_CAP:
                columns.setdefault(name, []).append(value)
    for name, column in sorted(columns.items()):
        texts = [value for value in column if isinstance(value, str)]
        numbers = [float(value) for value in column if not isinstance(value, str) and not math.isnan(value)]
        features[name] = _text(texts, len(examples)) if texts else _number(numbers, bins.get(name, ()), len(examples))
    classes, by_class = _by_class(examples, losses)
    return {"n": len(examples), "features": features, "classes": classes, "losses": by_class}


def _number(numbers: list[float], edges: Sequence[float], n: int) -> dict[str, Any]:
    shares = [0.0] * (len(edges) + 1)
    mean = square = 0.0
    for i, value in enumerate(numbers, 1):
        shares[bisect_right(edges, value)] += 1.0 / n
        clipped = min(max(value, -_LARGEST), _LARGEST)
        gap = clipped - mean
        mean += gap / i
        square += gap * (clipped - mean)
    sd = math.sqrt(square / (len(numbers) - 1)) if len(numbers) > 1 else 0.0
    return {"n": len(numbers), "mean": mean, "sd": sd, "shares": {str(i): p for i, p in enumerate(shares) if p}}


def _text(texts: list[str], n: int) -> dict[str, Any]:
    shares: dict[str, float] = {}
    for text in texts:
        known = text if text in shares or len(shares) < _VALUES_CAP else "…"
        shares[known] = shares.get(known, 0.0) + 1.0 / n
    return {"n": len(texts), "mean": 0.0, "sd": 0.0, "shares": shares}


def _by_class(
    examples: Sequence[tuple[Features, Label]], losses: Sequence[float]
) -> tuple[dict[str, float], dict[str, float]]:
    counts: dict[str, int] = {}
    sums: dict[str, float] = {}
    for (_, y), loss in zip(examples, losses, strict=True):
        name = y if isinstance(y, str) else "number"
        known = name if name in counts or len(counts) < _FEATURES_CAP else "…"
        counts[known] = counts.get(known, 0) + 1
        sums[known] = sums.get(known, 0.0) + loss
    return {k: n / len(examples) for k, n in counts.items()}, {k: total / counts[k] for k, total in sums.items()}


def distance(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """From 0 (alike) to 1: mean over the features and the classes of half the summed differences of shares."""
    names = sorted(one["features"].keys() | other["features"].keys())
    total = _apart(one["classes"], other["classes"])
    for name in names:
        mine, theirs = one["features"].get(name, {}), other["features"].get(name, {})
        total += _apart(mine.get("shares", {}), theirs.get("shares", {}))
    return total / (len(names) + 1)


def _apart(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    gap = 0.0
    for key in sorted(one.keys() | other.keys()):
        gap += abs(one.get(key, 0.0) - other.get(key, 0.0))
    return min(1.0, 0.5 * gap)
