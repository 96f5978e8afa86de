"""Signals that are watched one value after the other: errors, label delay, missing values, features' levels.

One `MeanSignals` holds columns that are observed together. Detectors see them on the scale of the reference; signals
that are bounded by definition need none and are watched from their first value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors import base
from detectors.base import Bank, direction_sign
from service.detector_config import DetectorsConfig
from service.episodes import Alarm
from service.pairing import Run, place
from service.scaling import Scaling
from service.stream_detectors import RECIPES, Recipe

__all__ = ["MeanSignals", "Spoken"]

_GAPS = 3  # alarms of one lasting change come at random distances


class Spoken(msgspec.Struct, frozen=True, gc=False):
    """An alarm with the row of the block that it was raised in; `order` sorts alarms within one event."""

    row: int
    order: tuple[int, int]
    alarm: Alarm


@dataclass(slots=True)
class _Watch:
    """One detector over the columns on which it runs; no bank while it waits for its reference.

    Every bank looks in both directions: an alarm in the direction that its signal is not watched for opens no episode,
    but tells an open one that the signal came back. For a bank that repeats itself while a change lasts, `since` is
    the prediction of each column's newest alarm, -1 once all is quiet, and `gaps` the predictions before that one.
    """

    detector: str
    columns: list[int]
    signs: list[int]
    recipe: Recipe
    since: list[int]
    gaps: list[int]
    bank: Bank | None = None


class MeanSignals:
    """Detectors of one value after the other, over F columns.

    Parameters
    ----------
    names, kind : names of the columns and the kind of drift that they show
    config : the detectors' parameters
    runs : for each name the detectors that run on it; those that are not made for single values are passed over
    bounds : (low, high) for signals bounded by definition; None: the first `reference_n` rows give the scale
    order : place of the first column among the monitor's signals
    quiet_n : predictions without another alarm after which a detector that repeats its alarms counts as cleared, or
        three times those between its last two, if that is longer
    """

    def __init__(  # sizes: what is watched, how, and since when: each with its name
        self,
        names: tuple[str, ...],
        kind: str,
        config: DetectorsConfig,
        *,
        runs: Mapping[str, tuple[Run, ...]],
        bounds: tuple[float, float] | None = None,
        reference_n: int = 1_000,
        order: int = 0,
        quiet_n: int = 1_000,
    ) -> None:
        self.names, self.kind, self.config, self.order = names, kind, config, order
        self.reference_n, self.quiet_n = reference_n, quiet_n
        self.seen = 0
        self.latest: dict[str, dict[str, tuple[float, float]]] = {}
        self._scaling = Scaling.bounded(len(names), *bounds) if bounds else None
        self._watches = _watches(names, runs)
        late = any(watch.recipe.needs_reference for watch in self._watches)
        self._buffer: NDArray[np.float64] | None = None
        if bounds is None or late:
            self._buffer = np.empty((reference_n, len(names)))
        for watch in self._watches:
            if not watch.recipe.needs_reference:
                watch.bank = self._make(watch, None)

    def _make(self, watch: _Watch, reference: NDArray[np.float64] | None) -> Bank:
        columns = None if reference is None else reference[:, watch.columns]
        return watch.recipe.make(getattr(self.config, watch.detector), len(watch.columns), columns)

    @property
    def watching(self) -> bool:
        """Whether the scale is known."""
        return self._scaling is not None

    @property
    def events_left(self) -> int:
        """How many more rows the reference needs."""
        return 0 if self._buffer is None else self.reference_n - self.seen

    def update(self, values: NDArray[np.float64], index: NDArray[np.int64]) -> list[Spoken]:
        """Take a block [n, F] with the numbers of its predictions; returns its alarms."""
        start = 0
        spoken: list[Spoken] = []
        if self._buffer is not None:
            start = min(len(values), self.reference_n - self.seen)
            if self._scaling is not None:
                spoken = self._watch(values[:start], index[:start], 0)
            self._learn(self._buffer, values[:start], index[:start])
        if start < len(values):
            self.seen += len(values) - start
            spoken += self._watch(values[start:], index[start:], start)
        spoken.sort(key=lambda s: (s.row, s.order))
        return spoken

    def _learn(self, buffer: NDArray[np.float64], values: NDArray[np.float64], index: NDArray[np.int64]) -> None:
        buffer[self.seen : self.seen + len(values)] = values
        self.seen += len(values)
        if self.seen < self.reference_n:
            return
        if self._scaling is None:
            self._scaling = Scaling.of(buffer)
            # The reference goes through the detectors too, so that they start from its mean; its alarms are void.
            last = index[-1] + 1
            self._watch(buffer, np.arange(last - self.reference_n, last, dtype=np.int64), 0)
        for watch in self._watches:
            if watch.recipe.needs_reference:
                watch.bank = self._make(watch, self._seen_by(watch.recipe, buffer, self._scaling))
        self._buffer = None

    @staticmethod
    def _seen_by(recipe: Recipe, values: NDArray[np.float64], scaling: Scaling) -> NDArray[np.float64]:
        """The values on the scale that a detector works on."""
        if recipe.view == "unit":
            return scaling.unit(values)
        return scaling.spreads(values) if recipe.view == "spreads" else values

    def _watch(self, values: NDArray[np.float64], index: NDArray[np.int64], start: int) -> list[Spoken]:
        if self._scaling is None or not len(values):
            return []
        views: dict[str, NDArray[np.float64]] = {}
        spoken: list[Spoken] = []
        warns = self.kind == "concept"  # what learners adapt to; nobody else hears warnings
        for watch in self._watches:
            if watch.bank is None:
                continue
            view = watch.recipe.view
            if view not in views:
                views[view] = self._seen_by(watch.recipe, values, self._scaling)
            whole = len(watch.columns) == len(self.names)
            result = watch.bank.update_many(views[view] if whole else views[view][:, watch.columns], index)
            self._note(watch, result)
            alarms = self._with_ends(result.alarms, watch, index) if watch.recipe.repeats else result.alarms
            spoken += [self._speak(alarm, watch, start) for alarm in alarms if warns or alarm.status != base.WARNING]
        return spoken

    def _with_ends(self, alarms: list[base.Alarm], watch: _Watch, index: NDArray[np.int64]) -> list[base.Alarm]:
        """The alarms of a bank that repeats itself, and one that clears after `quiet_n` predictions without any."""
        told: list[base.Alarm] = []

        def end(column: int, before: int) -> None:
            wait = max(self.quiet_n, _GAPS * watch.gaps[column])
            row = int(np.searchsorted(index, watch.since[column] + wait))
            if watch.since[column] >= 0 and row < before:
                at = int(index[row])
                told.append(base.Alarm(row, column, base.CLEARED, 0, np.nan, np.nan, 0.0, at, at, at, 0))
                watch.since[column] = -1

        for alarm in alarms:
            if alarm.status == base.DRIFT and alarm.direction * watch.signs[alarm.signal] >= 0:
                end(alarm.signal, alarm.row)
                before, now = watch.since[alarm.signal], int(index[alarm.row])
                watch.gaps[alarm.signal] = now - before if before >= 0 else watch.gaps[alarm.signal]
                watch.since[alarm.signal] = now
                told.append(alarm)
        for column in range(len(watch.since)):
            end(column, len(index))
        return told

    def _note(self, watch: _Watch, result: Any) -> None:
        statistic, threshold = result.statistic[-1].tolist(), result.threshold[-1].tolist()
        for column, pair in zip(watch.columns, zip(statistic, threshold, strict=True), strict=True):
            self.latest.setdefault(self.names[column], {})[watch.detector] = pair

    def _speak(self, alarm: Any, watch: _Watch, start: int) -> Spoken:
        column = watch.columns[alarm.signal]
        return Spoken(
            row=start + alarm.row,
            order=(self.order + column, place(watch.detector)),
            alarm=Alarm(
                signal=self.names[column], kind=self.kind, detector=watch.detector, status=alarm.status,
                direction=alarm.direction, statistic=alarm.statistic, threshold=alarm.threshold, effect=alarm.effect,
                onset=alarm.onset, onset_low=alarm.onset_low, onset_high=alarm.onset_high, n=alarm.n,
                level=watch.recipe.repeats, opens=alarm.direction * watch.signs[alarm.signal] >= 0,
                facts={"window": {"reference": None, "current": [alarm.onset, alarm.onset_high]}},
            ),
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        return {
            "seen": self.seen,
            "buffer": None if self._buffer is None else self._buffer[: self.seen],
            "scaling": None if self._scaling is None else self._scaling.state(),
            "since": [[watch.since, watch.gaps] for watch in self._watches],
            "banks": [None if watch.bank is None else watch.bank.state() for watch in self._watches],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        self.seen = state["seen"]
        self._buffer = None
        if state["buffer"] is not None:
            self._buffer = np.empty((self.reference_n, len(self.names)))
            self._buffer[: self.seen] = state["buffer"]
        self._scaling = None if state["scaling"] is None else Scaling(*state["scaling"])
        for watch, saved, since in zip(self._watches, state["banks"], state["since"], strict=True):
            watch.since, watch.gaps = ([int(number) for number in part] for part in since)
            watch.bank = None if saved is None else watch.recipe.bank.from_state(saved)


def _watches(names: tuple[str, ...], runs: Mapping[str, tuple[Run, ...]]) -> list[_Watch]:
    watches: dict[str, _Watch] = {}
    for column, name in enumerate(names):
        for run in runs[name]:
            if run.detector in RECIPES:
                watch = watches.setdefault(run.detector, _Watch(run.detector, [], [], RECIPES[run.detector], [], []))
                watch.columns.append(column)
                watch.since.append(-1)
                watch.gaps.append(0)
                watch.signs.append(direction_sign(run.direction))
    return sorted(watches.values(), key=lambda watch: place(watch.detector))
