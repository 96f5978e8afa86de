"""Local repair and re-weighting: on drift the learner stays, and gives up its worst part or some of its past.

Where a learner can do neither, both are warm replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from learners.adaptation import Repaired, Replacement, WarmReplacement
from learners.base import Features, Label, Learner
from learners.errors import LearnerError, SnapshotError

__all__ = ["LocalRepair", "Reweight"]


class LocalRepair:
    """On drift lets the learner replace its worst part (`repair`).

    Parameters
    ----------
    fresh
        gives an untrained learner for a generation number (1, 2, …); the same number gives the same learner.
    current
        gives the learner in place, with all it has been told to learn learned.
    min_warm, cooldown, alpha
        see `WarmReplacement`; the cooldown begins anew with each repair, too.

    Notes
    -----
    Warm replacement takes over where the learner has no `repair`, where that fails, and where it finds no part to
    replace (a single tree). Only a learner without `repair` is warmed from the warning on; where one has it and finds
    nothing, warming begins with the drift.
    """

    asks = "repair"
    looks = observes = False

    def __init__(
        self, fresh: Callable[[int], Learner], current: Callable[[], Learner], *, min_warm: int = 200,
        cooldown: int = 1_000, alpha: float = 1.0,
    ) -> None:  # fmt: skip
        self._warm = WarmReplacement(fresh, min_warm=min_warm, cooldown=cooldown, alpha=alpha)
        self._current, self._cooldown = current, cooldown
        self._ignored_n = 0
        self._acted_at: int | None = None

    @property
    def background(self) -> Learner | None:
        """The learner that is warmed, where the one in place cannot be repaired."""
        return self._warm.background

    @property
    def newcomer(self) -> Learner | None:
        """The learner in the background."""
        return self.background

    @property
    def generation(self) -> int:
        """Replacements; a repair is none."""
        return self._warm.generation

    @property
    def ignored_n(self) -> int:
        """Drifts within a cooldown."""
        return self._ignored_n + self._warm.ignored_n

    @property
    def compares(self) -> bool:
        """As warm replacement does, which takes over where the learner cannot be repaired."""
        return self._warm.compares

    def quiet_n(self, coming: Iterable[tuple[int, bool | None]]) -> int:
        """As in warm replacement."""
        return self._warm.quiet_n(coming)

    def scored(self, difference: float) -> None:
        """For warm replacement."""
        self._warm.scored(difference)

    def on_warning(self, event: int) -> None:
        """Warm a successor if the learner cannot be repaired."""
        if not hasattr(self._current(), self.asks):
            self._warm.on_warning(event)

    def on_drift(self, event: int) -> Replacement | Repaired | None:
        """Act on the learner; where it cannot be done, what warm replacement says."""
        if self._acted_at is not None and event < self._acted_at + self._cooldown:
            self._ignored_n += 1
            return None
        done = self._try(event) if self._warm.background is None else None
        if done is None:
            return self._noted(self._warm.on_drift(event))
        self._acted_at = event
        return done

    def _try(self, event: int) -> Repaired | None:
        learner = self._current()
        if not hasattr(learner, self.asks):
            return None
        try:
            return self._act(learner, event)
        except LearnerError:
            return None  # warm replacement needs nothing of a learner that fails

    def _act(self, learner: Any, event: int) -> Repaired | None:
        parts_n = int(learner.repair())
        return Repaired("repaired", parts_n, event) if parts_n else None

    def _noted(self, replacement: Replacement | None) -> Replacement | None:
        if replacement is not None:
            self._acted_at = replacement.event
        return replacement

    def observe(self, x: Features, y: Label) -> None:
        """Nothing."""

    def on_learned(self, event: int) -> Replacement | None:
        """The replacement that has become due, where the learner could not be repaired."""
        return self._noted(self._warm.on_learned(event))

    def on_calm(self, event: int) -> None:
        """Drop the background learner, if there is one that no drift has made due."""
        self._warm.on_calm(event)

    def on_swapped(self) -> None:
        """Drop the background learner, if there is one."""
        self._warm.on_swapped()

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        return {"warm": self._warm.state(), "ignored_n": self._ignored_n, "acted_at": self._acted_at}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave; SnapshotError where it is damaged."""
        try:
            self._warm.load(state["warm"])
            self._ignored_n, self._acted_at = int(state["ignored_n"]), state["acted_at"]
        except (KeyError, TypeError) as error:
            raise SnapshotError(f"the state of a {self.asks} policy lacks {error}: restore a backup") from error


class Reweight(LocalRepair):
    """On drift lets all that the learner has seen count less (`forget`), and nothing is thrown away.

    Parameters
    ----------
    keep
        what the past counts afterwards of what it did, in (0, 1]: 1 forgets nothing.
    fresh, current, min_warm, cooldown, alpha
        see `LocalRepair`: where the learner cannot forget, this is warm replacement.
    """

    asks = "forget"

    def __init__(
        self, fresh: Callable[[int], Learner], current: Callable[[], Learner], *, keep: float = 0.2,
        min_warm: int = 200, cooldown: int = 1_000, alpha: float = 1.0,
    ) -> None:  # fmt: skip
        if not 0.0 < keep <= 1.0:
            raise ValueError(f"keep = {keep}: must be in (0, 1]")
        super().__init__(fresh, current, min_warm=min_warm, cooldown=cooldown, alpha=alpha)
        self._keep = keep

    def _act(self, learner: Any, event: int) -> Repaired | None:
        learner.forget(self._keep)
        return Repaired("reweighted", 0, event)
