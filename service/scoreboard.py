"""Who was right: prequential scores of the producer per version, of every member, and of the last label; and the same
per segment.

A prediction is scored when it matures, against the answers as made; a correction or a late label re-scores it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from learners.prequential import ClassificationScore, RegressionScore
from service.config import MonitorConfig
from service.segments import Segments
from stream.join import PendingPrediction

__all__ = ["Scoreboard"]

_OTHER, _NO_CHANGE = "other", "no_change"
_MANY = 50  # from so many rows on a block of them is scored faster than one after the other


class Scoreboard:
    """Scores by name: `producer:VERSION`, the names of members, `no_change`."""

    def __init__(self, config: MonitorConfig) -> None:
        self.config = config
        self.classification = config.task == "classification"
        self.scores: dict[str, Any] = {}
        self.versions: list[str] = []
        self.coverage: dict[str, list[int]] = {}
        self.version_coverage: dict[str, list[int]] = {}
        self.segments = Segments(config)
        self._known: dict[tuple[str | None, ...], tuple[str, ...]] = {}
        self._waiting: list[PendingPrediction] = []

    def version(self, version: str) -> str:
        """The name under which a producer's version is kept; beyond `max_versions` they share one."""
        if version not in self.versions:
            if len(self.versions) >= self.config.max_versions:
                return _OTHER
            self.versions.append(version)
        return version

    def _score(self, name: str) -> Any:
        score = self.scores.get(name)
        if score is None:
            if self.classification:
                score = ClassificationScore(self.config.metrics_window, self.config.max_classes)
            else:
                score = RegressionScore(self.config.metrics_window)
            self.scores[name] = score
        return score

    def _who(self, row: PendingPrediction) -> tuple[str, ...]:
        """Who answered, by name; a row that went through a checkpoint has its answers in another order."""
        producer = None if row.prediction is None else f"producer:{self.version(row.version)}"
        known = self._known.get((producer, *row.answers))
        if known is None:
            names = (*sorted(row.answers), *(() if producer is None else (producer,)), _NO_CHANGE)
            known = self._known[producer, *row.answers] = names
        return known

    def _answers(self, row: PendingPrediction) -> list[tuple[str, Any, Any]]:
        others: dict[str, Any] = {_NO_CHANGE: (row.no_change, None)}
        produced = (row.prediction, row.scores)
        return [(name, *(row.answers.get(name) or others.get(name, produced))) for name in self._who(row)]

    def cover(self, row: PendingPrediction) -> None:
        """Count a prediction that matured, by the class that was predicted, by version and by segment."""
        predicted = "all"
        if self.classification:
            given = row.prediction if row.served is None else row.answers[row.served][0]
            predicted = "none" if given is None else str(given)
        counts = self.coverage.get(predicted)
        if counts is None:
            if len(self.coverage) >= self.config.max_classes:
                predicted = _OTHER
            counts = self.coverage.setdefault(predicted, [0, 0])
        counts[0] += 1
        counts[1] += row.label is not None
        if row.prediction is not None:
            counts = self.version_coverage.setdefault(self.version(row.version), [0, 0])
            counts[0] += 1
            counts[1] += row.label is not None
        self.segments.cover(row)

    def add(self, row: PendingPrediction) -> None:
        """Score a prediction that has a label, with the next `settle`; until then it must stay as it is."""
        self._waiting.append(row)

    def settle(self) -> None:
        """Score what was put off; the tickets are kept in the rows."""
        rows, self._waiting = self._waiting, []
        if self.segments.wanted:
            for row in rows:
                self.segments.add(row, self._answers(row))
        by_name: dict[str, list[PendingPrediction]] = {}
        for names, alike in groupby(rows, self._who):
            run = list(alike)
            for name in names:
                by_name.setdefault(name, []).extend(run)
        for name, own in by_name.items():
            for row, ticket in zip(own, self._settle_one(name, own), strict=True):
                row.tickets[name] = ticket

    def _settle_one(self, name: str, rows: list[PendingPrediction]) -> Iterable[int]:
        """Score the answers of `name`, which all these rows have; gives their tickets."""
        score = self._score(name)
        truths: list[Any] = [row.label for row in rows]
        before = [row.no_change for row in rows]
        predicted: list[Any] = before
        told: list[dict[str, float] | None] = [None] * len(rows)
        if name in rows[0].answers:
            said = [row.answers[name] for row in rows]
            predicted, told = [answer[0] for answer in said], [answer[1] for answer in said]
        elif name != _NO_CHANGE:
            predicted, told = [row.prediction for row in rows], [row.scores for row in rows]
        if not self.classification:
            return [score.add(*each) for each in zip(truths, predicted, before, strict=True)]
        chances = [None if s is None else s.get(t, 0.0) for s, t in zip(told, truths, strict=True)]
        if len(rows) < _MANY:
            return [score.add(*each) for each in zip(truths, predicted, chances, before, strict=True)]
        first: int = score.add_many(truths, predicted, chances, before)
        return range(first, first + len(rows))

    def revise(self, row: PendingPrediction, old: str | float) -> None:
        """Score a prediction again after a correction of its label `old`, before which all was settled."""
        answers = self._answers(row)
        self.segments.revise(row, old, answers)
        for name, predicted, scores in answers:
            ticket = row.tickets.get(name)
            if ticket is None:
                continue
            if self.classification:
                before = None if scores is None else scores.get(str(old), 0.0)
                after = None if scores is None else scores.get(str(row.label), 0.0)
                self._score(name).revise(
                    ticket, old, row.label, predicted=predicted, old_probability=before, new_probability=after,
                    no_change=row.no_change,
                )  # fmt: skip
            else:
                self._score(name).revise(ticket, old, row.label, predicted=predicted, no_change=row.no_change)

    def forget(self, name: str) -> None:
        """Begin the scores of `name` anew, over everything and in every segment."""
        self.settle()
        self.scores.pop(name, None)
        self.segments.forget(name)

    def summaries(self) -> dict[str, dict[str, Any]]:
        """All figures by name, over everything, with those of the sliding window under `window`."""
        self.settle()
        return {name: score.summary() | {"window": score.window_summary()} for name, score in self.scores.items()}

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint; segments are a part of their own."""
        self.settle()
        return {
            "names": list(self.scores),
            "scores": {name: score.state() for name, score in self.scores.items()},
            "versions": self.versions,
            "coverage": self.coverage,
            "version_coverage": self.version_coverage,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        kind: Any = ClassificationScore if self.classification else RegressionScore
        self.scores = {name: kind.from_state(state["scores"][name]) for name in state["names"]}
        self.versions = list(state["versions"])
        self.coverage = {name: list(counts) for name, counts in state["coverage"].items()}
        self.version_coverage = {name: list(counts) for name, counts in state["version_coverage"].items()}
