"""Turn features with names into rows of numbers: a feature gets the next column when it is first learned.

The first value decides what a column is: text makes it one of categories, a number one of numbers. A value of the other
kind, and an absent feature, are missing (NaN); a category that was never learned is -1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, compress
from operator import methodcaller
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.base import Features
from learners.blocks import Operation, Rows
from learners.clipping import RangeClip

__all__ = ["DenseEncoder", "News"]

UNSEEN = -1.0
_TEXTS_SHARE = 4
_VALUES = methodcaller("values")
_PLAIN = frozenset({float, int, bool})


class News(NamedTuple):
    """What an example would add: columns (name, whether of categories) and categories (name, value)."""

    columns: tuple[tuple[str, bool], ...]
    values: tuple[tuple[str, str], ...]


class DenseEncoder:
    """Columns by name, categories by value; numbers are clipped (`learners.clipping`).

    Parameters
    ----------
    columns_cap
        features that get a column; later ones are ignored.
    categories_cap
        values that get a code of their own per column, the last of which stands for all that come later.
    budget_bytes
        the learner's; names and categories take up to a quarter of it beside the arrays, and further ones are left out.
    """

    def __init__(self, columns_cap: int = 256, categories_cap: int = 64, budget_bytes: int = 32 << 20) -> None:
        self._columns_cap, self._categories_cap = columns_cap, categories_cap
        self._room = budget_bytes // _TEXTS_SHARE
        self._columns: dict[str, int] = {}
        self._codes: dict[str, dict[str, int]] = {}
        self._clip = RangeClip()

    @property
    def has_text(self) -> bool:
        """Whether any column is of categories."""
        return bool(self._codes)

    @property
    def names(self) -> list[str]:
        """The features in order of their columns."""
        return list(self._columns)

    def categories(self, news: News | None = None) -> tuple[int, ...]:
        """Categories per column, 0 for numbers, 1 or more otherwise; with what `news` would add."""
        columns, values = news or News((), ())
        added = [name for name, _ in values]
        known = tuple(len(self._codes[n]) + added.count(n) if n in self._codes else 0 for n in self._columns)
        return known + tuple(max(1, added.count(name)) if is_text else 0 for name, is_text in columns)

    def news(self, x: Features) -> News:
        """What learning `x` would add."""
        columns: list[tuple[str, bool]] = []
        values: list[tuple[str, str]] = []
        room = self._room
        for name, value in x.items():
            text = str(value) if isinstance(value, str) else None
            if name not in self._columns:
                full = len(self._columns) + len(columns) >= self._columns_cap or _size(name) > room
                if full or _is_nan(value):
                    continue
                columns.append((name, text is not None))
                room -= _size(name)
            codes = self._codes.get(name, {})
            if text is None or text in codes or (name in self._columns and name not in self._codes):
                continue
            if len(codes) < self._categories_cap and _size(text) <= room:
                values.append((name, text))
                room -= _size(text)
        return News(tuple(columns), tuple(values))

    def is_known(self, x: Features) -> bool:
        """Whether learning `x` would surely add nothing; quicker than `news`."""
        if not x.keys() <= self._columns.keys():
            return False
        for name, codes in self._codes.items():
            value = x.get(name)
            if isinstance(value, str) and value not in codes and len(codes) < self._categories_cap:
                return False
        return True

    def learn(self, x: Features, news: News) -> None:
        """Add `news` and take note of the ranges of numbers."""
        self.add(news)
        for name, value in x.items():
            if not isinstance(value, str) and name in self._columns and name not in self._codes:
                self._clip.learn(name, value)

    def add(self, news: News) -> None:
        """Add `news` alone."""
        for name, is_text in news.columns:
            self._columns[name] = len(self._columns)
            self._room -= _size(name)
            if is_text:
                self._codes[name] = {}
        for name, text in news.values:
            self._codes[name][text] = len(self._codes[name])
            self._room -= _size(text)

    def row(self, x: Features) -> NDArray[np.float64]:
        """`x` as one row [1, columns]."""
        row = np.full((1, len(self._columns)), math.nan)
        for name, value in x.items():
            column, codes = self._columns.get(name), self._codes.get(name)
            if column is None or isinstance(value, str) != (codes is not None):
                continue
            if codes is None:
                clipped = self._clip.clip(name, float(value))
                row[0, column] = math.nan if clipped is None else clipped
            else:
                beyond = self._categories_cap - 1 if len(codes) == self._categories_cap else UNSEEN
                row[0, column] = codes.get(str(value), beyond)
        return row

    def whole(self, examples: Sequence[Features]) -> bool:
        """Whether each has exactly the known features in the order of their columns."""
        return all(map(tuple(self._columns).__eq__, map(tuple, examples)))

    def rows(
        self, examples: Sequence[Features], learned: NDArray[np.bool_], *, whole: bool = False
    ) -> NDArray[np.float64]:
        """`examples` as rows [n, columns], bit for bit what `row` gives of each after `learn` where `learned` says so.

        None of those learned may bring news; `whole` spares looking whether they are. Costs about half a microsecond
        for an example of ten numbers.
        """
        names = tuple(self._columns)
        same = whole or self.whole(examples)
        if same and not self._codes:
            cells = np.array(_numbers(list(chain.from_iterable(map(_VALUES, examples)))), dtype=np.float64)
            columns = cells.reshape(len(examples), len(names)).T.copy()
        else:
            columns = np.full((len(names), len(examples)), math.nan)
            values = map(_VALUES, examples) if same else [[x.get(n, math.nan) for n in names] for x in examples]
            for column, (name, given) in enumerate(zip(names, zip(*values, strict=True), strict=False)):
                codes = self._codes.get(name)
                columns[column] = _numbers(given) if codes is None else self._coded(given, codes)
        return self._clipped(columns, learned)

    def block(self, examples: Sequence[Operation], codes: NDArray[np.int64] | None) -> NDArray[np.float64] | None:
        """As `rows`, several times faster, of examples that share their features and have `codes_of` labels.

        None, and nothing was done, for all other examples and where those learned may bring news.
        """
        if codes is None or not isinstance(examples, Rows):
            return None
        learned = codes >= 0
        given = dict(zip(examples.names, range(len(examples.names)), strict=True))
        places = [given.pop(name, -1) for name in self._columns]
        same_kinds = self._codes.keys() == examples.texts & self._columns.keys()
        if -1 in places or not same_kinds or not self._are_missing(examples, list(given.values()), learned):
            return None
        columns = examples.matrix[:, places].T.copy()
        for column, (name, place) in enumerate(zip(self._columns, places, strict=True)):
            known = self._codes.get(name)
            if known is None:
                continue
            cells = examples.column(place)
            if len(known) < self._categories_cap and set(compress(cells, learned.tolist())) - known.keys() - {None}:
                return None
            columns[column] = self._coded(cells, known)
        return self._clipped(columns, learned)

    @staticmethod
    def _are_missing(examples: Rows, places: list[int], learned: NDArray[np.bool_]) -> bool:
        """Whether no example that is learned has a value of the features at these places."""
        numbers = [place for place in places if examples.names[place] not in examples.texts]
        if numbers and not np.isnan(examples.matrix[learned][:, numbers]).all():
            return False
        texts = [place for place in places if examples.names[place] in examples.texts]
        return not any(cell is not None for at in texts for cell in compress(examples.column(at), learned.tolist()))

    def _coded(self, cells: Sequence[float | str], codes: dict[str, int]) -> list[float]:
        beyond = self._categories_cap - 1 if len(codes) == self._categories_cap else UNSEEN
        return [codes.get(v, beyond) if isinstance(v, str) else math.nan for v in cells]

    def _clipped(self, columns: NDArray[np.float64], learned: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The columns as rows, their numbers within the limits, which those learned move."""
        numeric = [column for column, name in enumerate(self._columns) if name not in self._codes]
        if numeric:
            self._clip_columns(columns, numeric, learned)
        return np.ascontiguousarray(columns.T)

    def _clip_columns(self, columns: NDArray[np.float64], numeric: list[int], learned: NDArray[np.bool_]) -> None:
        # Imported here, as it loads the compiler.
        from learners._clip_kernel import clip_columns

        names = [name for name in self._columns if name not in self._codes]
        states = np.array(self._clip.columns(names), dtype=np.float64)
        whole = len(numeric) == len(columns)
        part = columns if whole else columns[numeric]
        clip_columns(part, learned, states)
        if not whole:
            columns[numeric] = part
        if learned.any():
            self._clip.load_columns(names, states.tolist())

    def state(self) -> dict[str, Any]:
        """Plain tree for a snapshot."""
        return {
            "columns": list(self._columns),
            "codes": {name: list(codes) for name, codes in self._codes.items()},
            "clip": self._clip.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._columns = {str(name): column for column, name in enumerate(state["columns"])}
        self._codes = {str(n): {str(v): code for code, v in enumerate(vs)} for n, vs in state["codes"].items()}
        self._room -= sum(map(_size, chain(self._columns, *self._codes.values())))
        self._clip = RangeClip.from_state(state["clip"])


def _numbers(cells: Sequence[float | str]) -> Sequence[float]:
    """Text, which numpy would read as a number if it can, is missing."""
    if set(map(type, cells)) <= _PLAIN:
        return cells  # type: ignore[return-value] # numbers alone
    return [math.nan if isinstance(v, str) else float(v) for v in cells]


def _size(text: str) -> int:
    """About how many bytes a name (which stands twice, beside the limits of its numbers) or a category takes."""
    return 50 + 2 * len(text)


def _is_nan(value: float | str) -> bool:
    return not isinstance(value, str) and math.isnan(value)
