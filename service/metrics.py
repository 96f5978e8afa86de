"""Prometheus metrics, read off the view of the last commit at each scrape; `docs/metrics.md` explains every one.

A newcomer needs one fact: nothing is counted here except drift records (the view holds the newest ones only, so each
is counted once, by its id, when a scrape first sees it). All other numbers are the committed state's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from service.api_models import ServicePort
from service.metrics_families import OTHER, Families

__all__ = ["AnchorwatchCollector"]

MONITORS_MAX = 500
SERIES_MAX = 1_000

PHASES = ("waiting", "learning_reference", "watching", "blind")
ANSWERS = ("yes", "no", "cannot_tell")
KINDS = ("data", "concept", "performance", "prediction", "quality")
DECISIONS = ("auto", "review")
SEVERITIES = ("page", "ticket", "note")

_View = Mapping[str, Any]

# Of the view's `counts`: key -> metric, documentation. All are counters since the monitor's first event.
_COUNTS = {
    "predictions": ("predictions", "Predictions folded."),
    "labels": ("labels", "Labels folded, whatever became of them."),
    "joined": ("labels_joined", "Labels that answered a prediction first."),
    "late": ("labels_late", "First labels that came after their prediction had been judged."),
    "too_late": ("labels_too_late", "Labels that came after the time-out and were ignored."),
    "duplicates": ("labels_duplicate", "Labels that repeated one already there."),
    "corrections": ("labels_corrected", "Labels that contradicted an earlier one for the same prediction."),
    "orphans": ("labels_orphaned", "Labels dropped because their prediction never came while they could wait."),
    "duplicate_predictions": ("predictions_duplicate", "Predictions whose id was known already."),
    "evicted": ("predictions_evicted", "Predictions dropped at the cap before their label came."),
    "unlabelled": ("predictions_unlabelled", "Predictions judged without a label."),
    "matured": ("predictions_matured", "Predictions old enough to be judged."),
    "unknown_features": ("unknown_features", "Values of features that the schema does not know; ignored."),
    "held_times": ("times_held", "Events whose time lay too far ahead and was held back."),
}
# Of a model's figures: key -> metric, documentation.
_FIGURES = {
    "accuracy": ("model_accuracy_ratio", "Share of right classes."),
    "kappa": ("model_kappa", "Cohen's kappa: 0 is chance, 1 is perfect."),
    "kappa_temporal": ("model_kappa_temporal", "Kappa against the no-change classifier: 0 is as good as no change."),
    "f1": ("model_f1_ratio", "F1, macro-averaged over classes."),
    "log_loss": ("model_log_loss", "Mean negative log likelihood of the true class, in nats."),
    "mae": ("model_mean_absolute_error", "Mean absolute error, in the label's unit."),
    "rmse": ("model_root_mean_squared_error", "Root mean squared error, in the label's unit."),
    "n": ("model_scored_predictions", "Predictions that the figures of this span rest on."),
}
_MODEL = ("monitor", "role", "model", "span")
_SEGMENT = ("monitor", "segment", "role", "model", "span")


class AnchorwatchCollector(Collector):
    """Everything that Anchorwatch says of itself to Prometheus; register it on any registry.

    Parameters
    ----------
    port : where the view comes from
    series_max : cap on the series of one family for one monitor
    monitors_max : cap on the monitors that are shown
    """

    def __init__(self, port: ServicePort, *, series_max: int = SERIES_MAX, monitors_max: int = MONITORS_MAX) -> None:
        self._port = port
        self._series_max = series_max
        self._monitors_max = monitors_max
        self._tally = _DriftTally(monitors_max * series_max)

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask a service that has not started."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Read the view once and turn it into families."""
        view = self._port.view()
        families = Families(self._series_max)
        _declare(families)
        _service(families, view.get("service", {}), self._port)
        _intake(families, view, self._port)
        monitors: Mapping[str, _View] = view.get("monitors", {})
        shown = list(monitors.items())[: self._monitors_max]
        families.dropped += len(monitors) - len(shown)
        for name, monitor in shown:
            for part in _MONITOR_PARTS:
                part(families, name, monitor)
        for labels, count in self._tally.update(view.get("drifts", [])).items():
            families.add("drift_records", count, *labels)
        families.add("metrics_series_dropped", families.dropped)
        return list(families.collect())


class _DriftTally:
    """Counts drift records by their labels, each id once; the view's list is the newest 1,000."""

    def __init__(self, series_max: int) -> None:
        self._series_max = series_max
        self._counts: dict[tuple[str, ...], int] = {}
        self._seen: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def update(self, records: Sequence[_View]) -> dict[tuple[str, ...], int]:
        """Count what is new; return all counts."""
        with self._lock:
            for record in records:
                if record["id"] in self._seen:
                    continue
                labels = tuple(str(record.get(f, "")) for f in ("monitor", "kind", "signal", "detector", "status"))
                if labels not in self._counts and len(self._counts) >= self._series_max:
                    labels = (OTHER,) * len(labels)
                self._counts[labels] = self._counts.get(labels, 0) + 1
            self._seen = frozenset(record["id"] for record in records)
            return dict(self._counts)


def _declare(families: Families) -> None:
    gauge, counter = families.gauge, families.counter
    gauge("ready", "1 when every part that serving needs is there.")
    gauge("part_ready", "1 when this part is there.", "part")
    gauge("start_timestamp_seconds", "When this process started.")
    counter("events", "Messages folded, refused ones included.")
    gauge("partition_position", "Next offset that will be folded.", "partition")
    gauge("partition_lag_events", "Messages that wait in the log.", "partition")
    gauge("partition_epoch", "Claim number of the partition's owner.", "partition")
    counter("commits", "Commits since this process started.")
    gauge("commit_last_duration_seconds", "How long the last commit took.")
    gauge("commit_last_timestamp_seconds", "When the last commit ended.")
    gauge("outbox_unsent", "Rows that wait to be sent.", "destination")
    counter("rejects", "Events refused, by reason.", "reason")
    counter("ingest_items", "Items taken over HTTP since this process started.", "status")
    counter("webhook_sent", "Messages that a receiver took since this process started.", "endpoint")
    counter("webhook_failed_tries", "Tries that failed since this process started.", "endpoint")
    gauge("webhook_retrying", "Messages that wait for another try.", "endpoint")
    gauge("webhook_disabled", "1 when the receiver answered 410 Gone.", "endpoint")
    gauge("webhook_last_success_timestamp_seconds", "When a receiver last took a message.", "endpoint")
    gauge("metrics_series_dropped", "Series of this scrape that were left out or put under `other` by a cap.")
    _declare_monitor(families)


def _declare_contest(gauge: Callable[..., None]) -> None:
    for part, what in (("", "mean so far"), ("_low", "lower bound"), ("_high", "upper bound")):
        gauge(
            f"challenger_lead{part}_ratio", f"By how much less a challenger loses than the champion: {what}.",
            "monitor", "learner",
        )  # fmt: skip
    gauge("canary_disagreement_ratio", "Share of newest predictions on which the canary differs.", "monitor")


def _declare_monitor(families: Families) -> None:
    gauge, counter = families.gauge, families.counter
    gauge("monitor_phase", "1 for the phase that the monitor is in.", "monitor", "phase")
    gauge("monitor_verdict", "1 for the answer to: is the model all right?", "monitor", "answer")
    gauge("monitor_verdict_since_timestamp_seconds", "Event time since which the answer holds.", "monitor")
    gauge("reference_events_left", "Predictions still needed before the monitor watches.", "monitor")
    for name, documentation in _COUNTS.values():
        counter(name, documentation, "monitor")
    gauge("labels_pending", "Predictions that wait for their label.", "monitor")
    gauge("bound_used", "How much of a cap is used.", "monitor", "bound")
    gauge("bound_cap", "The cap.", "monitor", "bound")
    counter("class_matured", "Predictions of a class that were old enough to be judged.", "monitor", "class")
    counter("class_labelled", "Those of them that had a label.", "monitor", "class")
    gauge(
        "label_coverage_ratio", "Share of judged predictions that had a label, by predicted class.", "monitor", "class"
    )
    gauge("label_age_seconds", "The fixed age at which a prediction is judged.", "monitor")
    gauge("watermark_timestamp_seconds", "How far event time has come.", "monitor")
    gauge("signal_value", "Newest value of a signal.", "monitor", "signal")
    gauge("signal_watching", "1 when the signal is watched.", "monitor", "signal")
    gauge("detector_statistic", "Newest statistic of a detector.", "monitor", "signal", "detector")
    gauge("detector_threshold", "The statistic's threshold.", "monitor", "signal", "detector")
    gauge("detector_over", "1 while the detector holds an episode open.", "monitor", "signal", "detector")
    labels = ("monitor", "kind", "signal", "detector", "status")
    counter("drift_records", "Drift records by what they say, counted from the first scrape on.", *labels)
    gauge("open_episodes", "Drift episodes that are open.", "monitor", "kind", "severity")
    gauge("open_incidents", "Incidents that are open.", "monitor", "severity")
    counter("monitor_rejects", "Events refused whose monitor could be told, by reason.", "monitor", "reason")
    for name, documentation in _FIGURES.values():
        gauge(name, documentation, *_MODEL)
        gauge(f"segment_{name}", f"In a segment: {documentation[0].lower()}{documentation[1:]}", *_SEGMENT)
    gauge(
        "learner_disagreement_ratio", "Share of newest predictions answered otherwise than the champion.",
        "monitor", "learner",
    )  # fmt: skip
    gauge("learner_spread_ratio", "Share of a learner's own parts that disagree with its answer.", "monitor", "learner")
    _declare_contest(gauge)
    counter("decisions", "Answers that went out by themselves, or to review.", "monitor", "decision")
    for part in ("version", "segment"):
        counter(f"{part}_matured", f"Predictions of a {part} that were old enough to be judged.", "monitor", part)
        counter(f"{part}_labelled", "Those of them that had a label.", "monitor", part)
    gauge(
        "learner_generation", "How often another learner has taken this one's place, as of now.", "monitor", "learner"
    )
    counter("learner_replacements", "Replacements: by a fresh, a recalled or a restored learner.", "monitor", "learner")
    counter("learner_failures", "Answers and labels on which a learner failed.", "monitor", "learner")


def _service(families: Families, service: _View, port: ServicePort) -> None:
    build = {"version": service.get("version", ""), "transport": service.get("transport", "")}
    families.info("build", "Version and transport.", build)
    is_ready, parts = port.ready()
    families.add("ready", is_ready)
    for part, verdict in parts.items():
        families.add("part_ready", verdict == "ok", part)
    families.add("start_timestamp_seconds", _seconds(service.get("started_ms")))
    families.add("events", service.get("events_total"))
    for partition, figures in service.get("partitions", {}).items():
        families.add("partition_position", figures.get("position"), partition)
        families.add("partition_lag_events", figures.get("lag"), partition)
        families.add("partition_epoch", figures.get("epoch"), partition)
    commit = service.get("commit", {})
    families.add("commits", commit.get("count"))
    families.add("commit_last_duration_seconds", commit.get("last_seconds"))
    families.add("commit_last_timestamp_seconds", _seconds(commit.get("last_ms")))
    for destination, unsent in service.get("outbox", {}).items():
        families.add("outbox_unsent", unsent, destination)


def _intake(families: Families, view: _View, port: ServicePort) -> None:
    for reason, count in view.get("rejects", {}).get("by_reason", {}).items():
        families.add("rejects", count, reason)
    for status, count in port.ingest().counts().items():
        families.add("ingest_items", count, status)
    for endpoint, status in port.webhook_status().items():
        families.add("webhook_sent", status.get("sent"), endpoint)
        families.add("webhook_failed_tries", status.get("failed"), endpoint)
        families.add("webhook_retrying", status.get("retrying"), endpoint)
        families.add("webhook_disabled", status.get("disabled"), endpoint)
        families.add("webhook_last_success_timestamp_seconds", _seconds(status.get("last_success_ms")), endpoint)


def _state(families: Families, name: str, monitor: _View) -> None:
    for phase in PHASES:
        families.add("monitor_phase", phase == monitor.get("phase"), name, phase)
    verdict = monitor.get("verdict", {})
    for answer in ANSWERS:
        families.add("monitor_verdict", answer == verdict.get("answer"), name, answer)
    families.add("monitor_verdict_since_timestamp_seconds", _seconds(verdict.get("since_ms")), name)
    families.add("reference_events_left", monitor.get("events_left"), name)
    families.add("watermark_timestamp_seconds", _seconds(monitor.get("watermark_ms")), name)
    families.add("label_age_seconds", _seconds(monitor.get("age_ms")), name)


def _labels(families: Families, name: str, monitor: _View) -> None:
    counts = monitor.get("counts", {})
    for key, (metric, _) in _COUNTS.items():
        families.add(metric, counts.get(key), name)
    families.add("labels_pending", counts.get("pending"), name)
    for bound, figures in monitor.get("bounds", {}).items():
        families.add("bound_used", figures.get("value"), name, bound)
        families.add("bound_cap", figures.get("cap"), name, bound)
    for label, figures in monitor.get("coverage", {}).get("by_class", {}).items():
        matured, labelled = figures["matured"], figures["labelled"]
        families.add("class_matured", matured, name, label)
        families.add("class_labelled", labelled, name, label)
        families.add("label_coverage_ratio", labelled / matured if matured else None, name, label)
    for reason, count in monitor.get("rejected", {}).items():
        families.add("monitor_rejects", count, name, reason)


def _signals(families: Families, name: str, monitor: _View) -> None:
    for signal in monitor.get("signals", []):
        families.add("signal_value", signal.get("value"), name, signal["name"])
        families.add("signal_watching", signal.get("phase") == "watching", name, signal["name"])
        for reading in signal.get("detectors", []):
            labels = (name, signal["name"], reading["detector"])
            families.add("detector_statistic", reading.get("statistic"), *labels)
            families.add("detector_threshold", reading.get("threshold"), *labels)
            families.add("detector_over", reading.get("over"), *labels)


def _episodes(families: Families, name: str, monitor: _View) -> None:
    """Every combination is shown, zeros too, so that a rule on it needs no `absent`."""
    episodes = [(e.get("kind"), e.get("severity")) for e in monitor.get("open", [])]
    for kind in KINDS:
        for severity in SEVERITIES:
            families.add("open_episodes", episodes.count((kind, severity)), name, kind, severity)
    incidents = [i.get("severity") for i in monitor.get("incidents", []) if i.get("status") == "open"]
    for severity in SEVERITIES:
        families.add("open_incidents", incidents.count(severity), name, severity)


def _models(families: Families, name: str, monitor: _View) -> None:
    for version, figures in monitor.get("producer", {}).items():
        _figures(families, figures, name, "producer", version)
        _covered(families, "version", figures, name, version)
    for learner, figures in monitor.get("learners", {}).items():
        _figures(families, figures, name, figures.get("role", "challenger"), learner)
        families.add("learner_generation", figures.get("generation"), name, learner)
        families.add("learner_replacements", figures.get("replacements"), name, learner)
        families.add("learner_failures", figures.get("failures"), name, learner)


def _agreement(families: Families, name: str, monitor: _View) -> None:
    agreement = monitor.get("agreement", {})
    for metric, part in (("learner_disagreement_ratio", "by_learner"), ("learner_spread_ratio", "own")):
        for learner, share in agreement.get(part, {}).items():
            families.add(metric, share, name, learner)


def _contest(families: Families, name: str, monitor: _View) -> None:
    challengers = (monitor.get("promotion") or {}).get("challengers", {})
    for learner, told in challengers.items():
        for part, key in (("", "lead"), ("_low", "low"), ("_high", "high")):
            families.add(f"challenger_lead{part}_ratio", told[key], name, learner)
    families.add("canary_disagreement_ratio", (monitor.get("canary") or {}).get("disagreement"), name)


def _decisions(families: Families, name: str, monitor: _View) -> None:
    for decision in DECISIONS:
        families.add("decisions", (monitor.get("review") or {}).get(decision), name, decision)


def _segments(families: Families, name: str, monitor: _View) -> None:
    for segment, figures in monitor.get("segments", {}).items():
        _covered(families, "segment", figures, name, segment)
        for version, own in figures["producer"].items():
            _figures(families, own, name, segment, "producer", version, prefix="segment_")
        champion = figures["champion"]
        if champion is not None:
            _figures(families, champion, name, segment, "champion", champion["name"], prefix="segment_")
        for learner, own in figures["challengers"].items():
            _figures(families, own, name, segment, "challenger", learner, prefix="segment_")


def _covered(families: Families, part: str, figures: _View, *labels: str) -> None:
    coverage = figures.get("coverage", {})
    families.add(f"{part}_matured", coverage.get("matured"), *labels)
    families.add(f"{part}_labelled", coverage.get("labelled"), *labels)


def _figures(families: Families, figures: _View, *model: str, prefix: str = "") -> None:
    for span, of_span in (("all", figures), ("window", figures.get("window") or {})):
        for key, (metric, _) in _FIGURES.items():
            value = of_span.get("answered", of_span.get("n")) if key == "n" else of_span.get(key)
            families.add(prefix + metric, value, *model, span)


_MONITOR_PARTS: tuple[Callable[[Families, str, _View], None], ...] = (
    _state, _labels, _signals, _episodes, _models, _segments, _decisions, _agreement, _contest,
)  # fmt: skip


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1_000
