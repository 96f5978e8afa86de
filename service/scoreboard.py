"""Who was right: prequential scores of the producer per version, of every member, and of the last label; and the same
per segment.

A prediction is scored when it matures, against the answers as made; a correction or a late label re-scores it.
"""

from __future__ import annotations

from typing import Any

from learners.prequential import ClassificationScore, RegressionScore
from service.config import MonitorConfig
from service.segments import Segments
from stream.join import PendingPrediction

__all__ = ["Scoreboard"]

_OTHER = "other"


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
        self._sorted: dict[tuple[str, ...], list[str]] = {}

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

    def _names(self, row: PendingPrediction) -> list[str]:
        """Who answered, by name: a row that went through a checkpoint has its answers in another order."""
        members = tuple(row.answers)
        names = self._sorted.get(members)
        if names is None:
            names = self._sorted[members] = sorted(members)
        return names

    def _answers(self, row: PendingPrediction) -> list[tuple[str, Any, Any]]:
        given = row.answers
        answers: list[tuple[str, Any, Any]] = [(name, *given[name]) for name in self._names(row)]
        if row.prediction is not None:
            answers.append((f"producer:{self.version(row.version)}", row.prediction, row.scores))
        answers.append(("no_change", row.no_change, None))
        return answers

    def cover(self, row: PendingPrediction) -> None:
        """Count a prediction that matured, by the class that was predicted, by version and by segment."""
        predicted = "all"
        if self.classification:
            given, _ = row.given()
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
        """Score a prediction that has a label; the tickets are kept in the row."""
        label, no_change, tickets, answers = row.label, row.no_change, row.tickets, self._answers(row)
        self.segments.add(row, answers)
        known, classification = self.scores, self.classification
        for name, predicted, scores in answers:
            score = known.get(name) or self._score(name)
            if classification:
                tickets[name] = score.add(
                    label, predicted, None if scores is None else scores.get(label, 0.0), no_change
                )
            else:
                tickets[name] = score.add(label, predicted, no_change)

    def revise(self, row: PendingPrediction, old: str | float) -> None:
        """Score a prediction again after a correction of its label `old`."""
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
        self.scores.pop(name, None)
        self.segments.forget(name)

    def summaries(self) -> dict[str, dict[str, Any]]:
        """All figures by name, over everything, with those of the sliding window under `window`."""
        return {name: score.summary() | {"window": score.window_summary()} for name, score in self.scores.items()}

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint; segments are a part of their own."""
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
