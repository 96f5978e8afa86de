"""The flights sample: order, labels in the destination's time, the frozen model, the plant and the bad events."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from scipy import stats

from service import flights
from service.airports import HOME, zone_of
from service.config import load
from service.flights_model import DelayModel
from stream.codec import Decoder
from stream.events import RawMessage, Reason

__all__: list[str] = []

_UNTIL = flights.PLANT.end_event + 200
_JANUARY = 9_893
Event = dict[str, Any]


@pytest.fixture(scope="module")
def departures() -> list[flights.Departure]:
    """The whole sample, January included."""
    return list(flights.read_departures())


@pytest.fixture(scope="module")
def messages() -> list[bytes]:
    """The whole stream."""
    return list(flights.stream())


@pytest.fixture(scope="module")
def events(messages: list[bytes]) -> list[Event]:
    """The stream without its bad events (but with repeats of an id)."""
    return _accepted(messages)


def _accepted(messages: Sequence[bytes]) -> list[Event]:
    """Parse what can be parsed; the bad events drop out by their kind, id or monitor."""
    good = []
    for message in messages:
        try:
            event = json.loads(message)
        except ValueError:
            continue
        good_id = isinstance(event, dict) and not str(event.get("id", "-bad")).endswith("-bad")
        if good_id and event["monitor"] == "flights":
            good.append(event)
    return good


def _time(event: Event) -> datetime:
    return datetime.fromisoformat(event["time"])


def test_the_same_stream_comes_at_every_call() -> None:
    """Two calls give the same bytes."""
    first, second = (list(flights.stream(limit=1_500)) for _ in range(2))
    assert first == second
    assert len(first) == 1_500


def test_a_negative_limit_is_refused() -> None:
    """The error names the parameter and its value."""
    with pytest.raises(ValueError, match="limit = -1"):
        next(flights.stream(limit=-1))


def test_events_come_in_order_of_time_from_february_on(events: list[Event]) -> None:
    """Predictions and labels interleave by event time, and none is of January, which trained the model."""
    first: dict[tuple[str, str], Event] = {}
    for event in events:
        first.setdefault((event["type"], event["id"]), event)  # repeats come late on purpose
    times = [_time(event).timestamp() for event in first.values()]
    assert all(a <= b for a, b in itertools.pairwise(times))
    assert events[0]["id"].startswith("EWR-2013-02-01-")
    assert events[-1]["time"].startswith("2013-12-31")


def test_every_departure_is_predicted_once_and_answered_at_most_once(
    events: list[Event], departures: list[flights.Departure]
) -> None:
    """A label follows its prediction, says what the table says, and never comes for cancelled or diverted flights."""
    wanted = {d.id: d.delayed for d in departures[_JANUARY:]}
    seen: set[str] = set()
    predictions: Counter[str] = Counter()
    labels: dict[str, str] = {}
    for event in events:
        if event["type"] == "prediction":
            predictions[event["id"]] += 1
            seen.add(event["id"])
        else:
            assert event["id"] in seen
            assert event["id"] not in labels
            labels[event["id"]] = event["label"]
    assert set(predictions) == set(wanted)
    assert sum(predictions.values()) - len(wanted) == flights.BAD_EVENTS[Reason.DUPLICATE_ID]
    assert all(wanted[i] is (label == "delayed") for i, label in labels.items())
    last = departures[-1].time.timestamp()
    due = {d.id for d in departures[_JANUARY:] if d.delayed is not None and flights.label_time(d).timestamp() <= last}
    assert set(labels) == due


def test_labels_come_at_the_arrival_in_the_zone_of_the_destination() -> None:
    """UA1545 to Houston: due at 08:19 central time, which is 14:19 UTC, so its label comes at 14:34 UTC."""
    flight = next(flights.read_departures())
    assert flight.id == "EWR-2013-01-01-UA1545-0515"
    assert flight.time == datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
    known = flights.label_time(flight)
    assert known == datetime(2013, 1, 1, 14, 34, tzinfo=UTC)
    assert known.isoformat() == "2013-01-01T08:34:00-06:00"


def _flight(dest: str, departure: datetime, arrival: int, miles: float) -> flights.Departure:
    return flights.Departure("x", departure, arrival, {"dest": dest, "distance": miles}, delayed=False)


def test_an_arrival_after_midnight_is_of_the_next_day() -> None:
    """22:00 from Newark, 23:59 in San Juan's zone is no flight of an hour: 03:10 there is the next day."""
    flight = _flight("SJU", datetime(2013, 2, 1, 23, 0, tzinfo=HOME), 403, 1608.0)
    assert flights.scheduled_arrival(flight) == datetime(2013, 2, 2, 8, 3, tzinfo=UTC)


def test_no_label_comes_before_the_distance_at_600_mph() -> None:
    """A schedule that contradicts the map gives way to it: 1,200 miles take two hours at least."""
    flight = _flight("ORD", datetime(2013, 2, 1, 12, 0, tzinfo=HOME), 1130, 1200.0)
    assert flights.label_time(flight) == flight.time + timedelta(hours=2)


def test_all_schedules_agree_with_the_map(departures: list[flights.Departure]) -> None:
    """With the zones of the table no flight is scheduled under 60 or over 480 mph (a hop of 17 miles to La Guardia
    aside): an hour of a wrong zone would break one side."""
    for flight in departures:
        hours = (flights.scheduled_arrival(flight) - flight.time.astimezone(UTC)) / timedelta(hours=1)
        miles = flight.features["distance"]
        assert isinstance(miles, float)
        assert hours < 12
        assert miles == 17.0 or 60 < miles / hours < 480, flight


@pytest.mark.parametrize(
    ("day", "hhmm", "wanted"),
    [
        (date(2013, 3, 10), 230, "2013-03-10T07:30:00+00:00"),  # skipped: 02:30 EST is shown as 03:30 EDT
        (date(2013, 11, 3), 130, "2013-11-03T06:30:00+00:00"),  # twice: the second one, 01:30 EST
        (date(2013, 11, 3), 30, "2013-11-03T04:30:00+00:00"),
        (date(2013, 11, 3), 300, "2013-11-03T08:00:00+00:00"),
        (date(2013, 7, 4), 2400, "2013-07-05T04:00:00+00:00"),
    ],
)
def test_local_times_around_clock_changes(day: date, hhmm: int, wanted: str) -> None:
    """A skipped time counts from the offset before the change, of two the later is meant, 2400 is midnight."""
    assert flights.instant(day, hhmm, HOME).astimezone(UTC).isoformat() == wanted


def test_no_clock_change_where_there_is_none() -> None:
    """Phoenix keeps its time in March."""
    assert flights.instant(date(2013, 3, 10), 230, zone_of("PHX")).utcoffset() == timedelta(hours=-7)
    assert zone_of("PHX") == ZoneInfo("America/Phoenix")


@pytest.mark.parametrize("hhmm", [-1, 1260, 2401])
def test_no_time_of_day_is_refused(hhmm: int) -> None:
    """The error names the value."""
    with pytest.raises(ValueError, match=f"hhmm = {hhmm}"):
        flights.instant(date(2013, 1, 1), hhmm, HOME)


def test_an_unknown_airport_is_refused() -> None:
    """The error names the airport."""
    with pytest.raises(ValueError, match="'LHR'"):
        zone_of("LHR")


def test_every_bad_event_is_refused_for_its_reason_and_nothing_else(messages: list[bytes]) -> None:
    """The shipped configuration refuses exactly the bad events; repeats of an id are left to the join."""
    with resources.as_file(resources.files("service") / "samples" / "flights.toml") as path:
        config = load(path, {})
    decoder = Decoder(config.schemas())
    decoded = decoder.decode([RawMessage("t", 0, k, value, b"flights") for k, value in enumerate(messages[:170_000])])
    found = Counter(reject.reason for reject in decoded.rejects)
    places = [reason for place, reason in flights.BAD_PLACES if place <= 80_000]
    wanted = Counter(reason for reason in places if reason is not Reason.DUPLICATE_ID)
    assert found == wanted
    assert Counter(dict(flights.BAD_EVENTS)) == Counter(reason for _, reason in flights.BAD_PLACES)
    ids = [
        i for i, kind in zip(decoded.batches["flights"].ids, decoded.batches["flights"].kind, strict=True) if kind == 0
    ]
    assert len(ids) - len(set(ids)) == places.count(Reason.DUPLICATE_ID)
    assert not any(decoded.batches["flights"].unknown)


@pytest.fixture(scope="module")
def twins(events: list[Event]) -> tuple[list[Event], list[Event]]:
    """Predictions with and without the plant, up to a little after it; repeats of an id left out."""
    planted = list({e["id"]: e for e in events if e["type"] == "prediction"}.values())[:_UNTIL]
    bare = (json.loads(m) for m in flights.stream(planted=False, bad_events=False))
    return planted, list(itertools.islice((e for e in bare if e["type"] == "prediction"), _UNTIL))


def test_the_plant_turns_fahrenheit_into_celsius_in_its_stretch_only(twins: tuple[list[Event], list[Event]]) -> None:
    """Outside the stretch both streams are the same; inside only the temperature and what the model makes of it."""
    start, end = flights.PLANT.start_event, flights.PLANT.end_event
    for place, (a, b) in enumerate(zip(*twins, strict=True)):
        if not start <= place < end:
            assert a == b
            continue
        assert {**a["features"], "temp": 0} == {**b["features"], "temp": 0}
        if b["features"]["temp"] is not None:
            assert a["features"]["temp"] == pytest.approx((b["features"]["temp"] - 32) / 1.8, abs=0.006)
    assert twins[0][start]["time"].startswith("2013-07-10T05")
    assert twins[0][end]["time"].startswith("2013-07-24T05")


def _largest_gap(values: np.ndarray[Any, Any], event: int) -> float:
    window, reference_end = values[event - 2_000 : event], (event - 2_000) // 500 * 500
    reference = values[reference_end - 10_000 : reference_end]
    with_value = [part[~np.isnan(part)] for part in (reference, window)]
    return float(stats.ks_2samp(*with_value, method="asymp").statistic)


def test_the_plant_can_be_told_from_the_weather(twins: tuple[list[Event], list[Event]]) -> None:
    """Against the trailing reference KS passes the configured effect within a window of the start, by a margin of
    .1 and more above anything that the twin shows in that time."""
    with resources.as_file(resources.files("service") / "samples" / "flights.toml") as path:
        monitor = load(path, {}).monitors["flights"]
    assert (monitor.reference.n, monitor.reference.window, monitor.reference.step) == (10_000, 2_000, 500)
    least = monitor.features["temp"].min_effect
    assert least is not None
    planted, bare = (np.array([e["features"]["temp"] for e in t], dtype=np.float64) for t in twins)
    start = flights.PLANT.start_event
    times = range(start, start + 4_000, 100)
    found = next(t for t in times if _largest_gap(planted, t) >= least)
    assert found - start < 2_000
    assert max(_largest_gap(bare, t) for t in times) < least - 0.1


def test_the_model_is_the_best_of_its_kind_on_january(departures: list[flights.Departure]) -> None:
    """The gradient of the penalised log loss vanishes, and without labels of January nothing is trained."""
    january = [d for d in departures[:_JANUARY] if d.delayed is not None]
    model = flights.frozen_model()
    design, weights = model.design([d.features for d in january]), model.weights
    target = np.array([bool(d.delayed) for d in january], dtype=np.float64)
    penalty = np.full(len(weights), 5.0)
    penalty[0] = 0.0
    gradient = design.T @ (target - 1 / (1 + np.exp(-design @ weights))) - penalty * weights
    assert np.abs(gradient).max() < 0.01
    assert model.probability([d.features for d in january]).mean() == pytest.approx(target.mean(), abs=1e-3)


def test_unknown_categories_and_missing_weather_still_get_a_probability(departures: list[flights.Departure]) -> None:
    """A carrier that January did not know adds nothing; a missing number counts as the mean."""
    model = flights.frozen_model()
    features = dict(departures[0].features)
    odd = features | {"carrier": "ZZ", "dest": "ZZZ", "temp": None, "pressure": None}
    assert model.probability([odd])[0] == pytest.approx(
        model.probability([odd | {"temp": float(model.mean[1]), "pressure": float(model.mean[7])}])[0]
    )
    assert model.probability([]).shape == (0,)


def test_training_needs_a_label_for_each_row() -> None:
    """The error names both lengths."""
    with pytest.raises(ValueError, match="rows = 0"):
        DelayModel.train([], [])


def test_scores_are_those_of_the_frozen_model(events: list[Event]) -> None:
    """In December the producer still says what January's model says, and names the likelier class."""
    model = flights.frozen_model()
    last = [e for e in events[-500:] if e["type"] == "prediction"]
    wanted = model.probability([e["features"] for e in last])
    assert [e["scores"]["delayed"] for e in last] == pytest.approx(list(wanted), abs=1e-4)
    assert all((e["prediction"] == "delayed") == (e["scores"]["delayed"] > 0.5) for e in last)
    assert all(e["scores"]["on_time"] + e["scores"]["delayed"] == pytest.approx(1.0) for e in last)
