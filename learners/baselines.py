"""What every learner must beat: the most frequent class, the mean, and the newest label that had arrived.

None of them looks at features; each is a few counts, exact in any order of batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

from learners import codec
from learners.base import Features, Label, Task
from learners.blocks import Operation, Result, labels_of
from learners.clipping import RangeClip
from learners.errors import LearnerError, SnapshotError
from learners.fixed_point import ONE, fixed

__all__ = ["Majority", "Mean", "NoChange"]

_TARGET = "target"


class Majority:
    """Predicts the class that was most frequent among the labels so far; ties go to the first in order of text.

    Parameters
    ----------
    classes_cap
        classes that are counted; labels of further ones are counted together and never predicted.
    """

    task: Task = "classification"

    def __init__(self, classes_cap: int = 64) -> None:
        if classes_cap < 1:
            raise ValueError(f"classes_cap = {classes_cap}: must be 1 or more")
        self._cap = classes_cap
        self._counts: dict[str, int] = {}  # in order of text
        self._uncounted_n = 0

    def predict_one(self, x: Features) -> str | None:
        """The majority class; None before the first label."""
        del x
        return min(self._counts, key=lambda label: (-self._counts[label], label), default=None)

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """Share of each class among the labels so far, in order of text."""
        del x
        total = sum(self._counts.values())
        return {label: n / total for label, n in self._counts.items()}

    def learn_one(self, x: Features, y: Label) -> None:
        """Count the label."""
        del x
        label = str(y)
        counted = self._counts.get(label)
        if counted is not None:
            self._counts[label] = counted + 1
        elif len(self._counts) < self._cap:
            self._counts = dict(sorted([*self._counts.items(), (label, 1)]))
        else:
            self._uncounted_n += 1

    def run_examples(self, operations: Sequence[Operation]) -> list[Result]:
        """Answer and learn in order, as a block (`learners.blocks`)."""
        results: list[Result] = []
        shares: dict[str, float] | None = None
        for y in labels_of(operations):
            if y is not None:
                self.learn_one({}, y)
                shares = None
            elif shares is None:
                shares = self.predict_proba_one({})
            results.append(shares)
        return results

    @property
    def nbytes(self) -> int:
        """Size of a snapshot in bytes."""
        return len(self.snapshot())

    def snapshot(self) -> bytes:
        """Canonical bytes of the counts."""
        counts = list(self._counts.items())
        return codec.encode({"kind": "majority", "cap": self._cap, "counts": counts, "uncounted_n": self._uncounted_n})

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The baseline that `snapshot` was taken of."""
        tree = _open(data, "majority", "cap", "counts", "uncounted_n")
        learner = cls(tree["cap"])
        learner._counts = dict(tree["counts"])
        learner._uncounted_n = tree["uncounted_n"]
        return learner


class Mean:
    """Predicts the mean of all labels so far, summed exactly; absurd labels are clipped (`learners.clipping`)."""

    task: Task = "regression"

    def __init__(self) -> None:
        self._n = 0
        self._sum = 0
        self._clip = RangeClip()

    def predict_one(self, x: Features) -> float | None:
        """The mean; None before the first label."""
        del x
        return self._sum / (self._n * ONE) if self._n else None

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """Nothing: there are no classes."""
        del x
        return {}

    def learn_one(self, x: Features, y: Label) -> None:
        """Add the label; LearnerError if it is no finite number."""
        del x
        value = self._clip.clip(_TARGET, _number(y))
        if value is not None:
            self._clip.learn(_TARGET, value)
            self._n += 1
            self._sum += fixed(value)

    @property
    def nbytes(self) -> int:
        """Size of a snapshot in bytes."""
        return len(self.snapshot())

    def snapshot(self) -> bytes:
        """Canonical bytes of count, sum and limits."""
        return codec.encode({"kind": "mean", "n": self._n, "sum": self._sum, "clip": self._clip.state()})

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The baseline that `snapshot` was taken of."""
        tree = _open(data, "mean", "n", "sum", "clip")
        learner = cls()
        learner._n, learner._sum = tree["n"], tree["sum"]
        learner._clip = RangeClip.from_state(tree["clip"])
        return learner


class NoChange:
    """Predicts the newest label that had arrived.

    Parameters
    ----------
    task
        `"classification"` (text) or `"regression"` (numbers).
    """

    def __init__(self, task: Task = "classification") -> None:
        if task not in {"classification", "regression"}:
            raise ValueError(f"task = {task!r}: must be 'classification' or 'regression'")
        self.task: Task = task
        self._newest: Label | None = None

    def predict_one(self, x: Features) -> Label | None:
        """The newest label; None before the first."""
        del x
        return self._newest

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """All probability on the newest label."""
        del x
        return {self._newest: 1.0} if isinstance(self._newest, str) else {}

    def learn_one(self, x: Features, y: Label) -> None:
        """Keep the label; LearnerError if it should be a finite number and is not."""
        del x
        self._newest = str(y) if self.task == "classification" else _number(y)

    @property
    def nbytes(self) -> int:
        """Size of a snapshot in bytes."""
        return len(self.snapshot())

    def snapshot(self) -> bytes:
        """Canonical bytes of the newest label."""
        return codec.encode({"kind": "no_change", "task": self.task, "newest": self._newest})

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The baseline that `snapshot` was taken of."""
        tree = _open(data, "no_change", "task", "newest")
        learner = cls(tree["task"])
        learner._newest = tree["newest"]
        return learner


def _number(y: Label) -> float:
    if isinstance(y, str) or not math.isfinite(y):
        raise LearnerError(f"label {y!r} is no finite number, and this baseline is for regression")
    return float(y)


def _open(data: bytes, kind: str, *fields: str) -> dict[str, Any]:
    tree = codec.decode(data)
    if not isinstance(tree, dict) or tree.get("kind") != kind or set(tree) != {"kind", *fields}:
        raise SnapshotError(f"this is no snapshot of the baseline {kind!r}: restore a backup, or let it start anew")
    return tree
