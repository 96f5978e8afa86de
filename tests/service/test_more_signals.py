"""The signals that further detectors bring: rates that end, errors of rare classes, joint ones, changed contexts."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from service.detector_config import DetectorsConfig
from service.mean_signals import MeanSignals
from service.pairing import Run
from tests.service.fold_rig import Folded, configured, fold, label, prediction

REFERENCE_N = 400
REFERENCE = {"n": REFERENCE_N, "window": 200}
TWO = {"a": {"type": "numeric"}, "b": {"type": "numeric"}}


def drifts(folded: Folded, status: str = "drift") -> list[dict[str, Any]]:
    """Records of one status."""
    return [body for body in folded.bodies("drift") if body["status"] == status]


def pairs(folded: Folded, status: str = "drift") -> set[tuple[str, str]]:
    """(signal, detector) of the records of one status."""
    return {(body["signal"], body["detector"]) for body in drifts(folded, status)}


def missing(rows: range, values: np.random.Generator, share: float = 0.02) -> list[bytes]:
    """Predictions whose feature is missing with a share of `share`, and with one of .6 from 1,000 to 1,400."""
    events = []
    for n in rows:
        gone = values.random() < (0.6 if 1000 <= n < 1400 else share)
        events.append(prediction(f"p{n}", n, features={} if gone else {"a": float(values.normal())}))
    return events


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_a_rate_that_ends_resolves(size: int) -> None:
    """Missing values open an episode; it resolves a cooldown after its last alarm, in any batches."""
    config = configured(reference=REFERENCE, cooldown=300)
    folded = fold(missing(range(2600), np.random.default_rng(3)), config, size=size)
    told = [(b["status"], b["event"]) for b in folded.bodies("drift") if b["signal"] == "missing:a"]
    assert [status for status, _ in told] == ["drift", "resolved"]
    assert 1000 <= told[0][1] < 1030
    assert 1350 <= told[1][1] - 300 < 1420


def test_the_other_direction_opens_nothing_but_ends() -> None:
    """A signal watched for a rise says nothing of a fall, but a fall after a rise tells that it came back."""
    values = np.repeat([0.0, 1.0, 0.0, -1.0], 400)[:, None] + np.random.default_rng(1).normal(0, 0.2, (1600, 1))
    runs = {"a": (Run("page_hinkley", "up"),)}
    signal = MeanSignals(("a",), "data", DetectorsConfig(), runs=runs, reference_n=200)
    spoken = [s for s in signal.update(values, np.arange(1600)) if s.alarm.status == 2]
    assert [(s.row // 400, s.alarm.direction, s.alarm.opens) for s in spoken] == [
        (1, 1, True), (2, -1, False), (3, -1, False)
    ]  # fmt: skip


def errors_of_a_rare_class(total: int, change: int) -> list[bytes]:
    """Labels of which 5 % are `a/b@c`; the model finds most of them, and from `change` on hardly any."""
    generator = np.random.default_rng(5)
    events = []
    for n in range(total):
        rare = generator.random() < 0.05
        found = generator.random() < (0.9 if n < change else 0.1)
        truth = "a/b@c" if rare else "no"
        said = truth if found or not rare else "no"
        events += [
            prediction(f"p{n}", 1000 * n, prediction=said, model_version="7"), label(f"p{n}", 1000 * n + 500, truth)
        ]  # fmt: skip
    return events


def test_errors_of_a_rare_class_are_a_signal_of_their_own() -> None:
    """A class of 5 % that is no longer found opens an episode on its own errors, which name class and version."""
    config = configured(reference=REFERENCE, error_classes=["a/b@c"], detectors={"hddm_a": {"enabled": True}})
    folded = fold(errors_of_a_rare_class(8000, 4000), config)
    name = f"error:producer/{quote('a/b@c', safe='')}@7"
    record = next(b for b in drifts(folded) if b["signal"] == name)
    assert (record["kind"], record["direction"], record["model_version"]) == ("performance", "up", "7")
    assert 4000 <= record["event"] < 5500


def test_a_classifier_names_the_feature_that_moved() -> None:
    """The domain classifier opens an episode whose first suspect is the feature that moved, in any batches."""
    detectors = {"domain_classifier": {"enabled": True, "refit_every": 100}, "energy": {"enabled": False}}
    config = configured(features=TWO, reference=REFERENCE, signals={"joint": {}}, detectors=detectors)
    generator = np.random.default_rng(2)
    events = []
    for n in range(1500):
        a, b = generator.normal(size=2)
        events.append(prediction(f"p{n}", n, features={"a": float(a), "b": float(b) * (3.0 if n >= 900 else 1.0)}))
    records = [r for r in drifts(fold(events, config)) if r["signal"] == "joint"]
    assert [r["detector"] for r in records] == ["domain_classifier"]
    assert records[0]["suspects"][0]["feature"] == "b"
    assert 900 <= records[0]["event"] < 1200
    assert [r for r in drifts(fold(events, config, size=83)) if r["signal"] == "joint"] == records


def relation(total: int, change: int, back: int) -> list[bytes]:
    """The label follows from `a`; between `change` and `back` it follows from `b`."""
    generator = np.random.default_rng(8)
    events = []
    for n in range(total):
        a, b = (float(v) for v in generator.normal(size=2))
        truth = "y" if (b if change <= n < back else a) > 0 else "n"
        events += [
            prediction(f"p{n}", 1000 * n, features={"a": a, "b": b, "c": "xyz"[n % 3]}),
            label(f"p{n}", 1000 * n + 500, truth),
        ]
    return events


@pytest.mark.parametrize("size", [11, 4000])
def test_a_changed_relation_is_told_with_its_place(size: int) -> None:
    """With unchanged features the contextual check opens a concept episode at the change, and closes it later."""
    features = TWO | {"c": {"type": "categorical"}}
    detectors = {"context": {"enabled": True, "window": 800, "test_every": 100}}
    config = configured(features=features, reference=REFERENCE, detectors=detectors)
    folded = fold(relation(4000, 1500, 1_000_000), config, size=size)
    record = next(b for b in drifts(folded) if b["signal"] == "context")
    assert record["kind"] == "concept"
    assert record["onset"]["low"] <= 1500 <= record["onset"]["high"]
    assert abs(record["onset"]["event"] - 1500) < 60
    assert isinstance(record["where"], list)
    assert ("context", "context") in pairs(folded, "resolved")
    assert ("feature:a", "ks") not in pairs(folded)


def test_the_context_of_a_restored_fold_goes_on() -> None:
    """State stored in the middle, and the fold restored from it, speak alike of the context."""
    detectors = {"context": {"enabled": True, "window": 400, "test_every": 50}}
    config = configured(features=TWO, reference=REFERENCE, detectors=detectors)
    events = relation(1600, 900, 1_000_000)
    whole = fold(events, config)
    one = fold(events[:1701], config)
    other = one.restarted(config)
    other.feed(events[1701:])
    told = [b["id"] for b in one.bodies("drift") + other.bodies("drift") if b["signal"] == "context"]
    assert told == [b["id"] for b in whole.bodies("drift") if b["signal"] == "context"]
    assert told


def test_every_detector_runs_on_what_it_takes() -> None:
    """With everything turned on, every detector shows a statistic on some signal, and a batch cut changes nothing."""
    names = [name for name in DetectorsConfig.__struct_fields__ if name not in ("ks", "cvm")]
    small = {"context": {"window": 400, "test_every": 50}, "domain_classifier": {"refit_every": 100}}
    small |= {"ewma_chart": {"learn_n": 50}, "shewhart": {"learn_n": 50}, "sprt": {"learn_n": 50}}
    small |= {"kswin": {"window_size": 100, "stat_size": 30}}
    detectors = {name: {"enabled": True} | small.get(name, {}) for name in names}
    features = TWO | {"c": {"type": "categorical"}}
    config = configured(features=features, reference=REFERENCE, detectors=detectors, labels={"age": "1s", "age_n": 50})
    folded = fold(relation(1500, 1200, 1_000_000), config)
    monitor = folded.monitor
    latest = monitor.signals.latest() | monitor.errors.latest() | monitor.context.latest
    seen = {name for part in latest.values() for name, (statistic, _) in part.items() if np.isfinite(statistic)}
    assert set(DetectorsConfig.__struct_fields__) - seen == set()
    assert fold(relation(1500, 1200, 1_000_000), config, size=61).hashes == folded.hashes
