"""The read view: what pages, metrics and HTTP may see, built by the worker after a commit and never changed again.

Charts are sampled here and live in memory only; everything else is read off the committed state.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from service.disagreement import reading
from service.fold import MonitorFold
from service.standing import loses_to
from service.verdict import monitor_phase, verdict

__all__ = ["MonitorHistory", "agreement_view", "monitor_view", "producer_views", "segment_views", "signal_views"]

_POINTS_MAX = 600


class MonitorHistory:
    """Sampled series of one monitor and its newest drift records, for charts; bounded, thinned by halving."""

    def __init__(self) -> None:
        self._series: dict[str, list[list[float]]] = {}
        self._stride: dict[str, tuple[int, int]] = {}

    def sample(self, fold: MonitorFold, summaries: dict[str, dict[str, Any]]) -> None:
        """Add the present as one point of each series."""
        event = max(0, fold.join.next_number - 1)
        for name, summary in summaries.items():
            figure = summary["window"].get("accuracy" if fold.classification else "mae")
            label = name if not name.startswith("producer:") else _producer(name)
            self._add(f"{'accuracy' if fold.classification else 'mae'}:{label}", event, figure)
        for name, detectors in (fold.signals.latest() | fold.errors.latest() | fold.review.signal.latest).items():
            for detector, (statistic, threshold) in detectors.items():
                if math.isfinite(statistic) and math.isfinite(threshold) and threshold > 0:
                    self._add(f"statistic:{name}/{detector}", event, statistic / threshold)
        counts = fold.join.counts
        if counts.matured:
            self._add("coverage", event, (counts.matured - counts.unlabelled) / counts.matured)
        self._add("pending", event, counts.open)
        self._add("label_delay", event, None if fold.newest_delay_s is None else 1000 * fold.newest_delay_s)

    def _add(self, name: str, event: int, value: float | None) -> None:
        if value is None or not math.isfinite(value):
            return
        points = self._series.setdefault(name, [])
        if points and points[-1][0] == event:
            points[-1][1] = value
            return
        points.append([event, value])
        if len(points) > _POINTS_MAX:
            self._series[name] = points[::2]

    def series(self) -> dict[str, list[list[float]]]:
        """A copy that later samples do not change."""
        return {name: [list(point) for point in points] for name, points in self._series.items()}


def _producer(name: str) -> str:
    version = name.partition(":")[2]
    return f"producer@{version}" if version else "producer"


def monitor_view(fold: MonitorFold, history: MonitorHistory, state_sha256: str) -> dict[str, Any]:
    """Everything that may be said of one monitor as of the last commit."""
    join, counts = fold.join, fold.join.counts
    summaries = fold.scoreboard.summaries()
    history.sample(fold, summaries)
    phase, detail = monitor_phase(fold)
    return {
        "name": fold.name,
        "task": fold.config.task,
        "phase": phase,
        "phase_detail": detail,
        "events_left": fold.signals.events_left,
        "verdict": verdict(fold, phase, detail),
        "counts": _counts(fold),
        "coverage": {
            "by_class": {c: {"matured": m, "labelled": n} for c, (m, n) in sorted(fold.scoreboard.coverage.items())}
        },
        "watermark_ms": fold.watermark.value_ms,
        "age_ms": join.age_ms,
        "bounds": {
            "pending": {"value": len(join), "cap": join.max_pending},
            "early": {"value": len(join.early), "cap": join.max_early},
            "categories": {
                "value": max((len(v) for v in fold.signals.vocabularies), default=0),
                "cap": fold.config.max_categories,
            },
            "classes": {"value": len(fold.scoreboard.coverage.keys() - {"other"}), "cap": fold.config.max_classes},
            "versions": {"value": len(fold.scoreboard.versions), "cap": fold.config.max_versions},
            **_segments_bound(fold),
        },
        "signals": signal_views(fold),
        "open": [e.record for e in fold.episodes.episodes.values() if e.open],
        "incidents": [_incident(i) for i in fold.episodes.incidents.values()],
        "producer": producer_views(fold, summaries),
        "learners": _learners(fold, summaries),
        "segments": segment_views(fold),
        "review": _review(fold),
        "agreement": agreement_view(fold),
        "canary": fold.canary.view(),
        "promotion": fold.contest.view(),
        "rejected": dict(fold.rejected),
        "series": history.series(),
        "state_sha256": state_sha256,
        "event": max(0, join.next_number - 1),
        "model_version": fold.newest_version,
        "drifts_by_status": dict(fold.episodes.by_status),
        "labels_seen": counts.labels,
    }


def _counts(fold: MonitorFold) -> dict[str, int]:
    counts: dict[str, int] = msgspec.to_builtins(fold.join.counts)
    counts["pending"] = counts.pop("open")
    counts["early"] = len(fold.join.early)
    counts["unknown_features"] = fold.unknown_features
    counts["filled_in"] = fold.signals.filled
    counts["episodes_opened"] = fold.episodes.opened
    counts["held_times"] = fold.watermark.held
    return counts


def _incident(incident: Any) -> dict[str, Any]:
    status = "open" if incident.open else "resolved"
    names = ", ".join(incident.signals[:3]) + (" and more" if len(incident.signals) > 3 else "")
    return {
        "id": incident.id,
        "severity": incident.severity,
        "status": status,
        "kind": incident.kind,
        "first_event": incident.first_event,
        "onset_low": incident.low,
        "onset_high": incident.high,
        "time_ms": incident.time_ms,
        "episodes": list(incident.episodes),
        "signals": list(incident.signals),
        "headline": f"{incident.kind} drift in {names}",
    }


def _review(fold: MonitorFold) -> dict[str, Any] | None:
    rule, review = fold.config.review, fold.review
    if rule is None:
        return None
    return {
        "of": rule.of,
        "margin": rule.margin,
        "spread": rule.spread,
        **review.counts,
        "window": {"n": review.recent.n, "share": review.recent.share},
    }


def _segments_bound(fold: MonitorFold) -> dict[str, dict[str, int]]:
    segments = fold.scoreboard.segments
    return {"segments": {"value": len(segments), "cap": fold.config.max_segments}} if segments.wanted else {}


def producer_views(fold: MonitorFold, summaries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Figures and label coverage of the producer's versions, in the order in which they were first judged."""
    covered = fold.scoreboard.version_coverage
    views = {version: {"coverage": _coverage(counts)} for version, counts in covered.items()}
    for name, figures in summaries.items():
        if name.startswith("producer:"):
            version = name.partition(":")[2]
            views[version] = figures | views.get(version, {}) | {"loses_to": loses_to(figures)}
    return views


def agreement_view(fold: MonitorFold) -> dict[str, Any]:
    """Whether the members agree, and whether features drift meanwhile."""
    drifts = any(e.open and e.record["kind"] == "data" for e in fold.episodes.episodes.values())
    return reading(fold.disagreement, fold.committee, features_drift=drifts)


def _coverage(counts: list[int]) -> dict[str, int]:
    return {"matured": counts[0], "labelled": counts[1]}


def segment_views(fold: MonitorFold, *, window: bool = True) -> dict[str, Any]:
    """Per segment the figures of the producer's versions, of the champion and of its challengers, and the coverage;
    with or without those of the sliding window."""
    segments = fold.scoreboard.segments
    champion, summaries = fold.committee.champion, segments.summaries(window=window)
    learners = fold.config.learners  # others, configured once, may have figures, too
    views: dict[str, Any] = {}
    for name in sorted(segments.coverage):
        figures = {n: s for n, s in summaries.get(name, {}).items() if n.startswith("producer:") or n in learners}
        views[name] = {
            "producer": {n.partition(":")[2]: s for n, s in figures.items() if n.startswith("producer:")},
            "champion": figures[champion] | {"name": champion} if champion in figures else None,
            "challengers": {n: s for n, s in figures.items() if n != champion and not n.startswith("producer:")},
            "coverage": _coverage(segments.coverage[name]),
        }
    return views


def _learners(fold: MonitorFold, summaries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    views: dict[str, Any] = {}
    for name, member in fold.committee.members.items():
        figures = summaries.get(name, {})
        views[name] = figures | {
            "role": fold.committee.role(name),
            "generation": member.replacements,
            "replacements": member.replacements,
            "failures": member.failures,
            "last_failure": member.last_failure or None,
        }
        if member.role != "baseline":
            views[name]["loses_to"] = loses_to(figures)
    if "no_change" in summaries:
        views["no_change"] = summaries["no_change"] | {"role": "baseline", "generation": 0, "replacements": 0}
    return views


def signal_views(fold: MonitorFold) -> list[dict[str, Any]]:
    """Phase and newest statistics of every signal."""
    signals = fold.signals
    phase = "watching" if signals.watching else ("learning_reference" if signals.seen else "waiting")
    detail = "" if signals.watching else f"{signals.events_left} predictions left"
    latest = signals.latest() | fold.errors.latest()
    open_now = {(e.signal, e.detector) for e in fold.episodes.episodes.values() if e.open}
    views = []
    for name, kind in zip(signals.names, signals.kinds, strict=True):
        blind = signals.blind.get(name)
        views.append(_signal(name, kind, ("blind", blind) if blind else (phase, detail), latest, open_now))
    quiet = [(name, "quality") for name in signals.quality_names]
    for name, kind in [*quiet, *([("joint", "data")] if signals.joint.wanted else [])]:
        views.append(_signal(name, kind, (phase, detail), latest, open_now))
    if fold.review.wanted:
        left = fold.review.signal.events_left
        own = ("learning_reference", _undecided(fold, left)) if left else ("watching", "")
        views.append(_signal("review", "prediction", own, fold.review.signal.latest, open_now))
    for name, signal in fold.errors.signals.items():
        own = ("watching", "") if signal.watching else ("learning_reference", f"{signal.events_left} labels left")
        views.append(_signal(name, fold.errors.kind(name), own, latest, open_now))
    return views


def _undecided(fold: MonitorFold, left: int) -> str:
    decided = sum(fold.review.counts.values())
    why = (
        "" if decided or not fold.join.counts.predictions else ": no answer yet came with scores, which a margin needs"
    )
    return f"{left} decisions left{why}"


def _signal(
    name: str, kind: str, phase: tuple[str, str], latest: dict[str, Any], open_now: set[tuple[str, str]]
) -> dict[str, Any]:
    # After a restart an open episode says that its detector is over, before it has been read again.
    read = latest.get(name, {})
    unread = {d: (math.nan, math.nan) for signal, d in sorted(open_now) if signal == name and d not in read}
    detectors = [
        {
            "detector": detector,
            "statistic": statistic if math.isfinite(statistic) else None,
            "threshold": threshold if math.isfinite(threshold) else None,
            "over": (name, detector) in open_now,
        }
        for detector, (statistic, threshold) in (read | unread).items()
    ]
    return {
        "name": name, "kind": kind, "phase": phase[0], "phase_detail": phase[1],
        "value": detectors[0]["statistic"] if detectors else None, "detectors": detectors,
    }  # fmt: skip
