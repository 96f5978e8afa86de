"""Streaming random patches: trees on random columns and random weights, replaced on their drift."""

from __future__ import annotations

from learners._tree_learner import TreeLearner
from learners._tree_plan import PER_TREE

__all__ = ["StreamingRandomPatches"]


class StreamingRandomPatches(TreeLearner):
    """Trees that each see a random part of the columns, with a successor ready when their errors rise.

    Parameters
    ----------
    columns, nominal
        width of the rows of `step_many`, and its columns of codes; leave both out for examples with names.
    trees
        how many.
    columns_share
        part of the columns that each tree sees, drawn per tree; never fewer than 3.
    mean_weight
        each row counts for a tree as often as a Poisson number of this mean says.
    warning_delta, drift_delta
        of the two ADWINs over each tree's own errors: the first begins a tree in the background, the second puts it in
        the tree's place.
    seed
        of the generator behind the weights and columns.
    grace_n, delta, tau
        of the trees, see `HoeffdingTree`.
    budget_bytes
        memory of all trees, those in the background included; a tree that has used up its part grows no further.
    classes_cap, categories_cap
        classes, and codes per nominal column, that may be known.

    Notes
    -----
    An attempt to split waits for a quarter of the weight that the newest gap between the two best columns still asks
    for (MOA: only for `grace_n`).
    Costs `trees` Hoeffding trees, and those in the background. A vote counts by the tree's accuracy since it began to
    vote. A column that appears later is seen by the trees that begin after it. Where we deviate: at least 3 columns
    (with 2 of 3, trees that lack a needed column spoil the vote), errors are those before learning, and the ADWINs are
    more sensitive than MOA's 1e-4 and 1e-5.

    References
    ----------
    Gomes, Read, Bifet, *Streaming random patches for evolving data stream classification*, ICDM 2019,
    doi:10.1109/ICDM.2019.00034.

    Examples
    --------
    >>> learner = StreamingRandomPatches(trees=3, seed=1)
    >>> for amount in range(400):
    ...     learner.learn_one({"amount": float(amount % 100)}, "fraud" if amount % 100 > 60 else "ok")
    >>> learner.predict_one({"amount": 90.0})
    'fraud'
    """

    kind = "streaming_random_patches"
    shape = "forest"
    adapts_itself = True

    def __init__(  # sizes: the names of the papers and of MOA, whose users look for them
        self, columns: int = 0, nominal: tuple[int, ...] = (), *, trees: int = 10,
        columns_share: float = 0.6, mean_weight: float = 6.0,
        warning_delta: float = 0.01, drift_delta: float = 0.001,
        seed: int = 1, grace_n: float = 50.0, delta: float = 0.01, tau: float = 0.05,
        budget_bytes: int = 32 << 20, classes_cap: int = 64, categories_cap: int = 64,
    ) -> None:  # fmt: skip
        config = {
            "columns": columns, "nominal": tuple(nominal), "trees": trees,
            "columns_share": columns_share,
            "mean_weight": mean_weight, "warning_delta": warning_delta, "drift_delta": drift_delta,
            "seed": seed, "grace_n": grace_n, "delta": delta, "tau": tau, "budget_bytes": budget_bytes,
            "classes_cap": classes_cap, "categories_cap": categories_cap,
        }  # fmt: skip
        super().__init__(config, PER_TREE)
