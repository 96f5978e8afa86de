"""Rows for the joint detectors: numbers scaled by the reference, gaps filled, categories as scaled one-hot columns.

Everything is fixed by the reference, so encoding a row depends on that row alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import Floats, Ints, State

__all__ = ["JointEncoder"]

_NORMAL_IQR = 1.3489795003921634
_CLIP = 8.0
_CATEGORIES_KEPT = 8
# Two rows that differ in a category are then as far apart as two numbers that differ by one spread.
_ONE_HOT = 1.0 / np.sqrt(2.0)


class JointEncoder:
    """Scales by median and interquartile range (standard deviation, then 1, where that is 0).

    Parameters
    ----------
    centre, spread : float64[p], of the reference
    kept : for each of q categorical features how many of its most frequent categories get a column; the rest share one
    clip : numbers are clipped at this many spreads, so that an absurd value leaves no trace but a bounded one
    """

    def __init__(self, centre: Floats, spread: Floats, kept: Ints, clip: float = _CLIP) -> None:
        self.centre, self.spread, self.kept, self.clip = centre, spread, kept, clip
        self.width = len(centre) + int(kept.sum()) + len(kept)

    @classmethod
    def fit(cls, numeric: Floats, codes: Ints, n_categories: Sequence[int], *, clip: float = _CLIP) -> JointEncoder:
        """Learn from a reference.

        Parameters
        ----------
        numeric : float64[n, p], NaN = missing
        codes : int64[n, q], numbered by frequency from 0, -1 = missing
        n_categories : q numbers of categories
        """
        centre, spread = np.zeros(numeric.shape[1]), np.ones(numeric.shape[1])
        for column in range(numeric.shape[1]):
            seen = numeric[:, column]
            seen = seen[~np.isnan(seen)]
            if len(seen):
                low, middle, high = np.quantile(seen, [0.25, 0.5, 0.75])
                centre[column] = middle
                spread[column] = (high - low) / _NORMAL_IQR or float(np.std(seen)) or 1.0
        kept = np.array([min(int(n), _CATEGORIES_KEPT) for n in n_categories], dtype=np.int64)
        if codes.shape[1] != len(kept):
            raise ValueError(f"codes has {codes.shape[1]} columns, n_categories {len(kept)} entries; give one each")
        return cls(centre, spread, kept, clip)

    def transform(self, numeric: Floats, codes: Ints) -> tuple[Floats, Ints]:
        """Encode rows; returns float64[n, d] without gaps, and int64[n]: how many values each row had to be given."""
        rows = len(numeric)
        scaled = np.clip((numeric - self.centre) / self.spread, -self.clip, self.clip)
        missing = np.isnan(scaled)
        encoded = np.zeros((rows, self.width))
        encoded[:, : scaled.shape[1]] = np.where(missing, 0.0, scaled)
        filled: NDArray[np.int64] = missing.sum(axis=1).astype(np.int64)
        at = scaled.shape[1]
        for feature, kept in enumerate(self.kept.tolist()):
            column = codes[:, feature]
            present = np.flatnonzero(column >= 0)
            encoded[present, at + np.minimum(column[present], kept)] = _ONE_HOT
            filled += column < 0
            at += kept + 1
        return encoded, filled

    def groups(self) -> list[list[int]]:
        """The encoded columns of each feature: numbers first, then categories."""
        groups = [[column] for column in range(len(self.centre))]
        at = len(self.centre)
        for kept in self.kept.tolist():
            groups.append(list(range(at, at + kept + 1)))
            at += kept + 1
        return groups

    def state(self) -> State:
        """Arrays and numbers for a checkpoint."""
        return {"centre": self.centre, "spread": self.spread, "kept": self.kept, "clip": self.clip}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> JointEncoder:
        """The encoder that `state` was taken of."""
        return cls(state["centre"], state["spread"], state["kept"], state["clip"])
