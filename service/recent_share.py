"""The share of yes among the newest answers to a question that is asked again and again: exact, a byte an answer."""

from __future__ import annotations

from typing import Any

__all__ = ["RecentShare"]


class RecentShare:
    """Yes or no, `window_n` of them at most; a byte each.

    Examples
    --------
    >>> recent = RecentShare(2)
    >>> for answer in (True, True, False):
    ...     recent.add(answer)
    >>> recent.share, recent.n
    (0.5, 2)
    """

    def __init__(self, window_n: int) -> None:
        self._window_n = window_n
        self._ring = bytearray()
        self._next = 0
        self._ones = 0

    @property
    def n(self) -> int:
        """How many answers are in the window."""
        return len(self._ring)

    @property
    def share(self) -> float | None:
        """From 0 to 1; None before the first answer."""
        return self._ones / len(self._ring) if self._ring else None

    def add(self, answer: bool) -> None:
        """Take one answer; the oldest leaves a full window."""
        if len(self._ring) < self._window_n:
            self._ring.append(answer)
        else:
            self._ones -= self._ring[self._next]
            self._ring[self._next] = answer
            self._next = (self._next + 1) % self._window_n
        self._ones += answer

    def state(self) -> list[Any]:
        """Plain tree for a checkpoint."""
        return [bytes(self._ring), self._next]

    def load(self, state: list[Any]) -> None:
        """Restore what `state` gave."""
        self._ring, self._next = bytearray(state[0]), state[1]
        self._ones = sum(self._ring)
