"""What detectors of whole rows share: checks, level rule, snapshot, and the threshold of a squared distance.

A joint bank holds one signal: the newest rows against a fixed reference of rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.base import (
    CLEARED,
    DRIFT,
    LARGEST,
    BlockResult,
    Domain,
    Floats,
    Ints,
    State,
    alarms_from,
    checked_block,
    require,
    restored,
)

__all__ = [
    "EFFECT",
    "NULL_ROWS",
    "OPEN",
    "SEEN",
    "STATISTIC",
    "JointBank",
    "LevelRule",
    "changed_level",
    "checked_rows",
    "clip_bounds",
    "due",
    "null_limit",
    "record",
    "some_rows",
    "usable",
]

# Rows of the reference that a threshold is estimated from: its cost is cubic in them.
NULL_ROWS = 400
SEEN, OPEN = range(2)
STATISTIC, EFFECT = range(2)


class LevelRule(NamedTuple):
    """When a level alarm opens and clears; `base` is what the statistic is where nothing differs."""

    every: int
    limit: float
    base: float
    min_effect: float
    clear_ratio: float


class JointBank(ABC):
    """One signal over rows [n, d], folded by a subclass.

    A subclass sets `parameters` (numbers, the keywords of its constructor beside the reference), `reference`,
    `_limit`, `_kept` (arrays that a snapshot must hold) and `_derived` (arrays that follow from them), and gives
    `_fold` and `_retrace`.
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"rows"})
    parameters: dict[str, Any]
    reference: Floats
    _limit: float
    _kept: dict[str, NDArray[Any]]
    _derived: tuple[NDArray[Any], ...]

    @abstractmethod
    def _fold(self, block: Floats, positions: Ints, statistic: Floats, whole: Ints, real: Floats) -> int:
        """Fold a block, write each row's statistic and the alarms into the buffers; their number."""

    def _retrace(self) -> None:  # noqa: B027 - nothing has to follow from the arrays kept
        """Rebuild what follows from the arrays kept."""

    def update_many(self, values: Floats, index: Ints) -> BlockResult:
        """Take rows [k, d] with their positions [k]; a row with NaN or a value beyond 1e100 is skipped."""
        block, positions = checked_block(values, index, self.reference.shape[1])
        statistic = np.empty((len(block), 1))
        whole, real = np.empty((len(block), 8), dtype=np.int64), np.empty((len(block), 3))
        count = self._fold(block, positions, statistic, whole, real)
        threshold = np.where(np.isnan(statistic), np.nan, self._limit)
        return BlockResult(alarms_from(whole[:count], real[:count]), statistic, threshold)

    @property
    def threshold(self) -> float:
        """The statistic's limit."""
        return self._limit

    def state(self) -> State:
        """Parameters, reference and window, copied; all else is rebuilt from them."""
        kept = {name: array.copy() for name, array in self._kept.items()}
        return {"parameters": dict(self.parameters), "reference": self.reference.copy(), "limit": self._limit, **kept}

    @classmethod
    def _parameters_in(cls, state: Mapping[str, Any]) -> dict[str, Any]:
        return dict(state["parameters"])

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The bank that `state` was taken of; it goes on bit for bit.

        Raises
        ------
        ValueError
            where an array is missing or has another shape.
        """
        make: Any = cls
        bank: Self = make(state["reference"], **cls._parameters_in(state))
        restored(state, bank._kept)
        bank._retrace()
        return bank

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held; constant."""
        return sum(array.nbytes for array in (self.reference, *self._kept.values(), *self._derived))


def checked_rows(reference: Any, parameters: Mapping[str, Any], *, every: str, most_effect: float = 1.0) -> Floats:
    """The reference as its own array, after it and the parameters that all joint banks have are found in range."""
    rows, _ = checked_block(reference, np.arange(len(reference)), np.shape(reference)[-1])
    require("rows of reference", len(rows), "5 or more", holds=len(rows) >= 5)
    if not (np.abs(rows) <= LARGEST).all():
        raise ValueError("reference has NaN or a value beyond 1e100; fill gaps first (JointEncoder does)")
    allowed: dict[str, tuple[str, Callable[[float], bool]]] = {
        "window_n": ("2 or more", lambda v: v >= 2),
        every: ("1 or more", lambda v: v >= 1),
        "alpha": ("a number in (0, 0.5)", lambda v: 0 < v < 0.5),
        "min_effect": (f"a number in [0, {most_effect:g}]", lambda v: 0 <= v <= most_effect),
        "clear_ratio": ("a number in (0, 1]", lambda v: 0 < v <= 1),
        "effective_share": ("a number in (0, 1]", lambda v: 0 < v <= 1),
        "clip": ("a number above 1", lambda v: v > 1),
    }
    for name, (words, holds) in allowed.items():
        if name in parameters:
            require(name, parameters[name], words, holds=holds(parameters[name]))
    return rows.copy()


def some_rows(rows: Floats, most: int, generator: np.random.Generator) -> Floats:
    """At most `most` rows, drawn without replacement, in their order."""
    return rows[np.sort(generator.permutation(len(rows))[:most])]


def clip_bounds(rows: Floats, clip: float) -> tuple[Floats, Floats]:
    """`clip` half-ranges around the middle, per column; a column without a range counts as 1 or its own size wide."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    half = high / 2 - low / 2
    half = np.where(half > 0, half, np.maximum(np.abs(high), 1.0))
    middle = low / 2 + high / 2
    return middle - clip * half, middle + clip * half


def null_limit(distances: Floats, alpha: float) -> float:
    """The (1 - alpha) quantile of n m / (n + m) D² where both samples share a law.

    D² = 2E d(X, Y) - E d(X, X') - E d(Y, Y') (V-statistic) of a distance of negative type that is 0 from a point to
    itself. In the limit it is a weighted sum of squared normals; the gamma law that has its first three cumulants,
    estimated from the distances [c, c] among rows of one law, stands for it (Pearson's approximation).
    """
    from scipy.special import gammainccinv

    first, second, third = _cumulants(distances.copy())
    if second <= 0.0 or third <= 0.0:
        return max(float(first), 0.0)
    shape, scale = 4.0 * second**3 / third**2, third / (2.0 * second)
    return float(first - shape * scale + scale * gammainccinv(shape, alpha))


@njit(cache=True, nogil=True)
def _cumulants(d):  # type: ignore[no-untyped-def]
    """First three cumulants of the limit law; centres `d` in place so that its diagonal adds no bias.

    The weights are the eigenvalues of the centred distances, so their power sums are traces. Loops fix the order of
    each sum.
    """
    c = len(d)
    sums, total, line = np.zeros(c), 0.0, np.zeros(c)
    for i in range(c):
        for j in range(c):
            sums[i] += d[i, j]
        total += sums[i]
    for i in range(c):
        for j in range(c):
            d[i, j] = 0.0 if i == j else d[i, j] - (sums[i] + sums[j]) / (c - 2) + total / ((c - 1.0) * (c - 2.0))
    squares, cubes = 0.0, 0.0
    for i in range(c):
        line[:] = 0.0
        for k in range(c):
            for j in range(c):
                line[j] += d[i, k] * d[k, j]
        squares += line[i]
        for j in range(c):
            cubes += line[j] * d[i, j]
    pairs = c * (c - 3.0)
    return total / (c * (c - 1.0)), 2.0 * squares / pairs, -8.0 * cubes / (pairs * (c - 2.0))


@njit(cache=True, nogil=True)
def usable(row):  # type: ignore[no-untyped-def]
    """Whether no value is NaN or too large for sums of squares."""
    for x in row:  # noqa: SIM110 - numba compiles no generator
        if not abs(x) <= LARGEST:
            return False
    return True


@njit(cache=True, nogil=True)
def due(seen, window_n, every):  # type: ignore[no-untyped-def]
    """Whether a test falls on the row just taken."""
    return seen >= window_n and seen % every == 0


@njit(cache=True, nogil=True)
def changed_level(whole, newest, rule):  # type: ignore[no-untyped-def]
    """Open or clear by the newest statistic and effect; the status of the alarm, 0 for none."""
    over, limit = newest[STATISTIC] - rule.base, rule.limit - rule.base
    if not whole[OPEN]:
        whole[OPEN] = 1 if newest[STATISTIC] > rule.limit and newest[EFFECT] >= rule.min_effect else 0
        return DRIFT if whole[OPEN] else 0
    if over < rule.clear_ratio * limit or newest[EFFECT] < rule.clear_ratio * rule.min_effect:
        whole[OPEN] = 0
        return CLEARED
    return 0


@njit(cache=True, nogil=True)
def record(whole, real, window, rule, row, status, onset, position):  # type: ignore[no-untyped-def]
    """Write an alarm as `alarms_from` reads it; its onset lies in the window."""
    m = len(window.positions)
    whole[:] = (row, 0, status, 0, onset, window.positions[window.whole[SEEN] % m], position, m)
    real[:] = (window.newest[STATISTIC], rule.limit, window.newest[EFFECT])
