"""Compiled trees give up their worst tree or some of their past when they are told to, and go on exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from learners._forest_kernels import ACTIVE, BACKGROUND
from learners._tree_layout import ALTERNATE, FEATURE, FLAGS, LEFT, MULTIWAY, NEXT, RIGHT, ROOT, TOTAL
from learners._tree_learner import TreeLearner
from learners._tree_repair import fade
from learners.adaptive_random_forest import AdaptiveRandomForest
from learners.hoeffding_adaptive_tree import HoeffdingAdaptiveTree
from learners.hoeffding_tree import HoeffdingTree
from learners.leveraging_bagging import LeveragingBagging
from learners.oza_bagging import OzaBaggingAdwin
from learners.streaming_random_patches import StreamingRandomPatches
from tests.learners.drifting import concepts, errors
from tests.learners.streams import labelled

__all__: list[str] = []

ENSEMBLES: dict[str, Callable[[], TreeLearner]] = {
    "forest": lambda: AdaptiveRandomForest(trees=3, grace_n=20.0),
    "leveraging": lambda: LeveragingBagging(trees=3),
    "oza": lambda: OzaBaggingAdwin(trees=3),
    "patches": lambda: StreamingRandomPatches(trees=3),
}
SINGLE: dict[str, Callable[[], TreeLearner]] = {"adaptive": HoeffdingAdaptiveTree, "tree": HoeffdingTree}


def _trained(build: Callable[[], TreeLearner], n: int = 300) -> TreeLearner:
    learner = build()
    for x, y in labelled("classification", n):
        learner.learn_one(x, y)
    return learner


@pytest.mark.parametrize("name", sorted(ENSEMBLES))
def test_repair_replaces_one_tree_and_goes_on(name: str) -> None:
    """One tree is replaced and counted, and a restored snapshot goes on bit for bit."""
    learner = _trained(ENSEMBLES[name])
    before, replaced = learner.snapshot(), learner.replaced_n
    assert learner.repair() == 1
    assert learner.snapshot() != before
    assert learner.replaced_n == replaced + 1
    twin = type(learner).restore(learner.snapshot())
    for x, y in labelled("classification", 120, seed=9):
        assert twin.predict_proba_one(x) == learner.predict_proba_one(x)
        learner.learn_one(x, y)
        twin.learn_one(x, y)
    assert twin.snapshot() == learner.snapshot()


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_a_single_tree_has_no_part_to_replace(name: str) -> None:
    """Nothing is replaced and nothing changes."""
    learner = _trained(SINGLE[name])
    before = learner.snapshot()
    assert learner.repair() == 0
    assert learner.snapshot() == before


def test_the_tree_with_the_most_errors_goes() -> None:
    """The tree that was made useless is the one replaced; the others stay as they were."""
    learner = LeveragingBagging(trees=3, drift_delta=0.0)
    stream = concepts("A", 400)
    for x, y in stream:
        learner.learn_one(x, y)
    ensemble = learner._ensemble
    ensemble.members[1, 3] = 7  # hits
    before = ensemble.pool.region.copy()
    assert learner.repair() == 1
    assert ensemble.pool.region[1].tolist() != before[1].tolist()
    assert np.array_equal(ensemble.pool.region[[0, 2]], before[[0, 2]])
    assert ensemble.members[1, 2:4].tolist() == [0, 0]


def test_a_tree_in_the_background_takes_the_place() -> None:
    """What a forest has grown aside is not thrown away for an empty tree."""
    learner = AdaptiveRandomForest(trees=2, warning_delta=0.5, drift_delta=1e-9)
    for x, y in concepts("AB", 400)[:500]:
        learner.learn_one(x, y)
    members = learner._ensemble.members
    assert (members[:, BACKGROUND] >= 0).any()
    aside = members[:, BACKGROUND].tolist()
    learner.repair()
    taken = [t for t in range(2) if members[t, ACTIVE] == aside[t]]
    assert len(taken) == 1
    assert members[taken[0], BACKGROUND] == -1


@pytest.mark.parametrize("name", sorted(ENSEMBLES | SINGLE))
def test_forgetting_keeps_answers_close_and_goes_on_exactly(name: str) -> None:
    """Half of the weight is gone, the learner knows what it knew, and a restored snapshot goes on bit for bit."""
    learner = _trained((ENSEMBLES | SINGLE)[name])
    examples = [x for x, _ in labelled("classification", 60, seed=5)]
    before, said = _weight(learner), learner.predict_proba_examples(examples)
    learner.forget(0.5)
    assert _weight(learner) == pytest.approx(0.5 * before)
    after = learner.predict_proba_examples(examples)
    assert np.mean([abs(a[k] - b[k]) for a, b in zip(said, after, strict=True) for k in a]) < 0.05
    twin = type(learner).restore(learner.snapshot())
    for x, y in labelled("classification", 120, seed=9):
        learner.learn_one(x, y)
        twin.learn_one(x, y)
    assert twin.snapshot() == learner.snapshot()


def _weight(learner: TreeLearner) -> float:
    """Total weight in the leaves that hang in a tree; blocks set free keep what was in them."""
    pool, total = learner._ensemble.pool, 0.0
    todo = [int(root) for root in pool.region[:, ROOT] if root >= 0]
    while todo:
        node = todo.pop()
        link = pool.link[node]
        todo += [int(link[field]) for field in (NEXT, ALTERNATE) if link[field] >= 0]
        if link[FEATURE] < 0:
            total += float(pool.stats[link[LEFT], TOTAL])
        elif link[FLAGS] & MULTIWAY:
            todo.append(int(link[LEFT]))
        else:
            todo += [int(link[LEFT]), int(link[RIGHT])]
    return total


def test_forgetting_keeps_means_and_variances() -> None:
    """A leaf's normal densities stay where they are; only their weight falls, and to no less than two values."""
    tree = HoeffdingTree(1, leaf=1)
    rows = np.random.default_rng(3).normal(size=(60, 1)) * 3.0 + 5.0
    tree.learn_many(rows, np.zeros(60, dtype=np.int64))
    at = int(tree._ensemble.pool.slots[0, 0])
    weight, mean, square = tree._ensemble.pool.stats[0, at : at + 3].tolist()
    for keep in (0.5, 0.01):
        fade(tree._ensemble, keep)
        faded = tree._ensemble.pool.stats[0, at : at + 3].tolist()
        assert faded[0] == pytest.approx(max(keep * weight, 2.0))
        assert faded[1] == mean
        assert faded[2] / (faded[0] - 1.0) == pytest.approx(square / (weight - 1.0))
        weight, square = faded[0], faded[2]


@pytest.mark.parametrize("keep", [0.0, -1.0, 1.5, float("nan")])
def test_keep_out_of_range_is_refused(keep: float) -> None:
    """The message names the parameter, the value and the range."""
    with pytest.raises(ValueError, match=r"keep = .*\(0, 1\]"):
        HoeffdingTree().forget(keep)


def _after_the_change(build: Callable[[], TreeLearner], act: Callable[[Any], object] | None) -> int:
    learner, stream = build(), concepts("AB", 1_500)
    for x, y in stream[:1_550]:
        learner.learn_one(x, y)
    if act is not None:
        act(learner)
    return sum(errors(learner, stream[1_550:2_550]))


def test_forgetting_speeds_recovery() -> None:
    """Told of the change 50 labels late, a tree that forgets errs on far fewer of the next 1,000 labels."""
    assert _after_the_change(HoeffdingTree, lambda t: t.forget(0.05)) < 0.7 * _after_the_change(HoeffdingTree, None)


def test_repair_speeds_recovery() -> None:
    """A bag without detectors of its own errs on fewer of the next 1,000 labels once its worst trees are replaced."""

    def build() -> TreeLearner:
        return LeveragingBagging(trees=3, drift_delta=0.0)

    def repair(learner: TreeLearner) -> None:
        learner.repair()
        learner.repair()

    assert _after_the_change(build, repair) < 0.85 * _after_the_change(build, None)
