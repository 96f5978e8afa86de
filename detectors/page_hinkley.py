"""Page-Hinkley: a cumulative sum of deviations from the running mean that alarms when it leaves its extremum too far.

It signals a change once and starts anew with the value after the alarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numba import njit

from detectors.base import (
    DRIFT,
    LARGEST,
    WARNING,
    BlockResult,
    Bounds,
    Direction,
    Domain,
    Floats,
    Ints,
    State,
    alarms_from,
    bound_arrays,
    checked_block,
    direction_name,
    direction_sign,
    require,
    restored,
)

__all__ = ["PageHinkley", "PageHinkleyBank"]

_MEAN, _UP, _DOWN, _LEAST, _MOST, _STATISTIC, _M2 = range(7)
_N, _AT_LEAST, _AT_MOST, _LOW_UP, _LOW_DOWN, _FIRST, _WARNED, _PENDING = range(8)
# The climb that ends in an alarm may begin while the statistic stands this high by chance.
_BEGUN = 0.5


class _Sums(NamedTuple):
    """Sums of F signals, by the names above: `real` [F, 7], `whole` [F, 8]."""

    real: Floats
    whole: Ints


class _Rule(NamedTuple):
    min_instances: int
    delta: float
    threshold: float
    alpha: float
    direction: int
    warning_ratio: float
    from_zero: int


class PageHinkleyBank:
    """Page-Hinkley on F signals, in both directions.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    min_instances : no alarm before so many values, 1 or more
    delta : deviation from the mean that is tolerated, in units of the signal, 0 or more
    threshold : the alarm's lambda, in units of the signal times values, above 0
    alpha : forgetting of the cumulative sum, in (0, 1]
    direction : alarms for a rise (`up`), a fall (`down`) or `both`
    warning_ratio : a warning where the statistic passes this part of the threshold; 1 or more: no warnings
    bounds : (low, high), numbers or arrays [F]: values are clipped to them. Without bounds an absurd value stays in
        the running mean until the next alarm; a finite value beyond 1e100 counts as missing
    origin : `extremum` (Page; river): the statistic is the sum's distance from its extremum. `zero` (MOA): it is the
        sum itself, which makes MOA, with direction `up`, slower by how far the sum has sunk

    Notes
    -----
    An alarm's `onset` is the index of the last extremum of the cumulative sum. `onset_high` is the last index at which
    the statistic had not passed half of the threshold, `onset_low` lies as far on the other side: a rule,
    no confidence set. `effect` is the mean since the onset minus the mean before it is unknown here, so it is the
    distance of the alarm's value from the running mean in running standard deviations; `n` counts values since the
    last (re)start. Cost: O(1) a value in time and memory.

    References
    ----------
    Page (1954), Continuous inspection schemes, doi:10.1093/biomet/41.1-2.100
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"bits", "unit", "real"})

    def __init__(  # sizes: the names are those of river and MOA, whose users look for them
        self,
        n_signals: int,
        *,
        min_instances: int = 30,
        delta: float = 0.005,
        threshold: float = 50.0,
        alpha: float = 0.9999,
        direction: Direction = "both",
        warning_ratio: float = 0.5,
        bounds: Bounds = None,
        origin: Literal["extremum", "zero"] = "extremum",
    ) -> None:
        require("n_signals", n_signals, "1 or more", holds=n_signals >= 1)
        require("min_instances", min_instances, "1 or more", holds=min_instances >= 1)
        require("delta", delta, "0 or more", holds=0 <= delta < np.inf)
        require("threshold", threshold, "a number above 0", holds=0 < threshold < np.inf)
        require("alpha", alpha, "a number in (0, 1]", holds=0 < alpha <= 1)
        require("warning_ratio", warning_ratio, "a number above 0", holds=warning_ratio > 0)
        if origin not in ("extremum", "zero"):
            raise ValueError(f"origin = {origin!r}; give 'extremum' or 'zero'")
        self.n_signals = n_signals
        self._rule = _Rule(
            min_instances, delta, threshold, alpha, direction_sign(direction), warning_ratio, int(origin == "zero")
        )
        self._low, self._high = bound_arrays(bounds, n_signals)
        self._sums = _Sums(np.zeros((n_signals, 7)), np.zeros((n_signals, 8), dtype=np.int64))
        self._sums.real[:, _STATISTIC] = np.nan

    def update_many(self, values: Floats, index: Ints) -> BlockResult:
        """Fold rows [n, F] (NaN: that signal skips the row); `index` [n] gives their positions."""
        block, positions = checked_block(values, index, self.n_signals)
        statistic = np.empty_like(block)
        whole, real = np.empty((block.size, 8), dtype=np.int64), np.empty((block.size, 3))
        count = _fold(block, positions, self._sums, self._rule, self._low, self._high, statistic, whole, real)
        threshold = np.where(np.isnan(statistic), np.nan, self._rule.threshold)
        return BlockResult(alarms_from(whole[:count], real[:count]), statistic, threshold)

    def warned(self, signal: int) -> bool:
        """Whether a signal's statistic stands in the warning zone."""
        return bool(self._sums.whole[signal, _WARNED])

    def _arrays(self) -> dict[str, Any]:
        return {**self._sums._asdict(), "low": self._low, "high": self._high}

    def state(self) -> State:
        """Parameters and sums, copied."""
        arrays = {name: array.copy() for name, array in self._arrays().items()}
        return {"n_signals": self.n_signals, **self._rule._asdict(), **arrays}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> PageHinkleyBank:
        """The bank that gave `state`."""
        bank = cls(
            int(state["n_signals"]), min_instances=int(state["min_instances"]), delta=float(state["delta"]),
            threshold=float(state["threshold"]), alpha=float(state["alpha"]),
            direction=direction_name(int(state["direction"])), warning_ratio=float(state["warning_ratio"]),
            origin="zero" if state["from_zero"] else "extremum",
        )  # fmt: skip
        restored(state, bank._arrays())
        return bank

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held; constant."""
        return sum(array.nbytes for array in self._arrays().values())


class PageHinkley:
    """Page-Hinkley on one signal, with river's interface; parameters as for `PageHinkleyBank`.

    Examples
    --------
    >>> detector = PageHinkley(threshold=10.0)
    >>> found = [i for i in range(2000) if detector.update(float(i >= 1000)).drift_detected]
    >>> found[0]
    1010
    """

    def __init__(self, **parameters: Any) -> None:
        self.bank = PageHinkleyBank(1, **parameters)
        self.drift_detected = False
        self._newest = BlockResult([], np.full((1, 1), np.nan), np.full((1, 1), np.nan))
        self._seen = 0

    def update(self, x: float) -> PageHinkley:
        """Take one value; NaN counts as missing."""
        self._newest = self.bank.update_many(np.array([[x]]), np.array([self._seen]))
        self._seen += 1
        self.drift_detected = any(alarm.status == DRIFT for alarm in self._newest.alarms)
        return self

    @property
    def warning_detected(self) -> bool:
        """Whether the statistic stands in the warning zone."""
        return self.bank.warned(0)

    @property
    def statistic(self) -> float:
        """The larger distance of the two sums from their extremum; NaN before `min_instances`."""
        return float(self._newest.statistic[0, 0])

    @property
    def threshold(self) -> float:
        """What `statistic` is compared with."""
        return float(self._newest.threshold[0, 0])


@njit(cache=True, nogil=True)
def _fold(values, index, sums, rule, low, high, statistic, whole, real):  # type: ignore[no-untyped-def]
    count = 0
    for row in range(values.shape[0]):
        for f in range(values.shape[1]):
            x = min(max(values[row, f], low[f]), high[f])
            status, sign = 0, 0
            if not np.isnan(values[row, f]) and abs(x) <= LARGEST:
                status, sign = _take(x, index[row], sums.real[f], sums.whole[f], rule)
            if status:
                _write(row, f, status, sign, x, sums, rule, whole[count], real[count])
                count += 1
            statistic[row, f] = sums.real[f, _STATISTIC]
    return count


@njit(cache=True, nogil=True)
def _take(x, position, real, whole, rule):  # type: ignore[no-untyped-def]
    """Take a value; returns the status of its alarm (0: none) and its direction."""
    if whole[_PENDING] or whole[_N] == 0:
        real[:], whole[:] = 0.0, 0
        real[_LEAST], real[_MOST] = np.inf, -np.inf
        whole[_FIRST] = position
    whole[_N] += 1
    before = x - real[_MEAN]
    real[_MEAN] += before / whole[_N]
    deviation = x - real[_MEAN]
    real[_M2] += before * deviation
    real[_UP] = rule.alpha * real[_UP] + deviation - rule.delta
    real[_DOWN] = rule.alpha * real[_DOWN] + deviation + rule.delta
    if real[_UP] < real[_LEAST]:
        real[_LEAST], whole[_AT_LEAST] = real[_UP], position
    if real[_DOWN] > real[_MOST]:
        real[_MOST], whole[_AT_MOST] = real[_DOWN], position
    up = real[_UP] - (0.0 if rule.from_zero else real[_LEAST])
    down = (0.0 if rule.from_zero else real[_MOST]) - real[_DOWN]
    if up <= _BEGUN * rule.threshold:
        whole[_LOW_UP] = position
    if down <= _BEGUN * rule.threshold:
        whole[_LOW_DOWN] = position
    if whole[_N] < rule.min_instances:
        real[_STATISTIC] = np.nan
        return 0, 0
    sign = rule.direction or (1 if up >= down else -1)
    real[_STATISTIC] = up if sign > 0 else down
    return _judge(real, whole, rule), sign


@njit(cache=True, nogil=True)
def _judge(real, whole, rule):  # type: ignore[no-untyped-def]
    if real[_STATISTIC] > rule.threshold:
        whole[_PENDING], whole[_WARNED] = 1, 0
        return DRIFT
    fresh = not whole[_WARNED]
    whole[_WARNED] = 1 if real[_STATISTIC] > rule.warning_ratio * rule.threshold else 0
    return WARNING if whole[_WARNED] and fresh else 0


@njit(cache=True, nogil=True)
def _write(row, f, status, sign, x, sums, rule, whole, real):  # type: ignore[no-untyped-def]
    counts = sums.whole[f]
    onset = counts[_AT_LEAST] if sign > 0 else counts[_AT_MOST]
    latest = max(onset, counts[_LOW_UP] if sign > 0 else counts[_LOW_DOWN])
    earliest = max(counts[_FIRST], 2 * onset - latest)
    spread = np.sqrt(sums.real[f, _M2] / counts[_N])
    effect = abs(x - sums.real[f, _MEAN]) / spread if spread > 0.0 else 0.0
    whole[:] = (row, f, status, sign, onset, earliest, latest, counts[_N])
    real[:] = (sums.real[f, _STATISTIC], rule.threshold, effect)
