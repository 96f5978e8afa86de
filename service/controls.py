"""What each control event does to a monitor's fold; every one leaves an audit entry."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from service.episodes import Moment
from service.versions import LearnedRange
from stream.events import Control

if TYPE_CHECKING:
    from service.fold import MonitorFold

__all__ = ["apply_control"]

_DAY_MS = 86_400_000
_LAST_MS = 253_402_300_799_999  # the year 9999: a larger number may not even fit a checkpoint
Outputs = Iterator[tuple[str, dict[str, Any]]]


def apply_control(fold: MonitorFold, control: Control, moment: Moment) -> Outputs:
    """Carry out `control`; yields (kind, body) of what it causes. One that cannot be carried out says why."""
    action = _ACTIONS[control.action]
    refused = ""
    try:
        yield from action(fold, control.parameters, moment)
    except KeyError as error:
        refused = f"parameter {error} is missing"
    except (TypeError, ValueError, OverflowError) as error:
        refused = str(error)
    if control.action == "tick" and not refused:
        return
    # A snapshot stands in the log and in its file; the trail names it by its hash.
    parameters = {name: value for name, value in control.parameters.items() if name != "snapshot"}
    entry = {"monitor": fold.name, "action": control.action, "parameters": parameters, "event": moment.event}
    yield "audit", entry | ({"refused": refused} if refused else {})


def _accept_reference(fold: MonitorFold, parameters: dict[str, Any], moment: Moment) -> Outputs:
    for record in fold.episodes.accept(moment):
        yield "drift", record
    fold.signals.restart()
    fold.errors.restart()
    fold.context.restart()
    fold.review.restart()
    fold.committee.renew_probe()
    fold.forget_scores("probe")
    if fold.config.canary is not None and fold.config.canary.model == "probe":
        fold.canary.restart()
    fold.reference_from = fold.join.next_number
    if fold.config.task == "regression":
        fold.contest.restart(fold.committee.champion, fold.join.next_number)


def _promote(fold: MonitorFold, parameters: dict[str, Any], moment: Moment) -> Outputs:
    name = str(parameters["learner"])
    if not fold.committee.promote(name):
        known = ", ".join(fold.config.learners) or "none is configured"
        raise ValueError(f"learner {name!r} is unknown or champion already; learners: {known}")
    fold.contest.promoted(name, moment.predictions)
    yield from ()


def _restore(fold: MonitorFold, parameters: dict[str, Any], moment: Moment) -> Outputs:
    """Put the snapshot that the event carries back as a learner: the fold may read nothing from outside."""
    name, version = str(parameters["learner"]), parameters.get("version")
    if version is not None and (not isinstance(version, int) or version < 1):
        raise ValueError(f"version = {version!r}: must be an integer from 1, or left out")
    snapshot = base64.b64decode(parameters["snapshot"], validate=True)
    found = hashlib.sha256(snapshot).hexdigest()
    if found != parameters["sha256"]:
        raise ValueError(f"sha256 = {parameters['sha256']!r:.80}: the snapshot that was sent has {found}")
    learned = LearnedRange.from_shown(dict(parameters.get("learned") or {}))
    fold.committee.restore(name, snapshot, str(parameters["estimator"]))
    fold.versions.put_back(name, version, learned)
    if parameters.get("promote") is True and fold.committee.promote(name):
        fold.contest.promoted(name, moment.predictions)
    yield from ()


def _roll_back(fold: MonitorFold, parameters: dict[str, Any], moment: Moment) -> Outputs:
    if not fold.committee.roll_back():
        raise ValueError("nothing to roll back to: no promotion since the start or the last roll-back")
    fold.contest.rolled_back(str(fold.committee.champion), moment.predictions)
    yield from ()


def _planned_change(fold: MonitorFold, parameters: dict[str, Any], moment: Moment) -> Outputs:
    until_ms = int(parameters.get("until_ms", moment.time_ms + _DAY_MS))
    if not moment.time_ms < until_ms <= _LAST_MS:
        raise ValueError(f"until_ms = {until_ms:.15g} is not between the event's time {moment.time_ms} and {_LAST_MS}")
    fold.episodes.planned_until_ms = until_ms
    yield from ()


def _erase(fold: MonitorFold, parameters: dict[str, Any], moment: Moment) -> Outputs:
    number = fold.join.find(str(parameters["id"]))
    fold.join.early.pop(str(parameters["id"]), None)
    if number >= 0:
        fold.join.row(number).features = []
        fold.join.touch(number)
    yield from ()


def _configuration(fold: MonitorFold, parameters: dict[str, Any], moment: Moment) -> Outputs:
    fold.configuration = str(parameters["version"])
    yield from ()


def _noted(fold: MonitorFold, parameters: dict[str, Any], moment: Moment) -> Outputs:
    yield from ()


_ACTIONS: dict[str, Callable[[MonitorFold, dict[str, Any], Moment], Outputs]] = {
    "accept_reference": _accept_reference,
    "configuration": _configuration,
    "erase": _erase,
    "planned_change": _planned_change,
    "promote": _promote,
    "quarantine": _noted,
    "restore": _restore,
    "roll_back": _roll_back,
    "tick": _noted,
}
