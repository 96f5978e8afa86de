"""The one JSON object that `replay` and `demo --once` print: what was read, joined, found and scored."""

from __future__ import annotations

from typing import Any

from service.fold import MonitorFold
from service.view import agreement_view, producer_views, segment_views

__all__ = ["monitor_summary", "summary"]

_OF_THE_NEWEST = ("window", "loses_to")  # the summary is of everything


def monitor_summary(fold: MonitorFold, drifts: list[dict[str, Any]], state_sha256: str) -> dict[str, Any]:
    """Counts, drift records, the producer's and the learners' figures of one monitor, over everything."""
    counts = fold.join.counts
    figures = fold.scoreboard.summaries()
    producer = {version: _over_all(s) for version, s in producer_views(fold, figures).items()}
    learners = {
        _shown(fold, n): _over_all(s) | _name(fold, n)
        for n, s in figures.items()
        if n in fold.committee.members or n == "no_change"
    }
    return {
        "predictions": counts.predictions,
        "labels": counts.labels,
        "joined": counts.joined,
        "late": counts.late + counts.too_late,
        "corrections": counts.corrections,
        "duplicates": counts.duplicates + counts.duplicate_predictions,
        "pending": counts.open,
        "unlabelled": counts.unlabelled,
        "coverage": {
            name: {"matured": matured, "labelled": labelled}
            for name, (matured, labelled) in sorted(fold.scoreboard.coverage.items())
        },
        "drifts": drifts,
        "producer": next(iter(producer.values())) if len(producer) == 1 else producer,
        "learners": learners,
        "agreement": agreement_view(fold),
        "segments": segment_views(fold, window=False),
        "replacements": {n: m.replacements for n, m in fold.committee.members.items() if m.policy is not None},
        "state_sha256": state_sha256,
    }


def _over_all(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name not in _OF_THE_NEWEST}


def _shown(fold: MonitorFold, name: str) -> str:
    return "champion" if name == fold.committee.champion else name


def _name(fold: MonitorFold, name: str) -> dict[str, str]:
    return {"name": name} if name == fold.committee.champion else {}


def summary(events: int, seconds: float, cpu_seconds: float, rejected: dict[str, int]) -> dict[str, Any]:
    """The head of the object."""
    return {
        "events": events,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "events_per_second": round(events / seconds, 1) if seconds > 0 else None,
        "rejected": {str(reason): count for reason, count in sorted(rejected.items())},
    }
