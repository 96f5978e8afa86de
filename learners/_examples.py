"""Labelled examples that a learner keeps: at most so many, and at most so many bytes, oldest first out.

Numbers are kept within 5 times what the values before reached (`learners.clipping`): a learner that is rebuilt from
them starts without limits of its own, and an absurd value would be all it knows of the scale.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from learners.base import Features, Label
from learners.clipping import RangeClip
from learners.errors import SnapshotError

__all__ = ["Example", "Examples"]

Example = tuple[dict[str, float | str], Label]

_PER_VALUE, _PER_EXAMPLE = 100, 200  # a dict entry with its number, and a tuple with its dict, in CPython
_Stored = tuple[list[str], list[tuple[Label, list[int], list[float | str]]], dict[str, tuple[float, float, float, int]]]
_TARGET = "\0target"  # no feature has this name


class Examples:
    """The newest examples, or what the caller leaves of them.

    Parameters
    ----------
    max_n
        examples that are kept, 1 or more.
    budget_bytes
        estimated bytes in memory that they may take; an example that is larger alone is not kept.
    """

    def __init__(self, max_n: int, budget_bytes: int) -> None:
        self._max_n, self._budget = max_n, budget_bytes
        self._clip = RangeClip()
        self._kept: list[Example] = []
        self._first = 0  # examples before it have gone; cleared away now and then
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._kept) - self._first

    def __iter__(self) -> Iterator[Example]:
        for i in range(self._first, len(self._kept)):
            yield self._kept[i]

    def append(self, x: Features, y: Label) -> None:
        """Keep one more, as a copy within the limits so far; the oldest go where there is no room."""
        own: dict[str, float | str] = {}
        for name, value in x.items():
            within = value if isinstance(value, str) else self._within(name, float(value))
            if within is not None:
                own[name] = within
        target = y if isinstance(y, str) else self._within(_TARGET, float(y))
        if target is None:
            return
        example = (own, target)
        self._kept.append(example)
        self.used_bytes += _size(example)
        while len(self) > self._max_n or self.used_bytes > self._budget:
            self.drop_oldest(1)

    def _within(self, name: str, value: float) -> float | None:
        self._clip.learn(name, value)
        return self._clip.clip(name, value)

    def drop_oldest(self, n: int) -> None:
        """Let the `n` oldest go."""
        for example in self._kept[self._first : self._first + n]:
            self.used_bytes -= _size(example)
        self._first += n
        if 2 * self._first > len(self._kept):
            del self._kept[: self._first]
            self._first = 0

    def drop_at(self, i: int) -> None:
        """Let the one at place `i` go, 0 for the oldest."""
        self.used_bytes -= _size(self._kept.pop(self._first + i))

    def stored(self) -> bytes:
        """Bytes for a snapshot; canonical: the same examples after the same stream give the same bytes."""
        names: dict[str, int] = {}
        rows = [(y, [names.setdefault(n, len(names)) for n in x], list(x.values())) for x, y in self]
        return msgspec.msgpack.encode((list(names), rows, self._clip.state()))

    def load(self, data: bytes) -> None:
        """Take over what `stored` gave.

        Raises
        ------
        SnapshotError
            the bytes hold something else, or more than may be kept.
        """
        try:
            names, rows, limits = msgspec.msgpack.decode(data, type=_Stored)
            kept = [({names[at]: v for at, v in zip(where, values, strict=True)}, y) for y, where, values in rows]
        except (msgspec.MsgspecError, ValueError, IndexError, TypeError) as error:
            raise SnapshotError(f"the kept examples contradict themselves: {error}") from error
        self._clip = RangeClip.from_state(limits)
        self._kept, self._first = list(kept), 0
        self.used_bytes = sum(_size(example) for example in self._kept)
        if len(self) > self._max_n or self.used_bytes > self._budget:
            raise SnapshotError(f"{len(self)} kept examples are more than may be kept")


def _size(example: Example) -> int:
    """Estimated bytes of an example in memory; a text counts with its letters."""
    x, y = example
    size = _PER_EXAMPLE + (len(y) if isinstance(y, str) else 0)
    for name, value in x.items():
        size += _PER_VALUE + len(name) + (len(value) if isinstance(value, str) else 0)
    return size
