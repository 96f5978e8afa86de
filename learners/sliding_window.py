"""Abrupt forgetting: the learner inside knows the newest examples only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learners._checks import in_range
from learners._memory import Memory
from learners.base import Features, Label, Task

__all__ = ["SlidingWindow"]


class SlidingWindow(Memory):
    """Rebuilds a learner from the newest examples at fixed event counts; in between it goes on learning.

    Parameters
    ----------
    estimator, parameters
        the learner inside, by the names of a configuration: `"anchorwatch.NaiveBayes"`, `"river.…"`, or another policy
        (three deep at most).
    window_n
        examples that the learner is rebuilt from, 1 or more: the choice between stability and plasticity. What is
        older than `window_n` + `refit_every` has no influence, but for the limits to which numbers are clipped.
    refit_every
        learned examples between two rebuildings, 1 or more. Each costs `window_n` learned examples.
    task
        of the learner inside.
    seed
        of the learner inside, at each rebuilding.
    budget_bytes
        estimated memory of the kept examples, 4096 or more; where it is used up, fewer than `window_n` are kept.

    Notes
    -----
    An example costs the learner inside `1 + window_n / refit_every` learned ones on average. The snapshot holds the
    kept examples and the learner inside as it is.

    References
    ----------
    Gama, Žliobaitė, Bifet, Pechenizkiy, Bouchachia, *A survey on concept drift adaptation*, 2014,
    doi:10.1145/2523813 (section 3.2.1: abrupt forgetting).

    Examples
    --------
    >>> learner = SlidingWindow("anchorwatch.NaiveBayes", window_n=20, refit_every=10)
    >>> for i in range(100):
    ...     learner.learn_one({"a": float(i % 2)}, "old" if i < 70 else "new")
    >>> learner.predict_proba_one({"a": 1.0})
    {'new': 1.0}
    """

    kind = "sliding_window"

    def __init__(
        self, estimator: str, parameters: Mapping[str, Any] | None = None, *, window_n: int = 1_000,
        refit_every: int = 250, task: Task = "classification", seed: int = 1, budget_bytes: int = 16 << 20,
    ) -> None:  # fmt: skip  # sizes: what every policy takes, and its own two numbers
        in_range("window_n", window_n, "1 or more", holds=window_n >= 1)
        in_range("refit_every", refit_every, "1 or more", holds=refit_every >= 1)
        self._every = refit_every
        config = {
            "estimator": estimator, "parameters": dict(parameters or {}), "window_n": window_n,
            "refit_every": refit_every, "task": task, "seed": seed, "budget_bytes": budget_bytes,
        }  # fmt: skip
        super().__init__(config, window_n)

    def _room(self) -> int:
        return self._every - self._learned_n % self._every

    def _remember(self, x: Features, y: Label) -> None:
        self._kept.append(x, y)

    def _act(self) -> None:
        if self._learned_n % self._every == 0:
            self._rebuild()
