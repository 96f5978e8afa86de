"""The Kafka transport against a real broker: the laws of every transport, groups, and a broker that goes away."""

from __future__ import annotations

import gc
import logging
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from stream.errors import BrokerUnavailableError, LogCorruptError, PositionLostError
from stream.events import RawMessage
from stream.kafka_client import SECURITY_KEYS, connection_settings, ensure_topics, translate
from stream.kafka_transport import KafkaTransport
from stream.transport import Transport
from tests.kafka_broker import KafkaBroker, kafka_broker
from tests.stream.test_transport_conformance import TransportLaws, numbered, take, values

__all__: list[str] = []

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.integration,
    # kafka-python leaves sockets of refused connections to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaBroker]:
    """Yield one broker for the whole module; who stops it starts it again."""
    # Log records, which pytest keeps, would hold on to the sockets below.
    kafka_log = logging.getLogger("kafka")
    kafka_log.setLevel(logging.CRITICAL + 1)
    with kafka_broker() as broker:
        yield broker
    kafka_log.setLevel(logging.NOTSET)
    # Sockets of refused connections, before a test of another module has to answer for them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class KafkaRig:
    """Transports on fresh topics of the broker."""

    def __init__(self, broker: KafkaBroker) -> None:
        self._broker = broker
        self._stack = ExitStack()
        self.topic = f"events-{uuid.uuid4().hex[:8]}"

    def open(self, partitions: int = 1) -> Transport:
        """Make the topic and return a transport that owns all of it."""
        ensure_topics(self._broker.bootstrap, {self.topic: partitions})
        return self.join(partitions)

    def join(self, own: int, *, timeout_s: float = 10.0, session_timeout_s: float = 6.0) -> KafkaTransport:
        """Return one more member of the group, once it owns so many partitions."""
        transport = self.member(timeout_s=timeout_s, session_timeout_s=session_timeout_s)
        settle([transport], own)
        return transport

    def member(self, *, timeout_s: float = 10.0, session_timeout_s: float = 6.0) -> KafkaTransport:
        """Return one more member of the group, started."""
        transport = KafkaTransport(
            self._broker.bootstrap,
            self.topic,
            group=f"group-{self.topic}",
            timeout_s=timeout_s,
            session_timeout_s=session_timeout_s,
        )
        self._stack.callback(transport.close)
        transport.start()
        return transport

    def reopen(self, transport: Transport) -> Transport:
        """Join again after leaving."""
        own = transport.partitions()
        transport.close()
        return self.join(own)

    def read(self, topic: str, count: int) -> list[RawMessage]:
        """Read another topic in a group of its own."""
        reader = KafkaTransport(self._broker.bootstrap, topic, group=f"reader-{topic}", timeout_s=10)
        reader.start()
        self._stack.callback(reader.close)
        settle([reader], 1)
        reader.seek(0, 0)
        return take(reader, count)

    def other_topic(self) -> str:
        """Make a topic to publish to."""
        ensure_topics(self._broker.bootstrap, {f"drifts-{self.topic}": 1})
        return f"drifts-{self.topic}"

    def close(self) -> None:
        """Close every transport."""
        self._stack.close()


def settle(members: list[KafkaTransport], own: int, *, timeout_s: float = 120.0) -> None:
    """Poll all members until together they own so many partitions, each at least one of them."""
    deadline = time.monotonic() + timeout_s
    owned: list[frozenset[int]] = []
    while time.monotonic() < deadline:
        for member in members:
            assert member.poll(0.05, 1) == []
        owned = [member.assignment() for member in members]
        if all(owned) and sum(map(len, owned)) == own:
            return
    raise AssertionError(f"no agreement on {own} partitions within {timeout_s} s: {owned}")


@pytest.fixture
def rig(broker: KafkaBroker) -> Iterator[KafkaRig]:
    """Yield a rig with a topic of its own."""
    rig = KafkaRig(broker)
    yield rig
    rig.close()


class TestKafka(TransportLaws):
    """The laws on Kafka."""


def test_two_members_share_and_hand_over(rig: KafkaRig) -> None:
    """Two members share the partitions; when one leaves the other gets all; each time the store's positions rule."""
    ensure_topics(rig._broker.bootstrap, {rig.topic: 4})
    first = rig.join(4)
    alone = first.generation()
    second = rig.member()
    settle([first, second], 4)
    assert first.generation() != alone
    assert not first.assignment() & second.assignment()
    assert {len(first.assignment()), len(second.assignment())} == {2}
    keys = {partition: key for key in map(str, range(50)) for partition, _ in first.append(key, [b"x"])}
    assert set(keys) == {0, 1, 2, 3}
    got: dict[int, list[int]] = {partition: [] for partition in range(4)}
    for member in (first, second):
        for partition in member.assignment():
            member.seek(partition, member.end_offset(partition) - 1)
        for message in take(member, 2):
            got[message.partition].append(message.offset)
    second.close()
    settle([first], 4)
    assert first.poll(0.3, 10) == []
    for partition in range(4):
        first.seek(partition, got[partition][-1] + 1)
        first.append(keys[partition], [b"%d" % partition])
    after = take(first, 4)
    assert {message.partition: message.value for message in after} == {p: b"%d" % p for p in range(4)}
    assert all(message.offset == got[message.partition][-1] + 1 for message in after)


def test_a_join_that_a_poll_leaves_behind_is_finished(rig: KafkaRig) -> None:
    """New partitions make the member join again; a poll ends before the join does, and the next ones finish it."""
    from kafka import KafkaAdminClient  # not above: alone, its import warns

    ensure_topics(rig._broker.bootstrap, {rig.topic: 1})
    member = rig.join(1)
    admin = KafkaAdminClient(bootstrap_servers=rig._broker.bootstrap)
    admin.create_partitions({rig.topic: 3})
    admin.close()
    consumer = member._consumer
    deadline = time.monotonic() + 30
    while len(consumer._coordinator._metadata_snapshot[rig.topic]) < 3 and time.monotonic() < deadline:
        consumer._cluster.request_update()
        time.sleep(0.2)
    while member.assignment() and time.monotonic() < deadline:
        member.poll(0.001, 1)
    time.sleep(1.0)
    settle([member], 3, timeout_s=30)


def test_a_killed_member_is_replaced(rig: KafkaRig) -> None:
    """A member that stops polling without leaving loses its partitions after the poll interval, to those that poll."""
    ensure_topics(rig._broker.bootstrap, {rig.topic: 2})
    stuck = KafkaTransport(
        rig._broker.bootstrap, rig.topic, group=f"group-{rig.topic}", session_timeout_s=2, max_poll_interval_s=2
    )
    stuck.start()
    settle([stuck], 2)
    owned = stuck.generation()
    heir = rig.join(2)
    assert heir.assignment() == {0, 1}
    deadline = time.monotonic() + 20
    while stuck.generation() == owned and time.monotonic() < deadline:
        stuck.poll(0.1, 1)
    assert stuck.generation() != owned
    stuck.close()


def test_pause_keeps_membership_through_long_work(rig: KafkaRig) -> None:
    """Work longer than the poll interval loses nothing while the paused transport is polled."""
    ensure_topics(rig._broker.bootstrap, {rig.topic: 1})
    transport = KafkaTransport(
        rig._broker.bootstrap, rig.topic, group=f"group-{rig.topic}", session_timeout_s=2, max_poll_interval_s=2
    )
    transport.start()
    settle([transport], 1)
    transport.append("fraud", numbered(0, 3))
    transport.seek(0, 0)
    assert values(take(transport, 1, most=1)) == numbered(0, 1)
    generation = transport.generation()
    transport.pause()
    until = time.monotonic() + 4.5
    while time.monotonic() < until:
        assert transport.poll(0.1, 10) == []
    transport.resume()
    assert values(take(transport, 2)) == numbered(1, 3)
    assert transport.generation() == generation
    transport.close()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_broker_bounce_is_survived(rig: KafkaRig, broker: KafkaBroker, how: str) -> None:
    """A transport that polls while the broker goes away and comes back goes on, without loss or repetition."""
    transport = rig.open()
    transport.append("fraud", numbered(0, 5))
    transport.seek(0, 0)
    got = take(transport, 5)
    generation = transport.generation()
    broker.stop() if how == "stop" else broker.kill()
    restart = threading.Timer(1.5, broker.start)
    restart.start()
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        got += transport.poll(0.1, 100)
    restart.join()
    while (places := _append_when_possible(transport, numbered(5, 8))) is None:
        got += transport.poll(0.1, 100)
    deadline = time.monotonic() + 40
    while got[-1].offset < places[-1][1] and time.monotonic() < deadline:
        got += transport.poll(0.2, 100)
        if transport.generation() != generation and transport.assignment():
            generation = transport.generation()
            transport.seek(0, got[-1].offset + 1)
    assert [message.offset for message in got] == list(range(places[-1][1] + 1))
    assert values(got)[:5] == numbered(0, 5)
    assert values(got)[-3:] == numbered(5, 8)


def _append_when_possible(transport: Transport, events: list[bytes]) -> list[tuple[int, int]] | None:
    try:
        return transport.append("fraud", events)
    except BrokerUnavailableError:
        return None


@pytest.mark.parametrize("delay_s", [0.001, 0.02])
def test_a_broker_that_dies_under_the_first_write_is_written_to_again(
    rig: KafkaRig, broker: KafkaBroker, delay_s: float
) -> None:
    """A producer that loses the broker before it has its id does not stay silent for ever: writes go through again."""
    ensure_topics(broker.bootstrap, {rig.topic: 1})
    transport = rig.join(1, timeout_s=2.0)
    death = threading.Timer(delay_s, broker.kill)
    death.start()
    while _append_when_possible(transport, numbered(0, 5)) is not None:
        pass
    death.join()
    broker.start()
    deadline = time.monotonic() + 60
    while (places := _append_when_possible(transport, numbered(5, 8))) is None:
        assert time.monotonic() < deadline
    assert transport.end_offset(0) == places[-1][1] + 1


def test_a_broker_that_is_away_is_named(rig: KafkaRig, broker: KafkaBroker) -> None:
    """Without a broker every call but poll ends in time in BrokerUnavailableError; afterwards all work again."""
    ensure_topics(broker.bootstrap, {rig.topic: 1, f"drifts-{rig.topic}": 1})
    transport = rig.join(1, timeout_s=2.0, session_timeout_s=30.0)
    transport.seek(0, 0)
    late = KafkaTransport(broker.bootstrap, rig.topic, group="late", timeout_s=1.0)
    broker.stop()
    try:
        began = time.monotonic()
        with pytest.raises(BrokerUnavailableError, match=rig.topic):
            transport.append("fraud", [b"x"])
        with pytest.raises(BrokerUnavailableError):
            transport.end_offset(0)
        with pytest.raises(BrokerUnavailableError):
            late.start()
        assert time.monotonic() - began < 60
        assert transport.poll(0.2, 10) == []
    finally:
        broker.start()
    late.close()
    deadline = time.monotonic() + 30
    places = None
    while places is None and time.monotonic() < deadline:
        places = _append_when_possible(transport, [b"back"])
        transport.poll(0.1, 1)
    assert places is not None


def test_retention_under_a_reader_is_a_lost_position(rig: KafkaRig, broker: KafkaBroker) -> None:
    """When the broker deletes what was not read yet, poll says so and skips nothing."""
    transport = rig.open()
    transport.append("fraud", numbered(0, 10))
    transport.seek(0, 0)
    assert len(take(transport, 10)) == 10
    transport.pause()
    transport.seek(0, 3)
    _delete_records(broker, rig.topic, before=8)
    transport.resume()
    with pytest.raises(PositionLostError):
        take(transport, 1)
    assert transport.begin_offset(0) == 8
    assert transport.poll(0.3, 10) == []
    with pytest.raises(PositionLostError, match="holds 8 to 10"):
        transport.seek(0, 3)
    transport.seek(0, 8)
    assert values(take(transport, 2)) == numbered(8, 10)


def _delete_records(broker: KafkaBroker, topic: str, *, before: int) -> None:
    from kafka import TopicPartition
    from kafka.admin import KafkaAdminClient

    admin = KafkaAdminClient(**connection_settings(broker.bootstrap, None, 10.0))
    admin.delete_records({TopicPartition(topic, 0): before})
    admin.close()


def test_a_missing_topic_is_named(broker: KafkaBroker) -> None:
    """A topic that does not exist is not made by accident: start says its name."""
    transport = KafkaTransport(broker.bootstrap, "no-such-topic", group="g", timeout_s=1.5)
    with pytest.raises(BrokerUnavailableError, match="no-such-topic"):
        transport.start()
    transport.close()


def test_too_large_a_value_is_the_callers_mistake(rig: KafkaRig) -> None:
    """A value beyond the size that is accepted is refused with ValueError, and others still pass."""
    transport = rig.open()
    with pytest.raises(ValueError, match="larger"):
        transport.append("fraud", [b"x" * 2_000_000])
    assert transport.append("fraud", [b"x"]) == [(0, 0)]


def test_shown_position_is_the_groups(rig: KafkaRig) -> None:
    """What show_position writes is what displays of the group's lag read."""
    transport = rig.open()
    transport.append("fraud", numbered(0, 5))
    transport.seek(0, 0)
    take(transport, 5)
    transport.show_position(0, 4)
    assert isinstance(transport, KafkaTransport)
    from kafka import TopicPartition

    deadline = time.monotonic() + 10
    shown = None
    while shown != 4 and time.monotonic() < deadline:
        transport.poll(0.1, 1)
        shown = transport._consumer.committed(TopicPartition(rig.topic, 0), timeout_ms=5000)
    assert shown == 4


def test_every_foreign_error_is_translated() -> None:
    """Each error class of kafka-python becomes one of ours; those not about availability keep their meaning."""
    import kafka.errors as kafka_errors

    classes = [c for c in vars(kafka_errors).values() if isinstance(c, type) and issubclass(c, kafka_errors.KafkaError)]
    assert len(classes) > 100
    expected = {
        "OffsetOutOfRangeError": PositionLostError,
        "LogTruncationError": PositionLostError,
        "NoOffsetForPartitionError": PositionLostError,
        "CorruptRecordError": LogCorruptError,
        "MessageSizeTooLargeError": ValueError,
        "RecordListTooLargeError": ValueError,
        "KafkaConfigurationError": ValueError,
        "InvalidTopicError": ValueError,
    }
    for foreign in classes:
        error: Exception = Exception.__new__(foreign)
        assert type(translate(error, "test")) is expected.get(foreign.__name__, BrokerUnavailableError), foreign


def test_settings_are_checked() -> None:
    """A security setting that kafka-python does not know, and a senseless time, are refused by name."""
    with pytest.raises(ValueError, match="sasl_pasword"):
        KafkaTransport("127.0.0.1:1", "t", group="g", security={"sasl_pasword": "x"})
    with pytest.raises(ValueError, match=r"timeout_s=0\.1"):
        KafkaTransport("127.0.0.1:1", "t", group="g", timeout_s=0.1)
    from kafka import KafkaConsumer, KafkaProducer

    assert set(SECURITY_KEYS) <= set(KafkaConsumer.DEFAULT_CONFIG) & set(KafkaProducer.DEFAULT_CONFIG)
