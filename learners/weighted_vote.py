"""Weighted vote: members' answers count by how well they did of late."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from learners._committee_learner import CommitteeLearner
from learners._voters import Answer, member_list
from learners.base import Task

__all__ = ["WeightedVote"]


class WeightedVote(CommitteeLearner):
    """A committee in which nobody is shut out and the better ones are heard more.

    Parameters
    ----------
    members
        `{"estimator": …, "parameters": {…}}` each, 1 to 100; left out for classes, a Hoeffding tree, an adaptive one
        and leveraging bagging of 3 trees.
    estimator, n, parameters
        instead of `members`: so many of one estimator, each with a seed of its own.
    fading
        what a member's record counts at each further example, in (0, 1]: 0.99 looks back some 100 examples.
    task, seed
        of all members.

    Notes
    -----
    Classes: probabilities are averaged with the weights log((1 - e) / e) + log(K - 1), K being the classes named and e
    a member's faded share of errors, to which one hit and K - 1 errors are added; a member that is no better than
    chance has weight 0. Numbers: the weights are 1 / (faded mean absolute error)², the best ones where errors are
    independent and centred. Where all weights are 0, all count alike.
    Each label costs every member a prediction and a step; memory is the members'.

    References
    ----------
    Kuncheva, Rodríguez, *A weighted voting framework for classifiers ensembles*, Knowledge and Information Systems 38
    (2014), doi:10.1007/s10115-012-0586-6 (the log odds); fading instead of a batch's accuracy is ours.

    Examples
    --------
    >>> vote = WeightedVote([{"estimator": "anchorwatch.HoeffdingTree"}, {"estimator": "river.naive_bayes.GaussianNB"}])
    >>> for amount in range(400):
    ...     vote.learn_one({"amount": float(amount % 100)}, "fraud" if amount % 100 > 60 else "ok")
    >>> vote.predict_one({"amount": 90.0})
    'fraud'
    """

    kind = "weighted_vote"

    def __init__(
        self, members: Sequence[Mapping[str, Any]] = (), *, estimator: str = "", n: int = 3,
        parameters: Mapping[str, Any] | None = None, fading: float = 0.99, task: Task = "classification", seed: int = 1,
    ) -> None:  # fmt: skip
        listed = member_list(members, (estimator, n, parameters), task)
        super().__init__({"members": listed, "fading": fading, "task": task, "seed": seed})

    def _combined(self, answers: list[Answer]) -> Answer:
        if self.task == "regression":
            return self._mean(answers)
        shares = {name: 0.0 for said in answers if isinstance(said, dict) for name in said}
        weights = self._weights(answers, self._log_odds(max(2, len(shares))))
        for said, weight in zip(answers, weights, strict=True):
            for name, p in said.items() if isinstance(said, dict) else ():
                shares[name] += weight * p
        total = sum(shares.values())
        return {name: p / total for name, p in sorted(shares.items())} if total > 0.0 else {}

    def _mean(self, answers: list[Answer]) -> float | None:
        weights = self._weights(answers, self._precisions())
        total = sum(weights)
        if total <= 0.0:
            return None
        found = 0.0
        for said, weight in zip(answers, weights, strict=True):
            found += weight / total * said if isinstance(said, float) else 0.0
        return found

    @staticmethod
    def _weights(answers: list[Answer], wanted: list[float]) -> list[float]:
        """0 for whoever knows nothing; 1 for the others where none of them has a weight."""
        knows = [bool(said) if isinstance(said, dict) else said is not None for said in answers]
        weights = [weight if knowing else 0.0 for weight, knowing in zip(wanted, knows, strict=True)]
        return weights if any(weights) else [float(knowing) for knowing in knows]

    def _log_odds(self, classes: int) -> list[float]:
        found = []
        for voter in self._voters.voters:
            error = (voter.loss + classes - 1.0) / (voter.weight + classes)
            found.append(max(0.0, math.log((1.0 - error) / error) + math.log(classes - 1.0)))
        return found

    def _precisions(self) -> list[float]:
        """Relative to the largest error, which an unscored member has too; a member without errors has a thousandth."""
        voters = self._voters.voters
        largest = max(voter.mean_loss if voter.weight > 0.0 else 0.0 for voter in voters)
        if largest == 0.0:
            return [1.0] * len(voters)
        return [1.0 / max(v.mean_loss / largest, 1e-3) ** 2 if v.weight > 0.0 else 1.0 for v in voters]
