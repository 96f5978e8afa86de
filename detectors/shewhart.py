"""Shewhart's chart of single values: an alarm where one lies more than `k` spreads from the target.

The chart for large changes, found at once; a run rule adds smaller ones. It restarts with the value after an alarm.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit

from detectors._recent import keep
from detectors._standard import (
    ChartSignals,
    chart_signals,
    edge_of,
    floored,
    give,
    judge,
    per_signal,
    settle,
    standardised,
    write,
)
from detectors.base import DRIFT, LARGEST, Bounds, Direction, Domain, Floats, Ints, direction_sign, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["Shewhart", "ShewhartBank"]


class _Rule(NamedTuple):
    k: float
    learn_n: int
    run_n: int
    run_k: float
    direction: int
    warning_ratio: float


class ShewhartBank(StreamBank):
    """Shewhart's individuals chart on F signals.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    k : limit in spreads, above 0 and below 8; 3 alarms once in 370 independent normal values whose target and spread
        are known
    target, spread : the level and its standard deviation (0 or more), numbers or arrays [F]; None or NaN: learned
    learn_n : values that are learned from after each start, 2 or more; none is tested meanwhile
    run_n : also an alarm where so many values in a row lie beyond `run_k` spreads on one side; 0: no such rule, else
        2 or more. 8 with `run_k` 0 is the Western Electric rule
    run_k : see `run_n`; 0 or more
    direction : alarms for a rise (`up`), a fall (`down`) or `both`
    warning_ratio : a warning where the statistic passes this part of `k`; 2/3 gives the textbook's two-sigma limits;
        1 or more: no warnings
    bounds : (low, high), numbers or arrays [F]: values are clipped to them

    Notes
    -----
    The statistic is the distance from the target in spreads (signed for one direction); where a run rule stands, the
    run's length times k / (run_n - 1/2) if that is larger: the threshold is `k` for both.

    As in the textbook (Montgomery), what is learned is the mean and the mean moving range / 1.128. Here absurd values
    are clipped first (at 8 robust spreads), and every later one at 8 spreads. A spread below 1e-9 of the target counts
    as that, so a constant signal is quiet until it differs. Learned limits alarm more often than known ones: 100
    values leave the spread uncertain by 8 %. The range of neighbours understates the spread of dependent values and
    of bits: for those, give `spread`.

    An alarm's onset is the likeliest change of the mean within the newest 256 values, `effect` its size in spreads
    of all of them. Cost: O(1) a value in time; 4 kB + 8 `learn_n` bytes a signal.

    References
    ----------
    Shewhart (1931), Economic control of quality of manufactured product; Western Electric (1956), Statistical quality
    control handbook; Montgomery (2013), Introduction to statistical quality control, section 6.4.

    Examples
    --------
    >>> bank = ShewhartBank(1, target=10.0, spread=2.0)
    >>> [alarm.row for alarm in bank.update_many(np.array([[10.0], [15.9], [16.1]]), np.arange(3)).alarms]
    [2]
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"unit", "real"})
    rule_type: ClassVar[Any] = _Rule

    def __init__(  # sizes: the limits, the level and the two rules each have their number
        self,
        n_signals: int,
        *,
        k: float = 3.0,
        target: Any = None,
        spread: Any = None,
        learn_n: int = 100,
        run_n: int = 0,
        run_k: float = 0.0,
        direction: Direction = "both",
        warning_ratio: float = 1.0,
        bounds: Bounds = None,
    ) -> None:
        require("n_signals", n_signals, "1 or more", holds=n_signals >= 1)
        require("k", k, "a number above 0 and below 8, where values are clipped", holds=0 < k < 8)
        require("learn_n", learn_n, "2 or more", holds=learn_n >= 2)
        require("run_n", run_n, "0 or 2 or more", holds=run_n == 0 or run_n >= 2)
        require("run_k", run_k, "a number in [0, 8)", holds=0 <= run_k < 8)
        require("warning_ratio", warning_ratio, "a number above 0", holds=warning_ratio > 0)
        known = per_signal("target", target, n_signals), per_signal("spread", spread, n_signals, least=0.0)
        learns = bool(np.isnan(known).any())
        rule = _Rule(k, learn_n if learns else 0, run_n, run_k, direction_sign(direction), warning_ratio)
        super().__init__(n_signals, rule, bounds=bounds)
        give(self._signals, *known)

    @staticmethod
    def _empty(n_signals: int, rule: _Rule) -> ChartSignals:
        return chart_signals(n_signals, rule.learn_n)

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        outputs = statistic, threshold, *buffers
        return int(_fold(block, positions, self._signals, self._rule, self._low, self._high, *outputs))

    def warned(self, signal: int) -> bool:
        """Whether a signal's newest value lies in the warning zone."""
        return bool(self._signals.whole[signal, 2])


class Shewhart(StreamDetector):
    """Shewhart's chart on one signal, with river's interface; parameters as for `ShewhartBank`.

    Examples
    --------
    >>> chart = Shewhart(target=0.0, spread=1.0)
    >>> [x for x in (0.5, -2.9, 1.0, -3.1) if chart.update(x).drift_detected]
    [-3.1]
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(ShewhartBank(1, **parameters))


@njit(cache=True, nogil=True)
def _fold(values, index, signals, rule, low, high, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    count = 0
    for f in range(values.shape[1]):
        count = _fold_signal(values, index, f, signals, rule, low[f], high[f], statistic, threshold, count, whole, real)
    return count


@njit(cache=True, nogil=True)
def _fold_signal(values, index, f, signals, rule, low, high, statistic, threshold, count, whole, real):  # type: ignore[no-untyped-def]
    ring, ring_at, given = signals.ring[f], signals.ring_at[f], signals.given[f]
    target, spread, edge, shown, above, below = signals.real[f]
    seen, began, warned, pending = signals.whole[f]
    learn_n = rule.learn_n if np.isnan(given[0]) or np.isnan(given[1]) else 0
    for row in range(values.shape[0]):
        x, status, sign = min(max(values[row, f], low), high), 0, 0
        if np.isnan(values[row, f]) or abs(x) > LARGEST:
            statistic[f, row] = shown
            threshold[f, row] = np.nan if np.isnan(shown) else rule.k
            continue
        if pending or seen == 0:
            seen, began, warned, pending, shown, above, below = 0, index[row], 0, 0, np.nan, 0.0, 0.0
            target, spread = given[0], floored(given[0], given[1])
            edge = edge_of(target, spread) if learn_n == 0 else np.inf
        keep(ring, ring_at, seen, min(max(x, target - edge), target + edge) if seen >= learn_n else x, index[row])
        seen += 1
        if seen <= learn_n:
            signals.first[f, seen - 1] = x
            if seen == learn_n:
                target, spread, edge = settle(signals.first[f], given, True, ring, seen)
        else:
            z = standardised(x, target, spread)
            above = above + 1.0 if z > rule.run_k else 0.0
            below = below + 1.0 if z < -rule.run_k else 0.0
            sign, shown = _shown(z, above, below, rule)
            status, warned = judge(shown, rule.k, rule.warning_ratio * rule.k, warned)
            pending = 1 if status == DRIFT else 0
        if status:
            write(whole[count], real[count], row, f, status, sign, shown, rule.k, ring, ring_at, seen, began)
            count += 1
        statistic[f, row] = shown
        threshold[f, row] = np.nan if np.isnan(shown) else rule.k
    signals.real[f] = (target, spread, edge, shown, above, below)
    signals.whole[f] = (seen, began, warned, pending)
    return count


@njit(cache=True, nogil=True)
def _shown(z, above, below, rule):  # type: ignore[no-untyped-def]
    """Direction and statistic: the larger of the distance and the run's length on the distance's scale."""
    up, down = z, -z
    if rule.run_n:
        scale = rule.k / (rule.run_n - 0.5)
        up, down = max(up, scale * above), max(down, scale * below)
    sign = rule.direction or (1 if up >= down else -1)
    return sign, (up if sign > 0 else down)
