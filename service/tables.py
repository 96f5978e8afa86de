"""Files of rows, opened one row at a time: CSV, TSV and Parquet with typed cells, and lines of NDJSON.

The types of a text table's columns are settled on its first 1,000 rows; a later cell that does not fit its column
stays a text, so that the event it makes is refused with its reason and is not silently another category.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

__all__ = ["FORMATS", "InputError", "Malformed", "Row", "Table", "Value", "format_of", "lines_of", "open_table"]

Value = str | float | int | bool | None
Row = list[Value]

FORMATS = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_TYPED_ROWS = 1_000
_MAX_LINE = 16 * 1024 * 1024  # as large as a request may be; a longer line is cut there and refused as broken
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.IGNORECASE)
_LEADING_ZERO = re.compile(r"[+-]?0\d")  # 007 and 08540 are codes: as numbers they would lose their zeros
_NO_NUMBER = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
_BOOLEANS = {"true": True, "false": False}


class InputError(ValueError):
    """A file or a column that cannot be used; the message names it and says what can."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that is none, as the message that stands for it: no JSON, with the line's number and its text."""

    message: bytes


@dataclass(slots=True)
class Table:
    """An opened table: its columns, its rows (once through) and how far the file has been read."""

    names: list[str]
    rows: Iterator[Row | Malformed]
    size: int
    position: Callable[[], int]


def format_of(path: Path) -> str:
    """Return `ndjson`, `csv` or `parquet`, by the file's extension (before a final `.gz`)."""
    if path.is_dir():
        raise InputError(f"{path}: a folder; give a file in it")
    if not path.exists():
        raise InputError(f"{path}: no such file")
    name = path.name.lower()
    for end, kind in FORMATS.items():
        if name.endswith(end) or (name.endswith(f"{end}.gz") and kind != "parquet"):
            return kind
    known = ", ".join(FORMATS)
    raise InputError(f"{path.name}: unknown kind of file; known: {known}, and the text formats with .gz")


def lines_of(path: Path, progress: Callable[[int, int], None] | None) -> Iterator[bytes]:
    """Yield the lines of a text file as bytes, without their ends; blank lines are no events."""
    size = path.stat().st_size
    with path.open("rb") as file:
        source = _unpacked(file, path)
        for number in itertools.count():
            if progress is not None and number % _TYPED_ROWS == 0:
                progress(file.tell(), size)
            line = _damage_named(path, lambda: _line(source))
            if not line:
                break
            if line.strip():
                yield line.rstrip(b"\r\n")
    if progress is not None:
        progress(size, size)


def _line(source: IO[bytes]) -> bytes:
    line = source.readline(_MAX_LINE)
    rest = line
    while len(rest) == _MAX_LINE and not rest.endswith(b"\n"):
        rest = source.readline(_MAX_LINE)
    return line


def _damage_named(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise InputError(f"{path.name}: cannot be read to its end: {error}") from error


def _unpacked(file: IO[bytes], path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if path.name.lower().endswith(".gz") else file


def open_table(path: Path) -> Table:
    """Open a CSV, TSV or Parquet file; the header is read and checked, rows are read as they are asked for."""
    table = _open_parquet(path) if format_of(path) == "parquet" else _open_csv(path)
    twice = sorted({name for name in table.names if table.names.count(name) > 1})
    if twice:
        raise InputError(f"{path.name}: column {twice[0]!r} appears twice; rename one of them")
    return table


def _open_csv(path: Path) -> Table:
    file = path.open("rb")  # _decoded closes it, at the end or when it is dropped
    text = _decoded(path, file)
    head = next(text, "")
    if not head.strip():
        raise InputError(f"{path.name}: empty; a table starts with a row of column names")
    delimiter = max(",;\t|", key=head.count)
    lines = csv.reader(itertools.chain([head], text), delimiter=delimiter)
    names = [name.strip() or f"column_{k}" for k, name in enumerate(next(lines))]
    rows = _typed(_fields(lines, len(names), delimiter), len(names))
    return Table(names, rows, path.stat().st_size, lambda: 0 if file.closed else file.tell())


def _decoded(path: Path, file: IO[bytes]) -> Iterator[str]:
    """Yield the lines as text; bytes that are no UTF-8 stay recognisable, so that their row can be refused."""
    with file:
        raw = _unpacked(file, path)
        for number in itertools.count():
            line: bytes = _damage_named(path, raw.readline)
            if not line:
                return
            yield line.decode("utf-8-sig" if number == 0 else "utf-8", "surrogateescape")


def _fields(lines: Any, width: int, delimiter: str) -> Iterator[list[str] | Malformed]:
    while True:
        try:
            fields: list[str] = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield _malformed(lines.line_num, str(error), "")
            continue
        if not fields:
            continue
        whole = delimiter.join(fields)
        if len(fields) != width:
            yield _malformed(lines.line_num, f"{len(fields)} fields where the header has {width}", whole)
        elif not whole.isascii() and any("\udc80" <= letter <= "\udcff" for letter in whole):
            yield _malformed(lines.line_num, "no UTF-8", whole)
        else:
            yield fields


def _malformed(line: int, what: str, text: str) -> Malformed:
    return Malformed(f"line {line}: {what}: {text}".encode("utf-8", "backslashreplace"))


def _typed(rows: Iterator[list[str] | Malformed], width: int) -> Iterator[Row | Malformed]:
    first = list(itertools.islice(rows, _TYPED_ROWS))
    whole = [row for row in first if not isinstance(row, Malformed)]
    readers = [_reader_of([row[k] for row in whole]) for k in range(width)]
    for row in itertools.chain(first, rows):
        if isinstance(row, Malformed):
            yield row
        else:
            yield [read(cell) for read, cell in zip(readers, row, strict=True)]


def _reader_of(cells: Sequence[str]) -> Callable[[str], Value]:
    given = [text for cell in cells if (text := cell.strip()).lower() not in _NO_NUMBER]
    if given and all(text.lower() in _BOOLEANS for text in given):
        return _boolean
    if given and any(_NUMBER.fullmatch(text) is None or _LEADING_ZERO.match(text) for text in given):
        return _words
    return _number


def _words(cell: str) -> Value:
    return cell.strip() or None


def _boolean(cell: str) -> Value:
    text = cell.strip()
    return None if text.lower() in _NO_NUMBER else _BOOLEANS.get(text.lower(), text)


def _number(cell: str) -> Value:
    text = cell.strip()
    if text.lower() in _NO_NUMBER:
        return None
    return _plain(float(text)) if _NUMBER.fullmatch(text) else text


def _plain(value: float) -> float | int:
    """Write 1.0 as 1, so that a label 1.0 and a prediction 1 are the same class."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _open_parquet(path: Path) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path.name}: no Parquet file: {error}") from error
    schema = file.schema_arrow
    for column in schema:
        if pa.types.is_nested(column.type):
            raise InputError(f"{path.name}: column {column.name!r} holds {column.type}; only flat columns can be read")
    done = [0]
    size, total = path.stat().st_size, max(file.metadata.num_rows, 1)
    rows = _parquet_rows(file, done)
    return Table(list(schema.names), rows, size, lambda: size * done[0] // total)


def _parquet_rows(file: Any, done: list[int]) -> Iterator[Row | Malformed]:
    with file:
        for batch in file.iter_batches(batch_size=4_096):
            columns = [[_cell(value) for value in column.to_pylist()] for column in batch.columns]
            for row in zip(*columns, strict=True):
                done[0] += 1
                yield list(row)


def _cell(value: Any) -> Value:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else _plain(value)
    if isinstance(value, Decimal):
        return _plain(float(value))
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
