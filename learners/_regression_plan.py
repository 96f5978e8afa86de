"""What makes one regression learner differ from another, and the range of each parameter; loads no compiler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LEAVES", "LINEAR", "MEAN", "MEDIAN_VOTE", "VOTES", "WEIGHTED_VOTE", "Leaf", "RegressionPlan", "Vote"]

# How a leaf answers.
MEAN, LINEAR, ADAPTIVE = range(3)
LEAVES = {"mean": MEAN, "linear": LINEAR, "adaptive": ADAPTIVE}
# How the answers of the trees become one.
MEAN_VOTE, MEDIAN_VOTE, WEIGHTED_VOTE = range(3)
VOTES = {"mean": MEAN_VOTE, "median": MEDIAN_VOTE, "weighted": WEIGHTED_VOTE}
_RANGES = {
    "trees": "1 to 1000", "grace_n": "more than 0", "delta": "in (0, 1)", "tau": "0 or more",
    "leaf": "one of mean, linear, adaptive", "aggregation": "one of mean, median, weighted",
    "learning_rate": "in (0, 1]", "fading": "in [0, 1)", "split_least_n": "more than 0",
    "columns_share": "in (0, 1]", "mean_weight": "from 0 to 20", "warning_delta": "in [0, 1)",
    "drift_delta": "in [0, 1)", "categories_cap": "2 to 64",
}  # fmt: skip

Leaf = Literal["mean", "linear", "adaptive"]
Vote = Literal["mean", "median", "weighted"]


@dataclass(frozen=True)
class RegressionPlan:
    """What makes one learner differ from another; see the learners for the meaning."""

    trees: int = 1
    grace_n: float = 200.0
    delta: float = 1e-7
    tau: float = 0.05
    leaf: Leaf = "adaptive"
    learning_rate: float = 0.1
    fading: float = 0.95
    split_least_n: float = 5.0
    aggregation: Vote = "mean"
    columns_share: float = 1.0
    mean_weight: float = 0.0
    warning_delta: float = 0.0
    drift_delta: float = 0.0
    budget_bytes: int = 32 << 20
    categories_cap: int = 64
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what no learner can work with."""
        checks = {
            "trees": 1 <= self.trees <= 1_000, "grace_n": self.grace_n > 0.0, "delta": 0.0 < self.delta < 1.0,
            "tau": self.tau >= 0.0, "leaf": self.leaf in LEAVES, "aggregation": self.aggregation in VOTES,
            "learning_rate": 0.0 < self.learning_rate <= 1.0, "fading": 0.0 <= self.fading < 1.0,
            "split_least_n": self.split_least_n > 0.0,
            "columns_share": 0.0 < self.columns_share <= 1.0, "mean_weight": 0.0 <= self.mean_weight <= 20.0,
            "warning_delta": 0.0 <= self.warning_delta < 1.0, "drift_delta": 0.0 <= self.drift_delta < 1.0,
            "categories_cap": 2 <= self.categories_cap <= 64,
        }  # fmt: skip
        for name, holds in checks.items():
            if not holds:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be {_RANGES[name]}")

    @property
    def is_forest(self) -> bool:
        """Whether trees are watched and have successors."""
        return self.drift_delta > 0.0
