"""The whole service on a real broker: the same records and the same state as the embedded log and a replay give."""

from __future__ import annotations

import gc
import json
import logging
import time
import tomllib
import uuid
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.config import parse
from service.replay import Replayed, replay
from stream.kafka_client import ensure_topics
from stream.kafka_transport import KafkaTransport
from tests.kafka_broker import KafkaBroker, kafka_broker
from tests.kills.stream import CONFIGURATION, MONITOR
from tests.service.served import Served, drifting_events, wait_for
from tests.service.test_worker import Rig

__all__: list[str] = []

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.integration,
    # kafka-python leaves sockets of refused connections to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

PREDICTIONS = 4_000
TOPICS = ("topic", "drift_topic", "predictions_topic", "review_topic", "dead_letter_topic")
PRUDENT = """
[monitors.m]
task = "classification"
[monitors.m.features]
a = {type = "numeric"}
[monitors.m.labels]
age = "60s"
[monitors.m.learners.bayes]
estimator = "anchorwatch.NaiveBayes"
[monitors.m.review]
margin = 0.4
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaBroker]:
    """One broker for the whole module; who stops it starts it again."""
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


@pytest.fixture(scope="module")
def events() -> list[bytes]:
    """About 8,000 events: predictions, late and corrected labels, bad events, a promotion, changed concepts."""
    return drifting_events(PREDICTIONS)


@pytest.fixture(scope="module")
def expected(events: list[bytes]) -> Replayed:
    """What a replay makes of them."""
    replayed = replay(events, parse(tomllib.loads(CONFIGURATION)))
    assert len(replayed.drifts) >= 5
    assert len(replayed.rejects) >= 4
    return replayed


class OnKafka:
    """A served process and a producer on topics of their own."""

    def __init__(self, broker: KafkaBroker, folder: Path, configuration: str = CONFIGURATION) -> None:
        own = uuid.uuid4().hex[:8]
        self.broker = broker
        self.topics = {name: f"{name}-{own}" for name in TOPICS}
        named = "".join(f'{key} = "{topic}"\n' for key, topic in self.topics.items())
        kafka = f'bootstrap_servers = "{broker.bootstrap}"\ngroup = "service-{own}"\n{named}'
        self.service = Served(folder, f'{configuration}\n[transport]\nkind = "kafka"\n[transport.kafka]\n{kafka}')
        ensure_topics(broker.bootstrap, {self.topics["topic"]: 1})

    def close(self) -> None:
        """End the service, however it is."""
        self.service.close()

    def produce(self, events: list[bytes]) -> None:
        """Append events, keyed by their monitor."""
        with closing(KafkaTransport(self.broker.bootstrap, self.topics["topic"], group="producer")) as producer:
            producer.start()
            for start in range(0, len(events), 1_000):
                producer.append(MONITOR, events[start : start + 1_000])

    def consume(self, which: str) -> list[tuple[str, dict[str, Any]]]:
        """Every message of an output topic, with its id."""
        topic, found = self.topics[which], list[tuple[str, dict[str, Any]]]()
        with closing(KafkaTransport(self.broker.bootstrap, topic, group=f"reader-{topic}")) as reader:
            reader.start()
            wait_for(lambda: reader.poll(0.1, 1) == [] and bool(reader.assignment()), "the reader's assignment")
            reader.seek(0, 0)
            end, position = reader.end_offset(0), 0
            deadline = time.monotonic() + 30
            while position < end and time.monotonic() < deadline:
                for message in reader.poll(0.2, 1_000):
                    assert (message.key or b"").decode() in (MONITOR, "")
                    found.append((dict(message.headers)["id"].decode(), json.loads(message.value or b"")))
                    position = message.offset + 1
        return found


@pytest.fixture
def rig(broker: KafkaBroker, tmp_path: Path) -> Iterator[OnKafka]:
    """A service on fresh topics, not started."""
    with closing(OnKafka(broker, tmp_path)) as rig:
        yield rig


def plain(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As they look after a way over the wire."""
    plain: list[dict[str, Any]] = json.loads(json.dumps(records))
    return plain


def test_kafka_embedded_log_and_replay_agree(
    rig: OnKafka, events: list[bytes], expected: Replayed, tmp_path: Path
) -> None:
    """Stopped by SIGTERM, fed while it is down, started again: drift records and dead letters come out once each,
    in order, and they and the state's hash are those of a replay and of the embedded log."""
    half, more = len(events) // 2, len(events) // 2 + 1_000
    service = rig.service
    rig.produce(events[:half])
    service.start()
    before = service.settle(half)
    assert service.stop() == 0
    rig.produce(events[half:more])
    service.start()
    assert service.settle(more)["counts"]["predictions"] > before["counts"]["predictions"]
    rig.produce(events[more:])
    view = service.settle(len(events))
    assert service.stop() == 0

    wanted = expected.summary["monitors"][MONITOR]
    assert view["state_sha256"] == wanted["state_sha256"]
    assert (view["counts"]["predictions"], view["counts"]["labels"]) == (PREDICTIONS, wanted["labels"])
    drifts = rig.consume("drift_topic")
    assert [body for _, body in drifts] == plain(expected.drifts)
    assert [identity for identity, _ in drifts] == [record["id"] for record in expected.drifts]
    letters = [(body["offset"], body["reason"]) for _, body in rig.consume("dead_letter_topic")]
    assert letters == [(reject.offset, str(reject.reason)) for reject in expected.rejects]

    embedded = Rig(tmp_path / "embedded", events)
    embedded.run()
    assert embedded.hash() == view["state_sha256"]
    assert embedded.published(embedded.config.transport.kafka.drift_topic) == [body for _, body in drifts]


def unanswered(total: int) -> list[bytes]:
    """Predictions that the champion must answer, each with its label behind it; unsure where `a` is near 5."""
    events: list[dict[str, Any]] = []
    for n in range(total):
        a, about = (n * 37 % 101) / 10, {"id": f"p{n}", "monitor": MONITOR, "time": 1_760_000_000_000 + 1_000 * n}
        events += [
            {"type": "prediction", "features": {"a": a}, **about},
            {"type": "label", "label": "yes" if a > 5 else "no", **about},
        ]
    return [json.dumps(event).encode() for event in events]


def test_answers_and_reviews_have_topics_of_their_own(broker: KafkaBroker, tmp_path: Path) -> None:
    """Every answer of the champion is published once with its decision; those for review once more, by priority."""
    events = unanswered(600)
    replayed = replay(events, parse(tomllib.loads(PRUDENT)), keep_outputs=True)
    wanted = {
        kind: plain([output.body for output in replayed.outputs if output.kind == kind])
        for kind in ("prediction", "review")
    }
    with closing(OnKafka(broker, tmp_path, PRUDENT)) as rig:
        rig.produce(events)
        rig.service.start()
        rig.service.settle(len(events))
        assert rig.service.stop() == 0
        assert [body for _, body in rig.consume("predictions_topic")] == wanted["prediction"]
        assert [body for _, body in rig.consume("review_topic")] == wanted["review"]
    assert len(wanted["prediction"]) == 600
    unsure = [body["id"] for body in wanted["prediction"] if body.get("decision") == "review"]
    assert [body["id"] for body in wanted["review"]] == unsure
    assert 20 < len(unsure) < 400
    assert all(0.0 <= body["priority"] <= 1.0 and body["features"] for body in wanted["review"])
    assert len({body["priority"] for body in wanted["review"]}) > 10


def test_a_broker_that_dies_in_the_middle_costs_nothing(rig: OnKafka, events: list[bytes], expected: Replayed) -> None:
    """The broker is killed while events are folded: /readyz is 503 and names it, the service lives on, resumes by
    itself when the broker is back, and ends with the replay's state; every record arrives, repeats with its id."""
    service, half = rig.service, len(events) // 2
    rig.produce(events[:half])
    service.start()
    wait_for(lambda: service.get("/v1/monitors")["service"].get("events_total", 0) > 0, "the first commit")
    rig.broker.kill()
    try:
        wait_for(lambda: service.ask("/readyz")[0] == 503, "/readyz says no")
        wait_for(lambda: b"Kafka" in service.ask("/readyz")[1], "/readyz names the broker")
        assert service.ask("/healthz")[0] == 200
        assert service.ask("/")[0] == 200
    finally:
        rig.broker.start()
    wait_for(lambda: service.ask("/readyz")[0] == 200, "ready again")
    rig.produce(events[half:])
    view = service.settle(len(events))
    assert service.stop() == 0
    assert view["state_sha256"] == expected.summary["monitors"][MONITOR]["state_sha256"]
    drifts = rig.consume("drift_topic")
    assert list(dict(drifts).values()) == plain(expected.drifts)
    letters = {body["offset"] for _, body in rig.consume("dead_letter_topic")}
    assert letters == {reject.offset for reject in expected.rejects}
