"""The nouns on the wire: predictions, labels, controls, the raw messages that carry them, and rejects.

A newcomer needs one fact: nothing leaves this layer that is not finite, typed and allowed by the
monitor's schema; whatever is refused becomes a `Reject` with a reason code and a sentence for a person.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

__all__ = ["CONTROL_ACTIONS", "Control", "RawMessage", "Reason", "Reject"]


class Reason(StrEnum):
    """Why an event was refused. The code is the label of a counter, so the list is closed."""

    NOT_JSON = "not_json"
    NOT_MSGPACK = "not_msgpack"
    NOT_AN_OBJECT = "not_an_object"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    BAD_TEXT = "bad_text"
    DUPLICATE_KEY = "duplicate_key"
    NOT_FINITE = "not_finite"
    BAD_CLOUDEVENT = "bad_cloudevent"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_MONITOR = "unknown_monitor"
    MISROUTED = "misrouted"
    BAD_TIME = "bad_time"
    TIME_WITHOUT_OFFSET = "time_without_offset"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    REQUIRED_FEATURE = "required_feature"
    OUT_OF_RANGE = "out_of_range"
    NOT_ALLOWED = "not_allowed"
    BAD_CONTROL = "bad_control"
    DUPLICATE_ID = "duplicate_id"
    QUARANTINED = "quarantined"


CONTROL_ACTIONS = (
    "accept_reference",
    "configuration",
    "erase",
    "planned_change",
    "promote",
    "quarantine",
    "restore",
    "roll_back",
    "tick",
)


class RawMessage(msgspec.Struct, frozen=True, gc=False):
    """One message as a transport delivered it; `value` is untouched bytes."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Control:
    """A change of a fold from outside, with a place in the partition's order."""

    action: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reject:
    """One refused event: where it was, why, and its payload as far as it may be shown."""

    topic: str
    partition: int
    offset: int
    reason: Reason
    detail: str
    monitor: str | None = None
    payload: str | None = None
