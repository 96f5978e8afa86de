"""Figures by segment and by the producer's version: the same as an own monitor's, capped, revised, restored."""

from __future__ import annotations

import random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service.config import Config, ConfigurationError
from service.metrics import AnchorwatchCollector
from service.segments import OTHER
from service.summary import monitor_summary
from service.view import MonitorHistory, monitor_view
from tests.service.api_port import FakePort
from tests.service.fold_rig import MONITOR, Folded, configured, control, fold, label, prediction

BAYES = {"estimator": "river.naive_bayes.GaussianNB"}
CATEGORICAL = {"features": {"a": {"type": "numeric"}, "country": {"type": "categorical"}}}


def events(n: int, seed: int = 1) -> list[bytes]:
    """Predictions of two interleaved versions in three channels, with labels that come late, twice, or never."""
    generator = random.Random(seed)
    found: list[bytes] = []
    for i in range(n):
        said, truth = generator.choice("yn"), generator.choice("yn")
        channel, version = generator.choice(["web", "app", "shop"]), generator.choice(["7", "8"])
        scores = {"y": 0.75, "n": 0.25} if said == "y" else {"y": 0.125, "n": 0.875}
        found.append(
            prediction(
                f"p{i}", 40 * i, prediction=said, scores=scores, model_version=version, features={"a": i % 7},
                segment={"channel": channel, "unused": f"x{i}"},
            )
        )  # fmt: skip
        if i % 9 and i >= 5:
            found.append(label(f"p{i - 5}", 40 * i + 1, truth))
        if i % 11 == 0 and i >= 60:
            found.append(label(f"p{i - 60}", 40 * i + 2, generator.choice("yn")))  # late, or a correction
    return [*found, control("tick", 40 * n + 5_000)]


def segmented(**settings: Any) -> Config:
    """A monitor with figures by channel."""
    return configured(**{"segments": ["channel"], "learners": {"one": BAYES}} | settings)


def view(folded: Folded) -> dict[str, Any]:
    """The read view of the monitor."""
    return monitor_view(folded.monitor, MonitorHistory(), "")


def only(raw: list[bytes], channel: str) -> list[bytes]:
    """The same events without predictions of other channels."""
    mark = f'"channel":"{channel}"'.encode()
    return [event for event in raw if b'"type":"prediction"' not in event or mark in event]


@pytest.mark.parametrize("channel", ["web", "app", "shop"])
def test_a_segment_is_scored_as_a_monitor_of_its_own(channel: str) -> None:
    """Late labels and corrections included, a segment's figures are those of a monitor that sees only its predictions
    (the producer's: what a learner or the last label answers depends on all events)."""
    raw = events(400)
    config = segmented(learners={}, segment_window=50)
    own = fold(only(raw, channel), configured())
    found = view(fold(raw, config))["segments"][f"channel={channel}"]
    expected = {n.partition(":")[2]: s for n, s in own.monitor.scoreboard.summaries().items() if n.startswith("prod")}
    hidden = {"kappa_temporal", "no_change_accuracy"}

    def plain(figures: dict[str, Any]) -> dict[str, Any]:
        return {k: plain(v) if isinstance(v, dict) else v for k, v in figures.items() if k not in hidden}

    assert plain(found["producer"]) == plain(expected)
    coverage = own.monitor.scoreboard.version_coverage
    assert found["coverage"]["matured"] == sum(m for m, _ in coverage.values())
    assert found["coverage"]["labelled"] == sum(n for _, n in coverage.values())


def test_versions_stand_side_by_side() -> None:
    """Two interleaved versions have figures and coverage of their own, overall and in each segment, that add up."""
    shown = view(fold(events(400), segmented()))
    assert set(shown["producer"]) == {"7", "8"}
    for version in ("7", "8"):
        parts = [segment["producer"][version]["n"] for segment in shown["segments"].values()]
        assert sum(parts) == shown["producer"][version]["n"] > 100
    matured = sum(v["coverage"]["matured"] for v in shown["producer"].values())
    assert matured == sum(s["coverage"]["matured"] for s in shown["segments"].values()) == 400


def test_learners_are_scored_in_each_segment() -> None:
    """The champion and its challengers have figures, which add up to theirs over everything; baselines have none."""
    config = segmented(learners={"one": BAYES, "two": BAYES}, champion="two")
    shown = view(fold(events(300), config))
    segments = shown["segments"].values()
    assert {segment["champion"]["name"] for segment in segments} == {"two"}
    assert sum(segment["champion"]["n"] for segment in segments) == shown["learners"]["two"]["n"]
    assert all(set(segment["challengers"]) == {"one"} for segment in segments)


def test_regression_has_figures_by_segment() -> None:
    """MAE and RMSE of a segment rest on its own errors only."""
    raw = []
    for i in range(20):
        segment = {"channel": "web" if i % 2 else "app"}
        raw += [prediction(f"p{i}", i, prediction=2.0 if i % 2 else 5.0, segment=segment), label(f"p{i}", i, 1.0)]
    shown = view(fold([*raw, control("tick", 5_000)], segmented(task="regression", learners={})))
    assert shown["segments"]["channel=web"]["producer"][""]["mae"] == 1.0
    assert shown["segments"]["channel=app"]["producer"][""]["rmse"] == 4.0


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_neither_batches_nor_restarts_matter(size: int) -> None:
    """Any batch cut and a restart at any commit give the same state, bit for bit."""
    raw, config = events(250), segmented(segment_window=20)
    straight = fold(raw, config, size=100)
    cut = fold(raw[:170], config, size).restarted(config).feed(raw[170:], size)
    assert cut.hashes == straight.hashes
    assert view(cut)["segments"] == view(straight)["segments"]


def test_a_thousand_hostile_segments_share_one() -> None:
    """New values past `max_segments` go to `other`; nothing is lost, and the state stays small."""
    raw = []
    for i in range(1_000):
        raw.append(prediction(f"p{i}", i, segment={"channel": f"{i}" * 100}))
        raw.append(label(f"p{i}", i, "y"))
    folded = fold([*raw, control("tick", 9_000)], segmented(max_segments=10, learners={}))
    shown = view(folded)
    assert len(shown["segments"]) == 11
    assert shown["segments"][OTHER]["coverage"] == {"matured": 990, "labelled": 990}
    assert shown["bounds"]["segments"] == {"value": 10, "cap": 10}
    assert sum(len(data) for key, data in folded.stored.items() if key.component == "segments") < 20_000


def test_features_and_combinations_are_segments_too() -> None:
    """A categorical feature stands in where the event has no such slice; `+` makes a segment of each combination."""
    keys = ["country", "channel+country", "absent"]
    raw = [
        prediction("p0", 0, segment={"channel": "a+b"}, features={"country": "FR"}),
        prediction("p1", 0, segment={"channel": "web", "country": "DE"}, features={"country": "FR"}),
        prediction("p2", 0, features={"a": 1.0}),
    ]
    folded = fold(raw, segmented(segments=keys, learners={}, **CATEGORICAL))
    found = [folded.monitor.join.row(n).segments for n in range(3)]
    assert found == [
        {"country=FR": {}, "channel+country=a%2Bb+FR": {}}, {"country=DE": {}, "channel+country=web+DE": {}}, None
    ]  # fmt: skip


def test_other_keys_begin_anew() -> None:
    """After a change of the keys, segments begin anew, nothing else does, and older predictions belong to none."""
    raw = events(100)
    before = fold(raw, segmented(learners={}))
    after = before.restarted(segmented(learners={}, segments=["unused"]))
    assert after.partition.restarted == [f"{MONITOR}/segments"]
    assert after.monitor.join.row(90).segments is None
    assert after.monitor.scoreboard.summaries() == before.monitor.scoreboard.summaries()
    without = before.restarted(segmented(learners={}, segments=[])).feed([control("tick", 90_000)])
    assert {key.component for key in without.stored} & {"segments"} == set()
    assert without.monitor.join.row(90).segments is None


def test_a_monitor_without_segments_keeps_none() -> None:
    """Without keys there is neither a component nor anything in the pending rows."""
    folded = fold(events(50), configured())
    assert {key.component for key in folded.stored} & {"segments"} == set()
    assert folded.monitor.join.row(40).segments is None
    assert view(folded)["segments"] == {}


def test_segments_are_metrics() -> None:
    """Each figure and the coverage are shown by segment, with role, model and span."""
    folded = fold(events(400), segmented())
    shown = view(folded)
    port = FakePort()
    port.current["monitors"] = {MONITOR: shown}
    registry = CollectorRegistry()
    registry.register(AnchorwatchCollector(port))
    segment = shown["segments"]["channel=web"]
    where = {"monitor": MONITOR, "segment": "channel=web"}

    def value(name: str, **labels: str) -> Any:
        return registry.get_sample_value(f"anchorwatch_segment_{name}", where | labels)

    eight = {"role": "producer", "model": "8"}
    assert value("model_accuracy_ratio", **eight, span="all") == segment["producer"]["8"]["accuracy"]
    assert value("model_log_loss", **eight, span="window") == segment["producer"]["8"]["window"]["log_loss"]
    assert value("model_kappa", role="champion", model="one", span="all") == segment["champion"]["kappa"]
    assert value("matured_total") == segment["coverage"]["matured"]
    assert value("labelled_total") == segment["coverage"]["labelled"]
    version = {"monitor": MONITOR, "version": "8"}
    matured = registry.get_sample_value("anchorwatch_version_matured_total", version)
    assert matured == shown["producer"]["8"]["coverage"]["matured"]


def test_the_summary_has_the_figures_over_everything() -> None:
    """What `replay` prints holds each segment's figures without those of the window."""
    folded = fold(events(200), segmented())
    printed = monitor_summary(folded.monitor, [], "")["segments"]["channel=web"]
    expected = view(folded)["segments"]["channel=web"]["producer"]["7"]
    assert printed["producer"]["7"] == {k: v for k, v in expected.items() if k != "window"}


@pytest.mark.parametrize("keys", [[""], ["a+"], ["a=b"], ["a", "a"]])
def test_wrong_keys_are_refused(keys: list[str]) -> None:
    """A key without a name, with a `=`, or twice, is a configuration error."""
    with pytest.raises(ConfigurationError, match="segments"):
        configured(segments=keys)
