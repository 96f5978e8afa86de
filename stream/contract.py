"""The wire contract: the three kinds of event as typed structures, and the JSON Schema that is published from them.

The fast path decodes into these very structures, so the schema cannot drift from what is accepted. What a schema cannot
say (duplicate keys, a monitor's own features, limits and task) is said in `wire` and `validate`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from stream.event_time import EARLIEST_MS, LATEST_MS, TIME_PATTERN
from stream.events import CONTROL_ACTIONS
from stream.refusal import MAX_TEXT

__all__ = ["ControlEvent", "LabelEvent", "PredictionEvent", "event_schema", "write_event_schema"]

Name = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Features = Annotated[
    Raw,
    Meta(
        description="Feature to value: number, text, boolean, or null for missing. Unknown features are ignored.",
        extra_json_schema={"type": "object"},
    ),
]
Parameters = Annotated[dict[str, Any], Meta(description="What the action needs.")]

_TIME = {
    "description": "RFC 3339 with an offset, or integer milliseconds since the epoch; from 2000 to 2099. Without an "
    "offset only for monitors with a configured timezone.",
    "anyOf": [
        {"type": "string", "format": "date-time", "pattern": f"^{TIME_PATTERN}$"},
        {"type": "integer", "minimum": EARLIEST_MS, "exclusiveMaximum": LATEST_MS},
    ],
}


class PredictionEvent(msgspec.Struct, tag_field="type", tag="prediction", kw_only=True, gc=False):
    """What a model saw and, unless Anchorwatch's champion is to predict, what it said."""

    id: Name | int
    monitor: Name
    time: str | int
    features: Features
    prediction: Text | bool | int | float | UnsetType | None = UNSET
    scores: dict[Text, Probability] | UnsetType | None = UNSET
    model_version: Text | int | UnsetType | None = UNSET
    segment: dict[Text, Text | int | bool] | UnsetType | None = UNSET
    origin: str | UnsetType | None = UNSET


class LabelEvent(msgspec.Struct, tag_field="type", tag="label", kw_only=True, gc=False):
    """The truth about an earlier prediction; a second label for an id is a correction."""

    id: Name | int
    monitor: Name
    time: str | int
    label: Text | bool | int | float


class ControlEvent(msgspec.Struct, tag_field="type", tag="control", kw_only=True):
    """A change of a monitor from outside, with a place in the partition's order."""

    monitor: Name
    time: str | int
    action: Annotated[str, Meta(extra_json_schema={"enum": list(CONTROL_ACTIONS)})]
    parameters: Parameters | UnsetType = UNSET
    id: Name | int | UnsetType = UNSET


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one event in plain JSON, which is also `data` of a CloudEvent."""
    kinds = (PredictionEvent, LabelEvent, ControlEvent)
    references, definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    for definition in definitions.values():
        definition["properties"]["time"] = _TIME
        definition["properties"]["type"] = {"const": definition["properties"]["type"]["enum"][0]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Anchorwatch event",
        "description": "One event on the wire: a prediction, a label or a control. Fields that are not named here are "
        "ignored. No object may hold a key twice; no text may hold U+0000; no number may exceed 64-bit floating point.",
        "oneOf": list(references),
        "$defs": definitions,
    }


def write_event_schema(path: Path) -> None:
    """Write the schema as it is published in `docs/event.schema.json`."""
    path.write_text(json.dumps(event_schema(), indent=2) + "\n", "utf-8")
