"""Signals that labels bring: errors of the producer per version, of the frozen probe, of learners; label delay.

Values are observed one by one as predictions mature; they are kept until the block ends, or until the learners have to
know of alarms, and then go through their detectors at once, which gives the same alarms.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from service.canary import CANARY
from service.config import MonitorConfig
from service.mean_signals import MeanSignals, Spoken
from service.pairing import runs

__all__ = ["ErrorSignals", "Heard"]

_UNBLOCKED = ("delay", CANARY)  # no errors, so `error_block` is not for them
_BLOCKS_N = 100  # means of blocks have no known spread: so many of them tell it


class Heard(msgspec.Struct, frozen=True, gc=False):
    """An alarm with the event of the batch that it was raised at, and facts as of that event."""

    event: int
    spoken: Spoken
    version: str
    maturity: float | None
    backfill: bool = False


class _Kept:
    """What one signal's detectors have yet to see: values, one or two a prediction, its number and its mark."""

    __slots__ = ("marks", "numbers", "values")

    def __init__(self) -> None:
        self.values: list[float] = []
        self.numbers: list[int] = []
        self.marks: list[tuple[int, float, bool]] = []


class ErrorSignals:
    """All signals of one monitor that come with labels, made when their first value comes.

    Parameters
    ----------
    first_order : place of the first of them among the monitor's signals

    With `error_block` above 1 errors are averaged over that many labelled predictions first, because errors that come
    in runs (storms, outages) are no independent values; the block's last prediction stands for it.
    """

    def __init__(self, config: MonitorConfig, first_order: int) -> None:
        self.config = config
        self.signals: dict[str, MeanSignals] = {}
        self._first_order = first_order
        self._blocked = config.error_block > 1
        self._kinds: dict[str, str] = {}
        self._waiting: dict[str, _Kept] = {}
        self._blocks: dict[str, list[Any]] = {}

    def _averaged(self, name: str, values: tuple[float, ...]) -> tuple[float, ...] | None:
        """The mean of a block that is complete now; None while it is not. Sums run in event order."""
        size = self.config.error_block
        count, sums = self._blocks.get(name, [0, [0.0] * len(values)])
        sums = [total + value for total, value in zip(sums, values, strict=True)]
        if count + 1 < size:
            self._blocks[name] = [count + 1, sums]
            return None
        self._blocks.pop(name)
        return tuple(total / size for total in sums)

    def _signal(self, name: str, kind: str) -> MeanSignals:
        signal = self.signals.get(name)
        if signal is None:
            signal = self._make(name, kind, len(self.signals))
            self.signals[name] = signal
            self._kinds[name] = kind
        return signal

    def _make(self, name: str, kind: str, place: int) -> MeanSignals:
        config = self.config
        names: tuple[str, ...] = (name,)
        bounds, reference_n = None, config.reference.n
        if name == "delay":
            reference_n = config.labels.age_n
        elif name == CANARY:
            bounds = (0.0, 1.0)
        elif config.task == "regression":
            names = (name, name.replace("error:", "residual:", 1))
        elif config.error_block > 1:
            reference_n = _BLOCKS_N
        else:
            bounds = (0.0, 1.0)
        return MeanSignals(
            names, kind, config.detectors, runs={n: runs(config, n) for n in names}, bounds=bounds,
            reference_n=reference_n, order=self._first_order + 2 * place, quiet_n=config.cooldown,
        )  # fmt: skip

    def hear(self, name: str, kind: str, values: tuple[float, ...], number: int, mark: tuple[int, float, bool]) -> None:
        """Keep the values of prediction `number`; `mark` is (event of the batch, maturity, backfill)."""
        waiting = self._waiting.get(name)
        if waiting is None:
            self._signal(name, kind)
            waiting = self._waiting[name] = _Kept()
        if self._blocked and name not in _UNBLOCKED:
            averaged = self._averaged(name, values)
            if averaged is None:
                return
            values = averaged
        waiting.values += values
        waiting.numbers.append(number)
        waiting.marks.append(mark)

    def flush(self) -> list[Heard]:
        """Let the detectors see what was kept; returns the alarms with their events."""
        return [heard for name in self._waiting for heard in self.flush_one(name)]

    def flush_one(self, name: str) -> list[Heard]:
        """The same for one signal, because something reacts to it."""
        kept = self._waiting.get(name)
        if kept is None or not kept.numbers:
            return []
        self._waiting[name] = _Kept()
        heard = []
        version = name.partition("@")[2]
        rows = np.array(kept.values).reshape(len(kept.numbers), -1)
        for said in self.signals[name].update(rows, np.array(kept.numbers, dtype=np.int64)):
            event, maturity, backfill = kept.marks[said.row]
            heard.append(Heard(event, said, version, None if maturity < 0 else maturity, backfill))
        return heard

    def latest(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Newest (statistic, threshold) by signal and detector."""
        merged: dict[str, dict[str, tuple[float, float]]] = {}
        for signal in self.signals.values():
            merged.update(signal.latest)
        return merged

    def kind(self, name: str) -> str:
        """The kind of drift that the signal shows."""
        return self._kinds[name]

    def restart(self) -> None:
        """Forget all signals: they begin anew with their next value."""
        self.signals, self._kinds, self._waiting, self._blocks = {}, {}, {}, {}

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint; nothing may be waiting."""
        return {
            "order": [[name, self._kinds[name]] for name in self.signals],
            "signals": {name: signal.state() for name, signal in self.signals.items()},
            "blocks": self._blocks,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        self.restart()
        for name, kind in state["order"]:
            self._signal(name, kind).load(state["signals"][name])
        self._blocks = dict(state["blocks"])
