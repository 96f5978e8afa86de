"""CloudEvents 1.0 around an event, structured and binary mode, unwrapped to the plain event.

The mapping: `type` is `anchorwatch.prediction`, `anchorwatch.label` or `anchorwatch.control`; `data` holds the event's
fields; where `data` leaves them out, `subject` gives `monitor`, `id` gives `id` and `time` gives `time`. So a label
repeats in `data.id` the id that it answers, unless the CloudEvent's own id is that id.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec

from stream.events import Reason
from stream.refusal import RefusalError, nearest, show, type_name
from stream.wire import parse_json, parse_msgpack

__all__ = ["TYPE_PREFIX", "Transfer", "from_binary", "from_structured", "is_structured", "transfer_of"]

TYPE_PREFIX = "anchorwatch."
_KINDS = ("anchorwatch.control", "anchorwatch.label", "anchorwatch.prediction")
_CONTEXT = ("id", "source", "specversion", "type")
_DEFAULTS = (("monitor", "subject"), ("id", "id"), ("time", "time"))


class Transfer(msgspec.Struct, frozen=True):
    """What the headers say: `content_type` without parameters, and the attributes of binary mode (None: not it)."""

    content_type: str = ""
    attributes: dict[str, Any] | None = None

    @property
    def is_msgpack(self) -> bool:
        """Whether the body is announced as MessagePack."""
        return self.content_type in ("application/msgpack", "application/x-msgpack")

    @property
    def is_json(self) -> bool:
        """Whether the body is announced as JSON."""
        return self.content_type.endswith(("/json", "+json"))

    @property
    def is_structured(self) -> bool:
        """Whether the body is announced as a whole CloudEvent."""
        return self.content_type.startswith("application/cloudevents")


def transfer_of(headers: Sequence[tuple[str, bytes]]) -> Transfer:
    """Read `content-type` and the `ce_` headers; other headers are ignored."""
    content_type = ""
    attributes: dict[str, Any] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered == "content-type":
            content_type = (value or b"").decode("latin-1").split(";")[0].strip().lower()
        elif lowered.startswith("ce_"):
            attributes[lowered[3:]] = _header_text(lowered, value)
    return Transfer(content_type, attributes or None)


def _header_text(name: str, value: bytes | None) -> str:
    try:
        return (value or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusalError(Reason.BAD_CLOUDEVENT, f"the header {show(name)} is not UTF-8") from error


def is_structured(parsed: dict[str, Any]) -> bool:
    """Whether an object is a CloudEvent by its required attributes."""
    return all(name in parsed for name in _CONTEXT)


def from_binary(attributes: dict[str, Any], body: Any) -> dict[str, Any]:
    """Unwrap binary mode: attributes from headers, `body` already parsed."""
    return _merge(attributes, body)


def from_structured(parsed: dict[str, Any]) -> dict[str, Any]:
    """Unwrap structured mode; `data_base64` holds JSON, or MessagePack if `datacontenttype` says so."""
    if "data" in parsed and parsed.get("data_base64") is not None:
        raise RefusalError(Reason.BAD_CLOUDEVENT, "data and data_base64 are both there; keep one")
    if "data" in parsed:
        return _merge(parsed, parsed["data"])
    if "data_base64" not in parsed:
        raise RefusalError(Reason.BAD_CLOUDEVENT, "data is missing; it holds the event's fields")
    try:
        body = base64.b64decode(parsed["data_base64"], validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise RefusalError(Reason.BAD_CLOUDEVENT, "data_base64 is not base64") from error
    content_type = parsed.get("datacontenttype")
    is_msgpack = isinstance(content_type, str) and Transfer(content_type.split(";")[0].strip().lower()).is_msgpack
    return _merge(parsed, parse_msgpack(body) if is_msgpack else parse_json(body))


def _merge(attributes: dict[str, Any], data: Any) -> dict[str, Any]:
    for name in _CONTEXT:
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            raise RefusalError(Reason.BAD_CLOUDEVENT, f"{name} is missing or no text; CloudEvents requires it")
    if attributes["specversion"] != "1.0":
        found = show(attributes["specversion"])
        raise RefusalError(Reason.BAD_CLOUDEVENT, f"specversion = {found}; write 1.0")
    kind = attributes["type"]
    if kind not in _KINDS:
        detail = f"type = {show(kind)} is none of {', '.join(_KINDS)}{nearest(kind, _KINDS)}"
        raise RefusalError(Reason.UNKNOWN_TYPE, detail)
    if not isinstance(data, dict):
        raise RefusalError(Reason.BAD_CLOUDEVENT, f"data is {type_name(data)}; it must be an object")
    event = {**data, "type": kind.removeprefix(TYPE_PREFIX)}
    if data.get("type", event["type"]) != event["type"]:
        raise RefusalError(Reason.BAD_CLOUDEVENT, f"data.type = {show(data['type'])} contradicts type = {show(kind)}")
    for field, attribute in _DEFAULTS:
        if field not in event and attributes.get(attribute) is not None:
            event[field] = attributes[attribute]
    return event
