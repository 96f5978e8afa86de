"""Examples with names as a matrix of numbers for batch estimators: medians for gaps, one column a category.

What a feature is, its median and its categories are those of the examples that the matrix was fitted to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learners.base import Features

__all__ = ["DesignMatrix"]


class DesignMatrix:
    """Columns for features, in order of first appearance; the first value of a feature decides what it is.

    A number has one column, and the median where it is absent or text. A text has a column for each of its values, 1
    at the one at hand; a value beyond `categories_cap` or never seen has none.
    """

    def __init__(self, examples: Sequence[Features], categories_cap: int) -> None:
        self._numbers: dict[str, tuple[int, float]] = {}
        self._texts: dict[str, dict[str, int]] = {}
        self.width = 0
        values: dict[str, list[float]] = {}
        for x in examples:
            for name, value in x.items():
                self._meet(name, value, categories_cap)
                if name in self._numbers and not isinstance(value, str):
                    values.setdefault(name, []).append(value)
        for name, (column, _) in self._numbers.items():
            self._numbers[name] = (column, float(np.median(values[name])))

    def _meet(self, name: str, value: float | str, categories_cap: int) -> None:
        if name not in self._numbers and name not in self._texts:
            if not isinstance(value, str):
                self._numbers[name] = (self.width, math.nan)
                self.width += 1
                return
            self._texts[name] = {}
        codes = self._texts.get(name)
        if codes is not None and isinstance(value, str) and value not in codes and len(codes) < categories_cap:
            codes[value] = self.width
            self.width += 1

    def rows(self, examples: Sequence[Features]) -> NDArray[np.float64]:
        """The matrix [n, width] of `examples`; of one column of zeros if there is no feature at all."""
        matrix = np.zeros((len(examples), max(self.width, 1)))
        for place, median in self._numbers.values():
            matrix[:, place] = median
        for i, x in enumerate(examples):
            for name, value in x.items():
                column = self._column(name, value)
                if column is not None:
                    matrix[i, column] = 1.0 if isinstance(value, str) else value
        return matrix

    def _column(self, name: str, value: float | str) -> int | None:
        if isinstance(value, str):
            return self._texts.get(name, {}).get(value)
        return self._numbers[name][0] if name in self._numbers else None
