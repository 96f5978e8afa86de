"""What all compiled tree learners share: blocks of rows, examples with names, snapshots.

A learner differs from another by its plan (`learners._tree_ensemble.Plan`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learners import codec
from learners._tree_plan import ALL_COLUMNS, Plan, TreeShape
from learners.base import Features, Label, Task
from learners.dense import DenseEncoder
from learners.errors import LearnerError, SnapshotError

__all__ = ["TreeLearner"]


class TreeLearner:
    """Trees behind the `Learner` protocol and, much faster, over blocks of dense rows.

    Rows are float64 [n, columns]; NaN is missing, and a column in `nominal` holds codes from 0. Labels are codes from
    0 and -1 for a row that is only to be answered.
    """

    task: Task = "classification"
    kind: ClassVar[str]
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
        self._encoder = DenseEncoder(categories_cap=plan.categories_cap)
        self._labels: list[str] = []
        self._nbytes: int | None = None

    @property
    def state_bytes(self) -> int:
        """Bytes of the trees as they stand, without places held free."""
        return self._ensemble.used_bytes

    @property
    def nbytes(self) -> int:
        """Size of the newest snapshot in bytes; takes one if there is none yet."""
        return len(self.snapshot()) if self._nbytes is None else self._nbytes

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
        """What `predict_proba_one` says of each, several times faster for a block."""
        if not examples:
            return []
        rows = np.concatenate([self._encoder.row(x) for x in examples])
        return [self._named(shares) for shares in self._ensemble.run(rows, np.full(len(rows), -1))]

    def _named(self, shares: NDArray[np.float64]) -> dict[str, float]:
        if self._ensemble.classes == 0 or not shares.any():
            return {}
        return dict(sorted((self._label(code), float(p)) for code, p in enumerate(shares)))

    def _label(self, code: int) -> str:
        return self._labels[code] if code < len(self._labels) else str(code)

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
        label, news = str(y), self._encoder.news(x)
        code = self._labels.index(label) if label in self._labels else len(self._labels)
        if code >= self._ensemble.plan.classes_cap:
            raise LearnerError(f"label {label!r} is one more than classes_cap = {code}: raise it or merge labels")
        try:
            self._ensemble.grow(self._encoder.categories(news), code + 1)
        except ValueError as error:
            raise LearnerError(f"an example of {len(x)} features and {code + 1} classes: {error}") from error
        if code == len(self._labels):
            self._labels.append(label)
        self._encoder.learn(x, news)
        self._ensemble.run(self._encoder.row(x), np.array([code]))

    def learn_examples(self, examples: Sequence[tuple[Features, Label]]) -> list[LearnerError | None]:
        """Learn the examples in order, bit for bit as `learn_one` does but several times faster; an error for each."""
        errors: list[LearnerError | None] = [None] * len(examples)
        rows: list[NDArray[np.float64]] = []
        codes: list[int] = []
        for i, (x, y) in enumerate(examples):
            label, news = str(y), self._encoder.news(x)
            if label in self._labels and not news.columns and not news.values:
                self._encoder.learn(x, news)
                rows.append(self._encoder.row(x))
                codes.append(self._labels.index(label))
                continue
            self._learn_rows(rows, codes)
            try:
                self.learn_one(x, y)
            except LearnerError as error:
                errors[i] = error
        self._learn_rows(rows, codes)
        return errors

    def _learn_rows(self, rows: list[NDArray[np.float64]], codes: list[int]) -> None:
        if rows:
            self._ensemble.run(np.concatenate(rows), np.array(codes))
            rows.clear()
            codes.clear()

    def repair(self) -> int:
        """Replace the tree with the most recent errors; how many were: 0 where there is a single tree."""
        from learners._tree_repair import replace_worst

        return replace_worst(self._ensemble)

    def forget(self, keep: float) -> None:
        """Let what the leaves have seen count `keep`, in (0, 1], of what it did; splits, means and spreads stay."""
        from learners._tree_repair import fade

        fade(self._ensemble, keep)

    def snapshot(self) -> bytes:
        """Canonical bytes of configuration and state."""
        from learners._tree_state import tree_of

        data = codec.encode(
            {
                "kind": self.kind,
                "config": self._config,
                "labels": self._labels,
                "encoder": self._encoder.state(),
                "trees": tree_of(self._ensemble),
            }
        )
        self._nbytes = len(data)
        return data

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The learner that `snapshot` was taken of.

        Raises
        ------
        SnapshotError
            the bytes are damaged, contradict themselves, or belong to another learner.
        """
        from learners._tree_state import load_ensemble

        tree = codec.decode(data)
        if not isinstance(tree, dict) or tree.get("kind") != cls.kind:
            raise SnapshotError(f"this is no snapshot of {cls.kind!r}: restore a backup, or let it start anew")
        try:
            learner = cls(**tree["config"])
            learner._labels = [str(label) for label in tree["labels"]]
            learner._encoder.load(tree["encoder"])
            load_ensemble(learner._ensemble, tree["trees"])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise SnapshotError(f"the snapshot of {cls.kind!r} contradicts itself: {error}") from error
        learner._nbytes = len(data)
        return learner
