"""Predictions of a batch as the join keeps them, made in one go rather than event by event."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.columns import PREDICTION, MonitorBatch
from stream.join import PendingPrediction

__all__ = ["pending_predictions"]

_NO_ANSWERS: dict[str, list[Any]] = {}


def pending_predictions(
    batch: MonitorBatch, start: int, until: int, features: list[list[Any]] | None
) -> list[PendingPrediction]:
    """The predictions among events `start` to `until` of the batch, yet without what the state knows of them."""
    places = np.flatnonzero(batch.kind[start:until] == PREDICTION) + start
    if not len(places):
        return []
    rows = slice(int(batch.row[places[0]]), int(batch.row[places[-1]]) + 1)
    ids = [batch.ids[at] for at in places.tolist()]
    values = [[] for _ in ids] if features is None else features[rows]
    columns = zip(
        ids, batch.time_ms[places].tolist(), batch.model_version[rows], batch.prediction[rows], batch.scores[rows],
        batch.backfill[rows].tolist(), values, strict=True,
    )  # fmt: skip
    return [
        PendingPrediction(key, time_ms, version, prediction, scores, None, backfill, own, _NO_ANSWERS)
        for key, time_ms, version, prediction, scores, backfill, own in columns
    ]
