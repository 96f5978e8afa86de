"""Decisions as they are made: which answer goes to review, how urgent it is, how many do, and the signal of their rate.

Each prediction is decided once, when its answer is made; the alarms of the signal react to nothing, so that a block
may go through its detectors at once.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from service.config import MonitorConfig
from service.mean_signals import MeanSignals, Spoken
from service.pairing import runs
from service.prudence import Decision, Prudence
from service.recent_share import RecentShare
from stream.columns import MonitorBatch
from stream.join import PendingPrediction

__all__ = ["Decided", "Review"]

SIGNAL = "review"
_SERVED = "champion:"  # begins the version of an answer that was asked for over HTTP and recorded


class Decided(NamedTuple):
    """A decision with the answer that it is about; `rarity` is 1 less the share of its class, where that counts."""

    decision: Decision
    predicted: Any
    scores: dict[str, float] | None
    model: str
    rarity: float


class Review:
    """The decisions of one monitor.

    Parameters
    ----------
    order : place of the signal among the monitor's signals
    """

    def __init__(self, config: MonitorConfig, order: int) -> None:
        self.config, self.order = config, order
        self.wanted = config.review is not None
        self.counts = {"auto": 0, "review": 0}
        self.recent = RecentShare(config.metrics_window)
        self._prudence = Prudence(config)
        self._classes: dict[str, int] = {}
        self._decided: list[tuple[int, bool]] = []
        names = list(config.features)
        numeric = [n for n in names if config.features[n].type == "numeric"]
        self._numeric = {n: at for at, n in enumerate(numeric) if not config.features[n].sensitive}
        texts = [n for n in names if config.features[n].type != "numeric"]
        self._texts = {n: at for at, n in enumerate(texts) if not config.features[n].sensitive}
        self.restart()

    def restart(self) -> None:
        """Forget the reference of the signal: the next decisions are the new one."""
        config = self.config
        self.signal = MeanSignals(
            (SIGNAL,), "prediction", config.detectors, runs={SIGNAL: runs(config, SIGNAL)}, bounds=(0.0, 1.0),
            reference_n=config.reference.n, order=self.order, quiet_n=config.cooldown,
        )  # fmt: skip

    def decide(self, number: int, pending: PendingPrediction, champion: str | None) -> Decided | None:
        """Decide on prediction `number` and count it; None where it is not the rule's to decide."""
        rule, predicted, scores, model = self.config.review, pending.prediction, pending.scores, pending.version
        served = predicted is None or model.startswith(_SERVED)
        if rule is None or served != (rule.of == "champion"):
            return None
        if predicted is None:
            if champion not in pending.answers:
                return None
            (predicted, scores), model = pending.answers[champion], str(champion)
        others = [pending.answers[name][0] for name in self.config.learners if name in pending.answers]
        decision = self._prudence.decide(predicted, scores, others)
        if decision is None:
            return None
        self.counts["review" if decision.review else "auto"] += 1
        self.recent.add(decision.review)
        self._decided.append((number, decision.review))
        return Decided(decision, predicted, scores, model, self._rarity(predicted) if rule.priority == "rare" else 0.0)

    def _rarity(self, predicted: Any) -> float:
        """1 less the share of a class among the answers so far, which this one then joins; 1 where none was given."""
        if predicted is None:
            return 1.0
        n, total = self._classes.get(predicted, 0), sum(self._classes.values())
        if n or len(self._classes) < self.config.max_classes:
            self._classes[predicted] = n + 1
        return 1.0 - n / total if total else 1.0

    def item(self, decided: Decided, batch: MonitorBatch, row: int) -> dict[str, Any]:
        """What a person gets to see of an answer for review, and how much its label would help."""
        decision, features = decided.decision, self._features(batch, row)
        kind, _, name = ("" if self.config.review is None else self.config.review.priority).partition(":")
        priority = decision.urgency
        if kind == "rare":
            priority = (priority + decided.rarity) / 2.0
        elif kind == "value":
            priority *= abs(float(features.get(name, 0.0)))
        return {
            "prediction": decided.predicted, "scores": decided.scores, "model": decided.model,
            decision.by: decision.value, "priority": priority, "features": features,
        }  # fmt: skip

    def _features(self, batch: MonitorBatch, row: int) -> dict[str, float | str]:
        """Without missing and sensitive ones."""
        numbers = {n: float(batch.numeric[row, at]) for n, at in self._numeric.items()}
        texts = {n: batch.categorical[row][at] for n, at in self._texts.items()}
        known: dict[str, float | str] = {n: value for n, value in numbers.items() if not math.isnan(value)}
        return known | {n: text for n, text in texts.items() if text is not None}

    def flush(self) -> list[tuple[int, Spoken]]:
        """Let the detectors see the decisions since the last call; the alarms, each with its prediction's number."""
        if not self._decided:
            return []
        numbers = [number for number, _ in self._decided]
        bits = np.array([[review] for _, review in self._decided], dtype=np.float64)
        self._decided = []
        spoken = self.signal.update(bits, np.array(numbers, dtype=np.int64))
        return [(numbers[said.row], said) for said in spoken]

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint; nothing may be waiting for `flush`."""
        return {
            "counts": self.counts,
            "recent": self.recent.state(),
            "classes": self._classes,
            "signal": self.signal.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        self.counts, self._classes = dict(state["counts"]), dict(state["classes"])
        self.recent.load(state["recent"])
        self.signal.load(state["signal"])
