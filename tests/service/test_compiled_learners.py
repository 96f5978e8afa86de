"""The compiled learners as members of a monitor: they learn, adapt, restart and do not mind batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.service.fold_rig import Folded, configured, fold, label, prediction

FEATURES = {"a": {"type": "numeric"}, "b": {"type": "numeric"}, "c": {"type": "categorical"}}
NAMES = ("AdaptiveRandomForest", "HoeffdingAdaptiveTree", "LeveragingBagging", "StreamingRandomPatches")


def settings(name: str) -> Any:
    """A monitor whose champion is the learner, small where it is many trees."""
    parameters = {} if name == "HoeffdingAdaptiveTree" else {"trees": 3}
    learner = {"estimator": f"anchorwatch.{name}", "parameters": parameters}
    return configured(features=FEATURES, learners={"own": learner}, reference={"n": 200, "window": 100})


def events(total: int, change: int) -> list[bytes]:
    """A label that follows from `a`, from `change` on from its opposite, with gaps and a category that says nothing."""
    generator = np.random.default_rng(4)
    found = []
    for n in range(total):
        a, b = (float(v) for v in generator.normal(size=2))
        features: dict[str, Any] = {"a": a, "b": b, "c": "xyz"[n % 3]}
        if n % 50 == 0:
            del features["b"]
        truth = "yes" if (a > 0) == (n < change) else "no"
        found += [
            prediction(f"p{n}", 1000 * n, features=features, prediction="yes"), label(f"p{n}", 1000 * n + 500, truth)
        ]  # fmt: skip
    return found


def accuracy(folded: Folded, name: str) -> float:
    """Over the newest judged predictions."""
    return float(folded.monitor.scoreboard.summaries()[name]["window"]["accuracy"])


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_and_recovers(name: str) -> None:
    """It beats the majority before a change of the relation, and again some labels after it."""
    folded = fold(events(800, 100_000), settings(name))
    assert accuracy(folded, "own") > max(0.8, accuracy(folded, "majority"))
    folded = fold(events(2200, 800), settings(name))
    assert accuracy(folded, "own") > max(0.75, accuracy(folded, "majority"))


@pytest.mark.parametrize("name", NAMES)
def test_batches_and_restarts_change_nothing(name: str) -> None:
    """Events cut otherwise, and a restart in the middle, give the same bits."""
    config, stream = settings(name), events(400, 250)
    whole = fold(stream, config)
    assert fold(stream, config, size=17).hashes == whole.hashes
    one = fold(stream[:501], config)
    other = one.restarted(config)
    other.feed(stream[501:])
    assert other.hashes == whole.hashes
