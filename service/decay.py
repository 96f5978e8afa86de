"""How a producer's model does month by month, read off the messages alone: what a scorecard shows of its decay.

Independent of the fold: a prediction is scored in the month of its time when its label passes by, however late.
"""

from __future__ import annotations

from typing import Any

import msgspec

from learners.prequential import ClassificationScore

__all__ = ["Decay"]

_FIGURES = ("n", "accuracy", "kappa", "log_loss")


class Decay:
    """Figures of a classifier by month; `see` takes every message in order, bad ones too."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[str, str, dict[str, float]]] = {}
        self._months: dict[str, ClassificationScore] = {}

    def see(self, message: bytes) -> None:
        """Take one message of the stream."""
        try:
            event = msgspec.json.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if not isinstance(event, dict) or not isinstance(event.get("id"), str):
            return
        if event.get("type") == "prediction" and "prediction" in event and event["id"] not in self._waiting:
            self._waiting[event["id"]] = (str(event["time"])[:7], event["prediction"], event.get("scores") or {})
        elif event.get("type") == "label" and event["id"] in self._waiting:
            month, predicted, scores = self._waiting.pop(event["id"])
            score = self._months.setdefault(month, ClassificationScore(1))
            score.add(event["label"], predicted, scores.get(event["label"]), None)

    def months(self) -> dict[str, dict[str, Any]]:
        """n, accuracy, kappa and log loss by month, in order of time."""
        found = {}
        for month in sorted(self._months):
            summary = self._months[month].summary()
            found[month] = {name: summary[name] for name in _FIGURES}
        return found
