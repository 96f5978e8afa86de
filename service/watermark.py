"""The watermark: how far event time has come, moved by events alone and never by a clock.

A jump of more than `max_skew_ms` is held back until `agree_n` consecutive events agree on it, the first event
included, so that one producer with a wrong clock cannot expire everybody's labels.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Watermark"]

_NEVER = -(1 << 62)


class Watermark:
    """Event time of one monitor, in milliseconds since the epoch; `value_ms` is None before the first agreement."""

    __slots__ = ("_candidate_ms", "_seen", "_value", "agree_n", "held", "max_skew_ms")

    def __init__(self, max_skew_ms: int, agree_n: int = 3) -> None:
        self.max_skew_ms = max_skew_ms
        self.agree_n = agree_n
        self.held = 0
        self._value = _NEVER
        self._candidate_ms = _NEVER
        self._seen = 0

    @property
    def value_ms(self) -> int | None:
        """The watermark, or None."""
        return None if self._value == _NEVER else self._value

    def observe(self, time_ms: int) -> int:
        """Take the time of one event; return the watermark (far in the past while there is none)."""
        if self._value <= time_ms <= self._value + self.max_skew_ms:
            self._value = time_ms
            self._seen = 0
        elif time_ms > self._value:
            self._hold(time_ms)
        elif self._seen:
            self._seen = 0
        return self._value

    def _hold(self, time_ms: int) -> None:
        if self._seen and abs(time_ms - self._candidate_ms) <= self.max_skew_ms:
            self._seen += 1
            self._candidate_ms = max(self._candidate_ms, time_ms)
        else:
            self._seen, self._candidate_ms = 1, time_ms
        self.held += 1
        if self._seen >= self.agree_n:
            self._value, self._seen = self._candidate_ms, 0

    def state(self) -> list[int]:
        """Plain numbers for a checkpoint."""
        return [self._value, self._candidate_ms, self._seen, self.held]

    def load(self, state: list[Any]) -> None:
        """Restore what `state` gave."""
        self._value, self._candidate_ms, self._seen, self.held = (int(value) for value in state)
