"""What makes a forest a forest: subspaces per node or per tree, and for each tree detectors and a tree behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from learners._forest_kernels import ACTIVE, BACKGROUND, DRIFTS, WARNINGS
from learners._tree_layout import FEATURE, LEFT, NODES_USED, TOTAL
from learners.adaptive_random_forest import AdaptiveRandomForest
from learners.streaming_random_patches import StreamingRandomPatches

__all__: list[str] = []

COLUMNS = 16


def _stream(n: int, drift_at: int, seed: int = 1) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    rows = rng.random((n, COLUMNS))
    labels = (rows[:, :4] > 0.5).sum(axis=1) % 3
    turned = rng.random(n) < (np.arange(n) - drift_at) / 2_000  # ever more, so that warnings come before drifts
    return rows, np.where(turned, 2 - labels, labels)


def _leaves(learner: Any, region: int) -> NDArray[np.int32]:
    """The blocks of the leaves in a region."""
    pool = learner._ensemble.pool
    first = region * (len(pool.link) // len(pool.region))
    nodes = pool.link[first : first + int(pool.region[region, NODES_USED])]
    leaves: NDArray[np.int32] = nodes[nodes[:, FEATURE] == -1][:, LEFT]
    return leaves


def _subspaces(learner: Any, tree: int) -> list[frozenset[int]]:
    """The columns that each leaf of a tree observes."""
    ensemble = learner._ensemble
    leaves = _leaves(learner, int(ensemble.members[tree, ACTIVE]))
    return [frozenset(columns) for columns in ensemble.pool.subset[leaves].tolist()]


def _seen(learner: Any, region: int) -> float:
    """The weight that the leaves of a region have seen."""
    return float(learner._ensemble.pool.stats[_leaves(learner, region), TOTAL].sum())


def test_each_leaf_of_a_forest_observes_columns_of_its_own() -> None:
    """So many in each leaf, drawn anew; together they are all columns."""
    forest = AdaptiveRandomForest(COLUMNS)
    forest.learn_many(*_stream(8_000, 8_000))
    for tree in range(10):
        leaves = _subspaces(forest, tree)
        assert {len(leaf) for leaf in leaves} == {10}  # 60 % of 16
        assert len(set(leaves)) > 0.8 * len(leaves) > 8
        assert frozenset().union(*leaves) == frozenset(range(COLUMNS))


def test_each_tree_of_patches_observes_columns_of_its_own() -> None:
    """All leaves of a tree observe the same columns, and hardly two trees do."""
    patches = StreamingRandomPatches(COLUMNS)
    patches.learn_many(*_stream(8_000, 8_000))
    trees = [set(_subspaces(patches, tree)) for tree in range(10)]
    assert {len(tree) for tree in trees} == {1}
    assert len(frozenset().union(*trees)) >= 9


@pytest.mark.parametrize("build", [AdaptiveRandomForest, StreamingRandomPatches])
def test_a_tree_that_drifted_is_replaced_by_the_one_behind_it(build: Any) -> None:
    """A warning begins an empty tree behind the one that gave it; it learns, and at that tree's drift takes its place.
    No other tree changes with it."""
    rows, labels = _stream(10_000, 6_000)
    forest = build(COLUMNS)
    members = forest._ensemble.members
    began = taken = 0
    for start in range(10_000):
        before = members.copy()
        forest.learn_many(rows[start : start + 1], labels[start : start + 1])
        members = forest._ensemble.members
        for old, new in zip(before, members, strict=True):
            warned, drifted = new[WARNINGS] - old[WARNINGS], new[DRIFTS] - old[DRIFTS]
            if warned and not drifted:
                began += 1
                assert new[BACKGROUND] >= 0
                assert new[BACKGROUND] != new[ACTIVE]
                assert _seen(forest, int(new[BACKGROUND])) == 0.0
            elif drifted and not warned and old[BACKGROUND] >= 0:
                taken += 1
                assert (new[ACTIVE], new[BACKGROUND]) == (old[BACKGROUND], -1)
                assert _seen(forest, int(new[ACTIVE])) > 0.0
            elif not drifted:
                assert new[ACTIVE] == old[ACTIVE]
    assert began >= 5
    assert taken >= 3
