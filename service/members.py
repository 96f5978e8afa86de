"""The committee of one monitor: learners, the frozen probe and the baselines, and how they adapt.

Each member answers every prediction when it arrives and learns when a label arrives. What it answered then is
kept with the prediction; nothing is answered in hindsight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from learners import LearnerError
from learners.adaptation import AdaptationPolicy, Repaired, Replacement
from learners.base import Features, Label, Learner
from learners.baselines import Majority, Mean
from learners.blocks import run_examples
from learners.build import build_learner
from learners.frozen import FrozenProbe
from learners.policies import build_policy
from service.config import LearnerConfig, MonitorConfig
from service.deferred import Answer, Block, Deferred, Moment, answer_of
from service.learner_input import feature_names
from service.versions import LearnedRange

__all__ = ["Alarm", "Committee", "Lesson", "Member", "Succession"]

Reaction = Replacement | Repaired
Adapted = tuple[Moment, dict[str, Any], "Succession | None"]  # when, what the audit says, who succeeded whom


class Lesson(msgspec.Struct, frozen=True, gc=False):
    """The label of an example, the number and time of its prediction, and when the label came."""

    moment: Moment
    label: Label
    number: int = 0
    time_ms: int = 0


class Alarm(NamedTuple):
    """A warning or a drift, which is what the policies of all members hear, or of one of that name."""

    moment: Moment
    is_drift: bool
    only: str | None = None


class Succession(NamedTuple):
    """A learner that was replaced and its successor, as of that moment, and what each has learned."""

    retired: bytes
    retired_learned: LearnedRange
    fresh: bytes
    fresh_learned: LearnedRange


class Member:
    """One learner with its role, its adaptation policy and how often it failed.

    Questions, lessons and alarms are put off until `work`, so that a compiled learner gets them as one block.
    """

    def __init__(self, name: str, role: str, learner: Any) -> None:
        self.name, self.role, self.learner = name, role, learner
        self.policy: AdaptationPolicy | None = None
        self.failures = 0
        self.replacements = 0
        self.last_failure = ""
        self._deferred: Deferred  # of the work at hand
        self.learned, self.warmed = LearnedRange(), LearnedRange()  # what the learner was taught, and the one behind it
        self._warming: Learner | None = None
        self._swapped: list[int] = []  # orders of the last work's replacements

    def answer(self, x: Features) -> Answer:
        """`[predicted, scores]` for the features `x`, at once; `[None, None]` when the member cannot tell or fails."""
        (result,) = run_examples(self.learner, [(x, None)])
        if isinstance(result, LearnerError):
            self._failed([result])
        return answer_of(result)

    def work(self, block: Block, lessons: Sequence[Lesson], alarms: Sequence[Alarm]) -> list[Adapted]:
        """Do what was put off, and let the policy react to lessons and alarms in their order."""
        adapted: list[Adapted] = []
        self._swapped = []
        self._deferred = Deferred(self.name, block)
        if self.policy is None:
            if self.role == "learner":
                self.learned.add_all(lessons)
        else:
            # At one place the lesson comes first: an alarm belongs to the event behind it.
            told: list[Lesson | Alarm] = [*lessons, *alarms]
            told.sort(key=lambda t: (t.moment.order, isinstance(t, Alarm)))
            at = 0
            while at < len(told):
                n = self._told(self.policy, told[at:], adapted)
                at += n
        self._do(math.inf)
        return adapted

    def _told(self, policy: AdaptationPolicy, told: list[Lesson | Alarm], adapted: list[Adapted]) -> int:
        """Tell the policy of what comes first, and of all behind it up to what may change a learner; how many."""
        background = policy.background if policy.compares else None
        quiet_n = 0
        if background is not None:
            quiet_n = policy.quiet_n((t.moment.event, t.is_drift if isinstance(t, Alarm) else None) for t in told)
        part = told[: max(1, quiet_n)]
        differences: Iterator[float | None] = iter(())
        newest = next((t.moment.order for t in reversed(part) if isinstance(t, Lesson)), None)
        if background is not None and newest is not None:
            compared = self._deferred.compare(self.learner, background, newest)
            self._failed(compared.failed)
            differences = iter(compared.differences)
        for each in part:
            if isinstance(each, Lesson):
                reaction = self._taught(policy, each, next(differences, None))
            else:
                if not quiet_n:
                    self._do(each.moment.order)
                reaction = self._warned(policy, each)
            if reaction is not None:
                adapted.append(self._taken(reaction, each.moment))
        return len(part)

    def _warned(self, policy: AdaptationPolicy, alarm: Alarm) -> Reaction | None:
        if alarm.is_drift:
            return policy.on_drift(alarm.moment.event)
        policy.on_warning(alarm.moment.event)
        return None

    def _taught(self, policy: AdaptationPolicy, lesson: Lesson, difference: float | None) -> Reaction | None:
        if policy.looks:
            self._do(lesson.moment.order)
        background, newcomer = policy.background, policy.newcomer
        if newcomer is not self._warming:
            self._warming, self.warmed = newcomer, LearnedRange()
        self.learned.add(lesson.number, lesson.time_ms)
        self.warmed.add(lesson.number, lesson.time_ms)
        if difference is not None:
            policy.scored(difference)
        if policy.observes:
            policy.observe(self._deferred.example(lesson.moment.order), lesson.label)
        reaction = policy.on_learned(lesson.moment.event)
        if policy.background is not background:
            self._do(lesson.moment.order, background)
        return reaction

    def _taken(self, reaction: Reaction, moment: Moment) -> Adapted:
        done: dict[str, Any] = {"learner": self.name, "event": moment.event}
        if isinstance(reaction, Repaired):
            return moment, {"action": reaction.action} | done | {"parts": reaction.parts_n}, None
        self._do(moment.order)
        warmed = LearnedRange(*(reaction.known or ()))
        if reaction.learner is self._warming:
            warmed = self.warmed
        succession = Succession(self.learner.snapshot(), self.learned, reaction.learner.snapshot(), replace(warmed))
        self.learner, self.learned = reaction.learner, warmed
        self.replacements += 1
        self._swapped.append(moment.order)
        return moment, {"action": "replaced"} | done | {"generation": self.replacements}, succession

    def taught(self) -> tuple[LearnedRange, LearnedRange]:
        """What was taught to the learner in place, and to the one behind it: nothing where that has just come."""
        newcomer = None if self.policy is None else self.policy.newcomer
        same = newcomer is not None and newcomer is self._warming
        return self.learned, self.warmed if same else LearnedRange()

    def know(self, learned: LearnedRange, warmed: LearnedRange) -> None:
        """Restore what was taught to the learner in place and to the one behind it."""
        self.learned, self.warmed = learned, warmed
        self._warming = None if self.policy is None else self.policy.newcomer

    def _do(self, until: float, *background: Learner | None) -> None:
        known = None if self.policy is None else self.policy.background
        self._failed(self._deferred.work(self.learner, background[0] if background else known, until))

    def _failed(self, errors: list[LearnerError]) -> None:
        if errors:
            self.failures += len(errors)
            self.last_failure = str(errors[-1])

    def generation(self, order: int) -> int:
        """How many learners had been replaced when the question of that order, of the last work, was answered."""
        if not self._swapped:
            return self.replacements
        return self.replacements - sum(order <= swapped for swapped in self._swapped)


class Committee:
    """Members in a fixed order: the configured learners, the probe, the baseline."""

    def __init__(self, config: MonitorConfig) -> None:
        self.config = config
        self.classification = config.task == "classification"
        self.champion = config.champion or next(iter(config.learners), None)
        self.previous_champion: str | None = None
        self.members: dict[str, Member] = {}
        self.order = 0  # of the newest question or lesson; they are counted from 1
        self._names = tuple(feature_names(config.features))
        self._texts = frozenset(name for name in self._names if config.features[name].type != "numeric")
        self._block = self._new_block()
        self._for_probe: list[int] = []  # lessons of the block that the probe learns, too
        self._lessons: list[Lesson] = []
        self._alarms: list[Alarm] = []
        for name, learner in config.learners.items():
            self.members[name] = member = Member(name, "learner", self._build(learner))
            member.policy = self._policy(name, learner)
        probe = config.probe or (config.learners[self.champion] if self.champion else None)
        if probe is not None:
            self.members["probe"] = Member("probe", "probe", FrozenProbe(self._build(probe)))
        baseline: Any = Majority() if self.classification else Mean()
        self.learns = bool(self.members)  # whether any member needs features
        name = "majority" if self.classification else "mean"
        self.members[name] = Member(name, "baseline", baseline)

    def _build(self, learner: LearnerConfig, generation: int = 0) -> Learner:
        return build_learner(
            learner.estimator, learner.parameters, task=self.config.task, seed=self.config.seed, generation=generation
        )

    def _policy(self, name: str, learner: LearnerConfig) -> AdaptationPolicy | None:
        adaptation = self.config.adaptation
        return build_policy(
            adaptation.policy, lambda generation: self._build(learner, generation),
            lambda: self.members[name].learner, adaptation.parameters(),
            known=lambda: self.members[name].learned.row(),  # noqa: PLW0108 # it has another range by then
        )  # fmt: skip

    def _new_block(self) -> Block:
        return Block(self.order + 1, self._names, texts=self._texts)

    def ask(self, values: Sequence[Any]) -> dict[str, Answer]:
        """What every member says of an example, by name, filled in by the next `work`; its values are in the order of
        `feature_names`, None where one is missing. The probe answers once it is frozen."""
        self.order += 1
        return self._block.ask(values)

    def learn(self, lesson: Lesson, values: Sequence[Any], *, in_reference: bool) -> None:
        """Let every member learn an example with the next `work`; the probe only from predictions of its reference.

        The lesson's order must be the one behind the newest.
        """
        self.order += 1
        if in_reference:
            self._for_probe.append(len(self._block))
        self._block.learn(values, lesson.label)
        self._lessons.append(lesson)

    def alarm(self, moment: Moment, *, is_drift: bool, only: str | None = None) -> None:
        """A warning or a drift at that moment, for the policies of all members or of one, with the next `work`."""
        self._alarms.append(Alarm(moment, is_drift, only))

    def work(self) -> list[Adapted]:
        """Let every member do what was put off; returns what their policies did, in order.

        Needed before an answer is looked at and before the state is.
        """
        block, lessons, alarms, for_probe = self._block, self._lessons, self._alarms, self._for_probe
        self._block, self._lessons, self._alarms, self._for_probe = self._new_block(), [], [], []
        adapted: list[Adapted] = []
        for name, member in self.members.items():
            if member.role != "probe":
                heard = [alarm for alarm in alarms if alarm.only in (None, name)]
                adapted += member.work(block, lessons, heard)
            elif member.learner.frozen:
                member.work(block.questions(), (), ())
            else:
                member.work(block.part(for_probe), (), ())
        adapted.sort(key=lambda done: done[0].order)
        return adapted

    def freeze_probe(self) -> None:
        """End the probe's reference."""
        probe = self.members.get("probe")
        if probe is not None and not probe.learner.frozen:
            probe.learner.freeze()

    def renew_probe(self) -> None:
        """Begin a new probe, for a new reference."""
        if "probe" in self.members:
            config = self.config.probe or self.config.learners[self.champion or next(iter(self.config.learners))]
            self.members["probe"].learner = FrozenProbe(self._build(config))

    def promote(self, name: str) -> bool:
        """Make `name` the champion; False when there is no such learner."""
        if name not in self.config.learners or name == self.champion:
            return False
        self.previous_champion, self.champion = self.champion, name
        return True

    def roll_back(self) -> bool:
        """Return to the champion before the last promotion."""
        if self.previous_champion is None:
            return False
        self.champion, self.previous_champion = self.previous_champion, None
        return True

    def role(self, name: str) -> str:
        """The role that pages show."""
        member = self.members[name]
        if member.role != "learner":
            return member.role
        return "champion" if name == self.champion else "challenger"

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint, without the learners."""
        self.work()
        return {
            "champion": self.champion,
            "previous_champion": self.previous_champion,
            "members": {name: [m.failures, m.replacements, m.last_failure] for name, m in self.members.items()},
        }

    def snapshot(self, name: str) -> bytes:
        """Snapshot of one member as of the present event."""
        self.work()
        state: bytes = self.members[name].learner.snapshot()
        return state

    def restore(self, name: str, snapshot: bytes, estimator: str) -> None:
        """Put the learner of a snapshot in the place of learner `name`, which begins another generation of it.

        Raises
        ------
        ValueError
            there is no such learner, or the snapshot is not of its kind, or is damaged.
        """
        from learners.registry import restore_learner

        configured = self.config.learners.get(name)
        if configured is None:
            known = ", ".join(self.config.learners) or "none is configured"
            raise ValueError(f"learner {name!r} is unknown; learners: {known}")
        if estimator != configured.estimator:
            raise ValueError(f"the snapshot is of {estimator!r}, but learner {name!r} is {configured.estimator}")
        try:
            learner = restore_learner(snapshot)
        except LearnerError as error:
            raise ValueError(f"the snapshot cannot be used: {error}") from error
        member = self.members[name]
        if type(learner) is not type(member.learner) or learner.task != member.learner.task:
            raise ValueError(f"the snapshot is of a {type(learner).__name__} for {learner.task}: not what {name!r} is")
        member.learner = learner
        member.replacements += 1
        if member.policy is not None:
            member.policy.on_swapped()

    def learner_states(self) -> dict[str, bytes]:
        """Snapshot of each member, by name."""
        self.work()
        return {name: member.learner.snapshot() for name, member in self.members.items()}

    def policy_states(self) -> dict[str, Any]:
        """State of each adaptation policy, by member."""
        self.work()
        return {name: m.policy.state() for name, m in self.members.items() if m.policy is not None}

    def load(
        self, state: dict[str, Any], learners: dict[str, bytes], policies: dict[str, Any], *, anew: set[str]
    ) -> None:
        """Restore what the three calls above gave, but for the members that begin `anew`, of which none is champion
        but the configured one; a policy that is not there begins anew, too."""
        known = self.config.learners.keys() - anew
        if state["champion"] in known:
            self.champion = state["champion"]
        if state["previous_champion"] in known and state["champion"] in known:
            self.previous_champion = state["previous_champion"]
        for name in self.members.keys() - anew:
            member = self.members[name]
            member.failures, member.replacements, member.last_failure = state["members"][name]
            member.learner = type(member.learner).restore(learners[name])
            if member.policy is not None and name in policies:
                member.policy.load(policies[name])
