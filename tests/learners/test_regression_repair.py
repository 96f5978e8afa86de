"""Compiled regression learners that are told to repair themselves or to forget, and how far their trees disagree."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from learners._regression_forest import ACTIVE, BACKGROUND
from learners.adaptive_random_forest_regressor import AdaptiveRandomForestRegressor
from learners.decay import Decay
from learners.hoeffding_tree_regressor import HoeffdingTreeRegressor
from tests.learners.test_regression_forests import _mae, _stream

__all__: list[str] = []


def test_repair_replaces_the_worst_tree() -> None:
    """After a drift that nothing watches, a new tree in the place of the worst of three lets the error fall."""
    rows, values = _stream(6_000, turn_at=3_000)
    left, repaired = (AdaptiveRandomForestRegressor(5, (4,), trees=3, drift_delta=0.0) for _ in range(2))
    assert left.repair() == 0
    for learner in (left, repaired):
        learner.learn_many(rows[:3_200], values[:3_200])
    assert repaired.repair() == 1
    assert repaired.state_bytes < left.state_bytes
    part = slice(3_200, 6_000)
    errors = [_mae(learner.step_many(rows[part], values[part]), values[part], 500) for learner in (left, repaired)]
    assert errors[1] < 0.95 * errors[0]
    assert type(repaired).restore(repaired.snapshot()).snapshot() == repaired.snapshot()


def test_repair_prefers_the_tree_that_grows_aside() -> None:
    """The worst tree gives way to the one that grew behind it, which keeps what it learned; its drift is counted."""
    rows, values = _stream(6_000, turn_at=3_000)
    forest = AdaptiveRandomForestRegressor(5, (4,), trees=2, warning_delta=0.9, drift_delta=1e-300)
    forest.learn_many(rows, values)
    ensemble = forest._ensemble
    assert (ensemble.members[:, BACKGROUND] >= 0).all()
    expected = set(ensemble.members[:, BACKGROUND].tolist())
    assert (forest.repair(), forest.replaced_n) == (1, 1)
    assert len(expected & set(ensemble.members[:, ACTIVE].tolist())) == 1
    assert ensemble.members[:, BACKGROUND].min() == -1
    last = slice(5_500, 6_000)
    assert _mae(forest.predict_many(rows[last]), values[last]) < 2.0
    assert AdaptiveRandomForestRegressor.restore(forest.snapshot()).snapshot() == forest.snapshot()


def test_a_single_tree_is_not_repaired() -> None:
    """There is nothing to put in its place that knows anything."""
    rows, values = _stream(2_000)
    tree = HoeffdingTreeRegressor(5, (4,))
    tree.learn_many(rows, values)
    before = tree.snapshot()
    assert tree.repair() == 0
    assert tree.snapshot() == before


@pytest.mark.parametrize("half_life_n", [1, 20])
@pytest.mark.parametrize("name", ["HoeffdingTreeRegressor", "AdaptiveRandomForestRegressor"])
def test_what_is_forgotten_again_and_again_can_be_restored(name: str, half_life_n: int) -> None:
    """A category that came once has a weight, however small, that its mean is a quotient of."""
    inner = {"grace_n": 0.5, "split_least_n": 1e-3}
    learner = Decay(f"anchorwatch.{name}", inner, half_life_n=half_life_n, refit_every=half_life_n, task="regression")
    rng = np.random.default_rng(1)
    for start in range(0, 5_000, 1_000):
        shops = ["NS"[k % 2] if start == 0 and k < 50 else "WV"[k % 2] for k in range(1_000)]
        values = rng.random((1_000, 2)).tolist()
        examples = [({"shop": shop, "a": a}, y) for shop, (a, y) in zip(shops, values, strict=True)]
        assert learner.learn_examples(examples) == [None] * 1_000
        data = learner.snapshot()
        assert Decay.restore(data).snapshot() == data


@pytest.mark.parametrize("build", [HoeffdingTreeRegressor, partial(AdaptiveRandomForestRegressor, trees=3)])
def test_forgetting_changes_weights_and_no_answer(build: Any) -> None:
    """Answers stay as they were; after a change of the relation a learner that has forgotten follows faster."""
    rows, values = _stream(6_000, turn_at=4_000)
    kept, faded = (build(5, (4,), leaf="mean") for _ in range(2))
    for learner in (kept, faded):
        learner.learn_many(rows[:4_000], values[:4_000])
    faded.forget(0.02)
    assert faded.predict_many(rows) == pytest.approx(kept.predict_many(rows), rel=1e-9)
    assert faded.snapshot() != kept.snapshot()
    part = slice(4_000, 4_400)
    errors = [_mae(learner.step_many(rows[part], values[part]), values[part]) for learner in (kept, faded)]
    assert errors[1] < 0.92 * errors[0]
    assert type(faded).restore(faded.snapshot()).snapshot() == faded.snapshot()
    for wrong in (0.0, 1.1, math.nan):
        with pytest.raises(ValueError, match="keep = "):
            faded.forget(wrong)


def test_spread_is_the_deviation_of_the_trees_in_that_of_the_targets() -> None:
    """As recounted from each tree alone, over the last 100 labelled rows; a single tree has none."""
    rows, values = _stream(900)
    forest, tree = AdaptiveRandomForestRegressor(5, (4,), trees=4), HoeffdingTreeRegressor(5, (4,))
    assert forest.spread() is None
    for learner in (forest, tree):
        learner.learn_many(rows[:780], values[:780])
    assert tree.spread() is None
    apart = []
    for row, value in zip(rows[780:], values[780:], strict=True):
        alone = []
        for t in range(4):
            copy = type(forest).restore(forest.snapshot())
            copy._ensemble.members = copy._ensemble.members[t : t + 1]
            copy._ensemble.plan = replace(copy._ensemble.plan, trees=1)
            alone.append(float(copy.predict_many(row[None])[0]))
        apart.append(np.std(alone))
        forest.step_many(np.stack([row, row]), np.array([math.nan, value]))
    assert forest.spread() == pytest.approx(np.mean(apart[-100:]) / np.std(values[800:]), rel=1e-6)
    assert AdaptiveRandomForestRegressor.restore(forest.snapshot()).spread() == forest.spread()
