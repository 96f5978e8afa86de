"""Work that is put off: answers and lessons of one learner, and the alarms that its policy reacts to, in one order.

A compiled learner does a block many times faster than the same examples one by one, and gives the same bits. An answer
that was asked for is a list that is filled when the work is done, so it can be kept with its prediction meanwhile.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, NamedTuple

from learners import LearnerError
from learners.base import Features, Label, Learner
from learners.blocks import Operation, Result, run_examples

__all__ = ["Answer", "Compared", "Deferred", "Moment", "answer_of"]

Answer = list[Any]


class Moment(NamedTuple):
    """Where in the stream something happened: `order` counts the committee's work, `event` the predictions so far."""

    order: int
    event: int
    offset: int


class Compared(NamedTuple):
    """What a learner and the one in its background made of a question, or of an example (then `answer` is None)."""

    label: Label | None
    answer: Answer | None
    said: Result
    fresh: Result
    learned: Result
    fresh_learned: Result

    def difference(self) -> float | None:
        """Loss of the learner less that of the one in the background, in [-1, 1]; None where one cannot be judged.

        Classes: by the probability of the true one. Numbers: the difference of the errors over their sum.
        """
        if isinstance(self.said, dict) and isinstance(self.fresh, dict):
            return self.fresh.get(str(self.label), 0.0) - self.said.get(str(self.label), 0.0)
        if not isinstance(self.said, float) or not isinstance(self.fresh, float) or self.label is None:
            return None
        ours, theirs = abs(float(self.label) - self.said), abs(float(self.label) - self.fresh)
        return (ours - theirs) / (ours + theirs) if 0.0 < ours + theirs < math.inf else 0.0


class Deferred:
    """What one member still has to do, in order."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Operation, Answer | None]] = deque()

    def ask(self, order: int, x: Features) -> Answer:
        """The answer to `x`, which stays `[None, None]` until the work is done."""
        answer: Answer = [None, None]
        self._waiting.append((order, (x, None), answer))
        return answer

    def learn(self, order: int, x: Features, label: Label) -> None:
        """Learn the example when the work is done."""
        self._waiting.append((order, (x, label), None))

    def _take(self, until: float) -> list[tuple[int, Operation, Answer | None]]:
        waiting, part = self._waiting, []
        while waiting and waiting[0][0] <= until:
            part.append(waiting.popleft())
        return part

    def compare(self, learner: Learner, background: Learner, until: float) -> list[Compared]:
        """Let both answer and learn everything up to order `until`, and answer each example before they learn it."""
        part = self._take(until)
        work: list[Operation] = []
        for _, (x, y), _ in part:
            work += [(x, None)] if y is None else [(x, None), (x, y)]
        ours, theirs = iter(run_examples(learner, work)), iter(run_examples(background, work))
        done = []
        for _, (_, y), answer in part:
            said, fresh = next(ours), next(theirs)
            learned = (None, None) if y is None else (next(ours), next(theirs))
            done.append(Compared(y, answer, said, fresh, *learned))
        return done

    def work(self, learner: Learner, background: Learner | None, until: float) -> list[LearnerError]:
        """Do everything up to order `until`; the learner in the background only learns. Returns what failed."""
        part = self._take(until)
        if not part:
            return []
        failed: list[tuple[int, LearnerError]] = []
        for (order, _, answer), result in zip(part, run_examples(learner, [op for _, op, _ in part]), strict=True):
            if isinstance(result, LearnerError):
                failed.append((order, result))
            elif answer is not None:
                answer[:] = answer_of(result)
        if background is not None:
            lessons = [(order, op) for order, op, answer in part if answer is None]
            results = run_examples(background, [op for _, op in lessons])
            failed += [(n, r) for (n, _), r in zip(lessons, results, strict=True) if isinstance(r, LearnerError)]
            failed.sort(key=lambda f: f[0])
        return [error for _, error in failed]


def answer_of(result: Result) -> Answer:
    """`[predicted, scores]` of what a learner said; `[None, None]` when it cannot tell."""
    if not isinstance(result, dict):
        return [result, None]
    if not result:
        return [None, None]
    best = max(result.values())
    return [min(label for label, score in result.items() if score == best), result]
