"""Periodic renewal: a fresh learner takes over every so many labels, whatever any detector says.

The passive answer to drift: it needs no alarm and misses none, and pays by forgetting where nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from learners.adaptation import Replacement
from learners.base import Features, Label, Learner
from learners.errors import SnapshotError

__all__ = ["Periodic"]


class Periodic:
    """Replaces at every `period`-th label by a learner that was warmed on the `min_warm` labels before.

    Parameters
    ----------
    fresh
        gives an untrained learner for a generation number (1, 2, …); the same number gives the same learner.
    period
        labels between two replacements, 1 or more.
    min_warm
        labels that a fresh learner has learned when it takes over, from 0 to `period`.

    Notes
    -----
    The learner in place knows the last `min_warm` to `min_warm + period` labels. While one is warmed, two learn.

    Examples
    --------
    >>> from learners.baselines import Majority
    >>> policy = Periodic(lambda generation: Majority(), period=3, min_warm=0)
    >>> [policy.on_learned(event) is not None for event in range(6)]
    [False, False, True, False, False, True]
    """

    looks = compares = False

    def __init__(self, fresh: Callable[[int], Learner], *, period: int = 10_000, min_warm: int = 200) -> None:
        if period < 1:
            raise ValueError(f"period = {period}: must be 1 or more")
        if not 0 <= min_warm <= period:
            raise ValueError(f"min_warm = {min_warm}: must be from 0 to period = {period}")
        self._fresh, self._period, self._min_warm = fresh, period, min_warm
        self.background: Learner | None = None
        self.generation = 0
        self.ignored_n = 0
        self._learned_n = 0
        self._begin()

    def _begin(self) -> None:
        """Begin to warm with `min_warm` labels to go."""
        if self._min_warm > 0 and self._learned_n == self._period - self._min_warm:
            self.background = self._fresh(self.generation + 1)

    def quiet_n(self, coming: Iterable[tuple[int, bool | None]]) -> int:
        """Nothing is compared."""
        return 0

    def scored(self, difference: float) -> None:
        """Nothing."""

    def on_warning(self, event: int) -> None:
        """Nothing: alarms do not matter here."""

    def on_drift(self, event: int) -> None:
        """Nothing: alarms do not matter here."""

    def observe(self, x: Features, y: Label) -> None:
        """Nothing."""

    def on_learned(self, event: int) -> Replacement | None:
        """The replacement at the last label of a period."""
        self._learned_n += 1
        replacement = None
        if self._learned_n == self._period:
            self.generation += 1
            learner = self.background or self._fresh(self.generation)
            replacement = Replacement(learner, self.generation, event, self._min_warm)
            self.background, self._learned_n = None, 0
        self._begin()
        return replacement

    def on_calm(self, event: int) -> None:
        """Nothing: alarms do not matter here."""

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint, with the background learner's snapshot inside."""
        return {
            "background": None if self.background is None else self.background.snapshot(),
            "generation": self.generation,
            "learned_n": self._learned_n,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave; SnapshotError where it is damaged."""
        from learners.registry import restore_learner

        try:
            background = state["background"]
            self.background = None if background is None else restore_learner(background)
            self.generation, self._learned_n = int(state["generation"]), int(state["learned_n"])
        except (KeyError, TypeError) as error:
            raise SnapshotError(f"the state of a periodic policy lacks {error}: restore a backup") from error
