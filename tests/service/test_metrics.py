"""Metrics read off the view: right values, right names, capped, and documented one for one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import AnchorwatchCollector
from service.metrics_families import Families
from tests.service.api_port import FakePort, monitor_view

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


def registry_of(port: FakePort, **caps: int) -> CollectorRegistry:
    """A fresh registry with the collector."""
    registry = CollectorRegistry()
    registry.register(AnchorwatchCollector(port, **caps))
    return registry


def value(port: FakePort, name: str, **labels: str) -> float | None:
    """One sample."""
    return registry_of(port).get_sample_value(f"anchorwatch_{name}", labels)


FRAUD = {"monitor": "fraud"}
WEB = FRAUD | {"segment": "channel=web"}
CHAMPION = {"monitor": "fraud", "role": "champion", "model": "hoeffding"}


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("build_info", {"version": "1.2.3", "transport": "embedded"}, 1),
        ("ready", {}, 1),
        ("part_ready", {"part": "store"}, 1),
        ("start_timestamp_seconds", {}, 1_772_359_200),
        ("events_total", {}, 12_345),
        ("partition_position", {"partition": "0"}, 90),
        ("partition_lag_events", {"partition": "0"}, 10),
        ("partition_epoch", {"partition": "0"}, 4),
        ("commits_total", {}, 812),
        ("commit_last_duration_seconds", {}, 0.25),
        ("commit_last_timestamp_seconds", {}, 1_772_359_260),
        ("outbox_unsent", {"destination": "webhook:ops"}, 2),
        ("rejects_total", {"reason": "not_json"}, 7),
        ("monitor_rejects_total", FRAUD | {"reason": "wrong_type"}, 3),
        ("webhook_sent_total", {"endpoint": "ops"}, 5),
        ("webhook_failed_tries_total", {"endpoint": "ops"}, 7),
        ("webhook_retrying", {"endpoint": "ops"}, 2),
        ("webhook_disabled", {"endpoint": "ops"}, 0),
        ("webhook_last_success_timestamp_seconds", {"endpoint": "ops"}, 1_772_359_230),
        ("monitor_phase", FRAUD | {"phase": "watching"}, 1),
        ("monitor_phase", FRAUD | {"phase": "blind"}, 0),
        ("monitor_verdict", FRAUD | {"answer": "no"}, 1),
        ("monitor_verdict", FRAUD | {"answer": "yes"}, 0),
        ("monitor_verdict_since_timestamp_seconds", FRAUD, 1_772_359_200),
        ("reference_events_left", FRAUD, 0),
        ("predictions_total", FRAUD, 5_000),
        ("labels_total", FRAUD, 4_100),
        ("labels_joined_total", FRAUD, 4_050),
        ("labels_pending", FRAUD, 900),
        ("labels_late_total", FRAUD, 12),
        ("labels_duplicate_total", FRAUD, 4),
        ("labels_corrected_total", FRAUD, 31),
        ("labels_orphaned_total", FRAUD, 1),
        ("predictions_evicted_total", FRAUD, 6),
        ("predictions_unlabelled_total", FRAUD, 271),
        ("unknown_features_total", FRAUD, 8),
        ("bound_used", FRAUD | {"bound": "pending"}, 900),
        ("bound_cap", FRAUD | {"bound": "early"}, 10_000),
        ("class_matured_total", FRAUD | {"class": "ok"}, 4_000),
        ("class_labelled_total", FRAUD | {"class": "ok"}, 3_000),
        ("label_coverage_ratio", FRAUD | {"class": "ok"}, 0.75),
        ("label_coverage_ratio", FRAUD | {"class": "never"}, None),
        ("label_age_seconds", FRAUD, 10_800),
        ("watermark_timestamp_seconds", FRAUD, 1_772_362_800.5),
        ("signal_value", FRAUD | {"signal": "feature:amount"}, 12.5),
        ("signal_watching", FRAUD | {"signal": "feature:amount"}, 1),
        ("signal_watching", FRAUD | {"signal": "feature:country"}, 0),
        ("detector_statistic", FRAUD | {"signal": "feature:amount", "detector": "ks"}, 3.5),
        ("detector_threshold", FRAUD | {"signal": "feature:amount", "detector": "ks"}, 2.5),
        ("detector_over", FRAUD | {"signal": "feature:amount", "detector": "ks"}, 1),
        ("detector_statistic", FRAUD | {"signal": "feature:amount", "detector": "adwin"}, None),
        ("open_episodes", FRAUD | {"kind": "concept", "severity": "page"}, 1),
        ("open_episodes", FRAUD | {"kind": "performance", "severity": "page"}, 0),
        ("open_incidents", FRAUD | {"severity": "page"}, 1),
        ("open_incidents", FRAUD | {"severity": "note"}, 0),
        ("model_accuracy_ratio", FRAUD | {"role": "producer", "model": "7", "span": "all"}, 0.9),
        ("model_accuracy_ratio", FRAUD | {"role": "producer", "model": "7", "span": "window"}, 0.8),
        ("model_kappa", CHAMPION | {"span": "all"}, 0.5),
        ("model_log_loss", CHAMPION | {"span": "all"}, 0.3),
        ("model_log_loss", CHAMPION | {"span": "window"}, None),
        ("model_mean_absolute_error", CHAMPION | {"span": "all"}, None),
        ("model_mean_absolute_error", {"monitor": "fares", "role": "producer", "model": "", "span": "all"}, 2),
        ("model_root_mean_squared_error", {"monitor": "fares", "role": "producer", "model": "", "span": "window"}, 3),
        ("model_scored_predictions", CHAMPION | {"span": "window"}, 1_000),
        ("learner_generation", FRAUD | {"learner": "hoeffding"}, 2),
        ("learner_replacements_total", FRAUD | {"learner": "hoeffding"}, 3),
        ("learner_disagreement_ratio", FRAUD | {"learner": "logistic"}, 0.1),
        ("learner_spread_ratio", FRAUD | {"learner": "hoeffding"}, 0.25),
        ("decisions_total", FRAUD | {"decision": "auto"}, 75),
        ("decisions_total", FRAUD | {"decision": "review"}, 25),
        ("version_matured_total", FRAUD | {"version": "7"}, 4_100),
        ("version_labelled_total", FRAUD | {"version": "7"}, 3_829),
        ("segment_matured_total", FRAUD | {"segment": "channel=web"}, 90),
        ("segment_labelled_total", FRAUD | {"segment": "channel=web"}, 60),
        ("segment_model_accuracy_ratio", WEB | {"role": "producer", "model": "7", "span": "all"}, 0.8),
        ("segment_model_kappa", WEB | {"role": "champion", "model": "hoeffding", "span": "window"}, 0.5),
        ("segment_model_accuracy_ratio", WEB | {"role": "challenger", "model": "logistic", "span": "all"}, 0.6),
        ("metrics_series_dropped", {}, 0),
    ],
)
def test_the_view_s_numbers_are_shown(name: str, labels: dict[str, str], expected: float | None) -> None:
    """Each number of the view stands in its metric, in base units; what is not known is absent."""
    assert value(FakePort(), name, **labels) == expected


def test_what_came_over_http_is_counted_by_status() -> None:
    """Ingestion's counters are shown."""
    port = FakePort()
    port.ingest().append([b"{", b"{"])
    assert value(port, "ingest_items_total", status="rejected") == 2
    assert value(port, "ingest_items_total", status="accepted") == 0


def test_a_part_that_is_away_is_not_ready() -> None:
    """Readiness as `/readyz` tells it."""
    port = FakePort()
    port.parts["store"] = "disk full"
    assert value(port, "ready") == 0
    assert value(port, "part_ready", part="store") == 0
    assert value(port, "part_ready", part="broker") == 1


def test_drift_records_are_counted_once_each_however_often_they_are_scraped() -> None:
    """The view repeats records; the counter does not, and it goes on when old records leave the view."""
    port = FakePort()
    registry = registry_of(port)
    labels = FRAUD | {"kind": "data", "signal": "feature:amount", "detector": "ks", "status": "drift"}

    def count() -> float | None:
        return registry.get_sample_value("anchorwatch_drift_records_total", labels)

    assert (count(), count()) == (1, 1)
    newest = dict(port.current["drifts"][3], id="d99")
    port.current = port.current | {"drifts": [newest, *port.current["drifts"][:2]]}
    assert (count(), count()) == (2, 2)


def test_a_service_that_has_not_committed_yet_can_be_scraped() -> None:
    """An empty view gives families without monitors, not an error."""
    port = FakePort()
    port.current = {}
    text = generate_latest(registry_of(port)).decode()
    assert "anchorwatch_ready 1.0" in text
    assert 'monitor="' not in text


def test_both_expositions_can_be_parsed() -> None:
    """Text and OpenMetrics are well formed, hostile names included."""
    port = FakePort()
    hostile = 'a"b\\c\nd' + "x" * 5_000
    port.current["monitors"][hostile] = monitor_view(hostile)
    registry = registry_of(port)
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    assert len(families) > 40
    encode, content_type = choose_encoder("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert encode(registry).endswith(b"# EOF\n")
    longest = max(len(v) for f in families for s in f.samples for v in s.labels.values())
    assert longest <= 120


def _crowded(port: FakePort, n: int) -> None:
    signals = [
        {"name": f"feature:{i}", "phase": "watching", "value": 1.0,
         "detectors": [{"detector": "ks", "statistic": 1.0, "threshold": 2.0, "over": False}]}
        for i in range(n)
    ]  # fmt: skip
    by_class = {f"c{i}": {"matured": 2, "labelled": 1} for i in range(n)}
    port.current["monitors"]["fraud"] |= {"signals": signals, "coverage": {"by_class": by_class}}


def test_series_are_capped_for_each_monitor_and_counters_keep_their_sum() -> None:
    """Beyond the cap counters add up under `other`, gauges are left out, both are counted, and the crowded monitor
    takes nothing from the other one."""
    port = FakePort()
    _crowded(port, 1_000)
    registry = registry_of(port, series_max=50)
    families = {f.name: f for f in text_string_to_metric_families(generate_latest(registry).decode())}

    def samples(name: str, monitor: str) -> list[Any]:
        found = families[f"anchorwatch_{name}"].samples
        return [s for s in found if s.labels.get("monitor") == monitor]

    assert len(samples("detector_statistic", "fraud")) == 50
    assert len(samples("class_matured", "fraud")) == 51
    assert sum(s.value for s in samples("class_matured", "fraud")) == 2_000
    other = next(s for s in samples("class_matured", "fraud") if s.labels["class"] == "other")
    assert other.value == 2 * 950
    assert len(samples("detector_statistic", "churn")) == 1
    dropped = registry.get_sample_value("anchorwatch_metrics_series_dropped")
    assert dropped is not None
    assert dropped >= 5 * 950


def test_monitors_beyond_the_cap_are_left_out_and_counted() -> None:
    """A scrape never shows more monitors than its cap."""
    port = FakePort()
    port.current["monitors"] = {f"m{n}": monitor_view(f"m{n}") for n in range(30)}
    registry = registry_of(port, monitors_max=10)
    text = generate_latest(registry).decode()
    assert len(set(re.findall(r'monitor="(m\d+)"', text))) == 10
    assert registry.get_sample_value("anchorwatch_metrics_series_dropped") == 20


def test_no_id_is_a_label() -> None:
    """Ids of drifts, episodes, incidents and alerts, and state hashes, stand in no sample."""
    port = FakePort()
    port.current["monitors"]["fraud"]["state_sha256"] = "marker-hash"
    for record in port.current["drifts"]:
        record |= {"id": f"marker-{record['id']}", "episode": "marker-episode", "incident": "marker-incident"}
    assert "marker" not in generate_latest(registry_of(port)).decode()


def test_names_follow_the_conventions() -> None:
    """One prefix, `_total` on counters only, base units, a documentation that ends in a full stop."""
    for family in registry_of(FakePort()).collect():
        assert re.fullmatch(r"anchorwatch_[a-z0-9_]+", family.name)
        assert not re.search(r"_(ms|milliseconds|minutes|percent|kb|mb)(_|$)", family.name)
        assert not family.name.endswith("_total"), "the client adds it"
        assert family.documentation.rstrip("?").endswith((".", "right"))


def test_every_metric_is_documented_and_every_documented_metric_exists() -> None:
    """`docs/metrics.md` lists exactly what is exported, with its type and its labels."""
    rows = re.findall(
        r"^\| `(anchorwatch_[a-z0-9_]+)` \| (\w+) \| ([^|]+) \|", DOCUMENT.read_text("utf-8"), re.MULTILINE
    )
    documented = {name: (kind, labels.strip()) for name, kind, labels in rows}
    endings = {"counter": "_total", "info": "_info", "gauge": ""}
    exported = {}
    for family in registry_of(FakePort()).collect():
        labels = sorted({label for sample in family.samples for label in sample.labels})
        exported[family.name + endings[family.type]] = (family.type, labels)
    assert sorted(documented) == sorted(exported)
    for name, (kind, labels) in exported.items():
        assert documented[name][0] == kind
        found = [] if documented[name][1] == "–" else sorted(documented[name][1].split(", "))
        assert found == labels, name


def test_every_family_has_a_sample_in_the_rich_view() -> None:
    """So that the comparison with the document sees the labels of each."""
    empty = [f.name for f in registry_of(FakePort()).collect() if not f.samples]
    assert empty == []


def test_a_cap_out_of_range_is_refused() -> None:
    """The message names the parameter and its range."""
    with pytest.raises(ValueError, match="series_max = 0 must be 1 or more"):
        Families(0)
