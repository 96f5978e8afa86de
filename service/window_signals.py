"""Signals whose sliding window is compared with a reference by KS and CvM: each feature and score.

Two kinds of reference: *fixed* (the first predictions) and *trailing* (the predictions some way before the
window, renewed at fixed counts). Columns that share a kind and a least effect share one bank.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.effective import effective_n
from detectors.rank_tests import RankBank
from detectors.trailing import TrailingRankBank
from service.config import ReferenceConfig
from service.detector_config import DetectorsConfig
from service.episodes import Alarm
from service.mean_signals import Spoken
from service.pairing import RANKS, Run, place

__all__ = ["RankSignals", "WatchedColumn", "level_alarm", "suspects"]

_MANY_SUSPECTS = 5


class WatchedColumn(NamedTuple):
    """A signal with its kind and its place among all signals of the monitor."""

    name: str
    kind: str
    place: int


class RankSignals:
    """KS and CvM over columns that share a reference mode and a least effect."""

    def __init__(
        self,
        columns: Sequence[WatchedColumn],
        *,
        config: DetectorsConfig,
        reference: ReferenceConfig,
        mode: str,
        min_effect: float | None,
        runs: Mapping[str, tuple[Run, ...]],
    ) -> None:
        self.names = tuple(column.name for column in columns)
        self.kinds = tuple(column.kind for column in columns)
        self.columns = tuple(column.place for column in columns)
        self.config, self.reference, self.mode = config, reference, mode
        self.min_effect = min_effect
        self.latest: dict[str, dict[str, tuple[float, float]]] = {}
        self.row_effects: NDArray[np.float64] | None = None
        self._tests = {name: tuple(run.detector for run in runs[name] if run.detector in RANKS) for name in self.names}
        self._n_effective: NDArray[np.float64] = np.full(len(columns), np.nan)
        self._bank: Any = None

    @property
    def _parameters(self) -> dict[str, Any]:
        # One structure keeps both statistics, so both tests share their settings; the configuration is held to that.
        wanted = {test for tests in self._tests.values() for test in tests}
        tests = tuple(name for name in RANKS if name in wanted)
        shared = getattr(self.config, tests[0])
        return {
            "tests": tests,
            "test_every": shared.test_every,
            "alpha": shared.alpha,
            "min_effect": shared.min_effect if self.min_effect is None else self.min_effect,
        }

    def start(self, reference: NDArray[np.float64], index: NDArray[np.int64]) -> None:
        """Begin to watch, once the first `n` rows [n, F] are there; NaN = missing."""
        if self.mode == "trailing":
            self._bank = TrailingRankBank(
                len(self.names), reference_n=self.reference.n, gap_n=self.reference.gap,
                window_n=self.reference.window, step_n=self.reference.step, **self._parameters,
            )  # fmt: skip
            self._bank.update_many(reference, index)
            return
        columns = [column[~np.isnan(column)] for column in reference.T]
        self._n_effective = np.array([effective_n(column) if len(column) > 1 else 1.0 for column in columns])
        share = np.array([n / max(1, len(c)) for n, c in zip(self._n_effective, columns, strict=True)])
        self._bank = RankBank(columns, self.reference.window, n_effective=share, **self._parameters)

    def update(self, values: NDArray[np.float64], index: NDArray[np.int64], start: int) -> list[Spoken]:
        """Take a block [n, F]; rows of the alarms are counted from `start`."""
        result = self._bank.update_many(values, index)
        self.row_effects = None if result.ks is None else result.ks.statistic
        spoken: list[Spoken] = []
        for detector in RANKS:
            part = getattr(result, detector)
            if part is None:
                continue
            self._note(detector, part)
            spoken += [
                self._speak(alarm, detector, start) for alarm in part.alarms if self._runs(alarm.signal, detector)
            ]
        return spoken

    def _runs(self, signal: int, detector: str) -> bool:
        return detector in self._tests[self.names[signal]]

    def _note(self, detector: str, part: Any) -> None:
        if not len(part.statistic):
            return
        for column, name in enumerate(self.names):
            if self._runs(column, detector):
                threshold = self._needed(detector, float(part.threshold[-1, column]))
                self.latest.setdefault(name, {})[detector] = (float(part.statistic[-1, column]), threshold)

    def _needed(self, detector: str, threshold: float) -> float:
        """What the statistic must exceed for an alarm: the test's threshold, or what the least effect amounts to."""
        n, m, effect = self.reference.n, self.reference.window, float(self._parameters["min_effect"])
        return max(threshold, effect if detector == "ks" else effect * effect * n * m / (n + m))

    def _speak(self, alarm: Any, detector: str, start: int) -> Spoken:
        n_effective = self._n_effective[alarm.signal]
        alarm = alarm._replace(threshold=self._needed(detector, alarm.threshold))
        facts = {
            "n_effective": None if np.isnan(n_effective) else int(n_effective),
            "window": self._window(alarm),
        }
        return Spoken(
            start + alarm.row,
            (self.columns[alarm.signal], place(detector)),
            level_alarm(alarm, self.names[alarm.signal], self.kinds[alarm.signal], detector, facts),
        )

    def _window(self, alarm: Any) -> dict[str, list[int]]:
        low, high = int(alarm.onset_low), int(alarm.onset_high)
        n, gap = self.reference.n, self.reference.gap
        before = [max(0, low - gap - n), max(0, low - gap)] if self.mode == "trailing" else [0, n]
        return {"reference": before, "current": [low, high]}

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        return {"bank": None if self._bank is None else self._bank.state(), "n_effective": self._n_effective}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        self._n_effective = state["n_effective"]
        if state["bank"] is not None:
            kind = TrailingRankBank if self.mode == "trailing" else RankBank
            self._bank = kind.from_state(state["bank"])


def suspects(names: Iterable[str], effects: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Features ranked by the effect that they show now; a look after the fact, so no claim of evidence."""
    known = [(name, float(e)) for name, e in zip(names, effects, strict=True) if not np.isnan(e)]
    known.sort(key=lambda pair: (-pair[1], pair[0]))
    return [{"feature": name.removeprefix("feature:"), "score": score} for name, score in known[:_MANY_SUSPECTS]]


def level_alarm(alarm: Any, name: str, kind: str, detector: str, facts: dict[str, Any]) -> Alarm:
    """The alarm of a detector that opens and clears."""
    return Alarm(
        signal=name, kind=kind, detector=detector, status=alarm.status, direction=alarm.direction,
        statistic=alarm.statistic, threshold=alarm.threshold, effect=alarm.effect, onset=alarm.onset,
        onset_low=alarm.onset_low, onset_high=alarm.onset_high, n=alarm.n, level=True, facts=facts,
    )  # fmt: skip
