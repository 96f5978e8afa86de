"""Leveraging bagging: online bagging with heavier weights, so that its trees differ more and learn faster."""

from __future__ import annotations

from learners._tree_learner import TreeLearner

__all__ = ["LeveragingBagging"]


class LeveragingBagging(TreeLearner):
    """Trees on rows weighted by Poisson(6), the worst of which begins anew on a drift.

    Parameters
    ----------
    columns, nominal
        width of the rows of `step_many`, and its columns of codes; leave both out for examples with names.
    trees
        how many.
    mean_weight
        each row counts for a tree as often as a Poisson number of this mean says.
    drift_delta
        of the ADWIN over each tree's own errors; when one has risen, the tree with the highest error is replaced.
    seed
        of the generator behind the weights.
    grace_n, delta, tau
        of the trees, see `HoeffdingTree`.
    budget_bytes
        memory of all trees; a tree that has used up its part grows no further.
    classes_cap, categories_cap
        classes, and codes per nominal column, that may be known.

    Notes
    -----
    Costs `trees` Hoeffding trees. The vote is the mean of the trees' probabilities. The errors are those after
    learning, as in MOA. Where we deviate: `delta` is 0.01 (MOA: 1e-7), because a tree that is replaced when it fails
    may split sooner; no random output codes.

    References
    ----------
    Bifet, Holmes, Pfahringer, *Leveraging bagging for evolving data streams*, ECML PKDD 2010,
    doi:10.1007/978-3-642-15880-3_15.

    Examples
    --------
    >>> learner = LeveragingBagging(trees=3, seed=1)
    >>> for amount in range(400):
    ...     learner.learn_one({"amount": float(amount % 100)}, "fraud" if amount % 100 > 60 else "ok")
    >>> learner.predict_one({"amount": 90.0})
    'fraud'
    """

    kind = "leveraging_bagging"

    def __init__(  # sizes: the names of the papers and of MOA, whose users look for them
        self, columns: int = 0, nominal: tuple[int, ...] = (), *, trees: int = 10,
        mean_weight: float = 6.0, drift_delta: float = 0.002,
        seed: int = 1, grace_n: float = 200.0, delta: float = 0.01, tau: float = 0.05,
        budget_bytes: int = 32 << 20, classes_cap: int = 64, categories_cap: int = 64,
    ) -> None:  # fmt: skip
        config = {
            "columns": columns, "nominal": tuple(nominal), "trees": trees,
            "mean_weight": mean_weight, "drift_delta": drift_delta,
            "seed": seed, "grace_n": grace_n, "delta": delta, "tau": tau, "budget_bytes": budget_bytes,
            "classes_cap": classes_cap, "categories_cap": categories_cap,
        }  # fmt: skip
        super().__init__(config)
