"""Predicting on request: the last committed champion, rebuilt from its snapshot and kept until a newer one."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import msgspec

from learners.base import Learner
from learners.blocks import present
from learners.registry import restore_learner
from service.api_models import NotReadyError
from service.config import Config
from service.learner_input import feature_names, feature_rows
from service.members import Member
from service.prudence import Prudence
from stream.codec import Decoder
from stream.events import RawMessage

__all__ = ["answer"]

_ANY_TIME_MS = 1_577_836_800_000  # 2020: an answer does not depend on it
_kept: dict[str, tuple[bytes, Learner]] = {}
_guard = threading.Lock()


def answer(
    config: Config, champions: Mapping[str, tuple[str, bytes]], monitor: str, features: Mapping[str, Any]
) -> Mapping[str, Any]:
    """`{"prediction", "scores", "model"}` for one row of features, with the decision on a class where a rule is
    configured; see `Service.predict`."""
    settings = config.monitors[monitor]
    if monitor not in champions:
        raise NotReadyError(f"monitor {monitor!r} has no committed champion: configure a learner, or wait")
    name, snapshot = champions[monitor]
    known = feature_names(settings.features)
    # Read as the fold reads an event: texts are canonical and sensitive values hashed before a learner sees them.
    event = {"type": "prediction", "id": "asked", "monitor": monitor, "time": _ANY_TIME_MS, "features": features}
    decoder = Decoder({monitor: settings.schema(monitor)}, hash_key=config.pipeline.hash_key.encode())
    decoded = decoder.decode([RawMessage("", 0, 0, msgspec.json.encode(event))])
    if decoded.rejects:
        raise ValueError(decoded.rejects[0].detail)
    x = present(known, feature_rows(decoded.batches[monitor], settings.features)[0])
    with _guard:
        kept = _kept.get(monitor)
        if kept is None or kept[0] != snapshot:
            kept = _kept[monitor] = (snapshot, restore_learner(snapshot))
        predicted, scores = Member(name, "champion", kept[1]).answer(x)
    # Of a number the rule asks every learner, and here there is the champion alone.
    decision = Prudence(settings).decide(predicted, scores) if settings.task == "classification" else None
    said = {"prediction": predicted, "scores": scores, "model": name, "model_version": f"champion:{name}"}
    return said | ({} if decision is None else decision.record())
