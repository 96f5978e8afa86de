"""A trial after an alarm: a fresh learner, trained as labels come, and retired ones, frozen, on the same examples.

Each is scored on an example before anything learns it. The retired ones stay as they were retired, so that the trial
says what they knew and not what they pick up.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from learners.base import Features, Label, Learner
from learners.confidence_sequence import ConfidenceSequence
from learners.errors import LearnerError

__all__ = ["Trial", "clearly_below", "lead", "loss_of", "losses_of"]

_LARGEST = 1e30


def loss_of(learner: Learner, x: Features, y: Label) -> float:
    """0 or 1 for classes, the absolute error for numbers; not knowing counts as an error, or as saying 0."""
    try:
        said = learner.predict_one(x)
    except LearnerError:
        said = None
    if learner.task == "classification":
        return float(said is None or said != str(y))
    return _size(float(y) - float(said or 0.0))


def _size(error: float) -> float:
    return min(abs(error), _LARGEST) if not math.isnan(error) else _LARGEST


def losses_of(learner: Learner, examples: Sequence[tuple[Features, Label]]) -> list[float]:
    """Losses on the examples in order; the learner stays as it is."""
    return [loss_of(learner, x, y) for x, y in examples]


def clearly_below(losses: Sequence[float], others: Sequence[float], deviations: float) -> bool:
    """Whether `losses` are below `others`, example by example, by more than so many standard deviations of chance.

    If both were equally good the sum of the differences would have mean 0 and, about, the root of the sum of their
    squares as its deviation.
    """
    gain = square = 0.0
    for mine, theirs in zip(losses, others, strict=True):
        gain += theirs - mine
        square += (theirs - mine) * (theirs - mine)
    return gain > deviations * math.sqrt(square)


def lead(loss: float, other: float) -> float:
    """How far `loss` is below `other`, as a share of both, from -1 to 1: for losses of 0 and 1 the difference."""
    both = loss + other
    return (other - loss) / both if both > 0.0 else 0.0


class Trial:
    """What is known since an alarm: losses on the newest `rows_n` examples, and evidence against the one in place.

    Evidence for the fresh learner is counted from its `counts_from`-th example on, that for retired ones from the
    first; each lead is taken as it comes, so that the confidence sequences may be looked at at any time.
    """

    def __init__(self, fresh: Learner, retired: list[Learner], rows_n: int, counts_from: int = 0) -> None:
        self.fresh, self.retired = fresh, retired
        self.learned_n = 0
        self.due = False  # whether a drift has asked for a replacement
        self._counts_from = counts_from
        # Losses of the one in place, of the fresh one, then of each retired one.
        self._rows: deque[list[float]] = deque(maxlen=rows_n)
        self.renew()

    def renew(self) -> None:
        """Begin to count evidence anew: another learner is in place."""
        self.evidence = [ConfidenceSequence() for _ in range(1 + len(self.retired))]  # the fresh one's, then theirs

    def step(self, x: Features, y: Label, in_place: float) -> None:
        """Score everyone on an example, then let the fresh learner have it; `in_place` is the loss of that learner."""
        losses = [loss_of(self.fresh, x, y), *(loss_of(learner, x, y) for learner in self.retired)]
        self._rows.append([in_place, *losses])
        skipped = 1 if self.learned_n < self._counts_from else 0
        for evidence, loss in zip(self.evidence[skipped:], losses[skipped:], strict=True):
            evidence.add(lead(loss, in_place))
        self.learned_n += 1
        try:
            self.fresh.learn_one(x, y)
        except LearnerError:
            return  # the learner in place refuses such an example, too, and is counted there

    def losses(self, newest_n: int) -> list[list[float]]:
        """Losses on the newest examples: of the learner in place, of the fresh one, then of each retired one."""
        rows = list(self._rows)[max(0, len(self._rows) - newest_n) :]
        return [[row[i] for row in rows] for i in range(2 + len(self.retired))]

    @property
    def scored_n(self) -> int:
        """Examples that losses are kept of."""
        return len(self._rows)

    def state(self) -> dict[str, Any]:
        """Plain tree; the retired ones stand in the pool, and are not repeated."""
        return {
            "fresh": self.fresh.snapshot(),
            "learned_n": self.learned_n,
            "due": self.due,
            "rows": [list(row) for row in self._rows],
            "evidence": [evidence.state() for evidence in self.evidence],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave, but for the learners; ValueError where it contradicts itself."""
        self.learned_n, self.due = int(state["learned_n"]), bool(state["due"])
        if any(len(row) != 2 + len(self.retired) for row in state["rows"]):
            raise ValueError("a row of losses has another number of learners than the pool")
        if len(state["evidence"]) != len(self.evidence):
            raise ValueError("there is evidence for another number of learners than the pool has")
        self._rows.extend([float(loss) for loss in row] for row in state["rows"])
        self.evidence = [ConfidenceSequence.from_state(evidence) for evidence in state["evidence"]]
