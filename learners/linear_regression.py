"""Linear regression by stochastic gradient descent, with a loss that outliers cannot ruin if asked for.

Numbers and the target are standardised as they come, so that raw features may be given and rates mean the same for all.
"""

from __future__ import annotations

from typing import Any

from learners._dense_learner import DenseLearner, Floats
from learners._dense_table import Widths
from learners._descent import rule_of, work_for
from learners.base import Task

__all__ = ["LinearRegression"]


class LinearRegression(DenseLearner):
    """A linear model of a number that takes one step per example.

    Parameters
    ----------
    columns, nominal
        width of the rows of `step_many`, and its columns of codes; leave both out for examples with names.
    loss
        `"squared"` (error² / 2: aims at the mean), `"absolute"` (at the median, every error pulls alike) or `"huber"`
        (squared up to `huber_bend`, then growing linearly).
    huber_bend
        where `"huber"` bends, in standard deviations of the target, above 0.
    learning_rate
        length of a step, in (0, 1]: the choice between stability and plasticity. A constant rate forgets by itself,
        over about 1 / (rate × squared length of a row) examples; a larger one follows drift sooner and is noisier.
    schedule, power
        `"constant"`, or `"inverse_scaling"`: rate / n ** power at the n-th example, power in (0, 1]. It settles, and
        follows drift ever more slowly, until `forget` sets it back.
    l2
        how strongly each step pulls the weights that it uses towards 0, in [0, 1].
    gradient_cap
        largest slope of the loss that a step uses, in standard deviations of the target, above 0.
    decay
        forgetting of the means and variances that numbers and target are standardised by, in (0, 1]: 1 for none; below,
        half the weight is lost after ln 2 / (1 - decay) examples.
    budget_bytes
        memory of the model, 4096 or more; features and categories beyond it are left out.
    categories_cap
        codes per nominal column (2 to 10000) that may be known.

    Notes
    -----
    A missing value is the mean, a category never learned adds nothing. Inputs, targets and answers are cut at 10
    standard deviations from their means. A step is shortened where rate × squared length of the row exceeds 1, so that
    it never carries the model past the example, and weights end at a million: they stay finite whatever comes. Moments
    that an absurd value ruined (root mean square over 1,000 times the largest of the last 256 values) are replaced by
    those of the last 256 values. Forgetting (`forget`) draws the weights towards 0, which is the target's mean, and
    sets the schedule back by the same factor.

    Per event a few nanoseconds a column; memory 8 bytes a weight and 64 a column.

    References
    ----------
    Huber, *Robust estimation of a location parameter*, 1964, doi:10.1214/aoms/1177703732. Nagumo, Noda, *A learning
    method for system identification*, 1967, doi:10.1109/TAC.1967.1098599 (steps bounded by the row's length).

    Examples
    --------
    >>> linear = LinearRegression(learning_rate=0.1)
    >>> for i in range(500):
    ...     linear.learn_one({"rooms": float(i % 7)}, 100.0 + 20.0 * (i % 7))
    >>> round(linear.predict_one({"rooms": 6.0}))
    220
    """

    kind = "linear_regression"
    task: Task = "regression"
    widths = Widths(lead=1, number=1, nominal=0)

    def __init__(  # sizes: the parameters of descent, and the caps of every compiled learner
        self, columns: int = 0, nominal: tuple[int, ...] = (), *, loss: str = "squared", huber_bend: float = 1.0,
        learning_rate: float = 0.01, schedule: str = "constant", power: float = 0.5, l2: float = 0.0,
        gradient_cap: float = 10.0, decay: float = 1.0, budget_bytes: int = 32 << 20, categories_cap: int = 64,
    ) -> None:  # fmt: skip
        config = {
            "columns": columns, "nominal": tuple(nominal), "loss": loss, "huber_bend": huber_bend,
            "learning_rate": learning_rate, "schedule": schedule, "power": power, "l2": l2,
            "gradient_cap": gradient_cap, "decay": decay, "budget_bytes": budget_bytes,
            "categories_cap": categories_cap,
        }  # fmt: skip
        super().__init__(config)
        self._rule = rule_of(config)

    def _block(self, rows: Floats, labels: Any, out: Floats) -> None:
        from learners._linear_kernels import linear_block

        linear_block(rows, labels, out, self._state, self._rule, work_for(self.columns, 1))

    def _shrink(self, keep: float) -> None:
        from learners._linear_kernels import shrink_weights

        shrink_weights(self._state, keep)
