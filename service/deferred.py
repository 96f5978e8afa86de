"""A learner whose answers and lessons are put off and then done in one block.

A compiled learner does a block many times faster than the same examples one by one, and gives the same bits. An answer
that was asked for is a list that is filled when the work is done, so it can be kept with its prediction meanwhile.
"""

from __future__ import annotations

from typing import Any

from learners import LearnerError
from learners.base import Features, Label, Learner
from learners.blocks import Operation, Result, run_examples

__all__ = ["Answer", "Deferred", "answer_of"]

Answer = list[Any]


class Deferred:
    """A learner, and what it still has to do, in order."""

    def __init__(self, learner: Learner) -> None:
        self.learner: Any = learner
        self._operations: list[Operation] = []
        self._notes: list[tuple[int, Answer | None]] = []

    def ask(self, order: int, x: Features) -> Answer:
        """The answer to `x`, which stays `[None, None]` until `work`."""
        answer: Answer = [None, None]
        self._operations.append((x, None))
        self._notes.append((order, answer))
        return answer

    def learn(self, order: int, x: Features, label: Label) -> None:
        """Learn the example when the work is done."""
        self._operations.append((x, label))
        self._notes.append((order, None))

    def work(self) -> list[tuple[int, LearnerError]]:
        """Do everything; returns what failed, with its order."""
        if not self._operations:
            return []
        operations, notes = self._operations, self._notes
        self._operations, self._notes = [], []
        failed = []
        for (order, answer), result in zip(notes, run_examples(self.learner, operations), strict=True):
            if isinstance(result, LearnerError):
                failed.append((order, result))
            elif answer is not None:
                answer[:] = answer_of(result)
        return failed


def answer_of(result: Result) -> Answer:
    """`[predicted, scores]` of what a learner said; `[None, None]` when it cannot tell."""
    if not isinstance(result, dict):
        return [result, None]
    if not result:
        return [None, None]
    best = max(result.values())
    return [min(label for label, score in result.items() if score == best), result]
