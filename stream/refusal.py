"""How decoding says no: one exception that carries a reason code and a sentence for a person.

It never leaves `stream`: the decoder turns each into a `Reject`. No value of a message stands in a detail unless it
went through `show`, which bounds it; values of sensitive features never do.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

from stream.events import Reason

__all__ = ["MAX_TEXT", "RefusalError", "nearest", "show", "type_name"]

MAX_TEXT = 512
"""Longest id, name, category or class, in characters: long enough for any key in use, short enough to be kept."""

_MAX_SHOWN = 80
_MAX_COMPARED = 1_000  # names that a misspelt one is compared with; more would let wrong names cost whole milliseconds


class RefusalError(Exception):
    """The event being decoded is refused; `monitor` is set once its monitor is known."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.monitor: str | None = None


def show(value: object) -> str:
    """Write a value for a detail: printable ASCII, at most 80 characters."""
    if isinstance(value, str | bytes):
        value = value[: _MAX_SHOWN + 1]
    elif isinstance(value, int) and value.bit_length() > 200:
        return f"an integer of {value.bit_length()} bits"
    elif isinstance(value, dict | list):
        return type_name(value)
    text = ascii(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "~"


def type_name(value: object) -> str:
    """Name a JSON type the way a producer would: text, number, boolean, null, object, array."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "object" if isinstance(value, dict) else "array"


def nearest(name: str, known: Collection[str]) -> str:
    """Suggest the known name that is most like `name`, as the end of a sentence; empty when none is near."""
    if len(known) > _MAX_COMPARED:
        return ""
    found = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {show(found[0])}?" if found else ""
