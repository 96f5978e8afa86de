"""Work that is put off: questions and lessons of a committee in one order, and what each member does of it when.

A compiled learner does a block many times faster than the same examples one by one, and gives the same bits. Answers
stand in a dict that is filled when the work is done, so it can be kept with its prediction meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from learners import LearnerError
from learners.base import Features, Label, Learner
from learners.blocks import Result, Rows, judge_examples, run_examples

__all__ = ["Answer", "Block", "Compared", "Deferred", "Moment", "answer_of"]

Answer = list[Any]


class Moment(msgspec.Struct, frozen=True, gc=False):
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
    """Questions and lessons, one for each order from `first` on; of a question the answers by member.

    Examples are values in the order of `names`, None where one is missing; `texts` are those whose values are text.
    """

    __slots__ = ("_labels", "_ops", "_values", "answers", "first", "names", "texts")

    def __init__(self, first: int, names: tuple[str, ...], *, texts: frozenset[str]) -> None:
        self.first, self.names, self.texts = first, names, texts
        self.answers: list[dict[str, Answer] | None] = []
        self._values: list[Sequence[Any]] = []
        self._labels: list[Label | None] = []
        self._ops: Rows | None = None

    def __len__(self) -> int:
        return len(self.answers)

    def ask(self, values: Sequence[Any]) -> dict[str, Answer]:
        """A question; its answers come with the work."""
        answers: dict[str, Answer] = {}
        self._values.append(values)
        self._labels.append(None)
        self.answers.append(answers)
        return answers

    def learn(self, values: Sequence[Any], label: Label) -> None:
        """A lesson."""
        self._values.append(values)
        self._labels.append(label)
        self.answers.append(None)

    @property
    def ops(self) -> Rows:
        """What was put off; nothing can be added any more."""
        if self._ops is None:
            self._ops = Rows(self.names, self._values, self._labels, texts=self.texts)
        return self._ops

    def example(self, order: int) -> Features:
        """The example of that order, with names."""
        return self.ops[order - self.first][0]

    def questions(self) -> Block:
        """The questions alone."""
        return self.part([i for i, answers in enumerate(self.answers) if answers is not None])

    def part(self, places: list[int]) -> Block:
        """What stands at these places, which has no orders of its own."""
        part = Block(0, self.names, texts=self.texts)
        part._ops, part.answers = self.ops.part(places), [self.answers[i] for i in places]
        return part


class Deferred:
    """How far one member has come in a block."""

    def __init__(self, name: str, block: Block) -> None:
        self._name, self._block, self._at = name, block, 0

    def _take(self, until: float) -> tuple[Rows, list[dict[str, Answer] | None]]:
        block, start = self._block, self._at
        self._at = end = int(max(start, min(until - block.first + 1, len(block))))
        return block.ops[start:end], block.answers[start:end]

    def example(self, order: int) -> Features:
        """The example of that order, with names."""
        return self._block.example(order)

    def compare(self, learner: Learner, background: Learner, until: float) -> Compared:
        """Do everything up to order `until`; both learners are judged by each example before they learn it."""
        ops, places = self._take(until)
        said = judge_examples(learner, ops)
        lessons = _lessons(ops)
        theirs = judge_examples(background, ops.part(lessons))
        differences = [_difference(ops.labels[i], said[i], fresh) for i, fresh in zip(lessons, theirs, strict=True)]
        self._answer(said, places)
        return Compared(_failed(said, list(zip(lessons, theirs, strict=True))), differences)

    def work(self, learner: Learner, background: Learner | None, until: float) -> list[LearnerError]:
        """Do everything up to order `until`; the learner in the background only learns. Returns what failed."""
        ops, places = self._take(until)
        if not ops:
            return []
        said = run_examples(learner, ops)
        self._answer(said, places)
        lessons = [] if background is None else _lessons(ops)
        theirs = [] if background is None else run_examples(background, ops.part(lessons))
        return _failed(said, list(zip(lessons, theirs, strict=True)))

    def _answer(self, results: list[Result], places: list[dict[str, Answer] | None]) -> None:
        """Put the answers where they were asked for."""
        name = self._name
        for place, result in zip(places, results, strict=True):
            if place is not None:
                place[name] = answer_of(result)


def _lessons(ops: Rows) -> list[int]:
    """The places of what is learned."""
    return [i for i, y in enumerate(ops.labels) if y is not None]


def _failed(said: list[Result], theirs: list[tuple[int, Result]]) -> list[LearnerError]:
    """What failed, in order."""
    # Nothing fails nearly always, and to see that by the types takes less than half the time of a look at each.
    if not any(issubclass(kind, LearnerError) for kind in {*map(type, said), *(type(result) for _, result in theirs)}):
        return []
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
