"""Whatever the bytes are, a message ends as one row or one reject that says why."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from stream.codec import Decoder
from stream.events import RawMessage, Reason
from stream.schema import FeatureSchema, MonitorSchema
from tests.stream.messages import HASH_KEY, SCHEMAS, compact, decode, event, flat, label, message, only_reject, slow

PLAIN = compact(event())
NAN = float("nan")


def swap(old: bytes, new: bytes) -> bytes:
    """Change a piece of a valid prediction that must be in it."""
    assert old in PLAIN
    return PLAIN.replace(old, new, 1)


def packed(**changes: Any) -> bytes:
    """A prediction in MessagePack."""
    return msgspec.msgpack.encode(event(**changes))


TICK = {"type": "control", "monitor": "fraud", "time": 1772611920000, "action": "tick"}
CLOUD = {"specversion": "1.0", "type": "anchorwatch.label", "source": "s", "id": "1", "data": label()}
BINARY = (("ce_specversion", b"1.0"), ("ce_type", b"anchorwatch.label"), ("ce_source", b"s"), ("ce_id", b"1"))


def typed(value: bytes, content_type: str) -> RawMessage:
    """A message that announces its format."""
    return message(value, headers=(("content-type", content_type.encode()),))


TRAPS: list[tuple[str, Any, str]] = [
    ("tombstone", None, "empty"),
    ("empty", b"", "empty"),
    ("white space", b" \r\n\t ", "empty"),
    ("null", b"null", "empty"),
    ("msgpack nil", typed(b"\xc0", "application/msgpack"), "empty"),
    ("too large", b'{"a":"' + b"x" * 1_000_000 + b'"}', "too_large"),
    ("NaN", swap(b"12.5", b"NaN"), "not_finite"),
    ("Infinity", swap(b"12.5", b"Infinity"), "not_finite"),
    ("-Infinity", swap(b"12.5", b"-Infinity"), "not_finite"),
    ("1e999", swap(b"12.5", b"1e999"), "not_finite"),
    ("1e999 in an unknown feature", swap(b'"amount"', b'"x":1e999,"amount"'), "not_finite"),
    ("1e999 in an unknown field", swap(b'"id"', b'"x":[{"y":1e999}],"id"'), "not_finite"),
    ("integer of 400 digits", swap(b"12.5", b"9" * 400), "not_finite"),
    ("integer of 5000 digits", swap(b"12.5", b"9" * 5000), "not_finite"),
    ("integer of 600 digits where ignored", swap(b'"amount"', b'"x":' + b"9" * 600 + b',"amount"'), "not_finite"),
    ("same, where ignored", swap(b'"amount"', b'"x":' + b"9" * 5000 + b',"amount"'), "not_finite"),
    ("duplicate top key", swap(b'"id"', b'"id":"tx-980","id"'), "duplicate_key"),
    ("duplicate monitor", swap(b'"monitor"', b'"monitor":"price","monitor"'), "duplicate_key"),
    ("duplicate feature", swap(b'"amount"', b'"amount":1,"amount"'), "duplicate_key"),
    ("duplicate in place of one absent", swap(b'"shop"', b'"amount"').replace(b'"\xc3\xa91"', b"1"), "duplicate_key"),
    ("duplicate with space before the colon", swap(b'"amount"', b'"amount" :1,"amount"'), "duplicate_key"),
    ("duplicate beside a hidden colon", swap(b'"tx-981"', b'"a\\u003ab","id":"a\\u003Ab"'), "duplicate_key"),
    ("duplicate beside a text of colons", swap(b'"tx-981"', b'":::","id":"x"'), "duplicate_key"),
    ("duplicate, once escaped", swap(b'"id"', b'"i\\u0064":"a","id"'), "duplicate_key"),
    ("duplicate class", swap(b'"ok":0.97', b'"ok":0.5,"ok":0.97'), "duplicate_key"),
    ("duplicate slice", swap(b'"channel"', b'"channel":"a","channel"'), "duplicate_key"),
    ("duplicate deep in an unknown field", swap(b'"id"', b'"x":[{"a":1,"a":2}],"id"'), "duplicate_key"),
    ("duplicate in msgpack", b"\x8a" + packed()[1:] + b"\xa2id\xa1x", "duplicate_key"),
    ("duplicate class in msgpack", packed(scores={"a": 0, "?": 1}).replace(b"\xa1?", b"\xa1a"), "duplicate_key"),
    ("duplicate slice in msgpack", packed(segment={"a": 0, "?": 1}).replace(b"\xa1?", b"\xa1a"), "duplicate_key"),
    ("duplicate feature, msgpack", packed(features={"age": 1, "?": 1}).replace(b"\xa1?", b"\xa3age"), "duplicate_key"),
    ("lone high surrogate", swap(b"tx-981", b"\\ud800"), "bad_text"),
    ("lone low surrogate", swap(b"FR", b"\\uDC00x"), "bad_text"),
    ("lone surrogate in a key", swap(b'"id"', b'"\\ud800":1,"id"'), "bad_text"),
    ("U+0000 in an id", swap(b"tx-981", b"tx\\u0000"), "bad_text"),
    ("U+0000 in a category", swap(b'"\xc3\xa91"', b'"\\u0000"'), "bad_text"),
    ("U+0000 in an unknown feature", swap(b'"amount"', b'"x":"\\u0000","amount"'), "bad_text"),
    ("U+0000 in msgpack", packed(id="a\0b"), "bad_text"),
    ("U+0000 in a msgpack category", packed(features={"amount": 1, "shop": "\0"}), "bad_text"),
    ("U+0000 in a msgpack class", packed(scores={"\0": 1}), "bad_text"),
    ("U+0000 in a msgpack slice", packed(segment={"a": "\0"}), "bad_text"),
    ("invalid UTF-8", swap(b"tx-981", b"tx\xff"), "bad_text"),
    ("invalid UTF-8 where ignored", swap(b'"amount"', b'"x":"\xff","amount"'), "bad_text"),
    ("UTF-8 surrogate", swap(b"tx-981", b"\xed\xa0\x80"), "bad_text"),
    ("UTF-16", '{"type":1}'.encode("utf-16"), "bad_text"),
    ("msgpack, invalid UTF-8", b"\x81\xa4type\xa1\xff", "bad_text"),
    ("byte order mark", b"\xef\xbb\xbf" + PLAIN, "not_json"),
    ("depth 200k of arrays", b"[" * 200_000, "too_deep"),
    ("depth 200k of objects", b'{"a":' * 190_000, "too_deep"),
    ("depth 200k, closed", b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "too_deep"),
    ("depth in an unknown feature", swap(b'"amount"', b'"x":' + b"[" * 60 + b"]" * 60 + b',"amount"'), "too_deep"),
    ("depth of objects", swap(b'"age"', b'"x":' + b'{"a":' * 40 + b"1" + b"}" * 40 + b',"age"'), "too_deep"),
    ("depth in msgpack", b"\x81\xa1a" + b"\x91" * 200_000, "too_deep"),
    ("unclosed text of escaped quotes", b'{"a' + b'\\"' * 200_000 + b"[" * 40, "not_json"),
    ("cut off", PLAIN[:-5], "not_json"),
    ("two objects", PLAIN + PLAIN, "not_json"),
    ("single quotes", b"{'type':'label'}", "not_json"),
    ("trailing comma", swap(b'"web"}', b'"web",}'), "not_json"),
    ("text", b"hello", "not_json"),
    ("line break in a text", swap(b"tx-981", b"tx\n"), "not_json"),
    ("msgpack cut off", packed()[:-3], "not_msgpack"),
    ("msgpack with more behind", packed() + b"\x01", "not_msgpack"),
    ("msgpack never used byte", b"\x81\xa1a\xc1", "not_msgpack"),
    ("msgpack array of 2^32", b"\x81\xa1a\xdd\xff\xff\xff\xff", "not_msgpack"),
    ("msgpack NaN", packed(features={"amount": NAN}), "not_finite"),
    ("msgpack NaN without limits", packed(features={"amount": 1, "temperature": NAN}), "not_finite"),
    ("msgpack infinity", packed(features={"amount": 1, "temperature": float("-inf")}), "not_finite"),
    ("msgpack NaN beside a null", packed(features={"amount": 1, "age": None, "temperature": NAN}), "not_finite"),
    ("msgpack NaN in a score", packed(scores={"a": NAN}), "not_finite"),
    ("msgpack NaN class", packed(prediction=NAN), "not_finite"),
    ("msgpack binary", packed(id=b"abc"), "wrong_type"),
    ("msgpack integer key", b"\x81\x01\x02", "wrong_type"),
    ("msgpack timestamp", b"\x81\xa4time\xd6\xff\x00\x00\x00\x00", "wrong_type"),
    ("array", b"[1,2]", "not_an_object"),
    ("number", b"17", "not_an_object"),
    ("text value", b'"a"', "not_an_object"),
    ("msgpack array", typed(b"\x91\x01", "application/msgpack"), "not_an_object"),
    ("no type", event(type=...), "missing_field"),
    ("type null", event(type=None), "wrong_type"),
    ("type unknown", event(type="predicton"), "unknown_type"),
    ("no monitor", event(monitor=...), "missing_field"),
    ("monitor a number", event(monitor=5), "wrong_type"),
    ("monitor unknown", event(monitor="fruad"), "unknown_monitor"),
    ("monitor too long", event(monitor="m" * 513), "wrong_type"),
    ("other key", message(event(), key=b"price"), "misrouted"),
    ("key of another monitor, same width", message(event(monitor="price"), key=b"fraud"), "misrouted"),
    ("key empty", message(event(), key=b""), "misrouted"),
    ("key not UTF-8", message(event(), key=b"\xff"), "misrouted"),
    ("no id", event(id=...), "missing_field"),
    ("id empty", event(id=""), "missing_field"),
    ("id null", event(id=None), "wrong_type"),
    ("id boolean", event(id=True), "wrong_type"),
    ("id float", event(id=1.0), "wrong_type"),
    ("id too long", event(id="x" * 513), "wrong_type"),
    ("no time", event(time=...), "missing_field"),
    ("no features", event(features=...), "missing_field"),
    ("features null", event(features=None), "wrong_type"),
    ("features array", event(features=[]), "wrong_type"),
    ("required absent", event(features={}), "required_feature"),
    ("required null", event(features={"amount": None}), "required_feature"),
    ("number as text", event(features={"amount": "12.5"}), "wrong_type"),
    ("number as boolean", event(features={"amount": True}), "wrong_type"),
    ("number too small", event(features={"amount": -0.1}), "out_of_range"),
    ("boolean as number", event(features={"amount": 1, "new": 1}), "wrong_type"),
    ("category as boolean", event(features={"amount": 1, "shop": True}), "wrong_type"),
    ("category as float", event(features={"amount": 1, "shop": 1.0}), "wrong_type"),
    ("category too long", event(features={"amount": 1, "shop": "x" * 513}), "wrong_type"),
    ("category not allowed", event(features={"amount": 1, "country": "fr"}), "not_allowed"),
    ("prediction object", event(prediction={}), "wrong_type"),
    ("scores array", event(scores=[0.1]), "wrong_type"),
    ("score text", event(scores={"ok": "0.9"}), "wrong_type"),
    ("score boolean", event(scores={"ok": True}), "wrong_type"),
    ("score above 1", event(scores={"ok": 1.0000001}), "out_of_range"),
    ("score below 0", event(scores={"ok": -1e-9}), "out_of_range"),
    ("version float", event(model_version=1.5), "wrong_type"),
    ("segment text", event(segment="web"), "wrong_type"),
    ("slice null", event(segment={"a": None}), "wrong_type"),
    ("origin number", event(origin=1), "wrong_type"),
    ("label absent", label(label=...), "missing_field"),
    ("label null", label(label=None), "missing_field"),
    ("label object", label(label={"a": 1}), "wrong_type"),
    ("regression text", label(monitor="price", label="3"), "wrong_type"),
    ("regression boolean", label(monitor="price", label=True), "wrong_type"),
    ("regression huge", compact(label(monitor="price", label=0))[:-2] + b"9" * 400 + b"}", "not_finite"),
    ("regression scores", event(monitor="price", features={}, prediction=1, scores={"a": 1}), "wrong_type"),
    ("control unknown", TICK | {"action": "tock"}, "bad_control"),
    ("control no action", {**TICK, "action": None}, "bad_control"),
    ("control list action", TICK | {"action": []}, "bad_control"),
    ("control parameters", TICK | {"parameters": []}, "bad_control"),
    ("cloudevent version", CLOUD | {"specversion": "0.3"}, "bad_cloudevent"),
    ("cloudevent source", CLOUD | {"source": 5}, "bad_cloudevent"),
    ("cloudevent type", CLOUD | {"type": "com.example.label"}, "unknown_type"),
    ("cloudevent without data", {k: v for k, v in CLOUD.items() if k != "data"}, "bad_cloudevent"),
    ("cloudevent with both", CLOUD | {"data_base64": "e30="}, "bad_cloudevent"),
    ("cloudevent data a text", CLOUD | {"data": "{}"}, "bad_cloudevent"),
    ("cloudevent data of another type", CLOUD | {"data": event()}, "bad_cloudevent"),
    ("cloudevent base64", {**CLOUD, "data": None, "data_base64": "?"}, "bad_cloudevent"),
    ("event with an envelope's keys", event() | {"specversion": "1.0", "source": "s"}, "bad_cloudevent"),
    ("cloudevent announced only", typed(PLAIN, "application/cloudevents+json"), "bad_cloudevent"),
    ("cloudevent batch", typed(b"[]", "application/cloudevents-batch+json"), "not_an_object"),
    ("binary without id", message(label(), headers=BINARY[:3]), "bad_cloudevent"),
    ("binary not UTF-8", message(label(), headers=(*BINARY, ("ce_subject", b"\xff"))), "bad_cloudevent"),
    ("binary type", message(event(), headers=BINARY), "bad_cloudevent"),
    ("binary without value", message(None, headers=BINARY), "empty"),
    ("msgpack announced as JSON", typed(packed(), "application/json"), "bad_text"),
    ("JSON announced as msgpack", typed(PLAIN, "application/msgpack"), "not_msgpack"),
]  # fmt: skip


def raw(value: Any) -> RawMessage:
    """A trap as a message."""
    return value if isinstance(value, RawMessage) else message(value)


@pytest.mark.parametrize(("value", "reason"), [(raw(t[1]), t[2]) for t in TRAPS], ids=[t[0] for t in TRAPS])
def test_each_trap_is_refused_for_its_reason(value: RawMessage, reason: str) -> None:
    """A bad message becomes one reject with the right code and a sentence, with and without the fast path."""
    reject = only_reject(value)
    assert reject.reason == reason
    assert 10 < len(reject.detail) < 400
    assert slow().decode([value]).rejects == [reject]


def test_good_events_around_each_trap_are_kept() -> None:
    """Bad messages between good ones change nothing but the rejects."""
    values = [v for trap in TRAPS for v in (message(event()), raw(trap[1]), message(label()))]
    messages = [msgspec.structs.replace(value, offset=i) for i, value in enumerate(values)]
    decoded = Decoder(SCHEMAS, hash_key=HASH_KEY).decode(messages)
    assert [r.offset for r in decoded.rejects] == list(range(1, len(values), 3))
    good = list(flat(decode([event(), label()])).values())
    fates = flat(decoded)
    assert [fates[i] for i in range(len(values)) if i % 3 != 1] == good * len(TRAPS)


@pytest.mark.parametrize("number", [1e308, -1e308 + 1e300, 5e-324, 2**63, 2**64, 10**300])
def test_finite_numbers_pass_however_absurd(number: float) -> None:
    """Any finite number within the limits is a value."""
    assert flat(decode([event(features={"amount": 1, "temperature": number})]))[0][4][0][2] == float(number)


@pytest.mark.parametrize("text", ['\\"', "\\u00e9", "\\ud83d\\ude00", "\\/", "a:b:c", '\\"id\\":', "\\u003a", "\\n"])
def test_escapes_and_colons_in_texts_are_read(text: str) -> None:
    """What looks like structure inside a text is text."""
    given = swap(b"tx-981", text.encode())
    wanted = json.loads(f'"{text}"')
    assert flat(decode([given]))[0][3] == wanted
    assert flat(slow().decode([message(given)]))[0][3] == wanted


def test_the_nearest_monitor_is_suggested() -> None:
    """A misspelt monitor's reject names the right one; the counter's label stays among configured names."""
    reject = only_reject(event(monitor="fruad"))
    assert "did you mean 'fraud'" in reject.detail
    assert reject.monitor is None
    assert only_reject(event(id=None)).monitor == "fraud"


def test_an_event_in_another_partition_is_misrouted() -> None:
    """The partition of a monitor's key is checked when it is known."""
    decoder = Decoder(SCHEMAS, hash_key=HASH_KEY, partition_of={"fraud": 1, "price": 0}.__getitem__)
    decoded = decoder.decode([message(event(), 0), message(event(), 1, partition=1), message(event(), 2, key=b"fraud")])
    assert [r.reason for r in decoded.rejects] == [Reason.MISROUTED] * 2
    assert "belongs to partition 1" in decoded.rejects[0].detail
    assert decoded.batches["fraud"].offset.tolist() == [1]


def test_an_unexpected_failure_stays_with_its_message() -> None:
    """A fault inside decoding one message rejects that message alone, and says what it is without quoting it."""
    decoder = Decoder(SCHEMAS, hash_key=HASH_KEY, partition_of=lambda name: {"fraud": 0}[name])
    price = label(monitor="price", label=4.25)
    decoded = decoder.decode([message(label(), 0), message(price, 1), message(label(), 2)])
    assert decoded.batches["fraud"].offset.tolist() == [0, 2]
    (reject,) = decoded.rejects
    assert reject.offset == 1
    assert reject.reason == Reason.QUARANTINED
    assert "unexpected KeyError" in reject.detail
    assert "report" in reject.detail


def test_a_reject_never_shows_a_sensitive_value() -> None:
    """Neither detail nor payload holds a sensitive plain value, whatever is wrong with the event."""
    secrets = {"amount": 1, "mail": "jane@canary.example", "age": 77.125}
    canaries = ("canary", "77.125", "777.125")
    broken = [
        event(features=secrets, id=None),
        event(features=secrets | {"age": 777.125}),
        event(features=secrets | {"age": "77.125"}),
        event(features=secrets | {"mail": ["jane@canary.example"]}),
        event(features=secrets | {"mail": "jane@canary.example" * 40}),
        event(features=secrets | {"mail": "jane@canary.example\0"}),
        event(features=secrets, monitor="none"),
        compact(event(features=secrets))[:-1],
        compact(event(features=secrets)).replace(b"77.125", b"77.125,"),
        compact(event(features=secrets)).replace(b"jane", b"\xff"),
        message({**CLOUD, "data": event(features=secrets)}),
        message(event(features=secrets), key=b"price"),
        msgspec.msgpack.encode(event(features=secrets, time=None)),
    ]
    decoded = decode([msgspec.structs.replace(raw(value), offset=i) for i, value in enumerate(broken)])
    assert len(decoded.rejects) == len(broken)
    for reject in decoded.rejects:
        assert not any(canary in f"{reject.detail} {reject.payload}" for canary in canaries), reject


def test_a_sensitive_category_outside_the_allowed_is_not_shown() -> None:
    """An allow list on a sensitive feature refuses without quoting."""
    feature = FeatureSchema(type="categorical", sensitive=True, allowed=("canary-1",))
    schema = MonitorSchema(name="m", task="classification", features={"c": feature})
    decoder = Decoder({"m": schema}, hash_key=b"k")
    (reject,) = decoder.decode([message(event(monitor="m", features={"c": "canary-2"}))]).rejects
    assert reject.reason == Reason.NOT_ALLOWED
    assert "canary" not in f"{reject.detail} {reject.payload}"
