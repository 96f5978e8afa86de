"""A monitor's schema applied to one event: types, ranges, allowed values, required features, sane times.

`Rules` is compiled once a monitor. Its checks are the slow path's, which explains every refusal; the fast path calls
the same conversions for whatever its typed decoding leaves open, so both give the same values.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from stream.columns import CONTROL, LABEL, PREDICTION
from stream.event_time import event_time_ms
from stream.events import CONTROL_ACTIONS, Control, Reason
from stream.refusal import MAX_TEXT, RefusalError, nearest, show, type_name
from stream.schema import FeatureSchema, MonitorSchema

__all__ = ["KINDS", "CategoryColumn", "Event", "PredictionRow", "Rules", "identify", "segment_of"]

KINDS = {"prediction": PREDICTION, "label": LABEL, "control": CONTROL}

_MAX_REMEMBERED = 4_096  # converted categories kept per column; beyond it each value is converted anew


class PredictionRow(NamedTuple):
    """What `MonitorBatch` holds of one prediction; a None among `numeric` is missing, as NaN is."""

    numeric: tuple[float | None, ...]
    categorical: tuple[str | None, ...]
    prediction: str | float | None
    scores: dict[str, float] | None
    model_version: str
    segment: dict[str, str] | None
    backfill: bool
    unknown: int


class Event(NamedTuple):
    """One accepted event; `id` is "" for a control."""

    kind: int
    monitor: str
    time_ms: int
    id: str
    payload: PredictionRow | str | float | Control


def identify(event: Mapping[str, Any]) -> tuple[int, str]:
    """Return the kind and the monitor's name of a parsed event, whether or not such a monitor exists."""
    kind = _text_of(event, "type")
    if kind not in KINDS:
        detail = f"type = {show(kind)} is none of {', '.join(KINDS)}{nearest(kind, KINDS)}"
        raise RefusalError(Reason.UNKNOWN_TYPE, detail)
    return KINDS[kind], _text_of(event, "monitor")


def _text_of(event: Mapping[str, Any], field: str) -> str:
    """Return a required text of 1 to 512 characters."""
    if field not in event:
        raise RefusalError(Reason.MISSING_FIELD, f"{field} is missing")
    value = event[field]
    if not isinstance(value, str):
        raise RefusalError(Reason.WRONG_TYPE, f"{field} is {type_name(value)}; write text")
    if not value:
        raise RefusalError(Reason.MISSING_FIELD, f"{field} is empty")
    return _bounded(value, field)


def _bounded(text: str, field: str) -> str:
    """Return `text` if it has at most 512 characters."""
    if len(text) > MAX_TEXT:
        raise RefusalError(Reason.WRONG_TYPE, f"{field} has {len(text)} characters; at most {MAX_TEXT} are allowed")
    return text


def _decimal_text(value: Any, field: str) -> str:
    """Return a text as it is and an integer as its decimal text, at most 512 characters."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RefusalError(Reason.WRONG_TYPE, f"{field} is {type_name(value)}; write text or an integer")
    return _bounded(str(value), field)


class CategoryColumn(dict[Any, str | None]):
    """The texts of one categorical or boolean feature; a mapping, so that the fast path's look-up is one in C.

    Keys are values of the right type only: text and integers, or booleans. Plain values of a sensitive feature are
    not remembered. A category costs at most 512 characters, a column at most 4,096 of them.
    """

    def __init__(self, name: str, feature: FeatureSchema, hash_key: bytes) -> None:
        super().__init__({None: None})
        self.name = name
        self.boolean = feature.type == "boolean"
        self.required = feature.required
        self._allowed = None if feature.allowed is None else frozenset(feature.allowed)
        self._sensitive = feature.sensitive
        self._hash_key = hash_key
        if feature.sensitive and not hash_key:
            raise ValueError(f"hash_key is empty, but feature {name!r} is sensitive; set pipeline.hash_key to a secret")

    def __missing__(self, value: str | int | bool) -> str:
        text = str(value).lower() if self.boolean else str(value)
        field = f"features.{self.name}"
        _bounded(text, field)
        if "\0" in text:
            raise RefusalError(Reason.BAD_TEXT, f"{field} holds U+0000, which no text may")
        if self._allowed is not None and text not in self._allowed:
            shown = "the value (sensitive, not shown)" if self._sensitive else show(text)
            near = "" if self._sensitive else nearest(text, self._allowed)
            detail = f"{field}: {shown} is not among the {len(self._allowed)} allowed{near}"
            raise RefusalError(Reason.NOT_ALLOWED, detail)
        if self._sensitive:
            return self._hashed(text)
        if len(self) < _MAX_REMEMBERED:
            self[value] = text
        return text

    def _hashed(self, text: str) -> str:
        message = f"{self.name}\0{text}".encode()
        return "h:" + hmac.digest(self._hash_key, message, "sha256").hex()[:16]

    def checked(self, value: Any) -> str | None:
        """Convert any parsed value, checking its type first; None is missing."""
        field = f"features.{self.name}"
        if value is None:
            if self.required:
                raise RefusalError(Reason.REQUIRED_FEATURE, f"{field} is required and is missing")
            return None
        if self.boolean:
            if not isinstance(value, bool):
                raise RefusalError(Reason.WRONG_TYPE, f"{field} is {type_name(value)}; write true or false")
        elif isinstance(value, bool) or not isinstance(value, str | int):
            raise RefusalError(Reason.WRONG_TYPE, f"{field} is {type_name(value)}; write text or an integer")
        return self[value]


class Rules:
    """What one monitor's events must be, compiled from its schema.

    Raises
    ------
    ValueError
        the schema cannot be applied: unknown time zone, a sensitive feature without hash key or bins
    """

    def __init__(self, schema: MonitorSchema, hash_key: bytes = b"") -> None:
        self.name = schema.name
        self.key = schema.name.encode("utf-8", "surrogatepass")
        self.classification = schema.task == "classification"
        self.zone = None if schema.timezone is None else _zone(schema.timezone)
        self.numbers = {name: schema.features[name] for name in schema.numeric}
        self.categories = tuple(CategoryColumn(n, schema.features[n], hash_key) for n in schema.categorical)
        self._known = frozenset(schema.features)
        for name, feature in self.numbers.items():
            if feature.sensitive and (not feature.bins or list(feature.bins) != sorted(feature.bins)):
                detail = f"features.{name}.bins = {feature.bins!r}: a sensitive number needs ascending bin edges"
                raise ValueError(detail)

    def check(self, kind: int, event: Mapping[str, Any]) -> Event:
        """Check a parsed event of this monitor.

        Raises
        ------
        RefusalError
            the first thing that is wrong, with its monitor set
        """
        try:
            if kind == PREDICTION:
                return self._prediction(event)
            return self._label(event) if kind == LABEL else self._control(event)
        except RefusalError as refusal:
            refusal.monitor = self.name
            raise

    def _prediction(self, event: Mapping[str, Any]) -> Event:
        event_id = _id(event)
        time_ms = self._time(event)
        features = event.get("features")
        if not isinstance(features, dict):
            reason = Reason.WRONG_TYPE if "features" in event else Reason.MISSING_FIELD
            raise RefusalError(reason, "features is missing or no object; write {} if there are none")
        numeric = tuple(_number(name, feature, features.get(name)) for name, feature in self.numbers.items())
        categorical = tuple(column.checked(features.get(column.name)) for column in self.categories)
        given = event.get("prediction")
        row = PredictionRow(
            numeric,
            categorical,
            None if given is None else self.outcome(given, "prediction"),
            self._scores(event.get("scores")),
            "" if event.get("model_version") is None else _decimal_text(event["model_version"], "model_version"),
            segment_of(event.get("segment")),
            _is_backfill(event),
            sum(name not in self._known for name in features),
        )
        return Event(PREDICTION, self.name, time_ms, event_id, row)

    def _label(self, event: Mapping[str, Any]) -> Event:
        event_id = _id(event)
        time_ms = self._time(event)
        if event.get("label") is None:
            raise RefusalError(Reason.MISSING_FIELD, "label is missing or null; leave the whole event out instead")
        return Event(LABEL, self.name, time_ms, event_id, self.outcome(event["label"], "label"))

    def _control(self, event: Mapping[str, Any]) -> Event:
        if "id" in event:
            _id(event)
        time_ms = self._time(event)
        action = event.get("action")
        if action not in CONTROL_ACTIONS:
            near = nearest(action, CONTROL_ACTIONS) if isinstance(action, str) else ""
            detail = f"action = {show(action)} is none of {', '.join(CONTROL_ACTIONS)}{near}"
            raise RefusalError(Reason.BAD_CONTROL, detail)
        parameters = event.get("parameters", {})
        if not isinstance(parameters, dict):
            raise RefusalError(Reason.BAD_CONTROL, f"parameters is {type_name(parameters)}; write an object")
        return Event(CONTROL, self.name, time_ms, "", Control(str(action), parameters))

    def _time(self, event: Mapping[str, Any]) -> int:
        if "time" not in event:
            raise RefusalError(Reason.MISSING_FIELD, "time is missing; write RFC 3339 text or integer milliseconds")
        return event_time_ms(event["time"], self.zone)

    def outcome(self, value: Any, field: str) -> str | float:
        """Convert a prediction or label: canonical class text, or a finite number for regression.

        A boolean class becomes "true" or "false", an integral number its decimal text (1.0 and 1 are both "1"), any
        other number its shortest exact decimal text.
        """
        if self.classification:
            return _class_text(value, field)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RefusalError(Reason.WRONG_TYPE, f"{field} is {type_name(value)}; regression needs a number")
        return _finite(value, field)

    def _scores(self, scores: Any) -> dict[str, float] | None:
        if scores is None:
            return None
        if not isinstance(scores, dict):
            raise RefusalError(Reason.WRONG_TYPE, f"scores is {type_name(scores)}; write an object of class: number")
        if scores and not self.classification:
            raise RefusalError(Reason.WRONG_TYPE, "scores belong to classification; this monitor's task is regression")
        return {_bounded(name, "a class in scores"): _score(value) for name, value in scores.items()} or None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"timezone = {name!r} is no IANA time zone; write one such as Europe/Paris") from error


def _id(event: Mapping[str, Any]) -> str:
    if "id" not in event:
        raise RefusalError(Reason.MISSING_FIELD, "id is missing")
    event_id = _decimal_text(event["id"], "id")
    if not event_id:
        raise RefusalError(Reason.MISSING_FIELD, "id is empty")
    return event_id


def _number(name: str, feature: FeatureSchema, value: Any) -> float:
    field = f"features.{name}"
    if value is None:
        if feature.required:
            raise RefusalError(Reason.REQUIRED_FEATURE, f"{field} is required and is missing")
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusalError(Reason.WRONG_TYPE, f"{field} is {type_name(value)}; write a number")
    number = _finite(value, field)
    low, high = feature.min, feature.max
    if (low is not None and number < low) or (high is not None and number > high):
        shown = "the value (sensitive, not shown)" if feature.sensitive else show(value)
        limits = f"{'-inf' if low is None else low} to {'inf' if high is None else high}"
        raise RefusalError(Reason.OUT_OF_RANGE, f"{field}: {shown} is outside {limits}")
    return number


def _finite(value: float, field: str) -> float:
    try:
        number = float(value)
    except OverflowError as error:
        raise RefusalError(Reason.NOT_FINITE, f"{field} is too large for 64-bit floating point") from error
    if not math.isfinite(number):
        raise RefusalError(Reason.NOT_FINITE, f"{field} is not finite; send null for a missing value")
    return number + 0.0  # -0.0 becomes 0.0: one value, one bit pattern


def _class_text(value: Any, field: str) -> str:
    if isinstance(value, str):
        return _bounded(value, field)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _bounded(str(value), field)
    if isinstance(value, float):
        _finite(value, field)
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    raise RefusalError(Reason.WRONG_TYPE, f"{field} is {type_name(value)}; a class is text, a number or a boolean")


def _score(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusalError(Reason.WRONG_TYPE, f"a score is {type_name(value)}; write a number from 0 to 1")
    if not 0 <= value <= 1:
        raise RefusalError(Reason.OUT_OF_RANGE, f"a score of {show(value)} is outside 0 to 1")
    return float(value)


def segment_of(segment: Any) -> dict[str, str] | None:
    """Convert `segment`: slice to value, each at most 512 characters; None and {} are none."""
    if segment is None:
        return None
    if not isinstance(segment, dict):
        raise RefusalError(Reason.WRONG_TYPE, f"segment is {type_name(segment)}; write an object of slice: value")
    return {_bounded(name, "a slice of segment"): _slice_text(value) for name, value in segment.items()} or None


def _slice_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _decimal_text(value, "a value of segment")


def _is_backfill(event: Mapping[str, Any]) -> bool:
    origin = event.get("origin")
    if origin is not None and not isinstance(origin, str):
        raise RefusalError(Reason.WRONG_TYPE, f'origin is {type_name(origin)}; write "backfill" or leave it out')
    return origin == "backfill"
