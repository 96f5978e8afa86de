"""The transport on Kafka: the consumer group spreads the partitions, the checkpoint store keeps the positions.

A newcomer needs one fact: the group's committed offsets are written for displays of lag and never read. A new
assignment is parked (paused, at offset 0) until the worker seeks, so nothing is delivered from a position that
is not the store's, and `auto_offset_reset` is "none", so that none is ever made up.

Long work does not lose the partitions: heartbeats come from kafka-python's network thread. Between two calls
of `poll` at most `max_poll_interval_s` may pass; whoever needs longer calls `pause` and goes on polling.
"""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stream.errors import BrokerUnavailableError, PositionLostError
from stream.events import RawMessage
from stream.kafka_client import connection_settings, ensure_topics, require_fast_crc, translate, translated
from stream.transport import Headers, Outgoing, partition_for

with warnings.catch_warnings():
    # kafka-python 3.0 reads its schemas by functions that Python 3.11 alone calls deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka.errors as kafka_errors
    from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
    from kafka.coordinator.assignors.range import RangePartitionAssignor

__all__ = ["KafkaTransport"]


# A member that leaves in the middle of a rebalance would wait for the end of it, and drain for as long.
_LEAVE_MS = 3000


class KafkaTransport:
    """A `Transport` on one topic of a Kafka cluster.

    Parameters
    ----------
    bootstrap_servers : "host:port", several separated by commas
    topic : the input topic; it has to exist when the transport starts, or stand in `create`
    group : the consumer group; instances that share it share the partitions, range assignment
    security : settings of kafka-python for TLS and SASL, by its own names (see SECURITY_KEYS)
    create : topics that `start` makes where they are missing, with their numbers of partitions
    timeout_s : how long a call other than `poll` tries before the broker counts as unavailable (at least 1)
    session_timeout_s : without a heartbeat for this long the group takes the partitions away
    max_poll_interval_s : without a `poll` for this long this instance gives them up by itself
    """

    def __init__(  # sizes: a client's settings, each with a default that serves
        self,
        bootstrap_servers: str,
        topic: str,
        *,
        group: str,
        security: Mapping[str, Any] | None = None,
        create: Mapping[str, int] | None = None,
        timeout_s: float = 15.0,
        session_timeout_s: float = 45.0,
        max_poll_interval_s: float = 300.0,
    ) -> None:
        if timeout_s < 1:
            raise ValueError(f"timeout_s={timeout_s}: must be at least 1")
        require_fast_crc()
        self.topic = topic
        self._group = group
        self._timeout_s = timeout_s
        self._session_ms, self._interval_ms = int(session_timeout_s * 1000), int(max_poll_interval_s * 1000)
        self._connection = connection_settings(bootstrap_servers, security, timeout_s)
        self._create = dict(create or {})
        self._cluster = (bootstrap_servers, security)
        self._consumer: Any = None
        self._producer: Any = None
        self._producer_lock = threading.Lock()
        self._membership = _Membership(topic)
        self._paused = self._started = False

    def start(self) -> None:
        """Connect and subscribe; raises `BrokerUnavailableError` where the broker or the topic is missing."""
        if self._create:
            servers, security = self._cluster
            ensure_topics(servers, self._create, security=security, timeout_s=self._timeout_s)
        with translated("connect"):
            self._started = True
            self.partitions()
            self._consumer = KafkaConsumer(**self._connection, **self._consumer_settings())
            self._membership.consumer = self._consumer
            self._consumer.subscribe([self.topic], listener=self._membership)

    def assignment(self) -> frozenset[int]:
        """Return the partitions owned since the last poll."""
        return self._membership.owned

    def generation(self) -> int:
        """Return a number that every change of the membership raises."""
        return self._membership.generation

    def partitions(self) -> int:
        """Return how many partitions the topic has."""
        with translated(f"look up topic {self.topic!r} (does it exist?)"):
            return len(self._writing().partitions_for(self.topic))

    def seek(self, partition: int, offset: int) -> None:
        """Let a partition deliver from this offset on; `PositionLostError` if the log does not hold it."""
        generation = self._membership.generation
        begin, end = self.begin_offset(partition), self.end_offset(partition)
        if not begin <= offset <= end:
            self._membership.park([partition])
            raise PositionLostError(
                f"offset {offset} of partition {partition} of topic {self.topic!r} is not in the log, which holds "
                f"{begin} to {end}: restore the log or start anew"
            )
        if generation == self._membership.generation:
            self._membership.open(partition, offset, deliver=not self._paused)

    def poll(self, timeout_s: float, max_messages: int) -> list[RawMessage]:
        """Return up to `max_messages`; joining the group and rebalances happen in here.

        A broker that is away makes this return nothing; it recovers by itself. `end_offset` is what tells.

        Raises
        ------
        PositionLostError
            The log was cut while it was being read. The partitions concerned deliver nothing until they are
            sought anew; the next poll goes on with the others.
        """
        if max_messages < 1:
            raise ValueError(f"max_messages={max_messages}: must be at least 1")
        consumer = _connected(self._consumer)
        _remember_join(consumer)
        try:
            with translated("poll"):
                polled = consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_messages)
        except PositionLostError as error:
            self._membership.park(_partitions_named(error.__cause__) or self._membership.owned)
            raise
        messages: list[RawMessage] = []
        for place, records in polled.items():
            messages += [_message(place, record) for record in records]
        return messages

    def append(self, key: str, values: Sequence[bytes], headers: Headers = ()) -> list[tuple[int, int]]:
        """Write to the key's partition; returns where, once all in-sync replicas have it. Any thread may call it.

        Raises
        ------
        ValueError
            A value is larger than the cluster accepts.
        """
        if not values:
            return []
        encoded = key.encode()
        partition = partition_for(encoded, self.partitions())
        messages = [Outgoing(encoded, value, headers) for value in values]
        return [(record.partition, record.offset) for record in self._send(self.topic, messages, partition)]

    def publish(self, topic: str, messages: Sequence[Outgoing]) -> None:
        """Write to another topic, which has to exist; returns once all in-sync replicas have everything."""
        if messages:
            self._send(topic, messages, None)

    def begin_offset(self, partition: int) -> int:
        """Return the oldest offset that the log still holds."""
        return self._offset(partition, "beginning_offsets")

    def end_offset(self, partition: int) -> int:
        """Return the offset that the next message will get (behind the last one that is committed)."""
        return self._offset(partition, "end_offsets")

    def show_position(self, partition: int, offset: int) -> None:
        """Commit the offset to the group, without waiting; a failure changes a display, so nobody is told."""
        if partition in self._membership.owned:
            with translated("show the position"):
                place = TopicPartition(self.topic, partition)
                _connected(self._consumer).commit_async({place: OffsetAndMetadata(offset, "", -1)})

    def pause(self) -> None:
        """Deliver nothing; `poll` has to go on being called."""
        self._paused = True
        self._membership.silence()

    def resume(self) -> None:
        """Deliver again what had been sought."""
        self._paused = False
        self._membership.deliver()

    def close(self) -> None:
        """Leave the group, so that others get the partitions at once; a second call does nothing."""
        with self._producer_lock:
            producer, self._producer, self._started = self._producer, None, False
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            # A broker that is away learns of it by the session's timeout: leaving is a courtesy.
            with contextlib.suppress(kafka_errors.KafkaError):
                consumer.close(autocommit=False, timeout_ms=_LEAVE_MS)
        if producer is not None:
            with contextlib.suppress(kafka_errors.KafkaError):
                producer.close(timeout=self._timeout_s)
        self._membership.lose()

    def _writing(self) -> Any:
        """The producer; a new one after a write that failed. Any thread may ask."""
        with self._producer_lock:
            if self._producer is None:
                if not self._started:
                    raise BrokerUnavailableError("the transport is not started, or closed")
                self._producer = KafkaProducer(**self._connection, **self._producer_settings())
            return self._producer

    def _send(self, topic: str, messages: Sequence[Outgoing], partition: int | None) -> list[Any]:
        deadline = time.monotonic() + self._timeout_s
        with translated(f"write to topic {topic!r} (it may have been written all the same)"):
            producer = self._writing()
            try:
                sent = [
                    producer.send(topic, value=m.value, key=m.key, headers=list(m.headers), partition=partition)
                    for m in messages
                ]
                return [future.get(timeout=max(0.0, deadline - time.monotonic())) for future in sent]
            except kafka_errors.KafkaError as error:
                if isinstance(translate(error, "write"), BrokerUnavailableError):
                    self._abandon(producer)
                raise

    def _abandon(self, producer: Any) -> None:
        """Let the next write begin with a new producer.

        kafka-python 3.0's idempotent producer that loses the broker while it asks for its id never asks again: every
        later write would time out. What the old one still holds is given up; the caller writes it again.
        """
        with self._producer_lock:
            if self._producer is producer:
                self._producer = None
        # Closing alone waits for what can never be written, and leaves the thread running.
        sender = producer._sender  # noqa: SLF001 there is no public way to end it
        sender.force_close()
        sender.join(1.0)
        with contextlib.suppress(kafka_errors.KafkaError):
            producer.close(timeout=0)

    def _offset(self, partition: int, which: str) -> int:
        place = TopicPartition(self.topic, partition)
        with translated(f"ask for the offsets of {self.topic}/{partition}"):
            found = getattr(_connected(self._consumer), which)([place], timeout_ms=int(self._timeout_s * 1000))
        return int(found[place])

    def _producer_settings(self) -> dict[str, Any]:
        timeout_ms = int(self._timeout_s * 1000)
        return {
            "metrics_enabled": False,
            "acks": "all",
            "enable_idempotence": True,
            "allow_auto_create_topics": False,
            "max_block_ms": timeout_ms,
            "delivery_timeout_ms": timeout_ms,
            # Half of it, so that a request that got lost is tried a second time.
            "request_timeout_ms": timeout_ms // 2,
            "batch_size": 128 * 1024,
            "linger_ms": 2,
        }

    def _consumer_settings(self) -> dict[str, Any]:
        return {
            "metrics_enabled": False,
            "group_id": self._group,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "isolation_level": "read_committed",
            "allow_auto_create_topics": False,
            # Range alone: the partitions of several topics have to stay together.
            "partition_assignment_strategy": (RangePartitionAssignor,),
            "session_timeout_ms": self._session_ms,
            "heartbeat_interval_ms": max(100, min(3000, self._session_ms // 3)),
            "max_poll_interval_ms": self._interval_ms,
            "max_partition_fetch_bytes": 4 * 1024 * 1024,
        }


class _Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Which partitions are ours, and which of them the worker has sought.

    kafka-python calls the listener's methods on its network thread while the worker waits inside `poll` or
    `close`, so nothing here needs a lock. None of them may wait for the network.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self.consumer: Any = None
        self.generation = 0
        self.owned: frozenset[int] = frozenset()
        self._sought: set[int] = set()

    def on_partitions_revoked(self, revoked: object) -> None:
        """Own nothing until the group has come to a new agreement."""
        self.lose()

    def on_partitions_lost(self, lost: object) -> None:
        """The same, when the group has taken them without asking."""
        self.lose()

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """Park what is ours now: a position that is not the store's must never be fetched from."""
        self.lose()
        for place in assigned:
            self.consumer.pause(place)
            self.consumer.seek(place, 0)
        self.owned = frozenset(place.partition for place in assigned)

    def lose(self) -> None:
        """Forget everything; the generation tells the worker."""
        self.generation += 1
        self.owned = frozenset()
        self._sought.clear()

    def open(self, partition: int, offset: int, *, deliver: bool) -> None:
        """Take a position that the worker names."""
        if partition not in self.owned:
            return
        place = TopicPartition(self._topic, partition)
        self.consumer.seek(place, offset)
        self._sought.add(partition)
        if deliver:
            self.consumer.resume(place)

    def park(self, partitions: Iterable[int]) -> None:
        """Deliver nothing from these until they are sought anew."""
        for partition in self.owned.intersection(partitions):
            self._sought.discard(partition)
            self.consumer.pause(TopicPartition(self._topic, partition))

    def silence(self) -> None:
        """Deliver nothing from any, and remember which were sought."""
        self.consumer.pause(*(TopicPartition(self._topic, partition) for partition in self.owned))

    def deliver(self) -> None:
        """Deliver from those that were sought."""
        self.consumer.resume(*(TopicPartition(self._topic, partition) for partition in self._sought))


def _connected(client: Any) -> Any:
    if client is None:
        raise BrokerUnavailableError("the transport is not started, or closed")
    return client


def _remember_join(consumer: Any) -> None:
    """Let a join of the group that is under way be finished by the next poll.

    kafka-python 3.0 joins again where the topic's metadata has changed, be it that they came only after the first join.
    If a poll ends before that join does, the library forgets that it needs one as soon as it has used the new metadata:
    its result is never taken, and the member owns nothing, without a heartbeat or an error, for good.
    """
    coordinator = consumer._coordinator  # noqa: SLF001 there is no public way to know
    if coordinator._join_task is not None:  # noqa: SLF001
        coordinator.request_rejoin()


def _message(place: Any, record: Any) -> RawMessage:
    headers = tuple([(name, value or b"") for name, value in record.headers]) if record.headers else ()
    return RawMessage(place.topic, place.partition, record.offset, record.value, record.key, headers)


def _partitions_named(error: BaseException | None) -> list[int]:
    """Return the partitions that an error of kafka-python speaks of, as far as it names them."""
    named = getattr(error, "divergent_offsets", None) or (error.args[0] if error is not None and error.args else None)
    return [place.partition for place in named] if isinstance(named, dict | set) else []
