"""What makes one tree learner differ from another, and the range of each parameter; loads no compiler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ADAPTIVE", "ALL_COLUMNS", "BAYES", "MAJORITY", "PER_LEAF", "PER_TREE", "Plan", "TreeShape"]

# How a leaf answers: with the shares of its classes, with naive Bayes, or with what was right more often.
MAJORITY, BAYES, ADAPTIVE = range(3)
# Which columns a leaf observes: all, some drawn for each leaf, or some drawn for each tree.
ALL_COLUMNS, PER_LEAF, PER_TREE = range(3)
_RANGES = {
    "trees": "1 to 1000", "grace_n": "more than 0", "delta": "in (0, 1)", "tau": "0 or more", "leaf": "0, 1 or 2",
    "columns_share": "in (0, 1]", "mean_weight": "from 0 to 20", "warning_delta": "in [0, 1)",
    "drift_delta": "in [0, 1)", "classes_cap": "2 to 1000", "categories_cap": "2 to 10000",
}  # fmt: skip

TreeShape = Literal["bag", "forest", "adaptive"]


@dataclass(frozen=True)
class Plan:
    """What makes one learner differ from another; see the learners for the meaning."""

    kind: TreeShape
    subspace: int = ALL_COLUMNS
    trees: int = 1
    grace_n: float = 200.0
    delta: float = 1e-7
    tau: float = 0.05
    patience: float = 0.0
    leaf: int = 2
    columns_share: float = 1.0
    mean_weight: float = 0.0
    warning_delta: float = 0.0
    drift_delta: float = 0.0
    budget_bytes: int = 32 << 20
    classes_cap: int = 64
    categories_cap: int = 64
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what no learner can work with."""
        checks = {
            "trees": 1 <= self.trees <= 1_000, "grace_n": self.grace_n > 0.0, "delta": 0.0 < self.delta < 1.0,
            "tau": self.tau >= 0.0, "leaf": self.leaf in {0, 1, 2},
            "columns_share": 0.0 < self.columns_share <= 1.0,
            "mean_weight": 0.0 <= self.mean_weight <= 20.0, "warning_delta": 0.0 <= self.warning_delta < 1.0,
            "drift_delta": 0.0 <= self.drift_delta < 1.0, "classes_cap": 2 <= self.classes_cap <= 1_000,
            "categories_cap": 2 <= self.categories_cap <= 10_000,
        }  # fmt: skip
        for name, holds in checks.items():
            if not holds:
                raise ValueError(f"{name} = {getattr(self, name)}: must be {_RANGES[name]}")
