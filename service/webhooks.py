"""Alerts as signed webhooks (Standard Webhooks 1.0): one thread an endpoint, outcomes for the worker to write down.

A newcomer needs one fact: the sender owns no truth. The outbox in the store does: the worker offers what is due and
writes what `outcomes` says; after a crash it offers the same rows with the same ids again.

What an answer means:

==================  ============================================================================================
2xx                 `done`
410 Gone            `disabled`: nothing more goes to this endpoint until the service is started anew
other, or none      `retry`: after 5 s, doubled by each try up to 12 h, of which a random half to whole; never given
                    up (the cap of the outbox bounds what waits). `Retry-After` in seconds or as a date replaces the
                    doubled time, within 5 s to 24 h. Redirects (3xx) are not followed.
refused address     `rejected` where the configured address itself can never be allowed; `retry` where its name now
                    leads to a refused address, because names are mended more often than attacked
==================  ============================================================================================

`webhook-id` and the body stay the same on every try; `webhook-timestamp` is that of the try.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpcore

from service.config import WebhookConfig, parse_duration_ms
from service.webhook_address import AddressRefusedError, Resolver, parse_receiver
from service.webhook_connection import WebhookConnection

__all__ = ["Attempt", "Outcome", "WebhookSender", "back_off_ms", "retry_after_ms", "sign"]

_FIRST_DELAY_MS = 5_000
_LONGEST_DELAY_MS = 12 * 3_600_000
_LONGEST_RETRY_AFTER_MS = 24 * 3_600_000
# Enough that a recovered receiver is never waited for, small enough that the worker's offers stay cheap.
_QUEUE_N = 256
_RECENT_N = 200

Status = Literal["done", "retry", "disabled", "rejected"]
_Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One outbox row to be sent now; `tries` counts the tries before this one."""

    seq: int
    endpoint: str
    id: str
    body: bytes
    tries: int
    partition: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt; `tries` counts this one, `due_ms` is when to try again (0 unless `retry`)."""

    seq: int
    status: Status
    tries: int
    due_ms: int
    detail: str
    endpoint: str
    id: str = ""
    partition: int = 0


def sign(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the `webhook-signature` header: one `v1,…` for each of the secrets that stand in `secret`.

    Several secrets, separated by blanks, are a rotation: a receiver that knows any of them verifies.

    Raises
    ------
    ValueError
        a secret is not base64 (its text is not shown).
    """
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in _keys(secret)
    )


def _keys(secret: str) -> list[bytes]:
    keys = []
    for place, part in enumerate(secret.split(), start=1):
        text = part.removeprefix("whsec_").rstrip("=")
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"secret {place} is not base64 after whsec_ (value not shown)") from error
        if not key:
            raise ValueError(f"secret {place} is empty: write whsec_ and 24 to 64 bytes in base64")
        keys.append(key)
    if not keys:
        raise ValueError("no secret is given: write whsec_ and 24 to 64 bytes in base64")
    return keys


def back_off_ms(tries: int, generator: random.Random) -> int:
    """Milliseconds to wait after the `tries`-th failed try (1 or more): half to all of 5 s · 2^(tries-1), ≤ 12 h."""
    whole = min(_FIRST_DELAY_MS << min(tries - 1, 30), _LONGEST_DELAY_MS)
    return round(whole * generator.uniform(0.5, 1.0))


def retry_after_ms(header: str | None, now_ms: int) -> int | None:
    """Read a Retry-After header, in seconds or as an HTTP date; None where it says nothing that can be read."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        wait_ms = int(text[:9]) * 1_000
    else:
        try:
            wait_ms = round(parsedate_to_datetime(text).timestamp() * 1_000) - now_ms
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(wait_ms, _FIRST_DELAY_MS), _LONGEST_RETRY_AFTER_MS)


class WebhookSender:
    """Sends to all endpoints; every endpoint has a thread, so that a dead one slows nobody.

    Parameters
    ----------
    endpoints : name -> its configuration
    clock_ms : wall clock in milliseconds
    seed : of the jitter
    resolver : (host, port) -> addresses; the system's by default
    """

    def __init__(
        self,
        endpoints: Mapping[str, WebhookConfig],
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        seed: int | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._endpoints = {
            name: _Endpoint(name, config, clock_ms, random.Random(None if seed is None else f"{seed}:{name}"), resolver)
            for name, config in endpoints.items()
        }

    def start(self) -> None:
        """Start one daemon thread an endpoint."""
        for endpoint in self._endpoints.values():
            endpoint.thread.start()

    def stop(self, timeout_s: float) -> None:
        """Let tries under way end, at most `timeout_s` for all together; what waits stays in the outbox."""
        deadline = time.monotonic() + timeout_s
        for endpoint in self._endpoints.values():
            endpoint.stop()
        for endpoint in self._endpoints.values():
            if endpoint.thread.is_alive():
                endpoint.thread.join(max(0.0, deadline - time.monotonic()))

    def offer(self, attempt: Attempt) -> bool:
        """Take `attempt` for sending, without blocking; False: not now (under way, queue full, endpoint disabled)."""
        endpoint = self._endpoints.get(attempt.endpoint)
        return endpoint is not None and endpoint.offer(attempt)

    def outcomes(self) -> list[Outcome]:
        """Return what has come of attempts since the last call; until then a row counts as under way."""
        return [outcome for endpoint in self._endpoints.values() for outcome in endpoint.drain()]

    def recovered(self) -> set[str]:
        """Endpoints that took a message after a failure since the last call: rows that wait may be sent at once."""
        return {name for name, endpoint in self._endpoints.items() if endpoint.take_recovered()}

    def recent(self) -> list[dict[str, Any]]:
        """The newest state of the last messages of all endpoints, newest first: id, endpoint, destination, status,
        tries, detail, time_ms, due_ms; of the last 200 tries an endpoint, since the start."""
        found = [(name, *one) for name, endpoint in self._endpoints.items() for one in endpoint.recent()]
        latest = {(name, outcome.partition, outcome.seq): (time_ms, outcome) for name, time_ms, outcome in found}
        newest = sorted(latest.items(), key=lambda one: one[1][0], reverse=True)
        return [_brief(name, time_ms, outcome) for (name, _, _), (time_ms, outcome) in newest]

    def status(self) -> dict[str, dict[str, Any]]:
        """Per endpoint: sent, failed (tries), retrying (messages), disabled, last_error, last_success_ms."""
        return {name: endpoint.status() for name, endpoint in self._endpoints.items()}


class _Endpoint:
    """One receiver: its queue, its thread, its counters. `lock` guards everything below it."""

    def __init__(
        self,
        name: str,
        config: WebhookConfig,
        clock_ms: Callable[[], int],
        generator: random.Random,
        resolver: Resolver | None,
    ) -> None:
        self.name = name
        self._stopping = False
        self.thread = threading.Thread(target=self._run, name=f"webhook-{name}", daemon=True)
        self._secret = config.secret
        self._clock_ms = clock_ms
        self._generator = generator
        self._queue: queue.Queue[Attempt | None] = queue.Queue(_QUEUE_N)
        self._refusal = ""
        self._connection: WebhookConnection | None = None
        try:
            _keys(config.secret)
            receiver = parse_receiver(config.url, allow_private=config.allow_private)
            timeout_s = parse_duration_ms(config.timeout) / 1_000
            self._connection = WebhookConnection(receiver, timeout_s=timeout_s, resolver=resolver)
        except ValueError as error:
            self._refusal = str(error)
        self._lock = threading.Lock()
        self._under_way: set[_Key] = set()
        self._outcomes: list[Outcome] = []
        self._retrying: set[_Key] = set()
        self._recent: deque[tuple[int, Outcome]] = deque(maxlen=_RECENT_N)
        self._recovered = False
        self._sent = 0
        self._failed = 0
        self._disabled = False
        self._last_error = self._refusal
        self._last_success_ms: int | None = None

    def offer(self, attempt: Attempt) -> bool:
        key = (attempt.partition, attempt.seq)
        with self._lock:
            if self._disabled or self._stopping or key in self._under_way:
                return False
            try:
                self._queue.put_nowait(attempt)
            except queue.Full:
                return False
            self._under_way.add(key)
            return True

    def stop(self) -> None:
        self._stopping = True
        with contextlib.suppress(queue.Full):  # full: the thread is awake anyway and looks before the next row
            self._queue.put_nowait(None)

    def drain(self) -> list[Outcome]:
        with self._lock:
            drained, self._outcomes = self._outcomes, []
            self._under_way.difference_update((outcome.partition, outcome.seq) for outcome in drained)
        return drained

    def take_recovered(self) -> bool:
        with self._lock:
            recovered, self._recovered = self._recovered, False
        return recovered

    def recent(self) -> list[tuple[int, Outcome]]:
        with self._lock:
            return list(self._recent)

    def status(self) -> dict[str, Any]:
        with self._lock:
            return {
                "sent": self._sent,
                "failed": self._failed,
                "retrying": len(self._retrying),
                "disabled": self._disabled,
                "last_error": self._last_error,
                "last_success_ms": self._last_success_ms,
            }

    def _run(self) -> None:
        while not self._stopping:
            attempt = self._queue.get()
            if attempt is not None:
                self._note(attempt, self._send(attempt))

    def _send(self, attempt: Attempt) -> Outcome:
        tries = attempt.tries + 1
        if self._disabled:
            return _outcome(attempt, "disabled", tries, detail="the endpoint answered 410 Gone")
        if self._connection is None:
            return _outcome(attempt, "rejected", tries, detail=self._refusal)
        try:
            status, retry_after = self._connection.post(self._headers(attempt), attempt.body)
        except AddressRefusedError as error:
            return self._again(attempt, tries, str(error))
        except (OSError, ValueError, httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            return self._again(attempt, tries, _why(error))
        if 200 <= status < 300:
            return _outcome(attempt, "done", tries, detail=f"HTTP {status}")
        if status == 410:
            return _outcome(attempt, "disabled", tries, detail="HTTP 410 Gone: the receiver wants no more")
        hint = " (redirects are not followed: configure the final address)" if 300 <= status < 400 else ""
        return self._again(attempt, tries, f"HTTP {status}{hint}", retry_after)

    def _headers(self, attempt: Attempt) -> dict[str, str]:
        timestamp_s = self._clock_ms() // 1_000
        return {
            "content-type": "application/json",
            "user-agent": "Anchorwatch",
            "webhook-id": attempt.id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": sign(self._secret, attempt.id, timestamp_s, attempt.body),
        }

    def _again(self, attempt: Attempt, tries: int, detail: str, retry_after: str | None = None) -> Outcome:
        now_ms = self._clock_ms()
        wait_ms = retry_after_ms(retry_after, now_ms)
        if wait_ms is None:
            wait_ms = back_off_ms(tries, self._generator)
        return _outcome(attempt, "retry", tries, detail=detail, due_ms=now_ms + wait_ms)

    def _note(self, attempt: Attempt, outcome: Outcome) -> None:
        key = (attempt.partition, attempt.seq)
        now_ms = self._clock_ms()
        with self._lock:
            self._outcomes.append(outcome)
            self._recent.append((now_ms, outcome))
            self._retrying.discard(key)
            if outcome.status == "done":
                self._sent += 1
                self._recovered = self._recovered or self._last_error != ""
                self._last_error = ""
                self._last_success_ms = now_ms
                return
            self._failed += 1
            self._last_error = outcome.detail
            self._disabled = self._disabled or outcome.status == "disabled"
            if outcome.status == "retry":
                self._retrying.add(key)


def _outcome(attempt: Attempt, status: Status, tries: int, *, detail: str, due_ms: int = 0) -> Outcome:
    return Outcome(
        seq=attempt.seq,
        status=status,
        tries=tries,
        due_ms=due_ms,
        detail=detail,
        endpoint=attempt.endpoint,
        id=attempt.id,
        partition=attempt.partition,
    )


def _brief(endpoint: str, time_ms: int, outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.id,
        "endpoint": endpoint,
        "destination": f"webhook:{endpoint}",
        "status": outcome.status,
        "tries": outcome.tries,
        "detail": outcome.detail,
        "time_ms": time_ms,
        "due_ms": outcome.due_ms,
    }


def _why(error: Exception) -> str:
    """A sentence that holds no part of the address, whose path or query may be a secret."""
    kind = {
        httpcore.ConnectTimeout: "no connection before the timeout",
        httpcore.ReadTimeout: "no answer before the timeout",
        httpcore.WriteTimeout: "the receiver did not take the body before the timeout",
        httpcore.ConnectError: "no connection",
        httpcore.RemoteProtocolError: "the answer was no HTTP",
    }.get(type(error), type(error).__name__)
    return f"{kind}: {error}" if isinstance(error, OSError | httpcore.ConnectError) else kind
