"""Signals that are watched for a change of their mean: errors, label delay, missing rate, unseen categories.

One `MeanSignals` holds columns that are observed together. ADWIN and Page-Hinkley see them on the scale of the
reference; signals that are bounded by definition need none and are watched from their first value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.adwin import AdwinBank
from detectors.base import Bank
from detectors.page_hinkley import PageHinkleyBank
from service.config import DetectorsConfig
from service.episodes import Alarm
from service.scaling import Scaling

__all__ = ["MeanSignals", "Spoken"]

_WARNING_FACTOR = 10.0


@dataclass(frozen=True, slots=True)
class Spoken:
    """An alarm with the row of the block that it was raised in; `order` sorts alarms within one event."""

    row: int
    order: tuple[int, int]
    alarm: Alarm


class MeanSignals:
    """ADWIN and Page-Hinkley over F columns.

    Parameters
    ----------
    names, kind : names of the columns and the kind of drift that they show
    config : which detectors run, with their parameters
    bounds : (low, high) for signals bounded by definition; None: the first `reference_n` rows give the scale
    order : place of the first column among the monitor's signals
    """

    def __init__(
        self,
        names: tuple[str, ...],
        kind: str,
        config: DetectorsConfig,
        *,
        bounds: tuple[float, float] | None = None,
        reference_n: int = 1_000,
        order: int = 0,
        enabled: dict[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.names, self.kind, self.config, self.order = names, kind, config, order
        self.reference_n = reference_n
        self.seen = 0
        self.latest: dict[str, dict[str, tuple[float, float]]] = {}
        self._enabled = enabled or {}
        self._bounds = bounds
        self._buffer: NDArray[np.float64] | None = None
        self._scaling = Scaling.bounded(len(names), *bounds) if bounds else None
        if bounds is None:
            self._buffer = np.empty((reference_n, len(names)))
        self._make_banks()

    def _make_banks(self) -> None:
        signals, config = len(self.names), self.config
        self._adwin = AdwinBank(
            signals, delta=config.adwin.delta, clock=config.adwin.clock,
            warning_delta=min(0.5, _WARNING_FACTOR * config.adwin.delta),
        )  # fmt: skip
        part = config.page_hinkley
        self._page_hinkley = PageHinkleyBank(
            signals, min_instances=part.min_instances, delta=part.delta, threshold=part.threshold, alpha=part.alpha
        )

    @property
    def watching(self) -> bool:
        """Whether the scale is known."""
        return self._scaling is not None

    @property
    def events_left(self) -> int:
        """How many more rows the reference needs."""
        return 0 if self.watching else self.reference_n - self.seen

    def update(self, values: NDArray[np.float64], index: NDArray[np.int64]) -> list[Spoken]:
        """Take a block [n, F] with the numbers of its predictions; returns its alarms."""
        start = 0
        if self._scaling is None:
            start = self._learn(values, index)
            if start == len(values):
                return []
        return self._watch(values[start:], index[start:], start)

    def _learn(self, values: NDArray[np.float64], index: NDArray[np.int64]) -> int:
        if self._buffer is None:
            return 0
        taken = min(len(values), self.reference_n - self.seen)
        self._buffer[self.seen : self.seen + taken] = values[:taken]
        self.seen += taken
        if self.seen == self.reference_n:
            self._scaling = Scaling.of(self._buffer)
            # The reference goes through the detectors too, so that they start from its mean; its alarms are void.
            self._watch(self._buffer, np.arange(self.reference_n, dtype=np.int64) + index[taken - 1] + 1
                        - self.reference_n, 0)  # fmt: skip
            self._buffer = None
        return taken

    def _watch(self, values: NDArray[np.float64], index: NDArray[np.int64], start: int) -> list[Spoken]:
        if self._scaling is None:
            return []
        if self._buffer is None:
            self.seen += len(values)
        spoken: list[Spoken] = []
        banks: tuple[tuple[str, Bank, NDArray[np.float64]], ...] = (
            ("adwin", self._adwin, self._scaling.unit(values)),
            ("page_hinkley", self._page_hinkley, self._scaling.spreads(values)),
        )
        for place, (detector, bank, scaled) in enumerate(banks):
            if not getattr(self.config, detector).enabled:
                continue
            result = bank.update_many(scaled, index)
            self._note(detector, result)
            spoken += [s for alarm in result.alarms if (s := self._speak(alarm, detector, place, start)) is not None]
        spoken.sort(key=lambda s: (s.row, s.order))
        return spoken

    def _note(self, detector: str, result: Any) -> None:
        if not len(result.statistic):
            return
        for column, name in enumerate(self.names):
            if self._runs(name, detector):
                pair = (float(result.statistic[-1, column]), float(result.threshold[-1, column]))
                self.latest.setdefault(name, {})[detector] = pair

    def _runs(self, name: str, detector: str) -> bool:
        return name not in self._enabled or detector in self._enabled[name]

    def _speak(self, alarm: Any, detector: str, place: int, start: int) -> Spoken | None:
        name = self.names[alarm.signal]
        if not self._runs(name, detector):
            return None
        return Spoken(
            row=start + alarm.row,
            order=(self.order + alarm.signal, place),
            alarm=Alarm(
                signal=name, kind=self.kind, detector=detector, status=alarm.status, direction=alarm.direction,
                statistic=alarm.statistic, threshold=alarm.threshold, effect=alarm.effect, onset=alarm.onset,
                onset_low=alarm.onset_low, onset_high=alarm.onset_high, n=alarm.n, level=False,
                facts={"window": {"reference": None, "current": [alarm.onset, alarm.onset_high]}},
            ),
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        return {
            "seen": self.seen,
            "buffer": None if self._buffer is None else self._buffer[: self.seen],
            "scaling": None if self._scaling is None else self._scaling.state(),
            "adwin": self._adwin.state(),
            "page_hinkley": self._page_hinkley.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        self.seen = state["seen"]
        self._buffer = None
        if state["buffer"] is not None:
            self._buffer = np.empty((self.reference_n, len(self.names)))
            self._buffer[: self.seen] = state["buffer"]
        self._scaling = None if state["scaling"] is None else Scaling(*state["scaling"])
        self._adwin = type(self._adwin).from_state(state["adwin"])
        self._page_hinkley = type(self._page_hinkley).from_state(state["page_hinkley"])
