"""A probe that sees concept drift: a learner trained on the reference and then frozen.

Its errors afterwards move only when the relation of features and label does, or the features leave what it knew; a
learner that goes on adapting hides that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from learners import codec
from learners.base import Features, Label, Learner, Task
from learners.blocks import Operation, Result, labels_of, part_of, run_examples
from learners.errors import SnapshotError

__all__ = ["FrozenProbe"]

_FIELDS = {"kind", "frozen", "learned_n", "learner"}


class FrozenProbe:
    """Learns like the learner inside until `freeze`, then never again.

    Parameters
    ----------
    learner
        the untrained learner inside.

    Notes
    -----
    After `freeze` the bytes of the learner are made once and reused, so that `snapshot` costs nothing and a store
    that keeps only what changed carries them once.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._frozen_bytes: bytes | None = None
        self.learned_n = 0

    @property
    def task(self) -> Task:
        """The task of the learner inside."""
        return self._learner.task

    @property
    def frozen(self) -> bool:
        """Whether it has stopped learning."""
        return self._frozen_bytes is not None

    @property
    def nbytes(self) -> int:
        """Size of the newest snapshot in bytes."""
        return self._learner.nbytes

    def freeze(self) -> None:
        """Stop learning for good."""
        if self._frozen_bytes is None:
            self._frozen_bytes = self._learner.snapshot()

    def predict_one(self, x: Features) -> Label | None:
        """What the learner inside says."""
        return self._learner.predict_one(x)

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """What the learner inside says."""
        return self._learner.predict_proba_one(x)

    def learn_one(self, x: Features, y: Label) -> None:
        """Learn, or nothing once frozen."""
        if self._frozen_bytes is None:
            self._learner.learn_one(x, y)
            self.learned_n += 1

    def run_examples(self, operations: Sequence[Operation]) -> list[Result]:
        """Answer and learn in order, as a block (`learners.blocks`)."""
        labels = labels_of(operations)
        if self._frozen_bytes is None:
            results = run_examples(self._learner, operations)
            self.learned_n += sum(y is not None and r is None for y, r in zip(labels, results, strict=True))
            return results
        asked = [i for i, y in enumerate(labels) if y is None]
        answers = iter(run_examples(self._learner, part_of(operations, asked)))
        return [next(answers) if y is None else None for y in labels]

    def snapshot(self) -> bytes:
        """Canonical bytes; those of a frozen learner do not change any more."""
        inner = self._learner.snapshot() if self._frozen_bytes is None else self._frozen_bytes
        tree = {"kind": "frozen", "frozen": self.frozen, "learned_n": self.learned_n, "learner": inner}
        return codec.encode(tree)

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The probe that `snapshot` was taken of."""
        from learners.registry import restore_learner

        tree = codec.decode(data)
        if not isinstance(tree, dict) or set(tree) - {"failures"} != _FIELDS:  # snapshots of before had it
            raise SnapshotError("this is no snapshot of a frozen probe: restore a backup, or let it start anew")
        probe = cls(restore_learner(tree["learner"]))
        probe._frozen_bytes = tree["learner"] if tree["frozen"] else None
        probe.learned_n = tree["learned_n"]
        return probe
