"""Messages become columns: values, order, formats and cuts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest

from stream.codec import Decoder
from stream.columns import CONTROL, LABEL, PREDICTION
from stream.events import Control, RawMessage
from stream.schema import FeatureSchema, MonitorSchema
from tests.stream.messages import HASH_KEY, SCHEMAS, compact, decode, event, flat, label, message, slow

PACKED = (("content-type", b"application/x-msgpack"),)
STRUCTURED = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


def cloud(fields: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Wrap an event's fields as a structured CloudEvent."""
    made = {"specversion": "1.0", "type": "anchorwatch.prediction", "source": "/bank", "id": "e-1", "data": fields}
    return {key: value for key, value in (made | changes).items() if value is not ...}


def test_a_prediction_fills_every_column() -> None:
    """Each field of a prediction stands in its column, in schema order."""
    batch = decode([event(origin="backfill")]).batches["fraud"]
    assert batch.kind.tolist() == [PREDICTION]
    assert batch.time_ms.tolist() == [1772359200000]
    assert batch.ids == ["tx-981"]
    np.testing.assert_array_equal(batch.numeric, [[12.5, 2.0, math.nan]])
    mail = "h:" + hmac.new(HASH_KEY, b"mail\0a@b.example", hashlib.sha256).hexdigest()[:16]
    assert list(batch.categorical) == [("FR", mail, "true", "é1")]
    assert list(batch.prediction) == ["ok"]
    assert list(batch.scores) == [{"ok": 0.97, "fraud": 0.03}]
    assert list(batch.model_version) == ["7"]
    assert list(batch.segment) == [{"channel": "web"}]
    assert batch.backfill.tolist() == [True]
    assert batch.unknown.tolist() == [0]


def test_an_empty_block_decodes_to_nothing() -> None:
    """No messages, no batches, no rejects."""
    decoded = decode([])
    assert (decoded.batches, decoded.rejects, decoded.next_offset) == ({}, [], 0)


def test_kinds_keep_their_order_and_rows_point_into_their_columns() -> None:
    """Events of one monitor stay in order; `row` finds each one's payload among its kind."""
    control = {"type": "control", "monitor": "fraud", "time": 1772611920000, "action": "tick", "parameters": {"a": [1]}}
    decoded = decode([event(id="a"), label(id="b"), control, b"?", event(id="c"), label(id="d", label=True)])
    batch = decoded.batches["fraud"]
    assert batch.kind.tolist() == [PREDICTION, LABEL, CONTROL, PREDICTION, LABEL]
    assert batch.offset.tolist() == [0, 1, 2, 4, 5]
    assert batch.ids == ["a", "b", "", "c", "d"]
    assert batch.row.tolist() == [0, 0, 0, 1, 1]
    assert list(batch.label) == ["fraud", "true"]
    assert list(batch.control) == [Control("tick", {"a": [1]})]
    assert [r.offset for r in decoded.rejects] == [3]
    assert decoded.next_offset == 6


def test_minus_zero_becomes_zero() -> None:
    """One value has one bit pattern, whether JSON writes it -0, -0.0 or 0."""
    texts = (b"-0", b"-0.0", b"0", b"-0e5", b"-1e-400")
    rows = [compact(event()).replace(b"12.5", text) for text in texts]
    for decoder in (Decoder(SCHEMAS, hash_key=HASH_KEY), slow()):
        numeric = decoder.decode([message(row, i) for i, row in enumerate(rows)]).batches["fraud"].numeric
        assert not np.signbit(numeric[:, 0]).any()
        assert (numeric[:, 0] == 0).all()


def test_sensitive_numbers_become_their_bin() -> None:
    """A sensitive number is the count of edges at or below it; missing stays missing."""
    ages = (17.99, 18, 29, 30, 64, 65, -1e308, None)
    batch = decode([event(features={"amount": 1, "age": age}) for age in ages]).batches["fraud"]
    np.testing.assert_array_equal(batch.numeric[:, 1], [0, 1, 1, 2, 2, 3, 0, math.nan])


@pytest.mark.parametrize(
    "given", [(True, "true"), (1, "1"), (1.0, "1"), (-0.0, "0"), (0.5, "0.5"), ("x", "x"), (1e300, "1e+300")]
)
def test_classes_have_one_canonical_text(given: tuple[Any, str]) -> None:
    """Predictions and labels of the same class are the same text, whatever JSON type each came as."""
    value, text = given
    batch = decode([event(prediction=value), label(label=value)]).batches["fraud"]
    assert (list(batch.prediction), list(batch.label)) == ([text], [text])


def test_regression_gives_numbers() -> None:
    """A regression's predictions and labels are floats."""
    price = {"monitor": "price", "time": 1772611920000, "id": 5}
    batch = decode(
        [{**price, "type": "prediction", "features": {"x": 2**70}, "prediction": 3}, label(**price, label=4)]
    )
    assert flat(batch)[0][4][:3] == ((2.0**70,), (), 3.0)
    assert flat(batch)[1] == (LABEL, "price", 1772611920000, "5", 4.0)
    assert type(batch.batches["price"].label[0]) is float


def test_absent_prediction_and_null_fields_mean_none() -> None:
    """Left out, null and empty optional fields all mean that there is none."""
    bare = event(prediction=..., scores=..., model_version=..., segment=..., origin=...)
    null = event(prediction=None, scores=None, model_version=None, segment=None, origin=None)
    empty = event(prediction=None, scores={}, model_version="", segment={}, origin="live")
    fates = list(flat(decode([bare, null, empty])).values())
    assert fates[0] == fates[1] == fates[2]
    assert fates[0][4][2:] == (None, None, "", None, False, 0)


def test_integers_become_text_where_text_is_meant() -> None:
    """Integer ids, versions, slices and categories are their decimal text."""
    given = event(
        id=-7, model_version=12, segment={"a": 1, "b": True}, features={"amount": 1, "country": 33, "shop": 5411}
    )
    fate = flat(decode([given]))[0]
    assert fate[3] == "-7"
    assert fate[4][1] == ("33", None, None, "5411")
    assert fate[4][4:6] == ("12", {"a": "1", "b": "true"})


def test_unknown_features_are_counted_and_ignored() -> None:
    """A feature that the schema does not know changes only the count, whatever it holds."""
    features = event()["features"]
    extra = event(features=features | {"x": 1, "y": {"amount": [1, {"mail": None}]}, "z:z": "a:b"})
    for decoder in (Decoder(SCHEMAS, hash_key=HASH_KEY), slow()):
        fates = flat(decoder.decode([message(event(), 0), message(extra, 1)]))
        assert fates[1][4] == (*fates[0][4][:7], 3)


def test_unknown_fields_are_ignored() -> None:
    """Fields that the contract does not name do not matter, nor do a prediction's fields on a label."""
    fates = list(flat(decode([label(), label(scores=1, features=2, segment=3, origin=4, extra={"a": {}})])).values())
    assert fates[0] == fates[1]


FORMS = {
    "json with spaces": lambda e: message(json.dumps(e, indent=2).encode()),
    "json with escapes": lambda e: message(json.dumps(e).replace("f", "\\u0066").replace(":0", "\\u003a0").encode()),
    "json with a trace header": lambda e: message(e, headers=(("traceparent", b"\xff"),)),
    "json with escapes of letters": lambda e: message(json.dumps(e).replace("f", "\\u0066").encode()),
    "json by content type": lambda e: message(e, headers=(("Content-Type", b"application/json"),)),
    "msgpack with a key": lambda e: message(msgspec.msgpack.encode(e), key=b"fraud"),
    "json with a key": lambda e: message(e, key=b"fraud"),
    "msgpack": lambda e: message(msgspec.msgpack.encode(e)),
    "msgpack by content type": lambda e: message(msgspec.msgpack.encode(e), headers=PACKED),
    "msgpack, large headers": lambda e: message(b"\xdf" + len(e).to_bytes(4, "big") + msgspec.msgpack.encode(e)[1:]),
    "cloudevent by header": lambda e: message(cloud(e, type="anchorwatch." + e["type"]), headers=STRUCTURED),
    "cloudevent by shape": lambda e: message(cloud(e, type="anchorwatch." + e["type"])),
    "cloudevent without type": lambda e: message(
        cloud({k: v for k, v in e.items() if k != "type"}, type="anchorwatch." + e["type"])
    ),
    "cloudevent from attributes": lambda e: message(
        cloud(
            {k: v for k, v in e.items() if k not in ("type", "id", "time", "monitor")},
            type="anchorwatch." + e["type"], id=e["id"], time=e["time"], subject=e["monitor"],
        )
    ),
    "cloudevent in base64": lambda e: message(
        cloud(e, type="anchorwatch." + e["type"], data=..., data_base64=base64.b64encode(compact(e)).decode())
    ),
    "cloudevent in base64, msgpack": lambda e: message(
        cloud(
            e, type="anchorwatch." + e["type"], data=..., datacontenttype="application/msgpack",
            data_base64=base64.b64encode(msgspec.msgpack.encode(e)).decode(),
        )
    ),
    "cloudevent binary": lambda e: message(
        {k: v for k, v in e.items() if k not in ("type", "id", "time", "monitor")},
        headers=(
            ("ce_specversion", b"1.0"), ("ce_type", f"anchorwatch.{e['type']}".encode()), ("ce_source", b"/bank"),
            ("ce_id", e["id"].encode()), ("ce_time", e["time"].encode()), ("ce_subject", e["monitor"].encode()),
            ("content-type", b"application/json; charset=utf-8"),
        ),
    ),
    "cloudevent binary, msgpack": lambda e: message(
        msgspec.msgpack.encode(e),
        headers=(
            ("ce_specversion", b"1.0"), ("ce_type", f"anchorwatch.{e['type']}".encode()), ("ce_source", b"/bank"),
            ("ce_id", b"other"), ("content-type", b"application/msgpack"),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize(
    "given",
    [
        event(),
        event(id="a:b", features={"amount": 1, "shop": "a:b"}),
        label(time="2026-03-04T08:12:00Z"),
        label(id=":", time="2026-03-04T08:12:00Z"),
    ],
    ids=["prediction", "prediction with colons", "label", "label with colons"],
)
def test_every_form_of_an_event_decodes_to_the_same(form: Any, given: dict[str, Any]) -> None:
    """JSON, MessagePack and CloudEvents of one event give the same row."""
    plain = flat(decode([given]))
    assert flat(decode([form(given)])) == plain
    assert flat(slow().decode([form(given)])) == plain


COMMON = [
    n for n in FORMS if not n.startswith("cloudevent") and n not in ("json with escapes", "msgpack, large headers")
]


@pytest.mark.parametrize("form", [FORMS[name] for name in COMMON], ids=COMMON)
@pytest.mark.parametrize(
    "given", [event(), event(features={"amount": 1, "age": None}), label()], ids=["full", "gaps", "label"]
)
def test_common_events_take_the_fast_path(form: Any, given: dict[str, Any]) -> None:
    """The speed that is promised is had: the fast path is sure of common events, with missing features too."""
    assert Decoder(SCHEMAS, hash_key=HASH_KEY)._fast_event(form(given)) is not None


def test_json_with_unknown_features_takes_the_fast_path() -> None:
    """A producer may send more than is watched without paying for the slow path."""
    given = event(features={"amount": 1, "x": 1, "y": {"z": [":"]}}, other={"a": None})
    assert Decoder(SCHEMAS, hash_key=HASH_KEY)._fast_event(message(given)) is not None


def test_a_decoder_takes_schemas_without_features() -> None:
    """A monitor that watches only predictions and labels has rows of no width."""
    decoder = Decoder({"m": MonitorSchema(name="m", task="classification", features={})})
    batch = decoder.decode([message(event(monitor="m", features={}))]).batches["m"]
    assert batch.numeric.shape == (1, 0)
    assert list(batch.categorical) == [()]


def test_feature_names_may_be_any_text() -> None:
    """Names with quotes, colons or control characters decode like any other."""
    names = ['a"b', "a:b", "a\\b", "\n", "é", "", "type", "class", "f0", "f1"]
    schema = MonitorSchema(name="m", task="classification", features={n: FeatureSchema(type="numeric") for n in names})
    values = {name: float(i) for i, name in enumerate(names)}
    batch = Decoder({"m": schema}).decode([message(event(monitor="m", features=values))]).batches["m"]
    assert batch.numeric.tolist() == [list(values.values())]


def test_more_categories_than_are_remembered_decode_alike() -> None:
    """The memory of converted categories is bounded and changes no result."""
    rows = [event(id=i, features={"amount": 1, "shop": f"s{i % 5000}"}) for i in range(6000)]
    decoder = Decoder(SCHEMAS, hash_key=HASH_KEY)
    batch = decoder.decode([message(row, i) for i, row in enumerate(rows)]).batches["fraud"]
    assert [texts[3] for texts in batch.categorical] == [f"s{i % 5000}" for i in range(6000)]
    assert all(len(column) < 5000 for column in decoder._rules["fraud"].categories)


def test_messages_are_not_changed() -> None:
    """Decoding reads its input and leaves it as it was."""
    value = compact(event())
    messages = (RawMessage("events", 0, 3, bytes(bytearray(value))),)
    Decoder(SCHEMAS, hash_key=HASH_KEY).decode(messages)
    assert messages == (RawMessage("events", 0, 3, value),)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_bytes": 0}, ["max_bytes = 0"]),
        ({"hash_key": b""}, ["hash_key is empty", "mail", "pipeline.hash_key"]),
    ],
)
def test_wrong_construction_names_the_parameter(options: dict[str, Any], words: list[str]) -> None:
    """A decoder that cannot keep its promise is not built."""
    with pytest.raises(ValueError, match=".*".join(words)):
        Decoder(SCHEMAS, **({"hash_key": HASH_KEY} | options))


def test_a_schema_that_cannot_be_applied_is_refused_at_construction() -> None:
    """A time zone that does not exist, or a sensitive number without edges, names itself."""
    away = MonitorSchema(name="m", task="regression", features={}, timezone="Europe/Pariss")
    with pytest.raises(ValueError, match="timezone = 'Europe/Pariss'"):
        Decoder({"m": away})
    for bins in (None, (), (3.0, 1.0)):
        feature = FeatureSchema(type="numeric", sensitive=True, bins=bins)
        with pytest.raises(ValueError, match=r"features\.age\.bins"):
            Decoder({"m": MonitorSchema(name="m", task="regression", features={"age": feature})})
