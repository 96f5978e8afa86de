"""Work that is put off: questions and lessons of a committee in one order, and what each member does of it when.

A compiled learner does a block many times faster than the same examples one by one, and gives the same bits. Answers
stand in a dict that is filled when the work is done, so it can be kept with its prediction meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from learners import LearnerError
from learners.base import Features, Label, Learner
from learners.blocks import Operation, Result, judge_examples, run_examples

__all__ = ["Answer", "Block", "Compared", "Deferred", "Moment", "answer_of"]

Answer = list[Any]


class Moment(NamedTuple):
    """Where in the stream something happened: `order` counts the committee's work, `event` the predictions so far,
    `time_ms` is the watermark."""

    order: int
    event: int
    offset: int
    time_ms: int | None = None


class Compared(NamedTuple):
    """What came of a block that two learners did: what failed, in order, and, per lesson, loss of the one less that of
    the other in [-1, 1]; None where one of them cannot be judged."""

    failed: list[LearnerError]
    differences: list[float | None]


class Block:
    """Questions and lessons, one for each order from `first` on; of a question the answers by member."""

    __slots__ = ("answers", "first", "ops")

    def __init__(self, first: int) -> None:
        self.first = first
        self.ops: list[Operation] = []
        self.answers: list[dict[str, Answer] | None] = []

    def ask(self, x: Features) -> dict[str, Answer]:
        """A question; its answers come with the work."""
        answers: dict[str, Answer] = {}
        self.ops.append((x, None))
        self.answers.append(answers)
        return answers

    def learn(self, x: Features, label: Label) -> None:
        """A lesson."""
        self.ops.append((x, label))
        self.answers.append(None)

    def questions(self) -> Block:
        """The questions alone."""
        return self.part([i for i, answers in enumerate(self.answers) if answers is not None])

    def part(self, places: list[int]) -> Block:
        """What stands at these places, which has no orders of its own."""
        part = Block(0)
        part.ops, part.answers = [self.ops[i] for i in places], [self.answers[i] for i in places]
        return part


class Deferred:
    """How far one member has come in a block."""

    def __init__(self, name: str, block: Block) -> None:
        self._name, self._block, self._at = name, block, 0

    def _take(self, until: float) -> tuple[list[Operation], list[dict[str, Answer] | None]]:
        block, start = self._block, self._at
        self._at = end = int(max(start, min(until - block.first + 1, len(block.ops))))
        return block.ops[start:end], block.answers[start:end]

    def compare(self, learner: Learner, background: Learner, until: float) -> Compared:
        """Do everything up to order `until`; both learners are judged by each example before they learn it."""
        ops, places = self._take(until)
        said = judge_examples(learner, ops)
        lessons = [i for i, (_, y) in enumerate(ops) if y is not None]
        theirs = judge_examples(background, [ops[i] for i in lessons])
        differences = [_difference(ops[i][1], said[i], fresh) for i, fresh in zip(lessons, theirs, strict=True)]
        self._answer(said, places)
        return Compared(_failed(said, zip(lessons, theirs, strict=True)), differences)

    def work(self, learner: Learner, background: Learner | None, until: float) -> list[LearnerError]:
        """Do everything up to order `until`; the learner in the background only learns. Returns what failed."""
        ops, places = self._take(until)
        if not ops:
            return []
        said = run_examples(learner, ops)
        self._answer(said, places)
        lessons = [] if background is None else [i for i, (_, y) in enumerate(ops) if y is not None]
        theirs = run_examples(background, [ops[i] for i in lessons]) if background is not None else []
        return _failed(said, zip(lessons, theirs, strict=True))

    def _answer(self, results: list[Result], places: list[dict[str, Answer] | None]) -> None:
        """Put the answers where they were asked for."""
        name = self._name
        for place, result in zip(places, results, strict=True):
            if place is not None:
                place[name] = answer_of(result)


def _failed(said: list[Result], theirs: Iterable[tuple[int, Result]]) -> list[LearnerError]:
    """What failed, in order."""
    failed = [(i, 0, result) for i, result in enumerate(said) if isinstance(result, LearnerError)]
    failed += [(i, 1, result) for i, result in theirs if isinstance(result, LearnerError)]
    return [error for *_, error in sorted(failed, key=lambda f: f[:2])]


def answer_of(result: Result) -> Answer:
    """`[predicted, scores]` of what a learner said; `[None, None]` when it cannot tell, or failed."""
    if isinstance(result, dict):
        # Probabilities come in order of text, so the first of equals is the first in order of text.
        if len(result) == 2:  # as `max`, in half the time
            (first, p), (second, q) = result.items()
            return [first if p >= q else second, result]
        return [max(result, key=result.__getitem__), result] if result else [None, None]
    return [None if isinstance(result, LearnerError) else result, None]


def _difference(label: Label | None, said: Result, fresh: Result) -> float | None:
    """Classes: by the probability of the true one. Numbers: the difference of the errors over their sum."""
    if not isinstance(said, float) or not isinstance(fresh, float):
        return None
    if label is None or isinstance(label, str):
        return fresh - said
    ours, theirs = abs(label - said), abs(label - fresh)
    return (ours - theirs) / (ours + theirs) if 0.0 < ours + theirs < math.inf else 0.0
