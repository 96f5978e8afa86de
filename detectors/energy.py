"""Energy distance between a sliding window and a fixed reference, in any dimension, exact at every event.

Distances are whole multiples of a power of two, so their sums are exact integers: an arriving and a leaving row are
added and taken away without any residue, however long the stream is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.base import CLEARED, DRIFT, Alarm, BlockResult, Floats, Ints, State, checked_block, require

__all__ = ["EnergyBank"]

_BITS = 62
_NULL_ROWS = 400
_NULL_SPLITS = 200


class EnergyBank:
    """Energy distance E² = 2E|X-Y| - E|X-X'| - E|Y-Y'| (V-statistic) of window Y against reference X.

    Parameters
    ----------
    reference : float64[n, d], finite, n >= 2, d >= 1
    window_n : rows of the window, >= 2
    test_every : the statistic is taken at every such row once the window is full; the window moves at every row
    alpha : nominal chance of one look at independent rows to exceed the threshold
    min_effect : least E² / (2E|X-Y|), in [0, 1], that counts as drift
    clear_ratio : an alarm ends when the statistic or the effect is below this share of its limit
    clip : values are clipped at this many half-ranges of the reference around its middle, per dimension
    effective_share : independent rows that a row is worth, in (0, 1]; widens the threshold of dependent streams
    seed : of the splits behind the threshold

    Notes
    -----
    The threshold assumes that n·m/(n+m)·E² has the same law for all sizes (Székely & Rizzo 2013,
    doi:10.1016/j.jspi.2013.03.018): its mean and variance come from random halvings of (at most 400 rows of) the
    reference, its tail from a gamma law with those moments (Wilson-Hilferty). It is an estimate, not a guarantee.

    O((n + 2w)·d) time an event, O((n + w)·d) memory. A row with a NaN is skipped.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> bank = EnergyBank(generator.normal(size=(200, 2)), 50)
    >>> result = bank.update_many(generator.normal(3.0, 1.0, size=(80, 2)), np.arange(80))
    >>> [(alarm.row, alarm.status) for alarm in result.alarms]
    [(49, 2)]
    """

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
        require("rows of reference", len(rows), "2 or more", holds=len(rows) >= 2)
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
        self._low, self._high = _clip_bounds(rows, clip)
        self._scale = _quantum_scale(self._high - self._low, max(len(rows), window_n))
        self._reference_t = np.ascontiguousarray(rows.T)
        self._window_t = np.zeros((rows.shape[1], window_n))
        self._cross = np.zeros(window_n, dtype=np.int64)
        self._index = np.zeros(window_n, dtype=np.int64)
        # head of the ring, rows held, rows seen, window's pair sum, over?, sum of cross distances
        self._whole = np.zeros(6, dtype=np.int64)
        self._scratch = np.zeros(max(len(rows), window_n))
        self._within = int(_pair_sum(self._reference_t, self._scale, self._scratch))
        self._latest = np.full(2, np.nan)
        n, share = len(rows), effective_share
        self._limit = _null_limit(self._reference_t, alpha, seed) * (1 / (n * share) + 1 / (window_n * share))

    @property
    def threshold(self) -> float:
        """The statistic's limit."""
        return self._limit

    def update_many(self, values: Floats, index: Ints) -> BlockResult:
        """Take rows [k, d] with their positions [k]."""
        block, positions = checked_block(values, index, len(self._low))
        rows = len(block)
        block = np.clip(block, self._low, self._high)
        statistic, effect = np.empty(rows), np.empty(rows)
        spoken = np.zeros((rows, 3), dtype=np.int64)
        parameters = self.parameters
        count = _fold(
            block, positions, self._reference_t, self._window_t, self._cross, self._index, self._whole,
            (self._scale, self._within, parameters["test_every"]),
            (self._limit, parameters["min_effect"], parameters["clear_ratio"]),
            self._latest, self._scratch, statistic, effect, spoken, self._onsets(rows),
        )  # fmt: skip
        alarms = [self._alarm(spoken[i], self._onset[i], statistic, effect) for i in range(count)]
        shown = np.full((rows, 1), self._limit)
        return BlockResult(alarms, statistic.reshape(rows, 1), shown)

    def _onsets(self, rows: int) -> Ints:
        self._onset = np.zeros((rows, 3), dtype=np.int64)
        return self._onset

    def _alarm(self, spoken: NDArray[np.int64], onset: NDArray[np.int64], statistic: Floats, effect: Floats) -> Alarm:
        row = int(spoken[0])
        return Alarm(
            row=row, signal=0, status=int(spoken[1]), direction=0, statistic=float(statistic[row]),
            threshold=self._limit, effect=float(effect[row]), onset=int(onset[0]), onset_low=int(onset[1]),
            onset_high=int(onset[2]), n=self.parameters["window_n"],
        )  # fmt: skip

    def state(self) -> State:
        """Everything that `from_state` needs; sums of the window are rebuilt from its rows."""
        return {
            "parameters": dict(self.parameters),
            "reference": self.reference,
            "window": self._window_t.copy(),
            "index": self._index.copy(),
            "whole": self._whole.copy(),
            "latest": self._latest.copy(),
            "limit": self._limit,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> EnergyBank:
        """The bank that `state` was taken of; it goes on bit for bit."""
        parameters = dict(state["parameters"])
        bank = cls(state["reference"], parameters.pop("window_n"), **parameters)
        bank._window_t[...] = state["window"]
        bank._index[...] = state["index"]
        bank._whole[...] = state["whole"]
        bank._latest[...] = state["latest"]
        held = int(bank._whole[1])
        for slot in range(held):
            row = np.ascontiguousarray(bank._window_t[:, slot])
            bank._cross[slot] = _distance_sum(row, bank._reference_t, len(bank.reference), bank._scale, bank._scratch)
        return bank

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held."""
        arrays = (self.reference, self._reference_t, self._window_t, self._cross, self._index, self._scratch)
        return sum(array.nbytes for array in arrays)


def _clip_bounds(rows: Floats, clip: float) -> tuple[Floats, Floats]:
    low, high = rows.min(axis=0), rows.max(axis=0)
    half = (high - low) / 2
    half = np.where(half > 0, half, np.maximum(np.abs(high), 1.0))
    middle = low + (high - low) / 2
    return middle - clip * half, middle + clip * half


def _quantum_scale(ranges: Floats, rows: int) -> float:
    """The largest power of two for which no sum of rows² distances can overflow."""
    longest = math.sqrt(math.fsum(ranges * ranges))
    return float(2.0 ** math.floor(_BITS - math.log2(rows * rows * max(longest, 1e-300))))


def _null_limit(reference_t: Floats, alpha: float, seed: int) -> float:
    """The (1 - alpha) quantile of n·m/(n+m)·E² under no drift; see the class's notes."""
    generator = np.random.default_rng(seed)
    rows = reference_t.shape[1]
    chosen = np.sort(generator.permutation(rows)[: min(rows, _NULL_ROWS) // 2 * 2])
    signs = np.ones((_NULL_SPLITS, len(chosen)))
    for split in signs:
        split[generator.permutation(len(chosen))[: len(chosen) // 2]] = -1.0
    values = _halved(np.ascontiguousarray(reference_t[:, chosen]), signs)
    mean = math.fsum(values) / len(values)
    variance = math.fsum((values - mean) ** 2) / (len(values) - 1)
    if mean <= 0 or variance <= 0:
        return max(mean, 0.0)
    shape, deviate = mean * mean / variance, NormalDist().inv_cdf(1 - alpha)
    root = 1 - 1 / (9 * shape) + deviate / math.sqrt(9 * shape)
    return float(mean * max(root, 0.0) ** 3)


@njit(cache=True, nogil=True)
def _halved(points, signs):  # type: ignore[no-untyped-def]
    """n·m/(n+m)·E² of each halving: with n = m it is -(1/2m) sᵀDs for signs s."""
    dims, count = points.shape
    distances = np.zeros((count, count))
    for i in range(count):
        for j in range(i):
            total = 0.0
            for k in range(dims):
                total += (points[k, i] - points[k, j]) ** 2
            distances[i, j] = math.sqrt(total)
    out = np.empty(len(signs))
    for s in range(len(signs)):
        total = 0.0
        for i in range(count):
            for j in range(i):
                total += signs[s, i] * signs[s, j] * distances[i, j]
        out[s] = -2.0 * total / count
    return out


@njit(cache=True, nogil=True)
def _distance_sum(row, points, count, scale, scratch):  # type: ignore[no-untyped-def]
    """Sum of the distances of `row` to the first `count` columns of `points`, in quanta."""
    for j in range(count):
        scratch[j] = 0.0
    for k in range(len(row)):
        value = row[k]
        line = points[k]
        for j in range(count):
            gap = line[j] - value
            scratch[j] += gap * gap
    total = np.int64(0)
    for j in range(count):
        total += np.int64(math.sqrt(scratch[j]) * scale + 0.5)
    return total


@njit(cache=True, nogil=True)
def _pair_sum(points, scale, scratch):  # type: ignore[no-untyped-def]
    """Sum over all ordered pairs of columns."""
    total = np.int64(0)
    for j in range(points.shape[1]):
        total += _distance_sum(points[:, j].copy(), points, points.shape[1], scale, scratch)
    return total


@njit(cache=True, nogil=True)
def _fold(  # type: ignore[no-untyped-def]
    block, positions, reference, window, cross, index, whole, sums, limits, latest, scratch, statistic, effect, spoken,
    onsets,
):  # fmt: skip
    """Fold rows; returns how many alarms were written to `spoken` (row, status, -) and `onsets`."""
    scale, within, test_every = sums
    alarms = 0
    for row in range(len(block)):
        x = block[row]
        if not np.isnan(x).any():
            _take(x, positions[row], reference, window, cross, index, whole, scale, scratch)
            if whole[1] == window.shape[1] and whole[2] % test_every == 0:
                _measure(reference.shape[1], window.shape[1], whole, within, scale, latest)
                status = _judge(latest, limits, whole)
                if status != 0:
                    spoken[alarms, 0], spoken[alarms, 1] = row, status
                    _locate(cross, index, whole, onsets[alarms])
                    alarms += 1
        statistic[row], effect[row] = latest[0], latest[1]
    return alarms


@njit(cache=True, nogil=True)
def _take(x, position, reference, window, cross, index, whole, scale, scratch):  # type: ignore[no-untyped-def]
    """Put a row into the ring in the place of the oldest."""
    head, held, size = whole[0], whole[1], window.shape[1]
    if held == size:
        leaving = window[:, head].copy()
        whole[3] -= 2 * _distance_sum(leaving, window, size, scale, scratch)
        whole[5] -= cross[head]
    else:
        held += 1
    for k in range(len(x)):
        window[k, head] = x[k]
    whole[3] += 2 * _distance_sum(x, window, held, scale, scratch)
    cross[head] = _distance_sum(x, reference, reference.shape[1], scale, scratch)
    whole[5] += cross[head]
    index[head] = position
    whole[0], whole[1] = (head + 1) % size, held
    whole[2] += 1


@njit(cache=True, nogil=True)
def _measure(n, m, whole, within, scale, latest):  # type: ignore[no-untyped-def]
    between = 2.0 * (whole[5] / scale) / (n * m)
    latest[0] = between - within / scale / (n * n) - whole[3] / scale / (m * m)
    latest[1] = latest[0] / between if between > 0.0 else 0.0


@njit(cache=True, nogil=True)
def _judge(latest, limits, whole):  # type: ignore[no-untyped-def]
    limit, min_effect, clear_ratio = limits
    if whole[4] == 0 and latest[0] > limit and latest[1] >= min_effect:
        whole[4] = 1
        return DRIFT
    if whole[4] == 1 and (latest[0] < clear_ratio * limit or latest[1] < clear_ratio * min_effect):
        whole[4] = 0
        return CLEARED
    return 0


@njit(cache=True, nogil=True)
def _locate(cross, index, whole, onset):  # type: ignore[no-untyped-def]
    """Where the distances to the reference begin to be large: the split with the largest cumulated deviation."""
    head, size = whole[0], len(cross)
    mean = whole[5] / size
    total, largest, best = 0.0, -1.0, 0
    for place in range(size):
        total += cross[(head + place) % size] - mean
        if -total > largest:
            largest, best = -total, place
    onset[0] = index[(head + best + 1) % size] if best + 1 < size else index[(head + best) % size]
    onset[1] = index[head]
    onset[2] = index[(head + size - 1) % size]
