"""All features jointly, window against reference, on rows that `JointEncoder` has scaled and filled."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.effective import effective_n
from service.config import MonitorConfig
from service.mean_signals import Spoken
from service.pairing import place, runs
from service.window_detectors import JOINT
from service.window_signals import level_alarm

__all__ = ["JointSignals"]

_LEAST_SHARE = 1e-3


@dataclass(slots=True)
class _Watch:
    detector: str
    seen: int = 0
    bank: Any = None


class JointSignals:
    """The joint detectors of one monitor.

    Parameters
    ----------
    order : place of the joint signal among the monitor's signals
    """

    def __init__(self, config: MonitorConfig, *, order: int) -> None:
        self.config, self.order = config, order
        self.latest: dict[str, dict[str, tuple[float, float]]] = {}
        self._watches = [_Watch(run.detector) for run in runs(config, "joint")]
        self._n_effective = 0
        self._groups: list[list[int]] = []

    @property
    def wanted(self) -> bool:
        """Whether any joint detector runs."""
        return bool(self._watches)

    def start(self, reference: NDArray[np.float64], groups: list[list[int]]) -> None:
        """Begin to watch against the encoded reference [n, d]; `groups` are the columns of each feature."""
        self._groups = groups
        self._n_effective = int(min((effective_n(column) for column in reference.T), default=1))
        for watch in self._watches:
            share = self._n_effective / max(1, len(reference))
            watch.bank = JOINT[watch.detector].make(self.config, reference, groups, min(1.0, max(_LEAST_SHARE, share)))

    def update(self, rows: NDArray[np.float64], index: NDArray[np.int64], start: int) -> list[Spoken]:
        """Take a block of encoded rows [n, d]; the alarms of a detector that ranks features carry `importances`."""
        spoken: list[Spoken] = []
        for watch in self._watches:
            if watch.bank is None or not len(rows):
                continue
            for first, until in self._pieces(watch, len(rows)):
                result = watch.bank.update_many(rows[first:until], index[first:until])
                spoken += [self._speak(alarm, watch, start + first) for alarm in result.alarms]
                pair = (float(result.statistic[-1, 0]), float(result.threshold[-1, 0]))
                self.latest.setdefault("joint", {})[watch.detector] = pair
            watch.seen += len(rows)
        return spoken

    def _pieces(self, watch: _Watch, rows: int) -> list[tuple[int, int]]:
        """Blocks that end where the classifier is fitted, so that an alarm is read while its fit is the newest."""
        if watch.detector != "domain_classifier":
            return [(0, rows)]
        every = self.config.detectors.domain_classifier.refit_every
        edges = [0, *range(every - watch.seen % every, rows, every), rows]
        return list(itertools.pairwise(edges))

    def _speak(self, alarm: Any, watch: _Watch, start: int) -> Spoken:
        window = {"reference": [0, self.config.reference.n], "current": [int(alarm.onset_low), int(alarm.onset_high)]}
        facts: dict[str, Any] = {"n_effective": self._n_effective, "window": window}
        if watch.detector == "domain_classifier":
            facts["importances"] = watch.bank.importances()
        said = level_alarm(alarm, "joint", "data", watch.detector, facts)
        return Spoken(start + alarm.row, (self.order, place(watch.detector)), said)

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        return {
            "banks": [None if watch.bank is None else watch.bank.state() for watch in self._watches],
            "seen": [watch.seen for watch in self._watches],
            "n_effective": self._n_effective,
            "groups": self._groups,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        self._n_effective, self._groups = state["n_effective"], [list(group) for group in state["groups"]]
        for watch, saved, seen in zip(self._watches, state["banks"], state["seen"], strict=True):
            watch.seen = seen
            watch.bank = None if saved is None else JOINT[watch.detector].bank.from_state(saved)
