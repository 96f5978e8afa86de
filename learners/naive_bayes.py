"""Naive Bayes on a stream: a normal distribution per class and number, smoothed shares per class and category.

With `decay` below 1 old examples fade; that is the choice between stability and plasticity.
"""

from __future__ import annotations

import math
from typing import Any

from learners._checks import in_range
from learners._dense_learner import DenseLearner, Floats
from learners._dense_table import Widths

__all__ = ["NaiveBayes"]


class NaiveBayes(DenseLearner):
    """Naive Bayes that may forget exponentially.

    Parameters
    ----------
    columns, nominal
        width of the rows of `step_many`, and its columns of codes; leave both out for examples with names.
    decay
        what an example's weight is multiplied by with each further one learned, in (0, 1]. At 1 all count the same for
        ever (most stable); below, half the weight is lost after ln 2 / (1 - decay) examples: 693 at 0.999, 6,931 at
        0.9999. The smaller, the sooner a new concept shows, and the noisier the estimates: they rest on about
        1 / (1 - decay) examples.
    smoothing
        examples that each category is credited with in each class beforehand (Laplace: 1), more than 0.
    budget_bytes
        memory of the model, 4096 or more; features and categories beyond it are left out.
    classes_cap, categories_cap
        classes (2 to 1000), and codes per nominal column (2 to 10000), that may be known.

    Notes
    -----
    Missing values and categories never learned are skipped. A class that has never shown a column of numbers is taken
    to be like all classes together there (of categories: to have them alike), and so is the variance of a class that
    has shown it once. Variances are those of the
    population, as in river and scikit-learn. A class's variance is at least 1e-9 of the column's, and a density at
    least 1e-9 of the column's scale, so that no single value decides alone. Moments are summed around the running mean
    (Welford), with weights that grow instead of sums that shrink: a variance is never negative. A column whose moments
    were ruined by an absurd value (root mean square over 1,000 times the largest of its last 256 values) starts anew.

    Per event some ten nanoseconds a column and class; memory 32 bytes a number and class, 8 bytes a category and class.

    References
    ----------
    Welford, *Note on a method for calculating corrected sums of squares and products*, Technometrics 1962,
    doi:10.1080/00401706.1962.10490022. Gama, Žliobaitė, Bifet, Pechenizkiy, Bouchachia, *A survey on concept drift
    adaptation*, 2014, doi:10.1145/2523813 (section 3.2.2: gradual forgetting).

    Examples
    --------
    >>> bayes = NaiveBayes(decay=0.999)
    >>> for amount in range(20):
    ...     bayes.learn_one({"amount": float(amount)}, "fraud" if amount > 10 else "ok")
    >>> bayes.predict_one({"amount": 18.0})
    'fraud'
    """

    kind = "naive_bayes"
    widths = Widths(lead=1, number=4, nominal=1)

    def __init__(
        self, columns: int = 0, nominal: tuple[int, ...] = (), *, decay: float = 1.0, smoothing: float = 1.0,
        budget_bytes: int = 32 << 20, classes_cap: int = 64, categories_cap: int = 64,
    ) -> None:  # fmt: skip  # sizes: the caps are those of every compiled learner
        in_range("smoothing", smoothing, "a finite number above 0", holds=0.0 < smoothing < math.inf)
        self._smoothing = float(smoothing)
        config = {
            "columns": columns, "nominal": tuple(nominal), "decay": decay, "smoothing": smoothing,
            "budget_bytes": budget_bytes, "classes_cap": classes_cap, "categories_cap": categories_cap,
        }  # fmt: skip
        super().__init__(config)

    def _block(self, rows: Floats, labels: Any, out: Floats) -> None:
        from learners._bayes_kernels import bayes_block

        bayes_block(rows, labels, out, self._state, self._growth, self._smoothing)

    def _shrink(self, keep: float) -> None:
        from learners._bayes_kernels import shrink_table

        shrink_table(self._state, keep)
