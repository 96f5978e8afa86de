"""Gradual forgetting: what a learner knows counts half as much after each half-life."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learners._checks import in_range
from learners._examples import Reservoir
from learners._memory import Memory
from learners.base import Features, Label, Task, forgets

__all__ = ["Decay"]


class Decay(Memory):
    """Makes a learner forget exponentially: by its own `forget`, or by rebuilding it from a sample biased to the new.

    Parameters
    ----------
    estimator, parameters
        the learner inside, by the names of a configuration: `"anchorwatch.NaiveBayes"`, `"river.…"`, or another policy
        (three deep at most).
    half_life_n
        learned examples after which an old one counts half, 1 or more: the choice between stability and plasticity.
    refit_every
        learned examples between two acts of forgetting, 1 or more; None: an eighth of the half-life.
    max_n
        examples in the sample at most, 1 or more; it never needs more than half-life / ln 2.
    task
        of the learner inside.
    seed
        of the learner inside, at each rebuilding, and of the sample.
    budget_bytes
        estimated memory of the sample, 4096 or more; where it is used up, fewer than `max_n` are kept.

    Notes
    -----
    A learner that has `forget(keep)` is told to, every `refit_every` examples with keep = 2 ** (-refit_every /
    half_life_n), and nothing is kept. Any other is rebuilt at the same counts from a reservoir in which an example
    t examples old remains with probability close to 2 ** (-t / half_life_n), times a constant below 1 if `max_n` is
    below half-life / ln 2; between two rebuildings it learns everything. Rebuilding costs as many learned examples as
    the reservoir holds.

    References
    ----------
    Aggarwal, *On biased reservoir sampling in the presence of stream evolution*, VLDB 2006 (algorithms 2.1 and 3.1).

    Examples
    --------
    >>> learner = Decay("anchorwatch.NaiveBayes", half_life_n=50)
    >>> for i in range(600):
    ...     learner.learn_one({"a": float(i % 10)}, str((i % 10 > 4) != (i >= 300)))
    >>> learner.predict_one({"a": 9.0})
    'False'
    """

    kind = "decay"

    def __init__(  # sizes: what every policy takes, and its own three numbers
        self, estimator: str, parameters: Mapping[str, Any] | None = None, *, half_life_n: int = 1_000,
        refit_every: int | None = None, max_n: int = 1_000, task: Task = "classification", seed: int = 1,
        budget_bytes: int = 16 << 20,
    ) -> None:  # fmt: skip
        in_range("half_life_n", half_life_n, "1 or more", holds=half_life_n >= 1)
        in_range("max_n", max_n, "1 or more", holds=max_n >= 1)
        in_range("refit_every", refit_every or 1, "1 or more, or None", holds=refit_every is None or refit_every >= 1)
        self._every = refit_every or max(1, half_life_n // 8)
        self._keep = 2.0 ** (-self._every / half_life_n)
        self._reservoir = Reservoir(half_life_n, max_n, seed)
        config = {
            "estimator": estimator, "parameters": dict(parameters or {}), "half_life_n": half_life_n,
            "refit_every": refit_every, "max_n": max_n, "task": task, "seed": seed, "budget_bytes": budget_bytes,
        }  # fmt: skip
        super().__init__(config, self._reservoir.places_n)

    @property
    def _forgets(self) -> Any:
        return getattr(self._inner, "forget", None) if forgets(self._inner) else None

    def _room(self) -> int:
        return self._every - self._learned_n % self._every

    def _remember(self, x: Features, y: Label) -> None:
        if self._forgets is None:
            self._reservoir.offer(self._kept, self._learned_n, x, y)

    def _act(self) -> None:
        if self._learned_n % self._every:
            return
        if self._forgets is not None:
            self._forgets(self._keep)
        else:
            self._rebuild()

    def forget(self, keep: float) -> None:
        """Let all that was learned so far count `keep` of what it did, in (0, 1].

        Raises
        ------
        ValueError
            keep is out of range.
        """
        if self._forgets is not None:
            self._forgets(keep)
        else:
            super().forget(keep)
