"""Recurring concepts: retired learners are kept, and on drift the one that fits the newest labels is tried first.

A recall is on trial until a fresh learner has become warm beside it, and gives way where that one is shown better.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Any

from learners._concept_sketch import distance, reference_bins, sketch
from learners._recall_trial import Trial, clearly_below, loss_of, losses_of
from learners.adaptation import Replacement, WarmReplacement
from learners.base import Features, Label, Learner
from learners.confidence_sequence import ConfidenceSequence
from learners.errors import SnapshotError

__all__ = ["RecurringConcepts"]

_STALE_COOLDOWNS = 5
# Fewer examples cannot tell learners apart at two standard deviations, unless one errs on most of them.
_LEAST_N = 30
# Between two comparisons with the learner in place, which costs a prediction per example.
_EVERY_N = 10
_RECALL, _REFUTE = 2.0, 1.0  # standard deviations
_ALIKE = 0.3  # distance of two sketches of 100 examples of one concept: 0.1 by chance
_KEPT = ("learner", "sketch", "known")  # of a retired learner


def _nothing() -> None:
    """What is known of a learner if nobody says."""


class RecurringConcepts:
    """Warm replacement that remembers.

    Parameters
    ----------
    fresh
        gives an untrained learner for a generation number (1, 2, …); the same number gives the same learner.
    current
        gives the learner in place, with all it has been told to learn learned.
    known
        gives what is to be kept with that learner when it is retired, plain values; a recall's `Replacement` has it.
    min_warm, cooldown, alpha
        see `WarmReplacement`; a recalled learner, too, has to be better at this level.
    pool, pool_bytes
        retired learners that are kept, 1 or more, and the bytes of their snapshots together; the oldest go first, and
        one that is larger alone is not kept.
    sketch_n
        newest labelled examples on which candidates are compared, 30 or more; twice as many are kept.

    Notes
    -----
    From a warning, or else the drift, on a fresh learner is trained and every retired one scored with each label,
    frozen. At the drift, and then at every tenth label, the retired one with the least loss takes over if that is
    below the losses of the learner in place and of the fresh one by two standard deviations of the paired differences
    (a drift without a warning counts the newest 30 labels, on which nothing fresh has been scored). When the fresh
    learner is warm, it is to take over if it is below the recalled one by one deviation over the newer half; without a
    recall, unless a retired one is below it by two.

    With `alpha` below 1 these rules say who is tried, and evidence decides. A retired learner takes over only if it was
    clearly better since the alarm than the learner in place, at level `alpha` over the number of retired ones; the
    labels before the alarm prove nothing, since the alarm chose them. The fresh learner that is to take over becomes
    the `background` and waits for its evidence as in warm replacement, up to five cooldowns, or until a drift after
    the cooldown begins anew. So within a cooldown at most one learner takes over, and may be corrected once: a recalled
    one by the fresh one of the same trial.

    The learner in place is scored on a label that it has just learned, which can only be to its favour.

    The learner that gives way is retired as it was at the warning (without one: at the drift) with a sketch of the
    older half of the kept examples that came in its time. Retired learners whose sketch is near and whose losses there
    are not clearly higher held the same concept, and are dropped in its favour; a recalled one leaves the pool once it
    is confirmed.

    In a trial `background` is None: the policy trains the fresh learner itself, since it must be scored first.

    An example kept costs its features; a label outside a trial, nothing else. In a trial a label costs a prediction of
    every retired learner, one of the learner in place and of the fresh one, and learning it.
    Kept models reused by a test on recent data: Gama, Kosina, *Recurrent concepts in data streams classification*,
    Knowledge and Information Systems 40 (2014), doi:10.1007/s10115-013-0654-6. The rules here are our own.
    """

    observes = True

    def __init__(  # sizes: the configuration's parameters, each by its own name
        self, fresh: Callable[[int], Learner], current: Callable[[], Learner], *, known: Callable[[], Any] = _nothing,
        min_warm: int = 200, cooldown: int = 1_000, alpha: float = 1.0, pool: int = 5, pool_bytes: int = 16 << 20,
        sketch_n: int = 200,
    ) -> None:  # fmt: skip
        limits = {"min_warm": 0, "pool": 1, "pool_bytes": 1, "sketch_n": _LEAST_N}
        given = {"min_warm": min_warm, "pool": pool, "pool_bytes": pool_bytes, "sketch_n": sketch_n}
        for name, value in given.items():
            if value < limits[name]:
                raise ValueError(f"{name} = {value}: must be {limits[name]} or more")
        self._fresh, self._current, self._known = fresh, current, known
        self._min_warm, self._cooldown, self._alpha, self._sketch_n = min_warm, cooldown, alpha, sketch_n
        self._pool_n, self._pool_bytes = pool, pool_bytes
        self.generation = 0
        self.ignored_n = 0
        self.recalled_n = 0
        self._ring: deque[tuple[dict[str, float | str], Label]] = deque(maxlen=2 * sketch_n)
        self._bins: dict[str, list[float]] | None = None
        self._pool: list[dict[str, Any]] = []
        self._leaving: dict[str, Any] | None = None
        self._trial: Trial | None = None
        self._gate = self._gate_for(fresh)
        self._recalled: int | None = None  # which of the retired has taken over, and is not confirmed yet
        self._handed_n = 0  # examples that the learner in the gate had learned before
        self._own_n = 0  # examples kept that the learner in place may have learned
        self._warned_at = 0
        self._acted_at: int | None = None

    def _gate_for(self, fresh: Callable[[int], Learner], evidence: ConfidenceSequence | None = None) -> WarmReplacement:
        """What a learner that is warm waits in for its evidence; with `alpha` 1 it goes straight through."""
        return WarmReplacement(fresh, min_warm=0, cooldown=self._cooldown, alpha=self._alpha, evidence=evidence)

    @property
    def background(self) -> Learner | None:
        """The fresh learner once it is warm, while it is compared with the one in place."""
        return self._gate.background

    @property
    def newcomer(self) -> Learner | None:
        """The trial's, which the policy trains, or then the learner in the background."""
        return self.background if self._trial is None else self._trial.fresh

    @property
    def compares(self) -> bool:
        """As warm replacement does."""
        return self._gate.compares

    @property
    def looks(self) -> bool:
        """In a trial the learner in place is scored."""
        return self._trial is not None

    @property
    def pool_n(self) -> int:
        """Retired learners that are kept."""
        return len(self._pool)

    def observe(self, x: Features, y: Label) -> None:
        """Keep the example; in a trial, score everyone on it and let the fresh learner have it."""
        self._ring.append((dict(x), y))
        self._own_n = min(self._own_n + 1, 2 * self._sketch_n)
        if self._bins is None and len(self._ring) == self._sketch_n:
            self._bins = reference_bins(list(self._ring))
        if self._trial is not None:
            self._trial.step(x, y, loss_of(self._current(), x, y))

    def quiet_n(self, coming: Iterable[tuple[int, bool | None]]) -> int:
        """As in warm replacement, but no further than a drift that begins anew."""
        return self._gate.quiet_n(takewhile(lambda told: not told[1] or self._cooling(told[0]), coming))

    def scored(self, difference: float) -> None:
        """Count an example for the fresh learner that waits for its evidence."""
        self._gate.scored(difference)

    def on_warning(self, event: int) -> None:
        """Begin a trial, unless there is one, a fresh learner waits for its evidence, or it is too early."""
        if not self._cooling(event) and self._gate.background is None:
            self._warned_at = event
            self._begin()

    def on_drift(self, event: int) -> Replacement | None:
        """The retired learner that clearly fits best, or a fresh one that is warm; None while neither is there."""
        if self._cooling(event) or (self._trial is not None and self._trial.due):
            self.ignored_n += 1
            return None
        if self._gate.background is not None:
            self._gate = self._gate_for(self._fresh)
            self._settle(self._recalled)
        self._warned_at = event
        trial = self._begin()
        trial.due = True
        return self._end(trial, event) if trial.learned_n >= self._min_warm else self._recall(trial, event)

    def on_learned(self, event: int) -> Replacement | None:
        """What the trial, or the evidence, has decided with this label, if anything."""
        trial = self._trial
        if trial is None:
            return self._judge(event)
        if not trial.due:
            if event - self._warned_at > _STALE_COOLDOWNS * max(1, self._cooldown):
                self._trial = self._leaving = None
            return None
        if trial.learned_n >= self._min_warm:
            return self._end(trial, event)
        return self._recall(trial, event) if trial.learned_n % _EVERY_N == 0 else None

    def on_calm(self, event: int) -> None:
        """End a trial that no drift has made due."""
        del event
        if self._trial is not None and not self._trial.due:
            self._trial = self._leaving = None

    def on_swapped(self) -> None:
        """End the trial, and what waits for evidence; the learner that is gone is not retired."""
        self._trial = self._leaving = self._recalled = None
        self._gate = self._gate_for(self._fresh)
        self._own_n = 0

    def _cooling(self, event: int) -> bool:
        return self._acted_at is not None and event < self._acted_at + self._cooldown

    def _begin(self) -> Trial:
        if self._trial is None:
            retired = [_restored(kept["learner"]) for kept in self._pool]
            self._trial = self._trial_of(self._fresh(self.generation + 1), retired)
            self._leaving = self._retiree(retired)
        return self._trial

    def _trial_of(self, fresh: Learner, retired: list[Learner]) -> Trial:
        return Trial(fresh, retired, self._sketch_n, (self._min_warm + 1) // 2)

    def _retiree(self, retired: list[Learner]) -> dict[str, Any]:
        """The learner in place with its sketch, and which of the retired held the same concept."""
        learner = self._current()
        own = list(self._ring)[-self._own_n :] if self._own_n else []
        older = own[: len(own) // 2]
        if self._bins is None and older:
            self._bins = reference_bins(older)
        losses = losses_of(learner, older)
        about = sketch(older, losses, self._bins or {})
        same = [
            i for i, (kept, other) in enumerate(zip(self._pool, retired, strict=True))
            if len(older) >= _LEAST_N and distance(kept["sketch"], about) <= _ALIKE
            and not clearly_below(losses, losses_of(other, older), _RECALL)
        ]  # fmt: skip
        return {"learner": learner.snapshot(), "sketch": about, "same": same, "known": self._known()}

    def _recall(self, trial: Trial, event: int) -> Replacement | None:
        """Let the best of the retired take over if it is clearly better than what there is."""
        n = trial.scored_n
        if self._recalled is not None or not trial.retired or max(n, len(self._ring)) < _LEAST_N:
            return None
        if n >= _LEAST_N:
            in_place, fresh, *retired = trial.losses(n)
        else:
            examples = list(self._ring)[-_LEAST_N:]
            fresh, in_place = [], losses_of(self._current(), examples)
            retired = [losses_of(learner, examples) for learner in trial.retired]
        best = self._best(retired)
        if fresh and not clearly_below(retired[best], fresh, _RECALL):
            return None
        if not clearly_below(retired[best], in_place, _RECALL) or not self._shown(trial, best):
            return None
        self._recalled = best
        trial.renew()
        return self._recall_of(best, trial, event)

    def _shown(self, trial: Trial, best: int) -> bool:
        """Whether there is evidence that this retired learner is better than the one in place."""
        wanted = math.log(len(trial.retired) / self._alpha)
        return self._alpha == 1.0 or trial.evidence[1 + best].log_evidence() >= wanted

    def _best(self, losses: list[list[float]]) -> int:
        """The retired learner with the least loss; among equals the nearest sketch, then the newest."""
        newest = list(self._ring)[-(self._sketch_n // 2) :]
        about = sketch(newest, [0.0] * len(newest), self._bins or {})
        ranks = [
            (sum(own), distance(kept["sketch"], about), -i)
            for i, (own, kept) in enumerate(zip(losses, self._pool, strict=True))
        ]
        return ranks.index(min(ranks))

    def _end(self, trial: Trial, event: int) -> Replacement | None:
        """The fresh learner is warm: keep what was recalled, recall, or let the fresh one take over, with evidence."""
        _, fresh, *retired = trial.losses(max(1, trial.scored_n // 2))
        self._trial, self._acted_at = None, event
        if self._recalled is not None:
            if clearly_below(fresh, retired[self._recalled], _REFUTE):
                return self._hand_on(trial, event)
            self._settle(self._recalled)
            return None
        best = self._best(retired) if retired and fresh else None
        if best is None or not clearly_below(retired[best], fresh, _RECALL) or not self._shown(trial, best):
            return self._hand_on(trial, event)
        replacement = self._recall_of(best, trial, event)
        self._settle(best)
        return replacement

    def _hand_on(self, trial: Trial, event: int) -> Replacement | None:
        """Let the fresh learner wait for evidence, or take over where there is enough."""
        self._handed_n = trial.learned_n
        self._gate = self._gate_for(lambda _: trial.fresh, trial.evidence[0])
        return self._taken(self._gate.on_drift(event))

    def _judge(self, event: int) -> Replacement | None:
        """What the evidence says of the fresh learner that waits for it, if there is one."""
        if self._gate.background is None:
            return None
        replacement = self._gate.on_learned(event)
        if replacement is None and self._gate.background is None:
            self._settle(self._recalled)
        return self._taken(replacement)

    def _taken(self, done: Replacement | None) -> Replacement | None:
        """The gate's replacement as one of this policy's."""
        if done is None:
            return None
        warmed_n = self._handed_n + done.warmed_n
        self._retire(None)
        return self._replacement(done.learner, done.event, warmed_n, warmed_n)

    def _recall_of(self, retired: int, trial: Trial, event: int) -> Replacement:
        kept = self._pool[retired]
        return self._replacement(_restored(kept["learner"]), event, 0, trial.learned_n, kept["known"])

    def _replacement(
        self, learner: Learner, event: int, warmed_n: int, alarmed_n: int, known: Any = None
    ) -> Replacement:
        """One more, `alarmed_n` labels after the alarm: so many are of the new concept."""
        self.generation += 1
        self._acted_at = event
        self._own_n = min(alarmed_n, 2 * self._sketch_n)
        return Replacement(learner, self.generation, event, warmed_n, known)

    def _settle(self, recalled: int | None) -> None:
        """Nothing is tried any longer: what was recalled is confirmed; without a recall all stays as it was."""
        if recalled is None:
            self._leaving = None
            return
        self.recalled_n += 1
        self._retire(recalled)

    def _retire(self, recalled: int | None) -> None:
        """Put the learner that gave way into the pool; what was recalled, or held the same concept, leaves it."""
        leaving, self._leaving, self._recalled = self._leaving, None, None
        if leaving is None:
            return
        gone = {recalled, *(leaving["same"])}
        self._pool = [kept for i, kept in enumerate(self._pool) if i not in gone]
        self._pool.append({name: leaving.get(name) for name in _KEPT})
        while len(self._pool) > self._pool_n or sum(len(k["learner"]) for k in self._pool) > self._pool_bytes:
            del self._pool[0]

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint, snapshots inside."""
        return {
            "generation": self.generation,
            "ignored_n": self.ignored_n,
            "recalled_n": self.recalled_n,
            # Names and values apart: the order of an example's features, in which a learner may add, is kept so.
            "ring": [[list(x), list(x.values()), y] for x, y in self._ring],
            "bins": self._bins,
            "pool": [dict(kept) for kept in self._pool],
            "leaving": self._leaving,
            "trial": None if self._trial is None else self._trial.state(),
            "gate": self._gate.state(),
            "recalled": self._recalled,
            "handed_n": self._handed_n,
            "own_n": self._own_n,
            "warned_at": self._warned_at,
            "acted_at": self._acted_at,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave; SnapshotError where it, or a snapshot in it, is damaged."""
        try:
            self.generation, self.ignored_n = int(state["generation"]), int(state["ignored_n"])
            self.recalled_n = int(state["recalled_n"])
            examples = [(dict(zip(names, values, strict=True)), y) for names, values, y in state["ring"]]
            self._ring = deque(examples, maxlen=2 * self._sketch_n)
            self._bins, self._leaving, self._own_n = state["bins"], state["leaving"], int(state["own_n"])
            self._pool = [{name: kept.get(name) for name in _KEPT} for kept in state["pool"]]
            self._warned_at, self._acted_at = int(state["warned_at"]), state["acted_at"]
            self._recalled, self._handed_n = state["recalled"], int(state["handed_n"])
            if self._recalled is not None and not 0 <= self._recalled < len(self._pool):
                raise ValueError("the recalled learner is not in the pool")
            self._gate = self._gate_for(self._fresh)
            self._gate.load(state["gate"])
            self._trial = None
            if state["trial"] is not None:
                retired = [_restored(kept["learner"]) for kept in self._pool]
                self._trial = self._trial_of(_restored(state["trial"]["fresh"]), retired)
                self._trial.load(state["trial"])
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"the state of a recurring policy contradicts itself: {error}") from error


def _restored(data: bytes) -> Learner:
    from learners.registry import restore_learner

    return restore_learner(data)
