"""KSWIN: Kolmogorov-Smirnov distance of the newest values of a sliding window to all older ones in it, at every value.

Nothing is drawn at random: the distance is exact, so the same stream gives the same alarms.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit

from detectors._recent import RECENT_N, locate
from detectors.base import DRIFT, LARGEST, Bounds, Direction, Domain, Floats, Ints, direction_sign, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["KSWIN", "KswinBank"]

# Distances are exact integers over n m; beyond this window a restart's first test, of quadratic cost, takes seconds.
_LARGEST_WINDOW = 10_000


class _Signals(NamedTuple):
    """Windows of F signals [F, window_size], each value at the place of its count modulo the window.

    `weights`: m for a value among the n older ones, -n for one among the m newest; `heights`: the sum of the weights
    of all values not above it, n m times the difference of the two distribution functions there.
    """

    values: Floats
    positions: Ints
    weights: Ints
    heights: Ints
    seen: Ints
    newest: Floats


class _Rule(NamedTuple):
    alpha: float
    stat_size: int
    window_size: int
    direction: int
    bound: float


class KswinBank(StreamBank):
    """KSWIN on F signals.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    alpha : in (0, 1), nominal level of one test; there is one at every value
    window_size : values in the window, up to 10,000; a test needs a full one
    stat_size : m, the newest of them, which are compared with the n = window_size - m older ones; 1 or more of each
    direction : alarms where the newest values are the higher ones (`up`), the lower ones (`down`) or `both`
    bounds : (low, high), numbers or arrays [F]: values are clipped to them. Without bounds a finite value beyond 1e100
        counts as missing; a smaller one is no more than the largest rank

    Notes
    -----
    The statistic is D, which equals `scipy.stats.ks_2samp(older, newest).statistic`, ties included; for `up` and `down`
    its one-sided part, which is 0 or more. The threshold is sqrt(ln(2 / alpha) / 2 (n + m) / (n m)), the first term of
    the limit law; with ln(1 / alpha) for `up` and `down`. The true level of a test is below alpha, more so with ties.

    river and the paper draw m of the n older values anew at each test. Here all of them are used: no seed, and more
    power, as noise of the draw is gone. With window_size = 2 stat_size river draws all of them too; it then differs in
    the level only, as it takes the exact law for the p-value (and asks for D > .1). The paper's threshold lacks the 2
    in ln(2 / alpha): ours for one direction.

    After an alarm the window is empty: its newest values mix both laws. So does river, which at first keeps them but
    drops them with the next value. `effect` is the statistic, `n` is stat_size. `onset` is the likeliest split of the
    ranks in the window (of its newest 256 values at most). There are no warnings.

    Cost: O(window_size) a value in two passes without a branch, about 1 ns a value of the window; a window's first test
    and an alarm take O(window_size²). Memory: 32 bytes a value of the window.

    References
    ----------
    Raab, Heusinger, Schleif (2020), Reactive soft prototype computing for concept drift streams,
    doi:10.1016/j.neucom.2019.11.111
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"unit", "real"})
    rule_type = _Rule

    def __init__(
        self,
        n_signals: int,
        *,
        alpha: float = 0.005,
        window_size: int = 100,
        stat_size: int = 30,
        direction: Direction = "both",
        bounds: Bounds = None,
    ) -> None:
        require("alpha", alpha, "a number in (0, 1)", holds=0 < alpha < 1)
        require("window_size", window_size, "2 to 10,000", holds=2 <= window_size <= _LARGEST_WINDOW)
        require("stat_size", stat_size, "1 or more, and below window_size", holds=1 <= stat_size < window_size)
        sign = direction_sign(direction)
        pairs = stat_size * (window_size - stat_size) / window_size
        bound = math.sqrt(math.log((1 if sign else 2) / alpha) / 2 / pairs)
        super().__init__(n_signals, _Rule(alpha, stat_size, window_size, sign, bound), bounds=bounds)

    @staticmethod
    def _empty(n_signals: int, rule: _Rule) -> _Signals:
        shape = (n_signals, rule.window_size)
        at, weights, heights = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        seen, newest = np.zeros(n_signals, dtype=np.int64), np.full(n_signals, np.nan)
        return _Signals(np.zeros(shape), at, weights, heights, seen, newest)

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        outputs = statistic, threshold, *buffers
        return int(_fold(block, positions, self._signals, self._rule, self._low, self._high, *outputs))

    def warned(self, signal: int) -> bool:
        """Never: it has no warning zone."""
        return False


class KSWIN(StreamDetector):
    """KSWIN on one signal, with river's interface; parameters as for `KswinBank`.

    Examples
    --------
    >>> detector = KSWIN()
    >>> [i for i in range(400) if detector.update(37 * i % 100 + 60 * (i >= 200)).drift_detected]
    [217]
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(KswinBank(1, **parameters))


@njit(cache=True, nogil=True)
def _fold(values, index, signals, rule, low, high, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    count = 0
    for f in range(values.shape[1]):
        for row in range(values.shape[0]):
            x, sign = min(max(values[row, f], low[f]), high[f]), 0
            if not np.isnan(values[row, f]) and abs(x) <= LARGEST:
                sign = _take(x, index[row], f, signals, rule)
            newest = signals.newest[f]
            statistic[f, row] = newest
            threshold[f, row] = np.nan if np.isnan(newest) else rule.bound
            if sign:
                onset, earliest, latest = _onset(signals.values[f], signals.positions[f], signals.seen[f], sign)
                whole[count] = (row, f, DRIFT, sign, onset, earliest, latest, rule.stat_size)
                real[count] = (newest, rule.bound, newest)
                count += 1
                signals.seen[f], signals.newest[f] = 0, np.nan
    return count


@njit(cache=True, nogil=True)
def _take(x, position, f, signals, rule):  # type: ignore[no-untyped-def]
    """Take a value; returns the direction of its alarm, 0 without one."""
    values, weights, heights = signals.values[f], signals.weights[f], signals.heights[f]
    seen, size, m = signals.seen[f], rule.window_size, rule.stat_size
    n = size - m
    place = seen % size
    signals.positions[f, place] = position
    signals.seen[f] = seen + 1
    if seen < size:
        values[place], weights[place] = x, m if seen < n else -n
        if seen + 1 < size:
            return 0
        for i in range(size):
            heights[i] = _height(values[i], values, weights)
    else:
        _slide(x, place, (place + n) % size, values, weights, heights)
    highest, lowest = 0, 0
    for i in range(size):
        highest, lowest = max(highest, heights[i]), min(lowest, heights[i])
    # The older values' distribution function lies above where the newest values are the higher ones.
    sign = rule.direction or (1 if highest >= -lowest else -1)
    signals.newest[f] = (highest if sign > 0 else -lowest) / (n * m)
    return sign if signals.newest[f] > rule.bound else 0


@njit(cache=True, nogil=True)
def _height(x, values, weights):  # type: ignore[no-untyped-def]
    """The sum of the weights of all values not above x."""
    total = 0
    for i in range(len(values)):
        total += weights[i] if values[i] <= x else 0
    return total


@njit(cache=True, nogil=True)
def _slide(x, place, turning, values, weights, heights):  # type: ignore[no-untyped-def]
    """x takes the place of the oldest value, and the value at `turning` becomes one of the older ones."""
    left, turned = values[place], values[turning]
    older, newer = weights[place], weights[turning]
    values[place], weights[place], weights[turning] = x, newer, older
    for i in range(len(values)):
        v = values[i]
        entered, gone = newer if v >= x else 0, older if v >= left else 0
        heights[i] += entered - gone + (older - newer if v >= turned else 0)
    heights[place] = _height(x, values, weights)


@njit(cache=True, nogil=True)
def _onset(values, positions, seen, sign):  # type: ignore[no-untyped-def]
    """The likeliest change of the ranks in a window, and the ends of its set; positions."""
    size = len(values)
    n = min(size, RECENT_N)
    ring, ring_at = np.zeros(RECENT_N), np.zeros(RECENT_N, dtype=np.int64)
    for k in range(n):
        place = (seen - n + k) % size
        for i in range(size):
            ring[k] += (1.0 if values[i] < values[place] else 0.0) + (0.5 if values[i] == values[place] else 0.0)
        ring_at[k] = positions[place]
    onset, earliest, latest, _, _ = locate(ring, ring_at, n, positions[seen % size], sign)
    return onset, earliest, latest
