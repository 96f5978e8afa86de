"""Reset: a drift puts an untrained learner in the place of the old one at once.

The past is gone in one step: right where the old relation misleads more than knowing nothing does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from learners.adaptation import Replacement
from learners.base import Features, Label, Learner
from learners.errors import SnapshotError

__all__ = ["Reset"]


class Reset:
    """Replaces on every drift, without warming.

    Parameters
    ----------
    fresh
        gives an untrained learner for a generation number (1, 2, …).
    cooldown
        events after a replacement in which drifts are ignored, 0 or more.

    Notes
    -----
    The one policy that cannot wait for evidence: an untrained learner has shown nothing. Flipped labels look like drift
    and cost what was known: with half of 2,000 labels flipped 37 % of the answers were right meanwhile, and 65 % over
    these and the 2,000 after them, where the champion frozen before had 97 % (20 % flipped: 95 %).

    Examples
    --------
    >>> from learners.baselines import Majority
    >>> policy = Reset(lambda generation: Majority(), cooldown=100)
    >>> policy.on_drift(40).generation, policy.on_drift(41)
    (1, None)
    """

    background: Learner | None = None
    newcomer: Learner | None = None

    looks = compares = observes = False

    def __init__(self, fresh: Callable[[int], Learner], *, cooldown: int = 1_000) -> None:
        if cooldown < 0:
            raise ValueError(f"cooldown = {cooldown}: must be 0 or more")
        self._fresh, self._cooldown = fresh, cooldown
        self.generation = 0
        self.ignored_n = 0
        self._replaced_at: int | None = None

    def quiet_n(self, coming: Iterable[tuple[int, bool | None]]) -> int:
        """Nothing is compared."""
        return 0

    def scored(self, difference: float) -> None:
        """Nothing."""

    def on_warning(self, event: int) -> None:
        """Nothing: there is nothing to prepare."""

    def on_drift(self, event: int) -> Replacement | None:
        """An untrained learner, or None within the cooldown."""
        if self._replaced_at is not None and event < self._replaced_at + self._cooldown:
            self.ignored_n += 1
            return None
        self.generation += 1
        self._replaced_at = event
        return Replacement(self._fresh(self.generation), self.generation, event, 0)

    def observe(self, x: Features, y: Label) -> None:
        """Nothing."""

    def on_learned(self, event: int) -> None:
        """Nothing."""

    def on_calm(self, event: int) -> None:
        """Nothing."""

    def on_swapped(self) -> None:
        """Nothing: nobody is tried."""

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        return {"generation": self.generation, "ignored_n": self.ignored_n, "replaced_at": self._replaced_at}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave; SnapshotError where it is damaged."""
        try:
            self.generation, self.ignored_n = int(state["generation"]), int(state["ignored_n"])
            self._replaced_at = state["replaced_at"]
        except (KeyError, TypeError) as error:
            raise SnapshotError(f"the state of a reset policy lacks {error}: restore a backup") from error
