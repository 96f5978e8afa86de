"""The committee of one monitor: learners, the frozen probe and the baselines, and how they adapt.

Each member answers every prediction when it arrives and learns when a label arrives. What it answered then is
kept with the prediction; nothing is answered in hindsight.
"""

from __future__ import annotations

from typing import Any

from learners import LearnerError
from learners.adaptation import WarmReplacement
from learners.base import Learner
from learners.baselines import Majority, Mean
from learners.build import build_learner
from learners.frozen import FrozenProbe
from service.config import LearnerConfig, MonitorConfig

__all__ = ["Committee", "Member"]

Answer = list[Any]
_FAILURES_SHOWN = 3


class Member:
    """One learner with its role, its adaptation policy and how often it failed."""

    def __init__(self, name: str, role: str, learner: Any, policy: WarmReplacement | None = None) -> None:
        self.name, self.role, self.learner, self.policy = name, role, learner, policy
        self.failures = 0
        self.replacements = 0
        self.last_failure = ""

    def answer(self, x: dict[str, float | str], *, classification: bool) -> Answer:
        """`[predicted, scores]` for the features `x`; `[None, None]` when the member cannot tell or fails."""
        try:
            if not classification:
                return [self.learner.predict_one(x), None]
            scores = self.learner.predict_proba_one(x)
        except LearnerError as error:
            self._failed(error)
            return [None, None]
        if not scores:
            return [None, None]
        return [_best(scores), scores]

    def learn(self, x: dict[str, float | str], label: str | float) -> None:
        """Learn one labelled example, the background learner too."""
        try:
            self.learner.learn_one(x, label)
            if self.policy is not None and self.policy.background is not None:
                self.policy.background.learn_one(x, label)
        except LearnerError as error:
            self._failed(error)

    def _failed(self, error: LearnerError) -> None:
        self.failures += 1
        self.last_failure = str(error)


def _best(scores: dict[str, float]) -> str:
    return max(sorted(scores), key=lambda label: scores[label])


class Committee:
    """Members in a fixed order: the configured learners, the probe, the baseline."""

    def __init__(self, config: MonitorConfig) -> None:
        self.config = config
        self.classification = config.task == "classification"
        self.champion = config.champion or next(iter(config.learners), None)
        self.previous_champion: str | None = None
        self.members: dict[str, Member] = {}
        for name, learner in config.learners.items():
            self.members[name] = Member(name, "learner", self._build(learner), self._policy(learner))
        probe = config.probe or (config.learners[self.champion] if self.champion else None)
        if probe is not None:
            self.members["probe"] = Member("probe", "probe", FrozenProbe(self._build(probe)))
        baseline: Any = Majority() if self.classification else Mean()
        self.learns = bool(self.members)  # whether any member needs features
        self.members["majority" if self.classification else "mean"] = Member("majority", "baseline", baseline)

    def _build(self, learner: LearnerConfig, generation: int = 0) -> Learner:
        return build_learner(
            learner.estimator, learner.parameters, task=self.config.task, seed=self.config.seed, generation=generation
        )

    def _policy(self, learner: LearnerConfig) -> WarmReplacement | None:
        adaptation = self.config.adaptation
        if adaptation.policy == "none":
            return None
        return WarmReplacement(
            lambda generation: self._build(learner, generation),
            min_warm=adaptation.min_warm, cooldown=adaptation.cooldown,
        )  # fmt: skip

    def answers(self, x: dict[str, float | str]) -> dict[str, Answer]:
        """What every member says of `x`, by name. The probe answers once it is frozen."""
        return {
            name: member.answer(x, classification=self.classification)
            for name, member in self.members.items()
            if member.role != "probe" or member.learner.frozen
        }

    def learn(self, x: dict[str, float | str], label: str | float, *, in_reference: bool) -> None:
        """Let every member learn; the probe only from predictions of its reference."""
        for member in self.members.values():
            if member.role != "probe" or in_reference:
                member.learn(x, label)

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

    def warn(self, event: int) -> None:
        """A warning: begin to warm replacements."""
        for member in self.members.values():
            if member.policy is not None:
                member.policy.on_warning(event)

    def adapt(self, event: int, only: str | None = None) -> list[dict[str, Any]]:
        """A drift: let policies replace learners; returns an audit entry for each replacement."""
        done = []
        for name, member in self.members.items():
            if member.policy is None or (only is not None and name != only):
                continue
            replacement = member.policy.on_drift(event)
            if replacement is not None:
                done.append(self._replace(member, replacement, event))
        return done

    def settle(self, event: int) -> list[dict[str, Any]]:
        """After a label was learned: swap in replacements that have become warm enough since their drift."""
        done = []
        for member in self.members.values():
            replacement = None if member.policy is None else member.policy.on_learned(event)
            if replacement is not None:
                done.append(self._replace(member, replacement, event))
        return done

    @staticmethod
    def _replace(member: Member, replacement: Any, event: int) -> dict[str, Any]:
        member.learner = replacement.learner
        member.replacements += 1
        return {"action": "replaced", "learner": member.name, "event": event, "generation": replacement.generation}

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
        return {
            "champion": self.champion,
            "previous_champion": self.previous_champion,
            "members": {name: [m.failures, m.replacements, m.last_failure] for name, m in self.members.items()},
        }

    def snapshot(self, name: str) -> bytes:
        """Snapshot of one member as of the present event."""
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

    def learner_states(self) -> dict[str, bytes]:
        """Snapshot of each member, by name."""
        return {name: member.learner.snapshot() for name, member in self.members.items()}

    def policy_states(self) -> dict[str, Any]:
        """State of each adaptation policy, by member."""
        return {name: m.policy.state() for name, m in self.members.items() if m.policy is not None}

    def load(self, state: dict[str, Any], learners: dict[str, bytes], policies: dict[str, Any]) -> None:
        """Restore what the three calls above gave."""
        self.champion, self.previous_champion = state["champion"], state["previous_champion"]
        for name, member in self.members.items():
            member.failures, member.replacements, member.last_failure = state["members"][name]
            member.learner = type(member.learner).restore(learners[name])
            if member.policy is not None:
                member.policy.load(policies[name])
