"""Predicting on request: the last committed champion, rebuilt from its snapshot and kept until a newer one."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from learners.river_adapter import RiverLearner
from service.api_models import NotReadyError
from service.config import Config
from service.learner_input import feature_names
from service.members import Member

__all__ = ["answer"]

_kept: dict[str, tuple[bytes, RiverLearner]] = {}
_guard = threading.Lock()


def answer(
    config: Config, champions: Mapping[str, tuple[str, bytes]], monitor: str, features: Mapping[str, Any]
) -> Mapping[str, Any]:
    """`{"prediction", "scores", "model"}` for one row of features; see `Service.predict`."""
    settings = config.monitors[monitor]
    if monitor not in champions:
        raise NotReadyError(f"monitor {monitor!r} has no committed champion: configure a learner, or wait")
    name, snapshot = champions[monitor]
    known = feature_names(settings.features)
    x = {key: features[key] for key in known if features.get(key) is not None}
    with _guard:
        kept = _kept.get(monitor)
        if kept is None or kept[0] != snapshot:
            kept = _kept[monitor] = (snapshot, RiverLearner.restore(snapshot))
        predicted, scores = Member(name, "champion", kept[1]).answer(
            x, classification=settings.task == "classification"
        )
    return {"prediction": predicted, "scores": scores, "model": name, "model_version": f"champion:{name}"}
