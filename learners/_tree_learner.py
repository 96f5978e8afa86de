"""What all compiled tree learners share: blocks of rows, examples with names, snapshots.

A learner differs from another by its plan (`learners._tree_ensemble.Plan`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learners._snapshots import Snapshots
from learners._tree_plan import ALL_COLUMNS, Plan, TreeShape
from learners.base import Features, Label, Task
from learners.blocks import Operation, Result, by_label, codes_of, put_judged, unjudged
from learners.dense import DenseEncoder
from learners.errors import LearnerError

__all__ = ["TreeLearner"]

_NEW = -2  # code of a label that is not known yet


class TreeLearner(Snapshots):
    """Trees behind the `Learner` protocol and, much faster, over blocks of dense rows.

    Rows are float64 [n, columns]; NaN is missing, and a column in `nominal` holds codes from 0. Labels are codes from
    0 and -1 for a row that is only to be answered.
    """

    task: Task = "classification"
    parts_differ_by_design = True  # no tree would answer alone
    shape: ClassVar[TreeShape] = "bag"

    def __init__(self, config: dict[str, Any], subspace: int = ALL_COLUMNS) -> None:
        columns, nominal = config["columns"], config["nominal"]
        # Forests try so often to split that they skip the attempts that are least likely to succeed.
        patience = 0.25 if self.shape == "forest" else 0.0
        rest = {name: value for name, value in config.items() if name not in {"columns", "nominal"}}
        plan = Plan(self.shape, subspace, patience=patience, **rest)
        if columns < 0 or any(not 0 <= column < columns for column in nominal):
            raise ValueError(f"nominal = {nominal}: must be columns from 0 to {columns - 1}")
        self._config = config
        # Imported here, as it loads the compiler: only who builds a tree pays for that.
        from learners._tree_ensemble import Ensemble

        self._ensemble = Ensemble(plan, columns, nominal)
        self._encoder = DenseEncoder(categories_cap=plan.categories_cap, budget_bytes=plan.budget_bytes)
        self._codes: dict[str, int] = {}

    @property
    def state_bytes(self) -> int:
        """Bytes of the trees as they stand, without places held free."""
        return self._ensemble.used_bytes

    @property
    def replaced_n(self) -> int:
        """How many trees (in an adaptive tree: branches) have been replaced because of a drift."""
        return int(self._ensemble.members[:, 4].sum())

    def step_many(self, rows: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
        """Probabilities [n, classes], each row answered before it is learned; zeros while nothing is known.

        Raises
        ------
        ValueError
            rows of another width, a label beyond `classes_cap`, or more places than the byte budget holds.
        """
        matrix = np.ascontiguousarray(rows, dtype=np.float64)
        codes = np.ascontiguousarray(labels, dtype=np.int64)
        if codes.shape != matrix.shape[:1]:
            raise ValueError(f"labels of shape {codes.shape}: must be [{len(matrix)}]")
        return self._ensemble.run(matrix, codes)

    def predict_many(self, rows: ArrayLike) -> NDArray[np.float64]:
        """Probabilities [n, classes]; the state stays as it is."""
        return self.step_many(rows, np.full(len(np.asarray(rows)), -1))

    def learn_many(self, rows: ArrayLike, labels: ArrayLike) -> None:
        """Learn the rows in order; costs as much as `step_many`."""
        self.step_many(rows, labels)

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """Probability per known class, in order of text; empty while nothing is known."""
        return self.predict_proba_examples([x])[0]

    def predict_proba_examples(self, examples: Sequence[Features]) -> list[dict[str, float]]:
        """What `predict_proba_one` says of each, many times faster for a block."""
        found: list[Any] = self.run_examples([(x, None) for x in examples])
        return found

    def _named(self, shares: NDArray[np.float64]) -> list[dict[str, float]]:
        """Rows of shares by label in order of text; empty for a row that nothing was known of."""
        labels = [*self._codes, *(str(code) for code in range(len(self._codes), shares.shape[1]))]
        order = sorted(range(len(labels)), key=labels.__getitem__)
        labels.sort()
        return by_label(labels, shares[:, order])

    def predict_one(self, x: Features) -> Label | None:
        """The most probable class, the first in order of text among equals; None while nothing is known."""
        scores = self.predict_proba_one(x)
        return max(scores, key=scores.__getitem__) if scores else None

    def learn_one(self, x: Features, y: Label) -> None:
        """Learn one labelled example.

        Raises
        ------
        LearnerError
            a label beyond `classes_cap`, or features that the byte budget does not hold; nothing was learned.
        """
        (result,) = self.run_examples([(x, y)])
        if isinstance(result, LearnerError):
            raise result

    def _admit(self, x: Features, label: str) -> int:
        """Make room for what is new in an example; returns the label's code."""
        code, news = self._codes.get(label, len(self._codes)), self._encoder.news(x)
        if code >= self._ensemble.plan.classes_cap:
            raise LearnerError(f"label {label!r} is one more than classes_cap = {code}: raise it or merge labels")
        try:
            self._ensemble.grow(self._encoder.categories(news), code + 1)
        except ValueError as error:
            raise LearnerError(f"an example of {len(x)} features and {code + 1} classes: {error}") from error
        self._codes[label] = code
        self._encoder.add(news)
        return code

    def learn_examples(self, examples: Sequence[tuple[Features, Label]]) -> list[LearnerError | None]:
        """Learn the examples in order, bit for bit as `learn_one` does but many times faster; an error for each."""
        found: list[Any] = self.run_examples(examples)
        return found

    def run_examples(self, ops: Sequence[Operation]) -> list[Result]:
        """Answer (label None) and learn examples in order, bit for bit as one by one but many times faster.

        Returns
        -------
        list
            of each: the probabilities of an answer; None of an example that was learned, or the error that
            `learn_one` would raise.
        """
        results = self._at_once(ops, judge=False)
        return unjudged(ops, self._with_news(ops)) if results is None else results

    def judge_examples(self, ops: Sequence[Operation]) -> list[Result]:
        """As `run_examples`, but of an example that was learned the probability that its class was given before."""
        results = self._at_once(ops, judge=True)
        return self._with_news(ops) if results is None else results

    def _at_once(self, ops: Sequence[Operation], *, judge: bool) -> list[Result] | None:
        """All in one call of a kernel; None where something new may come, or the examples are of different features."""
        labels = codes_of(ops, self._codes)
        rows = self._encoder.block(ops, labels)
        if labels is None or rows is None:
            return None
        results: list[Result] = [None] * len(ops)
        self._run_rows(results, rows, labels, judge=judge)
        return results

    def _with_news(self, ops: Sequence[Operation]) -> list[Result]:
        """The same, example by example in all that may be new."""
        known = self._codes
        codes = [-1 if y is None else known.get(y if type(y) is str else str(y), _NEW) for _, y in ops]
        whole = self._encoder.whole([x for x, _ in ops])
        results: list[Result] = [None] * len(ops)
        start = 0
        if _NEW in codes or not whole or self._encoder.has_text:
            for place, (x, y) in enumerate(ops):
                if y is None or (str(y) in known and self._is_known(x)):
                    codes[place] = -1 if y is None else known[str(y)]
                    continue
                self._run_block(results, ops, codes, range(start, place))
                try:
                    codes[place], start = self._admit(x, str(y)), place
                except LearnerError as error:
                    results[place], start = error, place + 1
            whole = False  # columns may have come
        self._run_block(results, ops, codes, range(start, len(ops)), whole=whole)
        return results

    def _is_known(self, x: Features) -> bool:
        return self._encoder.is_known(x) or not any(self._encoder.news(x))

    def _run_block(
        self, results: list[Result], ops: Sequence[Operation], codes: list[int], part: range,
        *, whole: bool = False,
    ) -> None:  # fmt: skip
        """Run a part of `ops`, of which at most the first brings news that were admitted, in one call of a kernel."""
        if not part:
            return
        labels = np.array(codes[part.start : part.stop])
        rows = self._encoder.rows([x for x, _ in ops[part.start : part.stop]], labels >= 0, whole=whole)
        self._run_rows(results, rows, labels, part.start)

    def _run_rows(
        self, results: list[Result], rows: NDArray[np.float64], labels: NDArray[np.int64], start: int = 0,
        *, judge: bool = True,
    ) -> None:  # fmt: skip
        """Run rows in one call of a kernel; results stand from `start` on, those of learned ones where they `judge`."""
        shares = self._ensemble.run(rows, labels)
        asked = np.flatnonzero(labels < 0)
        for place, said in zip((asked + start).tolist(), self._named(shares[asked]), strict=True):
            results[place] = said
        if judge:
            put_judged(results, shares, labels, range(start, start + len(labels)))

    def repair(self) -> int:
        """Replace the tree with the most recent errors; how many were: 0 where there is a single tree."""
        from learners._tree_repair import replace_worst

        return replace_worst(self._ensemble)

    def forget(self, keep: float) -> None:
        """Let what the leaves have seen count `keep`, in (0, 1], of what it did; splits, means and spreads stay."""
        from learners._tree_repair import fade

        fade(self._ensemble, keep)

    def spread(self) -> float | None:
        """How far the trees disagreed over the last 100 labelled examples; None for one tree or before any label.

        The mean share of the trees that name another class than all together do, from 0 to 1.
        """
        return self._ensemble.spread.value()

    def _tree(self) -> dict[str, Any]:
        from learners._tree_state import tree_of

        return {
            "labels": list(self._codes),
            "encoder": self._encoder.state(),
            "spread": self._ensemble.spread.state(),
            "trees": tree_of(self._ensemble),
        }

    def _take_over(self, tree: dict[str, Any]) -> None:
        from learners._tree_state import load_ensemble

        self._codes = {str(label): code for code, label in enumerate(tree["labels"])}
        if len(self._codes) != len(tree["labels"]):
            raise ValueError("a label stands there twice")
        self._encoder.load(tree["encoder"])
        self._ensemble.spread.load(tree.get("spread", ()))  # snapshots of before had none
        load_ensemble(self._ensemble, tree["trees"])
