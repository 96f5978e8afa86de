"""Recorded events from files: NDJSON in the wire format as it is, CSV and Parquet turned into the wire format.

A table's row becomes one prediction event and, some predictions later, one label event; a row that is no row
(too few fields, broken text) becomes a message that is refused, so that nothing is dropped in silence.
"""

from __future__ import annotations

import difflib
import json
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from service.tables import FORMATS, InputError, Malformed, Row, Table, Value, format_of, lines_of, open_table

__all__ = ["InputError", "Progress", "TableOptions", "default_monitor", "read_events"]

Progress = Callable[[int, int], None]
"""Called with the bytes of the file read so far and its size."""

_EPOCH_MS = 946_684_800_000  # 2000-01-01T00:00:00Z: rows without a time column are a second apart from here on
_REPORT_EVERY = 1_000


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What the columns of a table are; the columns that no option names are the features.

    Attributes
    ----------
    monitor : name of the monitor that the events are for
    label : column of the true outcome; an empty cell is a label that never comes
    time : column of the event time: RFC 3339, a date, or an epoch in s, ms, µs or ns; none: rows a second apart
    prediction : column of what the producer's model said
    id : column of unique ids; none: `row-0`, `row-1`, …
    label_delay : how many predictions later the label is sent; labels not yet due at the end are not sent
    """

    monitor: str = "model"
    label: str | None = None
    time: str | None = None
    prediction: str | None = None
    id: str | None = None
    label_delay: int = 0

    def __post_init__(self) -> None:
        if self.label_delay < 0:
            raise InputError(f"label_delay = {self.label_delay}: give 0 or more predictions")

    def roles(self) -> dict[str, str]:
        """Return option -> column, of the options that name one."""
        named = {"label": self.label, "time": self.time, "prediction": self.prediction, "id": self.id}
        return {option: column for option, column in named.items() if column is not None}


def read_events(
    path: Path, *, options: TableOptions | None = None, progress: Progress | None = None
) -> Iterator[bytes]:
    """Return the events of `path` in the wire format, one at a time; memory does not grow with the file.

    Parameters
    ----------
    path : `.ndjson`, `.jsonl` or `.json` (wire format, one event a line), `.csv`, `.tsv` or `.parquet`; the text
        formats also with `.gz`
    options : what a table's columns are; not looked at for the wire format
    progress : told every 1,000 rows and at the end

    Raises
    ------
    InputError
        at once, for a file that is missing, of an unknown kind or empty, or a column that it does not have; while
        reading, for a damaged archive.
    """
    if format_of(path) == "ndjson":
        return lines_of(path, progress)
    options = options or TableOptions(monitor=default_monitor(path))
    table = open_table(path)
    _check_columns(table, options, path)
    return _TableEvents(table, options, progress).events()


def default_monitor(path: Path) -> str:
    """Return the file's name without its extensions: what a table's monitor is called unless it is told."""
    name = path.name.removesuffix(".gz")
    return next((name.removesuffix(end) for end in FORMATS if name.lower().endswith(end)), name)


def _check_columns(table: Table, options: TableOptions, path: Path) -> None:
    """Raise `InputError` for an option that names no column, with the nearest one; or two that name the same."""
    seen: dict[str, str] = {}
    for option, column in options.roles().items():
        if column not in table.names:
            near = difflib.get_close_matches(column, table.names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(table.names)}"
            raise InputError(f"{option} = {column!r}: {path.name} has no such column; {hint}")
        if column in seen:
            raise InputError(f"{option} = {column!r}: already the column of {seen[column]}")
        seen[column] = option


@dataclass(slots=True)
class _TableEvents:
    """Turns the rows of one table into events; keeps only the labels that are not yet due."""

    table: Table
    options: TableOptions
    progress: Progress | None
    unsent: deque[tuple[str, Value]] = field(default_factory=deque)
    features: list[tuple[int, str]] = field(init=False)
    role: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        used = self.options.roles()
        self.role = {option: self.table.names.index(column) for option, column in used.items()}
        taken = set(self.role.values())
        self.features = [(k, name) for k, name in enumerate(self.table.names) if k not in taken]

    def events(self) -> Iterator[bytes]:
        for number, row in enumerate(self.table.rows):
            if self.progress is not None and number % _REPORT_EVERY == 0:
                self.progress(self.table.position(), self.table.size)
            if isinstance(row, Malformed):
                yield row.message
            else:
                yield from self._of_row(number, row)
        if self.progress is not None:
            self.progress(self.table.size, self.table.size)

    def _of_row(self, number: int, row: Row) -> Iterator[bytes]:
        time = self._time(number, row)
        identity = self._cell(row, "id")
        name = f"row-{number}" if identity is None else _text(identity)
        event: dict[str, object] = {"type": "prediction", "id": name, "monitor": self.options.monitor, "time": time}
        event["features"] = {feature: row[k] for k, feature in self.features}
        prediction = self._cell(row, "prediction")
        if prediction is not None:
            event["prediction"] = prediction
        yield _encode(event, row)
        self.unsent.append((name, self._cell(row, "label")))
        if len(self.unsent) > self.options.label_delay:
            name, label = self.unsent.popleft()
            if label is not None:
                answer: dict[str, object] = {"type": "label", "id": name, "monitor": self.options.monitor, "time": time}
                answer["label"] = label
                yield _encode(answer, [label])

    def _cell(self, row: Row, option: str) -> Value:
        return row[self.role[option]] if option in self.role else None

    def _time(self, number: int, row: Row) -> Value:
        if "time" not in self.role:
            return _EPOCH_MS + 1_000 * number
        return _wire_time(row[self.role["time"]])


def _wire_time(value: Value) -> Value:
    """Turn a cell into what the wire takes as a time; what is none stays as it is and is refused later."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return _iso(value)
    size = abs(value)
    if not math.isfinite(size):
        return value
    # an epoch of today has 10 digits in s, 13 in ms, 16 in µs, 19 in ns
    per_ms = 1e-3 if size < 1e11 else 1.0 if size < 1e14 else 1e3 if size < 1e17 else 1e6
    return round(value / per_ms)


def _iso(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return text
    return moment.isoformat().replace("+00:00", "Z") if moment.tzinfo is UTC else moment.isoformat()


def _text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _encode(event: dict[str, object], values: list[Value]) -> bytes:
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        # msgspec would write null, which means "missing": an infinite number has to be refused instead
        return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    return msgspec.json.encode(event)
