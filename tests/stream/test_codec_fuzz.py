"""Properties of decoding over random bytes, broken events and random cuts."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.codec import Decoder
from stream.columns import Decoded
from tests.stream.messages import HASH_KEY, SCHEMAS, compact, event, flat, label, message, slow

FAST = Decoder(SCHEMAS, hash_key=HASH_KEY)
SLOW = slow()

quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

texts = st.text(max_size=8) | st.sampled_from(
    ["fraud", "price", "a:b", '":', "\\", "\0", "é", "ok", "1", "x" * 512, "x" * 513]
)
numbers = (
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([2**63, 10**400, 1e308, -0.0])
)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
names = st.sampled_from(["amount", "country", "age", "mail", "new", "temperature", "shop", "x", "other"])
times = st.sampled_from(
    ["2026-03-01T10:00:00Z", "2026-03-01T10:00:00.123456Z", "2026-03-01T10:00:00", "2026-03-01t10:00:60+01:00"]
)
fields = {
    "type": st.sampled_from(["prediction", "label", "control"]) | scalars,
    "id": st.integers() | texts | scalars,
    "monitor": st.sampled_from(["fraud", "price"]) | scalars,
    "time": times | st.integers(946684800000, 4102444799999) | scalars,
    "features": st.dictionaries(names, scalars, max_size=6) | values,
    "prediction": scalars,
    "scores": st.none() | st.dictionaries(texts, st.floats(0, 1) | scalars, max_size=2),
    "model_version": scalars,
    "segment": st.none() | st.dictionaries(texts, texts | scalars, max_size=2),
    "origin": st.sampled_from(["backfill", None, "live"]) | scalars,
    "label": scalars,
    "action": st.sampled_from(["tick", "erase", "nothing"]),
    "parameters": values,
    "other": values,
}


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """An event that is valid but for up to three drawn fields."""
    made: dict[str, Any] = draw(
        st.sampled_from([event(), label(), event(monitor="price", prediction=1, scores=..., features={"x": 1})])
    )
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True)):
        made[name] = draw(fields[name])
    return made


@st.composite
def wrecks(draw: st.DrawFn) -> bytes:
    """The bytes of an event with a few bytes changed, taken out, repeated or put in."""
    made = draw(events() | st.just(event()))
    data = bytearray(json.dumps(made).encode() if draw(st.booleans()) else _packed(made))
    for _ in range(draw(st.integers(0, 3))):
        at, to = draw(st.integers(0, len(data))), draw(st.integers(0, 12))
        piece = draw(
            st.binary(max_size=3)
            | st.sampled_from([b'"', b"\\", b":", b",", b"{", b"\xff", b"\0", b'"id":1,', b"1e999"])
        )
        data[at : at + to] = draw(st.sampled_from([piece, bytes(data[at : at + to]) * 2]))
    return bytes(data)


def _packed(value: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except OverflowError:  # MessagePack's integers end at 64 bits
        return msgspec.msgpack.encode(event())


def one_fate_each(decoded: Decoded, n: int) -> dict[int, tuple[Any, ...]]:
    """Check that n messages have one fate each and that nothing in a column is infinite."""
    fates = flat(decoded)
    assert sorted(fates) == list(range(n))
    for batch in decoded.batches.values():
        assert not any(math.isinf(v) for row in batch.numeric.tolist() for v in row)
    return fates


@quick
@given(st.lists(st.binary(max_size=60) | wrecks(), max_size=6))
def test_any_bytes_have_one_fate(blobs: list[bytes]) -> None:
    """Random and mutated bytes end as one row or one reject, never an exception, never a decoder's fault."""
    decoded = FAST.decode([message(blob, i) for i, blob in enumerate(blobs)])
    one_fate_each(decoded, len(blobs))
    assert not any(reject.reason == "quarantined" for reject in decoded.rejects), decoded.rejects


@settings(quick, max_examples=400)
@given(wrecks() | events().map(compact) | events().map(_packed))
def test_the_fast_path_agrees_with_the_slow_one(blob: bytes) -> None:
    """Whatever the fast path accepts, the strict slow path accepts with the same values, and the other way round."""
    assert flat(FAST.decode([message(blob)])) == flat(SLOW.decode([message(blob)]))


@quick
@given(events())
def test_json_and_msgpack_of_an_event_agree(made: dict[str, Any]) -> None:
    """An event has one meaning in both formats, refused or not."""
    try:
        packed = msgspec.msgpack.encode(made)
    except OverflowError:
        return
    (as_json,), (as_msgpack,) = (flat(FAST.decode([message(blob)])).values() for blob in (compact(made), packed))
    if isinstance(as_json[0], str):  # a reject, whose outline is left out: unreadable JSON may still have one
        as_json, as_msgpack = as_json[:3], as_msgpack[:3]
    assert as_json == as_msgpack


@quick
@given(values)
def test_any_json_value_has_one_fate(value: Any) -> None:
    """Any JSON value at the top, event or not, ends as one row or one reject."""
    one_fate_each(FAST.decode([message(json.dumps(value).encode())]), 1)


@quick
@given(st.lists(wrecks() | events().map(compact), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_cuts_do_not_matter(blobs: list[bytes], draw: random.Random) -> None:
    """Decoding in any cut gives the same rows and rejects, bit for bit."""
    messages = [message(blob, i) for i, blob in enumerate(blobs)]
    whole = FAST.decode(messages)
    fates: dict[int, tuple[Any, ...]] = {}
    numeric: dict[str, bytes] = {}
    at = 0
    while at < len(messages):
        size = draw.randint(1, len(messages))
        part = Decoder(SCHEMAS, hash_key=HASH_KEY).decode(messages[at : at + size])
        fates |= flat(part)
        for name, batch in part.batches.items():
            numeric[name] = numeric.get(name, b"") + batch.numeric.tobytes()
        at += size
    assert fates == one_fate_each(whole, len(blobs))
    assert numeric == {name: batch.numeric.tobytes() for name, batch in whole.batches.items()}


def test_a_thousand_cut_short_events_are_refused() -> None:
    """No prefix of an event is an event."""
    for blob in (compact(event()), json.dumps(event()).encode(), msgspec.msgpack.encode(event())):
        decoded = FAST.decode([message(blob[:i], i) for i in range(len(blob))])
        assert len(decoded.rejects) == len(blob)
