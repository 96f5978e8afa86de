"""Further tests of a sliding window against the first predictions: each feature, score and class by its own detectors.

KS and CvM share one structure and stand in `window_signals`; the detectors here keep what they need themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.effective import effective_n
from service.detector_config import DetectorsConfig
from service.mean_signals import Spoken
from service.pairing import Run, place
from service.window_detectors import LEVELS
from service.window_signals import WatchedColumn, level_alarm

__all__ = ["LevelSignals"]


@dataclass(slots=True)
class _Watch:
    """One detector over the columns that share a least effect."""

    detector: str
    columns: list[WatchedColumn]
    min_effect: float | None
    bank: Any = None


class LevelSignals:
    """All detectors of `LEVELS` over the columns on which they run.

    Parameters
    ----------
    columns : every column with its kind and place
    runs : for each name the detectors that run on it; others than these are passed over
    config : the detectors' parameters
    window_n : predictions in the window
    min_effects : per name, where it differs from the detector's
    """

    def __init__(
        self,
        columns: Sequence[WatchedColumn],
        *,
        runs: Mapping[str, tuple[Run, ...]],
        config: DetectorsConfig,
        window_n: int,
        min_effects: Mapping[str, float | None],
    ) -> None:
        self.config, self.window_n = config, window_n
        self.latest: dict[str, dict[str, tuple[float, float]]] = {}
        self._reference_n = 0
        self._n_effective: dict[str, float] = {}
        groups: dict[tuple[str, float | None], list[WatchedColumn]] = {}
        for column in columns:
            for run in runs[column.name]:
                if run.detector in LEVELS:
                    groups.setdefault((run.detector, min_effects.get(column.name)), []).append(column)
        ordered = sorted(groups.items(), key=lambda item: (place(item[0][0]), item[1][0].place))
        self._watches = [_Watch(detector, part, effect) for (detector, effect), part in ordered]

    def start(self, reference: NDArray[np.float64]) -> None:
        """Begin to watch against the reference [n, all columns]; NaN = missing."""
        self._reference_n = len(reference)
        for watch in self._watches:
            known = [reference[:, c.place][~np.isnan(reference[:, c.place])] for c in watch.columns]
            shares = np.ones(len(known))
            for at, (column, values) in enumerate(zip(watch.columns, known, strict=True)):
                n = effective_n(values) if len(values) > 1 else 1.0
                self._n_effective[column.name] = n
                shares[at] = n / max(1, len(values))
            section = getattr(self.config, watch.detector)
            effect = section.min_effect if watch.min_effect is None else watch.min_effect
            watch.bank = LEVELS[watch.detector].make(section, known, self.window_n, effect, shares)

    def update(self, rows: NDArray[np.float64], index: NDArray[np.int64], start: int) -> list[Spoken]:
        """Take a block [n, all columns]; rows of the alarms are counted from `start`."""
        spoken: list[Spoken] = []
        for watch in self._watches:
            result = watch.bank.update_many(np.ascontiguousarray(rows[:, [c.place for c in watch.columns]]), index)
            self._note(watch, result)
            spoken += [self._speak(alarm, watch, start) for alarm in result.alarms]
        return spoken

    def _note(self, watch: _Watch, result: Any) -> None:
        if not len(result.statistic):
            return
        for at, column in enumerate(watch.columns):
            pair = (float(result.statistic[-1, at]), float(result.threshold[-1, at]))
            self.latest.setdefault(column.name, {})[watch.detector] = pair

    def _speak(self, alarm: Any, watch: _Watch, start: int) -> Spoken:
        column = watch.columns[alarm.signal]
        facts = {
            "n_effective": int(self._n_effective[column.name]),
            "window": {"reference": [0, self._reference_n], "current": [int(alarm.onset_low), int(alarm.onset_high)]},
        }
        said = level_alarm(alarm, column.name, column.kind, watch.detector, facts)
        return Spoken(start + alarm.row, (column.place, place(watch.detector)), said)

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        return {
            "banks": [None if watch.bank is None else watch.bank.state() for watch in self._watches],
            "reference_n": self._reference_n,
            "n_effective": self._n_effective,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        self._reference_n, self._n_effective = state["reference_n"], dict(state["n_effective"])
        for watch, saved in zip(self._watches, state["banks"], strict=True):
            watch.bank = None if saved is None else LEVELS[watch.detector].bank.from_state(saved)
