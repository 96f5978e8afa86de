"""The published JSON Schema is up to date and agrees with the decoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stream.contract import event_schema, write_event_schema
from stream.events import CONTROL_ACTIONS
from tests.stream.messages import decode, event, label

PUBLISHED = Path(__file__).parents[2] / "docs" / "event.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(event_schema())


def control(**changes: Any) -> dict[str, Any]:
    """A valid control; a change to `...` leaves the field out."""
    made = {"type": "control", "monitor": "fraud", "time": 1772611920000, "action": "tick", "parameters": {}} | changes
    return {key: value for key, value in made.items() if value is not ...}


VALID = [
    event(),
    event(id=5, time=1772611920000, model_version=3, segment={"a": 1, "b": False}, origin="backfill", extra=[1]),
    event(prediction=..., scores=..., model_version=..., segment=...),
    event(prediction=None, scores=None, model_version=None, segment=None, origin=None),
    event(features={"amount": 1, "country": None, "unknown": {"a": [1]}}),
    event(prediction=True),
    event(prediction=1.5),
    event(time="2026-03-01T10:00:00.123456789+05:30"),
    event(id="é" * 512, prediction="", scores={"": 1, "x": 0}),
    label(),
    label(label=False),
    label(label=2),
    label(label="", segment=5),
    *[control(action=action) for action in CONTROL_ACTIONS],
    control(parameters=..., id=3),
]

INVALID = [
    [],
    "prediction",
    {},
    event(type=...),
    event(type="predictions"),
    event(id=...),
    event(id=""),
    event(id=None),
    event(id=True),
    event(id=1.5),
    event(id="x" * 513),
    event(monitor=...),
    event(monitor=7),
    event(monitor=""),
    event(time=...),
    event(time=None),
    event(time=True),
    event(time=1772611920),
    event(time=1772611920000000),
    event(time=4102444800000),
    event(time="2026-03-01T10:00:00"),
    event(time="2026-03-01"),
    event(time="1772611920000"),
    event(features=...),
    event(features=[]),
    event(features=None),
    event(prediction=[]),
    event(prediction="x" * 513),
    event(scores=[]),
    event(scores={"a": "1"}),
    event(scores={"a": True}),
    event(scores={"a": 1.5}),
    event(scores={"a": -0.1}),
    event(scores={"x" * 513: 1}),
    event(model_version=1.5),
    event(model_version=True),
    event(segment="web"),
    event(segment={"a": None}),
    event(segment={"a": 1.5}),
    event(origin=1),
    label(id=...),
    label(label=...),
    label(label=None),
    label(label={}),
    label(label="x" * 513),
    control(action=...),
    control(action="tock"),
    control(action=None),
    control(parameters=[]),
    control(parameters=None),
    control(id=None),
    control(monitor=...),
    control(time="now"),
]


def test_the_published_schema_is_up_to_date(tmp_path: Path) -> None:
    """docs/event.schema.json is what `write_event_schema` writes; run it after a change of the contract."""
    write_event_schema(tmp_path / "schema.json")
    assert PUBLISHED.read_text("utf-8") == (tmp_path / "schema.json").read_text("utf-8")


def test_the_schema_is_a_valid_2020_12_schema() -> None:
    """The schema conforms to the draft that it names."""
    assert event_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(event_schema())


@pytest.mark.parametrize("made", VALID, ids=range(len(VALID)))
def test_schema_and_decoder_accept_the_same(made: Any) -> None:
    """What the schema allows is decoded."""
    VALIDATOR.validate(made)
    decoded = decode([made])
    assert decoded.rejects == []
    assert sum(len(batch.ids) for batch in decoded.batches.values()) == 1


@pytest.mark.parametrize("made", INVALID, ids=range(len(INVALID)))
def test_schema_and_decoder_refuse_the_same(made: Any) -> None:
    """What the schema forbids is refused."""
    assert not VALIDATOR.is_valid(made)
    assert len(decode([made]).rejects) == 1


def test_each_field_of_the_design_is_described() -> None:
    """The schema's fields are those of the wire format, so that none is published by accident."""
    fields = {name: set(d["properties"]) for name, d in event_schema()["$defs"].items()}
    assert fields == {
        "PredictionEvent": {
            "type", "id", "monitor", "time", "features", "prediction", "scores", "model_version", "segment", "origin",
        },
        "LabelEvent": {"type", "id", "monitor", "time", "label"},
        "ControlEvent": {"type", "id", "monitor", "time", "action", "parameters"},
    }  # fmt: skip
    json.dumps(event_schema())
