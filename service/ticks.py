"""Ticks: control events that let event time pass on a monitor that has fallen quiet.

The fold reads no clock, so predictions of a quiet monitor would wait for ever to mature. Ticks are appended like any
other event and have a place in the order; a stream that runs in another time than ours (a replayed year) gets none.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from service.config import parse_duration_ms
from service.fold import MonitorFold

__all__ = ["QUIET_S", "Ticker", "tick_message"]

QUIET_S = 60.0


class Ticker:
    """Says which monitors need a tick; at most one a monitor in `QUIET_S` seconds of the wall clock."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def due(self, folds: Mapping[str, MonitorFold], now_s: float) -> list[str]:
        """Names of monitors that have been quiet, have predictions waiting, and live in the present."""
        names = []
        for name, fold in folds.items():
            counts = fold.join.counts
            events = counts.predictions + counts.labels
            before, since_s = self._seen.get(name, (-1, now_s))
            if events != before:
                self._seen[name] = (events, now_s)
            elif now_s - since_s >= QUIET_S and self._waits(fold, now_s):
                self._seen[name] = (events, now_s)
                names.append(name)
        return names

    @staticmethod
    def _waits(fold: MonitorFold, now_s: float) -> bool:
        watermark_ms = fold.watermark.value_ms
        if watermark_ms is None or fold.join.next_to_mature == fold.join.next_number:
            return False
        return abs(now_s * 1000 - watermark_ms) <= parse_duration_ms(fold.config.max_skew)


def tick_message(monitor: str, time_ms: int) -> bytes:
    """A tick on the wire."""
    return msgspec.json.encode({"type": "control", "monitor": monitor, "time": time_ms, "action": "tick"})
