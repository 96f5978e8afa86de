"""What all committees share: members that answer and learn block by block, scores, spread, snapshots.

A committee differs from another by how it combines answers, and by what it does after an example.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from learners._checks import in_range
from learners._snapshots import Snapshots
from learners._spread import RecentSpread, deviation
from learners._voters import Answer, Op, Voters, best_of
from learners.base import Features, Label, Task
from learners.errors import LearnerError

__all__ = ["CommitteeLearner"]


class CommitteeLearner(Snapshots):
    """Learners that answer together, behind the `Learner` protocol.

    Attributes
    ----------
    task : str
        of the committee and each of its members.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression"})

    def __init__(self, config: dict[str, Any]) -> None:
        self._begin(config)
        self._voters.build()

    def _begin(self, config: dict[str, Any]) -> None:
        if config["task"] not in self.tasks:
            raise ValueError(f"task = {config['task']!r}: must be {' or '.join(sorted(self.tasks))}")
        if not 0.0 < config["fading"] <= 1.0:
            raise ValueError(f"fading = {config['fading']}: must be in (0, 1]")
        self._config = config
        self.task: Task = config["task"]
        self._voters = Voters(config["members"], self.task, seed=config["seed"], fading=config["fading"])
        self.learned_n = 0
        self._spread = RecentSpread(self.task)

    @property
    def records(self) -> list[dict[str, Any]]:
        """Per member: `estimator`, `generation`, `learned_n`, `failures`, and the `loss` of late (None: none yet)."""
        return [
            {
                "estimator": member["estimator"], "generation": voter.generation, "learned_n": voter.learned_n,
                "failures": voter.failures, "loss": voter.mean_loss if voter.weight > 0.0 else None,
            }
            for member, voter in zip(self._config["members"], self._voters.voters, strict=True)
        ]  # fmt: skip

    def predict_one(self, x: Features) -> Label | None:
        """The most probable class, the first in order of text among equals; or the number. None while unknown."""
        said = self._combined(self._voters.answers(x))
        return best_of(said) if self.task == "classification" else said  # type: ignore[return-value] # a number

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """Probability per class that a member knows, in order of text; empty while nothing is known."""
        if self.task == "regression":
            return {}
        said = self._combined(self._voters.answers(x))
        return said if isinstance(said, dict) else {}

    def predict_proba_examples(self, examples: Sequence[Features]) -> list[dict[str, float]]:
        """What `predict_proba_one` says of each, as fast as the members' blocks are."""
        if self.task == "regression":
            return [{} for _ in examples]
        found: list[Any] = self.run_examples([(x, None) for x in examples])
        return found

    def learn_one(self, x: Features, y: Label) -> None:
        """Score each member on the example, then let each learn it.

        Raises
        ------
        LearnerError
            no member learned it; nothing has changed then but what they changed themselves.
        """
        (error,) = self.run_examples([(x, y)])
        if isinstance(error, LearnerError):
            raise error

    def learn_examples(self, examples: Sequence[tuple[Features, Label]]) -> list[LearnerError | None]:
        """Learn the examples in order, bit for bit as `learn_one` does; an error for each."""
        found: list[Any] = self.run_examples(examples)
        return found

    def run_examples(self, ops: Sequence[Op]) -> list[dict[str, float] | float | LearnerError | None]:
        """Answer (label None) and learn examples in order, bit for bit as one by one, in blocks of the members.

        Returns
        -------
        list
            of each: the answer; None of an example that was learned, or the error that `learn_one` would raise.
        """
        results: list[Any] = [None] * len(ops)
        block: list[tuple[int, Op]] = []
        learned_n = 0
        for place, (x, y) in enumerate(ops):
            refusal = None if y is None else self._refusal(y)
            if refusal is not None:
                results[place] = refusal
                continue
            block.append((place, (x, y)))
            learned_n += y is not None
            if y is not None and learned_n == self._examples_until_change():
                self._run_block(block, results)
                block, learned_n = [], 0
        self._run_block(block, results)
        return results

    def _refusal(self, y: Label) -> LearnerError | None:
        if self.task == "classification" or (not isinstance(y, str) and not math.isnan(y)):
            return None
        return LearnerError(f"label {y!r} is no number, and the committee learns numbers")

    def _run_block(self, block: list[tuple[int, Op]], results: list[Any]) -> None:
        """Run examples between which the members stay the same, and fold what they said in order."""
        if not block:
            return
        found = self._voters.run([op for _, op in block])
        for (place, (_, y)), (said, errors) in zip(block, found, strict=True):
            answers = self._voters.clean(said)
            combined = self._combined(answers)
            if y is None:
                results[place] = combined
            elif all(error is not None for error in errors):
                results[place] = errors[0]
            else:
                self._spread.add([self._disagreement(answers, combined, y)])
                self._voters.record(said, errors, y)
                self.learned_n += 1
                self._after_example()

    def _disagreement(self, answers: list[Answer], combined: Answer, y: Label) -> list[float]:
        """Share of the members that differ; or their standard deviation, and the label."""
        if self.task == "classification":
            named = [best_of(said) for said in answers if said]
            return [sum(name != best_of(combined) for name in named) / max(1, len(named))]
        numbers = [said for said in answers if isinstance(said, float)]
        return [deviation(numbers), max(-1e100, min(float(y), 1e100))]

    def spread(self) -> float | None:
        """How far the members disagreed over the last 100 labelled examples; None while there is nothing to say.

        Classes: mean share of the members that differ from the committee, from 0 to 1. Numbers: their mean standard
        deviation, in standard deviations of the labels.
        """
        return self._spread.value()

    def newest_spread(self) -> float | None:
        """What `spread` says of the last labelled example alone."""
        return self._spread.value(1)

    def repair(self) -> int:
        """Replace the member with the highest loss by a fresh one; how many were: 0 where there is one member."""
        if len(self._voters.voters) < 2:
            return 0
        self._voters.replace(self._voters.worst())
        return 1

    @property
    def can_forget(self) -> bool:
        """Whether any member can."""
        return self._voters.can_forget

    def forget(self, keep: float) -> None:
        """Let the records, and what each member that can forget has seen, count `keep`, in (0, 1], of what it did.

        Raises
        ------
        LearnerError
            no member can forget; nothing has changed.
        """
        in_range("keep", keep, "in (0, 1]", holds=0.0 < keep <= 1.0)
        if not self.can_forget:
            raise LearnerError("no member of this committee can forget")
        self._voters.forget(keep)

    @abstractmethod
    def _combined(self, answers: list[Answer]) -> Answer:
        """The committee's answer; `{}` or None where no member knows anything."""

    def _after_example(self) -> None:
        """What changes once members have been scored."""

    def _examples_until_change(self) -> int:
        """Labelled examples until a member may be replaced, 0: never."""
        return 0

    def _own_state(self) -> list[int]:
        """What a committee knows beyond its members."""
        return []

    def _load_own(self, state: list[int]) -> None:
        """Take over what `_own_state` gave; ValueError where it is none."""
        if state:
            raise ValueError(f"{len(state)} values too many")

    @classmethod
    def _built(cls, tree: dict[str, Any]) -> Self:
        learner = cls.__new__(cls)  # members of some kinds take long to build, and are restored
        learner._begin(tree["config"])  # noqa: SLF001 # its own class
        return learner

    def _tree(self) -> dict[str, Any]:
        return {
            "members": self._voters.state(),
            "learned_n": self.learned_n,
            "disagreements": self._spread.state(),
            "own": self._own_state(),
        }

    def _take_over(self, tree: dict[str, Any]) -> None:
        self._voters.load(tree["members"])
        self.learned_n = int(tree["learned_n"])
        self._spread.load(tree["disagreements"])
        self._load_own(tree["own"])
