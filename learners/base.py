"""The contract of every learner: predict when a prediction is asked for, learn when its label arrives.

Features come as a mapping of name to number or text in which a missing feature is simply absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, Self, runtime_checkable

__all__ = ["Features", "Label", "Learner", "Task", "forgets"]

Features = Mapping[str, float | str]
Label = str | float
Task = Literal["classification", "regression"]


@runtime_checkable
class Learner(Protocol):
    """What the fold, the adaptation policy and the probe ask of a learner."""

    @property
    def task(self) -> Task:
        """Whether labels are text (`classification`) or numbers (`regression`)."""

    @property
    def nbytes(self) -> int:
        """Size of the newest snapshot in bytes."""

    def predict_one(self, x: Features) -> Label | None:
        """The most probable class (ties: the first in order of text), or the number; None while nothing is known."""

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """Probability per class, in order of text, finite, sum 1; empty while nothing is known, and for regression."""

    def learn_one(self, x: Features, y: Label) -> None:
        """Learn one labelled example.

        Raises
        ------
        LearnerError
            the example could not be learned; the learner stays usable.
        """

    def snapshot(self) -> bytes:
        """Canonical bytes of the whole state: equal states give equal bytes."""

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The learner that `snapshot` was taken of; it goes on bit for bit as if nothing had happened.

        Raises
        ------
        SnapshotError
            the bytes are damaged or belong to something else.
        """


def forgets(learner: Learner) -> bool:
    """Whether the learner can be told to let the past count for less, by a method `forget`."""
    return hasattr(learner, "forget") and bool(getattr(learner, "can_forget", True))
