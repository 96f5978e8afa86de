"""HDDM_A: the mean of all values against the mean up to a cut point, judged by Hoeffding's inequality.

The cut point is where the mean, with its confidence bound, was lowest (for a rise) or highest (for a fall).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit

from detectors._recent import RECENT_N, keep, locate
from detectors.base import DRIFT, WARNING, Direction, Domain, Floats, Ints, direction_sign, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["HDDM_A", "HddmABank"]

_TOTAL, _EDGE_UP, _MEAN_UP, _EDGE_DOWN, _MEAN_DOWN, _STATISTIC, _THRESHOLD = range(7)
_N, _CUT_UP, _CUT_DOWN, _FIRST, _WARNED = range(5)


class _Signals(NamedTuple):
    """The newest values of F signals and their positions [F, 256]; their sums and counts by the names above."""

    ring: Floats
    ring_at: Ints
    real: Floats
    whole: Ints


class _Rule(NamedTuple):
    drift_confidence: float
    warning_confidence: float
    direction: int
    least_n: int


class HddmABank(StreamBank):
    """HDDM_A on F signals, for a rise and a fall of the mean.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    drift_confidence : in (0, 1), the level of one test; smaller means fewer false alarms and more delay
    warning_confidence : in (0, 1]; a warning where the test passes at this level only. Not above `drift_confidence`:
        no warnings
    direction : alarms for a rise (`up`: worse, where 1 is an error), a fall (`down`) or `both`

    Notes
    -----
    After n values of mean z, the cut point of a rise is the last c <= n at which z_c + sqrt(ln(1/d) / (2 c)) was at its
    least, d = drift_confidence; it is a drift where z - z_c > sqrt((n - c) / (2 c n) ln(2/d)). For a fall all signs
    turn. Both tests have a cut point of their own, and restart together. The statistic is z - z_c, of `both` that of
    the test nearer to its bound, and the threshold that bound; where the cut point is this very value there is nothing
    to compare, and the newest pair is carried on. Both are NaN as long as no stream of numbers within [0, 1] could
    pass: for the first 2 ln(2 / confidence) values.

    A value outside [0, 1] counts as missing: the bound holds for no other. An alarm's `onset` is the likeliest split
    of the newest 256 values; `effect` the mean after the cut point less the mean before it, without its sign, in units
    of the signal; `n` the values after the cut point. An alarm comes once; the next value is the first of a new start.

    `both` is river's `two_sided_test`, `up` its default. MOA also restarts where the mean falls, but says so to nobody:
    its alarms are the rises among those of `both`. river alarms where the difference equals the bound, too; that needs
    a bound which floating point represents exactly.

    Cost: O(1) a value, two square roots; a scan of 256 values at an alarm or warning. Memory: 4 kB a signal.

    References
    ----------
    Frías-Blanco et al. (2015), Online and non-parametric drift detection methods based on Hoeffding's bounds,
    doi:10.1109/TKDE.2014.2345382
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"bits", "unit"})
    rule_type = _Rule

    def __init__(
        self,
        n_signals: int,
        *,
        drift_confidence: float = 0.001,
        warning_confidence: float = 0.005,
        direction: Direction = "both",
    ) -> None:
        require("drift_confidence", drift_confidence, "a number in (0, 1)", holds=0 < drift_confidence < 1)
        require("warning_confidence", warning_confidence, "a number in (0, 1]", holds=0 < warning_confidence <= 1)
        # (n - c) / n, the largest difference, passes its bound where c (n - c) / n > ln(2 / confidence) / 2.
        least_n = max(2, math.floor(2 * math.log(2 / max(drift_confidence, warning_confidence))))
        rule = _Rule(drift_confidence, warning_confidence, direction_sign(direction), least_n)
        super().__init__(n_signals, rule)

    @staticmethod
    def _empty(n_signals: int, rule: Any) -> _Signals:
        signals = _Signals(
            np.zeros((n_signals, RECENT_N)), np.zeros((n_signals, RECENT_N), dtype=np.int64),
            np.zeros((n_signals, 7)), np.zeros((n_signals, 5), dtype=np.int64),
        )  # fmt: skip
        for f in range(n_signals):
            _restart(signals.real[f], signals.whole[f])
        return signals

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        return int(_fold(block, positions, self._signals, self._rule, statistic, threshold, *buffers))

    def warned(self, signal: int) -> bool:
        """Whether a signal's newest test passed at the warning level."""
        return bool(self._signals.whole[signal, _WARNED])


class HDDM_A(StreamDetector):  # noqa: N801 - the paper's name
    """HDDM_A on one signal, with river's interface; parameters as for `HddmABank`.

    Examples
    --------
    >>> detector = HDDM_A()
    >>> [i for i in range(2000) if detector.update(float(i >= 1000)).drift_detected]
    [1003]
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(HddmABank(1, **parameters))


@njit(cache=True, nogil=True)
def _fold(values, index, signals, rule, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    logs = (
        0.5 * np.log(1.0 / rule.drift_confidence),
        0.5 * np.log(2.0 / rule.drift_confidence),
        np.sqrt(np.log(2.0 / rule.warning_confidence) / np.log(2.0 / rule.drift_confidence)),
    )
    count = 0
    for f in range(values.shape[1]):
        ring, ring_at, sums, counts = signals.ring[f], signals.ring_at[f], signals.real[f], signals.whole[f]
        for row in range(values.shape[0]):
            x, status, sign = values[row, f], 0, 0
            if 0.0 <= x <= 1.0:  # false for NaN
                keep(ring, ring_at, counts[_N], x, index[row])
                status, sign = _take(x, index[row], sums, counts, rule, logs)
            statistic[f, row], threshold[f, row] = sums[_STATISTIC], sums[_THRESHOLD]
            if status:
                _write(row, f, status, sign, ring, ring_at, sums, counts, whole[count], real[count])
                count += 1
            if status == DRIFT:
                _restart(sums, counts)
    return count


@njit(cache=True, nogil=True)
def _restart(sums, counts):  # type: ignore[no-untyped-def]
    sums[:], counts[:] = 0.0, 0
    sums[_EDGE_UP], sums[_EDGE_DOWN] = np.inf, -np.inf
    sums[_STATISTIC], sums[_THRESHOLD] = np.nan, np.nan


@njit(cache=True, nogil=True)
def _take(x, position, sums, counts, rule, logs):  # type: ignore[no-untyped-def]
    """Take a value; returns the status of its alarm (0: none) and its direction."""
    cut_log, drift_log, warning_part = logs
    n = counts[_N] + 1
    counts[_N] = n
    if n == 1:
        counts[_FIRST] = position
    sums[_TOTAL] += x
    mean = sums[_TOTAL] / n
    slack = np.sqrt(cut_log / n)
    if sums[_EDGE_UP] >= mean + slack:
        sums[_EDGE_UP], sums[_MEAN_UP], counts[_CUT_UP] = mean + slack, mean, n
    if sums[_EDGE_DOWN] <= mean - slack:
        sums[_EDGE_DOWN], sums[_MEAN_DOWN], counts[_CUT_DOWN] = mean - slack, mean, n
    if n < rule.least_n:
        return 0, 0
    sign, gap, scale = _nearer(mean, n, sums, counts, rule.direction)
    warned = counts[_WARNED]
    counts[_WARNED] = 0
    if scale == 0.0:
        return 0, 0
    bound = np.sqrt(scale * drift_log)
    sums[_STATISTIC], sums[_THRESHOLD] = gap, bound
    if gap > bound:
        return DRIFT, sign
    counts[_WARNED] = 1 if gap > warning_part * bound else 0
    return (WARNING if counts[_WARNED] > warned else 0), sign


@njit(cache=True, nogil=True)
def _nearer(mean, n, sums, counts, direction):  # type: ignore[no-untyped-def]
    """The direction whose test comes nearer to its bound, its difference and (n - c) / (c n), which is 0 at a cut."""
    cut_up, cut_down = counts[_CUT_UP], counts[_CUT_DOWN]
    rise, fall = mean - sums[_MEAN_UP], sums[_MEAN_DOWN] - mean
    scale_up = (n - cut_up) / (float(cut_up) * n)
    scale_down = (n - cut_down) / (float(cut_down) * n)
    if direction == 0:
        # Bounds are as the roots of the scales: compare squares, signs kept.
        up = rise * abs(rise) * scale_down >= fall * abs(fall) * scale_up
        direction = 1 if scale_down == 0.0 or (scale_up > 0.0 and up) else -1
    return (1, rise, scale_up) if direction > 0 else (-1, fall, scale_down)


@njit(cache=True, nogil=True)
def _write(row, f, status, sign, ring, ring_at, sums, counts, whole, real):  # type: ignore[no-untyped-def]
    onset, earliest, latest, _, _ = locate(ring, ring_at, counts[_N], counts[_FIRST], sign)
    newer = counts[_N] - (counts[_CUT_UP] if sign > 0 else counts[_CUT_DOWN])
    # The mean of all is the older part's, moved by the newer part's share of the difference.
    effect = sums[_STATISTIC] * counts[_N] / newer
    whole[:] = (row, f, status, sign, onset, earliest, latest, newer)
    real[:] = (sums[_STATISTIC], sums[_THRESHOLD], effect)
