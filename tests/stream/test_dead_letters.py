"""A dead letter says where, why and what shape, and shows values only where raw bytes are configured."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.dead_letters import dead_letter_body, raw_payload, redact
from stream.events import Reason, Reject
from tests.stream.messages import compact, event, only_reject


def test_paths_and_types_are_kept() -> None:
    """The outline of JSON has its keys and the name of each value's type."""
    outline = json.loads(redact(compact(event(id=7, origin=None, extra=[1, "a", {}]))))
    assert outline["id"] == "number"
    assert outline["time"] == "text"
    assert outline["origin"] == "null"
    assert outline["features"]["new"] == "boolean"
    assert outline["scores"] == {"ok": "number", "fraud": "number"}
    assert outline["extra"] == ["number", "text", {}]


def test_messagepack_is_outlined_alike() -> None:
    """The outline does not depend on the format."""
    assert redact(msgspec.msgpack.encode(event())) == redact(compact(event()))


@pytest.mark.parametrize("value", [b"{", b"\xff\xfe", b"[" * 100_000, b"x" * 2_000_000, b"\x81", b"9" * 5000])
def test_what_cannot_be_read_is_only_measured(value: bytes) -> None:
    """Unreadable bytes give their number."""
    assert redact(value) == f"<{len(value)} bytes, not JSON>"


def test_an_outline_is_bounded() -> None:
    """Many keys, long keys, long arrays and depth make no long outline."""
    wide = {f"{i}" + "k" * 1000: list(range(100)) for i in range(500)}
    assert len(redact(compact(wide))) < 20_000
    assert "436 more" in redact(compact(wide))
    deep = b'{"a":' * 50 + b"1" + b"}" * 50
    assert redact(deep).count("a") < 20


scalars = st.none() | st.booleans() | st.integers(10**6) | st.floats(1e6) | st.text("xyz", min_size=9, max_size=20)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), scalars | st.lists(scalars, max_size=3), max_size=4))
def test_no_value_is_in_an_outline(made: dict[str, object]) -> None:
    """Only keys and type names are left of any object."""
    words = set(msgspec.json.decode(redact(msgspec.json.encode(made)))) if made else set()
    assert words == set(made)
    left = json.dumps(sorted(json.loads(redact(compact(made))).values(), key=str))
    for name in ("text", "number", "boolean", "null"):
        left = left.replace(name, "")
    assert set(left) <= set('", []')


def test_outlines_hold_no_character_that_a_database_refuses() -> None:
    """U+0000 and surrogates in keys are replaced."""
    outline = redact(b'{"\\u0000":1,"\\ud800":2}')
    assert json.loads(outline) == {"\ufffd": "number"}


def test_the_body_has_the_agreed_fields() -> None:
    """A dead letter is one JSON object with place, reason, sentence, monitor and payload."""
    reject = Reject("events", 3, 17, Reason.WRONG_TYPE, "id is null", "fraud", '{"id":"null"}')
    assert json.loads(dead_letter_body(reject)) == {
        "topic": "events",
        "partition": 3,
        "offset": 17,
        "reason": "wrong_type",
        "detail": "id is null",
        "monitor": "fraud",
        "payload": '{"id":"null"}',
    }


def test_raw_bytes_come_back_whole() -> None:
    """With raw dead letters the refused bytes stand in `raw`, byte for byte."""
    value = bytes(range(256))
    reject = only_reject(value, raw_dead_letters=True)
    body = json.loads(dead_letter_body(reject))
    assert base64.b64decode(body["raw"]) == value
    assert body["payload"] is None
    assert raw_payload(value) == reject.payload


def test_a_tombstone_has_no_payload() -> None:
    """A message without value has nothing to show, raw or not."""
    for raw in (True, False):
        assert json.loads(dead_letter_body(only_reject(None, raw_dead_letters=raw)))["payload"] is None
