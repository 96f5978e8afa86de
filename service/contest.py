"""Champion against challengers in one monitor: the losses of the same predictions, and what follows from them.

The test itself is `learners.promotion`; here it is fed, in prediction order, with predictions that have reached the
fixed age and have a label, and its decisions take effect before the next event.
"""

from __future__ import annotations

from typing import Any

from learners.promotion import Decision, LossName, Promotion, loss_of
from service.config import MonitorConfig
from stream.join import PendingPrediction

__all__ = ["Contest"]

_DEFAULT: dict[str, LossName] = {"classification": "zero_one", "regression": "absolute"}
# A loss of 1 is an error this many times the spread of the reference's labels.
_SPREADS = 4.0


class Contest:
    """The promotion tests of one monitor.

    A regression's losses need a scale: the interquartile range of the reference's first `reference.n` labels, of which
    nothing is compared. An accepted reference has a scale of its own.
    """

    def __init__(self, config: MonitorConfig, champion: str | None) -> None:
        self.config = config
        rule = config.promotion
        self.wanted = rule.mode == "auto" and champion is not None and len(config.learners) > 1
        self._loss = rule.loss or _DEFAULT[config.task]
        self._scale: float | None = 1.0 if config.task == "classification" else None
        self._labels: list[float] = []
        self.test: Promotion | None = None
        self.begin(champion)

    def begin(self, champion: str | None) -> None:
        """Begin all tests anew, with that champion; nothing is done where it is the champion of the tests already."""
        if not self.wanted or champion is None or (self.test is not None and self.test.champion == champion):
            return
        rule = self.config.promotion
        others = [name for name in self.config.learners if name != champion]
        self.test = Promotion(
            champion, others, alpha=rule.alpha, min_lead=rule.min_lead, min_n=rule.min_n, cooldown=rule.cooldown
        )

    def restart(self, champion: str | None, event: int) -> None:
        """Forget all evidence: predictions from `event` on count, a regression's on the scale of the labels to come."""
        self.begin(champion)
        self._scale, self._labels = 1.0 if self.config.task == "classification" else None, []
        if self.test is not None:
            self.test.restart(event)

    def judge(self, event: int, number: int, row: PendingPrediction) -> Decision | None:
        """Take a labelled prediction that has reached its age; the switch that it decides, if any."""
        if self.test is None or row.label is None:
            return None
        if self._scale is None:
            self._measure(float(row.label))
            return None
        losses = {}
        for name in self.config.learners:
            predicted, scores = row.answers.get(name, (None, None))
            loss = loss_of(self._loss, row.label, predicted, scores, self._scale)
            if loss is not None:
                losses[name] = loss
        return self.test.score(event, number, losses)

    def _measure(self, label: float) -> None:
        self._labels.append(label)
        n = len(self._labels)
        if n == self.config.reference.n:
            ordered = sorted(self._labels)
            spread = ordered[3 * n // 4] - ordered[n // 4] or ordered[-1] - ordered[0]
            self._scale = _SPREADS * spread or 1.0
            self._labels = []

    def promoted(self, name: str, event: int) -> None:
        """A person made `name` the champion: its tests begin anew."""
        if self.test is not None:
            self.test.promote(name, event)

    def rolled_back(self, name: str, event: int) -> None:
        """A person went back to `name`."""
        if self.test is not None:
            self.test.roll_back(name, event)

    def view(self) -> dict[str, Any] | None:
        """What the read view says of the evidence; None where nothing is tested."""
        if self.test is None:
            return None
        return {"loss": self._loss, "alpha": self.config.promotion.alpha, "challengers": self.test.evidence()}

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        test = None if self.test is None else self.test.state()
        return {"scale": self._scale, "labels": self._labels, "test": test}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        self._scale, self._labels = state["scale"], list(state["labels"])
        if self.test is not None and state["test"] is not None:
            self.test.load(state["test"])
