"""A trial after an alarm: a fresh learner, trained as labels come, and retired ones, frozen, on the same examples.

Each is scored on an example before anything learns it. The retired ones stay as they were retired, so that the trial
says what they knew and not what they pick up.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from learners.base import Features, Label, Learner
from learners.errors import LearnerError

__all__ = ["Trial", "clearly_below", "loss_of", "losses_of"]

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


class Trial:
    """What is known since an alarm, over the newest `rows_n` examples."""

    def __init__(self, fresh: Learner, retired: list[Learner], rows_n: int) -> None:
        self.fresh, self.retired = fresh, retired
        self.learned_n = 0
        self.due = False  # whether a drift has asked for a replacement
        self.recalled: int | None = None  # which of the retired has taken over meanwhile
        self._rows: deque[list[float]] = deque(maxlen=rows_n)  # loss of the fresh one, then of each retired one

    def step(self, x: Features, y: Label) -> None:
        """Score everyone on an example, then let the fresh learner have it."""
        self._rows.append([loss_of(self.fresh, x, y), *(loss_of(learner, x, y) for learner in self.retired)])
        self.learned_n += 1
        try:
            self.fresh.learn_one(x, y)
        except LearnerError:
            return  # the learner in place refuses such an example, too, and is counted there

    def losses(self, newest_n: int) -> list[list[float]]:
        """Losses on the newest examples: of the fresh learner, then of each retired one."""
        rows = list(self._rows)[max(0, len(self._rows) - newest_n) :]
        return [[row[i] for row in rows] for i in range(1 + len(self.retired))]

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
            "recalled": self.recalled,
            "rows": [list(row) for row in self._rows],
        }

    @classmethod
    def from_state(
        cls, state: dict[str, Any], retired: list[Learner], rows_n: int, *, restore: Callable[[bytes], Learner]
    ) -> Trial:
        """The trial that `state` was taken of; ValueError where it contradicts itself."""
        trial = cls(restore(state["fresh"]), retired, rows_n)
        trial.learned_n, trial.due, trial.recalled = int(state["learned_n"]), bool(state["due"]), state["recalled"]
        if any(len(row) != 1 + len(retired) for row in state["rows"]):
            raise ValueError("a row of losses has another number of learners than the pool")
        if trial.recalled is not None and not 0 <= trial.recalled < len(retired):
            raise ValueError("the recalled learner is not in the pool")
        trial._rows.extend([float(loss) for loss in row] for row in state["rows"])
        return trial
