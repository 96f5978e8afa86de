"""What every adaptation policy answers to, and warm replacement, to which the others fall back.

A policy is pure: the caller tells it of warnings, drifts and learned labels by event number, trains its `background`
learner with each label, and puts the learner of a `Replacement` in place before the next event. The other policies
stand in modules of their own; `learners.policies` builds each by its name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from learners.base import Features, Label, Learner
from learners.confidence_sequence import ConfidenceSequence
from learners.errors import SnapshotError

__all__ = ["AdaptationPolicy", "Repaired", "Replacement", "WarmReplacement"]

_STALE_COOLDOWNS = 5
# Between two looks at the evidence: learners work in blocks, and a replacement ends a block.
_EVERY_N = 10


@dataclass(frozen=True)
class Replacement:
    """The learner that takes over at once, and which generation it is (the first learner is generation 0).

    `known`: of one that was retired and comes back, what the policy was told of it then.
    """

    learner: Learner
    generation: int
    event: int
    warmed_n: int
    known: Any = None


@dataclass(frozen=True)
class Repaired:
    """The learner stays and was changed in place: `parts_n` of its parts replaced, or its past made to count less."""

    action: Literal["repaired", "reweighted"]
    parts_n: int
    event: int


class AdaptationPolicy(Protocol):
    """What decides how one learner follows a drift; events are numbered from 0.

    `observes`: whether it looks at examples at all (`observe`).
    """

    observes: bool

    @property
    def background(self) -> Learner | None:
        """The learner that the caller trains with each label beside the one that answers; None: there is none."""

    @property
    def newcomer(self) -> Learner | None:
        """The fresh learner that is taught every label, by the caller or by the policy itself; None: there is none."""

    @property
    def generation(self) -> int:
        """How many replacements it has decided."""

    @property
    def ignored_n(self) -> int:
        """Drifts that came too early after the last reaction."""

    @property
    def looks(self) -> bool:
        """Whether the next `on_learned` looks at the learner in place, which must have learned everything by then."""

    @property
    def compares(self) -> bool:
        """Whether it wants to be told, by `scored`, how the learner in the background does beside the one in place."""

    def quiet_n(self, coming: Iterable[tuple[int, bool | None]]) -> int:
        """In a comparison: up to and with which of what is coming the two learners surely stay, unless it is the last.

        `coming` gives each with its event: an alarm (True: drift) or a label that will be learned (None). 0: the first
        is an alarm that may change one of the two.
        """

    def scored(self, difference: float) -> None:
        """Of a labelled example that neither has learned yet: loss of the one in place less loss of the fresh one."""

    def on_warning(self, event: int) -> None:
        """A warning at `event`."""

    def on_drift(self, event: int) -> Replacement | Repaired | None:
        """A drift at `event`: what was done, or what the caller has to put in place."""

    def observe(self, x: Features, y: Label) -> None:
        """A labelled example, after the learner and before `on_learned`; needed only where it `observes`."""

    def on_learned(self, event: int) -> Replacement | Repaired | None:
        """A label was learned, by the background learner too: the replacement that has become due, if any."""

    def on_calm(self, event: int) -> None:
        """The warning went away at `event`."""

    def on_swapped(self) -> None:
        """Somebody else put another learner in place: what was tried against the former one ends."""

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint, snapshots inside."""

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave.

        Raises
        ------
        SnapshotError
            the state, or a snapshot in it, is damaged.
        """


class WarmReplacement:
    """From a warning on a fresh learner is trained beside the old one, and on drift takes its place.

    Parameters
    ----------
    fresh
        gives an untrained learner for a generation number (1, 2, …); the same number gives the same learner.
    min_warm
        labels that a fresh learner must have learned before it takes over, 0 or more.
    cooldown
        events after a replacement in which warnings and drifts are ignored, 0 or more.
    alpha
        level, in (0, 1], of the confidence sequence by which the fresh learner has to be better before it takes over;
        1 asks for no evidence.
    evidence
        what there is already for the first fresh learner.

    Notes
    -----
    A warning starts the background learner; further warnings keep it. `on_calm`, or 5 cooldowns without a further
    warning, drop it. A drift replaces at once if the background learner is warm; otherwise it starts one if there is
    none, and the replacement follows from `on_learned` with the label that makes it warm. Calm does not call off a
    replacement that a drift has decided. A warning that comes in a cooldown must be repeated after it.

    With `alpha` below 1 a replacement waits until the fresh learner, since it was half warm, has clearly answered
    better than the one in place (`learners.confidence_sequence`; the evidence is looked at after every tenth label),
    and is called off after 5 cooldowns without: noise in labels looks like drift, and a learner that began in noise is
    worse.
    """

    looks = observes = False

    def __init__(
        self, fresh: Callable[[int], Learner], *, min_warm: int = 200, cooldown: int = 1_000, alpha: float = 1.0,
        evidence: ConfidenceSequence | None = None,
    ) -> None:  # fmt: skip
        if not 0.0 < alpha <= 1.0:
            raise ValueError(f"alpha = {alpha}: must be in (0, 1]")
        for name, value in (("min_warm", min_warm), ("cooldown", cooldown)):
            if value < 0:
                raise ValueError(f"{name} = {value}: must be 0 or more")
        self._fresh = fresh
        self._min_warm, self._cooldown, self._alpha = min_warm, cooldown, alpha
        self._evidence = evidence or ConfidenceSequence()
        self.background: Learner | None = None
        self.generation = 0
        self.ignored_n = 0
        self._warmed_n = 0
        self._warned_at = 0
        self._due = False
        self._replaced_at: int | None = None

    @property
    def newcomer(self) -> Learner | None:
        """The learner in the background."""
        return self.background

    @property
    def compares(self) -> bool:
        """Only with `alpha` below 1."""
        return self._alpha < 1.0

    def quiet_n(self, coming: Iterable[tuple[int, bool | None]]) -> int:
        """Up to the label with which there may be evidence enough, or none came for too long.

        Even if the fresh learner were right from now on and the other wrong, enough would take a while. Alarms only
        count once a drift asked for the replacement, but the first drift.
        """
        most, last, n = self._soonest() if self._due else math.inf, self._stale_at(), 0
        for event, is_drift in coming:
            if is_drift and not self._due:
                return n
            n += 1
            if is_drift is None:
                most -= 1
                if most <= 0 or event > last:
                    return n
        return n

    def _soonest(self) -> int:
        """Labels after which the evidence is looked at and may be enough."""
        wait = max(1, self._min_warm - self._warmed_n)
        first = wait + -(self._warmed_n + wait) % _EVERY_N
        enough = self._evidence.soonest(-math.log(self._alpha))
        return first + max(0, enough - first + _EVERY_N - 1) // _EVERY_N * _EVERY_N

    def _stale_at(self) -> int:
        return self._warned_at + _STALE_COOLDOWNS * max(1, self._cooldown)

    def scored(self, difference: float) -> None:
        """Count an example, unless the fresh learner is still too new."""
        if 2 * self._warmed_n >= self._min_warm:
            self._evidence.add(difference)

    def on_warning(self, event: int) -> None:
        """A warning at `event`: start to warm a background learner, unless one is warming or it is too early."""
        if not self._cooling(event):
            self._warned_at = event
            self._start()

    def on_drift(self, event: int) -> Replacement | None:
        """A drift at `event`: the replacement, or None while the fresh learner is not warm or it is too early."""
        if self._cooling(event):
            self.ignored_n += 1
            return None
        self._warned_at = event
        self._start()
        self._due = True
        return self._replace(event)

    def observe(self, x: Features, y: Label) -> None:
        """Nothing: the caller trains the background learner."""

    def on_learned(self, event: int) -> Replacement | None:
        """A label was learned, by the background learner too: the replacement that has become due, if any."""
        if self.background is None:
            return None
        self._warmed_n += 1
        replacement = self._replace(event)
        stale = event > self._stale_at()
        if stale and (self.compares or not self._due):
            self._due = False
            self._drop()
        return replacement

    def on_calm(self, event: int) -> None:
        """The warning went away at `event`: drop the background learner, unless a drift has made it due."""
        del event
        if not self._due:
            self._drop()

    def on_swapped(self) -> None:
        """Another learner is in place: drop the background learner and the evidence."""
        self._due = False
        self._drop()

    def _cooling(self, event: int) -> bool:
        return self._replaced_at is not None and event < self._replaced_at + self._cooldown

    def _start(self) -> None:
        if self.background is None:
            self.background = self._fresh(self.generation + 1)

    def _drop(self) -> None:
        self.background = None
        self._warmed_n = 0
        self._evidence = ConfidenceSequence()

    def _better(self) -> bool:
        if not self.compares:
            return True
        return self._warmed_n % _EVERY_N == 0 and self._evidence.log_evidence() >= -math.log(self._alpha)

    def _replace(self, event: int) -> Replacement | None:
        if self.background is None or not self._due or self._warmed_n < self._min_warm or not self._better():
            return None
        self.generation += 1
        replacement = Replacement(self.background, self.generation, event, self._warmed_n)
        self._drop()
        self._due, self._replaced_at = False, event
        return replacement

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint, with the background learner's snapshot inside."""
        return {
            "background": None if self.background is None else self.background.snapshot(),
            "generation": self.generation,
            "ignored_n": self.ignored_n,
            "warmed_n": self._warmed_n,
            "warned_at": self._warned_at,
            "due": self._due,
            "replaced_at": self._replaced_at,
            "evidence": self._evidence.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave.

        Raises
        ------
        SnapshotError
            the state or the background learner's snapshot is damaged.
        """
        from learners.registry import restore_learner

        try:
            background = state["background"]
            self.background = None if background is None else restore_learner(background)
            self.generation, self.ignored_n = int(state["generation"]), int(state["ignored_n"])
            self._warmed_n, self._warned_at = int(state["warmed_n"]), int(state["warned_at"])
            self._due, self._replaced_at = bool(state["due"]), state["replaced_at"]
            self._evidence = ConfidenceSequence.from_state(state["evidence"])
        except (KeyError, TypeError) as error:
            raise SnapshotError(f"the state of a replacement policy lacks {error}: restore a backup") from error

    @classmethod
    def from_state(cls, state: dict[str, Any], fresh: Callable[[int], Learner], **parameters: Any) -> WarmReplacement:
        """The policy that `state` was taken of."""
        policy = cls(fresh, **parameters)
        policy.load(state)
        return policy
