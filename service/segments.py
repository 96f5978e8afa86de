"""Who was right in which part of the stream: the producer's versions and the learners, per configured segment.

A segment is a value that a prediction carries under a configured key, as `channel=web`. A prediction gets its segments
when it arrives; past the cap new values share the segment `other`, so that no stream can make up work or memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from learners.prequential import ClassificationScore, RegressionScore
from stream.join import PendingPrediction

if TYPE_CHECKING:
    from service.config import MonitorConfig

__all__ = ["OTHER", "Segments", "scored"]

OTHER = "other"  # no other name is without a `=`
_BASELINES = frozenset({"majority", "mean", "no_change", "probe"})

Value = str | tuple[str, ...]
Answers = Iterable[tuple[str, Any, Any]]


def scored(name: str) -> bool:
    """Whether the member `name` has figures per segment: the producer's versions and the learners do."""
    return name not in _BASELINES


class Segments:
    """Scores and label coverage of one monitor, per segment.

    Parameters
    ----------
    config
        `segments` names the keys, each one a slice of the event's `segment`, or else a categorical or boolean feature;
        parts joined by `+` make a segment of each combination. `max_segments` caps how many there may be.

    Notes
    -----
    Costs nothing without keys; else about 0.3 µs a key and prediction, and 2 µs a segment and member for each label.
    A score keeps 16 bytes (regression: 300) for each of the last `segment_window` labels of its segment.
    """

    def __init__(self, config: MonitorConfig) -> None:
        self.config = config
        self.wanted = bool(config.segments)
        self.classification = config.task == "classification"
        self.scores: dict[str, dict[str, Any]] = {}
        self.coverage: dict[str, list[int]] = {}
        self._keys = [tuple(key.split("+")) for key in config.segments]
        self._known: list[dict[Value, str]] = [{} for _ in self._keys]
        texts = [name for name, feature in config.features.items() if feature.type != "numeric"]
        self._features = {name: place for place, name in enumerate(texts)}
        self._shown: dict[tuple[str, str], dict[str, Any]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._known))

    def of(
        self, slices: Mapping[str, str] | None, categories: Sequence[str | None]
    ) -> dict[str, dict[str, int]] | None:
        """The segments of a prediction, each with the tickets under which it will be scored: none yet."""
        if not self.wanted:
            return None
        found: dict[str, dict[str, int]] = {}
        for key, known in zip(self._keys, self._known, strict=True):
            parts = [self._value(part, slices, categories) for part in key]
            if None not in parts:
                value = parts[0] if len(parts) == 1 else tuple(parts)
                found[known.get(value) or self._admit(key, known, value)] = {}  # type: ignore[arg-type]  # none is None
        return found or None

    def _value(self, part: str, slices: Mapping[str, str] | None, categories: Sequence[str | None]) -> str | None:
        if slices is not None and part in slices:
            return slices[part]
        place = self._features.get(part)
        return None if place is None else categories[place]

    def _admit(self, key: tuple[str, ...], known: dict[Value, str], value: Value) -> str:
        if len(self) >= self.config.max_segments:
            return OTHER
        known[value] = _name(key, value)
        return known[value]

    def cover(self, row: PendingPrediction) -> None:
        """Count a prediction that matured in its segments."""
        for name in row.segments or ():
            counts = self.coverage.setdefault(name, [0, 0])
            counts[0] += 1
            counts[1] += row.label is not None

    def add(self, row: PendingPrediction, answers: Answers) -> None:
        """Score a prediction that has a label; the tickets are kept in the row."""
        if row.segments is None:
            return
        label = row.label
        for name, predicted, scores in answers:
            if not scored(name):
                continue
            probability = None if scores is None else scores.get(label, 0.0)
            for segment, tickets in row.segments.items():
                score = self._score(segment, name)
                if self.classification:
                    tickets[name] = score.add(label, predicted, probability, row.no_change)
                else:
                    tickets[name] = score.add(label, predicted, row.no_change)

    def revise(self, row: PendingPrediction, old: str | float, answers: Answers) -> None:
        """Score a prediction again after a correction of its label `old`."""
        if row.segments is None:
            return
        for name, predicted, scores in answers:
            for segment, tickets in row.segments.items():
                if name not in tickets:
                    continue
                score, rest = self._score(segment, name), {"predicted": predicted, "no_change": row.no_change}
                if self.classification:
                    rest["old_probability"] = None if scores is None else scores.get(str(old), 0.0)
                    rest["new_probability"] = None if scores is None else scores.get(str(row.label), 0.0)
                score.revise(tickets[name], old, row.label, **rest)

    def _score(self, segment: str, name: str) -> Any:
        self._shown.pop((segment, name), None)
        scores = self.scores.setdefault(segment, {})
        score = scores.get(name)
        if score is None:
            window = self.config.segment_window
            score = ClassificationScore(window, self.config.max_classes) if self.classification else None
            score = scores[name] = score or RegressionScore(window)
        return score

    def forget(self, name: str) -> None:
        """Begin the scores of the member `name` anew in every segment."""
        for scores in self.scores.values():
            scores.pop(name, None)
        self._shown = {}

    def summaries(self, *, window: bool = True) -> dict[str, dict[str, dict[str, Any]]]:
        """Figures by segment and member, those of the sliding window under `window`."""
        return {
            segment: {
                name: self._figures(segment, name, score) if window else score.summary()
                for name, score in scores.items()
            }
            for segment, scores in self.scores.items()
        }

    def _figures(self, segment: str, name: str, score: Any) -> dict[str, Any]:
        """Counted anew only where a label has come since: most segments are quiet most of the time."""
        shown = self._shown.get((segment, name))
        if shown is None:
            shown = self._shown[segment, name] = score.summary() | {"window": score.window_summary()}
        return shown

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        return {
            "known": [[[value] if isinstance(value, str) else list(value) for value in known] for known in self._known],
            "scores": {
                segment: {name: score.state() for name, score in scores.items()}
                for segment, scores in self.scores.items()
            },
            "coverage": self.coverage,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        kind: Any = ClassificationScore if self.classification else RegressionScore
        for key, known, values in zip(self._keys, self._known, state["known"], strict=True):
            known.clear()
            for parts in values:
                value = parts[0] if len(parts) == 1 else tuple(parts)
                known[value] = _name(key, value)
        self.scores = {
            segment: {name: kind.from_state(saved) for name, saved in scores.items()}
            for segment, scores in state["scores"].items()
        }
        self.coverage = {name: list(counts) for name, counts in state["coverage"].items()}
        self._shown = {}


def _name(key: tuple[str, ...], value: Value) -> str:
    """`channel=web`, or `channel+country=web+FR`; a `+` inside a combined value is written as in an address."""
    if isinstance(value, str):
        return f"{key[0]}={value}"
    return f"{'+'.join(key)}={'+'.join(part.replace('%', '%25').replace('+', '%2B') for part in value)}"
