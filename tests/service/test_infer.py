"""What `init` infers: types, and a reason for every column that drifts by construction or tells the label."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.config import FeatureConfig, MonitorConfig, parse
from service.infer import InferredConfig, guess_options, infer, infer_file, to_toml
from service.infer_columns import Column, Value, leak, linear_leaks, mark
from service.readers import InputError, TableOptions
from stream.codec import Decoder
from stream.events import RawMessage

__all__: list[str] = []

_ROWS = 600


def _event(number: int, features: dict[str, Any], **more: Any) -> bytes:
    base = {"type": "prediction", "id": str(number), "monitor": "m", "time": 1_356_998_400_000 + number}
    return json.dumps(base | {"features": features} | more).encode()


def _label(number: int, label: object) -> bytes:
    base = {"type": "label", "id": str(number), "monitor": "m", "time": 1_356_998_400_000 + number}
    return json.dumps(base | {"label": label}).encode()


def _sample(columns: dict[str, Sequence[Any]], labels: Sequence[Any] | None = None) -> Iterator[bytes]:
    for number in range(len(next(iter(columns.values())))):
        yield _event(number, {name: values[number] for name, values in columns.items()})
        if labels is not None:
            yield _label(number, labels[number])


def _monitor(found: InferredConfig) -> MonitorConfig:
    (monitor,) = found.config.monitors.values()
    return monitor


def _feature(name: str, values: Sequence[Any], labels: Sequence[Any] | None = None) -> FeatureConfig:
    return _monitor(infer(_sample({name: values}, labels))).features[name]


def _noise(seed: int = 1, n: int = _ROWS) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=n)


def _whole(low: int, high: int, n: int = _ROWS) -> list[int]:
    return [int(v) for v in np.random.default_rng(2).integers(low, high, n)]


DRIFTING: dict[str, tuple[str, Callable[[], Sequence[Any]], bool]] = {
    "counter": ("anything", lambda: [7 + 3 * i for i in range(_ROWS)], False),
    "random id": ("order_id", lambda: _whole(0, 10**9), False),
    "text id": ("anything", lambda: [f"u-{v}" for v in _whole(0, 10**9)], False),
    "fraction of a year": ("anything", lambda: [i / 17_000 for i in range(_ROWS)], False),
    "date": ("anything", lambda: [f"2011-01-{1 + i // 24:02d}" for i in range(_ROWS)], False),
    "timestamp": ("anything", lambda: [f"2018-01-01 {i // 60:02d}:{i % 60:02d}:00.000" for i in range(_ROWS)], False),
    "month": ("month", lambda: [1] * 300 + [2] * 300, True),
    "day of month": ("anything", lambda: [1 + i // 24 % 31 for i in range(2_000)], True),
    "hour": ("anything", lambda: [i % 24 for i in range(_ROWS)], True),
    "shuffled hour": ("hour", lambda: _whole(0, 24), True),
    "year": ("yr", lambda: [0] * 300 + [1] * 300, False),
    "HHMM": ("anything", lambda: [100 * h + m for h, m in zip(_whole(0, 24), _whole(0, 60), strict=True)], True),
    "HHMM text": (
        "anything",
        lambda: [f"{h:02d}{m:02d}" for h, m in zip(_whole(5, 24), _whole(0, 9), strict=True)],
        True,
    ),
    "flight": ("flight", lambda: _whole(1, 6_000), False),
    "constant number": ("anything", lambda: [0.0] * _ROWS, True),
    "constant text": ("origin", lambda: ["EWR"] * _ROWS, True),
    "never given": ("anything", lambda: [None] * _ROWS, True),
}


@pytest.mark.parametrize("case", DRIFTING)
def test_columns_that_drift_by_construction_are_not_watched(case: str) -> None:
    """Ids, clocks, codes and constants carry a reason; learners keep only those that can mean something later."""
    name, values, learn = DRIFTING[case]
    feature = _feature(name, values())
    assert not feature.watch
    assert feature.reason
    assert feature.learn is learn


HONEST: dict[str, tuple[str, Callable[[], Sequence[Any]]]] = {
    "normal": ("x", lambda: _noise().tolist()),
    "random walk": ("temp", lambda: np.cumsum(_noise()).tolist()),
    "daily wave": ("temp", lambda: [np.sin(i / 24 * 6.28) + 0.1 * e for i, e in enumerate(_noise())]),
    "amounts": ("amount", lambda: _whole(0, 5_000)),
    "flag": ("holiday", lambda: _whole(0, 2)),
    "boolean": ("returning", lambda: [bool(v) for v in _whole(0, 2)]),
    "category": ("carrier", lambda: [f"c{v}" for v in _whole(0, 12)]),
    "few stores": ("store_id", lambda: _whole(1, 9)),
    "credit score": ("credit_score", lambda: _whole(300, 850)),
    "rate": ("calls_per_minute", lambda: _whole(0, 50)),
    "number of items": ("number_of_items", lambda: _whole(0, 400)),
    "round prices": ("price", lambda: [100 * v for v in _whole(1, 24)]),
}


@pytest.mark.parametrize("case", HONEST)
def test_honest_features_are_watched(case: str) -> None:
    """Neither a random walk nor a name that resembles a clock's is enough to leave a feature out."""
    name, values = HONEST[case]
    assert _feature(name, values()) == FeatureConfig(type=_feature(name, values()).type)


def test_types_follow_most_values() -> None:
    """Numbers, texts and booleans; whole numbers stay numbers, and one stray text does not turn them."""
    columns: dict[str, Sequence[Any]] = {
        "n": _whole(0, 500), "t": ["a", "b"] * 300, "b": [True, False] * 300,
        "mixed": [*_whole(0, 500)[:-1], "oops"],
    }  # fmt: skip
    monitor = _monitor(infer(_sample(columns)))
    assert {name: f.type for name, f in monitor.features.items()} == {
        "n": "numeric", "t": "categorical", "b": "boolean", "mixed": "numeric",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "task"),
    [(["up", "down"] * 300, "classification"), ([True, False] * 300, "classification"), (_whole(0, 2), "regression")],
)
def test_the_labels_decide_the_task(labels: Sequence[Any], task: str) -> None:
    """Texts and booleans are classes, numbers a quantity."""
    assert _monitor(infer(_sample({"x": _noise().tolist()}, labels))).task == task


def test_numbers_that_look_like_classes_are_pointed_out() -> None:
    """Labels 0 and 1 give regression, as documented, and a comment that says how to change it."""
    found = infer(_sample({"x": _noise().tolist()}, _whole(0, 2)))
    assert "the labels are only 0, 1: if these are classes" in to_toml(found)


def test_no_limits_are_invented() -> None:
    """No feature gets a range or a closed list, none is required: a sample cannot know what will come."""
    found = infer(_sample({"x": _noise().tolist(), "c": ["a", "b"] * 300}, ["u", "v"] * 300))
    assert all(f == FeatureConfig(type=f.type) for f in _monitor(found).features.values())


def _answers(x: np.ndarray[Any, Any]) -> list[str]:
    return ["yes" if v > 0 else "no" for v in x]


def test_what_gives_the_label_away_is_neither_watched_nor_learned() -> None:
    """A copy, a renaming, a number that decides, what a model said; but not a feature that is merely good."""
    x = _noise()
    labels = _answers(x)
    columns: dict[str, Sequence[Any]] = {
        "copy": labels, "renamed": ["1" if y == "yes" else "2" for y in labels], "decides": x.tolist(),
        "y_pred_proba": (1 / (1 + np.exp(-x - _noise(5)))).tolist(), "good": (x + 0.5 * _noise(3)).tolist(),
        "noise": _noise(4).tolist(),
    }  # fmt: skip
    features = _monitor(infer(_sample(columns, labels))).features
    assert {name for name, f in features.items() if not f.watch} == {"copy", "renamed", "decides", "y_pred_proba"}
    assert {name for name, f in features.items() if not f.learn} == {"copy", "renamed", "decides", "y_pred_proba"}


def test_a_category_for_every_second_row_is_no_leak() -> None:
    """Texts too many to repeat cannot be shown to tell the label: the vote is tried on rows it was not learned on."""
    labels: list[Value] = ["u" if v else "v" for v in _whole(0, 2)]
    assert leak(Column("street", [f"s{v}" for v in _whole(0, 250)]), labels) is None


def test_the_parts_of_a_total_are_leaks() -> None:
    """casual + registered = cnt: both are marked, a feature beside them is not, nor are parts of a noisy sum."""
    parts: dict[str, list[Any]] = {"casual": _whole(0, 90), "registered": _whole(0, 400), "temp": _noise().tolist()}
    total = [a + 2 * b for a, b in zip(parts["casual"], parts["registered"], strict=True)]
    columns = [Column(name, values) for name, values in parts.items()]
    assert set(linear_leaks(columns, total)) == {"casual", "registered"}
    assert linear_leaks(columns, [t + e for t, e in zip(total, _noise(9).tolist(), strict=True)]) == {}


def test_a_reference_file_shows_what_never_returns() -> None:
    """A column without one common value with the earlier sample is marked, though each by itself looks honest."""
    now = infer(
        _sample({"meter": (500 + _noise()).tolist(), "x": _noise(2).tolist()}),
        reference=_sample({"meter": (100 + _noise(3)).tolist(), "x": _noise(4).tolist()}),
    )
    assert list(now.marked["m"]) == ["meter"]


def test_few_rows_prove_nothing() -> None:
    """Three equal values are no constant, five rising ones no clock."""
    assert mark(Column("x", [1.0] * 3)) is None
    assert mark(Column("x", [1.0, 2.5, 3.5, 4.0, 9.0])) is None


def test_broken_lines_are_skipped_and_counted() -> None:
    """Inference goes on past what is no event; duplicates of an id count once."""
    lines = [b"{", b"[1]", b"\xff\xfe", b'{"type":"prediction"}', *_sample({"x": [1.0, 2.0]}), _event(1, {"x": 3.0})]
    found = infer(lines)
    assert found.skipped == 5
    assert found.notes["m"].rows == 2


def test_a_sample_without_predictions_is_refused() -> None:
    """The error says what an event looks like."""
    with pytest.raises(InputError, match=r'"type":"prediction"'):
        infer([b"hello", _label(1, "a")])


def test_several_monitors_are_told_apart() -> None:
    """Each monitor's features come from its own events."""
    events = [*_sample({"x": [1.0, 2.0]}), _event(9, {"y": 1.0}, monitor="other")]
    found = infer(events)
    assert {name: list(m.features) for name, m in found.config.monitors.items()} == {"m": ["x"], "other": ["y"]}


def test_a_monitor_that_hardly_any_event_names_is_a_slip() -> None:
    """One event of 600 for another monitor is skipped: replay then refuses its like as unknown."""
    found = infer([*_sample({"x": _noise().tolist()}), _event(9, {"x": 1.0}, monitor="mm")])
    assert (list(found.config.monitors), found.skipped) == (["m"], 1)


def test_times_without_offset_get_a_zone_to_be_named() -> None:
    """Otherwise every event would be refused; the comment asks for the right one."""
    events = [_event(i, {"x": 1.0}, time="2013-01-01T00:00:00") for i in range(3)]
    assert _monitor(infer(events)).timezone == "UTC"
    assert _monitor(infer(_sample({"x": [1.0]}))).timezone is None


@pytest.mark.parametrize("name", ["plain", "with space", 'quo"te', "dot.ted", "back\\slash", "new\nline", "ünï", ""])
def test_toml_reads_back_to_the_same_configuration(name: str) -> None:
    """Whatever names and values are, what is written is what was inferred."""
    columns: dict[str, Sequence[Any]] = {name: _whole(0, 3), name + "k": ['ev"il\\'] * _ROWS}
    found = infer(_sample(columns, ["u", "v"] * 300))
    assert parse(tomllib.loads(to_toml(found))) == found.config


def test_high_serial_correlation_suggests_a_trailing_reference() -> None:
    """Weather-like columns get a comment, no setting; independent ones get none."""
    text = to_toml(infer(_sample({"w": np.cumsum(_noise()).tolist(), "x": _noise(7).tolist()})))
    lines = {line.split(" ")[0]: line for line in text.splitlines()}
    assert 'reference = "trailing"' in lines["w"].partition("#")[2]
    assert "trailing" not in lines["x"]


@pytest.fixture(scope="module")
def sample_file() -> Iterator[Path]:
    """The shipped departures of Newark."""
    with resources.as_file(resources.files("service") / "samples" / "flights_ewr_2013.csv.gz") as path:
        yield path


@pytest.mark.parametrize("sample_n", [1_000, 5_000])
def test_the_departures_of_newark(sample_file: Path, sample_n: int) -> None:
    """month, day, flight, hours and HHMM times, the one origin are marked; carriers and weather are watched."""
    found = infer_file(sample_file, sample_n=sample_n)
    marked = set(found.marked["flights_ewr_2013"])
    clocks = {"month", "day", "hour", "minute", "sched_dep_time", "sched_arr_time", "flight", "origin"}
    assert clocks <= marked
    assert not marked & {"carrier", "dest", "distance", "temp", "dewp", "humid", "wind_dir", "wind_speed", "pressure"}
    assert found.notes["flights_ewr_2013"].roles == {"label": "delayed"}
    assert infer_file(sample_file, sample_n=sample_n) == found


def test_the_inferred_configuration_takes_the_file_it_came_from(sample_file: Path) -> None:
    """Unedited, it decodes the next 5,000 events of the file without a reject and without an unknown feature."""
    from service.readers import read_events

    options = guess_options(sample_file)
    found = infer_file(sample_file, sample_n=1_000)
    config = parse(tomllib.loads(to_toml(found)))
    events = (e for e, _ in zip(read_events(sample_file, options=options), range(6_000), strict=False))
    raw = [RawMessage("t", 0, k, value) for k, value in enumerate(events)]
    decoded = Decoder(config.schemas()).decode(raw)
    assert decoded.rejects == []
    assert not decoded.batches["flights_ewr_2013"].unknown.any()


def _table(folder: Path, header: str) -> Path:
    path = folder / "t.csv"
    path.write_text(f"{header}\n" + "x,1,2,3,4\n" * 3)
    return path


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("a,b,c,d,e", {"label": "e"}),
        ("a,target,c,d,e", {"label": "target"}),
        ("timestamp,a,truth,y_pred_proba,y_pred", {"label": "truth", "time": "timestamp", "prediction": "y_pred"}),
        ("a,id,c,d,Class", {"id": "id", "label": "Class"}),
        ("a,date,c,d,e", {"label": "e"}),
    ],
)
def test_roles_of_columns_are_guessed_from_names(tmp_path: Path, header: str, wanted: dict[str, str]) -> None:
    """A label by name or place, a time only if it is text, predictions and ids by name."""
    assert guess_options(_table(tmp_path, header)).roles() == wanted


def test_what_the_caller_says_is_not_guessed(tmp_path: Path) -> None:
    """An option that is given stands."""
    given = TableOptions(monitor="mine", label="b", label_delay=7)
    found = guess_options(_table(tmp_path, "a,b,c,d,target"), given)
    assert (found.monitor, found.label, found.label_delay) == ("mine", "b", 7)


def test_no_events_to_look_at_is_refused(sample_file: Path) -> None:
    """The error names the parameter."""
    with pytest.raises(InputError, match="sample_n = 0"):
        infer_file(sample_file, sample_n=0)
