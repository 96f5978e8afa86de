"""The committee of one monitor: learners, the frozen probe and the baselines, and how they adapt.

Each member answers every prediction when it arrives and learns when a label arrives. What it answered then is
kept with the prediction; nothing is answered in hindsight.
"""

from __future__ import annotations

from typing import Any

from learners import LearnerError
from learners.adaptation import WarmReplacement
from learners.base import Features, Label, Learner
from learners.baselines import Majority, Mean
from learners.blocks import run_examples
from learners.build import build_learner
from learners.frozen import FrozenProbe
from service.config import LearnerConfig, MonitorConfig
from service.deferred import Answer, Deferred, answer_of

__all__ = ["Committee", "Member"]


class Member:
    """One learner with its role, its adaptation policy and how often it failed.

    Questions and lessons are put off until `work`, so that a compiled learner gets them as one block.
    """

    def __init__(self, name: str, role: str, learner: Any, policy: WarmReplacement | None = None) -> None:
        self.name, self.role, self.policy = name, role, policy
        self.failures = 0
        self.replacements = 0
        self.last_failure = ""
        self._served = Deferred(learner)
        self._backgrounds: list[Deferred] = []

    @property
    def learner(self) -> Any:
        """The learner that answers."""
        return self._served.learner

    @learner.setter
    def learner(self, learner: Any) -> None:
        self.work()
        self._served = Deferred(learner)

    def answer(self, x: Features) -> Answer:
        """`[predicted, scores]` for the features `x`, at once; `[None, None]` when the member cannot tell or fails."""
        self.work()
        (result,) = run_examples(self.learner, [(x, None)])
        if isinstance(result, LearnerError):
            self._failed([(0, result)])
            return [None, None]
        return answer_of(result)

    def ask(self, order: int, x: Features) -> Answer:
        """The same, but filled in by the next `work`."""
        return self._served.ask(order, x)

    def learn(self, order: int, x: Features, label: Label) -> None:
        """Learn one labelled example with the next `work`, the background learner too."""
        self._served.learn(order, x, label)
        background = None if self.policy is None else self.policy.background
        if background is None:
            return
        if not self._backgrounds or self._backgrounds[-1].learner is not background:
            self._backgrounds.append(Deferred(background))
        self._backgrounds[-1].learn(order, x, label)

    def work(self) -> None:
        """Do what was put off."""
        failed = self._served.work()
        for background in self._backgrounds:
            failed += background.work()
        del self._backgrounds[:-1]
        self._failed(failed)

    def _failed(self, failed: list[tuple[int, LearnerError]]) -> None:
        if failed:
            self.failures += len(failed)
            # Of two that failed at one example the learner in the background comes last, wherever blocks were cut.
            self.last_failure = str(max(reversed(failed), key=lambda f: f[0])[1])


class Committee:
    """Members in a fixed order: the configured learners, the probe, the baseline."""

    def __init__(self, config: MonitorConfig) -> None:
        self.config = config
        self.classification = config.task == "classification"
        self.champion = config.champion or next(iter(config.learners), None)
        self.previous_champion: str | None = None
        self.members: dict[str, Member] = {}
        self._order = 0
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

    def ask(self, x: Features) -> dict[str, Answer]:
        """What every member says of `x`, by name, filled in by the next `work`. The probe answers once it is frozen."""
        self._order += 1
        return {
            name: member.ask(self._order, x)
            for name, member in self.members.items()
            if member.role != "probe" or member.learner.frozen
        }

    def learn(self, x: Features, label: Label, *, in_reference: bool) -> None:
        """Let every member learn with the next `work`; the probe only from predictions of its reference."""
        self._order += 1
        for member in self.members.values():
            if member.role != "probe" or in_reference:
                member.learn(self._order, x, label)

    def work(self) -> None:
        """Let every member do what was put off. Needed before an answer is looked at and before the state is."""
        for member in self.members.values():
            member.work()

    def freeze_probe(self) -> None:
        """End the probe's reference."""
        probe = self.members.get("probe")
        if probe is not None and not probe.learner.frozen:
            probe.work()
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
                member.work()
                member.policy.on_warning(event)

    def adapt(self, event: int, only: str | None = None) -> list[dict[str, Any]]:
        """A drift: let policies replace learners; returns an audit entry for each replacement."""
        done = []
        for name, member in self.members.items():
            if member.policy is None or (only is not None and name != only):
                continue
            member.work()
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
        self.work()
        return {
            "champion": self.champion,
            "previous_champion": self.previous_champion,
            "members": {name: [m.failures, m.replacements, m.last_failure] for name, m in self.members.items()},
        }

    def learner_states(self) -> dict[str, bytes]:
        """Snapshot of each member, by name."""
        self.work()
        return {name: member.learner.snapshot() for name, member in self.members.items()}

    def policy_states(self) -> dict[str, Any]:
        """State of each adaptation policy, by member."""
        self.work()
        return {name: m.policy.state() for name, m in self.members.items() if m.policy is not None}

    def load(self, state: dict[str, Any], learners: dict[str, bytes], policies: dict[str, Any]) -> None:
        """Restore what the three calls above gave."""
        self.champion, self.previous_champion = state["champion"], state["previous_champion"]
        for name, member in self.members.items():
            member.failures, member.replacements, member.last_failure = state["members"][name]
            member.learner = type(member.learner).restore(learners[name])
            if member.policy is not None:
                member.policy.load(policies[name])
