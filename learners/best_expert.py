"""Best expert: the member that did best of late answers alone, and is deposed only for a clear gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from learners._committee_learner import CommitteeLearner
from learners._voters import Answer, member_list
from learners.base import Task

__all__ = ["BestExpert"]


class BestExpert(CommitteeLearner):
    """A committee that follows one member at a time.

    Parameters
    ----------
    members, estimator, n, parameters, task, seed
        see `WeightedVote`.
    fading
        what a member's record counts at each further example, in (0, 1]: 0.995 looks back some 200 examples.
    margin
        by how much another must be better than the leader: in shares of errors, or, for numbers, as a part of
        the leader's mean absolute error; 0 or more.
    hold_n
        examples that a new leader stays at least, 0 or more.

    Notes
    -----
    A leader that has no answer is spoken for by the best of those that have one. Each label costs every member a
    prediction and a step, a prediction costs every member's; memory is the members'.

    References
    ----------
    Herbster, Warmuth, *Tracking the best expert*, Machine Learning 32 (1998), doi:10.1023/A:1007424614876, whose
    fixed-share forecaster is the reference for following a best member that changes. Where we deviate: faded losses
    and a margin in the place of shared weights, so that the answer is always one member's; its bound does not carry
    over.

    Examples
    --------
    >>> best = BestExpert([{"estimator": "anchorwatch.HoeffdingTree"}, {"estimator": "river.naive_bayes.GaussianNB"}])
    >>> for amount in range(400):
    ...     best.learn_one({"amount": float(amount % 100)}, "fraud" if amount % 100 > 60 else "ok")
    >>> best.predict_one({"amount": 90.0})
    'fraud'
    """

    kind = "best_expert"

    def __init__(  # sizes: the configuration's parameters, each by its own name
        self, members: Sequence[Mapping[str, Any]] = (), *, estimator: str = "", n: int = 3,
        parameters: Mapping[str, Any] | None = None, fading: float = 0.995, margin: float = 0.02, hold_n: int = 50,
        task: Task = "classification", seed: int = 1,
    ) -> None:  # fmt: skip
        listed = member_list(members, (estimator, n, parameters), task)
        super().__init__(
            {"members": listed, "fading": fading, "margin": margin, "hold_n": hold_n, "task": task, "seed": seed}
        )

    def _begin(self, config: dict[str, Any]) -> None:
        for name in ("margin", "hold_n"):
            if not config[name] >= 0:
                raise ValueError(f"{name} = {config[name]}: must be 0 or more")
        super()._begin(config)
        self._margin, self._hold_n = config["margin"], config["hold_n"]
        self.leader = 0
        self.switches_n = 0
        self._led_n = 0

    def _combined(self, answers: list[Answer]) -> Answer:
        if answers[self.leader] not in ({}, None):
            return answers[self.leader]
        knowing = [
            (voter.mean_loss, i)
            for i, (voter, said) in enumerate(zip(self._voters.voters, answers, strict=True))
            if said not in ({}, None)
        ]
        return answers[min(knowing)[1]] if knowing else answers[self.leader]

    def _after_example(self) -> None:
        self._led_n += 1
        best = self._voters.best()
        loss, least = self._voters.voters[self.leader].mean_loss, self._voters.voters[best].mean_loss
        allowed = self._margin if self.task == "classification" else self._margin * loss
        if self._led_n >= self._hold_n and loss - least > allowed:
            self.leader = best
            self.switches_n += 1
            self._led_n = 0

    def _own_state(self) -> list[int]:
        return [self.leader, self.switches_n, self._led_n]

    def _load_own(self, state: list[int]) -> None:
        self.leader, self.switches_n, self._led_n = (int(value) for value in state)
        if not 0 <= self.leader < len(self._voters.voters):
            raise ValueError(f"leader {self.leader} is no member")
