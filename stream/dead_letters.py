"""What a refused message may show of itself, and the body of its dead letter.

By default only paths and types are kept, never a value; `dead_letters.raw = true` keeps the bytes as base64.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec

from stream.events import Reject
from stream.refusal import RefusalError, type_name
from stream.wire import is_msgpack_map, parse_msgpack

__all__ = ["RAW_PREFIX", "dead_letter_body", "raw_payload", "redact"]

RAW_PREFIX = "base64:"
"""Begins a `Reject.payload` that holds raw bytes; a redacted one begins with a bracket, a quote or `<`."""

_MAX_PARSED_BYTES = 1_000_000  # a message refused for its size is described, not parsed
_MAX_KEYS = 64
_MAX_ITEMS = 8
_MAX_DEPTH = 8
_MAX_KEY = 64


def redact(value: bytes) -> str:
    """Describe a message without any of its values: its structure with the name of each value's type.

    Of an object the first 64 keys are kept, of an array the first 8 items, of nesting 8 levels, of a key 64 characters.
    What is neither JSON nor MessagePack becomes `<N bytes, not JSON>`.
    """
    opaque = f"<{len(value)} bytes, not JSON>"
    if not value or len(value) > _MAX_PARSED_BYTES:
        return opaque if value else "<0 bytes>"
    try:
        parsed = parse_msgpack(value) if is_msgpack_map(value) else json.loads(value.decode("utf-8"))
    except (RefusalError, ValueError, RecursionError):
        return opaque
    return json.dumps(_outline(parsed, 0), separators=(",", ":"))


def _outline(value: Any, depth: int) -> Any:
    if not isinstance(value, dict | list) or depth == _MAX_DEPTH:
        return type_name(value)
    if isinstance(value, list):
        items = [_outline(item, depth + 1) for item in value[:_MAX_ITEMS]]
        return items if len(value) <= _MAX_ITEMS else [*items, f"{len(value) - _MAX_ITEMS} more"]
    outline = {_key(key): _outline(value[key], depth + 1) for key in list(value)[:_MAX_KEYS]}
    if len(value) > _MAX_KEYS:
        outline["..."] = f"{len(value) - _MAX_KEYS} more"
    return outline


def _key(key: str) -> str:
    kept = key if len(key) <= _MAX_KEY else key[: _MAX_KEY - 3] + "..."
    return "".join("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in kept)


def raw_payload(value: bytes) -> str:
    """Write the message's bytes as the payload of a `Reject`."""
    return RAW_PREFIX + base64.b64encode(value).decode("ascii")


def dead_letter_body(reject: Reject) -> bytes:
    """Write the dead letter of a reject: one JSON object.

    `payload` is the redacted text; where raw bytes are kept, `payload` is null and `raw` holds them as base64.
    """
    payload = reject.payload
    body: dict[str, Any] = {
        "topic": reject.topic,
        "partition": reject.partition,
        "offset": reject.offset,
        "reason": reject.reason.value,
        "detail": reject.detail,
        "monitor": reject.monitor,
        "payload": payload,
    }
    if payload is not None and payload.startswith(RAW_PREFIX):
        body |= {"payload": None, "raw": payload.removeprefix(RAW_PREFIX)}
    return msgspec.json.encode(body)
