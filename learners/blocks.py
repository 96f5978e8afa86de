"""A block of work for one learner, in order: answer an example, or learn it.

A learner that has a `run_examples` of its own does the block in one call; every other one works example by example.
Both give the same bits, so a caller may cut blocks where it likes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from learners.base import Features, Label, Learner
from learners.errors import LearnerError

__all__ = [
    "Operation",
    "Result",
    "Rows",
    "by_label",
    "codes_of",
    "judge_examples",
    "labels_of",
    "part_of",
    "present",
    "put_judged",
    "run_examples",
    "unjudged",
]

Operation = tuple[Features, Label | None]
Result = dict[str, float] | Label | LearnerError | None
Values = Sequence[float | str | None]

_ASKS, _UNKNOWN = -1, -2


class Rows(Sequence[Operation]):
    """Operations on examples that all have the same features, as rows of values; None: the feature is missing.

    Whoever wants examples with names gets them: they are made when they are first asked for, and then kept.

    Parameters
    ----------
    names, texts
        the features, in the order of the values, and those among them whose values are text; all others are numbers.
    values, labels
        of each operation its row, and its label; None: it asks for an answer.
    """

    __slots__ = ("_matrix", "_pairs", "_values", "labels", "names", "texts")

    def __init__(
        self, names: tuple[str, ...], values: list[Values], labels: list[Label | None], *, texts: frozenset[str]
    ) -> None:
        self.names, self.texts, self.labels = names, texts, labels
        self._values = values
        self._matrix: NDArray[np.float64] | None = None
        self._pairs: list[Operation] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._named())

    @overload
    def __getitem__(self, at: int) -> Operation: ...
    @overload
    def __getitem__(self, at: slice) -> Rows: ...
    def __getitem__(self, at: int | slice) -> Operation | Rows:
        if isinstance(at, slice):
            return self.part(range(len(self))[at])
        return self._named()[at]

    def part(self, places: Sequence[int]) -> Rows:
        """The operations at these places, which ascend."""
        if len(places) == len(self):
            return self
        labels, values = self.labels, self._values
        part = Rows(self.names, [values[i] for i in places], [labels[i] for i in places], texts=self.texts)
        if self._matrix is not None:
            part._matrix = self._matrix[places]
        if self._pairs is not None:
            pairs = self._pairs
            part._pairs = [pairs[i] for i in places]
        return part

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The numbers [n, features], NaN where one is missing and for texts."""
        if self._matrix is None:
            self._matrix = self._numbers()
        return self._matrix

    def _numbers(self) -> NDArray[np.float64]:
        if not self.texts:
            cells = np.array(list(chain.from_iterable(self._values)), dtype=np.float64)
            return cells.reshape(len(self), len(self.names))
        matrix = np.full((len(self), len(self.names)), np.nan)
        for at, name in enumerate(self.names):
            if name not in self.texts:
                matrix[:, at] = self.column(at)
        return matrix

    def column(self, at: int) -> list[Any]:
        """The values of one feature."""
        return [values[at] for values in self._values]

    def _named(self) -> list[Operation]:
        if self._pairs is None:
            self._pairs = [(present(self.names, v), y) for v, y in zip(self._values, self.labels, strict=True)]
        return self._pairs


def present(names: Sequence[str], values: Values) -> dict[str, float | str]:
    """The example with names, without the features that are missing."""
    if None in values:
        return {name: value for name, value in zip(names, values, strict=True) if value is not None}
    return dict(zip(names, values))  # type: ignore[arg-type] # noqa: B905 # as long as each other, or nothing is left


def by_label(labels: Sequence[str], shares: NDArray[np.float64]) -> list[dict[str, float]]:
    """Each row of probabilities [n, labels] by label; empty where all are 0, as nothing is known there."""
    rows: list[list[float]] = shares.tolist()
    if len(labels) == 2:  # five times as quick
        first, second = labels
        named = [{first: p, second: q} for p, q in rows]
    else:
        named = [dict(zip(labels, row, strict=True)) for row in rows]
    for unknown in np.flatnonzero(~shares.any(axis=1)).tolist():
        named[unknown] = {}
    return named


def put_judged(
    results: list[Result], shares: NDArray[np.float64], codes: NDArray[np.int64], places: Sequence[int]
) -> None:
    """Put what a row's own class had been given into its place of `results`; code -1: the row was not learned."""
    learned = np.flatnonzero(codes >= 0)
    given = shares[learned, codes[learned]].tolist()
    for at, probability in zip(learned.tolist(), given, strict=True):
        results[places[at]] = probability


def part_of(operations: Sequence[Operation], places: Sequence[int]) -> Sequence[Operation]:
    """The operations at these places, in the form in which they came."""
    return operations.part(places) if isinstance(operations, Rows) else [operations[i] for i in places]


def labels_of(operations: Sequence[Operation]) -> list[Label | None]:
    """The label of each, without a look at its features."""
    return operations.labels if isinstance(operations, Rows) else [y for _, y in operations]


def codes_of(operations: Sequence[Operation], known: Mapping[str, int]) -> NDArray[np.int64] | None:
    """The code of each label of `Rows`, -1 for a question; None for anything else, and where a label has no code."""
    if not operations or not isinstance(operations, Rows):
        return None
    codes: dict[Label | None, int] = {None: _ASKS}
    codes.update(known)
    found = np.array(list(map(codes.get, operations.labels, repeat(_UNKNOWN))), dtype=np.int64)
    return None if found.min() == _UNKNOWN else found


def judge_examples(learner: Learner, operations: Sequence[Operation]) -> list[Result]:
    """As `run_examples`; of an example that was learned it gives what the learner had said of it before.

    That is the probability of its true class (0 where that was not known), in regression the number or None; an error
    where it could not be answered or learned.
    """
    block = getattr(learner, "judge_examples", None)
    if block is not None:
        judged: list[Result] = block(operations)
        return judged
    both = [op for x, y in operations for op in (((x, None),) if y is None else ((x, None), (x, y)))]
    results = iter(run_examples(learner, both))
    return [next(results) if y is None else _judged(y, next(results), next(results)) for _, y in operations]


def _judged(y: Label, said: Result, learned: Result) -> Result:
    if isinstance(learned, LearnerError):
        return learned
    return said.get(str(y), 0.0) if isinstance(said, dict) else said


def unjudged(operations: Sequence[Operation], judged: Sequence[Result]) -> list[Result]:
    """What `run_examples` gives, from what `judge_examples` gave."""
    return [
        result if y is None or isinstance(result, LearnerError) else None
        for y, result in zip(labels_of(operations), judged, strict=True)
    ]


def run_examples(learner: Learner, operations: Sequence[Operation]) -> list[Result]:
    """Do each operation in order.

    Parameters
    ----------
    operations
        `(x, None)` asks for an answer, `(x, y)` learns.

    Returns
    -------
    For a question the probabilities per class (regression: the number, or None while nothing is known), for an example
    that was learned None; a `LearnerError` where one was raised, and the work goes on behind it.
    """
    block = getattr(learner, "run_examples", None)
    if block is not None:
        results: list[Result] = block(operations)
        return results
    ask = learner.predict_proba_one if learner.task == "classification" else learner.predict_one
    results = []
    for x, y in operations:
        try:
            if y is None:
                results.append(ask(x))
            else:
                learner.learn_one(x, y)
                results.append(None)
        except LearnerError as error:
            results.append(error)
    return results
