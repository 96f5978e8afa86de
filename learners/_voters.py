"""The members of a committee: built by name, asked, scored on what they said before they learn, replaced one by one.

Members know nothing of each other: each goes through a block on its own, and the committee folds their answers
afterwards, in order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learners.base import Features, Label, Learner, Task, forgets
from learners.errors import EstimatorRefusedError, LearnerError
from learners.river_build import derived_seed

__all__ = ["Answer", "Op", "Voter", "Voters", "best_of", "member_list"]

Answer = dict[str, float] | float | None  # probabilities; a number; {} and None: nothing is known
Op = tuple[Features, Label | None]
_COMMITTEES = frozenset({"anchorwatch.BestExpert", "anchorwatch.MajorityVote", "anchorwatch.WeightedVote"})
_DEEPEST = 2
_MEMBERS_CAP = 100
_LARGEST = 1e30
_BY_DEFAULT = (
    {"estimator": "anchorwatch.HoeffdingTree", "parameters": {}},
    {"estimator": "anchorwatch.HoeffdingAdaptiveTree", "parameters": {}},
    {"estimator": "anchorwatch.LeveragingBagging", "parameters": {"trees": 3}},
)


def best_of(said: Answer) -> str | None:
    """The most probable class, the first in order of text among equals; None where nothing is known."""
    if not isinstance(said, dict) or not said:
        return None
    return max(sorted(said), key=said.__getitem__)


@dataclass
class Voter:
    """A member with its record: `loss` and `weight` are sums that fade with each example."""

    learner: Learner
    generation: int = 0
    learned_n: int = 0
    failures: int = 0
    loss: float = 0.0
    weight: float = 0.0

    @property
    def mean_loss(self) -> float:
        """Share of errors, or mean absolute error, of late; infinite while there is none."""
        return self.loss / self.weight if self.weight > 0.0 else math.inf


class Voters:
    """The members in their order.

    Parameters
    ----------
    members
        `{"estimator": …, "parameters": {…}}` each.
    task, seed
        of the committee; each member has a seed of its own that follows from it.
    fading
        what the record so far counts at each further example, in (0, 1].
    """

    def __init__(self, members: list[dict[str, Any]], task: Task, *, seed: int, fading: float) -> None:
        self.members, self.task, self._seed, self._fading = members, task, seed, fading
        self.voters: list[Voter] = []

    def build(self) -> None:
        """Build every member.

        Raises
        ------
        EstimatorRefusedError
            names the member and what is wrong with it.
        """
        self.voters = [Voter(self._fresh(i, 0)) for i in range(len(self.members))]

    def _fresh(self, i: int, generation: int) -> Learner:
        from learners.build import build_learner

        estimator, parameters = self.members[i]["estimator"], self.members[i]["parameters"]
        seed = derived_seed(self._seed, 0, f"members[{i}]")
        try:
            return build_learner(estimator, parameters, task=self.task, seed=seed, generation=generation)
        except EstimatorRefusedError as error:
            raise EstimatorRefusedError(f"members[{i}]: {error}") from error

    def answers(self, x: Features) -> list[Answer]:
        """What each says; a member that fails says nothing."""
        return [self._clean(_ask(voter.learner, x)) for voter in self.voters]

    def run(self, ops: Sequence[Op]) -> list[tuple[list[Any], list[LearnerError | None]]]:
        """Let every member answer each example, and learn those with a label; per example answers and errors.

        An answer that failed is the error.
        """
        asked: list[Op] = []
        for x, y in ops:
            asked += [(x, None)] if y is None else [(x, None), (x, y)]
        columns = [_run(voter.learner, asked) for voter in self.voters]
        found, at = [], 0
        for _, y in ops:
            said = [column[at] for column in columns]
            learned = [None if y is None else column[at + 1] for column in columns]
            found.append((said, learned))
            at += 1 if y is None else 2
        return found

    def record(self, said: Sequence[Any], errors: Sequence[LearnerError | None], y: Label) -> None:
        """Score each member on its answer, and count what failed."""
        for voter, answer, error in zip(self.voters, said, errors, strict=True):
            voter.failures += isinstance(answer, LearnerError) + (error is not None)
            voter.learned_n += error is None
            voter.loss = self._fading * voter.loss + self._loss(self._clean(answer), y)
            voter.weight = self._fading * voter.weight + 1.0

    def _loss(self, answer: Answer, y: Label) -> float:
        if self.task == "classification":
            return float(best_of(answer) != str(y))
        known = answer if isinstance(answer, float) else 0.0
        return min(abs(float(y) - known), _LARGEST)

    def clean(self, said: Sequence[Any]) -> list[Answer]:
        """Answers with errors and what is not finite as unknown."""
        return [self._clean(answer) for answer in said]

    def _clean(self, answer: Any) -> Answer:
        if self.task == "classification":
            return answer if isinstance(answer, dict) else {}
        return float(answer) if isinstance(answer, float | int) and math.isfinite(answer) else None

    def worst(self) -> int:
        """The scored member with the highest mean loss, the first among equals."""
        losses = [voter.mean_loss if voter.weight > 0.0 else -1.0 for voter in self.voters]
        return losses.index(max(losses))

    def best(self) -> int:
        """The member with the least mean loss, the first among equals."""
        losses = [voter.mean_loss for voter in self.voters]
        return losses.index(min(losses))

    def replace(self, i: int) -> None:
        """Put a fresh member, with a generator of its own, in the place of one."""
        old = self.voters[i]
        self.voters[i] = Voter(self._fresh(i, old.generation + 1), old.generation + 1, failures=old.failures)

    @property
    def can_forget(self) -> bool:
        """Whether any member can."""
        return any(forgets(voter.learner) for voter in self.voters)

    def forget(self, keep: float) -> None:
        """Let the records, and every member that can, forget."""
        for voter in self.voters:
            voter.loss *= keep
            voter.weight *= keep
            if forgets(voter.learner):
                voter.learner.forget(keep)  # type: ignore[attr-defined] # as `forgets` says

    def state(self) -> list[list[Any]]:
        """Plain lists, members' snapshots inside."""
        return [[v.learner.snapshot(), v.generation, v.learned_n, v.failures, v.loss, v.weight] for v in self.voters]

    def load(self, state: list[list[Any]]) -> None:
        """Take over what `state` gave; ValueError where it contradicts itself."""
        from learners.registry import restore_learner

        if len(state) != len(self.members):
            raise ValueError(f"{len(state)} members where {len(self.members)} are configured")
        self.voters = []
        for data, generation, learned_n, failures, loss, weight in state:
            learner = restore_learner(data)
            if learner.task != self.task:
                raise ValueError(f"a member learns {learner.task}")
            counts = int(generation), int(learned_n), int(failures)
            self.voters.append(Voter(learner, *counts, float(loss), float(weight)))


def _run(learner: Learner, ops: Sequence[Op]) -> list[Any]:
    """What `run_examples` gives, from whatever methods the learner has."""
    block = getattr(learner, "run_examples", None)
    if block is not None:
        found: list[Any] = block(ops)
        return found
    return [_ask(learner, x) if y is None else _teach(learner, x, y) for x, y in ops]


def _ask(learner: Learner, x: Features) -> Any:
    try:
        return learner.predict_proba_one(x) if learner.task == "classification" else learner.predict_one(x)
    except LearnerError as error:
        return error


def _teach(learner: Learner, x: Features, y: Label) -> LearnerError | None:
    try:
        learner.learn_one(x, y)
    except LearnerError as error:
        return error
    return None


def member_list(
    members: Sequence[Mapping[str, Any]], same: tuple[str, int, Mapping[str, Any] | None], task: Task
) -> list[dict[str, Any]]:
    """The members as `{"estimator", "parameters"}` each, from a list, or from (estimator, how many, parameters).

    Raises
    ------
    TypeError, ValueError
        they are no list, given twice or not at all, too many, or nested too deeply; says what to write.
    """
    estimator, n, parameters = same
    if not isinstance(members, list | tuple):
        raise TypeError(f'members = {members!r}: must be a list, as [{{estimator = "…"}}, …]')
    if members and estimator:
        raise ValueError(f"estimator = {estimator!r}: write either members or estimator and n, not both")
    if estimator:
        members = [{"estimator": estimator, "parameters": dict(parameters or {})}] * n
    elif not members:
        if task == "regression":
            raise ValueError('members = []: write members = [{estimator = "…"}, …], or estimator and n')
        members = _BY_DEFAULT
    if not 1 <= len(members) <= _MEMBERS_CAP:
        raise ValueError(f"{len(members)} members: must be from 1 to {_MEMBERS_CAP}")
    found = [_member(i, member) for i, member in enumerate(members)]
    depth = 1 + max(_depth(member["estimator"], member["parameters"]) for member in found)
    if depth > _DEEPEST:
        raise ValueError(f"committees are nested {depth} deep: must be {_DEEPEST} or less")
    return found


def _member(i: int, member: Any) -> dict[str, Any]:
    spec = {"parameters": {}, **member} if isinstance(member, Mapping) else {}
    known = set(spec) == {"estimator", "parameters"} and isinstance(spec["estimator"], str)
    if not known or not isinstance(spec["parameters"], Mapping):
        raise ValueError(f'members[{i}] = {member!r}: must be {{estimator = "…", parameters = {{…}}}}')
    return {"estimator": spec["estimator"], "parameters": dict(spec["parameters"])}


def _depth(estimator: str, parameters: Any) -> int:
    inside = max((_depth(name, inner) for name, inner in _estimators(parameters)), default=0)
    return inside + (estimator in _COMMITTEES)


def _estimators(parameters: Any) -> Iterator[tuple[str, Any]]:
    """Estimators that parameters name, not those inside them."""
    if isinstance(parameters, Mapping):
        if isinstance(parameters.get("estimator"), str):
            yield parameters["estimator"], parameters.get("parameters", {})
            return
        for value in parameters.values():
            yield from _estimators(value)
    elif isinstance(parameters, list | tuple):
        for value in parameters:
            yield from _estimators(value)
