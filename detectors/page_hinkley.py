"""Page-Hinkley: a cumulative sum of deviations from the running mean that alarms when it leaves its extremum too far.

It signals a change once and starts anew with the value after the alarm.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numba import njit

from detectors.base import DRIFT, LARGEST, WARNING, Bounds, Direction, Domain, Floats, Ints, direction_sign, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["PageHinkley", "PageHinkleyBank"]

_STATISTIC, _WARNED = 5, 6  # their columns in `_Sums`
# The climb that ends in an alarm may begin while the statistic stands this high by chance.
_BEGUN = 0.5


class _Sums(NamedTuple):
    """Sums of F signals: `real` [F, 7] and `whole` [F, 8], in the order in which `_column` takes them."""

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


class PageHinkleyBank(StreamBank):
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
    rule_type: ClassVar[Any] = _Rule

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
        require("min_instances", min_instances, "1 or more", holds=min_instances >= 1)
        require("delta", delta, "0 or more", holds=0 <= delta < np.inf)
        require("threshold", threshold, "a number above 0", holds=0 < threshold < np.inf)
        require("alpha", alpha, "a number in (0, 1]", holds=0 < alpha <= 1)
        require("warning_ratio", warning_ratio, "a number above 0", holds=warning_ratio > 0)
        if origin not in ("extremum", "zero"):
            raise ValueError(f"origin = {origin!r}; give 'extremum' or 'zero'")
        rule = _Rule(
            min_instances, delta, threshold, alpha, direction_sign(direction), warning_ratio, int(origin == "zero")
        )
        super().__init__(n_signals, rule, bounds=bounds)

    @staticmethod
    def _empty(n_signals: int, rule: _Rule) -> _Sums:
        sums = _Sums(np.zeros((n_signals, 7)), np.zeros((n_signals, 8), dtype=np.int64))
        sums.real[:, _STATISTIC] = np.nan
        return sums

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        return int(
            _fold(block, positions, self._signals, self._rule, self._low, self._high, statistic, threshold, *buffers)
        )

    def warned(self, signal: int) -> bool:
        """Whether a signal's statistic stands in the warning zone."""
        return bool(self._signals.whole[signal, _WARNED])


class PageHinkley(StreamDetector):
    """Page-Hinkley on one signal, with river's interface; parameters as for `PageHinkleyBank`.

    Examples
    --------
    >>> detector = PageHinkley(threshold=10.0)
    >>> found = [i for i in range(2000) if detector.update(float(i >= 1000)).drift_detected]
    >>> found[0]
    1010
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(PageHinkleyBank(1, **parameters))


# The kernels go signal by signal: its sums stay in registers over the block, and of what a value changes only the
# statistic is stored. Every value meets the same operations in the same order wherever the block is cut, and the sums
# cross a cut as the float64 that they are: so the bits do not depend on the cuts.


@njit(cache=True, nogil=True)
def _fold(values, index, sums, rule, low, high, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    count = 0
    for f in range(values.shape[1]):
        count = _column(f, count, values, index, sums, rule, low[f], high[f], statistic, threshold, whole, real)
    return count


@njit(cache=True, nogil=True)
def _column(f, count, values, index, sums, rule, low, high, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    """Fold one signal; returns the number of alarms written so far."""
    mean, up, down, least, most, shown, m2 = _reals(sums.real, f)
    n, at_least, at_most, low_up, low_down, first, warned, pending = _wholes(sums.whole, f)
    limit, begun, zone = rule.threshold, _BEGUN * rule.threshold, rule.warning_ratio * rule.threshold
    for row in range(values.shape[0]):
        x, position = min(max(values[row, f], low), high), index[row]
        if np.isnan(values[row, f]) or abs(x) > LARGEST:
            statistic[f, row], threshold[f, row] = shown, np.nan if np.isnan(shown) else limit
            continue
        if pending or n == 0:
            mean, up, down, least, most, m2 = 0.0, 0.0, 0.0, np.inf, -np.inf, 0.0
            n, first, warned, pending = 0, position, 0, 0
        n += 1
        before = x - mean
        mean += before / n
        deviation = x - mean
        m2 += before * deviation
        up = rule.alpha * up + deviation - rule.delta
        down = rule.alpha * down + deviation + rule.delta
        # Selections, not branches: an extremum comes at random.
        at_least = position if up < least else at_least
        least = min(least, up)
        at_most = position if down > most else at_most
        most = max(most, down)
        climb = up - (0.0 if rule.from_zero else least)
        fall = (0.0 if rule.from_zero else most) - down
        low_up = position if climb <= begun else low_up
        low_down = position if fall <= begun else low_down
        rises = rule.direction > 0 or (rule.direction == 0 and climb >= fall)
        shown = climb if rises else fall
        shown = shown if n >= rule.min_instances else np.nan
        statistic[f, row], threshold[f, row] = shown, np.nan if np.isnan(shown) else limit
        pending = 1 if shown > limit else 0
        fresh = shown > zone and not warned
        warned = 1 if shown > zone and not pending else 0
        if pending or fresh:
            onset, latest = (at_least, low_up) if rises else (at_most, low_down)
            whole[count, :5] = (row, f, DRIFT if pending else WARNING, 1 if rises else -1, onset)
            _write(whole[count], real[count], shown, limit, x - mean, m2, n, first, latest)
            count += 1
    sums.real[f] = (mean, up, down, least, most, shown, m2)
    sums.whole[f] = (n, at_least, at_most, low_up, low_down, first, warned, pending)
    return count


@njit(cache=True, nogil=True)
def _reals(real, f):  # type: ignore[no-untyped-def]
    return real[f, 0], real[f, 1], real[f, 2], real[f, 3], real[f, 4], real[f, 5], real[f, 6]


@njit(cache=True, nogil=True)
def _wholes(whole, f):  # type: ignore[no-untyped-def]
    return whole[f, 0], whole[f, 1], whole[f, 2], whole[f, 3], whole[f, 4], whole[f, 5], whole[f, 6], whole[f, 7]


@njit(cache=True, nogil=True)
def _write(whole, real, shown, limit, gap, m2, n, first, latest):  # type: ignore[no-untyped-def]
    """What an alarm's row says besides its first five columns."""
    onset = whole[4]
    latest = max(onset, latest)
    spread = np.sqrt(m2 / n)
    whole[5:] = (max(first, 2 * onset - latest), latest, n)
    real[:] = (shown, limit, abs(gap) / spread if spread > 0.0 else 0.0)
