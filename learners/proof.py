"""Show before use that a learner's state can be stored: learn a little, snapshot, restore, go on, compare.

What an estimator holds only after its first split or first window is met on the way, because the proof is longer
than river's usual grace period of 200 examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from learners.base import Features, Label, Learner
from learners.errors import EstimatorRefusedError, LearnerError

__all__ = ["prove_restorable"]

_LEARN_N = 210
_GO_ON_N = 20


def prove_restorable(build: Callable[[], Learner], classes_n: int) -> None:
    """Refuse a learner that a restore would change, or that a second run would not repeat.

    Raises
    ------
    EstimatorRefusedError
        names what cannot be stored, what differs after a restore, or what fails on ordinary events.
    """
    learner, repeated = build(), build()
    events = list(_events(learner, classes_n))
    try:
        for x, y in events[:_LEARN_N]:
            if _step(learner, x, y) != _step(repeated, x, y):
                raise EstimatorRefusedError("it draws random numbers without a seed: choose another estimator")
        snapshot = learner.snapshot()
        if snapshot != repeated.snapshot():
            raise EstimatorRefusedError("its state differs from run to run: choose another estimator")
        twin = learner.restore(snapshot)
        for x, y in events[_LEARN_N:]:
            if _step(learner, x, y) != _step(twin, x, y):
                raise EstimatorRefusedError("it predicts differently after a restore: choose another estimator")
        if learner.snapshot() != twin.snapshot():
            raise EstimatorRefusedError("its state differs after a restore: choose another estimator")
    except EstimatorRefusedError:
        raise
    except LearnerError as error:
        raise EstimatorRefusedError(f"it fails on ordinary events: {error}") from error


def _step(learner: Learner, x: Features, y: Label) -> tuple[Label | None, dict[str, float]]:
    answer = learner.predict_one(x), learner.predict_proba_one(x)
    learner.learn_one(x, y)
    return answer


def _events(learner: Learner, classes_n: int) -> Iterator[tuple[Features, Label]]:
    """Numbers, text and holes, with labels that the first number decides."""
    rng = np.random.Generator(np.random.PCG64(20260301))
    for i in range(_LEARN_N + _GO_ON_N):
        a, b, c = rng.standard_normal(3).tolist()
        x: dict[str, float | str] = {"a": a, "b": b, "c": c, "text": "xyz"[int(rng.integers(3))]}
        if i % 7 == 3:
            del x["b"]
        if i % 11 == 5:
            del x["text"]
        if learner.task == "regression":
            yield x, a + 0.1 * b
        else:
            yield x, str(int(a > 0) * (1 + int(b > 0)) % classes_n)
