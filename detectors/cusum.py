"""CUSUM: the sum of deviations beyond an allowance, never below 0, that alarms above a threshold.

Deviations are from the running mean in units of the signal (MOA's), or from a target in spreads (the textbook's
tabular chart), given or learned. It restarts with the value after an alarm.
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

__all__ = ["CUSUM", "CusumBank"]


class _Rule(NamedTuple):
    min_instances: int
    delta: float
    threshold: float
    learn_n: int
    direction: int
    warning_ratio: float


class CusumBank(StreamBank):
    """Page's CUSUM on F signals, as MOA's (the default) or as the tabular chart.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    min_instances : from a running mean no test before so many values, 1 or more; a target needs no such wait
    delta : allowance a value (the textbook's k), 0 or more
    threshold : of the sum (h; MOA's lambda), above 0. `delta` and `threshold` are in units of the signal, or, where a
        spread is given or learned, in spreads: two-sided .5 and 4 then alarm once in 168 independent normal values
        whose target and spread are known, .5 and 5 once in 465
    target : the level, a number or array [F]; None or NaN: learned if `learn_n` says so, else the running mean, the
        newest value included
    spread : standard deviation, 0 or more, a number or array [F]; None or NaN: learned if `learn_n` says so, else 1
    learn_n : 0, or from how many values after each start (2 or more) what is not given is learned
    direction : alarms for a rise (`up`, MOA's), a fall (`down`) or `both` (two sums that restart together)
    warning_ratio : a warning where the statistic passes this part of `threshold`; 1 or more: no warnings
    bounds : (low, high), numbers or arrays [F]: values are clipped to them

    Notes
    -----
    The statistic is the sum, of the two the larger, beside `threshold`. Where 1 stands for an error, `up` is worse.

    With a target and a spread, values are clipped at 8 spreads; what is learned is the mean and the standard deviation
    after absurd values are clipped (at 8 robust spreads), and a spread below 1e-9 of the target counts as that, so a
    constant signal is quiet until it differs. Elsewhere there is no such guard, as in MOA: without `bounds` an absurd
    value stays in the running mean until the next alarm, which it brings about itself with `both`; with one direction
    and within the first values it can blind the sum. MOA's `min_instances` counts its own start: it tests one value
    earlier.

    An alarm's onset is the likeliest change of the mean within the newest 256 values, `effect` its size in spreads
    of all of them. Cost: O(1) a value in time; 4 kB + 8 `learn_n` bytes a signal.

    References
    ----------
    Page (1954), Continuous inspection schemes, doi:10.1093/biomet/41.1-2.100; Montgomery (2013), Introduction to
    statistical quality control, section 9.1.

    Examples
    --------
    >>> bank = CusumBank(1, target=10.0, spread=2.0, delta=0.5, threshold=5.0, direction="both")
    >>> values = np.repeat([10.0, 8.0, 6.0], [50, 5, 5])[:, None]
    >>> [(alarm.row, alarm.direction) for alarm in bank.update_many(values, np.arange(60)).alarms]
    [(56, -1)]
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"bits", "unit", "real"})
    rule_type: ClassVar[Any] = _Rule

    def __init__(  # sizes: MOA's names and the textbook's, whose users look for them
        self,
        n_signals: int,
        *,
        min_instances: int = 30,
        delta: float = 0.005,
        threshold: float = 50.0,
        target: Any = None,
        spread: Any = None,
        learn_n: int = 0,
        direction: Direction = "up",
        warning_ratio: float = 1.0,
        bounds: Bounds = None,
    ) -> None:
        require("n_signals", n_signals, "1 or more", holds=n_signals >= 1)
        require("min_instances", min_instances, "1 or more", holds=min_instances >= 1)
        require("delta", delta, "0 or more", holds=0 <= delta < np.inf)
        require("threshold", threshold, "a number above 0", holds=0 < threshold < np.inf)
        require("learn_n", learn_n, "0 or 2 or more", holds=learn_n == 0 or learn_n >= 2)
        require("warning_ratio", warning_ratio, "a number above 0", holds=warning_ratio > 0)
        known = per_signal("target", target, n_signals), per_signal("spread", spread, n_signals, least=0.0)
        scaled = bool((~np.isnan(known)).all(axis=0).any()) or learn_n > 0
        require("delta", delta, "less than 8 spreads, where values are clipped", holds=delta < 8 or not scaled)
        learn_n = learn_n if np.isnan(known).any() else 0
        rule = _Rule(min_instances, delta, threshold, learn_n, direction_sign(direction), warning_ratio)
        super().__init__(n_signals, rule, bounds=bounds)
        give(self._signals, *known)

    @staticmethod
    def _empty(n_signals: int, rule: _Rule) -> ChartSignals:
        return chart_signals(n_signals, rule.learn_n)

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        outputs = statistic, threshold, *buffers
        return int(_fold(block, positions, self._signals, self._rule, self._low, self._high, *outputs))

    def warned(self, signal: int) -> bool:
        """Whether a signal's sum stands in the warning zone."""
        return bool(self._signals.whole[signal, 2])


class CUSUM(StreamDetector):
    """CUSUM on one signal, with river's interface; parameters as for `CusumBank`.

    Examples
    --------
    >>> detector = CUSUM()
    >>> found = [i for i in range(2000) if detector.update(float(i >= 1000)).drift_detected]
    >>> found[0]
    1051
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(CusumBank(1, **parameters))


@njit(cache=True, nogil=True)
def _fold(values, index, signals, rule, low, high, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    count = 0
    for f in range(values.shape[1]):
        count = _fold_signal(values, index, f, signals, rule, low[f], high[f], statistic, threshold, count, whole, real)
    return count


@njit(cache=True, nogil=True)
def _fold_signal(values, index, f, signals, rule, low, high, statistic, threshold, count, whole, real):  # type: ignore[no-untyped-def]
    ring, ring_at, given = signals.ring[f], signals.ring_at[f], signals.given[f]
    target, spread, edge, shown, up, down = signals.real[f]
    seen, began, warned, pending = signals.whole[f]
    learn_n = rule.learn_n if np.isnan(given[0]) or np.isnan(given[1]) else 0
    running = learn_n == 0 and np.isnan(given[0])
    wait = rule.min_instances if running else 0
    scaled = not running and (learn_n > 0 or not np.isnan(given[1]))
    for row in range(values.shape[0]):
        x, status, sign = min(max(values[row, f], low), high), 0, 0
        if np.isnan(values[row, f]) or abs(x) > LARGEST:
            statistic[f, row] = shown
            threshold[f, row] = np.nan if np.isnan(shown) else rule.threshold
            continue
        if pending or seen == 0:
            seen, began, warned, pending, shown, up, down = 0, index[row], 0, 0, np.nan, 0.0, 0.0
            target, spread, edge = _start(given, scaled and learn_n == 0)
        keep(ring, ring_at, seen, min(max(x, target - edge), target + edge), index[row])
        seen += 1
        if seen <= learn_n:
            signals.first[f, seen - 1] = x
            if seen == learn_n:
                target, spread, edge = settle(signals.first[f], given, False, ring, seen)
        else:
            if running:
                target += (x - target) / seen
            z = standardised(x, target, spread) if scaled else (x - target) / spread
            up, down = max(up + z - rule.delta, 0.0), max(down - z - rule.delta, 0.0)
            sign = rule.direction or (1 if up >= down else -1)
            shown = (up if sign > 0 else down) if seen >= wait else np.nan
            status, warned = judge(shown, rule.threshold, rule.warning_ratio * rule.threshold, warned)
            pending = 1 if status == DRIFT else 0
        if status:
            write(whole[count], real[count], row, f, status, sign, shown, rule.threshold, ring, ring_at, seen, began)
            count += 1
        statistic[f, row] = shown
        threshold[f, row] = np.nan if np.isnan(shown) else rule.threshold
    signals.real[f] = (target, spread, edge, shown, up, down)
    signals.whole[f] = (seen, began, warned, pending)
    return count


@njit(cache=True, nogil=True)
def _start(given, bounded):  # type: ignore[no-untyped-def]
    """Target, spread and edge of a fresh signal; what is to be learned has a stand-in until then."""
    target = 0.0 if np.isnan(given[0]) else given[0]
    spread = floored(target, 1.0 if np.isnan(given[1]) else given[1])
    return target, spread, (edge_of(target, spread) if bounded else np.inf)
