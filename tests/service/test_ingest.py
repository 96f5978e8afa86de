"""Ingestion: verdicts one by one, everything written, repeats not written again."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from service.ingest import UNREADABLE_KEY, Ingest, Verdict
from stream.codec import Decoder
from stream.errors import BrokerUnavailableError
from stream.events import RawMessage, Reason
from stream.schema import FeatureSchema, MonitorSchema


class MemoryLog:
    """A log in memory with one partition a key; `broken` makes the next append to that key fail."""

    def __init__(self) -> None:
        self.written: dict[str, list[bytes]] = {}
        self.broken: set[str] = set()
        self._lock = threading.Lock()

    def append(self, key: str, values: Sequence[bytes]) -> list[tuple[int, int]]:
        """Write `values`."""
        if key in self.broken:
            raise BrokerUnavailableError("no disk")
        with self._lock:
            rows = self.written.setdefault(key, [])
            first = len(rows)
            rows.extend(values)
            return [(len(key), first + n) for n in range(len(values))]


FEATURES = {"amount": FeatureSchema(type="numeric"), "country": FeatureSchema(type="categorical")}
SCHEMAS = {name: MonitorSchema(name=name, task="classification", features=FEATURES) for name in ("fraud", "churn")}


def ingest_on(log: MemoryLog, **options: Any) -> Ingest:
    """Ingestion with the real decoder."""
    return Ingest(Decoder(SCHEMAS, max_bytes=options.get("max_item_bytes", 1_000_000)), log, **options)


def prediction(n: int, monitor: str = "fraud", **more: Any) -> bytes:
    """A valid prediction event."""
    event = {"type": "prediction", "id": f"tx-{n}", "monitor": monitor, "time": "2026-03-01T10:00:00Z"}
    return json.dumps(event | {"features": {"amount": float(n), "country": "FR"}} | more).encode()


def label(n: int, value: str, **more: Any) -> bytes:
    """A valid label event."""
    event = {"type": "label", "id": f"tx-{n}", "monitor": "fraud", "time": "2026-03-02T10:00:00Z", "label": value}
    return json.dumps(event | more).encode()


def test_every_item_gets_a_verdict_in_its_place() -> None:
    """Verdicts stand in the order of the items, with the place where each was written."""
    log = MemoryLog()
    items = [prediction(1), b"{nonsense", prediction(2, "churn"), prediction(3, amount=1), label(1, "ok")]
    verdicts = ingest_on(log).append(items)
    assert [v.status for v in verdicts] == ["accepted", "rejected", "accepted", "accepted", "accepted"]
    assert [v.id for v in verdicts] == ["tx-1", None, "tx-2", "tx-3", "tx-1"]
    assert verdicts[1].reason == Reason.NOT_JSON
    assert verdicts[1].detail
    for item, verdict, key in zip(items, verdicts, ["fraud", UNREADABLE_KEY, "churn", "fraud", "fraud"], strict=True):
        assert log.written[key][verdict.offset] == item
        assert verdict.partition == len(key)


@pytest.mark.parametrize(
    ("item", "reason", "key"),
    [
        (b"", Reason.EMPTY, UNREADABLE_KEY),
        (b"[1,2]", Reason.NOT_AN_OBJECT, UNREADABLE_KEY),
        (b"\xff\xfe", None, UNREADABLE_KEY),
        (b'{"type":"prediction","features":{"amount":NaN}}', None, UNREADABLE_KEY),
        (b"[" * 100_000, None, UNREADABLE_KEY),
        (prediction(1, "nobody"), Reason.UNKNOWN_MONITOR, UNREADABLE_KEY),
        (prediction(1, time="2026-03-01T10:00:00"), Reason.TIME_WITHOUT_OFFSET, "fraud"),
        (prediction(1, features=[]), Reason.WRONG_TYPE, "fraud"),
    ],
)
def test_a_refused_item_is_written_as_it_came(item: bytes, reason: Reason | None, key: str) -> None:
    """So that the fold dead-letters and counts it; beside its monitor's events where the monitor can be told."""
    log = MemoryLog()
    verdict = ingest_on(log).append([item])[0]
    assert verdict.status == "rejected"
    assert reason is None or verdict.reason == reason
    assert log.written == {key: [item]}


def test_the_fold_s_decoder_says_the_same_of_what_was_written() -> None:
    """Verdict and dead letter agree: decoding the log gives the reasons that the sender was told."""
    log = MemoryLog()
    items = [prediction(1), b"{", prediction(2, "nobody"), label(1, ""), prediction(3, features={"amount": "x"})]
    verdicts = ingest_on(log).append(items)
    told = sorted(v.reason for v in verdicts if v.reason is not None)
    written = [value for values in log.written.values() for value in values]
    decoded = Decoder(SCHEMAS).decode([RawMessage("events", 0, n, value) for n, value in enumerate(written)])
    assert sorted(reject.reason.value for reject in decoded.rejects) == told


def test_an_item_longer_than_the_limit_stays_too_long_but_small() -> None:
    """Its first bytes are written, one more than the limit, so that the fold refuses it for the same reason and no
    broker refuses the whole request for its size."""
    log = MemoryLog()
    verdict = ingest_on(log, max_item_bytes=1_000).append([prediction(1, model_version="v" * 5_000)])[0]
    assert verdict.reason == Reason.TOO_LARGE
    (written,) = log.written[UNREADABLE_KEY]
    assert len(written) == 1_001


def test_a_repeat_is_told_and_not_written_again() -> None:
    """The same bytes again are a duplicate that names the place of the first one."""
    log = MemoryLog()
    ingest = ingest_on(log)
    first = ingest.append([prediction(1), label(1, "ok")])
    again = ingest.append([prediction(1), label(1, "ok"), prediction(2)])
    assert [v.status for v in again] == ["duplicate", "duplicate", "accepted"]
    assert [(v.partition, v.offset) for v in again[:2]] == [(v.partition, v.offset) for v in first]
    assert len(log.written["fraud"]) == 3
    assert ingest.counts() == {"accepted": 3, "duplicate": 2, "rejected": 0}


def test_a_repeat_within_one_request_is_written_once() -> None:
    """Two equal items in one call: the second is a duplicate at the first one's place."""
    log = MemoryLog()
    verdicts = ingest_on(log).append([prediction(1), prediction(1)])
    assert verdicts[1] == Verdict("tx-1", "duplicate", None, None, verdicts[0].partition, verdicts[0].offset)
    assert log.written["fraud"] == [prediction(1)]


def test_what_differs_is_no_repeat() -> None:
    """A correction, the same id in another monitor, and a label beside its prediction are all written."""
    log = MemoryLog()
    items = [prediction(1), prediction(1, "churn"), label(1, "ok"), label(1, "fraud"), prediction(1, model_version="2")]
    assert {v.status for v in ingest_on(log).append(items)} == {"accepted"}


def test_controls_and_refused_items_are_never_repeats() -> None:
    """Two equal controls are two wishes; two equal refused items are two dead letters."""
    log = MemoryLog()
    control = b'{"type":"control","monitor":"fraud","time":"2026-03-01T10:00:00Z","action":"tick"}'
    verdicts = ingest_on(log).append([control, control, b"{", b"{"])
    assert [v.status for v in verdicts] == ["accepted", "accepted", "rejected", "rejected"]
    assert (len(log.written["fraud"]), len(log.written[UNREADABLE_KEY])) == (2, 2)


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    """Beyond its cap the oldest event counts as new again (the fold still knows it)."""
    log = MemoryLog()
    ingest = ingest_on(log, memory_n=10)
    ingest.append([prediction(n) for n in range(11)])
    assert [v.status for v in ingest.append([prediction(0), prediction(5)])] == ["accepted", "duplicate"]


def test_after_a_failure_to_write_the_same_request_can_be_sent_again() -> None:
    """What was not written is not remembered; what was is a duplicate the second time."""
    log = MemoryLog()
    ingest = ingest_on(log)
    log.broken = {"churn"}
    items = [prediction(1), prediction(1, "churn")]
    with pytest.raises(BrokerUnavailableError):
        ingest.append(items)
    log.broken = set()
    assert [v.status for v in ingest.append(items)] == ["duplicate", "accepted"]
    assert {key: len(values) for key, values in log.written.items()} == {"fraud": 1, "churn": 1}


def test_threads_lose_nothing() -> None:
    """Eight threads at once: each event stands in the log, and each verdict names its own event's place."""
    log = MemoryLog()
    ingest = ingest_on(log)
    found: dict[int, Verdict] = {}

    def send(thread: int) -> None:
        for n in range(thread * 1_000, thread * 1_000 + 50, 10):
            for k, verdict in enumerate(ingest.append([prediction(n + k) for k in range(10)])):
                found[n + k] = verdict

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 400
    assert all(log.written["fraud"][verdict.offset] == prediction(n) for n, verdict in found.items())


def test_a_refusal_can_be_asked_for_without_writing() -> None:
    """The same judgement as `append`, and nothing in the log or in the memory."""
    log = MemoryLog()
    ingest = ingest_on(log)
    assert ingest.refusal(prediction(1)) is None
    refusal = ingest.refusal(prediction(1, features={"amount": "x"}))
    assert refusal is not None
    assert refusal[0] == Reason.WRONG_TYPE
    assert "amount" in refusal[1]
    assert log.written == {}
    assert ingest.append([prediction(1)])[0].status == "accepted"


@pytest.mark.parametrize(("name", "value"), [("max_item_bytes", 0), ("memory_n", -1)])
def test_a_limit_out_of_range_is_refused(name: str, value: int) -> None:
    """The message names the parameter and its range."""
    with pytest.raises(ValueError, match=f"{name} = {value} must be"):
        Ingest(Decoder(SCHEMAS), MemoryLog(), **{name: value})
