"""Control chart of the exponentially weighted moving average of real values, with exact limits from the first value.

Finds small lasting changes sooner than single values do. It restarts with the value after an alarm.
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

__all__ = ["EWMAChart", "EwmaChartBank"]


# Less than this taken from 1 leaves 1; what is smaller still would soon be too small to multiply at full speed.
_FADED = 1e-20


class _Rule(NamedTuple):
    weight: float
    limit: float
    learn_n: int
    exact: int
    direction: int
    warning_ratio: float


class EwmaChartBank(StreamBank):
    """Roberts' chart on F signals.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    weight : the newest value's part in the average (lambda), in (0, 1]; 1 is Shewhart's chart
    limit : limit in standard deviations of the average (L), above 0. 2.962 at weight .2 and 2.814 at .1 (and
        not `exact`) alarm once in about 500 independent normal values whose target and spread are known
    target, spread : the level and its standard deviation (0 or more), numbers or arrays [F]; None or NaN: learned
    learn_n : values that are learned from after each start, 2 or more; none is tested meanwhile
    exact : whether the average's standard deviation is the one after t values,
        sqrt(weight / (2 - weight) (1 - (1 - weight)^2t)), or its limit for large t, which is blunter at a start
    direction : alarms for a rise (`up`), a fall (`down`) or `both`
    warning_ratio : a warning where the statistic passes this part of `limit`; 1 or more: no warnings
    bounds : (low, high), numbers or arrays [F]: values are clipped to them

    Notes
    -----
    The statistic is the average's distance from the target in its own standard deviations (signed for one direction),
    the threshold is `limit`.

    What is learned is the mean and the mean moving range / 1.128, as for single values (Montgomery); absurd values are
    clipped first (at 8 robust spreads), and every later one at 8 spreads, which one value at the default weight still
    turns into an alarm. A spread below 1e-9 of the target counts as that, so a constant signal is quiet until it
    differs. Bits have a chart of their own (ECDD), whose spread follows the rate. MOA's EWMAChartDM is that one; MOA's
    GeometricMovingAverageDM averages deviations from a *running* mean against a limit in units of the signal: neither
    is this chart, and their alarm positions are not reproduced.

    An alarm's onset is the likeliest change of the mean within the newest 256 values, `effect` its size in spreads
    of all of them. Cost: O(1) a value in time; 4 kB + 8 `learn_n` bytes a signal.

    References
    ----------
    Roberts (1959), Control chart tests based on geometric moving averages, doi:10.1080/00401706.1959.10489860; Lucas,
    Saccucci (1990), Exponentially weighted moving average control schemes, doi:10.1080/00401706.1990.10484583.

    Examples
    --------
    >>> bank = EwmaChartBank(1, target=0.0, spread=1.0)
    >>> values = np.repeat([0.0, 2.0], [50, 10])[:, None]
    >>> [alarm.row for alarm in bank.update_many(values, np.arange(60)).alarms]
    [53, 56, 59]
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"unit", "real"})
    rule_type: ClassVar[Any] = _Rule

    def __init__(  # sizes: the chart's two constants, the level and the form of its limits each have their number
        self,
        n_signals: int,
        *,
        weight: float = 0.2,
        limit: float = 2.962,
        target: Any = None,
        spread: Any = None,
        learn_n: int = 100,
        exact: bool = True,
        direction: Direction = "both",
        warning_ratio: float = 1.0,
        bounds: Bounds = None,
    ) -> None:
        require("n_signals", n_signals, "1 or more", holds=n_signals >= 1)
        require("weight", weight, "a number in (0, 1]", holds=0 < weight <= 1)
        reach = 8.0 * np.sqrt((2.0 - weight) / weight)
        allowed = f"a number above 0 and below {reach:.4g}, which the average of values clipped at 8 spreads can reach"
        require("limit", limit, allowed, holds=0 < limit < reach)
        require("learn_n", learn_n, "2 or more", holds=learn_n >= 2)
        require("warning_ratio", warning_ratio, "a number above 0", holds=warning_ratio > 0)
        known = per_signal("target", target, n_signals), per_signal("spread", spread, n_signals, least=0.0)
        learns = bool(np.isnan(known).any())
        rule = _Rule(weight, limit, learn_n if learns else 0, int(exact), direction_sign(direction), warning_ratio)
        super().__init__(n_signals, rule, bounds=bounds)
        give(self._signals, *known)

    @staticmethod
    def _empty(n_signals: int, rule: _Rule) -> ChartSignals:
        return chart_signals(n_signals, rule.learn_n)

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        outputs = statistic, threshold, *buffers
        return int(_fold(block, positions, self._signals, self._rule, self._low, self._high, *outputs))

    def warned(self, signal: int) -> bool:
        """Whether a signal's average lies in the warning zone."""
        return bool(self._signals.whole[signal, 2])


class EWMAChart(StreamDetector):
    """Roberts' chart on one signal, with river's interface; parameters as for `EwmaChartBank`.

    Examples
    --------
    >>> chart = EWMAChart(target=0.0, spread=1.0)
    >>> found = [i for i in range(100) if chart.update(1.5 * (i >= 50)).drift_detected]
    >>> found[0]
    54
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(EwmaChartBank(1, **parameters))


@njit(cache=True, nogil=True)
def _fold(values, index, signals, rule, low, high, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    count = 0
    for f in range(values.shape[1]):
        count = _fold_signal(values, index, f, signals, rule, low[f], high[f], statistic, threshold, count, whole, real)
    return count


@njit(cache=True, nogil=True)
def _fold_signal(values, index, f, signals, rule, low, high, statistic, threshold, count, whole, real):  # type: ignore[no-untyped-def]
    ring, ring_at, given = signals.ring[f], signals.ring_at[f], signals.given[f]
    # `fade` is (1 - weight)^2t: what the exact variance still lacks of its limit.
    target, spread, edge, shown, average, fade = signals.real[f]
    seen, began, warned, pending = signals.whole[f]
    learn_n = rule.learn_n if np.isnan(given[0]) or np.isnan(given[1]) else 0
    left, most = (1.0 - rule.weight) * (1.0 - rule.weight), rule.weight / (2.0 - rule.weight)
    deviation = np.sqrt(most * (1.0 - fade))
    for row in range(values.shape[0]):
        x, status, sign = min(max(values[row, f], low), high), 0, 0
        if np.isnan(values[row, f]) or abs(x) > LARGEST:
            statistic[f, row] = shown
            threshold[f, row] = np.nan if np.isnan(shown) else rule.limit
            continue
        if pending or seen == 0:
            seen, began, warned, pending, shown, average = 0, index[row], 0, 0, np.nan, 0.0
            fade, deviation = (1.0 if rule.exact else 0.0), np.sqrt(most)
            target, spread = given[0], floored(given[0], given[1])
            edge = edge_of(target, spread) if learn_n == 0 else np.inf
        keep(ring, ring_at, seen, min(max(x, target - edge), target + edge) if seen >= learn_n else x, index[row])
        seen += 1
        if seen <= learn_n:
            signals.first[f, seen - 1] = x
            if seen == learn_n:
                target, spread, edge = settle(signals.first[f], given, True, ring, seen)
        else:
            average += rule.weight * (standardised(x, target, spread) - average)
            if fade > 0.0:
                fade = fade * left if fade > _FADED else 0.0
                deviation = np.sqrt(most * (1.0 - fade))
            up = average / deviation
            sign = rule.direction or (1 if up >= 0.0 else -1)
            shown = sign * up
            status, warned = judge(shown, rule.limit, rule.warning_ratio * rule.limit, warned)
            pending = 1 if status == DRIFT else 0
        if status:
            write(whole[count], real[count], row, f, status, sign, shown, rule.limit, ring, ring_at, seen, began)
            count += 1
        statistic[f, row] = shown
        threshold[f, row] = np.nan if np.isnan(shown) else rule.limit
    signals.real[f] = (target, spread, edge, shown, average, fade)
    signals.whole[f] = (seen, began, warned, pending)
    return count
