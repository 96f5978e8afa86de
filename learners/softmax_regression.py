"""Softmax regression by stochastic gradient descent; with two classes it is logistic regression.

Numbers are standardised as they come, categories have a weight each, so that raw features may be given.
"""

from __future__ import annotations

from typing import Any

from learners._dense_learner import DenseLearner, Floats
from learners._dense_table import Widths
from learners._descent import rule_of, work_for

__all__ = ["SoftmaxRegression"]


class SoftmaxRegression(DenseLearner):
    """A linear model of each class's log odds that takes one step per example.

    Parameters
    ----------
    columns, nominal
        width of the rows of `step_many`, and its columns of codes; leave both out for examples with names.
    learning_rate
        length of a step, in (0, 1]: the choice between stability and plasticity. A constant rate forgets by itself,
        over about 1 / (rate × squared length of a row) examples; a larger one follows drift sooner and is noisier.
    schedule, power
        `"constant"`, or `"inverse_scaling"`: rate / n ** power at the n-th example, power in (0, 1]. It settles, and
        follows drift ever more slowly, until `forget` sets it back.
    l2
        how strongly each step pulls the weights that it uses towards 0, in [0, 1].
    gradient_cap
        largest slope of the loss with respect to a class's score that a step uses, above 0 (it is never above 1).
    decay
        forgetting of the means and variances that numbers are standardised by, in (0, 1]: 1 for none; below, half the
        weight is lost after ln 2 / (1 - decay) examples.
    budget_bytes
        memory of the model, 4096 or more; features and categories beyond it are left out.
    classes_cap, categories_cap
        classes (2 to 1000), and codes per nominal column (2 to 10000), that may be known.

    Notes
    -----
    Each class has weights of its own, as in river's SoftmaxRegression; two classes move apart like logistic regression
    at twice the rate (and half of `l2`). A missing value is the mean, a category never learned adds nothing. Inputs are
    cut at 10 standard deviations. A step is shortened where rate × squared length of the row exceeds 1 (many columns),
    so that it never carries the model past the example, and weights end at a million: they stay finite whatever comes.
    A new class starts at weights of 0. A column whose mean and variance were ruined by an absurd value (root mean
    square over 1,000 times the largest of its last 256 values) takes those of the last 256 values. Forgetting
    (`forget`) draws the weights towards 0 and sets the schedule back by the same factor.

    Per event a few nanoseconds a column and class; memory 8 bytes a number or category and class.

    References
    ----------
    Bottou, *Stochastic gradient descent tricks*, 2012, doi:10.1007/978-3-642-35289-8_25. Nagumo, Noda, *A learning
    method for system identification*, 1967, doi:10.1109/TAC.1967.1098599 (steps bounded by the row's length).

    Examples
    --------
    >>> softmax = SoftmaxRegression(learning_rate=0.1)
    >>> for amount in range(200):
    ...     softmax.learn_one({"amount": float(amount % 20)}, "fraud" if amount % 20 > 10 else "ok")
    >>> softmax.predict_one({"amount": 18.0})
    'fraud'
    """

    kind = "softmax_regression"
    widths = Widths(lead=1, number=1, nominal=0)

    def __init__(  # sizes: the parameters of descent, and the caps of every compiled learner
        self, columns: int = 0, nominal: tuple[int, ...] = (), *, learning_rate: float = 0.05,
        schedule: str = "constant", power: float = 0.5, l2: float = 0.0, gradient_cap: float = 1.0, decay: float = 1.0,
        budget_bytes: int = 32 << 20, classes_cap: int = 64, categories_cap: int = 64,
    ) -> None:  # fmt: skip
        config = {
            "columns": columns, "nominal": tuple(nominal), "learning_rate": learning_rate, "schedule": schedule,
            "power": power, "l2": l2, "gradient_cap": gradient_cap, "decay": decay,
            "budget_bytes": budget_bytes, "classes_cap": classes_cap, "categories_cap": categories_cap,
        }  # fmt: skip
        super().__init__(config)
        self._rule = rule_of(config)

    def _block(self, rows: Floats, labels: Any, out: Floats) -> None:
        from learners._linear_kernels import softmax_block

        softmax_block(rows, labels, out, self._state, self._rule, work_for(self.columns, len(self._state.table)))

    def _shrink(self, keep: float) -> None:
        from learners._linear_kernels import shrink_weights

        shrink_weights(self._state, keep)
