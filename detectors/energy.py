"""Energy distance between a sliding window and a fixed reference, in any dimension, exact at every event.

Distances are whole multiples of a power of two, so their sums are exact integers: an arriving and a leaving row are
added and taken away without any residue, however long the stream is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit

from detectors._joint import clip_bounds, null_limit, some_rows
from detectors.base import (
    CLEARED,
    DRIFT,
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

__all__ = ["EnergyBank"]

_BITS = 62
_NULL_ROWS = 400
_SEEN, _OPEN, _PAIRS, _CROSS = range(4)
_KEPT = ("rows", "positions", "whole", "newest")


class _Window(NamedTuple):
    rows: Floats  # [d, m], a row a column
    cross: Ints  # [m]: sum of a row's distances to the reference
    later: Ints  # [m]: sum of a row's distances to the rows that came after it
    positions: Ints  # [m]: `index` of each
    whole: Ints  # rows seen, open, sum over ordered pairs of the window, sum of `cross`
    newest: Floats  # statistic and effect of the newest test


class _Rule(NamedTuple):
    scale: float
    within: int
    test_every: int
    limit: float
    min_effect: float
    clear_ratio: float


class EnergyBank:
    """Energy distance E² = 2E|X-Y| - E|X-X'| - E|Y-Y'| (V-statistic) of window Y against reference X.

    Parameters
    ----------
    reference : float64[n, d], finite, n >= 5, d >= 1
    window_n : rows of the window, >= 2
    test_every : the statistic is taken at every such row once the window is full; the window moves at every row
    alpha : nominal chance of one look at independent rows to exceed the threshold
    min_effect : least E² / (2E|X-Y|), in [0, 1], that counts as drift
    clear_ratio : an alarm ends when the statistic or the effect is below this share of its limit
    clip : values are clipped at this many half-ranges of the reference around its middle, per dimension
    effective_share : independent rows that a row is worth, in (0, 1]; widens the threshold of dependent streams
    seed : of the choice of rows behind the threshold

    Notes
    -----
    The threshold: under no drift n m / (n + m) E² follows in the limit a weighted sum of squared normals, whose weights
    are the eigenvalues of the centred distances. Their first three power sums are estimated from (at most 400 rows of)
    the reference, and the gamma law with those three cumulants gives the tail (Pearson's approximation). It is an
    estimate for one look at independent rows, no guarantee over a stream.

    Distances are rounded to a power of two (`quantum`) so small that no sum of integers can pass 2^62; the statistic
    agrees with `dcor.energy_distance` to 1e-9 of the mean distance.

    Cost: O((n + m) d) an event, memory O((n + m) d). A row with a NaN is skipped.

    References
    ----------
    Székely, Rizzo (2013), Energy statistics, doi:10.1016/j.jspi.2013.03.018; (2014), doi:10.1214/14-AOS1255

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> bank = EnergyBank(generator.normal(size=(200, 2)), 50)
    >>> result = bank.update_many(generator.normal(3.0, 1.0, size=(80, 2)), np.arange(80))
    >>> [(alarm.row, alarm.status) for alarm in result.alarms]
    [(49, 2)]
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"rows"})

    def __init__(  # sizes: the parameters of the statistic, of its threshold and of its arithmetic
        self,
        reference: Floats,
        window_n: int,
        *,
        test_every: int = 1,
        alpha: float = 1e-4,
        min_effect: float = 0.1,
        clear_ratio: float = 0.8,
        clip: float = 8.0,
        effective_share: float = 1.0,
        seed: int = 1,
    ) -> None:
        rows, _ = checked_block(reference, np.arange(len(reference)), np.shape(reference)[-1])
        require("rows of reference", len(rows), "5 or more", holds=len(rows) >= 5)
        require("window_n", window_n, "2 or more", holds=window_n >= 2)
        require("test_every", test_every, "1 or more", holds=test_every >= 1)
        require("alpha", alpha, "a number in (0, 0.5)", holds=0 < alpha < 0.5)
        require("min_effect", min_effect, "a number in [0, 1]", holds=0 <= min_effect <= 1)
        require("clear_ratio", clear_ratio, "a number in (0, 1]", holds=0 < clear_ratio <= 1)
        require("effective_share", effective_share, "a number in (0, 1]", holds=0 < effective_share <= 1)
        if np.isnan(rows).any():
            raise ValueError("reference has NaN; fill gaps first (JointEncoder does)")
        self.parameters: dict[str, Any] = {
            "window_n": window_n, "test_every": test_every, "alpha": alpha, "min_effect": min_effect,
            "clear_ratio": clear_ratio, "clip": clip, "effective_share": effective_share, "seed": seed,
        }  # fmt: skip
        self.reference = rows.copy()
        self._low, self._high = clip_bounds(rows, clip)
        self._scale = _quantum_scale(self._high - self._low, max(len(rows), window_n))
        self._reference_t = np.ascontiguousarray(rows.T)
        self._window = _Window(
            rows=np.zeros((rows.shape[1], window_n)), cross=np.zeros(window_n, dtype=np.int64),
            later=np.zeros(window_n, dtype=np.int64), positions=np.zeros(window_n, dtype=np.int64),
            whole=np.zeros(4, dtype=np.int64), newest=np.full(2, np.nan),
        )  # fmt: skip
        self._squares = np.zeros(max(len(rows), window_n))
        self._quanta = np.zeros(max(len(rows), window_n), dtype=np.int64)
        within = _pair_sum(self._reference_t, self._scale, self._squares, self._quanta)
        n, share = len(rows), effective_share
        few = some_rows(rows, _NULL_ROWS, np.random.default_rng(seed))
        self._limit = null_limit(_distances(few), alpha) * (1 / (n * share) + 1 / (window_n * share))
        self._rule = _Rule(self._scale, int(within), test_every, self._limit, min_effect, clear_ratio)

    @property
    def threshold(self) -> float:
        """The statistic's limit."""
        return self._limit

    @property
    def quantum(self) -> float:
        """What distances are whole multiples of; the statistic is off by less than twice this."""
        return 1.0 / self._scale

    def update_many(self, values: Floats, index: Ints) -> BlockResult:
        """Take rows [k, d] with their positions [k]."""
        block, positions = checked_block(values, index, len(self._low))
        block = np.clip(block, self._low, self._high)
        statistic = np.empty((len(block), 1))
        whole, real = np.empty((len(block), 8), dtype=np.int64), np.empty((len(block), 3))
        count = _fold(
            block, positions, self._reference_t, self._window, self._rule, self._squares, self._quanta, statistic,
            whole, real,
        )  # fmt: skip
        threshold = np.where(np.isnan(statistic), np.nan, self._limit)
        return BlockResult(alarms_from(whole[:count], real[:count]), statistic, threshold)

    def state(self) -> State:
        """Everything that `from_state` needs; sums of the window are rebuilt from its rows."""
        return {
            "parameters": dict(self.parameters),
            "reference": self.reference,
            "limit": self._limit,
            **{name: getattr(self._window, name).copy() for name in _KEPT},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> EnergyBank:
        """The bank that `state` was taken of; it goes on bit for bit."""
        parameters = dict(state["parameters"])
        bank = cls(state["reference"], parameters.pop("window_n"), **parameters)
        restored(state, {name: getattr(bank._window, name) for name in _KEPT})
        _retrace(bank._reference_t, bank._window, bank._scale, bank._squares, bank._quanta)
        return bank

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held."""
        arrays = (self.reference, self._reference_t, *self._window, self._squares, self._quanta)
        return sum(array.nbytes for array in arrays)


def _quantum_scale(ranges: Floats, rows: int) -> float:
    """The largest power of two for which no sum of rows² distances can overflow."""
    longest = math.sqrt(math.fsum(ranges * ranges))
    return float(2.0 ** math.floor(_BITS - math.log2(rows * rows * max(longest, 1e-300))))


@njit(cache=True, nogil=True)
def _distances(rows):  # type: ignore[no-untyped-def]
    """Euclidean distances of all pairs of rows; loops fix the order of each sum."""
    count, dims = rows.shape
    out = np.zeros((count, count))
    for i in range(count):
        for j in range(i):
            for k in range(dims):
                out[i, j] += (rows[i, k] - rows[j, k]) ** 2
            out[i, j] = np.sqrt(out[i, j])
            out[j, i] = out[i, j]
    return out


@njit(cache=True, nogil=True)
def _measure(row, points, count, scale, squares, quanta):  # type: ignore[no-untyped-def]
    """Distances of `row` to the first `count` columns of `points`, in quanta; returns their sum.

    Dimension by dimension, so that the inner loops run over columns and the order of summation is that of the
    dimensions, however wide the machine's registers are; four at a time, so that sums pass through memory less often.
    """
    dims, total = len(row), 0
    odd = dims % 4
    squares[:count] = 0.0
    for k in range(odd):
        value, line = row[k], points[k]
        for j in range(count):
            gap = line[j] - value
            squares[j] += gap * gap
    if dims < 4:
        for j in range(count):
            quanta[j] = np.int64(math.sqrt(squares[j]) * scale + 0.5)
            total += quanta[j]
        return total
    for k in range(odd, dims - 4, 4):
        a, b, c, d, lines = row[k], row[k + 1], row[k + 2], row[k + 3], points[k : k + 4]
        for j in range(count):
            squares[j] = _with_four(squares[j], a, b, c, d, lines, j)
    a, b, c, d, lines = row[-4], row[-3], row[-2], row[-1], points[dims - 4 :]
    for j in range(count):
        quanta[j] = np.int64(math.sqrt(_with_four(squares[j], a, b, c, d, lines, j)) * scale + 0.5)
        total += quanta[j]
    return total


@njit(cache=True, nogil=True)
def _with_four(square, a, b, c, d, lines, j):  # type: ignore[no-untyped-def]
    """`square` and the squares of column `j` of four lines less a, b, c, d, in this order."""
    gap = lines[0, j] - a
    square += gap * gap
    gap = lines[1, j] - b
    square += gap * gap
    gap = lines[2, j] - c
    square += gap * gap
    gap = lines[3, j] - d
    return square + gap * gap


@njit(cache=True, nogil=True)
def _pair_sum(points, scale, squares, quanta):  # type: ignore[no-untyped-def]
    """Sum over all ordered pairs of columns."""
    total = 0
    for j in range(points.shape[1]):
        total += _measure(points[:, j].copy(), points, points.shape[1], scale, squares, quanta)
    return total


@njit(cache=True, nogil=True)
def _fold(block, index, reference, window, rule, squares, quanta, statistic, whole, real):  # type: ignore[no-untyped-def]
    """Fold rows; returns the number of alarms."""
    count, m = 0, window.rows.shape[1]
    for row in range(len(block)):
        status = 0
        if not np.isnan(block[row]).any():
            _take(block[row], index[row], reference, window, rule.scale, squares, quanta)
            if window.whole[_SEEN] >= m and window.whole[_SEEN] % rule.test_every == 0:
                status = _judge(reference.shape[1], window, rule)
        if status:
            first = window.positions[window.whole[_SEEN] % m]
            onset = _onset(window, rule, reference.shape[1]) if status == DRIFT else index[row]
            whole[count] = (row, 0, status, 0, onset, first, index[row], m)
            real[count] = (window.newest[0], rule.limit, window.newest[1])
            count += 1
        statistic[row, 0] = window.newest[0]
    return count


@njit(cache=True, nogil=True)
def _take(x, position, reference, window, scale, squares, quanta):  # type: ignore[no-untyped-def]
    """Put a row into the place of the oldest, whose distances to all the others were summed as those came."""
    m, whole = window.rows.shape[1], window.whole
    slot = whole[_SEEN] % m
    if whole[_SEEN] >= m:
        whole[_PAIRS] -= 2 * window.later[slot]
        whole[_CROSS] -= window.cross[slot]
    for k in range(len(x)):
        window.rows[k, slot] = x[k]
    window.later[slot], window.positions[slot] = 0, position
    held = min(whole[_SEEN] + 1, m)
    whole[_PAIRS] += 2 * _measure(x, window.rows, held, scale, squares, quanta)
    window.later[:held] += quanta[:held]
    window.cross[slot] = _measure(x, reference, reference.shape[1], scale, squares, quanta)
    whole[_CROSS] += window.cross[slot]
    whole[_SEEN] += 1


@njit(cache=True, nogil=True)
def _retrace(reference, window, scale, squares, quanta):  # type: ignore[no-untyped-def]
    """Rebuild all sums of a window whose rows, positions and counters were restored."""
    m, seen = window.rows.shape[1], window.whole[_SEEN]
    oldest = max(0, seen - m)
    window.whole[_PAIRS], window.whole[_CROSS] = 0, 0
    for place in range(oldest, seen):
        slot = place % m
        row = window.rows[:, slot].copy()
        window.whole[_PAIRS] += _measure(row, window.rows, seen - oldest, scale, squares, quanta)
        window.later[slot] = 0
        for other in range(place + 1, seen):
            window.later[slot] += quanta[other % m]
        window.cross[slot] = _measure(row, reference, reference.shape[1], scale, squares, quanta)
        window.whole[_CROSS] += window.cross[slot]


@njit(cache=True, nogil=True)
def _judge(n, window, rule):  # type: ignore[no-untyped-def]
    """Compute statistic and effect from the exact sums; returns the status of an alarm, 0 for none."""
    m, whole, newest = window.rows.shape[1], window.whole, window.newest
    between = 2.0 * (whole[_CROSS] / rule.scale) / (n * m)
    newest[0] = between - rule.within / rule.scale / (n * n) - whole[_PAIRS] / rule.scale / (m * m)
    newest[1] = newest[0] / between if between > 0.0 else 0.0
    if not whole[_OPEN]:
        whole[_OPEN] = 1 if newest[0] > rule.limit and newest[1] >= rule.min_effect else 0
        return DRIFT if whole[_OPEN] else 0
    if newest[0] < rule.clear_ratio * rule.limit or newest[1] < rule.clear_ratio * rule.min_effect:
        whole[_OPEN] = 0
        return CLEARED
    return 0


@njit(cache=True, nogil=True)
def _onset(window, rule, n):  # type: ignore[no-untyped-def]
    """Index of the row from which on distances to the reference differ most from the reference's own.

    They average what the reference's rows have among themselves while both share a law, so the split is where the
    squared sum of what follows, over its length, is largest.
    """
    m = window.rows.shape[1]
    newest = (window.whole[_SEEN] - 1) % m
    usual = rule.within / n
    total, best, onset = 0.0, -1.0, newest
    for back in range(m):
        slot = (newest - back) % m
        total += window.cross[slot] - usual
        gain = total * total / (back + 1.0)
        if gain > best:
            best, onset = gain, slot
    return window.positions[onset]
