"""What tests of the webhook sender share: endpoints, rows, a running sender, a server that misbehaves."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.config import WebhookConfig
from service.webhooks import Attempt, Outcome, WebhookSender
from tests.service.receiver import wait_until

__all__ = ["BODY", "NEW", "OLD", "attempt", "config", "gather", "raw_server", "running", "send_one"]


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
