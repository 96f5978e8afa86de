"""The webhook sender against real receivers: what answers mean, what is offered, what arrives."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from email.utils import formatdate

import pytest

from service.webhooks import Attempt, WebhookSender, back_off_ms, retry_after_ms, sign
from tests.service.receiver import Received, Receiver, wait_until
from tests.service.webhook_rig import BODY, NEW, attempt, config, gather, raw_server, running, send_one


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(status: int) -> None:
    """2xx ends the row."""
    with Receiver(lambda request, n: (status, {})) as receiver:
        assert send_one(receiver.url).status == "done"


@pytest.mark.parametrize("status", [300, 302, 307, 308, 400, 401, 404, 409, 413, 429, 500, 502, 503])
def test_anything_else_is_tried_again(status: int) -> None:
    """Redirects, client errors and server errors are retries with the status in the detail."""
    with Receiver(lambda request, n: (status, {})) as receiver:
        outcome = send_one(receiver.url)
    assert outcome.status == "retry"
    assert str(status) in outcome.detail
    assert 1_000_000 + 2_500 <= outcome.due_ms <= 1_000_000 + 5_000


def test_a_redirect_is_not_followed() -> None:
    """The place that a 3xx names is never asked."""
    with Receiver() as inner, Receiver(lambda request, n: (307, {"location": inner.url})) as outer:
        assert send_one(outer.url).status == "retry"
        assert len(outer.received) == 1
        assert inner.received == []


def test_410_disables_the_endpoint() -> None:
    """After 410 Gone nothing more is sent; rows that waited in the queue come back as disabled, later offers are not
    taken."""
    gate = threading.Event()

    def answer(request: Received, n: int) -> tuple[int, dict[str, str]]:
        gate.wait(5)
        return 410, {}

    with Receiver(answer) as receiver, running(WebhookSender({"ops": config(receiver.url, timeout="9s")})) as sender:
        assert sender.offer(attempt(1))
        assert sender.offer(attempt(2))
        gate.set()
        assert [o.status for o in gather(sender, 2)] == ["disabled", "disabled"]
        assert not sender.offer(attempt(3))
        assert sender.status()["ops"]["disabled"]
        assert len(receiver.received) == 1


@pytest.mark.parametrize(("header", "wait_s"), [("120", 120), ("3600", 3600), ("999999999999", 86_400), ("0", 5)])
def test_retry_after_in_seconds_is_honoured(header: str, wait_s: int) -> None:
    """The receiver's wish replaces the back-off, within 5 seconds and 24 hours."""
    with Receiver(lambda request, n: (503, {"Retry-After": header})) as receiver:
        assert send_one(receiver.url, tries=9).due_ms == 1_000_000 + wait_s * 1_000


def test_retry_after_as_a_date_is_honoured() -> None:
    """An HTTP date counts from the sender's clock."""
    with Receiver(lambda request, n: (429, {"Retry-After": formatdate(1_000 + 90, usegmt=True)})) as receiver:
        assert send_one(receiver.url).due_ms == 1_000_000 + 90_000


@pytest.mark.parametrize("header", [None, "", "soon", "-5", "1.5", "Wed, 99 Foo 2026 00:00:00 GMT", "²"])
def test_a_retry_after_that_says_nothing_is_ignored(header: str | None) -> None:
    """Then the back-off counts."""
    assert retry_after_ms(header, 0) is None


def test_back_off_doubles_with_jitter_up_to_twelve_hours_and_lasts_for_days() -> None:
    """Waits lie between half and the whole of 5 s · 2^(n-1), at most 12 h, and 25 tries span more than three days."""
    generator = random.Random(5)
    waits = [back_off_ms(n, generator) for n in range(1, 26)]
    for n, wait in enumerate(waits, start=1):
        whole = min(5_000 * 2 ** (n - 1), 43_200_000)
        assert whole / 2 <= wait <= whole
    assert sum(waits) > 3 * 86_400_000
    assert len({back_off_ms(3, generator) for _ in range(20)}) > 10
    assert back_off_ms(10_000, generator) <= 43_200_000


def test_a_row_under_way_is_not_taken_twice() -> None:
    """From its offer until its outcome is drained a row is not taken again, and so is sent once."""
    with Receiver() as receiver, running(WebhookSender({"ops": config(receiver.url)})) as sender:
        assert sender.offer(attempt(1))
        assert not sender.offer(attempt(1))
        wait_until(lambda: sender.status()["ops"]["sent"] == 1)
        assert not sender.offer(attempt(1))
        assert len(sender.outcomes()) == 1
        assert sender.offer(attempt(1))


def test_rows_of_two_partitions_with_one_number_are_two_rows() -> None:
    """Numbers are counted per partition; the outcome says whose it is."""
    with Receiver() as receiver, running(WebhookSender({"ops": config(receiver.url)})) as sender:
        assert sender.offer(Attempt(1, "ops", "a", b"{}", 0, partition=0))
        assert sender.offer(Attempt(1, "ops", "b", b"{}", 0, partition=1))
        assert {(o.partition, o.id) for o in gather(sender, 2)} == {(0, "a"), (1, "b")}


def test_an_unknown_endpoint_is_not_taken() -> None:
    """A row of an endpoint that the configuration no longer has stays in the outbox."""
    assert not WebhookSender({}).offer(attempt(1))


def test_offer_never_blocks_and_the_queue_is_bounded() -> None:
    """Without anybody to take them, offers end in False instead of growing a queue."""
    sender = WebhookSender({"ops": config("http://127.0.0.1:9/")})
    taken = sum(sender.offer(attempt(seq)) for seq in range(2_000))
    assert 0 < taken < 1_000


def test_a_hanging_endpoint_slows_no_other() -> None:
    """While one endpoint hangs, 100 messages to another one arrive."""
    release = threading.Event()

    def hang(connection: socket.socket) -> None:
        release.wait(5)

    with raw_server(hang) as dead, Receiver() as alive:
        endpoints = {"dead": config(dead, timeout="5s"), "alive": config(alive.url)}
        with running(WebhookSender(endpoints)) as sender:
            assert sender.offer(attempt(1, "dead"))
            for seq in range(100):
                assert sender.offer(attempt(seq, "alive"))
            outcomes = gather(sender, 100)
            release.set()
        assert {(o.endpoint, o.status) for o in outcomes} == {("alive", "done")}


def test_an_outage_delivers_every_message_with_its_id_once_it_is_over() -> None:
    """1,000 messages offered over an outage: 1,000 distinct ids arrive, each retry with the id and body of its first
    try, and the sender tells that the endpoint has recovered."""
    broken = threading.Event()
    broken.set()
    delivered: list[Received] = []

    def answer(request: Received, n: int) -> tuple[int, dict[str, str]]:
        if broken.is_set():
            return 503, {}
        delivered.append(request)
        return 200, {}

    waiting = dict.fromkeys(range(1_000), 0)
    with Receiver(answer) as receiver, running(WebhookSender({"ops": config(receiver.url)})) as sender:
        deadline = time.monotonic() + 30
        failures = 0
        while waiting and time.monotonic() < deadline:
            for seq, tries in list(waiting.items())[:200]:
                sender.offer(attempt(seq, tries=tries, body=b'{"n":%d}' % seq))
            time.sleep(0.005)
            outcomes = sender.outcomes()
            retries = {o.seq: o.tries for o in outcomes if o.status == "retry"}
            failures += len(retries)
            done = {o.seq for o in outcomes if o.status == "done"}
            waiting = {seq: n for seq, n in (waiting | retries).items() if seq not in done}
            if failures >= 20:
                broken.clear()
        assert not waiting
        assert sender.recovered() == {"ops"}
        assert sender.recovered() == set()
        status = sender.status()["ops"]
    assert sorted(r.headers["webhook-id"] for r in delivered) == sorted(f"msg_{n}" for n in range(1_000))
    assert all(r.headers["webhook-id"] == f"msg_{json.loads(r.body)['n']}" for r in receiver.received)
    assert (status["sent"], status["failed"], status["retrying"]) == (1_000, failures, 0)
    assert status["last_error"] == ""
    assert status["last_success_ms"] is not None


def test_the_timestamp_is_that_of_the_try() -> None:
    """A retry carries a new timestamp (receivers refuse old ones) and the same id."""
    now = [1_700_000_000_000]
    with (
        Receiver(lambda request, n: (200 if n else 500, {})) as receiver,
        running(WebhookSender({"ops": config(receiver.url)}, clock_ms=lambda: now[0])) as sender,
    ):
        sender.offer(attempt(1))
        assert gather(sender, 1)[0].status == "retry"
        now[0] += 3_600_000
        sender.offer(attempt(1, tries=1))
        assert gather(sender, 1)[0].tries == 2
    first, second = (r.headers for r in receiver.received)
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 3_600
    assert second["webhook-id"] == first["webhook-id"]
    assert second["webhook-signature"] == sign(NEW, "msg_1", 1_700_003_600, BODY)


def test_the_newest_state_of_each_message_is_shown() -> None:
    """One entry a message and endpoint, newest first, with what came of its last try."""
    now = [1_000_000]
    with Receiver(lambda request, n: (200 if n else 500, {})) as receiver:
        sender = WebhookSender({"ops": config(receiver.url), "other": config(receiver.url)}, clock_ms=lambda: now[0])
        with running(sender):
            for endpoint, seq, tries in [("ops", 1, 0), ("ops", 2, 0), ("ops", 1, 1), ("other", 1, 0)]:
                now[0] += 1_000
                assert sender.offer(attempt(seq, endpoint, tries=tries))
                gather(sender, 1)
    shown = [(one["destination"], one["id"], one["status"], one["tries"], one["time_ms"]) for one in sender.recent()]
    assert shown == [
        ("webhook:other", "msg_1", "done", 1, 1_004_000),
        ("webhook:ops", "msg_1", "done", 2, 1_003_000),
        ("webhook:ops", "msg_2", "done", 1, 1_002_000),
    ]


def test_stop_returns_in_time_even_while_a_receiver_hangs() -> None:
    """A hanging receiver does not hold the shutdown beyond what was asked."""
    release = threading.Event()

    def hang(connection: socket.socket) -> None:
        release.wait(5)

    with raw_server(hang) as url:
        sender = WebhookSender({"ops": config(url, timeout="5s")})
        sender.start()
        sender.offer(attempt(1))
        time.sleep(0.05)
        began = time.monotonic()
        sender.stop(0.2)
        assert time.monotonic() - began < 4.0
        assert not sender.offer(attempt(2))
        release.set()
