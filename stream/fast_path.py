"""The decoder's fast path: typed decoding of the common, valid event; None for whatever it is not sure of.

It may only accept what the slow path (`wire`, `validate`) accepts, with the same values. What typed decoding does not
see is a key that stands twice, so keys are counted: a message has at least as many key marks as distinct keys, and if
both numbers agree there is no other key, neither a repeated nor an unknown one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType
from msgspec.structs import astuple

from stream.columns import LABEL, PREDICTION
from stream.contract import Features, LabelEvent, Name, PredictionEvent, Probability, Text
from stream.event_time import common_utc_ms, event_time_ms
from stream.events import Control, Reason
from stream.refusal import MAX_TEXT, RefusalError
from stream.schema import FeatureSchema
from stream.validate import Rules, segment_of

__all__ = ["EventTuple", "FastPath", "PredictionTuple"]

PredictionTuple: TypeAlias = tuple[
    tuple[float | None, ...],
    tuple[str | None, ...],
    str | float | None,
    dict[str, float] | None,
    str,
    dict[str, str] | None,
    bool,
    int,
]
"""The fields of `validate.PredictionRow`, bare, because naming them costs a third of a microsecond."""

EventTuple: TypeAlias = tuple[int, str, int, str, PredictionTuple | str | float | Control]
"""The fields of `validate.Event`, bare."""

_ABSENT = math.nan
"""Default of every feature field. It is one object, so counting it among the values finds the absent ones."""

_ALWAYS = 5  # keys of every event here: type, id, monitor, time, and features or label
_BACKSLASH = ord("\\")  # looked for as a number, which is five times as fast as looking for a byte string
_MAX_WALK = 16  # nesting that the census follows; deeper is left to the slow path


class _PackedPrediction(msgspec.Struct, tag_field="type", tag="prediction", kw_only=True, gc=False):
    """`PredictionEvent` in MessagePack, with every map kept raw because its header says how many keys it holds."""

    id: Name | int
    monitor: Name
    time: str | int
    features: Features
    prediction: Text | bool | int | float | UnsetType | None = UNSET
    scores: Raw | UnsetType = UNSET
    model_version: Text | int | UnsetType | None = UNSET
    segment: Raw | UnsetType = UNSET
    origin: str | UnsetType | None = UNSET


class _Shape:
    """One monitor's features as a generated structure: numbers first, then categories, in schema order."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.name, self.zone, self.classification = rules.name, rules.zone, rules.classification
        self.numbers = len(rules.numbers)
        self.size = self.numbers + len(rules.categories)
        fields: list[tuple[str, Any, Any] | tuple[str, Any]] = []
        names: dict[str, str] = {}
        for name, feature in rules.numbers.items():
            fields.append(_field(len(fields), _number_type(feature), required=feature.required))
            names[fields[-1][0]] = name
        for column in rules.categories:
            kind: Any = bool if column.boolean else str | int
            fields.append(_field(len(fields), kind, required=column.required))
            names[fields[-1][0]] = column.name
        struct = msgspec.defstruct("Features", fields, rename=names, kw_only=True, gc=False)
        event = msgspec.defstruct(
            "Prediction", [("features", struct)], bases=(PredictionEvent,), kw_only=True, gc=False
        )
        self.event_from_json: Callable[[bytes], Any] = msgspec.json.Decoder(event | LabelEvent).decode
        self.from_json: Callable[[Raw], Any] = msgspec.json.Decoder(struct).decode
        self.from_msgpack: Callable[[Raw], Any] = msgspec.msgpack.Decoder(struct).decode

    def outcome(self, value: Any, field: str) -> str | float:
        """Convert a prediction or label that is there."""
        if type(value) is str and self.classification:
            return value
        return self.rules.outcome(value, field)

    def prediction(
        self, event: Any, row: tuple[Any, ...], *, scores: Any, segment: Any, unknown: int
    ) -> PredictionTuple:
        """Put the columns of a prediction together."""
        categorical: tuple[str | None, ...] = ()
        if self.size != self.numbers:
            texts = zip(self.rules.categories, row[self.numbers :], strict=True)
            categorical = tuple([column[None if v is _ABSENT else v] for column, v in texts])
            row = row[: self.numbers]
        if scores and not self.classification:
            raise RefusalError(Reason.WRONG_TYPE, "scores belong to classification")
        given = event.prediction
        if type(given) is not str or not self.classification:
            given = None if given is None or given is UNSET else self.rules.outcome(given, "prediction")
        version = event.model_version
        if type(version) is not str:
            version = "" if version is UNSET or version is None else _decimal(version)
        return (
            row,
            categorical,
            given,
            scores or None,
            version,
            segment_of(segment) if segment else None,
            event.origin == "backfill",
            unknown,
        )


def _field(index: int, kind: Any, *, required: bool) -> tuple[str, Any, Any] | tuple[str, Any]:
    return (f"f{index}", kind) if required else (f"f{index}", kind | None, _ABSENT)


def _number_type(feature: FeatureSchema) -> Any:
    if feature.min is None and feature.max is None:
        return float
    return Annotated[float, Meta(ge=feature.min, le=feature.max)]


class FastPath:
    """Typed decoders of all monitors.

    `json` and `msgpack` return the event, or None, or raise a msgspec error, `UnicodeDecodeError`, `RecursionError` or
    `RefusalError`; in all cases but the first the slow path decides.
    """

    def __init__(self, rules: Mapping[str, Rules]) -> None:
        self._shapes: dict[str, _Shape] = {}
        for name, one in rules.items():
            try:
                self._shapes[name] = _Shape(one)
            except (TypeError, ValueError):
                continue  # a feature name that cannot be a field's, or limits that contradict: slow path only
        self._by_key: dict[bytes | None, _Shape] = {shape.rules.key: shape for shape in self._shapes.values()}
        self._json: Callable[[bytes], Any] = msgspec.json.Decoder(PredictionEvent | LabelEvent).decode
        self._msgpack = msgspec.msgpack.Decoder(_PackedPrediction | LabelEvent).decode
        self._scores = msgspec.msgpack.Decoder(dict[Text, Probability] | None).decode
        self._segment = msgspec.msgpack.Decoder(dict[Text, Text | int | bool] | None).decode

    def json(self, value: bytes, key: bytes | None) -> EventTuple | None:
        """Decode one JSON event; a `key` that names its monitor spares reading the features twice."""
        shape = self._by_key.get(key)
        if shape is None:
            event = self._json(value)
            shape = self._shapes.get(event.monitor)
            if shape is None:
                return None
        else:
            event = shape.event_from_json(value)
            if event.monitor != shape.name:
                return None
        time = event.time
        time_ms = common_utc_ms(time) if type(time) is str else None
        if time_ms is None:
            time_ms = event_time_ms(time, shape.zone)
        event_id = event.id
        if type(event_id) is not str:
            event_id = _decimal(event_id)
        if type(event) is LabelEvent:
            if not _holds(_ALWAYS, event, value) and _census(value) is None:
                return None
            return LABEL, shape.name, time_ms, event_id, shape.outcome(event.label, "label")
        features = event.features
        row = astuple(shape.from_json(features) if type(features) is Raw else features)
        known = shape.size - row.count(_ABSENT)
        scores, segment = event.scores, event.segment
        expected = _ALWAYS + known + _optional_keys(event)
        if scores:
            expected += len(scores)
        if segment:
            expected += len(segment)
        unknown = 0
        if not _holds(expected, event, value):
            given = _census(value)
            if given is None:
                return None
            unknown = given - known
        payload = shape.prediction(event, row, scores=scores, segment=segment, unknown=unknown)
        return PREDICTION, shape.name, time_ms, event_id, payload

    def msgpack(self, value: bytes) -> EventTuple | None:
        """Decode one MessagePack event."""
        event = self._msgpack(value)
        shape = self._shapes.get(event.monitor)
        if shape is None or _has_nul(event.id):
            return None
        time = common_utc_ms(event.time) if type(event.time) is str else None
        time_ms = event_time_ms(event.time, shape.zone) if time is None else time
        event_id = event.id if type(event.id) is str else _decimal(event.id)
        if type(event) is LabelEvent:
            if _pairs(value) != _ALWAYS or _has_nul(event.label):
                return None
            return LABEL, shape.name, time_ms, event_id, shape.outcome(event.label, "label")
        row = astuple(shape.from_msgpack(event.features))
        if _pairs(value) != _ALWAYS + _optional_keys(event):
            return None
        if _pairs(event.features) != shape.size - row.count(_ABSENT) or not _are_finite(row[: shape.numbers]):
            return None
        scores: Any = UNSET if event.scores is UNSET else self._scores(event.scores)
        segment: Any = UNSET if event.segment is UNSET else self._segment(event.segment)
        if not _are_plain(event, scores, segment):
            return None
        payload = shape.prediction(event, row, scores=scores, segment=segment, unknown=0)
        return PREDICTION, shape.name, time_ms, event_id, payload


def _holds(keys: int, event: Any, value: bytes) -> bool:
    """Whether a JSON event surely holds so many keys and no more.

    Every key has a colon, so a message has at least as many colons as keys and as the texts hold that were decoded;
    if it has no more than these, there is no further key. An escape may hide a colon or U+0000, so it is never sure.
    """
    if _BACKSLASH in value:
        return False
    colons = value.count(b":") - keys
    time = event.time
    if type(time) is str:
        colons -= time.count(":")
    return colons == 0 or (type(event.id) is str and colons == event.id.count(":"))


def _optional_keys(event: Any) -> int:
    return (
        (event.prediction is not UNSET)
        + (event.scores is not UNSET)
        + (event.model_version is not UNSET)
        + (event.segment is not UNSET)
        + (event.origin is not UNSET)
    )


def _decimal(value: int) -> str:
    """Write an integer that stands for a text; too long a one is left to the slow path."""
    text = str(value)
    if len(text) > MAX_TEXT:
        raise RefusalError(Reason.WRONG_TYPE, "too long")
    return text


def _census(value: bytes) -> int | None:
    """Count the features of a JSON event that surely holds no key twice and no escaped U+0000; None if unsure.

    Escapes of the form \\u000x and \\u003x are left to the slow path: only these can hide U+0000 or a colon.
    """
    if b"\\u000" in value or b"\\u003" in value:
        return None
    parsed = msgspec.json.decode(value)
    if "specversion" in parsed or _marks(parsed, 0) != value.count(b":"):
        return None
    features = parsed.get("features")
    return len(features) if isinstance(features, dict) else 0


def _marks(value: Any, depth: int) -> float:
    """Count keys, and colons in keys and texts; not finite where the slow path must look."""
    kind = type(value)
    if kind is str:
        return value.count(":")  # type: ignore[no-any-return]
    if kind is dict:
        if depth > _MAX_WALK:
            return math.inf
        total: float = len(value)
        for key, item in value.items():
            total += key.count(":")
            if type(item) is not float:
                total += _marks(item, depth + 1)
        return total
    if kind is list:
        return math.inf if depth > _MAX_WALK else sum(_marks(item, depth + 1) for item in value)
    return math.inf if kind is int and value.bit_length() > 64 else 0


def _pairs(raw: Any) -> int:
    """Read from its header how many pairs a MessagePack map holds; 0 for nil."""
    data = memoryview(raw)
    mark = data[0]
    if 0x80 <= mark <= 0x8F:
        return mark & 0x0F
    return 0 if mark < 0xDE else int.from_bytes(data[1 : 3 if mark == 0xDE else 5], "big")


def _has_nul(value: Any) -> bool:
    return type(value) is str and "\0" in value


def _are_plain(event: Any, scores: Any, segment: Any) -> bool:
    """Whether the maps hold no key twice and no text holds U+0000."""
    if scores and (_pairs(event.scores) != len(scores) or any("\0" in name for name in scores)):
        return False
    if segment:
        if _pairs(event.segment) != len(segment):
            return False
        if any("\0" in name or _has_nul(text) for name, text in segment.items()):
            return False
    return not (_has_nul(event.prediction) or _has_nul(event.model_version) or _has_nul(event.origin))


def _are_finite(numbers: tuple[Any, ...]) -> bool:
    try:
        if math.isfinite(sum(numbers)):
            return True  # any NaN or infinity would have spread
    except TypeError:
        pass  # a null is among them
    return all(number is None or number is _ABSENT or math.isfinite(number) for number in numbers)
