"""Abrupt forgetting on evidence: the window grows while the learner does well, and is cut when its errors rise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from learners._checks import in_range
from learners._memory import Memory
from learners.base import Features, Label, Task
from learners.errors import LearnerError

__all__ = ["AdaptiveWindow"]

_REACH = 5.0
_LARGEST = 1e100


class AdaptiveWindow(Memory):
    """Keeps the newest examples, and rebuilds a learner from what ADWIN leaves of them when its errors rise.

    Parameters
    ----------
    estimator, parameters
        the learner inside, by the names of a configuration: `"anchorwatch.NaiveBayes"`, `"river.…"`, or another policy
        (three deep at most).
    delta
        ADWIN's confidence, in (0, 1): the choice between stability and plasticity. The smaller, the fewer false cuts
        and the later a true one.
    max_n
        examples that are kept, 1 or more: a cut goes back no further.
    task
        of the learner inside.
    seed
        of the learner inside, at each rebuilding.
    budget_bytes
        estimated memory of the kept examples, 4096 or more; where it is used up, fewer than `max_n` are kept.

    Notes
    -----
    Before an example is learned, the learner's answer to it is judged: 0 right, 1 wrong; for regression
    |error| / (|error| + mean |error|), which an absurd target cannot ruin. ADWIN checks after every 32nd of these. Only
    a rise cuts: that a learner gets better is no reason to forget. After a cut the newest examples remain, as many as
    ADWIN's window holds.

    Per example: an answer, a learned example and some ten microseconds; `max_n` learned ones at a cut at most.

    References
    ----------
    Bifet, Gavaldà, *Learning from time-changing data with adaptive windowing*, 2007, doi:10.1137/1.9781611972771.42.

    Examples
    --------
    >>> learner = AdaptiveWindow("anchorwatch.NaiveBayes", max_n=2_000)
    >>> for i in range(1_500):
    ...     a = float(i * 7 % 10)
    ...     learner.learn_one({"a": a}, str((a > 4) != (i >= 1_000)))
    >>> learner.predict_one({"a": 9.0}), learner.window_n < 600
    ('False', True)
    """

    kind = "adaptive_window"

    def __init__(
        self, estimator: str, parameters: Mapping[str, Any] | None = None, *, delta: float = 0.002,
        max_n: int = 5_000, task: Task = "classification", seed: int = 1, budget_bytes: int = 16 << 20,
    ) -> None:  # fmt: skip  # sizes: what every policy takes, and its own two numbers
        in_range("delta", delta, "in (0, 1)", holds=0.0 < delta < 1.0)
        in_range("max_n", max_n, "1 or more", holds=max_n >= 1)
        from detectors.adwin import AdwinBank

        self._adwin = AdwinBank(1, delta=delta, direction="up", bounds=(0.0, 1.0))
        self._error: float | None = None  # of the answer to the example that is being learned
        self._errors_n, self._mean_error = 0, 0.0
        config = {
            "estimator": estimator, "parameters": dict(parameters or {}), "delta": delta, "max_n": max_n,
            "task": task, "seed": seed, "budget_bytes": budget_bytes,
        }  # fmt: skip
        super().__init__(config, max_n)

    def _before(self, x: Features, y: Label) -> None:
        try:
            said = self._inner.predict_one(x)
        except LearnerError:
            said = None
        self._error = None
        if said is None:
            return
        if self.task == "classification":
            self._error = float(said != str(y))
        elif not isinstance(y, str) and math.isfinite(y):
            self._error = min(abs(float(said) - float(y)), _LARGEST)

    def _remember(self, x: Features, y: Label) -> None:
        self._kept.append(x, y)

    def _act(self) -> None:
        error, self._error = self._error, None
        if error is None:
            return
        judged = error if self.task == "classification" else self._beside_the_mean(error)
        if not self._adwin.update_many(np.array([[judged]]), np.array([self._learned_n])).alarms:
            return
        width = self._adwin.moments(0)[0]
        self._kept.drop_oldest(max(0, len(self._kept) - width))
        self._errors_n = min(self._errors_n, width)
        self._rebuild()

    def _beside_the_mean(self, error: float) -> float:
        """The error in [0, 1) beside the mean of those before, which it then enters, as five times the mean at most."""
        mean = self._mean_error
        self._errors_n += 1
        within = min(error, _REACH * mean) if mean > 0.0 else error
        self._mean_error += (within - mean) / self._errors_n
        return error / (error + mean) if error > 0.0 else 0.0

    def _state(self) -> dict[str, Any]:
        return {"adwin": self._adwin.state(), "errors_n": self._errors_n, "mean_error": self._mean_error}

    def _load(self, state: dict[str, Any]) -> None:
        from detectors.adwin import AdwinBank

        self._adwin = AdwinBank.from_state(state["adwin"])
        self._errors_n, self._mean_error = int(state["errors_n"]), float(state["mean_error"])
        if self._errors_n < 0 or not 0.0 <= self._mean_error <= _LARGEST:
            raise ValueError("mean of the errors")
