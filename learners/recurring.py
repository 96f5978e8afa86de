"""Recurring concepts: retired learners are kept, and on drift the one that fits the newest labels is tried first.

A recall is on trial until a fresh learner has become warm beside it, so that a wrong one lasts no longer than that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from learners._concept_sketch import distance, reference_bins, sketch
from learners._recall_trial import Trial, clearly_below, losses_of
from learners.adaptation import Replacement
from learners.base import Features, Label, Learner
from learners.errors import SnapshotError

__all__ = ["RecurringConcepts"]

_STALE_COOLDOWNS = 5
# Fewer examples cannot tell learners apart at two standard deviations, unless one errs on most of them.
_LEAST_N = 30
# Between two comparisons with the learner in place, which costs a prediction per example.
_EVERY_N = 10
_RECALL, _REFUTE = 2.0, 1.0  # standard deviations
_ALIKE = 0.3  # distance of two sketches of 100 examples of one concept: 0.1 by chance


class RecurringConcepts:
    """Warm replacement that remembers.

    Parameters
    ----------
    fresh
        gives an untrained learner for a generation number (1, 2, …); the same number gives the same learner.
    current
        gives the learner in place, with all it has been told to learn learned.
    min_warm, cooldown
        see `WarmReplacement`.
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
    learner is warm, it takes over if it is below the recalled one by one deviation over the newer half; without a
    recall it takes over unless a retired one is below it by two. So what warm replacement would do happens at the
    same label, or something better is there.

    The learner that gives way is retired as it was at the warning (without one: at the drift) with a sketch of the
    older half of the kept examples that came in its time. Retired learners whose sketch is near and whose losses there
    are not clearly higher held the same concept, and are dropped in its favour; a recalled one leaves the pool once it
    is confirmed.
    `background` is None always: the policy trains the fresh learner itself, since it must be scored first.

    An example kept costs its features; a label outside a trial, nothing else. In a trial a label costs a prediction of
    every retired learner, one of the fresh one, and learning it.
    Kept models reused by a test on recent data: Gama, Kosina, *Recurrent concepts in data streams classification*,
    Knowledge and Information Systems 40 (2014), doi:10.1007/s10115-013-0654-6. The rules here are our own.
    """

    background: Learner | None = None
    compares = False

    def __init__(
        self, fresh: Callable[[int], Learner], current: Callable[[], Learner], *, min_warm: int = 200,
        cooldown: int = 1_000, pool: int = 5, pool_bytes: int = 16 << 20, sketch_n: int = 200,
    ) -> None:  # fmt: skip
        limits = {"min_warm": 0, "cooldown": 0, "pool": 1, "pool_bytes": 1, "sketch_n": _LEAST_N}
        given = {"min_warm": min_warm, "cooldown": cooldown, "pool": pool, "pool_bytes": pool_bytes}
        for name, value in (given | {"sketch_n": sketch_n}).items():
            if value < limits[name]:
                raise ValueError(f"{name} = {value}: must be {limits[name]} or more")
        self._fresh, self._current = fresh, current
        self._min_warm, self._cooldown, self._sketch_n = min_warm, cooldown, sketch_n
        self._pool_n, self._pool_bytes = pool, pool_bytes
        self.generation = 0
        self.ignored_n = 0
        self.recalled_n = 0
        self._ring: deque[tuple[dict[str, float | str], Label]] = deque(maxlen=2 * sketch_n)
        self._bins: dict[str, list[float]] | None = None
        self._pool: list[dict[str, Any]] = []
        self._leaving: dict[str, Any] | None = None
        self._trial: Trial | None = None
        self._own_n = 0  # examples kept that the learner in place may have learned
        self._warned_at = 0
        self._replaced_at: int | None = None

    @property
    def looks(self) -> bool:
        """In a trial that a drift has made due, the learner in place is compared."""
        return self._trial is not None and self._trial.due

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
            self._trial.step(x, y)

    def quiet_n(self, coming: Iterable[tuple[int, bool | None]]) -> int:
        """Nothing is compared."""
        return 0

    def scored(self, difference: float) -> None:
        """Nothing."""

    def on_warning(self, event: int) -> None:
        """Begin a trial, unless there is one or it is too early."""
        if not self._cooling(event):
            self._warned_at = event
            self._begin()

    def on_drift(self, event: int) -> Replacement | None:
        """The retired learner that clearly fits best, or a fresh one that is warm; None while neither is there."""
        if self._cooling(event) or (self._trial is not None and self._trial.due):
            self.ignored_n += 1
            return None
        self._warned_at = event
        trial = self._begin()
        trial.due = True
        return self._end(trial, event) if trial.learned_n >= self._min_warm else self._recall(trial, event)

    def on_learned(self, event: int) -> Replacement | None:
        """What the trial has decided with this label, if anything."""
        trial = self._trial
        if trial is None:
            return None
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

    def _cooling(self, event: int) -> bool:
        return self._replaced_at is not None and event < self._replaced_at + self._cooldown

    def _begin(self) -> Trial:
        if self._trial is None:
            retired = [_restored(kept["learner"]) for kept in self._pool]
            self._trial = Trial(self._fresh(self.generation + 1), retired, self._sketch_n)
            self._leaving = self._retiree(retired)
        return self._trial

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
        return {"learner": learner.snapshot(), "sketch": about, "same": same}

    def _recall(self, trial: Trial, event: int) -> Replacement | None:
        """Let the best of the retired take over if it is clearly better than what there is."""
        n = trial.scored_n
        examples = list(self._ring)[-max(n, _LEAST_N) :]
        if trial.recalled is not None or not trial.retired or len(examples) < _LEAST_N:
            return None
        if n >= _LEAST_N:
            fresh, *retired = trial.losses(n)
            examples = examples[-n:]
        else:
            fresh, retired = [], [losses_of(learner, examples) for learner in trial.retired]
        best = self._best(retired)
        if fresh and not clearly_below(retired[best], fresh, _RECALL):
            return None
        if not clearly_below(retired[best], losses_of(self._current(), examples), _RECALL):
            return None
        trial.recalled = best
        return self._replacement(_restored(self._pool[best]["learner"]), event, 0)

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
        """The fresh learner is warm: keep, recall, or let it take over; then the pool is brought up to date."""
        fresh, *retired = trial.losses(max(1, trial.scored_n // 2))
        chosen, replacement = trial.recalled, None
        if chosen is not None and clearly_below(fresh, retired[chosen], _REFUTE):
            chosen = None
            replacement = self._replacement(trial.fresh, event, trial.learned_n)
        elif chosen is None:
            best = self._best(retired) if retired and fresh else None
            if best is not None and clearly_below(retired[best], fresh, _RECALL):
                chosen = best
                replacement = self._replacement(_restored(self._pool[best]["learner"]), event, 0)
            else:
                replacement = self._replacement(trial.fresh, event, trial.learned_n)
        self.recalled_n += chosen is not None
        self._retire(chosen)
        self._trial, self._replaced_at = None, event
        return replacement

    def _replacement(self, learner: Learner, event: int, warmed_n: int) -> Replacement:
        self.generation += 1
        self._replaced_at = event
        self._own_n = 0 if self._trial is None else min(self._trial.learned_n, 2 * self._sketch_n)
        return Replacement(learner, self.generation, event, warmed_n)

    def _retire(self, recalled: int | None) -> None:
        """Put the learner that gave way into the pool; what was recalled, or held the same concept, leaves it."""
        leaving, self._leaving = self._leaving, None
        if leaving is None:
            return
        gone = {recalled, *(leaving["same"])}
        self._pool = [kept for i, kept in enumerate(self._pool) if i not in gone]
        self._pool.append({"learner": leaving["learner"], "sketch": leaving["sketch"]})
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
            "own_n": self._own_n,
            "warned_at": self._warned_at,
            "replaced_at": self._replaced_at,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave; SnapshotError where it, or a snapshot in it, is damaged."""
        try:
            self.generation, self.ignored_n = int(state["generation"]), int(state["ignored_n"])
            self.recalled_n = int(state["recalled_n"])
            examples = [(dict(zip(names, values, strict=True)), y) for names, values, y in state["ring"]]
            self._ring = deque(examples, maxlen=2 * self._sketch_n)
            self._bins, self._leaving, self._own_n = state["bins"], state["leaving"], int(state["own_n"])
            self._pool = [{"learner": kept["learner"], "sketch": kept["sketch"]} for kept in state["pool"]]
            self._warned_at, self._replaced_at = int(state["warned_at"]), state["replaced_at"]
            self._trial = None
            if state["trial"] is not None:
                retired = [_restored(kept["learner"]) for kept in self._pool]
                self._trial = Trial.from_state(state["trial"], retired, self._sketch_n, restore=_restored)
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"the state of a recurring policy contradicts itself: {error}") from error


def _restored(data: bytes) -> Learner:
    from learners.registry import restore_learner

    return restore_learner(data)
