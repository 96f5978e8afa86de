"""The laws of a transport, held to the embedded log here and to a real Kafka in tests/integration/test_kafka.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from stream.embedded_log import EmbeddedLog
from stream.embedded_transport import EmbeddedTransport
from stream.errors import PositionLostError
from stream.events import RawMessage
from stream.log_partition import LogReader
from stream.transport import Outgoing, Transport, murmur2, partition_for

__all__ = ["Rig", "TransportLaws", "take"]


class Rig(Protocol):
    """What a transport's test setup provides."""

    def open(self, partitions: int = 1) -> Transport:
        """Return a started transport that owns all partitions of a fresh topic; nothing is sought yet."""
        ...

    def reopen(self, transport: Transport) -> Transport:
        """Close a transport and return another one on the same topic, as after a restart."""
        ...

    def read(self, topic: str, count: int) -> list[RawMessage]:
        """Return the first `count` messages of another topic."""
        ...

    def other_topic(self) -> str:
        """Name a topic to publish to."""
        ...


def take(transport: Transport, count: int, *, timeout_s: float = 20.0, most: int = 1000) -> list[RawMessage]:
    """Poll until `count` messages have come."""
    messages: list[RawMessage] = []
    deadline = time.monotonic() + timeout_s
    while len(messages) < count and time.monotonic() < deadline:
        messages += transport.poll(0.2, most)
    return messages


def values(messages: list[RawMessage]) -> list[bytes | None]:
    """Return the payloads."""
    return [message.value for message in messages]


def numbered(start: int, stop: int) -> list[bytes]:
    """Return distinct payloads."""
    return [b"event %d" % i for i in range(start, stop)]


class TransportLaws:
    """Subclass it with a fixture `rig`."""

    def test_round_trip(self, rig: Rig) -> None:
        """What is appended comes out of poll with its key, headers, partition and offset, in order."""
        transport = rig.open()
        places = transport.append("fraud", numbered(0, 5), headers=(("ce_type", b"x"), ("empty", b"")))
        transport.seek(0, 0)
        messages = take(transport, 5)
        assert places == [(0, i) for i in range(5)]
        assert values(messages) == numbered(0, 5)
        assert [message.offset for message in messages] == list(range(5))
        assert {message.key for message in messages} == {b"fraud"}
        assert {message.headers for message in messages} == {(("ce_type", b"x"), ("empty", b""))}
        assert {message.topic for message in messages} == {transport.topic}

    @pytest.mark.filterwarnings(
        "ignore:(read|open)_text is deprecated:DeprecationWarning"
    )  # kafka-python, while it is imported
    def test_key_chooses_partition(self, rig: Rig) -> None:
        """A key's events are all in the partition that Kafka's default partitioner gives it, as poll sees it too."""
        from kafka.partitioner.default import murmur2 as kafka_murmur2

        transport = rig.open(partitions=3)
        assert transport.partitions() == 3
        assert transport.assignment() == frozenset({0, 1, 2})
        keys = ["fraud", "churn", "price", "élan", ""]
        for key in keys:
            assert {partition for partition, _ in transport.append(key, [key.encode()] * 2)} == {
                (kafka_murmur2(key.encode()) & 0x7FFFFFFF) % 3
            }
        for partition in range(3):
            transport.seek(partition, 0)
        for message in take(transport, 2 * len(keys)):
            assert message.partition == partition_for(message.value or b"", 3)

    def test_silent_before_seek(self, rig: Rig) -> None:
        """A partition delivers nothing until the worker has said where to begin."""
        transport = rig.open()
        transport.append("fraud", numbered(0, 3))
        assert transport.poll(0.5, 10) == []
        transport.seek(0, 1)
        assert values(take(transport, 2)) == numbered(1, 3)

    def test_seek_back_and_forth(self, rig: Rig) -> None:
        """Any offset that the log holds can be sought at any time; its end delivers only what comes later."""
        transport = rig.open()
        transport.append("fraud", numbered(0, 10))
        transport.seek(0, 0)
        assert len(take(transport, 10)) == 10
        transport.seek(0, 4)
        assert values(take(transport, 6)) == numbered(4, 10)
        transport.seek(0, 10)
        assert transport.poll(0.3, 10) == []
        transport.append("fraud", numbered(10, 11))
        assert values(take(transport, 1)) == numbered(10, 11)

    @pytest.mark.parametrize("offset", [4, 1000, -1])
    def test_position_outside_is_lost(self, rig: Rig, offset: int) -> None:
        """A position that the log does not hold is an error and delivers nothing, never another position."""
        transport = rig.open()
        transport.append("fraud", numbered(0, 3))
        with pytest.raises(PositionLostError, match=str(offset)):
            transport.seek(0, offset)
        assert transport.poll(0.3, 10) == []

    def test_poll_respects_the_limit(self, rig: Rig) -> None:
        """No poll returns more than it was asked for, and nothing gets lost between two polls."""
        transport = rig.open()
        transport.append("fraud", numbered(0, 50))
        transport.seek(0, 0)
        got: list[RawMessage] = []
        for _ in range(200):
            part = transport.poll(0.2, 7)
            assert len(part) <= 7
            got += part
            if len(got) >= 50:
                break
        assert values(got) == numbered(0, 50)
        with pytest.raises(ValueError, match="max_messages=0"):
            transport.poll(0.0, 0)

    def test_poll_returns_early(self, rig: Rig) -> None:
        """A poll that waits returns as soon as something arrives, and otherwise when its time is over."""
        transport = rig.open()
        transport.seek(0, 0)
        began = time.monotonic()
        assert transport.poll(0.4, 10) == []
        assert time.monotonic() - began >= 0.2
        late = threading.Timer(0.3, transport.append, ("fraud", [b"late"]))
        late.start()
        began = time.monotonic()
        assert values(transport.poll(60.0, 10)) == [b"late"]
        assert time.monotonic() - began < 30.0
        late.join()

    def test_pause(self, rig: Rig) -> None:
        """While paused nothing is delivered; afterwards it goes on where it was."""
        transport = rig.open()
        transport.append("fraud", numbered(0, 4))
        transport.seek(0, 0)
        assert values(transport.poll(5.0, 2) + take(transport, 0)) == numbered(0, 2)
        transport.pause()
        generation = transport.generation()
        assert [transport.poll(0.1, 10) for _ in range(4)] == [[]] * 4
        transport.resume()
        assert values(take(transport, 2)) == numbered(2, 4)
        assert transport.generation() == generation

    def test_concurrent_appends(self, rig: Rig) -> None:
        """Threads may append at once: every event gets a place of its own, each caller's in its order."""
        transport = rig.open()
        places: dict[int, list[tuple[int, int]]] = {}

        def append(writer: int) -> None:
            places[writer] = [place for i in range(10) for place in transport.append("fraud", [b"%d %d" % (writer, i)])]

        threads = [threading.Thread(target=append, args=(writer,)) for writer in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        transport.seek(0, 0)
        by_offset = {message.offset: message.value for message in take(transport, 60)}
        assert len(by_offset) == 60
        for writer, own in places.items():
            assert own == sorted(own)
            assert [by_offset[offset] for _, offset in own] == [b"%d %d" % (writer, i) for i in range(10)]

    def test_publish(self, rig: Rig) -> None:
        """Published messages are on their topic with key and headers when publish returns, and never in poll."""
        transport = rig.open()
        transport.seek(0, 0)
        topic = rig.other_topic()
        outgoing = [Outgoing(b"fraud", b"drift %d" % i, (("id", b"%d" % i),)) for i in range(20)]
        transport.publish(topic, [*outgoing, Outgoing(None, b"no key")])
        published = rig.read(topic, 21)
        assert [(m.key, m.value, m.headers) for m in published[:20]] == [(o.key, o.value, o.headers) for o in outgoing]
        assert (published[20].key, published[20].value) == (None, b"no key")
        assert transport.poll(0.3, 10) == []

    def test_offsets(self, rig: Rig) -> None:
        """begin_offset and end_offset frame what the log holds."""
        transport = rig.open()
        assert (transport.begin_offset(0), transport.end_offset(0)) == (0, 0)
        transport.append("fraud", numbered(0, 3))
        assert (transport.begin_offset(0), transport.end_offset(0)) == (0, 3)

    def test_nothing_to_send(self, rig: Rig) -> None:
        """Appending or publishing nothing does nothing."""
        transport = rig.open()
        assert transport.append("fraud", []) == []
        transport.publish(rig.other_topic(), [])
        assert transport.end_offset(0) == 0

    def test_restart(self, rig: Rig) -> None:
        """Another transport goes on from a stored position, and the position shown to displays has no say in it."""
        transport = rig.open()
        transport.append("fraud", numbered(0, 6))
        transport.seek(0, 0)
        assert len(take(transport, 3)) >= 3
        transport.show_position(0, 5)
        transport = rig.reopen(transport)
        assert transport.poll(0.3, 10) == []
        transport.seek(0, 2)
        assert values(take(transport, 4)) == numbered(2, 6)

    def test_large_and_empty_values(self, rig: Rig) -> None:
        """Values of no byte, of binary bytes and of 900 kB pass unchanged."""
        transport = rig.open()
        sent = [b"", bytes(range(256)), b"x" * 900_000, b"\x00" * 10]
        transport.append("fraud", sent)
        transport.seek(0, 0)
        assert values(take(transport, 4)) == sent

    def test_close_twice(self, rig: Rig) -> None:
        """A second close does nothing."""
        transport = rig.open()
        transport.close()
        transport.close()


class EmbeddedRig:
    """Transports on logs in a temporary folder; small segments, so that every law crosses their borders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = EmbeddedLog(folder, segment_bytes=400)
        self._partitions = 1

    def open(self, partitions: int = 1) -> Transport:
        """Return a started transport on the log."""
        self._partitions = partitions
        transport = EmbeddedTransport(self._log, "events", partitions=partitions)
        transport.start()
        return transport

    def reopen(self, transport: Transport) -> Transport:
        """Close the log too."""
        transport.close()
        self._log.close()
        self._log = EmbeddedLog(self._folder, segment_bytes=400)
        return self.open(self._partitions)

    def read(self, topic: str, count: int) -> list[RawMessage]:
        """Read with a reader of the log."""
        return LogReader(self._log.partition(topic, 0), 0).read(count)

    def other_topic(self) -> str:
        """Name a topic that the first publish makes."""
        return "drifts"

    def close(self) -> None:
        """Release the folder."""
        self._log.close()


class TestEmbedded(TransportLaws):
    """The laws on the embedded log."""

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[EmbeddedRig]:
        """Yield a rig in a temporary folder."""
        rig = EmbeddedRig(tmp_path)
        yield rig
        rig.close()


@pytest.mark.filterwarnings(
    "ignore:(read|open)_text is deprecated:DeprecationWarning"
)  # kafka-python, while it is imported
def test_murmur2_is_kafkas() -> None:
    """The hash equals kafka-python's, which ports the Java client's, on every length of tail and on high bytes."""
    from kafka.partitioner.default import murmur2 as kafka_murmur2

    for size in range(64):
        data = bytes((size * 37 + i * 91) % 256 for i in range(size))
        assert murmur2(data) == kafka_murmur2(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)],
)
def test_murmur2_matches_javas_published_values(data: bytes, expected: int) -> None:
    """The hash equals the constants of the Java client's own test (org.apache.kafka.common.utils.UtilsTest)."""
    assert murmur2(data) == expected & 0xFFFFFFFF


def test_partition_needs_partitions() -> None:
    """A topic without partitions is the caller's mistake."""
    with pytest.raises(ValueError, match="n=0"):
        partition_for(b"fraud", 0)
