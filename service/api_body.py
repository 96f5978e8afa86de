"""Request bodies within bounds: how long, how slow, how deep, how many items; and cut into the items they hold.

A newcomer needs one fact: nothing here trusts `Content-Length`. Bytes are counted as they come, for this request and
for all requests together, so that memory stays flat whatever is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from fastapi import Request
from starlette.requests import ClientDisconnect

from service.api_problems import ProblemError

__all__ = ["JSON_TYPES", "NDJSON_TYPES", "BodyReader", "decode_body", "split_items"]

NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
JSON_TYPES = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json")
MAX_ITEMS = 20_000
"""Items a request may hold: their verdicts are about 150 bytes each, and the answer has to stay small as well."""

_CLOSE = {"Connection": "close"}
_T = TypeVar("_T")


class BodyReader:
    """Reads bodies of at most `max_bytes`, all that are under way together at most four times that.

    A body may take `grace_s` and one second more for each `min_bytes_per_s` that have come.
    """

    def __init__(self, max_bytes: int, *, grace_s: float = 10.0, min_bytes_per_s: int = 65_536) -> None:
        self._max_bytes = max_bytes
        self._grace_s = grace_s
        self._min_bytes_per_s = min_bytes_per_s
        self._held = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body, whose bytes count as held until the block ends.

        Raises
        ------
        ProblemError
            413 too large, 408 too slow, 429 too much under way, 415 compressed
        """
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise ProblemError(
                415,
                "compressed",
                detail=f"Content-Encoding {request.headers['content-encoding']!r} is not read.",
                what_to_do="Send the body as it is.",
                headers=_CLOSE,
            )
        declared = request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            raise self._too_large(f"{declared} bytes are announced")
        chunks: list[bytes] = []
        try:
            await self._collect(request, chunks)
            yield b"".join(chunks)
        finally:
            self._held -= sum(map(len, chunks))

    async def _collect(self, request: Request, chunks: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        began, received = loop.time(), 0
        try:
            async with asyncio.timeout(self._grace_s) as timer:
                async for chunk in request.stream():
                    received += len(chunk)
                    self._held += len(chunk)
                    chunks.append(chunk)
                    self._check(received)
                    timer.reschedule(began + self._grace_s + received / self._min_bytes_per_s)
        except TimeoutError as error:
            raise ProblemError(
                408,
                "body_too_slow",
                detail=f"{received} bytes came in {loop.time() - began:.0f} s and the body has not ended.",
                what_to_do="Send smaller requests, or the body faster.",
                headers=_CLOSE,
            ) from error
        except ClientDisconnect as error:
            todo = "Send the request again; ids make repeats harmless."
            raise ProblemError(400, "disconnected", detail="The body broke off.", what_to_do=todo) from error

    def _check(self, received: int) -> None:
        if received > self._max_bytes:
            raise self._too_large(f"{received} bytes have come")
        if self._held > 4 * self._max_bytes:
            raise ProblemError(
                429,
                "too_much_under_way",
                detail="The bodies of all requests under way hold more than this service keeps in memory.",
                what_to_do="Send fewer requests at once, and this one again after a moment.",
                headers=_CLOSE | {"Retry-After": "1"},
            )

    def _too_large(self, found: str) -> ProblemError:
        return ProblemError(
            413,
            "body_too_large",
            detail=f"{found}; http.max_body_bytes = {self._max_bytes}.",
            what_to_do="Cut the events into several requests.",
            headers=_CLOSE,
        )


def split_items(body: bytes, content_type: str) -> list[bytes]:
    """Cut a body into the bytes of its items: lines (NDJSON), the members of an array, or one object.

    Raises
    ------
    ProblemError
        415 for another content type, 400 for an array that is no JSON, 413 for too many items
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in NDJSON_TYPES:
        items = [line for line in body.split(b"\n") if line.strip()]
    elif kind in JSON_TYPES:
        items = _members(body) if body.lstrip()[:1] == b"[" else [body.strip()]
    else:
        raise ProblemError(
            415,
            "content_type",
            detail=f"Content-Type {content_type!r} is not read.",
            what_to_do=f"Send {NDJSON_TYPES[0]} (one event a line) or {JSON_TYPES[0]} (an array, or one event).",
        )
    if len(items) > MAX_ITEMS:
        todo = "Cut the events into several requests."
        detail = f"{len(items)} items; at most {MAX_ITEMS} a request."
        raise ProblemError(413, "too_many_items", detail=detail, what_to_do=todo)
    return items


def _members(body: bytes) -> list[bytes]:
    """The raw bytes of each member; the array as a whole must be JSON, so that no two members can blend."""
    try:
        members: Sequence[msgspec.Raw] = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _not_json(error) from error
    return [bytes(member) for member in members]


def decode_body(body: bytes, model: type[_T]) -> _T:
    """Read a small JSON body as `model`.

    Raises
    ------
    ProblemError
        400 if it is no JSON, 422 if it is not what `model` says
    """
    try:
        return msgspec.json.decode(body, type=model)
    except msgspec.ValidationError as error:
        todo = "Correct the body; /docs shows its shape."
        raise ProblemError(422, "bad_body", detail=f"The body: {error}.", what_to_do=todo) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _not_json(error) from error


def _not_json(error: Exception) -> ProblemError:
    why: Any = "it nests too deep" if isinstance(error, RecursionError) else error
    return ProblemError(
        400, "not_json", detail=f"The body is no JSON: {why}.", what_to_do="Send valid JSON (RFC 8259, UTF-8)."
    )
