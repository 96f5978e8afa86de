"""Majority vote: each member has one voice, and the worst is replaced by a fresh one now and then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from learners._committee_learner import CommitteeLearner
from learners._voters import Answer, best_of, member_list
from learners.base import Task

__all__ = ["MajorityVote"]


class MajorityVote(CommitteeLearner):
    """A committee of equals that renews itself.

    Parameters
    ----------
    members, estimator, n, parameters, fading, task, seed
        see `WeightedVote`; here the record says who is replaced.
    period
        examples between two looks at who is worst, 1 or more.
    margin
        by how much the worst must be worse than the best to be replaced: in shares of errors, or, for numbers, as a
        part of its own mean absolute error; 0 or more.
    warm_n
        examples that a member has learned before it is heard, 0 or more; until all are, whoever has an answer is.

    Notes
    -----
    Classes: the probability of a class is its share of the votes. Numbers: the median of the answers.
    Each label costs every member a prediction and a step; memory is the members'.

    References
    ----------
    Kolter, Maloof, *Dynamic weighted majority*, JMLR 8 (2007) 2755-2790, from which the period and the replacement
    come; votes without weights, and one fresh member for the worst at most, are ours.

    Examples
    --------
    >>> vote = MajorityVote(estimator="anchorwatch.LeveragingBagging", n=3, parameters={"trees": 2})
    >>> for amount in range(400):
    ...     vote.learn_one({"amount": float(amount % 100)}, "fraud" if amount % 100 > 60 else "ok")
    >>> vote.predict_one({"amount": 90.0})
    'fraud'
    """

    kind = "majority_vote"

    def __init__(  # sizes: the configuration's parameters, each by its own name
        self, members: Sequence[Mapping[str, Any]] = (), *, estimator: str = "", n: int = 3,
        parameters: Mapping[str, Any] | None = None, fading: float = 0.99, period: int = 1_000, margin: float = 0.05,
        warm_n: int = 50, task: Task = "classification", seed: int = 1,
    ) -> None:  # fmt: skip
        listed = member_list(members, (estimator, n, parameters), task)
        super().__init__(
            {"members": listed, "fading": fading, "period": period, "margin": margin, "warm_n": warm_n, "task": task,
             "seed": seed}
        )  # fmt: skip

    def _begin(self, config: dict[str, Any]) -> None:
        for name, least in (("period", 1), ("margin", 0), ("warm_n", 0)):
            if not config[name] >= least:
                raise ValueError(f"{name} = {config[name]}: must be {least} or more")
        super()._begin(config)
        self._period, self._margin, self._warm_n = config["period"], config["margin"], config["warm_n"]

    @property
    def replaced_n(self) -> int:
        """How many members have been replaced."""
        return sum(voter.generation for voter in self._voters.voters)

    def _combined(self, answers: list[Answer]) -> Answer:
        warm = [voter.learned_n >= self._warm_n for voter in self._voters.voters]
        heard = [said for said, is_warm in zip(answers, warm, strict=True) if is_warm and said not in ({}, None)]
        if not heard:
            heard = [said for said in answers if said not in ({}, None)]
        if self.task == "regression":
            return _median([said for said in heard if isinstance(said, float)])
        votes = {name: 0 for said in heard if isinstance(said, dict) for name in said}
        for said in heard:
            votes[str(best_of(said))] += 1
        return {name: count / len(heard) for name, count in sorted(votes.items())}

    def _after_example(self) -> None:
        if self.learned_n % self._period:
            return
        worst, best = self._voters.worst(), self._voters.best()
        loss = self._voters.voters[worst].mean_loss
        allowed = self._margin if self.task == "classification" else self._margin * loss
        if loss - self._voters.voters[best].mean_loss > allowed:
            self._voters.replace(worst)

    def _examples_until_change(self) -> int:
        return int(self._period - self.learned_n % self._period)


def _median(numbers: list[float]) -> float | None:
    if not numbers:
        return None
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else 0.5 * ordered[middle - 1] + 0.5 * ordered[middle]
