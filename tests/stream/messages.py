"""Monitors, events and messages for the decoding tests, and a form of `Decoded` that can be compared."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from stream.codec import Decoder
from stream.columns import CONTROL, LABEL, PREDICTION, Decoded
from stream.events import RawMessage, Reject
from stream.schema import FeatureSchema, MonitorSchema

__all__ = ["HASH_KEY", "SCHEMAS", "compact", "decode", "event", "flat", "label", "message", "only_reject", "slow"]

HASH_KEY = b"a secret of the tests"

SCHEMAS = {
    "fraud": MonitorSchema(
        name="fraud",
        task="classification",
        features={
            "amount": FeatureSchema(type="numeric", required=True, min=0),
            "country": FeatureSchema(type="categorical", allowed=("FR", "DE", "33")),
            "age": FeatureSchema(type="numeric", sensitive=True, bins=(18, 30, 65), max=150),
            "mail": FeatureSchema(type="categorical", sensitive=True),
            "new": FeatureSchema(type="boolean"),
            "temperature": FeatureSchema(type="numeric"),
            "shop": FeatureSchema(type="categorical"),
        },
    ),
    "price": MonitorSchema(
        name="price", task="regression", features={"x": FeatureSchema(type="numeric")}, timezone="America/New_York"
    ),
}


def event(**changes: Any) -> dict[str, Any]:
    """A valid prediction for `fraud`; a change to `...` leaves the field out."""
    made = {
        "type": "prediction",
        "id": "tx-981",
        "monitor": "fraud",
        "time": "2026-03-01T10:00:00Z",
        "features": {"amount": 12.5, "country": "FR", "age": 41, "mail": "a@b.example", "new": True, "shop": "é1"},
        "prediction": "ok",
        "scores": {"ok": 0.97, "fraud": 0.03},
        "model_version": "7",
        "segment": {"channel": "web"},
    } | changes
    return {key: value for key, value in made.items() if value is not ...}


def label(**changes: Any) -> dict[str, Any]:
    """A valid label for `fraud`; a change to `...` leaves the field out."""
    made = {"type": "label", "id": "tx-981", "monitor": "fraud", "time": 1772611920000, "label": "fraud"} | changes
    return {key: value for key, value in made.items() if value is not ...}


def compact(value: Any) -> bytes:
    """JSON without spaces, not limited to ASCII."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def message(value: Any, offset: int = 0, **fields: Any) -> RawMessage:
    """A message that carries bytes as they are, anything else as JSON."""
    data = value if value is None or isinstance(value, bytes) else compact(value)
    return RawMessage(topic="events", partition=fields.pop("partition", 0), offset=offset, value=data, **fields)


def decode(values: Sequence[Any], **options: Any) -> Decoded:
    """Decode values, each in a message of its own."""
    messages = [v if isinstance(v, RawMessage) else message(v, i) for i, v in enumerate(values)]
    return Decoder(SCHEMAS, hash_key=HASH_KEY, **options).decode(messages)


def only_reject(value: Any, **options: Any) -> Reject:
    """The reject of a value that must be refused."""
    decoded = decode([value], **options)
    assert decoded.batches == {}
    (reject,) = decoded.rejects
    return reject


def slow(**options: Any) -> Decoder:
    """A decoder that has no fast path: the obvious twin."""
    decoder = Decoder(SCHEMAS, hash_key=HASH_KEY, **options)
    decoder._fast_event = lambda message: None  # type: ignore[method-assign]
    return decoder


def flat(decoded: Decoded) -> dict[int, tuple[Any, ...]]:
    """Offset to all that became of it, with None for a missing number; fails if an offset has two fates."""
    fates: dict[int, tuple[Any, ...]] = {}
    for monitor, batch in decoded.batches.items():
        assert monitor == batch.monitor
        assert list(batch.offset) == sorted(batch.offset)
        columns: dict[int, list[Any]] = {PREDICTION: _predictions(batch), LABEL: list(batch.label)}
        columns[CONTROL] = [(c.action, c.parameters) for c in batch.control]
        heads = zip(batch.kind, batch.offset, batch.time_ms, batch.ids, batch.row, strict=True)
        for kind, offset, time_ms, event_id, row in heads:
            assert int(offset) not in fates
            fates[int(offset)] = (int(kind), monitor, int(time_ms), event_id, columns[int(kind)][int(row)])
    for reject in decoded.rejects:
        assert reject.offset not in fates
        fates[reject.offset] = (reject.reason.value, reject.detail, reject.monitor, reject.payload)
    return fates


def _predictions(batch: Any) -> list[Any]:
    numeric = [tuple(None if math.isnan(v) else v for v in row) for row in batch.numeric.tolist()]
    rest = (batch.categorical, batch.prediction, batch.scores, batch.model_version, batch.segment)
    return list(zip(numeric, *rest, batch.backfill.tolist(), batch.unknown.tolist(), strict=True))
