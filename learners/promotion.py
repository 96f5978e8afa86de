"""Champion and challengers: who is promoted or rolled back, on which evidence.

A newcomer needs one fact: a switch needs a confidence sequence that excludes "no better", so looking at every label
costs nothing, and what happens never depends on when anybody looked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from learners.base import Label
from learners.confidence_sequence import ConfidenceSequence

__all__ = ["Decision", "LossName", "Promotion", "loss_of"]

LossName = Literal["zero_one", "brier", "absolute", "squared"]


@dataclass(frozen=True)
class Decision:
    """A switch. `mean_difference` is the loser's mean loss less the winner's, `bound` its lower bound, over the `n`
    predictions of the `test`-th test that the monitor began, at level `alpha`."""

    action: Literal["promoted", "rolled_back"]
    winner: str
    loser: str
    event: int
    test: int
    n: int
    mean_difference: float
    bound: float
    alpha: float


class _Test:
    """One comparison: is `better` better than `worse`? Only predictions from `began` on count."""

    def __init__(self, number: int, began: int, alpha: float) -> None:
        self.number, self.began = number, began
        # The levels of all tests that a monitor ever begins sum to alpha.
        self.alpha = 6.0 * alpha / (math.pi**2 * number**2)
        self.sequence = ConfidenceSequence()

    def passed(self, min_lead: float) -> bool:
        return self.sequence.log_evidence(min_lead) >= -math.log(self.alpha)

    def lost(self) -> bool:
        return self.sequence.log_evidence_below() >= -math.log(self.alpha)

    def state(self) -> list[Any]:
        return [self.number, self.began, self.alpha, self.sequence.state()]

    @classmethod
    def from_state(cls, state: list[Any]) -> _Test:
        test = cls(int(state[0]), int(state[1]), 0.0)
        test.alpha, test.sequence = float(state[2]), ConfidenceSequence.from_state(state[3])
        return test


class Promotion:
    """The tests of one monitor.

    Parameters
    ----------
    champion, challengers
        names of the learners; ties go to the challenger named first.
    alpha
        chance, in (0, 1), that a challenger that is never better on average is ever promoted.
    min_lead
        by how much a challenger's mean loss has to be lower, in [0, 1).
    min_n
        compared predictions that a promotion needs, 1 or more; a roll-back needs none but its evidence.
    cooldown
        events after a switch in which nobody is promoted; evidence that is there at its end acts then.
    renew_n
        a test in which the champion has been shown to be better begins anew after every so many comparisons, 1 or more:
        a lead of long ago would hide for as long that it has been lost.

    Notes
    -----
    After a switch every test begins anew, with predictions made from then on, and, after a promotion, one more that
    asks the mirrored question: is the former champion better? It rolls back at the label that completes its evidence,
    cooldown or not, and that begins a cooldown. So there is at most one promotion a cooldown, and none without
    evidence. A learner is compared as what answered under its name: that it was replaced on a drift changes no test.

    Examples
    --------
    >>> promotion = Promotion("old", ["new"], min_n=50)
    >>> decisions = [promotion.score(n, n, {"old": float(n % 2), "new": 0.0}) for n in range(200)]
    >>> [decision.winner for decision in decisions if decision is not None]
    ['new']
    """

    def __init__(
        self, champion: str, challengers: Sequence[str], *, alpha: float = 0.05, min_lead: float = 0.0,
        min_n: int = 200, cooldown: int = 1_000, renew_n: int = 1_000,
    ) -> None:  # fmt: skip
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha = {alpha}: must be in (0, 1)")
        if not 0.0 <= min_lead < 1.0:
            raise ValueError(f"min_lead = {min_lead}: must be from 0 to below 1")
        for name, value, least in (("min_n", min_n, 1), ("cooldown", cooldown, 0), ("renew_n", renew_n, 1)):
            if value < least:
                raise ValueError(f"{name} = {value}: must be {least} or more")
        self.champion, self.former = champion, ""
        self._names = [champion, *challengers]
        self._alpha, self._min_lead, self._min_n, self._cooldown = alpha, min_lead, min_n, cooldown
        self._renew_n = renew_n
        self._begun = 0
        self._switched_at: int | None = None
        self._guard: _Test | None = None
        self._tests: dict[str, _Test] = {}
        self._restart(0)

    def _restart(self, began: int) -> None:
        self._tests = {name: self._begin(began) for name in self._names if name != self.champion}
        self._guard = self._begin(began) if self.former else None

    def _begin(self, began: int) -> _Test:
        self._begun += 1
        return _Test(self._begun, began, self._alpha)

    def score(self, event: int, made: int, losses: Mapping[str, float]) -> Decision | None:
        """Take the losses of one prediction; the switch that they decide, if any, which has been carried out here.

        Parameters
        ----------
        event
            predictions made so far.
        made
            number of this prediction; they come in order, each once.
        losses
            in [0, 1], by learner; who gave no answer is not there, and is not compared.
        """
        ours = losses.get(self.champion)
        if ours is None:
            return None
        for name, test in self._tests.items():
            if name in losses and made >= test.began:
                test.sequence.add(ours - losses[name])
                self._tests[name] = self._renewed(test, made)
        if self._guard is not None and self.former in losses and made >= self._guard.began:
            self._guard.sequence.add(ours - losses[self.former])
            if self._guard.passed(0.0):
                return self._switch("rolled_back", self.former, self._guard, event)
            self._guard = self._renewed(self._guard, made)
        return self._promotion(event)

    def _renewed(self, test: _Test, made: int) -> _Test:
        """The test, or a new one where this has shown the champion to be better."""
        due = test.sequence.n % self._renew_n == 0
        return self._begin(made + 1) if due and test.lost() else test

    def _promotion(self, event: int) -> Decision | None:
        if self._switched_at is not None and event < self._switched_at + self._cooldown:
            return None
        ready = [n for n, t in self._tests.items() if t.sequence.n >= self._min_n and t.passed(self._min_lead)]
        if not ready:
            return None
        winner = max(ready, key=lambda name: self._tests[name].sequence.mean)
        return self._switch("promoted", winner, self._tests[winner], event)

    def _switch(
        self, action: Literal["promoted", "rolled_back"], winner: str, test: _Test, event: int
    ) -> Decision:  # fmt: skip
        decision = Decision(
            action, winner, self.champion, event, test.number, test.sequence.n, test.sequence.mean,
            test.sequence.bounds(test.alpha)[0], test.alpha,
        )  # fmt: skip
        self._put(winner, self.champion if action == "promoted" else "", event)
        return decision

    def _put(self, champion: str, former: str, event: int) -> None:
        self.champion, self.former, self._switched_at = champion, former, event
        self._restart(event)

    def restart(self, event: int) -> None:
        """Begin all tests anew, with predictions made from `event` on; who is champion stays."""
        self._restart(event)

    def promote(self, name: str, event: int) -> None:
        """A person made `name` the champion; the roll-back watches that too."""
        if name not in self._names:
            raise ValueError(f"learner {name!r}: must be one of {', '.join(self._names)}")
        if name != self.champion:
            self._put(name, self.champion, event)

    def roll_back(self, name: str, event: int) -> None:
        """A person went back to `name`; nothing is left to roll back to."""
        if name not in self._names:
            raise ValueError(f"learner {name!r}: must be one of {', '.join(self._names)}")
        self._put(name, "", event)

    def evidence(self) -> dict[str, dict[str, Any]]:
        """Per challenger: compared predictions, by how much its mean loss is lower, bounds of that, level and test."""
        told = {}
        for name, test in self._tests.items():
            low, high = test.sequence.bounds(test.alpha)
            told[name] = {
                "n": test.sequence.n, "lead": test.sequence.mean, "low": low, "high": high, "alpha": test.alpha,
                "test": test.number,
            }  # fmt: skip
        return told

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        return {
            "champion": self.champion,
            "former": self.former,
            "begun": self._begun,
            "switched_at": self._switched_at,
            "guard": None if self._guard is None else self._guard.state(),
            "tests": [[name, test.state()] for name, test in self._tests.items()],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self.champion, self.former = state["champion"], state["former"]
        self._begun, self._switched_at = state["begun"], state["switched_at"]
        self._guard = None if state["guard"] is None else _Test.from_state(state["guard"])
        self._tests = {name: _Test.from_state(test) for name, test in state["tests"]}


def loss_of(
    loss: LossName, label: Label, predicted: Label | None, scores: Mapping[str, float] | None, scale: float = 1.0
) -> float | None:
    """The loss, in [0, 1], of an answer; None without one.

    `zero_one`: 1 for the wrong class. `brier`: half the squared distance of the probabilities from the truth (without
    probabilities the class counts as certain). `absolute`, `squared`: of the residual in units of `scale` (above 0),
    which is cut at 1.

    Examples
    --------
    >>> loss_of("brier", "a", "a", {"a": 0.75, "b": 0.25}), loss_of("absolute", 3.0, 2.0, None, 4.0)
    (0.0625, 0.25)
    """
    if predicted is None:
        return None
    if loss in ("absolute", "squared"):
        residual = min(1.0, abs(float(label) - float(predicted)) / scale)
        return residual if loss == "absolute" else residual * residual
    if loss == "zero_one" or not scores:
        return float(predicted != label)
    total = sum((share - (name == label)) ** 2 for name, share in sorted(scores.items()))
    return min(1.0, 0.5 * (total + (str(label) not in scores)))
