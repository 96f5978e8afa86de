"""Hoeffding tree for numbers: grows a regression tree from a stream, with a linear model in each leaf."""

from __future__ import annotations

from learners._regression_learner import RegressionLearner
from learners._regression_plan import Leaf

__all__ = ["HoeffdingTreeRegressor"]


class HoeffdingTreeRegressor(RegressionLearner):
    """A single regression tree that never forgets.

    Parameters
    ----------
    columns, nominal
        width of the rows of `step_many`, and its columns of codes; leave both out for examples with names.
    grace_n
        weight that a leaf gathers between two attempts to split, more than 0.
    delta
        1 - confidence that the chosen column is the best, in (0, 1).
    tau
        below this bound two columns count as equally good, 0 or more.
    leaf
        `mean`: a leaf answers with the mean of its targets, `linear`: with a linear model of the numeric columns,
        `adaptive`: with the one whose squared error, faded by `fading` a row, is smaller.
    learning_rate
        part of its error that a linear model corrects at each row, in (0, 1].
    fading
        part of the past errors that the next row leaves, in [0, 1).
    split_least_n
        weight that each side of a split must hold, more than 0; a hundredth of the leaf's at least.
    budget_bytes
        memory of the tree; one that has used it up grows no further.
    categories_cap
        codes per nominal column that may be known, 2 to 64.
    seed
        without effect while a leaf observes all columns; kept so that a tree is built like a forest.

    Notes
    -----
    A leaf splits where the second best fall of variance is less than 1 - epsilon of the best, epsilon being the
    Hoeffding bound for ratios from 0 to 1, or where epsilon is below `tau`. About a microsecond a row of a dozen
    columns; 776 bytes per leaf and observed column.

    Where we deviate: a column is observed in 32 slots in place of an extended binary search tree. Their edges are
    the leaf's first distinct values (a new extreme later takes a slot from the two lightest neighbours), so fewer cuts
    are candidates, but the statistics of each are exact. Slots hold weight and sum, as the fall of variance needs no
    squares; the paper takes the fall of the standard deviation. A nominal column splits into two sets of its first 32
    codes, the best of all sets. Linear models are normalized least mean squares over columns that are standardized
    once for the whole tree, see no codes, begin with the parent's weights, and answer within the targets seen so
    far. The paper's change detection in the nodes is left out: see `AdaptiveRandomForestRegressor`.

    Targets may be of any scale; one further than 20 faded standard deviations from the faded mean is clipped to that.
    The first 64 give the first scale: if one of them proves absurd by it, the tree begins anew.

    References
    ----------
    Ikonomovska, Gama, Džeroski, *Learning model trees from evolving data streams*, Data Mining and Knowledge Discovery
    23 (2011), doi:10.1007/s10618-010-0201-y.

    Examples
    --------
    >>> tree = HoeffdingTreeRegressor()
    >>> for i in range(400):
    ...     tree.learn_one({"hour": float(i % 24)}, 10.0 if i % 24 < 12 else 30.0)
    >>> round(tree.predict_one({"hour": 3.0})), round(tree.predict_one({"hour": 20.0}))
    (10, 30)
    """

    kind = "hoeffding_tree_regressor"

    def __init__(  # sizes: the names of the paper and of river, whose users look for them
        self, columns: int = 0, nominal: tuple[int, ...] = (), *, grace_n: float = 100.0, delta: float = 0.01,
        tau: float = 0.05, leaf: Leaf = "adaptive", learning_rate: float = 0.2, fading: float = 0.95,
        split_least_n: float = 5.0, budget_bytes: int = 32 << 20, categories_cap: int = 64, seed: int = 1,
    ) -> None:  # fmt: skip
        config = {
            "columns": columns, "nominal": tuple(nominal), "grace_n": grace_n, "delta": delta, "tau": tau, "leaf": leaf,
            "learning_rate": learning_rate, "fading": fading, "split_least_n": split_least_n,
            "budget_bytes": budget_bytes, "categories_cap": categories_cap, "seed": seed,
        }  # fmt: skip
        super().__init__(config)
