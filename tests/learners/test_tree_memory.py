"""A million events through each compiled tree learner: memory and snapshots stay within the byte budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from learners._tree_learner import TreeLearner
from learners.adaptive_random_forest import AdaptiveRandomForest
from learners.hoeffding_adaptive_tree import HoeffdingAdaptiveTree
from learners.hoeffding_tree import HoeffdingTree
from learners.leveraging_bagging import LeveragingBagging
from learners.oza_bagging import OzaBaggingAdwin
from learners.streaming_random_patches import StreamingRandomPatches

__all__: list[str] = []

BUDGET, BLOCK_N, BLOCKS_N = 400_000, 50_000, 20
# What does not grow: members, ADWINs, random numbers, the configuration, and the snapshot's own frame.
FIXED = 20_000
BUILDS: dict[str, Callable[..., TreeLearner]] = {
    "adaptive_random_forest": lambda **k: AdaptiveRandomForest(4, (3,), trees=3, **k),
    "hoeffding_adaptive_tree": lambda **k: HoeffdingAdaptiveTree(4, (3,), **k),
    "hoeffding_tree": lambda **k: HoeffdingTree(4, (3,), **k),
    "leveraging_bagging": lambda **k: LeveragingBagging(4, (3,), trees=3, **k),
    "oza_bagging": lambda **k: OzaBaggingAdwin(4, (3,), trees=3, **k),
    "streaming_random_patches": lambda **k: StreamingRandomPatches(4, (3,), trees=3, **k),
}


def _block(part: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Rows of concept `part`: another rule, one more class and five more categories than the part before."""
    rows = np.column_stack([rng.random((BLOCK_N, 3)), rng.integers(2 + 5 * part, size=BLOCK_N)])
    cells = (rows[:, :3] * (2.0 + part % 3)).astype(int).sum(axis=1) + rows[:, 3].astype(int) % 3 + part
    labels = cells % (2 + part // 2)
    labels[rng.random(BLOCK_N) < 0.05] = 0
    return rows, labels


def _held(learner: TreeLearner) -> int:
    """Bytes of all arrays that grow with the trees."""
    ensemble = learner._ensemble
    pool = ensemble.pool
    windows = ensemble.windows.nbytes if ensemble.by_node else 0
    return int(pool.link.nbytes + pool.cut.nbytes + pool.stats.nbytes + pool.subset.nbytes + windows)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BUILDS))
def test_a_million_events_stay_within_the_budget(name: str) -> None:
    """Twenty concepts with ever more classes and categories: what is held and what is saved never pass the budget."""
    rng = np.random.default_rng(1)
    learner = BUILDS[name](budget_bytes=BUDGET, grace_n=50.0, delta=0.05, classes_cap=16, categories_cap=64)
    most_held = most_saved = 0
    for part in range(BLOCKS_N):
        rows, labels = _block(part, rng)
        shares = learner.step_many(rows, labels)
        most_held, most_saved = max(most_held, _held(learner)), max(most_saved, len(learner.snapshot()))
        assert np.isfinite(shares).all()
    assert BUDGET / 2 < most_held <= BUDGET
    assert most_saved <= BUDGET + FIXED
    assert type(learner).restore(learner.snapshot()).snapshot() == learner.snapshot()
