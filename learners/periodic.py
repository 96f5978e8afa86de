"""Periodic renewal: every so many labels a fresh learner is warmed to take over, whatever any detector says.

The passive answer to drift: it needs no alarm and misses none, and pays by learning twice where nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from learners.adaptation import Replacement, WarmReplacement
from learners.base import Features, Label, Learner
from learners.errors import SnapshotError

__all__ = ["Periodic"]

_LEAST_N = 10  # labels in which evidence is looked at once at least
_NEVER = 1 << 62


class Periodic:
    """At every `period`-th label a learner that was warmed on the `min_warm` labels before is to take over.

    Parameters
    ----------
    fresh
        gives an untrained learner for a generation number (1, 2, …); the same number gives the same learner.
    period
        labels between two replacements, 1 or more.
    min_warm
        labels that a fresh learner has learned when it may take over, from 0 to `period`; with `alpha` below 1 at
        least 10 fewer than `period`.
    alpha
        see `WarmReplacement`: below 1 the fresh learner takes over only once it has been better at this level; 1 asks
        for no evidence.

    Notes
    -----
    Without evidence the learner in place knows the last `min_warm` to `min_warm + period` labels. While one is warmed,
    two learn.

    With `alpha` below 1 a fresh learner that has not been better by the end of the period goes on learning beside the
    one in place, and may take over until the next one begins to be warmed, which calls it off. So at most one takes
    over between two such beginnings, `period` labels apart.

    Examples
    --------
    >>> from learners.baselines import Majority
    >>> policy = Periodic(lambda generation: Majority(), period=3, min_warm=0)
    >>> [policy.on_learned(event) is not None for event in range(6)]
    [False, False, True, False, False, True]
    """

    looks = observes = False

    def __init__(
        self, fresh: Callable[[int], Learner], *, period: int = 10_000, min_warm: int = 200, alpha: float = 1.0
    ) -> None:
        if period < 1:
            raise ValueError(f"period = {period}: must be 1 or more")
        if not 0 <= min_warm <= period:
            raise ValueError(f"min_warm = {min_warm}: must be from 0 to period = {period}")
        if alpha < 1.0 and period - min_warm < _LEAST_N:
            raise ValueError(
                f"min_warm = {min_warm}: must be {_LEAST_N} or more below period = {period}, in which evidence is "
                "looked at, or alpha be 1"
            )
        self._fresh, self._period, self._min_warm, self._alpha = fresh, period, min_warm, alpha
        self.generation = 0
        self.ignored_n = 0
        self._learned_n = 0
        self._warm = self._attempt()
        self._begin(0)

    def _attempt(self) -> WarmReplacement:
        """One fresh learner's way into its place; the next one's beginning calls it off, and nothing else."""
        return WarmReplacement(
            lambda _: self._fresh(self.generation + 1), min_warm=self._min_warm, cooldown=_NEVER, alpha=self._alpha
        )

    @property
    def background(self) -> Learner | None:
        """The fresh learner while it is warmed, and compared."""
        return self._warm.background

    @property
    def newcomer(self) -> Learner | None:
        """The learner in the background."""
        return self.background

    @property
    def compares(self) -> bool:
        """As warm replacement does."""
        return self._warm.compares

    def quiet_n(self, coming: Iterable[tuple[int, bool | None]]) -> int:
        """As in warm replacement, but no further than the label with which the next fresh learner begins."""
        return self._warm.quiet_n(self._until_next(coming))

    def _until_next(self, coming: Iterable[tuple[int, bool | None]]) -> Iterator[tuple[int, bool | None]]:
        labels_n = self._period - (self._learned_n + self._min_warm) % self._period
        for told in coming:
            yield told
            labels_n -= told[1] is None
            if labels_n == 0:
                return

    def scored(self, difference: float) -> None:
        """Count an example, unless the fresh learner is still too new."""
        self._warm.scored(difference)

    def on_warning(self, event: int) -> None:
        """Nothing: alarms do not matter here."""

    def on_drift(self, event: int) -> None:
        """Nothing: alarms do not matter here."""

    def observe(self, x: Features, y: Label) -> None:
        """Nothing."""

    def on_learned(self, event: int) -> Replacement | None:
        """The replacement that has become due: at the last label of a period, with `alpha` below 1 perhaps later."""
        self._learned_n += 1
        replacement = self._counted(self._warm.on_learned(event))
        return self._begin(event) or replacement

    def _begin(self, event: int) -> Replacement | None:
        """Begin to warm with `min_warm` labels to go, which may be none."""
        if (self._learned_n + self._min_warm) % self._period or self._learned_n + self._min_warm == 0:
            return None
        self._warm = self._attempt()
        return self._counted(self._warm.on_drift(event))

    def _counted(self, replacement: Replacement | None) -> Replacement | None:
        """One more generation; each attempt counts its own alone."""
        if replacement is None:
            return None
        self.generation += 1
        return replace(replacement, generation=self.generation)

    def on_calm(self, event: int) -> None:
        """Nothing: alarms do not matter here."""

    def on_swapped(self) -> None:
        """Another learner is in place: the next one begins with its time."""
        self._warm.on_swapped()

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint, with the background learner's snapshot inside."""
        return {"warm": self._warm.state(), "generation": self.generation, "learned_n": self._learned_n}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave; SnapshotError where it is damaged."""
        try:
            self._warm.load(state["warm"])
            self.generation, self._learned_n = int(state["generation"]), int(state["learned_n"])
        except (KeyError, TypeError) as error:
            raise SnapshotError(f"the state of a periodic policy lacks {error}: restore a backup") from error
