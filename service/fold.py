"""The monitor fold: (state, batch) -> (state', outputs), the one place where a monitor's state changes.

Within one event: predict, join, score, detect, react, learn. There is no clock and no I/O here, and cutting the same
events into other batches gives the same bits: columns whose alarms change nothing that a later event meets go
through their detectors in blocks, everything that reacts goes event by event.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import asdict
from operator import attrgetter
from typing import Any
from urllib.parse import quote

import numpy as np

from detectors.base import DRIFT, WARNING
from service.canary import Canary
from service.config import MonitorConfig, parse_duration_ms
from service.contest import Contest
from service.context_signal import ContextSignal
from service.controls import apply_control
from service.deferred import Moment as Steer
from service.disagreement import Disagreement
from service.episodes import Episodes, Moment
from service.error_signals import ErrorSignals, Heard
from service.fold_output import FoldOutput, in_order
from service.learner_input import feature_names, feature_rows
from service.mean_signals import Spoken
from service.members import Committee, Lesson
from service.pending import pending_predictions
from service.review import Review
from service.scoreboard import Scoreboard
from service.serving import Asked, answered, answers_given
from service.signals import FeatureSignals, PredictionColumns
from service.versions import Versions
from service.watermark import Watermark
from stream.columns import CONTROL, LABEL, PREDICTION, MonitorBatch
from stream.events import Reason
from stream.join import LabelJoin, LabelResult, PendingPrediction
from stream.validate import Rules

__all__ = ["MonitorFold"]

Mark = tuple[int, float, bool]  # event of the batch, maturity, backfill
_When = tuple[int, int, int, int | None]  # the parts of a Steer, which is made only of what raised an alarm
_Joined = tuple[LabelResult, int, PendingPrediction]  # what became of a label, the prediction's number and row

_CORRECTION, _LATE = LabelResult.CORRECTION, LabelResult.LATE
_LEARNED = (LabelResult.JOINED, _LATE)
_FIRST_ERROR_ORDER = 1 << 20
_REVIEW_ORDER = _FIRST_ERROR_ORDER - 1  # after every signal of the features
_CONTEXT_ORDER = 1 << 30  # after every error signal
_NAN = float("nan")
_RIGHT, _WRONG = (0.0,), (1.0,)
_AT = attrgetter("at")


class MonitorFold:
    """State of one monitor in one partition, and the fold over it."""

    def __init__(self, name: str, config: MonitorConfig, *, pipeline: str = "anchorwatch") -> None:
        self.name, self.config, self.pipeline = name, config, pipeline
        self.classification = config.task == "classification"
        labels = config.labels
        on_timeout = labels.on_timeout["value"] if isinstance(labels.on_timeout, dict) else None
        if on_timeout is not None:  # written as labels are: the class 0 is "0" there
            on_timeout = Rules(config.schema(name)).outcome(on_timeout, "labels.on_timeout")
        self.join = LabelJoin(
            age_ms=None if labels.age is None else parse_duration_ms(labels.age),
            age_n=labels.age_n,
            timeout_ms=None if labels.timeout is None else parse_duration_ms(labels.timeout),
            timeout_value=on_timeout,
            correction_window=labels.correction_window,
            max_pending=labels.max_pending,
            max_early=labels.max_early,
        )
        self.watermark = Watermark(parse_duration_ms(config.max_skew))
        self.signals = FeatureSignals(config)
        self.errors = ErrorSignals(config, _FIRST_ERROR_ORDER)
        self.context = ContextSignal(config, order=_CONTEXT_ORDER)
        self.committee = Committee(config)
        self.versions = Versions(self.committee)
        self.scoreboard = Scoreboard(config)
        self.review = Review(config, _REVIEW_ORDER)
        self.disagreement = Disagreement(config)
        self.canary = Canary(config)
        self.contest = Contest(config, self.committee.champion)
        self.episodes = Episodes(pipeline, name, cooldown=config.cooldown)
        self.newest_label: str | float | None = None
        self.newest_version = ""
        self.unknown_features = 0
        self.newest_delay_s: float | None = None  # for charts only, so no part of the state
        self.rejected: dict[str, int] = {}
        self.configuration = ""
        self.reference_from = 0
        self.watching_since_ms: int | None = None
        self.feature_names = feature_names(config.features)
        self._offset = 0
        self._outputs: list[FoldOutput] = []
        self._heard: list[Heard] = []
        self._answered = 0  # predictions before this one have their answers
        self._asked: list[Asked] = []  # of this run, and how many of them have been answered
        self._said = 0
        self._begun = (0, 0, 0)  # its first event, and the predictions and labels before it
        self._batch: MonitorBatch
        self._unknown: list[int] = []
        self._watched: dict[int, _When] = {}  # by event of the batch: when errors that steer the learners came

    def fold(self, batch: MonitorBatch) -> list[FoldOutput]:
        """Take a batch; returns its outputs in the order of events."""
        self._outputs, self._batch = [], batch
        controls = np.flatnonzero(batch.kind == CONTROL).tolist()
        start = 0
        for at in controls:
            self._run(batch, start, at)
            self._control(batch, at)
            start = at + 1
        self._run(batch, start, len(batch.kind))
        self.scoreboard.settle()
        return in_order(self._outputs)

    def _control(self, batch: MonitorBatch, at: int) -> None:
        control = batch.control[int(batch.row[at])]
        time_ms, offset = int(batch.time_ms[at]), int(batch.offset[at])
        self.scoreboard.settle()  # it may change what was answered
        self._offset = offset
        watermark = self.watermark.observe(time_ms)
        moment = Moment(self.join.next_number, self.join.counts.labels, time_ms)
        for kind, body in apply_control(self, control, moment):
            self._outputs.append(FoldOutput(offset, kind, body))
        self._note_versions(self.versions.follow(self, control.action))
        self._mature(at, watermark)
        self._work()
        self._begin(at + 1)
        self._speak(batch, [])

    def _begin(self, start: int) -> None:
        """Begin a run of events of the batch, from `start` on."""
        self._asked, self._said = [], 0
        self._begun = (start, self.join.next_number, self.join.counts.labels)

    def _run(self, batch: MonitorBatch, start: int, until: int) -> None:
        """Events `start` to `until` of the batch, none of them a control."""
        if start >= until:
            return
        self._begin(start)
        kept = self.committee.learns or self.context.wanted
        features = feature_rows(batch, self.config.features) if kept else None
        kinds, rows, times = batch.kind.tolist(), batch.row.tolist(), batch.time_ms.tolist()
        observe, join, offsets = self.watermark.observe, self.join, batch.offset.tolist()
        self._unknown = batch.unknown.tolist()
        waiting = iter(pending_predictions(batch, start, until, features))
        for at in range(start, until):
            self._offset = offsets[at]
            watermark = observe(times[at])
            if kinds[at] == PREDICTION:
                number = self._predict(batch, at, rows[at], next(waiting))
                if number < 0:
                    continue
                if number + 1 == self.reference_from + self.config.reference.n:
                    self.watching_since_ms = times[at]
                early = join.take_early(number) if join.early else None
                joined = None if early is None else (*early, join.row(number))
            else:
                joined = self._label(batch, at, rows[at], times[at])
            # Maturing may drop the row that a label has just joined, so it is held here until it is learned.
            self._mature(at, watermark, -1 if joined is None else joined[1])
            if joined is not None:
                self._learn(*joined)
                self._forget(joined[2])
        self._work()
        self._speak(batch, self._columns(batch, self._asked))

    def _predict(self, batch: MonitorBatch, at: int, row: int, pending: PendingPrediction) -> int:
        """Answer and keep one prediction, event `at` of the batch and its `row`; returns its number, or -1 when its id
        is known already."""
        join, committee = self.join, self.committee
        if join.knows(pending.id):
            join.counts.duplicate_predictions += 1
            self.reject(self._offset, Reason.DUPLICATE_ID, f"a prediction with id {pending.id!r} is here")
            return -1
        self.newest_version = pending.version
        self.unknown_features += self._unknown[row]
        segments = self.scoreboard.segments
        if segments.wanted:
            pending.segments = segments.of(batch.segment[row], batch.categorical[row])
        pending.no_change = self.newest_label
        pending.answers = committee.ask(pending.features)
        if pending.prediction is None:
            pending.served = committee.champion
        number = join.add(pending)
        self._asked.append(Asked(at, row, number, pending, committee.champion, committee.order, self._offset))
        return number

    def _work(self) -> None:
        """Let the learners do what was put off, and put their answers where they were asked for.

        The errors that steer them go through their detectors first: each alarm finds its place among the work.
        """
        if self.config.adaptation.watch == "concept":
            heard = self.errors.flush_one("error:probe")
            self._heard += heard
            self._steer(heard, None)
        else:
            for name in self.config.learners:
                self._steer([h for h in self.errors.flush_one(f"own:{name}") if h.spoken.alarm.direction > 0], name)
        self._watched.clear()
        for moment, entry, succession in self.committee.work():
            self._outputs.append(FoldOutput(moment.offset, "audit", {"monitor": self.name, **entry}))
            if succession is not None:
                made = self.versions.succeed(self, entry["learner"], moment, succession)
                self._outputs += [FoldOutput(moment.offset, "version", body) for body in made]
        self._answered = self.join.next_number
        self._outputs += answered(self, self._asked[self._said :], self._batch)
        self._said = len(self._asked)

    def _steer(self, heard: list[Heard], only: str | None) -> None:
        """Tell the policies of alarms: once of each kind at one value, a warning before a drift."""
        told = {(h.spoken.row, h.spoken.alarm.status): h.event for h in heard}
        for (_, status), event in sorted(told.items()):
            if status in (WARNING, DRIFT):
                self.committee.alarm(Steer(*self._watched[event]), is_drift=status == DRIFT, only=only)

    def _label(self, batch: MonitorBatch, at: int, row: int, time_ms: int) -> _Joined | None:
        label, join, prediction_id = batch.label[row], self.join, batch.ids[at]
        self.newest_label = label
        number = join.find(prediction_id)
        if number < 0:
            join.label(prediction_id, time_ms, label)
            return None
        pending = join.row(number)
        old = pending.label
        if old is not None and pending.matured:
            self.scoreboard.settle()  # it was scored with the label that may be corrected now
        result, _ = join.label(prediction_id, time_ms, label)
        if result in _LEARNED:
            self.newest_delay_s = delay_s = max(0, time_ms - pending.time_ms) / 1000
            self.errors.hear("delay", "quality", (delay_s,), number, (at, -1.0, pending.backfill))
        elif old is not None and result is _CORRECTION and pending.matured:
            self.scoreboard.revise(pending, old)
        return result, number, pending

    def _mature(self, at: int, watermark: int, joined: int = -1) -> None:
        """Score what has come of age and let the error signals see it; `joined` is yet to be learned."""
        if not (due := self.join.due(watermark)):
            return
        reference_end = self.reference_from + self.config.reference.n
        for number, row in due:
            if number >= self._answered:
                self._work()
            self.scoreboard.cover(row)
            if number + 1 == reference_end:
                self._work()
                self.committee.freeze_probe()
                self._note_versions(self.versions.begin(self))
            elif self.versions.unstarted and number >= reference_end:
                self._work()
                self._note_versions(self.versions.begin(self))
            if row.label is None:
                continue
            self.scoreboard.add(row)
            if self.contest.wanted:
                self._contend(number, row)
            self._errors(at, number, row)
            if number != joined:
                self._forget(row)

    @staticmethod
    def _forget(row: PendingPrediction) -> None:
        """The features of a prediction that has been judged and learned are needed no longer."""
        if row.matured and row.label is not None:
            row.features = []

    def _contend(self, number: int, row: PendingPrediction) -> None:
        """Let the learners contend for the champion's place; who wins it answers from the next prediction on."""
        decision = self.contest.judge(self.join.next_number, number, row)
        if decision is None:
            return
        self._work()
        if decision.action == "promoted":
            self.committee.promote(decision.winner)
        else:
            self.committee.roll_back()
        entry = {"monitor": self.name, "learner": decision.winner, **asdict(decision)}
        self._outputs.append(FoldOutput(self._offset, "audit", entry))
        self._note_versions(self.versions.follow(self, decision.action))

    def _errors(self, at: int, number: int, row: PendingPrediction) -> None:
        counts = self.join.counts
        mark = (at, (counts.matured - counts.unlabelled) / counts.matured, row.backfill)
        if self.context.wanted and row.label is not None:
            self.context.hear(row.features, row.label, number, mark)
        if row.prediction is not None:
            version = self.scoreboard.version(row.version)
            self._performance("producer", f"@{version}" if version else "", row.prediction, (number, row, mark))
        elif row.served is not None:
            self._performance("champion", "", row.answers[row.served][0], (number, row, mark))
        # The answers of a probe that was renewed since would look like a change of concept.
        if "probe" in row.answers and number >= self.reference_from:
            self._steering("error:probe", self._error(row.answers["probe"][0], row.label), number, mark)
        if self.config.adaptation.watch == "own_error":
            for name in self.config.learners:
                if name in row.answers:
                    self._steering(f"own:{name}", self._error(row.answers[name][0], row.label), number, mark)

    def _performance(self, who: str, version: str, predicted: Any, judged: tuple[int, PendingPrediction, Mark]) -> None:
        """The error of the served model, and once more where the label is one of the classes watched on their own."""
        number, row, mark = judged
        values = self._error(predicted, row.label)
        self.errors.hear(f"error:{who}{version}", "performance", values, number, mark)
        if row.label in self.config.error_classes:
            name = f"error:{who}/{quote(str(row.label), safe='')}{version}"
            self.errors.hear(name, "performance", values, number, mark)

    def _error(self, predicted: Any, label: Any) -> tuple[float, ...]:
        if self.classification:
            return _WRONG if predicted != label else _RIGHT
        if predicted is None:
            return (_NAN, _NAN)
        residual = float(label) - float(predicted)
        return (abs(residual), residual)

    def _steering(self, name: str, values: tuple[float, ...], number: int, mark: Mark) -> None:
        """An error that the learners adapt to; its detectors see it before the learners go on."""
        self.errors.hear(name, "concept", values, number, mark)
        self._watched[mark[0]] = (self.committee.order, self.join.next_number, self._offset, self.watermark.value_ms)

    def _learn(self, result: LabelResult, number: int, row: PendingPrediction) -> None:
        if result not in _LEARNED or row.label is None:
            return
        if result is _LATE:
            self.scoreboard.add(row)
        if self.feature_names and self.committee.learns and not row.features:
            return  # erased: there is nothing left to learn from
        in_reference = self.reference_from <= number < self.reference_from + self.config.reference.n
        moment = Steer(self.committee.order + 1, self.join.next_number, self._offset, self.watermark.value_ms)
        lesson = Lesson(moment, row.label, number, row.time_ms)
        self.committee.learn(lesson, row.features, in_reference=in_reference)

    def forget_scores(self, name: str) -> None:
        """Another learner answers as `name` from now on: begin its scores anew, and forget what the former one said
        of predictions that wait; what was served stays."""
        self.scoreboard.forget(name)
        for row in self.join.rewritten():
            row.tickets.pop(name, None)
            for tickets in (row.segments or {}).values():
                tickets.pop(name, None)
            if row.served != name:
                row.answers.pop(name, None)

    def _note_versions(self, made: Iterable[dict[str, Any]]) -> None:
        self._outputs += [FoldOutput(self._offset, "version", body) for body in made]

    def _columns(self, batch: MonitorBatch, asked: list[Asked]) -> list[Heard]:
        if not asked:
            return []
        rows, first = [a.row for a in asked], asked[0].number
        predicted, scores, margins = answers_given(asked, classification=self.classification)
        columns = PredictionColumns(
            numbers=np.arange(first, first + len(rows), dtype=np.int64),
            numeric=batch.numeric[rows],
            categorical=[batch.categorical[row] for row in rows],
            predicted=predicted,
            score=scores,
            margin=margins,
        )
        heard = [_heard(asked[said.row], said) for said in self.signals.update(columns)]
        return heard + [_heard(asked[number - first], said) for number, said in self.review.flush()]

    def _counted(self, batch: MonitorBatch, at: int) -> tuple[int, int]:
        """How many predictions and labels there were with event `at` of this run."""
        start, predictions, labels = self._begun
        labelled = np.count_nonzero(batch.kind[start : at + 1] == LABEL)
        return predictions + bisect_right(self._asked, at, key=_AT), labels + int(labelled)

    def _speak(self, batch: MonitorBatch, heard: list[Heard]) -> None:
        """Turn alarms into episodes, in the order of events and, within one event, of signals and detectors."""
        heard = heard + self.errors.flush() + self.context.flush() + self._heard
        self._heard = []
        heard.sort(key=lambda h: (h.event, h.spoken.order))
        for h in heard:
            moment = Moment(*self._counted(batch, h.event), int(batch.time_ms[h.event]), h.backfill)
            self.episodes.forget_old(moment.event)
            for record in self.episodes.take(h.spoken.alarm, moment, version=h.version, maturity=h.maturity):
                self._outputs.append(FoldOutput(int(batch.offset[h.event]), "drift", record))

    def reject(self, offset: int, reason: Reason, detail: str) -> None:
        """Refuse an event that only the state can refuse."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        body = {"monitor": self.name, "reason": str(reason), "detail": detail}
        self._outputs.append(FoldOutput(offset, "reject", body))


def _heard(asked: Asked, said: Spoken) -> Heard:
    """An alarm that a prediction raised when it came."""
    return Heard(asked.at, said, asked.pending.version, None, asked.pending.backfill)
