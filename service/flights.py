"""A real stream: Newark's departures of 2013, as their airline's model predicted them, in the wire format.

The stream runs from 1 February to 31 December; January trained the producer's model and is not shown. Predictions
and labels interleave as they would arrive: a label comes at the scheduled arrival plus 15 minutes, or never.
"""

from __future__ import annotations

import csv
import gzip
import heapq
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from importlib import resources

import msgspec

from service.airports import HOME, zone_of
from service.flights_model import NUMERIC, DelayModel
from stream.events import Reason

__all__ = [
    "BAD_EVENTS",
    "BAD_PLACES",
    "CRUISE_MPH",
    "LABEL_DELAY",
    "MODEL_VERSION",
    "MONITOR",
    "PLANT",
    "Departure",
    "Plant",
    "frozen_model",
    "instant",
    "label_time",
    "read_departures",
    "scheduled_arrival",
    "soonest_arrival",
    "stream",
]

MONITOR = "flights"
MODEL_VERSION = "2013-01"
LABEL_DELAY = timedelta(minutes=15)  # an arrival counts as delayed from 15 minutes on, so only then is either known
CRUISE_MPH = 600.0  # no airliner of the sample flies faster over the ground for a whole flight
_SAMPLE = "flights_ewr_2013.csv.gz"
_BLOCK = 2_000  # rows that the model scores at once: the first event needs no more work than the hundredth


@dataclass(frozen=True, slots=True)
class Plant:
    """A drift put into the stream on purpose: predictions [start_event, end_event) carry it, counted from 0."""

    signal: str
    start_event: int
    end_event: int
    what: str


PLANT = Plant(
    signal="feature:temp",
    start_event=53_712,  # the first departure of 10 July
    end_event=58_531,  # the first departure of 24 July
    what="the weather feed sends °C where it sent °F",
)

BAD_PLACES: tuple[tuple[int, Reason], ...] = (
    (120, Reason.NOT_JSON),
    (480, Reason.NOT_FINITE),
    (900, Reason.WRONG_TYPE),
    (1_500, Reason.UNKNOWN_MONITOR),
    (2_100, Reason.TIME_WITHOUT_OFFSET),
    (3_000, Reason.DUPLICATE_ID),
    (5_000, Reason.MISSING_FIELD),
    (8_000, Reason.UNKNOWN_TYPE),
    (20_000, Reason.NOT_JSON),
    (30_000, Reason.NOT_FINITE),
    (40_000, Reason.WRONG_TYPE),
    (60_000, Reason.DUPLICATE_ID),
    (80_000, Reason.NOT_AN_OBJECT),
    (100_000, Reason.OUT_OF_RANGE),
)
"""Before which prediction which kind of bad event stands; a bad event is no prediction."""

BAD_EVENTS: dict[Reason, int] = {
    reason: sum(reason is other for _, other in BAD_PLACES) for reason in dict.fromkeys(r for _, r in BAD_PLACES)
}


@dataclass(frozen=True, slots=True)
class Departure:
    """One row of the sample: what is known at the scheduled departure, and whether the flight came late.

    `delayed` is None for a flight that was cancelled or diverted: no label will ever come.
    """

    id: str
    time: datetime
    sched_arr_time: int
    features: dict[str, str | float | None]
    delayed: bool | None


def stream(*, planted: bool = True, bad_events: bool = True, limit: int | None = None) -> Iterator[bytes]:
    """Yield the messages of the stream, in order of event time; the same ones at every call.

    Parameters
    ----------
    planted : with the drift of `PLANT`; without it the stream is the twin that shows what weather does by itself
    bad_events : with the events of `BAD_PLACES`, which a service has to refuse
    limit : stop after this many messages; none: up to the year's last departure. Labels due later are not sent

    Yields
    ------
    One JSON object a message, as UTF-8 bytes (the bad ones aside), without a newline.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit = {limit}: give 0 or more messages, or None for all")
    for count, message in enumerate(_messages(planted, bad_events)):
        if limit is not None and count >= limit:
            return
        yield message


def _messages(planted: bool, bad_events: bool) -> Iterator[bytes]:
    bad = dict(BAD_PLACES) if bad_events else {}
    waiting: list[tuple[float, int, bytes]] = []
    last = b"{}"
    for event, (departure, probability) in enumerate(_predictions(planted)):
        now = departure.time.timestamp()
        while waiting and waiting[0][0] <= now:
            yield heapq.heappop(waiting)[2]
        if event in bad:
            yield _bad_event(bad[event], departure, last)
        last = _prediction_message(departure, probability)
        yield last
        if departure.delayed is not None:
            due = label_time(departure)
            heapq.heappush(waiting, (due.timestamp(), event, _label_message(departure, due)))


def _predictions(planted: bool) -> Iterator[tuple[Departure, float]]:
    """Pair each departure from February on with the P(delayed) that the frozen model gives it."""
    model = frozen_model()
    shown = itertools.dropwhile(_in_january, read_departures())
    for first in itertools.count(step=_BLOCK):
        block = list(itertools.islice(shown, _BLOCK))
        if not block:
            return
        if planted:
            for departure in block[max(0, PLANT.start_event - first) : max(0, PLANT.end_event - first)]:
                _to_celsius(departure.features)
        yield from _scored(model, block)


def _in_january(departure: Departure) -> bool:
    return departure.time.month == 1


@lru_cache(maxsize=1)
def frozen_model() -> DelayModel:
    """Return the producer's model, trained on those departures of January that have a label."""
    labelled = [d for d in itertools.takewhile(_in_january, read_departures()) if d.delayed is not None]
    return DelayModel.train([d.features for d in labelled], [bool(d.delayed) for d in labelled])


def _scored(model: DelayModel, block: list[Departure]) -> Iterator[tuple[Departure, float]]:
    probability = model.probability([d.features for d in block])
    return zip(block, (float(p) for p in probability), strict=True)


def _to_celsius(features: dict[str, str | float | None]) -> None:
    fahrenheit = features["temp"]
    if isinstance(fahrenheit, float):
        features["temp"] = round((fahrenheit - 32.0) * 5.0 / 9.0, 2)


def read_departures() -> Iterator[Departure]:
    """Yield the whole sample, January included, in order of scheduled departure."""
    packed = resources.files("service").joinpath("samples", _SAMPLE).read_bytes()
    with gzip.open(io.BytesIO(packed), "rt", encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            yield _departure(row)


def _departure(row: dict[str, str]) -> Departure:
    day = date(2013, int(row["month"]), int(row["day"]))
    clock = int(row["sched_dep_time"])
    features: dict[str, str | float | None] = {"carrier": row["carrier"], "dest": row["dest"]}
    features["hour"] = float(clock // 100)
    for name in NUMERIC:
        features[name] = float(row[name]) if row[name] else None
    return Departure(
        id=f"{row['origin']}-{day}-{row['carrier']}{row['flight']}-{clock:04d}",
        time=instant(day, clock, HOME),
        sched_arr_time=int(row["sched_arr_time"]),
        features=features,
        delayed=row["delayed"] == "1.0" if row["delayed"] else None,
    )


def instant(day: date, hhmm: int, zone: tzinfo) -> datetime:
    """Return the moment of a local schedule time; `hhmm` is the integer 2359 for 23:59, 2400 the next midnight.

    A time that a clock change skips counts from the offset before the change (02:30 becomes 03:30); of a time that
    happens twice the later one is meant, so that a label is never announced an hour too early.
    """
    hour, minute = divmod(hhmm, 100)
    if not (0 <= hour <= 24 and 0 <= minute < 60) or hhmm > 2400:
        raise ValueError(f"hhmm = {hhmm}: write hours and minutes as 0 to 2400, such as 515 for 05:15")
    local = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(hours=hour, minutes=minute)
    first, second = local.utcoffset(), local.replace(fold=1).utcoffset()
    if first == second:
        return local
    moments = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    return max(moments).astimezone(zone)


def label_time(departure: Departure) -> datetime:
    """Return when it is known whether the flight came late, in the destination's zone.

    That is the first scheduled arrival after the departure, plus 15 minutes; never before the time that distance
    at 600 mph takes, in case the schedule contradicts the map.
    """
    known = max(scheduled_arrival(departure) + LABEL_DELAY, soonest_arrival(departure))
    return known.astimezone(zone_of(str(departure.features["dest"])))


def scheduled_arrival(departure: Departure) -> datetime:
    """Return, in UTC, the first moment after departure when the destination's clocks show the scheduled arrival."""
    zone = zone_of(str(departure.features["dest"]))
    left = departure.time.astimezone(UTC)
    day = left.astimezone(zone).date()
    arrival = instant(day, departure.sched_arr_time, zone).astimezone(UTC)
    if arrival <= left:
        arrival = instant(day + timedelta(days=1), departure.sched_arr_time, zone).astimezone(UTC)
    return arrival


def soonest_arrival(departure: Departure) -> datetime:
    """Return, in UTC, when the flight would land if it left on time and flew the distance at 600 mph."""
    return departure.time.astimezone(UTC) + timedelta(hours=float(departure.features["distance"] or 0.0) / CRUISE_MPH)


def _prediction_message(departure: Departure, probability: float) -> bytes:
    return msgspec.json.encode(_prediction(departure, probability))


def _prediction(departure: Departure, probability: float) -> dict[str, object]:
    return {
        "type": "prediction",
        "id": departure.id,
        "monitor": MONITOR,
        "time": departure.time.isoformat(),
        "features": departure.features,
        "prediction": "delayed" if probability > 0.5 else "on_time",
        "scores": {"on_time": round(1.0 - probability, 4), "delayed": probability},
        "model_version": MODEL_VERSION,
    }


def _label_message(departure: Departure, due: datetime) -> bytes:
    label = "delayed" if departure.delayed else "on_time"
    time = due.isoformat(timespec="seconds")
    return msgspec.json.encode({"type": "label", "id": departure.id, "monitor": MONITOR, "time": time, "label": label})


def _bad_event(reason: Reason, departure: Departure, last: bytes) -> bytes:
    """Make an event that must be refused for `reason`; it carries an id of its own, so that nothing else is lost."""
    event = _prediction(departure, 0.25)
    event["id"] = f"{departure.id}-bad"
    features = dict(departure.features)
    event["features"] = features
    if reason is Reason.NOT_JSON:
        return msgspec.json.encode(event)[:-40]
    if reason is Reason.NOT_FINITE:
        features["pressure"] = None
        return msgspec.json.encode(event).replace(b'"pressure":null', b'"pressure":NaN')
    if reason is Reason.NOT_AN_OBJECT:
        return msgspec.json.encode([event["id"], "delayed"])
    if reason is Reason.DUPLICATE_ID:
        return last
    if reason is Reason.WRONG_TYPE:
        features["distance"] = "far"
    elif reason is Reason.OUT_OF_RANGE:
        features["humid"] = -40.0
    elif reason is Reason.UNKNOWN_MONITOR:
        event["monitor"] = "flights-test"
    elif reason is Reason.UNKNOWN_TYPE:
        event["type"] = "forecast"
    elif reason is Reason.TIME_WITHOUT_OFFSET:
        event["time"] = departure.time.replace(tzinfo=None).isoformat()
    elif reason is Reason.MISSING_FIELD:
        del event["id"]
    return msgspec.json.encode(event)
