"""Features as learners see them: a mapping of name to number or text, without those that are missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from service.config import FeatureConfig
from stream.columns import MonitorBatch

__all__ = ["feature_names", "feature_rows", "present"]


def feature_names(features: Mapping[str, FeatureConfig]) -> list[str]:
    """Names of the features that learners may see: numeric ones first, each group in order of configuration."""
    numeric = [n for n, f in features.items() if f.type == "numeric" and f.learn]
    return numeric + [n for n, f in features.items() if f.type != "numeric" and f.learn]


def feature_rows(batch: MonitorBatch, features: Mapping[str, FeatureConfig]) -> list[list[Any]]:
    """Per prediction of the batch its learnable values, in the order of `feature_names`; None = missing."""
    numeric = [i for i, f in enumerate(f for f in features.values() if f.type == "numeric") if f.learn]
    categorical = [i for i, f in enumerate(f for f in features.values() if f.type != "numeric") if f.learn]
    columns = batch.numeric[:, numeric]
    rows: list[list[Any]] = columns.tolist()
    holes = np.argwhere(np.isnan(columns))
    for row, column in holes.tolist():
        rows[row][column] = None
    if categorical:
        for values, texts in zip(rows, batch.categorical, strict=True):
            values.extend(texts[i] for i in categorical)
    return rows


def present(names: list[str], values: list[Any]) -> dict[str, float | str]:
    """The mapping that a learner takes."""
    if None in values:
        return {name: value for name, value in zip(names, values, strict=True) if value is not None}
    return dict(zip(names, values))  # noqa: B905 # as long as each other, or nothing is left
