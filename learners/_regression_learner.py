"""What the compiled regression learners share: blocks of rows, examples with names, snapshots.

A learner differs from another by its plan (`learners._regression_plan.RegressionPlan`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learners._regression_plan import RegressionPlan
from learners._snapshots import Snapshots
from learners.base import Features, Label, Task
from learners.blocks import Operation, Result, unjudged
from learners.dense import DenseEncoder
from learners.errors import LearnerError

__all__ = ["RegressionLearner"]


class RegressionLearner(Snapshots):
    """Regression trees behind the `Learner` protocol and, much faster, over blocks of dense rows.

    Rows are float64 [n, columns]; NaN is missing, and a column in `nominal` holds codes from 0. A target of NaN marks a
    row that is only to be answered.
    """

    task: Task = "regression"
    parts_differ_by_design = True  # no tree would answer alone

    def __init__(self, config: dict[str, Any]) -> None:
        columns, nominal = config["columns"], config["nominal"]
        plan = RegressionPlan(**{name: value for name, value in config.items() if name not in {"columns", "nominal"}})
        if columns < 0 or any(not 0 <= column < columns for column in nominal):
            raise ValueError(f"nominal = {nominal}: must be columns from 0 to {columns - 1}")
        self._config = config
        # Imported here, as it loads the compiler: only who builds a tree pays for that.
        from learners._regression_ensemble import RegressionEnsemble

        self._ensemble = RegressionEnsemble(plan, columns, nominal)
        self._encoder = DenseEncoder(categories_cap=plan.categories_cap, budget_bytes=plan.budget_bytes)

    @property
    def state_bytes(self) -> int:
        """Bytes of the trees as they stand, without places held free."""
        return self._ensemble.used_bytes

    @property
    def replaced_n(self) -> int:
        """How many trees have been replaced because of a drift."""
        return self._ensemble.replaced_n

    def step_many(self, rows: ArrayLike, targets: ArrayLike) -> NDArray[np.float64]:
        """Predictions [n], each row answered before it is learned; NaN while nothing is known.

        Raises
        ------
        ValueError
            rows of another width, or as many targets as there are not rows.
        """
        matrix = np.ascontiguousarray(rows, dtype=np.float64)
        numbers = np.ascontiguousarray(targets, dtype=np.float64)
        if numbers.shape != matrix.shape[:1]:
            raise ValueError(f"targets of shape {numbers.shape}: must be [{len(matrix)}]")
        return self._ensemble.run(matrix, numbers)

    def predict_many(self, rows: ArrayLike) -> NDArray[np.float64]:
        """Predictions [n]; the state stays as it is."""
        return self.step_many(rows, np.full(len(np.asarray(rows)), math.nan))

    def learn_many(self, rows: ArrayLike, targets: ArrayLike) -> None:
        """Learn the rows in order; costs as much as `step_many`."""
        self.step_many(rows, targets)

    def predict_one(self, x: Features) -> float | None:
        """The predicted number, finite; None while nothing is known."""
        return self.predict_examples([x])[0]

    def predict_examples(self, examples: Sequence[Features]) -> list[float | None]:
        """What `predict_one` says of each, several times faster for a block."""
        if not examples:
            return []
        return _answers(self.predict_many(np.concatenate([self._encoder.row(x) for x in examples])))

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """Nothing: a number has no classes."""
        del x
        return {}

    def learn_one(self, x: Features, y: Label) -> None:
        """Learn one labelled example.

        Raises
        ------
        LearnerError
            a target that is no finite number, or features that the byte budget does not hold; nothing was learned.
        """
        error = self.learn_examples([(x, y)])[0]
        if error is not None:
            raise error

    def learn_examples(self, examples: Sequence[tuple[Features, Label]]) -> list[LearnerError | None]:
        """Learn the examples in order, bit for bit as `learn_one` does but several times faster; an error for each."""
        return [said if isinstance(said, LearnerError) else None for said in self.run_examples(examples)]

    def run_examples(self, ops: Sequence[Operation]) -> list[Result]:
        """Answer (label None) or learn each example in order: the prediction, None where learned, or the error."""
        return unjudged(ops, self.judge_examples(ops))

    def judge_examples(self, ops: Sequence[Operation]) -> list[Result]:
        """As `run_examples`, but of an example that was learned what had been predicted for it."""
        results: list[Result] = [None] * len(ops)
        rows: list[NDArray[np.float64]] = []
        targets: list[float] = []
        places: list[int] = []
        for i, (x, y) in enumerate(ops):
            target = math.nan
            if y is not None:
                try:
                    target = _number(y)
                    self._take_note(x, rows, targets, places, results)
                except LearnerError as error:
                    results[i] = error
                    continue
            rows.append(self._encoder.row(x))
            targets.append(target)
            places.append(i)
        self._flush(rows, targets, places, results)
        return results

    def _take_note(
        self, x: Features, rows: list[Any], targets: list[float], places: list[int], results: list[Result]
    ) -> None:
        """Let the encoder learn `x`; a new column first has the rows learned that lack it."""
        news = self._encoder.news(x)
        if news.columns:
            self._flush(rows, targets, places, results)
            try:
                self._ensemble.grow((*self._ensemble.nominal, *(is_text for _, is_text in news.columns)))
            except ValueError as error:
                raise LearnerError(f"an example of {len(x)} features: {error}") from error
        self._encoder.learn(x, news)

    def _flush(self, rows: list[Any], targets: list[float], places: list[int], results: list[Result]) -> None:
        if not rows:
            return
        said = _answers(self._ensemble.run(np.concatenate(rows), np.array(targets)))
        for place, answer in zip(places, said, strict=True):
            results[place] = answer
        rows.clear()
        targets.clear()
        places.clear()

    def repair(self) -> int:
        """Replace the tree that erred most over its last hundred answers by the one that grows aside, or an empty one;
        how many were: 0 before any answer, and where there is a single tree."""
        return self._ensemble.repair()

    def forget(self, keep: float) -> None:
        """Let what the leaves have seen count `keep`, in (0, 1], of what it did; splits, means and models stay."""
        self._ensemble.fade(keep)

    def spread(self) -> float | None:
        """How far the trees disagreed over the last 100 labelled examples; None for one tree or before any label.

        Their mean standard deviation, in standard deviations of the targets.
        """
        return self._ensemble.spread.value()

    def _tree(self) -> dict[str, Any]:
        from learners._regression_state import tree_of

        return {
            "encoder": self._encoder.state(),
            "spread": self._ensemble.spread.state(),
            "trees": tree_of(self._ensemble),
        }

    def _take_over(self, tree: dict[str, Any]) -> None:
        from learners._regression_state import load_ensemble

        self._encoder.load(tree["encoder"])
        self._ensemble.spread.load(tree.get("spread", ()))  # snapshots of before had none
        load_ensemble(self._ensemble, tree["trees"])


def _answers(said: NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(y) else y for y in said.tolist()]


def _number(y: Label) -> float:
    try:
        target = float(y)
    except ValueError as error:
        raise LearnerError(f"target {y!r}: must be a number") from error
    if not math.isfinite(target):
        raise LearnerError(f"target {y!r}: must be finite")
    return target
