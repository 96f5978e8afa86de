"""Files of recorded events: wire lines as they are, tables turned into events, and clear words for what is wrong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from service.readers import InputError, TableOptions, read_events
from stream.codec import Decoder
from stream.events import RawMessage, Reason
from stream.schema import FeatureSchema, MonitorSchema

__all__: list[str] = []


def _file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def _events(path: Path, **options: Any) -> list[Any]:
    return [json.loads(event) for event in read_events(path, options=TableOptions(**options))]


def _predictions(path: Path, **options: Any) -> Iterator[Any]:
    return (event for event in _events(path, **options) if event["type"] == "prediction")


@pytest.mark.parametrize("name", ["a.ndjson", "a.jsonl.gz"])
def test_wire_lines_pass_as_they_are(tmp_path: Path, name: str) -> None:
    """Bytes are not touched, broken ones included; blank lines are no events, the last line may lack its end."""
    path = _file(tmp_path, name, '{"a": 1}\r\n\n  \nnot json\n{"b":2}')
    assert list(read_events(path)) == [b'{"a": 1}', b"not json", b'{"b":2}']


def test_rows_become_predictions_with_typed_cells(tmp_path: Path) -> None:
    """Numbers, booleans and texts keep their kind; an empty cell is null; without a time rows are a second apart."""
    path = _file(tmp_path, "t.csv", "a,b,c,d\n1.5,true,x,7\n,false,,8.0\n")
    first, second = _events(path, monitor="m")
    assert first["features"] == {"a": 1.5, "b": True, "c": "x", "d": 7}
    assert second["features"] == {"a": None, "b": False, "c": None, "d": 8}
    assert (first["id"], first["monitor"], second["id"]) == ("row-0", "m", "row-1")
    assert second["time"] - first["time"] == 1_000


def test_columns_of_options_are_no_features(tmp_path: Path) -> None:
    """Label, time, prediction and id leave the features; id becomes text, a class 1.0 is the class 1."""
    path = _file(tmp_path, "t.csv", "n,when,x,guess,truth\n17,2013-01-02,3,1,1.0\n")
    prediction, label = _events(path, monitor="m", id="n", time="when", prediction="guess", label="truth")
    assert prediction == {
        "type": "prediction", "id": "17", "monitor": "m", "time": "2013-01-02T00:00:00", "features": {"x": 3},
        "prediction": 1,
    }  # fmt: skip
    assert label == {"type": "label", "id": "17", "monitor": "m", "time": "2013-01-02T00:00:00", "label": 1}


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("2018-01-01 00:08:43.152", "2018-01-01T00:08:43.152000"),
        ("2018-01-01T00:08:43Z", "2018-01-01T00:08:43Z"),
        ("2018-01-01T00:08:43+02:00", "2018-01-01T00:08:43+02:00"),
        ("1356998400", 1_356_998_400_000),
        ("1356998400000", 1_356_998_400_000),
        ("1356998400000000", 1_356_998_400_000),
        ("yesterday", "yesterday"),
    ],
)
def test_times_are_written_for_the_wire(tmp_path: Path, cell: str, wanted: object) -> None:
    """Dates get a T, epochs become milliseconds whatever their unit; what is no time is left for the refusal."""
    assert _events(_file(tmp_path, "t.csv", f"t,x\n{cell},1\n"), time="t")[0]["time"] == wanted


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_labels_follow_so_many_predictions_later(tmp_path: Path, delay: int) -> None:
    """With N rows and a delay d the label of row i comes right after prediction i + d; N - d labels are sent."""
    path = _file(tmp_path, "t.csv", "x,y\n" + "".join(f"{i},c{i}\n" for i in range(5)))
    events = [(e["type"][0], e["id"]) for e in _events(path, label="y", label_delay=delay)]
    wanted: list[tuple[str, str]] = []
    for i in range(5):
        wanted.append(("p", f"row-{i}"))
        if i >= delay:
            wanted.append(("l", f"row-{i - delay}"))
    assert events == wanted


def test_an_empty_label_never_comes(tmp_path: Path) -> None:
    """A row without a label is a prediction alone, and those behind it keep their place."""
    events = _events(_file(tmp_path, "t.csv", "x,y\n1,a\n2,\n3,b\n"), label="y")
    assert [(e["type"][0], e["id"][-1]) for e in events] == [("p", "0"), ("l", "0"), ("p", "1"), ("p", "2"), ("l", "2")]


def test_codes_with_leading_zeros_stay_texts(tmp_path: Path) -> None:
    """A column of post codes is no column of numbers."""
    features = [e["features"] for e in _predictions(_file(tmp_path, "t.csv", "zip,n\n08540,1\n10001,2\n"))]
    assert [f["zip"] for f in features] == ["08540", "10001"]


@pytest.mark.parametrize("word", ["NaN", "NA", "null", "?"])
def test_words_for_missing_numbers_are_missing(tmp_path: Path, word: str) -> None:
    """Among numbers they are null."""
    features = [e["features"]["a"] for e in _predictions(_file(tmp_path, "t.csv", f"a,b\n1,x\n{word},x\n"))]
    assert features == [1, None]


def _reasons(path: Path) -> list[Reason]:
    schema = MonitorSchema(
        name="m",
        task="classification",
        features={"a": FeatureSchema(type="numeric"), "b": FeatureSchema(type="numeric")},
    )
    raw = [RawMessage("t", 0, k, value) for k, value in enumerate(read_events(path, options=TableOptions(monitor="m")))]
    return [reject.reason for reject in Decoder({"m": schema}).decode(raw).rejects]


def test_rows_that_are_none_become_refused_events(tmp_path: Path) -> None:
    """Too few or too many fields, broken UTF-8, an infinite number, a text among numbers: each is one reject."""
    good = "1,2\n" * 1_000
    path = tmp_path / "t.csv"
    path.write_bytes(f"a,b\n{good}3\n1,2,3\n".encode() + b"\xff,1\n1,inf\n" + b"4,five\n\n5,6\n")
    assert _reasons(path) == [
        Reason.NOT_JSON, Reason.NOT_JSON, Reason.NOT_JSON, Reason.NOT_FINITE, Reason.WRONG_TYPE
    ]  # fmt: skip


def test_a_refused_row_names_its_line(tmp_path: Path) -> None:
    """The message that stands for it holds the number of the line and its text."""
    messages = list(read_events(_file(tmp_path, "t.csv", "a,b\n1,2\n3\n")))
    assert messages[1] == b"line 3: 1 fields where the header has 2: 3"


def test_a_later_text_among_numbers_is_no_category(tmp_path: Path) -> None:
    """Types are settled on the first 1,000 rows; afterwards a text stays one, to be refused."""
    path = _file(tmp_path, "t.csv", "a\n" + "1\n" * 1_000 + "oops\n2\n")
    assert [e["features"]["a"] for e in _predictions(path)][-2:] == ["oops", 2]


def test_semicolons_and_a_byte_order_mark_are_understood(tmp_path: Path) -> None:
    """The separator is the one that the header has most of; a mark at the start is no part of a name."""
    path = _file(tmp_path, "t.csv", "\ufeffa;b\n1;x,y\n")
    assert next(_predictions(path))["features"] == {"a": 1, "b": "x,y"}


def test_quoted_cells_may_hold_lines(tmp_path: Path) -> None:
    """A line break inside quotes is part of the cell."""
    path = _file(tmp_path, "t.csv.gz", 'a,b\n"x\ny",1\nz,2\n')
    assert [e["features"]["a"] for e in _predictions(path)] == ["x\ny", "z"]


def test_parquet_gives_the_events_that_csv_gives(tmp_path: Path) -> None:
    """The same table in both formats makes the same events."""
    csv = _file(tmp_path, "t.csv", "when,a,b,c,y\n2013-01-01T00:00:00,1.5,true,x,u\n2013-01-01T00:00:01,,false,,v\n")
    table = pa.table(
        {
            "when": pa.array([1_356_998_400, 1_356_998_401], pa.timestamp("s")),
            "a": [1.5, float("nan")],
            "b": [True, False],
            "c": pa.array(["x", None]).dictionary_encode(),
            "y": ["u", "v"],
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    options = {"monitor": "m", "label": "y", "time": "when"}
    assert _events(tmp_path / "t.parquet", **options) == _events(csv, **options)


def test_nested_parquet_columns_are_refused(tmp_path: Path) -> None:
    """The error names the column and what it holds."""
    parquet.write_table(pa.table({"a": [[1, 2]]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="column 'a' holds list"):
        read_events(tmp_path / "t.parquet")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.ndjson"])
def test_progress_ends_at_the_size_of_the_file(tmp_path: Path, name: str) -> None:
    """Reported positions never fall, start at 0 or more, and end with all bytes."""
    path = _file(tmp_path, name, "a\n" + "1\n" * 5_000)
    told: list[tuple[int, int]] = []
    for _ in read_events(path, progress=lambda done, total: told.append((done, total))):
        pass
    assert told == sorted(told)
    assert len(told) > 3
    assert told[-1] == (path.stat().st_size,) * 2


@pytest.mark.parametrize(
    ("name", "text", "options", "words"),
    [
        ("t.csv", "price,y\n1,2\n", {"label": "prize"}, "label = 'prize'.*did you mean 'price'"),
        ("t.csv", "price,y\n1,2\n", {"time": "zzz"}, "time = 'zzz'.*it has: price, y"),
        ("t.csv", "price,y\n1,2\n", {"label": "y", "id": "y"}, "already the column of label"),
        ("t.csv", "", {}, "empty"),
        ("t.csv", "a,a\n1,2\n", {}, "'a' appears twice"),
        ("t.xlsx", "x", {}, "unknown kind of file.*csv"),
        ("t.parquet", "x", {}, "no Parquet file"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, name: str, text: str, options: dict[str, str], words: str) -> None:
    """What is wrong with a file or a column is said before the first event."""
    path = _file(tmp_path, name, text)
    with pytest.raises(InputError, match=words):
        read_events(path, options=TableOptions(**options))  # type: ignore[arg-type]


def test_folders_and_missing_files_are_named(tmp_path: Path) -> None:
    """Each has its own words."""
    with pytest.raises(InputError, match="a folder"):
        read_events(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_events(tmp_path / "none.csv")
    with pytest.raises(InputError, match="label_delay = -1"):
        TableOptions(label_delay=-1)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.ndjson.gz"])
def test_a_torn_archive_is_named(tmp_path: Path, name: str) -> None:
    """An archive that was cut off is an error at the place, not an end."""
    path = tmp_path / name
    lines = "a\n" + "".join(f"{k * 7919 % 10007}\n" for k in range(20_000))
    path.write_bytes(gzip.compress(lines.encode())[:-3_000])
    with pytest.raises(InputError, match="cannot be read to its end"):
        list(read_events(path))
