"""The ledger of model versions of one monitor: which learner became a version when, why, and of which data it knows.

A newcomer needs one fact: the fold says *when* (`begin`, `follow`), and this module sees by itself what changed, by
comparing the committee's learners and champion with those it saw last; each version comes out as one output that
carries the snapshot of exactly that event.

Reasons: `started` (the reference ended), `retired` (the last of a learner that another one replaces), `replaced` (the
learner that took over), `restored` (an old snapshot was put back), `promoted`, `rolled_back` (it became the champion).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.deferred import Moment
    from service.fold import MonitorFold
    from service.members import Committee, Lesson, Succession

__all__ = ["REASONS", "LearnedRange", "Versions"]

REASONS = ("started", "retired", "replaced", "restored", "promoted", "rolled_back")

_NUMBER = attrgetter("number")
_ROLLED_BACK = frozenset({"roll_back", "rolled_back"})


@dataclass(slots=True)
class LearnedRange:
    """The labels that a learner was given: how many, and the first and last of their predictions by number and time.

    `first_event` and `last_event` are the smallest and the largest prediction number, -1 while there is none; times
    are event times in milliseconds.
    """

    labels: int = 0
    first_event: int = -1
    last_event: int = -1
    first_ms: int = 0
    last_ms: int = 0

    def add(self, number: int, time_ms: int) -> None:
        """One more label, of prediction `number` made at `time_ms`."""
        if not self.labels:
            self.first_event, self.first_ms, self.last_event, self.last_ms = number, time_ms, number, time_ms
        elif number > self.last_event:
            self.last_event, self.last_ms = number, time_ms
        elif number < self.first_event:
            self.first_event, self.first_ms = number, time_ms
        self.labels += 1

    def add_all(self, lessons: Sequence[Lesson]) -> None:
        """One more label of each."""
        if lessons:
            first, last = min(lessons, key=_NUMBER), max(lessons, key=_NUMBER)
            self.add(first.number, first.time_ms)
            self.add(last.number, last.time_ms)
            self.labels += len(lessons) - 2

    def row(self) -> list[int]:
        """The values, as the constructor takes them."""
        return [getattr(self, name) for name in self.__slots__]

    def shown(self) -> dict[str, int | None]:
        """As a version shows it; what is not known is null."""
        if not self.labels:
            return {"labels": 0, "first_event": None, "last_event": None, "first_ms": None, "last_ms": None}
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_shown(cls, shown: Mapping[str, Any]) -> LearnedRange:
        """What `shown` gave.

        Raises
        ------
        TypeError, ValueError
            it is not of that form.
        """
        values = {name: shown.get(name) for name in cls.__slots__}
        if not values["labels"]:
            return cls()
        for name, value in values.items():
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
                raise ValueError(f"learned.{name} = {value!r}: must be an integer from 0")
        return cls(**{name: int(value or 0) for name, value in values.items()})


@dataclass(slots=True)
class _Standing:
    """What stood in a learner's place when this module last looked; the object is no part of the state."""

    learner: Any
    generation: int = 0
    newest: int | None = None
    started: bool = False


class Versions:
    """Numbers versions 1, 2, … within a monitor and keeps for each learner its data range and its newest version."""

    def __init__(self, committee: Committee) -> None:
        self.next_version = 1
        self._champion = committee.champion
        self._standing: dict[str, _Standing] = {}
        self._origin: dict[str, tuple[int | None, LearnedRange]] = {}
        self.anew(committee)

    def anew(self, committee: Committee) -> None:
        """Begin with a committee whose learners have just been built; numbers go on."""
        self._champion = committee.champion
        self._standing = {
            name: _Standing(member.learner, member.replacements)
            for name, member in committee.members.items()
            if member.role == "learner"
        }
        self.unstarted = True  # whether a learner may be no version yet

    def begin(self, fold: MonitorFold) -> Iterator[dict[str, Any]]:
        """The reference has ended: every learner becomes a version, reason `started`, unless it was one before."""
        self.unstarted = False
        for name, standing in self._standing.items():
            if not standing.started:
                standing.started = True
                yield self._version(fold, name, "started", fold.committee.snapshot(name))

    def put_back(self, name: str, version: int | None, learned: LearnedRange) -> None:
        """The learner that `follow` is about to find in the place of `name` is that version's."""
        self._origin[name] = (version, learned)

    def succeed(self, fold: MonitorFold, name: str, moment: Moment, succession: Succession) -> list[dict[str, Any]]:
        """Bodies of the last version of a learner that its policy replaced, and of the first of its successor."""
        before, member = self._standing[name], fold.committee.members[name]
        made = [self._version(fold, name, "retired", succession.retired, learned=succession.retired_learned, at=moment)]
        self._standing[name] = _Standing(member.learner, before.generation + 1, before.newest, before.started)
        fresh, learned = succession.fresh, succession.fresh_learned
        return [*made, self._version(fold, name, "replaced", fresh, learned=learned, at=moment)]

    def follow(self, fold: MonitorFold, cause: str = "") -> list[dict[str, Any]]:
        """Bodies of the versions that `cause` (the action of an audit entry) has made; none where nothing changed."""
        made: list[dict[str, Any]] = []
        for name, standing in self._standing.items():
            if fold.committee.members[name].learner is not standing.learner:
                made += self._restored(fold, name, standing)
        self._origin.clear()
        champion = fold.committee.champion
        if champion != self._champion:
            self._champion = champion
            reason = "rolled_back" if cause in _ROLLED_BACK else "promoted"
            if champion is not None:
                made.append(self._version(fold, champion, reason, fold.committee.snapshot(champion)))
        return made

    def _restored(self, fold: MonitorFold, name: str, before: _Standing) -> Iterator[dict[str, Any]]:
        """A control put another learner in the place of `name`: the last of the old one, the first of the new one."""
        member = fold.committee.members[name]
        yield self._version(fold, name, "retired", before.learner.snapshot(), learned=member.learned)
        version, member.learned = self._origin.get(name, (None, LearnedRange()))
        newest = before.newest if version is None else version
        self._standing[name] = _Standing(member.learner, member.replacements, newest=newest, started=before.started)
        yield self._version(fold, name, "restored", fold.committee.snapshot(name), learned=member.learned)

    def _version(
        self, fold: MonitorFold, name: str, reason: str, snapshot: bytes, *, learned: LearnedRange | None = None,
        at: Moment | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """A version's body. With `learned` it is one of a succession, and has no figures of its own."""
        standing, number = self._standing[name], self.next_version
        self.next_version += 1
        config = fold.config.learners[name]
        parent, standing.newest = standing.newest, number
        known = fold.committee.members[name].learned if learned is None else learned
        return {
            "monitor": fold.name,
            "version": number,
            "learner": name,
            "reason": reason,
            "parent": parent,
            "generation": standing.generation,
            "champion": fold.committee.champion,
            "event": fold.join.next_number if at is None else at.event,
            "time_ms": fold.watermark.value_ms if at is None else at.time_ms,
            "estimator": config.estimator,
            "parameters": dict(config.parameters),
            "learned": known.shown(),
            "metrics": _figures(fold, name) if learned is None else {},
            "sha256": hashlib.sha256(snapshot).hexdigest(),
            "bytes": len(snapshot),
            "snapshot": snapshot,
        }

    def state(self, committee: Committee) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        learners = {}
        for name, standing in self._standing.items():
            learned, warmed = committee.members[name].taught()
            place = [standing.generation, standing.newest, standing.started]
            learners[name] = [*place, learned.row(), warmed.row()]
        return {"next_version": self.next_version, "champion": self._champion, "learners": learners}

    def load(self, state: Mapping[str, Any], committee: Committee, *, anew: set[str]) -> None:
        """Restore what `state` gave, over a committee that has been restored already, but for those that were built
        `anew`: each of these will be a version that follows the newest of its name."""
        self.anew(committee)
        self.next_version = state["next_version"]
        for name, (generation, newest, started, learned, warmed) in state["learners"].items():
            standing = self._standing.get(name)
            if standing is None:
                continue
            standing.newest = newest
            if name not in anew:
                standing.generation, standing.started = generation, started
                committee.members[name].know(LearnedRange(*learned), LearnedRange(*warmed))
        self.unstarted = not all(standing.started for standing in self._standing.values())


def _figures(fold: MonitorFold, name: str) -> dict[str, Any]:
    fold.scoreboard.settle()
    score = fold.scoreboard.scores.get(name)
    return {} if score is None else score.summary() | {"window": score.window_summary()}
