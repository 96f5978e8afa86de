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
    """Where in the stream something happened: `order` counts the committee's work, `event` the predictions so far,
    `time_ms` is the watermark."""

    order: int
    event: int
    offset: int
    time_ms: int | None = None


class Compared(NamedTuple):
    """What came of a block that two learners did: what failed, and, per lesson, loss of the one less that of the other
    in [-1, 1]; None where one of them cannot be judged."""

    failed: list[LearnerError]
    differences: list[float | None]


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

    def compare(self, learner: Learner, background: Learner, until: float) -> Compared:
        """Do everything up to order `until`; both learners answer each example before they learn it."""
        part = self._take(until)
        work: list[Operation] = []
        for _, (x, y), _ in part:
            work += [(x, None)] if y is None else [(x, None), (x, y)]
        lessons = [op for op in work if op[1] is not None]
        asked = [(op[0], None) for op in lessons]
        ours = iter(run_examples(learner, work))
        theirs = iter(run_examples(background, [op for pair in zip(asked, lessons, strict=True) for op in pair]))
        compared = Compared([], [])
        for _, (_, y), answer in part:
            said = next(ours)
            if answer is not None:
                answer[:] = [None, None] if isinstance(said, LearnerError) else answer_of(said)
                compared.failed.extend([said] if isinstance(said, LearnerError) else [])
            elif y is not None:
                compared.differences.append(_difference(y, said, next(theirs)))
                compared.failed.extend(r for r in (next(ours), next(theirs)) if isinstance(r, LearnerError))
        return compared

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


def _difference(label: Label, said: Result, fresh: Result) -> float | None:
    """Classes: by the probability of the true one. Numbers: the difference of the errors over their sum."""
    if isinstance(said, dict) and isinstance(fresh, dict):
        return fresh.get(str(label), 0.0) - said.get(str(label), 0.0)
    if not isinstance(said, float) or not isinstance(fresh, float):
        return None
    ours, theirs = abs(float(label) - said), abs(float(label) - fresh)
    return (ours - theirs) / (ours + theirs) if 0.0 < ours + theirs < math.inf else 0.0
