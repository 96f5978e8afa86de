"""Features as learners see them: of each prediction the values of those that may be learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from service.config import FeatureConfig
from stream.columns import MonitorBatch

__all__ = ["feature_names", "feature_rows"]


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
