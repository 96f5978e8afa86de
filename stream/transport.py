"""The protocol between the worker and whatever carries events: Kafka or the embedded log.

A newcomer needs one fact: positions belong to the checkpoint store, never to the transport. After every
rebalance (a new `generation`) a partition delivers nothing until the worker has called `seek` for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import msgspec

from stream.events import RawMessage

__all__ = ["Headers", "Outgoing", "Transport", "murmur2", "partition_for"]

Headers = tuple[tuple[str, bytes], ...]

_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One message to publish; the key chooses the partition where the topic has several."""

    key: bytes | None
    value: bytes
    headers: Headers = ()


class Transport(Protocol):
    """What the worker needs of a log of events.

    One thread (the worker) calls everything except `append`, which any thread may call at any time between
    `start` and `close`. Whatever the outside world does wrong is a `BrokerUnavailableError`; a position that
    the log no longer holds is a `PositionLostError` and is never silently replaced by another one.
    """

    @property
    def topic(self) -> str:
        """The input topic."""
        ...

    def start(self) -> None:
        """Connect. Ownership of partitions begins only inside later calls of `poll`."""
        ...

    def assignment(self) -> frozenset[int]:
        """Input partitions owned now; it changes only inside `poll`."""
        ...

    def generation(self) -> int:
        """Counts rebalances; while it stands still, so does the assignment."""
        ...

    def partitions(self) -> int:
        """How many partitions the input topic has."""
        ...

    def seek(self, partition: int, offset: int) -> None:
        """Name the next offset that `poll` delivers, and let the partition deliver.

        Nothing happens if a rebalance has taken the partition away meanwhile.

        Raises
        ------
        PositionLostError
            The offset lies outside of what the log holds (`begin_offset` to `end_offset`, both allowed).
        """
        ...

    def poll(self, timeout_s: float, max_messages: int) -> list[RawMessage]:
        """Return up to `max_messages`, ordered by offset inside each partition.

        Blocks at most `timeout_s` and returns as soon as there is something.
        """
        ...

    def append(self, key: str, values: Sequence[bytes], headers: Headers = ()) -> list[tuple[int, int]]:
        """Write to the input topic, in the key's partition; durable when it returns (partition, offset) of each.

        After a `BrokerUnavailableError` the values may or may not have been written: send them again, ids
        make that harmless.
        """
        ...

    def publish(self, topic: str, messages: Sequence[Outgoing]) -> None:
        """Write to another topic; durable when it returns, else `BrokerUnavailableError`."""
        ...

    def begin_offset(self, partition: int) -> int:
        """Return the oldest offset that the log still holds."""
        ...

    def end_offset(self, partition: int) -> int:
        """Return the offset that the next message will get."""
        ...

    def show_position(self, partition: int, offset: int) -> None:
        """Tell displays of lag how far the worker has committed; nothing ever reads it back."""
        ...

    def pause(self) -> None:
        """Deliver nothing from now on; `poll` still keeps the membership alive and must go on being called."""
        ...

    def resume(self) -> None:
        """Deliver again what `seek` had opened."""
        ...

    def close(self) -> None:
        """Leave the group and release everything; a second call does nothing."""
        ...


@lru_cache(maxsize=4096)
def partition_for(key: bytes, n: int) -> int:
    """Return the partition that Kafka's default partitioner gives this key among `n` partitions.

    Examples
    --------
    >>> partition_for(b"fraud", 1)
    0
    """
    if n < 1:
        raise ValueError(f"n={n}: a topic has at least 1 partition")
    return (murmur2(key) & 0x7FFFFFFF) % n


def murmur2(data: bytes) -> int:
    """Return the 32-bit murmur2 hash, unsigned, with the seed that Kafka's clients share."""
    value = _SEED ^ len(data)
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER & _MASK
        word = (word ^ (word >> 24)) * _MULTIPLIER & _MASK
        value = (value * _MULTIPLIER & _MASK) ^ word
    if whole < len(data):
        value = (value ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    value = (value ^ (value >> 13)) * _MULTIPLIER & _MASK
    return value ^ (value >> 15)
