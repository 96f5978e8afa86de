"""The webhook sender against real receivers on loopback, judged by the official Standard Webhooks library."""

from __future__ import annotations

import base64
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from service.config import WebhookConfig
from service.webhooks import Attempt, Outcome, WebhookSender, back_off_ms, retry_after_ms, sign
from tests.service.receiver import Received, Receiver, wait_until

OLD = "whsec_" + base64.b64encode(b"an old key of the right length..").decode()
NEW = "whsec_" + base64.b64encode(b"a new key that replaces the old.").decode()
BODY = '{"type":"drift","timestamp":"2026-03-01T10:00:00Z","data":{"signal":"feature:größe","x":1.50}}'.encode()


def config(url: str, *, secret: str = NEW, allow_private: bool = True, timeout: str = "2s") -> WebhookConfig:
    """An endpoint on loopback."""
    return WebhookConfig(url=url, secret=secret, allow_private=allow_private, timeout=timeout)


def attempt(seq: int, endpoint: str = "ops", *, tries: int = 0, body: bytes = BODY) -> Attempt:
    """Row `seq` of the outbox."""
    return Attempt(seq=seq, endpoint=endpoint, id=f"msg_{seq}", body=body, tries=tries)


@contextmanager
def running(sender: WebhookSender) -> Iterator[WebhookSender]:
    """Start `sender`, stop it at the end."""
    sender.start()
    try:
        yield sender
    finally:
        sender.stop(2.0)


def gather(sender: WebhookSender, n: int, timeout_s: float = 10.0) -> list[Outcome]:
    """The next `n` outcomes."""
    found: list[Outcome] = []

    def enough() -> bool:
        found.extend(sender.outcomes())
        return len(found) >= n

    wait_until(enough, timeout_s)
    return found


def send_one(url: str, *, timeout: str = "2s", tries: int = 0) -> Outcome:
    """What comes of one row, at a clock that stands at 1,000 s."""
    with running(WebhookSender({"ops": config(url, timeout=timeout)}, clock_ms=lambda: 1_000_000, seed=1)) as sender:
        assert sender.offer(attempt(1, tries=tries))
        return gather(sender, 1)[0]


# --- signatures ---------------------------------------------------------------------------------------------------


def test_the_official_library_verifies_what_arrives() -> None:
    """Headers and body pass the official verification, and the body is byte for byte what was given."""
    with Receiver() as receiver, running(WebhookSender({"ops": config(receiver.url)})) as sender:
        assert sender.offer(attempt(7))
        outcome = gather(sender, 1)[0]
    got = receiver.received[0]
    assert (outcome.status, outcome.tries, outcome.seq, outcome.id) == ("done", 1, 7, "msg_7")
    assert got.body == BODY
    assert Webhook(NEW).verify(got.body, got.headers) == json.loads(BODY)
    assert got.headers["webhook-id"] == "msg_7"
    assert got.headers["content-type"] == "application/json"


@pytest.mark.parametrize("place", [0, len(BODY) // 2, len(BODY) - 1])
def test_one_flipped_bit_of_the_body_fails(place: int) -> None:
    """A changed body does not verify."""
    now = int(time.time())
    headers = {"webhook-id": "m", "webhook-timestamp": str(now), "webhook-signature": sign(NEW, "m", now, BODY)}
    Webhook(NEW).verify(BODY, headers)
    flipped = bytearray(BODY)
    flipped[place] ^= 1
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(bytes(flipped), headers)


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp"])
def test_a_changed_id_or_time_fails(header: str) -> None:
    """Id and timestamp are signed too."""
    now = int(time.time())
    headers = {"webhook-id": "1", "webhook-timestamp": str(now), "webhook-signature": sign(NEW, "1", now, BODY)}
    headers[header] = str(int(headers[header]) + 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(BODY, headers)


def test_rotation_signs_with_every_secret() -> None:
    """While two secrets are configured, receivers with either one verify, and one with neither does not."""
    stranger = "whsec_" + base64.b64encode(b"somebody else's key.............").decode()
    with Receiver() as receiver, running(WebhookSender({"ops": config(receiver.url, secret=f"{NEW} {OLD}")})) as sender:
        sender.offer(attempt(1))
        gather(sender, 1)
    got = receiver.received[0]
    assert len(got.headers["webhook-signature"].split(" ")) == 2
    Webhook(OLD).verify(got.body, got.headers)
    Webhook(NEW).verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(stranger).verify(got.body, got.headers)


def test_the_specification_s_example_is_reproduced() -> None:
    """The signature equals the one in the Standard Webhooks specification's own example."""
    # https://github.com/standard-webhooks/standard-webhooks, libraries' test vector (python/tests/test_webhooks.py)
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "   ", "whsec_", "whsec_***", f"{NEW} whsec_%%"])
def test_a_bad_secret_is_refused_and_not_shown(secret: str) -> None:
    """A secret that is no base64, or empty, is the caller's mistake; the message does not repeat it."""
    with pytest.raises(ValueError, match="secret") as caught:
        sign(secret, "m", 1, b"")
    assert "***" not in str(caught.value)
    assert NEW not in str(caught.value)


# --- answers ------------------------------------------------------------------------------------------------------


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


# --- trouble ------------------------------------------------------------------------------------------------------


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def raw_server(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A TCP server that does to each connection what `behave` says."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(5)
                try:
                    behave(connection)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/token-in-path"
    finally:
        ended.set()
        thread.join()
        listener.close()


def test_a_dead_receiver_is_tried_again() -> None:
    """No listener: a retry that names the trouble and holds nothing of the address's path."""
    outcome = send_one(f"http://127.0.0.1:{_closed_port()}/token-in-path")
    assert (outcome.status, outcome.tries) == ("retry", 1)
    assert "no connection" in outcome.detail
    assert "token" not in outcome.detail


def test_a_receiver_that_speaks_no_http_is_tried_again() -> None:
    """Garbage instead of an answer is a retry."""
    with raw_server(lambda connection: connection.sendall(b"\x00\xff hello\r\n\r\n")) as url:
        assert send_one(url).status == "retry"


def test_the_timeout_holds_for_the_whole_exchange() -> None:
    """A receiver that sends a byte now and then is given up after the timeout, not after its last byte."""

    def drip(connection: socket.socket) -> None:
        connection.recv(65_536)
        for byte in b"HTTP/1.1 200 OK\r\n" + b"x-slow: 1\r\n" * 100:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)

    began = time.monotonic()
    with raw_server(drip) as url:
        outcome = send_one(url, timeout="500ms")
    assert outcome.status == "retry"
    assert "timeout" in outcome.detail
    assert time.monotonic() - began < 3.0


def test_rebinding_gains_nothing() -> None:
    """A name that is public when checked and private later is judged anew on each try, and the connection goes to the
    very address that was checked: the inner receiver gets nothing."""
    answers = iter([["192.0.2.1"], ["127.0.0.1"], ["93.184.216.34", "127.0.0.1"]])
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    with Receiver() as inner:
        endpoint = config(f"http://rebind.example.com:{inner.port}/", allow_private=False)
        with running(WebhookSender({"ops": endpoint}, resolver=rebinding)) as sender:
            for seq in range(3):
                sender.offer(attempt(seq))
            outcomes = gather(sender, 3)
        assert [o.status for o in outcomes] == ["retry"] * 3
        assert all("not public" in o.detail for o in outcomes)
        assert asked == ["rebind.example.com"] * 3
        assert inner.received == []


def test_the_name_stays_in_the_host_header_while_the_checked_address_is_connected() -> None:
    """Exactly one look-up an exchange; the Host header carries the configured name."""
    asked: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with Receiver() as receiver:
        endpoint = config(f"http://hooks.example.com:{receiver.port}/a?b=c")
        with running(WebhookSender({"ops": endpoint}, resolver=resolver)) as sender:
            sender.offer(attempt(1))
            assert gather(sender, 1)[0].status == "done"
        assert receiver.received[0].headers["host"] == f"hooks.example.com:{receiver.port}"
        assert receiver.received[0].path == "/a?b=c"
    assert asked == ["hooks.example.com"]


def test_the_next_checked_address_is_tried_where_the_first_is_dead() -> None:
    """A name with two addresses of which one refuses connections is still reached."""
    with Receiver() as receiver:
        endpoint = config(f"http://hooks.example.com:{receiver.port}/")
        resolver = lambda host, port: ["::1", "127.0.0.1"]  # noqa: E731 - a fixture in a line
        with running(WebhookSender({"ops": endpoint}, resolver=resolver)) as sender:
            sender.offer(attempt(1))
            assert gather(sender, 1)[0].status == "done"


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY would carry the request around the check of the address."""
    with Receiver() as proxy, Receiver() as receiver:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert send_one(receiver.url).status == "done"
        assert proxy.received == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://localhost/", "http://2130706433/"])
def test_an_address_that_can_never_be_allowed_rejects_its_rows(url: str) -> None:
    """A private literal without allow_private: each row is rejected with the rule, and nothing is sent."""
    with running(WebhookSender({"ops": config(url, allow_private=False)})) as sender:
        assert sender.offer(attempt(1))
        outcome = gather(sender, 1)[0]
        assert outcome.status == "rejected"
        assert outcome.detail == sender.status()["ops"]["last_error"]


# --- offering -----------------------------------------------------------------------------------------------------


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
            for outcome in sender.outcomes():
                if outcome.status == "done":
                    waiting.pop(outcome.seq)
                else:
                    failures += 1
                    waiting[outcome.seq] = outcome.tries
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
        assert time.monotonic() - began < 1.0
        assert not sender.offer(attempt(2))
        release.set()
