"""What compiled learners over dense rows share: blocks of rows, examples with names, snapshots.

A learner adds its kernel (`_block`), what forgetting means to it (`_shrink`), and how wide a class's places are.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learners._checks import in_range
from learners._dense_table import State, Widths, begun, grown, loaded, stored
from learners._snapshots import Snapshots
from learners.base import Features, Label, Task
from learners.blocks import Operation, Result, by_label, codes_of, put_judged, unjudged
from learners.clipping import RangeClip
from learners.dense import DenseEncoder, News
from learners.errors import LearnerError

__all__ = ["Answer", "DenseLearner"]

Floats = NDArray[np.float64]
Answer = dict[str, float] | float | None

_LARGEST = 1e50  # squares, times weights of 1e100, stay finite
_TARGET = "target"
_COLUMNS_CAP = 256
_NO_NEWS = News((), ())


class DenseLearner(Snapshots):
    """A model behind the `Learner` protocol and, much faster, over blocks of dense rows.

    Rows are float64 [n, columns]; NaN is missing, and a column in `nominal` holds codes from 0. For classification
    labels are codes from 0, and -1 for a row that is only to be answered; for regression numbers, and NaN.
    """

    task: Task = "classification"
    widths: ClassVar[Widths]

    def __init__(self, config: dict[str, Any]) -> None:
        columns, nominal = config["columns"], config["nominal"]
        decay, budget = config["decay"], config["budget_bytes"]
        self._classes_cap = config.get("classes_cap", 1)
        self._categories_cap = config["categories_cap"]
        in_range("decay", decay, "in (0, 1]", holds=0.0 < decay <= 1.0)
        in_range("budget_bytes", budget, "4096 or more", holds=budget >= 4096)
        cap = self._classes_cap
        in_range("classes_cap", cap, "2 to 1000", holds="classes_cap" not in config or 2 <= cap <= 1_000)
        in_range("categories_cap", self._categories_cap, "2 to 10000", holds=2 <= self._categories_cap <= 10_000)
        if columns < 0 or any(not 0 <= column < columns for column in nominal):
            raise ValueError(f"nominal = {nominal}: must be columns from 0 to {columns - 1}")
        self._config, self._budget = config, budget
        self._growth = 1.0 / decay
        empty = begun(self.widths, 1, ())
        given = tuple(2 if column in nominal else 0 for column in range(columns))
        self._state: State = grown(empty, self.widths, min(2, cap), given, budget)
        self._encoder = DenseEncoder(_COLUMNS_CAP, self._categories_cap, budget)
        self._target = RangeClip()
        self._codes: dict[str, int] = {}

    @abstractmethod
    def _block(self, rows: Floats, labels: Any, out: Floats) -> None:
        """Answer rows into `out` [n, classes or 1], each before it is learned."""

    @abstractmethod
    def _shrink(self, keep: float) -> None:
        """Let what was learned count `keep` of what it did."""

    @property
    def columns(self) -> int:
        """How many columns a row has."""
        return len(self._state.layout)

    @property
    def state_bytes(self) -> int:
        """Bytes of the model's arrays, which `budget_bytes` limits."""
        return sum(array.nbytes for array in self._state)

    def step_many(self, rows: ArrayLike, labels: ArrayLike) -> Floats:
        """Answers, each row's from before it is learned: probabilities [n, classes], or numbers [n].

        While nothing is known: zeros, or NaN.

        Raises
        ------
        ValueError
            rows of another width, a label beyond `classes_cap`, or more places than the byte budget holds.
        """
        matrix = np.ascontiguousarray(rows, dtype=np.float64)
        kind = np.float64 if self.task == "regression" else np.int64
        given: Any = np.ascontiguousarray(labels, dtype=kind)
        if matrix.ndim != 2 or matrix.shape[1] != self.columns:
            raise ValueError(f"rows of shape {matrix.shape}: must be [n, {self.columns}]")
        if given.shape != matrix.shape[:1]:
            raise ValueError(f"labels of shape {given.shape}: must be [{len(matrix)}]")
        out = self._run(self._tidied(matrix, given), given)
        return out[:, 0] if self.task == "regression" else out

    def predict_many(self, rows: ArrayLike) -> Floats:
        """Answers as of `step_many`; the state stays as it is."""
        return self.step_many(rows, np.full(len(np.asarray(rows)), self._unlabelled))

    def learn_many(self, rows: ArrayLike, labels: ArrayLike) -> None:
        """Learn the rows in order; costs as much as `step_many`."""
        self.step_many(rows, labels)

    @property
    def _unlabelled(self) -> float:
        return math.nan if self.task == "regression" else -1

    def _tidied(self, rows: Floats, labels: Any) -> Floats:
        """Numbers within reach of the sums, codes within the cap; with places for all that is to be learned."""
        rows = np.clip(rows, -_LARGEST, _LARGEST)
        nominal = np.flatnonzero(self._state.layout[:, 1])
        codes = np.trunc(rows[:, nominal])
        rows[:, nominal] = np.where(codes < self._categories_cap, codes, -1.0)
        learned = rows[~np.isnan(labels) if self.task == "regression" else labels >= 0]
        wanted = [int(n) for n in self._state.layout[:, 1]]
        for column in nominal if len(learned) else ():
            wanted[column] = max(wanted[column], int(np.nan_to_num(learned[:, column], nan=-1.0).max()) + 1)
        classes = 1 if self.task == "regression" else int(labels.max(initial=-1)) + 1
        if classes > self._classes_cap:
            raise ValueError(f"label {classes - 1} is beyond classes_cap = {self._classes_cap}")
        self._grow(tuple(wanted), classes)
        return rows

    def _grow(self, categories: tuple[int, ...], classes: int) -> None:
        self._state = grown(self._state, self.widths, classes, categories, self._budget)

    def _run(self, rows: Floats, labels: Any) -> Floats:
        if self.task == "regression":
            labels = np.clip(labels, -_LARGEST, _LARGEST)
            out = np.zeros((len(rows), 1))
        else:
            classes = max(int(self._state.clock[2]), int(labels.max(initial=-1)) + 1, 1)
            out = np.zeros((len(rows), classes))
        self._block(rows, labels, out)
        return out

    def predict_one(self, x: Features) -> Label | None:
        """The most probable class, the first in order of text among equals, or the number; None: nothing is known."""
        said = self._answers([x])[0]
        if isinstance(said, dict):
            return max(said, key=said.__getitem__) if said else None
        return said

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """Probability per known class, in order of text; empty while nothing is known, and for regression."""
        return self.predict_proba_examples([x])[0]

    def predict_proba_examples(self, examples: Sequence[Features]) -> list[dict[str, float]]:
        """What `predict_proba_one` says of each, several times faster for a block."""
        if self.task == "regression":
            return [{} for _ in examples]
        return [said if isinstance(said, dict) else {} for said in self._answers(examples)]

    def _answers(self, examples: Sequence[Features]) -> list[Answer]:
        if not examples:
            return []
        asked = np.zeros(len(examples), dtype=np.bool_)
        return self._named(self._run(self._encoder.rows(examples, asked), np.full(len(examples), self._unlabelled)))

    def _named(self, said: Floats) -> list[Answer]:
        """Rows of what the kernel said as answers: by label in order of text, empty where nothing is known."""
        if self.task == "regression":
            return [None if math.isnan(number) else number for number in said[:, 0].tolist()]
        known = sorted((label, code) for label, code in self._codes.items() if code < said.shape[1])
        return [*by_label([label for label, _ in known], said[:, [code for _, code in known]])]

    def learn_one(self, x: Features, y: Label) -> None:
        """Learn one labelled example; features and categories beyond the byte budget are left out.

        Raises
        ------
        LearnerError
            a label that is no finite number, beyond `classes_cap`, or of a class that the byte budget does not hold;
            nothing was learned.
        """
        (error,) = self.run_examples([(x, y)])
        if isinstance(error, LearnerError):
            raise error

    def learn_examples(self, examples: Sequence[tuple[Features, Label]]) -> list[LearnerError | None]:
        """Learn the examples in order, bit for bit as `learn_one` does but several times faster; an error for each."""
        results = self.run_examples(examples)
        return [result if isinstance(result, LearnerError) else None for result in results]

    def run_examples(self, ops: Sequence[Operation]) -> list[Result]:
        """Answer where the label is None, learn otherwise, in order; answers, and None or an error for the learned."""
        results = self._at_once(ops, judge=False)
        return unjudged(ops, self._with_news(ops)) if results is None else results

    def judge_examples(self, ops: Sequence[Operation]) -> list[Result]:
        """As `run_examples`, but of a learned example what was said before: its class's probability, or the number."""
        results = self._at_once(ops, judge=True)
        return self._with_news(ops) if results is None else results

    def _at_once(self, ops: Sequence[Operation], *, judge: bool) -> list[Result] | None:
        """All in one call of the kernel; None for numbers as labels, and where something new may come."""
        labels = None if self.task == "regression" else codes_of(ops, self._codes)
        rows = self._encoder.block(ops, labels)
        if labels is None or rows is None:
            return None
        said = self._run(rows, labels)
        results: list[Result] = [None] * len(ops)
        asked = np.flatnonzero(labels < 0)
        for place, answer in zip(asked.tolist(), self._named(said[asked]), strict=True):
            results[place] = answer
        if judge:
            put_judged(results, said, labels, range(len(ops)))
        return results

    def _with_news(self, ops: Sequence[Operation]) -> list[Result]:
        """The same, with a look at each example that may be new."""
        results: list[Result] = [None] * len(ops)
        places: list[int] = []
        labels: list[float] = []
        plain = not self._encoder.has_text and self._encoder.whole([x for x, _ in ops])
        for i, (x, y) in enumerate(ops):
            label = self._unlabelled
            if y is not None:
                news = _NO_NEWS if plain else self._encoder.news(x)
                if news != _NO_NEWS or (self.task == "classification" and str(y) not in self._codes):
                    self._flush(ops, places, labels, results)  # the state may grow: what came before is learned before
                    plain = False
                try:
                    label = self._accepted(x, y, news)
                except LearnerError as error:
                    results[i] = error
                    continue
            places.append(i)
            labels.append(label)
        self._flush(ops, places, labels, results)
        return results

    def _flush(self, ops: Sequence[Operation], places: list[int], labels: list[float], results: list[Result]) -> None:
        """Run what was gathered in one call of the kernel; its labels have their places, and it brings no news."""
        if places:
            targets = np.array(labels)
            learned = ~np.isnan(targets) if self.task == "regression" else targets >= 0
            said = self._run(self._encoder.rows([ops[i][0] for i in places], learned), targets)
            for i, answer in zip(places, self._named(said), strict=True):
                results[i] = answer
            if self.task == "classification":
                put_judged(results, said, targets.astype(np.int64), places)
        places.clear()
        labels.clear()

    def _accepted(self, x: Features, y: Label, news: News) -> float:
        """The label as the kernel takes it, once there is a place for all that is new."""
        if self.task == "regression":
            value = None if isinstance(y, str) or not math.isfinite(y) else self._target.clip(_TARGET, float(y))
            if value is None:
                raise LearnerError(f"label {y!r} is no finite number, and this learner is for regression")
            self._make_room(x, news, 1)
            self._target.learn(_TARGET, value)
            return value
        label = str(y)
        code = self._codes.get(label, len(self._codes))
        if code >= self._classes_cap:
            raise LearnerError(f"label {label!r} is one more than classes_cap = {code}: raise it or merge labels")
        self._make_room(x, news, code + 1)
        self._codes[label] = code
        return code

    def _make_room(self, x: Features, news: News, classes: int) -> None:
        if news == _NO_NEWS and classes <= len(self._state.table):
            return
        for wanted in (news, _NO_NEWS):
            try:
                self._grow(self._encoder.categories(wanted), classes)
            except ValueError as error:
                if wanted is _NO_NEWS:
                    raise LearnerError(f"class number {classes}: {error}") from error
                continue
            self._encoder.add(wanted)
            return

    def forget(self, keep: float) -> None:
        """Let all that was learned so far count `keep` of what it did, in (0, 1].

        Raises
        ------
        ValueError
            keep is out of range.
        """
        in_range("keep", keep, "in (0, 1]", holds=0.0 < keep <= 1.0)
        if keep < 1.0:
            self._shrink(keep)

    def _tree(self) -> dict[str, Any]:
        return {
            "labels": list(self._codes),
            "encoder": self._encoder.state(),
            "target": self._target.state(),
            "state": stored(self._state),
        }

    def _take_over(self, tree: dict[str, Any]) -> None:
        self._encoder.load(tree["encoder"])
        self._target = RangeClip.from_state(tree["target"])
        self._codes = {str(label): code for code, label in enumerate(tree["labels"])}
        self._state = loaded(self.widths, tree["state"], (self._classes_cap, self._categories_cap))
        if len(self._codes) > self._classes_cap or len(self._codes) > len(self._state.table):
            raise ValueError("more labels than places")
        room, needed = [int(n) for n in self._state.layout[:, 1]], self._encoder.categories()
        fits = len(room) == len(needed) and all(
            (a > 0) == (b > 0) and a >= b for a, b in zip(room, needed, strict=True)
        )
        if needed and not fits:
            raise ValueError("columns of other kinds than those with names")
