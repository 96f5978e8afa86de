"""Is the model all right? Yes, no, or cannot tell; since when, why, and what to do."""

from __future__ import annotations

from typing import Any

from service.fold import MonitorFold

__all__ = ["monitor_phase", "verdict"]

_ANSWERS_NO = frozenset({"performance", "concept"})
_BLIND = "Send labels: only they show errors."
_TO_DO = {
    "performance": "Look at the newest errors below; if a release or a data change explains them, roll it back or "
    "accept it; else retrain, or promote the learner that does better on the same events.",
    "concept": "The relation of label and features moved: retrain on events since the onset, or promote the adaptive "
    "learner if its figures are better.",
}


def monitor_phase(fold: MonitorFold) -> tuple[str, str]:
    """The phase of a monitor, with what is missing in words."""
    counts = fold.join.counts
    if counts.predictions == 0:
        return "waiting", "no prediction has arrived yet"
    if not fold.signals.watching:
        left = fold.signals.events_left
        return "learning_reference", f"learning its reference, {left} predictions left"
    if counts.matured and counts.matured == counts.unlabelled:
        return "blind", "no label has arrived in time: errors cannot be seen, only features"
    if counts.labels == 0:
        return "blind", "no label has arrived yet: errors cannot be seen, only features"
    if counts.matured == 0:
        return "blind", "no prediction has come of age yet: none has been judged by its label"
    return "watching", ""


def verdict(fold: MonitorFold, phase: str, detail: str) -> dict[str, Any]:
    """The first line of the page."""
    bad = [i for i in fold.episodes.incidents.values() if i.open and i.kind in _ANSWERS_NO and i.severity == "page"]
    if bad:
        worst = min(bad, key=lambda incident: (incident.kind != "performance", incident.first_event))
        errors = [name for name in worst.signals if name.startswith("error:")] or worst.signals
        return {
            "answer": "no",
            "since_ms": worst.time_ms,
            "reason": f"{worst.kind} drift in {', '.join(errors[:3])} since about event {worst.low}",
            "what_to_do": _TO_DO[worst.kind],
        }
    since_ms = fold.episodes.calm_since_ms or fold.watching_since_ms or fold.watermark.value_ms
    if phase != "watching":
        return {
            "answer": "cannot_tell",
            "since_ms": since_ms,
            "reason": detail,
            "what_to_do": _BLIND if phase == "blind" else "Wait, and keep events coming.",
        }
    watched = [i for i in fold.episodes.incidents.values() if i.open]
    note = f"; {len(watched)} ticket(s) on data, not on errors" if watched else ""
    return {
        "answer": "yes",
        "since_ms": since_ms,
        "reason": f"errors are where they were in the reference{note}",
        "what_to_do": "Nothing." if not watched else "Nothing urgent: read the tickets below in working hours.",
    }
