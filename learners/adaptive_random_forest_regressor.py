"""Adaptive random forest for numbers: trees with random columns per leaf, replaced when their errors rise."""

from __future__ import annotations

from learners._regression_learner import RegressionLearner
from learners._regression_plan import Leaf, Vote

__all__ = ["AdaptiveRandomForestRegressor"]


class AdaptiveRandomForestRegressor(RegressionLearner):
    """A forest each of whose trees watches its own errors and grows a successor when they rise.

    Parameters
    ----------
    columns, nominal
        width of the rows of `step_many`, and its columns of codes; leave both out for examples with names.
    trees
        how many, 1 to 1000.
    columns_share
        part of the columns that each leaf may split on, drawn per leaf, in (0, 1]; never fewer than 3.
    mean_weight
        each row counts for a tree as often as a Poisson number of this mean says, up to 20; 0: once.
    aggregation
        the forest's answer: `mean` or `median` of the trees', or `weighted`, their mean weighted by 1 / faded squared
        error.
    warning_delta, drift_delta
        of the two ADWINs over each tree's scaled absolute errors: the first begins a tree in the background, the second
        lets it take the tree's place; a `drift_delta` of 0 switches both off.
    seed
        of the generator behind the weights and columns.
    grace_n, delta, tau, leaf, learning_rate, fading, split_least_n
        of the trees, see `HoeffdingTreeRegressor`.
    budget_bytes
        memory of all trees, those in the background included; a tree that has used up its part grows no further.
    categories_cap
        codes per nominal column that may be known, 2 to 64.

    Notes
    -----
    Costs `trees` regression trees, and those in the background. An error is scaled by three root mean squared errors
    of the tree's life so far, and counts as 1 from there on.

    Where we deviate: a background tree takes the place from a drift on as soon as its faded squared error (over about
    100 rows, 50 at least) is the smaller one; the paper replaces at once, which costs accuracy where only the level of
    the errors has risen. The ADWINs see absolute errors, only a rise counts. A
    tree's record is its own, and a background tree brings its record along. `columns_share`, `grace_n` and
    `learning_rate` were chosen on the two streams of `benchmarks/regression.py` (the paper and river: the square root
    of the columns, 50), so errors there flatter the defaults; elsewhere other values may do better.

    References
    ----------
    Gomes, Barddal, Boiko, Bifet, *Adaptive random forests for data stream regression*, ESANN 2018.

    Examples
    --------
    >>> forest = AdaptiveRandomForestRegressor(trees=3, seed=1)
    >>> for i in range(400):
    ...     forest.learn_one({"hour": float(i % 24)}, 10.0 if i % 24 < 12 else 30.0)
    >>> round(forest.predict_one({"hour": 3.0})), round(forest.predict_one({"hour": 20.0}))
    (10, 30)
    """

    kind = "adaptive_random_forest_regressor"
    adapts_itself = True

    def __init__(  # sizes: the names of the papers and of river, whose users look for them
        self, columns: int = 0, nominal: tuple[int, ...] = (), *, trees: int = 10,
        columns_share: float = 0.7, mean_weight: float = 6.0, aggregation: Vote = "weighted",
        warning_delta: float = 0.01, drift_delta: float = 0.001, seed: int = 1,
        grace_n: float = 100.0, delta: float = 0.01, tau: float = 0.05,
        leaf: Leaf = "adaptive", learning_rate: float = 0.2, fading: float = 0.95, split_least_n: float = 5.0,
        budget_bytes: int = 32 << 20, categories_cap: int = 64,
    ) -> None:  # fmt: skip
        config = {
            "columns": columns, "nominal": tuple(nominal), "trees": trees, "columns_share": columns_share,
            "mean_weight": mean_weight, "aggregation": aggregation, "warning_delta": warning_delta,
            "drift_delta": drift_delta, "seed": seed, "grace_n": grace_n, "delta": delta, "tau": tau, "leaf": leaf,
            "learning_rate": learning_rate, "fading": fading, "split_least_n": split_least_n,
            "budget_bytes": budget_bytes, "categories_cap": categories_cap,
        }  # fmt: skip
        super().__init__(config)
