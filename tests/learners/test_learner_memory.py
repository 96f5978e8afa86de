"""A million events through each of the other compiled learners: memory and snapshots stay within the byte budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from learners.adaptive_random_forest_regressor import AdaptiveRandomForestRegressor
from learners.hoeffding_tree_regressor import HoeffdingTreeRegressor
from learners.linear_regression import LinearRegression
from learners.naive_bayes import NaiveBayes
from learners.softmax_regression import SoftmaxRegression

__all__: list[str] = []

BUDGET, BLOCK_N, BLOCKS_N = 400_000, 50_000, 20
FIXED = 40_000  # members, windows, random numbers, the configuration, and the snapshot's own frame
CLASSES: dict[str, Callable[..., Any]] = {
    "naive_bayes": lambda **k: NaiveBayes(4, (3,), decay=0.9999, classes_cap=16, **k),
    "softmax_regression": lambda **k: SoftmaxRegression(4, (3,), classes_cap=16, **k),
}
NUMBERS: dict[str, Callable[..., Any]] = {
    "linear_regression": lambda **k: LinearRegression(4, (3,), **k),
    "hoeffding_tree_regressor": lambda **k: HoeffdingTreeRegressor(4, (3,), **k),
    "adaptive_random_forest_regressor": lambda **k: AdaptiveRandomForestRegressor(
        4, (3,), trees=2, mean_weight=1.0, **k
    ),
}


def _rows(part: int, rng: np.random.Generator) -> Any:
    """Three numbers and a code, of which there are three more with each part, up to the cap and beyond."""
    return np.column_stack([rng.random((BLOCK_N, 3)), rng.integers(2 + 3 * part, size=BLOCK_N)])


def _run(learner: Any, target: Callable[[int, Any, np.random.Generator], Any]) -> int:
    """Twenty concepts; the size of the largest snapshot."""
    rng, most = np.random.default_rng(1), 0
    for part in range(BLOCKS_N):
        rows = _rows(part, rng)
        said = learner.step_many(rows, target(part, rows, rng))
        assert not np.isinf(said).any()
        most = max(most, len(learner.snapshot()), learner.state_bytes)
    assert type(learner).restore(learner.snapshot()).snapshot() == learner.snapshot()
    return most


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_million_labels_stay_within_the_budget(name: str) -> None:
    """Ever more classes and categories, another rule with each part: what is saved never passes the budget."""

    def target(part: int, rows: Any, rng: np.random.Generator) -> Any:
        del rng
        return ((rows[:, :3] * (2 + part % 3)).astype(int).sum(axis=1) + part) % (2 + part // 2)

    assert _run(CLASSES[name](budget_bytes=BUDGET, categories_cap=64), target) <= BUDGET + FIXED


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_a_million_numbers_stay_within_the_budget(name: str) -> None:
    """Targets of another relation and scale with each part: what is saved never passes the budget."""

    def target(part: int, rows: Any, rng: np.random.Generator) -> Any:
        return 10.0 ** (part % 4) * (rows[:, part % 3] - rows[:, 3] % 5) + rng.normal(size=len(rows))

    assert _run(NUMBERS[name](budget_bytes=BUDGET, categories_cap=64), target) <= BUDGET + FIXED
