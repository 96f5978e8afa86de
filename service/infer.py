"""A configuration inferred from a sample of events: what `init` writes and what `replay` uses when it has none.

It reads the sample once, marks columns that drift by construction or tell the label, and invents neither limits nor
closed lists of categories: a sample cannot know what will still come.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from service.config import Config, FeatureConfig, LearnerConfig, MonitorConfig
from service.infer_columns import (
    Column,
    Mark,
    Value,
    by_construction,
    is_score_name,
    leak,
    linear_leaks,
    mark,
    serial_correlation,
)
from service.infer_toml import FeatureNote, MonitorNote, write_toml
from service.readers import InputError, TableOptions, default_monitor, read_events
from service.tables import Malformed, format_of, open_table

__all__ = ["InferredConfig", "guess_options", "infer", "infer_file", "to_toml"]

_LABELS = ("label", "target", "class", "y", "outcome", "y_true", "ground_truth")
_PREDICTIONS = ("prediction", "y_pred", "predicted", "pred", "yhat", "y_hat")
_TIMES = ("timestamp", "datetime", "event_time", "time", "date")
_AUTOCORRELATED = 0.7  # neighbouring rows alike: windows then differ from a fixed reference without any drift
_STRAY_SHARE = 0.005  # a monitor that so few events name is likelier a misspelt one
_TREES: dict[str, LearnerConfig] = {
    "classification": LearnerConfig(estimator="river.tree.HoeffdingTreeClassifier"),
    # linear models in the leaves, river's default, run away on features of unlike size
    "regression": LearnerConfig(estimator="river.tree.HoeffdingTreeRegressor", parameters={"leaf_prediction": "mean"}),
}


@dataclass(frozen=True, slots=True)
class InferredConfig:
    """A configuration with what was noticed on the way; `config` is ready to use, `to_toml` writes it down."""

    config: Config
    notes: dict[str, MonitorNote]
    skipped: int = 0

    @property
    def marked(self) -> dict[str, dict[str, str]]:
        """Monitor -> feature -> reason, of the features that are not watched."""
        return {
            name: {f: c.reason for f, c in monitor.features.items() if not c.watch}
            for name, monitor in self.config.monitors.items()
        }


@dataclass(slots=True)
class _Sample:
    """The events of one monitor as columns; `labels` are aligned with the predictions."""

    rows: list[dict[str, Value]] = field(default_factory=list)
    predictions: list[Value] = field(default_factory=list)
    scored: bool = False
    naive_times: int = 0
    place: dict[str, int] = field(default_factory=dict)
    answers: dict[str, Value] = field(default_factory=dict)

    def columns(self) -> list[Column]:
        names = dict.fromkeys(name for row in self.rows for name in row)
        return [Column(name, [row.get(name) for row in self.rows]) for name in names]

    def labels(self) -> list[Value]:
        return [self.answers.get(identity) for identity in self.place]


def infer(events: Iterable[bytes], *, reference: Iterable[bytes] | None = None) -> InferredConfig:
    """Infer monitors and schemas from events in the wire format; what is none is skipped and counted.

    Parameters
    ----------
    events : the sample; it is read to its end
    reference : events of an earlier time: columns that share no value with it are marked as well

    Raises
    ------
    InputError
        if not one prediction is among `events`.
    """
    samples, skipped = _gather(events)
    if not any(sample.rows for sample in samples.values()):
        raise InputError(
            f"sample: no prediction event in it ({skipped} lines could not be read); "
            'write one JSON object a line, such as {"type":"prediction","id":"1","monitor":"m","time":…,"features":{…}}'
        )
    earlier = _gather(reference)[0] if reference is not None else {}
    total = sum(len(sample.rows) for sample in samples.values())
    strays = [name for name, sample in samples.items() if len(sample.rows) < _STRAY_SHARE * total]
    skipped += sum(len(samples.pop(name).rows) for name in strays)
    monitors: dict[str, MonitorConfig] = {}
    notes: dict[str, MonitorNote] = {}
    for name, sample in samples.items():
        before = earlier.get(name) or (next(iter(earlier.values())) if len(earlier) == len(samples) == 1 else None)
        monitors[name], notes[name] = _monitor(sample, before)
    return InferredConfig(Config(monitors=monitors), notes, skipped)


def infer_file(
    path: Path, *, options: TableOptions | None = None, reference: Path | None = None, sample_n: int = 5_000
) -> InferredConfig:
    """Infer from the first `sample_n` events of a file, NDJSON or table.

    Parameters
    ----------
    path, reference : files that `read_events` can read
    options : what a table's columns are; what is left open is guessed from names (see `guess_options`)
    sample_n : how many events are looked at; a row with a label counts as two
    """
    if sample_n < 1:
        raise InputError(f"sample_n = {sample_n}: look at 1 event or more")
    table = format_of(path) != "ndjson"
    if table:
        # labels are looked at with their rows: a long delay must not hide from the sample what they are
        options = replace(guess_options(path, options), label_delay=0)
    events = itertools.islice(read_events(path, options=options), sample_n)
    earlier = None
    if reference is not None:
        earlier = itertools.islice(read_events(reference, options=options), sample_n)
    found = infer(events, reference=earlier)
    if options is not None and table:
        for note in found.notes.values():
            note.roles.update(options.roles())
    return found


def to_toml(found: InferredConfig) -> str:
    """Write an inferred configuration as commented TOML that `service.config.parse` reads back to the same."""
    return write_toml(found.config, found.notes)


def guess_options(path: Path, options: TableOptions | None = None) -> TableOptions:
    """Fill in what `options` leaves open about a table: label, prediction, time and id, from the columns' names.

    The label is a column called label, target, class, … or else the last column that is no prediction or time.
    """
    table = open_table(path)
    first = next((row for row in table.rows if not isinstance(row, Malformed)), None)
    given = options or TableOptions(monitor=default_monitor(path))
    taken = set(given.roles().values())
    free = [name for name in table.names if name not in taken]
    prediction = given.prediction or _named(free, _PREDICTIONS)
    identity = given.id or next((name for name in free if name.lower() in {"id", "event_id", "uuid"}), None)
    texts = [n for n in free if first is not None and isinstance(first[table.names.index(n)], str)]
    time = given.time or _named(texts, _TIMES)
    rest = [n for n in free if n not in {prediction, identity, time} and not is_score_name(n)]
    label = given.label or _named(rest, _LABELS) or (rest[-1] if len(rest) > 1 else None)
    return TableOptions(
        monitor=given.monitor, label=label, time=time, prediction=prediction, id=identity, label_delay=given.label_delay
    )


def _named(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    lower = {name.lower(): name for name in names}
    return next((lower[name] for name in wanted if name in lower), None)


def _gather(events: Iterable[bytes]) -> tuple[dict[str, _Sample], int]:
    samples: dict[str, _Sample] = {}
    skipped = 0
    for raw in events:
        event = _event(raw)
        if event is None:
            skipped += 1
            continue
        sample = samples.setdefault(event["monitor"], _Sample())
        if event["type"] == "label":
            sample.answers[str(event["id"])] = event.get("label")
        elif not _add(sample, event):
            skipped += 1
    return {name: sample for name, sample in samples.items() if sample.rows}, skipped


def _event(raw: bytes) -> dict[str, Any] | None:
    try:
        event = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(event, dict) and "specversion" in event and isinstance(event.get("data"), dict):
        event = {**event, **event["data"]}
    if not isinstance(event, dict) or event.get("type") not in {"prediction", "label"}:
        return None
    return event if isinstance(event.get("monitor"), str) and isinstance(event.get("id"), str | int) else None


def _add(sample: _Sample, event: dict[str, Any]) -> bool:
    features, identity = event.get("features"), str(event["id"])
    if not isinstance(features, dict) or identity in sample.place:
        return False
    sample.place[identity] = len(sample.rows)
    sample.rows.append({n: v for n, v in features.items() if v is None or isinstance(v, str | int | float)})
    sample.predictions.append(event.get("prediction"))
    sample.scored |= bool(event.get("scores"))
    time = event.get("time")
    sample.naive_times += isinstance(time, str) and not _has_offset(time)
    return True


def _has_offset(time: str) -> bool:
    clock = time[10:]
    return clock.endswith(("Z", "z")) or "+" in clock or "-" in clock


def _monitor(sample: _Sample, before: _Sample | None) -> tuple[MonitorConfig, MonitorNote]:
    columns, labels = sample.columns(), sample.labels()
    task = _task(labels, sample.predictions)
    marks = _marks(columns, labels, before)
    features, notes = {}, {}
    for column in columns:
        features[column.name] = _feature(column, marks.get(column.name))
        notes[column.name] = _note(column, marks.get(column.name))
    labelled = [y for y in labels if y is not None]
    learners = {"tree": _TREES[task]} if labelled else {}
    config = MonitorConfig(
        task=task,
        timezone="UTC" if sample.naive_times * 2 > len(sample.rows) else None,
        features=features,
        learners=learners,
        champion=next(iter(learners), None),
    )
    few = sorted({str(y) for y in labelled}) if task == "regression" and len(set(labelled)) <= 20 else []
    return config, MonitorNote(rows=len(sample.rows), labels=len(labelled), few_numbers=few, features=notes)


def _task(labels: Sequence[Value], predictions: Sequence[Value]) -> Literal["classification", "regression"]:
    """Text or boolean labels are classes, numbers a quantity; without labels the predictions tell."""
    outcomes = [y for y in labels if y is not None] or [y for y in predictions if y is not None]
    numbers = sum(isinstance(y, int | float) and not isinstance(y, bool) for y in outcomes)
    return "regression" if outcomes and numbers * 2 > len(outcomes) else "classification"


def _marks(columns: Sequence[Column], labels: Sequence[Value], before: _Sample | None) -> dict[str, Mark]:
    marks: dict[str, Mark] = {}
    earlier = {column.name: column for column in before.columns()} if before is not None else {}
    for column in columns:
        found = mark(column)
        if found is not None:
            marks[column.name] = found
    free = [column for column in columns if column.name not in marks]
    marks |= linear_leaks(free, labels)
    for column in free:
        found = marks.get(column.name) or leak(column, labels)
        if found is None and column.name in earlier:
            found = by_construction(column, earlier[column.name])
        if found is not None:
            marks[column.name] = found
    return marks


def _feature(column: Column, found: Mark | None) -> FeatureConfig:
    kind: Any = column.type
    if found is None:
        return FeatureConfig(type=kind)
    return FeatureConfig(type=kind, watch=False, learn=found.learn, reason=found.reason)


def _note(column: Column, found: Mark | None) -> FeatureNote:
    missing = len(column.values) - len(column.given)
    share = missing / max(1, len(column.values))
    correlation = serial_correlation(column) if found is None and column.type == "numeric" else 0.0
    return FeatureNote(
        missing=share,
        categories=len(set(column.given)) if column.type == "categorical" else 0,
        autocorrelation=correlation if correlation >= _AUTOCORRELATED else 0.0,
        mixed=len({isinstance(v, str) for v in column.given}) > 1,
    )
