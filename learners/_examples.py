"""Labelled examples that a learner keeps: at most so many, and at most so many bytes, oldest first out.

Numbers are kept within 5 times what the values before reached (`learners.clipping`): a learner that is rebuilt from
them starts without limits of its own, and an absurd value would be all it knows of the scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from learners.base import Features, Label
from learners.clipping import RangeClip
from learners.errors import SnapshotError
from learners.splitmix import GOLDEN, scrambled

__all__ = ["Example", "Examples", "Reservoir", "pack", "unpack"]

Example = tuple[dict[str, float | str], Label]

_PER_VALUE, _PER_EXAMPLE = 100, 200  # a dict entry with its number, and a tuple with its dict, in CPython
_Limits = Mapping[str, Sequence[float]]
_Stored = tuple[list[str], list[tuple[Label, list[int], list[float | str]]], dict[str, list[float]]]
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
        for name, value in x.items():
            if not isinstance(value, str):
                self._clip.learn(name, float(value))
        target = y
        if not isinstance(y, str):
            self._clip.learn(_TARGET, float(y))
            target = self._clip.clip(_TARGET, float(y)) or 0.0
        example = (self.within(x), target)
        if _size(example) > self._budget:
            return  # for one that is too large alone all others would go
        self._kept.append(example)
        self.used_bytes += _size(example)
        while len(self) > self._max_n or self.used_bytes > self._budget:
            self.drop_oldest(1)

    def within(self, x: Features) -> dict[str, float | str]:
        """A copy of `x` within the limits so far, without what is NaN."""
        own: dict[str, float | str] = {}
        for name, value in x.items():
            inside = value if isinstance(value, str) else self._clip.clip(name, float(value))
            if inside is not None:
                own[name] = inside
        return own

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
        return pack(self, self._clip.state())

    def load(self, data: bytes) -> None:
        """Take over what `stored` gave.

        Raises
        ------
        SnapshotError
            the bytes hold something else, or more than may be kept.
        """
        self._kept, limits = unpack(data)
        self._clip, self._first = RangeClip.from_state(limits), 0
        self.used_bytes = sum(_size(example) for example in self._kept)
        if len(self) > self._max_n or self.used_bytes > self._budget:
            raise SnapshotError(f"{len(self)} kept examples are more than may be kept")


class Reservoir:
    """Which examples stay, so that the chance of one to be there halves every `half_life_n` examples.

    Aggarwal's biased reservoir: an example enters with the chance places / capacity, capacity = half-life / ln 2, and
    then takes one of the places, whose example goes. Draws follow from the seed and the number of the example.
    """

    def __init__(self, half_life_n: int, max_n: int, seed: int) -> None:
        rate = min(1.0, math.log(2.0) / half_life_n)
        self.places_n = max(1, min(max_n, round(1.0 / rate)))
        self._entry = min(1.0, self.places_n * rate)
        self._seed = seed

    def offer(self, kept: Examples, number: int, x: Features, y: Label) -> None:
        """Let example `number` enter, or not."""
        if self._draw(2 * number) >= self._entry:
            return
        # A place of the full reservoir: where it is taken its example goes, else the reservoir grows.
        at = int(self._draw(2 * number + 1) * self.places_n)
        if at < len(kept):
            kept.drop_at(at)
        kept.append(x, y)

    def _draw(self, number: int) -> float:
        """A number in [0, 1)."""
        return (scrambled(scrambled(self._seed * GOLDEN + number)) >> 11) / float(1 << 53)


def pack(examples: Iterable[Example], limits: _Limits) -> bytes:
    """Bytes of examples in their order, and of the limits of their numbers."""
    names: dict[str, int] = {}
    rows = [(y, [names.setdefault(n, len(names)) for n in x], list(x.values())) for x, y in examples]
    return msgspec.msgpack.encode((list(names), rows, limits))


def unpack(data: bytes) -> tuple[list[Example], _Limits]:
    """What `pack` was given.

    Raises
    ------
    SnapshotError
        the bytes hold something else.
    """
    try:
        names, rows, limits = msgspec.msgpack.decode(data, type=_Stored)
        kept = [({names[at]: v for at, v in zip(where, values, strict=True)}, y) for y, where, values in rows]
    except (msgspec.MsgspecError, ValueError, IndexError, TypeError) as error:
        raise SnapshotError(f"the kept examples contradict themselves: {error}") from error
    return kept, limits


def _size(example: Example) -> int:
    """Estimated bytes of an example in memory; a text counts with its letters."""
    x, y = example
    size = _PER_EXAMPLE + (len(y) if isinstance(y, str) else 0)
    for name, value in x.items():
        size += _PER_VALUE + len(name) + (len(value) if isinstance(value, str) else 0)
    return size
