"""Drift episodes and incidents: alarms with a life, and one notification for one cause.

An episode belongs to one signal and one detector. It opens at an alarm, takes further alarms in silence, and
resolves when the signal is back at its reference. Episodes whose onset intervals overlap are one incident.
Everything here is a function of the alarms and their order; nothing reads a clock.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import msgspec

__all__ = ["SEVERITIES", "Alarm", "Episode", "Episodes", "Incident", "Moment", "record_id", "rfc3339"]

SEVERITIES = ("note", "ticket", "page")
_PAGES = frozenset({"performance", "concept"})
_DRIFT, _WARNING, _CLEARED = 2, 1, -2
_MEMBERS_SHOWN = 512
_DIRECTIONS = {1: "up", -1: "down", 0: "both"}


class Moment(msgspec.Struct, frozen=True, gc=False):
    """Where in a monitor's order something happened; all counts are from the monitor's start."""

    predictions: int
    labels: int
    time_ms: int
    backfill: bool = False

    @property
    def event(self) -> int:
        """The number of the newest prediction, from 0."""
        return max(0, self.predictions - 1)


class Alarm(msgspec.Struct, frozen=True, gc=False):
    """What a detector said of a signal. `status`: 2 drift, 1 warning, -2 cleared (level detectors).

    `level` detectors compare a window with the reference and clear by themselves; the others signal a change of
    mean, so their episode resolves when changes in the other direction have undone half of the displacement.
    """

    signal: str
    kind: str
    detector: str
    status: int
    direction: int
    statistic: float
    threshold: float
    effect: float
    onset: int
    onset_low: int
    onset_high: int
    n: int
    level: bool
    opens: bool = True
    facts: dict[str, Any] = {}


class Episode(msgspec.Struct):
    """The life of one alarm; `record` is its newest drift record."""

    id: str
    signal: str
    detector: str
    seq: int
    open: bool
    displacement: float
    peak: float
    closed_event: int
    incident: str
    record: dict[str, Any]
    alarms: int = 1


class Incident(msgspec.Struct):
    """Episodes with one cause, as far as their onset intervals tell."""

    id: str
    low: int
    high: int
    severity: str
    kind: str
    first_event: int
    time_ms: int
    open: list[str]
    episodes: list[str]
    signals: list[str]


class Episodes:
    """All episodes of one monitor. Bounded: closed episodes are forgotten once their cooldown has passed."""

    def __init__(self, pipeline: str, monitor: str, *, cooldown: int) -> None:
        self._pipeline, self._monitor = pipeline, monitor
        self.cooldown = cooldown
        self.episodes: dict[str, Episode] = {}
        self.incidents: dict[str, Incident] = {}
        self.planned_until_ms = -(1 << 62)
        self.calm_since_ms: int | None = None
        self.opened = 0
        self.by_status: dict[str, int] = {}

    def take(self, alarm: Alarm, moment: Moment, *, version: str, maturity: float | None) -> list[dict[str, Any]]:
        """Fold one alarm; returns the drift records that it causes (none, or one)."""
        key = f"{alarm.signal}/{alarm.detector}"
        episode = self.episodes.get(key)
        if alarm.status == _CLEARED:
            return [self._close(key, episode, moment, "back")] if episode is not None and episode.open else []
        if alarm.status == _WARNING:
            return []
        if not alarm.opens and (episode is None or not episode.open):
            return []
        if episode is not None and episode.open:
            return self._again(key, episode, alarm, moment)
        context = {"model_version": version or None, "maturity": maturity}
        if episode is not None and moment.event - episode.closed_event < self.cooldown:
            return [self._reopen(episode, alarm, moment, context)]
        return [self._open(key, alarm, moment, context)]

    def _again(self, key: str, episode: Episode, alarm: Alarm, moment: Moment) -> list[dict[str, Any]]:
        episode.alarms += 1
        if alarm.level:
            return []
        episode.displacement += alarm.direction * abs(alarm.effect)
        if abs(episode.displacement) > abs(episode.peak):
            episode.peak = episode.displacement
        back = episode.displacement * episode.peak <= 0 or abs(episode.displacement) < 0.5 * abs(episode.peak)
        return [self._close(key, episode, moment, "back")] if back else []

    def _open(self, key: str, alarm: Alarm, moment: Moment, context: dict[str, Any]) -> dict[str, Any]:
        self.opened += 1
        episode_id = self._id(moment, alarm, "episode")
        displacement = alarm.direction * abs(alarm.effect)
        episode = Episode(
            id=episode_id, signal=alarm.signal, detector=alarm.detector, seq=0, open=True, displacement=displacement,
            peak=displacement, closed_event=-1, incident="", record={},
        )  # fmt: skip
        self.episodes[key] = episode
        return self._drift(episode, alarm, moment, context)

    def _reopen(self, episode: Episode, alarm: Alarm, moment: Moment, context: dict[str, Any]) -> dict[str, Any]:
        episode.open = True
        episode.displacement = episode.peak = alarm.direction * abs(alarm.effect)
        return self._drift(episode, alarm, moment, context)

    def _drift(self, episode: Episode, alarm: Alarm, moment: Moment, context: dict[str, Any]) -> dict[str, Any]:
        episode.seq += 1
        severity = self._severity(alarm, moment)
        incident, notification = self._join_incident(episode, alarm, moment, severity)
        episode.incident = incident.id
        record = _record(alarm) | context
        record |= self._head(episode, moment, "drift") | {"incident": incident.id, "severity": severity}
        record["notification"] = notification
        episode.record = record
        self._count("drift")
        return record

    def _close(self, key: str, episode: Episode, moment: Moment, resolution: str) -> dict[str, Any]:
        episode.seq += 1
        episode.open = False
        episode.closed_event = moment.event
        record = episode.record | self._head(episode, moment, "resolved") | {"resolution": resolution}
        record["notification"] = None
        incident = self.incidents.get(episode.incident)
        if incident is not None and episode.id in incident.open:
            incident.open.remove(episode.id)
            if not incident.open:
                if incident.severity == "page":
                    self.calm_since_ms = moment.time_ms
                record |= {"notification": "resolved", "severity": incident.severity}
        episode.record = record
        self._count("resolved")
        return record

    def accept(self, moment: Moment) -> list[dict[str, Any]]:
        """Close every open episode because a person took the present as the new normal."""
        return [self._close(k, e, moment, "accepted") for k, e in list(self.episodes.items()) if e.open]

    def forget_old(self, event: int) -> None:
        """Drop closed episodes and incidents whose cooldown has passed."""
        for key in [k for k, e in self.episodes.items() if not e.open and event - e.closed_event > self.cooldown]:
            del self.episodes[key]
        kept = {episode.incident for episode in self.episodes.values()}
        for incident in [i.id for i in self.incidents.values() if not i.open and i.id not in kept]:
            del self.incidents[incident]

    def _head(self, episode: Episode, moment: Moment, status: str) -> dict[str, Any]:
        return {
            "id": self._id(moment, episode, f"{status}/{episode.seq}"),
            "episode": episode.id,
            "seq": episode.seq,
            "monitor": self._monitor,
            "status": status,
            "event": moment.event,
            "time": rfc3339(moment.time_ms),
        }

    def _id(self, moment: Moment, of: Alarm | Episode, ordinal: str) -> str:
        return record_id(self._pipeline, self._monitor, moment, signal=of.signal, detector=of.detector, ordinal=ordinal)

    def _severity(self, alarm: Alarm, moment: Moment) -> str:
        if moment.backfill or moment.time_ms < self.planned_until_ms:
            return "note"
        # Errors that fall are news for working hours: nobody is woken because a model does better.
        return "page" if alarm.kind in _PAGES and alarm.direction >= 0 else "ticket"

    def _join_incident(
        self, episode: Episode, alarm: Alarm, moment: Moment, severity: str
    ) -> tuple[Incident, str | None]:
        """The incident of a new alarm, and what to tell people: it opened, it got worse, or nothing new."""
        for incident in self.incidents.values():
            if incident.open and alarm.onset_low <= incident.high and incident.low <= alarm.onset_high:
                worse = SEVERITIES.index(severity) > SEVERITIES.index(incident.severity)
                if worse:
                    incident.time_ms = moment.time_ms  # since when it is as bad as it is
                return _extend(incident, episode, alarm, severity), "escalated" if worse else None
        incident = Incident(
            id=self._id(moment, alarm, "incident"),
            low=alarm.onset_low, high=alarm.onset_high, severity=severity, kind=alarm.kind,
            first_event=moment.event, time_ms=moment.time_ms, open=[episode.id], episodes=[episode.id],
            signals=[alarm.signal],
        )  # fmt: skip
        self.incidents[incident.id] = incident
        return incident, "opened"

    def _count(self, status: str) -> None:
        self.by_status[status] = self.by_status.get(status, 0) + 1

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        return {
            "episodes": msgspec.to_builtins(self.episodes),
            "incidents": msgspec.to_builtins(list(self.incidents.values())),
            "order": list(self.episodes),
            "planned_until_ms": self.planned_until_ms,
            "calm_since_ms": self.calm_since_ms,
            "opened": self.opened,
            "by_status": self.by_status,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        episodes = msgspec.convert(state["episodes"], dict[str, Episode])
        self.episodes = {key: episodes[key] for key in state["order"]}
        self.incidents = {i.id: i for i in msgspec.convert(state["incidents"], list[Incident])}
        self.planned_until_ms, self.opened = state["planned_until_ms"], state["opened"]
        self.calm_since_ms = state["calm_since_ms"]
        self.by_status = dict(state["by_status"])


def _extend(incident: Incident, episode: Episode, alarm: Alarm, severity: str) -> Incident:
    incident.low = min(incident.low, alarm.onset_low)
    incident.high = max(incident.high, alarm.onset_high)
    if SEVERITIES.index(severity) > SEVERITIES.index(incident.severity):
        incident.severity, incident.kind = severity, alarm.kind
    for members, value in ((incident.open, episode.id), (incident.episodes, episode.id)):
        if value not in members and len(members) < _MEMBERS_SHOWN:
            members.append(value)
    if alarm.signal not in incident.signals:
        incident.signals.append(alarm.signal)
    return incident


def _record(alarm: Alarm) -> dict[str, Any]:
    return {
        "kind": alarm.kind,
        "signal": alarm.signal,
        "detector": alarm.detector,
        "direction": _DIRECTIONS[alarm.direction],
        "onset": {"event": alarm.onset, "low": alarm.onset_low, "high": alarm.onset_high},
        "statistic": alarm.statistic,
        "threshold": alarm.threshold,
        "effect": alarm.effect,
        "n": alarm.n,
        "n_effective": None,
        "return_period_events": None,
        "grade": "estimated",
        "p_nominal": None,
        "suspects": [],
    } | alarm.facts


def record_id(pipeline: str, monitor: str, moment: Moment, *, signal: str, detector: str, ordinal: str) -> str:
    """The id of an output: the same for a repeat of the same fold, whatever the batches were."""
    text = "\x1f".join((pipeline, monitor, "", str(moment.predictions), str(moment.labels), signal, detector, ordinal))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def rfc3339(time_ms: int) -> str:
    """Milliseconds since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
