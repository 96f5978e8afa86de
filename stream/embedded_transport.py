"""The transport on the embedded log: one process owns every partition, so there is never a rebalance.

A newcomer needs one fact: it keeps the same promises as the Kafka transport, and the same tests hold both to them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from stream.embedded_log import EmbeddedLog
from stream.errors import BrokerUnavailableError, LogCorruptError
from stream.events import RawMessage
from stream.log_partition import LogReader
from stream.transport import Headers, Outgoing, partition_for

__all__ = ["EmbeddedTransport"]


class EmbeddedTransport:
    """A `Transport` over a log that the caller opened and closes.

    Parameters
    ----------
    log : the embedded log
    topic : the input topic; made with `partitions` partitions if it is missing
    partitions : at least 1; must be what the topic was made with

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = EmbeddedLog(pathlib.Path(folder))
    ...     transport = EmbeddedTransport(log, "events", partitions=1)
    ...     transport.start()
    ...     places = transport.append("fraud", [b"{}"])
    ...     transport.seek(0, 0)
    ...     values = [message.value for message in transport.poll(1.0, 10)]
    ...     transport.close()
    ...     log.close()
    >>> places, values
    ([(0, 0)], [b'{}'])
    """

    def __init__(self, log: EmbeddedLog, topic: str, *, partitions: int) -> None:
        log.create_topic(topic, partitions)
        self.topic = topic
        self._log, self._partitions = log, partitions
        self._readers: dict[int, LogReader] = {}
        self._shown: dict[int, int] = {}
        self._started = self._paused = False
        self._turn = 0

    def start(self) -> None:
        """Begin to own all partitions."""
        self._started = True

    def assignment(self) -> frozenset[int]:
        """Return all partitions."""
        return frozenset(range(self._partitions)) if self._started else frozenset()

    def generation(self) -> int:
        """Return 1 once started: nothing ever moves."""
        return int(self._started)

    def partitions(self) -> int:
        """Return how many partitions the input topic has."""
        return self._partitions

    def seek(self, partition: int, offset: int) -> None:
        """Let a partition deliver from this offset on; `PositionLostError` if the log does not hold it."""
        self._readers.pop(partition, None)
        self._readers[partition] = LogReader(self._log.partition(self.topic, partition), offset)

    def poll(self, timeout_s: float, max_messages: int) -> list[RawMessage]:
        """Return up to `max_messages`, each partition in order; partitions take turns at being first.

        Raises
        ------
        LogCorruptError
            One partition is damaged. It delivers nothing until it is sought anew; the next poll goes on with
            the others.
        """
        if max_messages < 1:
            raise ValueError(f"max_messages={max_messages}: must be at least 1")
        if not self._started:
            raise BrokerUnavailableError("the transport is not started, or closed")
        deadline = time.monotonic() + timeout_s
        while not (messages := self._take(max_messages)):
            if not self._wait(deadline - time.monotonic()):
                break
        return messages

    def append(self, key: str, values: Sequence[bytes], headers: Headers = ()) -> list[tuple[int, int]]:
        """Write to the key's partition; durable when it returns where. Any thread may call it."""
        if not values:
            return []
        encoded = key.encode()
        partition = partition_for(encoded, self._partitions)
        messages = [Outgoing(encoded, value, headers) for value in values]
        first = self._log.partition(self.topic, partition).append(messages)
        return [(partition, first + i) for i in range(len(messages))]

    def publish(self, topic: str, messages: Sequence[Outgoing]) -> None:
        """Write to another topic of the log, made with one partition if it is missing; durable when it returns."""
        if not messages:
            return
        if not self._log.partitions(topic):
            self._log.create_topic(topic, 1)
        self._log.partition(topic, 0).append(messages)

    def begin_offset(self, partition: int) -> int:
        """Return the oldest offset that the log still holds."""
        return self._log.partition(self.topic, partition).begin_offset()

    def end_offset(self, partition: int) -> int:
        """Return the offset that the next message will get."""
        return self._log.partition(self.topic, partition).end_offset()

    def show_position(self, partition: int, offset: int) -> None:
        """Remember the committed offset for displays."""
        self._shown[partition] = offset

    def shown_position(self, partition: int) -> int | None:
        """Return what was last shown, None before the first time."""
        return self._shown.get(partition)

    def pause(self) -> None:
        """Deliver nothing from now on."""
        self._paused = True

    def resume(self) -> None:
        """Deliver again."""
        self._paused = False

    def close(self) -> None:
        """Give up the partitions; the log stays open for its owner."""
        self._readers.clear()
        self._started = False

    def _take(self, limit: int) -> list[RawMessage]:
        messages: list[RawMessage] = []
        if self._paused or not self._readers:
            return messages
        # A busy partition must not starve the others: each poll begins with the next one.
        self._turn = (self._turn + 1) % self._partitions
        for partition in sorted(self._readers, key=lambda p: (p - self._turn) % self._partitions):
            if len(messages) >= limit:
                break
            try:
                messages += self._readers[partition].read(limit - len(messages))
            except LogCorruptError:
                # Intact messages are delivered first; the damage is met again when its turn is the first one.
                if messages:
                    return messages
                del self._readers[partition]
                raise
        return messages

    def _wait(self, remaining_s: float) -> bool:
        """Sleep until the log grows or the time is over; False when it is over."""
        if remaining_s <= 0:
            return False
        with self._log.grown:
            if self._paused or not self._has_more():
                self._log.grown.wait(remaining_s)
        return True

    def _has_more(self) -> bool:
        return any(reader.next_offset < reader.partition.end_offset() for reader in self._readers.values())
