"""Signals of predictions: blind ones are named, vocabularies are bounded, absurd numbers take nothing down."""

from __future__ import annotations

from typing import Any

import pytest

from service.view import MonitorHistory, monitor_view
from tests.service.fold_rig import Folded, configured, control, fold, label, prediction


def shown(folded: Folded) -> dict[str, Any]:
    """The view."""
    return monitor_view(folded.monitor, MonitorHistory(), "")


def test_a_feature_without_values_is_blind_and_says_why() -> None:
    """A feature that the reference hardly ever carried is blind, with the reason; the others watch."""
    features = {"a": {"type": "numeric"}, "b": {"type": "numeric"}}
    folded = fold([prediction(f"p{n}", n) for n in range(120)], configured(features=features))
    phases = {s["name"]: (s["phase"], s["phase_detail"]) for s in shown(folded)["signals"]}
    assert phases["feature:b"] == ("blind", "only 0 of 50 reference predictions carry a value")
    assert phases["feature:a"] == ("watching", "")
    assert not [b for b in folded.bodies("drift") if b["signal"] == "feature:b"]


def test_a_new_category_is_a_quality_episode() -> None:
    """Categories that the reference never saw open `unseen:NAME`; their number does not grow the vocabulary."""
    features = {"c": {"type": "categorical"}}
    events = [prediction(f"p{n}", n, features={"c": "xyz"[n % 3] if n < 200 else f"new-{n}"}) for n in range(400)]
    folded = fold(events, configured(features=features))
    signals = {(b["signal"], b["kind"]) for b in folded.bodies("drift")}
    assert ("unseen:c", "quality") in signals
    assert len(folded.monitor.signals.vocabularies[0]) == 3


def test_missing_values_are_a_quality_episode() -> None:
    """A feature that stops coming opens `missing:NAME`."""
    events = [prediction(f"p{n}", n, features={"a": n % 7} if n < 200 else {}) for n in range(400)]
    assert ("missing:a", "quality") in {(b["signal"], b["kind"]) for b in fold(events).bodies("drift")}


@pytest.mark.parametrize("where", [range(3, 9), range(50), range(80, 83)], ids=["some", "all", "later"])
def test_absurd_numbers_take_nothing_down(where: range) -> None:
    """±1e308 in the reference, all over it or in the window are folded without overflow."""
    events = [
        prediction(f"p{n}", n, features={"a": 1e308 * (-1) ** n if n in where else 0.01 * (n % 9)}) for n in range(150)
    ]
    assert fold(events).monitor.signals.seen == 150


def test_every_cap_is_kept_and_shown() -> None:
    """Categories, classes, versions, pending and early labels stay under their caps, which the view shows."""
    features = {"c": {"type": "categorical"}}
    labels = {"age": "1s", "correction_window": 10, "max_pending": 20, "max_early": 5}
    config = configured(features=features, labels=labels, max_categories=7, max_classes=4, max_versions=3)
    events = []
    for n in range(120):
        fields = {"features": {"c": f"c{n}"}, "prediction": f"k{n}", "model_version": f"v{n}"}
        events += [prediction(f"p{n}", n * 100, **fields), label(f"p{n}", n * 100 + 1, f"k{n}")]
        events += [label(f"x{n}", n * 100 + 2, "k0")]
    bounds = shown(fold([*events, control("tick", 20_000)], config))["bounds"]
    assert {name: (b["value"], b["cap"]) for name, b in bounds.items() if name != "pending"} == {
        "early": (5, 5), "categories": (7, 7), "classes": (4, 4), "versions": (3, 3),
    }  # fmt: skip
    assert bounds["pending"]["value"] <= bounds["pending"]["cap"] == 20


def test_restarting_gives_what_a_fresh_one_gives() -> None:
    """After `restart` the signals are as if they had never seen anything."""
    folded = fold([prediction(f"p{n}", n, features={"a": n}) for n in range(100)])
    signals = folded.monitor.signals
    signals.restart()
    assert (signals.seen, signals.events_left, signals.watching) == (0, 50, False)
    assert signals.latest() == {}
