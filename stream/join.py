"""The label join: which label answers which prediction, with one documented result for every order of arrival.

Each prediction has a number (0, 1, …) in order of arrival and *matures* exactly once, in that order, when the
watermark has passed its time by the fixed age. The results of a label:

==============  ==========================================================================================
`JOINED`        first label of a prediction that has not matured
`EARLY`         its prediction is not here (not yet, or no longer): it waits under a cap of its own
`DUPLICATE`     the same label again: nothing changes
`CORRECTION`    another label for a labelled prediction: metrics are re-scored, detectors and learners are not
`LATE`          first label after maturity, inside the correction window: metrics and learners take it,
                detectors do not
`TOO_LATE`      after `timeout`: counted, otherwise ignored (with `on_timeout = {value}` it is a correction)
==============  ==========================================================================================

A label whose prediction has left the correction window cannot be told from one that is early: it waits as early
and is counted as an orphan when the cap pushes it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import msgspec

__all__ = ["CHUNK_N", "JoinCounts", "LabelJoin", "LabelResult", "PendingPrediction"]

CHUNK_N = 512


class LabelResult(IntEnum):
    """What became of a label; see the module's table."""

    JOINED = 0
    EARLY = 1
    DUPLICATE = 2
    CORRECTION = 3
    LATE = 4
    TOO_LATE = 5


# Looked up once: a member of an enumeration costs ten times what a name of the module does.
_JOINED, _EARLY, _DUPLICATE, _CORRECTION, _LATE, _TOO_LATE = LabelResult


class PendingPrediction(msgspec.Struct, array_like=True, gc=False):
    """A prediction as it was made, until its correction window has passed.

    `answers` holds, per member of the committee in its order, `[predicted, scores]` as given then; `tickets` the
    ordinals under which the metrics scored it, `segments` the same in each of its segments. `served` names the member
    whose answer was served, where the event came without one.
    """

    id: str
    time_ms: int
    version: str
    prediction: str | float | None
    scores: dict[str, float] | None
    no_change: str | float | None
    backfill: bool
    features: list[float | str | None]
    answers: dict[str, list[Any]]
    label: str | float | None = None
    label_ms: int = 0
    matured: bool = False
    assumed: bool = False
    tickets: dict[str, int] = {}
    segments: dict[str, dict[str, int]] | None = None
    served: str | None = None

    def given(self) -> tuple[Any, dict[str, float] | None]:
        """What was answered, with its probabilities: by the producer, else by the learner that served."""
        if self.served is None:
            return self.prediction, self.scores
        predicted, scores = self.answers[self.served]
        return predicted, scores


class JoinCounts(msgspec.Struct):
    """Counters since the start; `open` is a gauge: predictions that wait for their label."""

    predictions: int = 0
    labels: int = 0
    joined: int = 0
    late: int = 0
    too_late: int = 0
    duplicates: int = 0
    duplicate_predictions: int = 0
    corrections: int = 0
    orphans: int = 0
    evicted: int = 0
    unlabelled: int = 0
    matured: int = 0
    open: int = 0


class LabelJoin:
    """The join of one monitor in one partition.

    Parameters
    ----------
    age_ms : the fixed age, or None: the 95th percentile of the first `age_n` label delays
    timeout_ms, timeout_value : after `timeout_ms` a missing label counts as `timeout_value` (None: unlabelled)
    correction_window, max_pending, max_early : caps in predictions or labels, 1 or more
    """

    def __init__(
        self,
        *,
        age_ms: int | None,
        age_n: int = 500,
        timeout_ms: int | None = None,
        timeout_value: str | float | None = None,
        correction_window: int = 10_000,
        max_pending: int = 50_000,
        max_early: int = 10_000,
    ) -> None:
        self.age_ms = age_ms
        self.age_n = age_n
        self.timeout_ms = timeout_ms
        self.timeout_value = timeout_value
        self.correction_window = min(correction_window, max_pending)
        self.max_pending = max_pending
        self.max_early = max_early
        self.counts = JoinCounts()
        self.early: dict[str, tuple[str | float, int]] = {}
        self._rows: dict[int, PendingPrediction] = {}
        self._numbers: dict[str, int] = {}
        self._next = 0
        self._mature = 0
        self._tail = 0
        self._delays: list[int] = []
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def next_number(self) -> int:
        """The number that the next prediction gets."""
        return self._next

    @property
    def next_to_mature(self) -> int:
        """The number of the first prediction that has not matured."""
        return self._mature

    def knows(self, prediction_id: str) -> bool:
        """Whether a retained prediction has this id."""
        return prediction_id in self._numbers

    def find(self, prediction_id: str) -> int:
        """The number of the retained prediction with this id, or -1."""
        return self._numbers.get(prediction_id, -1)

    def row(self, number: int) -> PendingPrediction:
        """The retained prediction `number`. The caller may write to it after `touch`, and until the next `dirty_chunks`
        if it came of age or got its label since the last."""
        return self._rows[number]

    def rewritten(self) -> Iterator[PendingPrediction]:
        """All retained predictions in order, each of which the caller writes to."""
        for number, row in self._rows.items():
            self.touch(number)
            yield row

    def touch(self, number: int) -> None:
        """Say that the row `number` was written to."""
        self._dirty.add(number // CHUNK_N)

    def add(self, row: PendingPrediction) -> int:
        """Take a prediction; returns its number. Its id must not be known (`knows`)."""
        number = self._next
        self._next = number + 1
        self._rows[number] = row
        self._numbers[row.id] = number
        self._dirty.add(number // CHUNK_N)
        self.counts.predictions += 1
        self.counts.open += 1
        if self._tail < self._next - self.correction_window:
            self._drop_old()
        return number

    def take_early(self, number: int) -> tuple[LabelResult, int] | None:
        """Join the label that came before prediction `number`, if one did."""
        row = self._rows[number]
        if row.id not in self.early:
            return None
        label, time_ms = self.early.pop(row.id)
        return self._join(number, row, label, time_ms)

    def label(self, prediction_id: str, time_ms: int, label: str | float) -> tuple[LabelResult, int]:
        """Take a label; returns what became of it and the prediction's number (-1: none)."""
        self.counts.labels += 1
        number = self._numbers.get(prediction_id, -1)
        if number < 0:
            return self._keep_early(prediction_id, time_ms, label), -1
        return self._join(number, self._rows[number], label, time_ms)

    def _keep_early(self, prediction_id: str, time_ms: int, label: str | float) -> LabelResult:
        waiting = self.early.get(prediction_id)
        if waiting is not None:
            if waiting[0] == label:
                self.counts.duplicates += 1
                return _DUPLICATE
            self.counts.corrections += 1
            self.early[prediction_id] = (label, time_ms)
            return _CORRECTION
        self.early[prediction_id] = (label, time_ms)
        if len(self.early) > self.max_early:
            del self.early[next(iter(self.early))]
            self.counts.orphans += 1
        return _EARLY

    def _join(self, number: int, row: PendingPrediction, label: str | float, time_ms: int) -> tuple[LabelResult, int]:
        counts = self.counts
        if row.label is not None:
            if row.assumed:
                counts.joined += 1
                row.assumed = False
                self._dirty.add(number // CHUNK_N)
            if row.label == label:
                counts.duplicates += 1
                return _DUPLICATE, number
            counts.corrections += 1
            return self._write(number, row, label, time_ms, _CORRECTION)
        if self.timeout_ms is not None and time_ms - row.time_ms > self.timeout_ms:
            counts.too_late += 1
            return _TOO_LATE, number
        counts.joined += 1
        if row.matured:
            counts.late += 1
            return self._write(number, row, label, time_ms, _LATE)
        counts.open -= 1
        if self.age_ms is None:
            self._learn_age(max(0, time_ms - row.time_ms))
        return self._write(number, row, label, time_ms, _JOINED)

    def _write(
        self, number: int, row: PendingPrediction, label: str | float, time_ms: int, result: LabelResult
    ) -> tuple[LabelResult, int]:
        row.label, row.label_ms, row.assumed = label, time_ms, False
        self._dirty.add(number // CHUNK_N)
        return result, number

    def _learn_age(self, delay_ms: int) -> None:
        self._delays.append(delay_ms)
        if len(self._delays) >= self.age_n:
            ordered = sorted(self._delays)
            self.age_ms = ordered[min(len(ordered) - 1, (len(ordered) * 95) // 100)]
            self._delays = []

    def due(self, watermark_ms: int) -> list[tuple[int, PendingPrediction]]:
        """Predictions that mature now, in order. Each has its label, the value on time-out, or None."""
        matured: list[tuple[int, PendingPrediction]] = []
        rows, counts, age_ms = self._rows, self.counts, self.age_ms
        while (number := self._mature) < self._next:
            row = rows[number]
            aged = age_ms is not None and watermark_ms - row.time_ms >= age_ms
            if not aged and self._next - number <= self.max_pending:
                break
            self._mature = number + 1
            row.matured = True
            counts.matured += 1
            self._dirty.add(number // CHUNK_N)
            if row.label is None:
                self._mature_unlabelled(row, evicted=not aged)
            matured.append((number, row))
        if matured:
            self._drop_old()
        return matured

    def _mature_unlabelled(self, row: PendingPrediction, *, evicted: bool) -> None:
        counts = self.counts
        counts.open -= 1
        if self._timed_out() and self.timeout_value is not None:
            row.label, row.assumed = self.timeout_value, True
        else:
            counts.unlabelled += 1
        counts.evicted += evicted

    def _timed_out(self) -> bool:
        return self.timeout_ms is not None and self.age_ms is not None and self.age_ms >= self.timeout_ms

    def _drop_old(self) -> None:
        until = min(self._mature, self._next - self.correction_window)
        if self._tail >= until:
            return
        while self._tail < until:
            row = self._rows.pop(self._tail)
            if self._numbers.get(row.id) == self._tail:
                del self._numbers[row.id]
            self._tail += 1
            if self._tail % CHUNK_N == 0:
                self._dirty.add(self._tail // CHUNK_N - 1)
        # A chunk's bytes depend on the tail inside it, so they must follow it whatever the commits' cuts are.
        self._dirty.add(self._tail // CHUNK_N)

    def begin_anew(self) -> None:
        """Forget all rows and early labels, counted as evicted and orphaned; numbers, counts and the age go on."""
        for number in range(self._mature, self._next):
            self.counts.matured += 1
            if self._rows[number].label is None:
                self.counts.evicted += 1
                self.counts.unlabelled += 1
                self.counts.open -= 1
        self.counts.orphans += len(self.early)
        self._dirty.update(number // CHUNK_N for number in self._rows)
        self.early, self._rows, self._numbers, self._tail = {}, {}, {}, self._next
        self._mature = self._next

    def state(self) -> dict[str, Any]:
        """Everything but the rows, as a plain tree."""
        return {
            "age_ms": self.age_ms,
            "counts": msgspec.to_builtins(self.counts),
            "early": [[key, label, time_ms] for key, (label, time_ms) in self.early.items()],
            "numbers": [self._next, self._mature, self._tail],
            "delays": self._delays,
        }

    def dirty_chunks(self) -> dict[int, bytes | None]:
        """Rows written to since the last call, in chunks of `CHUNK_N` numbers; None: the chunk is gone."""
        chunks: dict[int, bytes | None] = {}
        encode = msgspec.msgpack.Encoder(order="deterministic").encode
        for chunk in sorted(self._dirty):
            first = max(chunk * CHUNK_N, self._tail)
            rows = [self._rows[number] for number in range(first, min((chunk + 1) * CHUNK_N, self._next))]
            chunks[chunk] = encode(rows) if rows else None
        self._dirty.clear()
        return chunks

    def load(self, state: dict[str, Any], chunks: dict[int, bytes]) -> None:
        """Restore what `state` and `dirty_chunks` gave."""
        self.age_ms = state["age_ms"]
        self.counts = msgspec.convert(state["counts"], JoinCounts)
        self.early = {key: (label, time_ms) for key, label, time_ms in state["early"]}
        self._next, self._mature, self._tail = state["numbers"]
        self._delays = list(state["delays"])
        self._rows, self._numbers = {}, {}
        decoder = msgspec.msgpack.Decoder(list[PendingPrediction])
        for chunk in sorted(chunks):
            for number, row in enumerate(decoder.decode(chunks[chunk]), max(chunk * CHUNK_N, self._tail)):
                self._rows[number] = row
                self._numbers[row.id] = number
        self._dirty.clear()
