"""The contextual check: whether a small decision tree over judged predictions would split on time, and where.

It sees each labelled prediction once, when it is judged, with the features as they were.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from detectors import base
from detectors.context import ContextBank
from service.config import MonitorConfig
from service.episodes import Alarm
from service.error_signals import Heard
from service.learner_input import feature_names
from service.mean_signals import Spoken
from service.pairing import place, runs
from service.vocabulary import Vocabulary

__all__ = ["ContextSignal"]

_CLASSES = 16
_LARGEST = 1e100


class ContextSignal:
    """Feeds `ContextBank` with judged predictions.

    Parameters
    ----------
    order : place of the signal among the monitor's signals
    """

    def __init__(self, config: MonitorConfig, *, order: int) -> None:
        self.config, self.order = config, order
        self.wanted = bool(runs(config, "context"))
        self.latest: dict[str, dict[str, tuple[float, float]]] = {}
        self.names = feature_names(config.features)
        self.restart()

    def restart(self) -> None:
        """Forget all rows."""
        self._texts = [Vocabulary(self.config.max_categories) for _ in self.names] if self.wanted else []
        self._labels = Vocabulary(_CLASSES - 1)
        self._rows: list[list[float]] = []
        self._index: list[int] = []
        self._marks: list[tuple[int, float, bool]] = []
        self._seen = 0
        self._open = False
        section = self.config.detectors.context
        self._bank = ContextBank(
            len(self.names), task=self.config.task, window_n=section.window, test_every=section.test_every,
            alpha=section.alpha,
        ) if self.wanted and self.names else None  # fmt: skip

    def hear(self, features: list[Any], label: str | float, number: int, mark: tuple[int, float, bool]) -> None:
        """Keep a judged prediction until the block ends; without features (erased) there is nothing to compare."""
        if self._bank is None or not features:
            return
        row = [self._number(at, value) for at, value in enumerate(features)]
        row.append(float(self._labels.learn(str(label)) if self.config.task == "classification" else label))
        self._rows.append(row)
        self._index.append(number)
        self._marks.append(mark)

    def _number(self, at: int, value: Any) -> float:
        if value is None:
            return float("nan")
        if isinstance(value, str):
            return float(self._texts[at].learn(value))
        return max(-_LARGEST, min(_LARGEST, float(value)))

    def flush(self) -> list[Heard]:
        """Let the detector see what was kept; returns the alarms with their events."""
        if self._bank is None or not self._rows:
            return []
        rows, index = np.array(self._rows), np.array(self._index, dtype=np.int64)
        heard: list[Heard] = []
        every = self.config.detectors.context.test_every
        # A block ends where a tree is grown, so that an alarm is explained while its tree is the newest.
        edges = [0, *range(every - self._seen % every, len(rows), every), len(rows)]
        for first, until in itertools.pairwise(edges):
            result = self._bank.update_many(rows[first:until], index[first:until])
            heard += [self._speak(alarm, first) for alarm in result.alarms]
            self._open = self._open or bool(result.alarms)
            statistic, threshold = float(result.statistic[-1, 0]), float(result.threshold[-1, 0])
            self.latest["context"] = {"context": (statistic, threshold)}
            if self._open and statistic <= threshold:
                # No split on time is left: the window holds one context again.
                self._open = False
                heard.append(self._speak(_cleared(until - first - 1, index[until - 1], statistic, threshold), first))
        self._seen += len(rows)
        self._rows, self._index, self._marks = [], [], []
        return heard

    def _speak(self, alarm: Any, first: int) -> Heard:
        event, maturity, backfill = self._marks[first + alarm.row]
        facts = {
            "window": {"reference": None, "current": [alarm.onset, alarm.onset_high]},
            "where": self._where(),
        }
        said = Alarm(
            signal="context", kind="concept", detector="context", status=alarm.status, direction=alarm.direction,
            statistic=alarm.statistic, threshold=alarm.threshold, effect=alarm.effect, onset=alarm.onset,
            onset_low=alarm.onset_low, onset_high=alarm.onset_high, n=alarm.n, level=True, facts=facts,
        )  # fmt: skip
        spoken = Spoken(first + alarm.row, (self.order, place("context")), said)
        return Heard(event, spoken, "", None if maturity < 0 else maturity, backfill)

    def _where(self) -> list[str]:
        """For which inputs the relation changed, as conditions in the words of the features; none: for all."""
        explanation = None if self._bank is None else self._bank.explanation()
        if explanation is None:
            return []
        return [self._condition(column, relation, bound) for column, relation, bound in explanation.path]

    def _condition(self, column: int, relation: str, bound: float) -> str:
        codes = self._texts[column].codes
        if bound == float("inf"):
            return f"{self.names[column]} is {'there' if relation == '<=' else 'missing'}"
        if not codes:
            return f"{self.names[column]} {relation} {bound:g}"
        kept = sorted(text for text, code in codes.items() if (code <= bound) == (relation == "<="))
        return f"{self.names[column]} in {', '.join(kept[:8])}{', …' if len(kept) > 8 else ''}"

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint; nothing may be waiting."""
        return {
            "texts": [vocabulary.state() for vocabulary in self._texts],
            "labels": self._labels.state(),
            "seen": self._seen,
            "open": self._open,
            "bank": None if self._bank is None else self._bank.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        if self._bank is None:
            return
        for vocabulary, saved in zip(self._texts, state["texts"], strict=True):
            vocabulary.load(saved)
        self._labels.load(state["labels"])
        self._seen, self._open = state["seen"], state["open"]
        self._bank = ContextBank.from_state(state["bank"])


def _cleared(row: int, position: int, statistic: float, threshold: float) -> base.Alarm:
    at = int(position)
    return base.Alarm(row, 0, base.CLEARED, 0, statistic, threshold, 0.0, at, at, at, 0)
