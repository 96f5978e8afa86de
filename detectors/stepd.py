"""STEPD: the error rate of the newest values against that of all older ones, by the test of equal proportions.

Fed with errors (1 = error); for the correct answers that MOA's documentation asks for, the statistic is the same.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit

from detectors._recent import RECENT_N, keep, locate
from detectors.base import DRIFT, WARNING, Direction, Domain, Floats, Ints, direction_sign, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["STEPD", "StepdBank"]

_OLD, _NEW, _STATISTIC, _THRESHOLD = range(4)
_N, _FIRST, _WARNED = range(3)


class _Signals(NamedTuple):
    """The newest values of F signals [F, 256] with their positions, the window [F, window_n], sums and counts."""

    ring: Floats
    ring_at: Ints
    window: Floats
    real: Floats
    whole: Ints


class _Rule(NamedTuple):
    window_n: int
    alpha_drift: float
    alpha_warning: float
    direction: int
    drift_z: float
    warning_z: float


class StepdBank(StreamBank):
    """STEPD on F signals, for a rise and a fall of the rate.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    window_n : newest values that are compared with all older ones since the restart, 2 or more
    alpha_drift, alpha_warning : in (0, 1), levels of one test; `alpha_warning` not above `alpha_drift`: no warnings
    direction : alarms for a rise (`up`: worse, where 1 is an error), a fall (`down`) or `both`

    Notes
    -----
    With rates r of the window_n newest and o of the n_o older values, p of all, and s = 1 / n_o + 1 / window_n, the
    statistic is z = (|r - o| - s / 2) / sqrt(p (1 - p) s), tested from 2 window_n values on. `up` takes r - o in place
    of its absolute value, `down` o - r. The threshold is the normal quantile at 1 - alpha_drift, and at
    1 - alpha_drift / 2 for `both`: alpha is the level of the whole test, not of each side. While all values have been
    the same there is no test, and both are NaN.

    MOA's STEPD is `both`: it takes the absolute value of z itself once more, so that rates whose difference is within
    the continuity correction s / 2 alarm too where p is near 0 or 1; ours has no such alarm. Errors in place of correct
    answers change r - o in its sign only, which neither notices.

    A value outside [0, 1] counts as missing. An alarm's `onset` is the likeliest split of the newest 256 values;
    `effect` is |r - o|, `n` is window_n. An alarm comes once; the next value is the first of a new start.

    Cost: O(1) a value, one square root; a scan of 256 values at an alarm or warning. Memory: 4 kB and 8 window_n bytes
    a signal.

    References
    ----------
    Nishida, Yamauchi (2007), Detecting concept drift using statistical testing, doi:10.1007/978-3-540-75488-6_27
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"bits"})
    rule_type = _Rule

    def __init__(
        self,
        n_signals: int,
        *,
        window_n: int = 30,
        alpha_drift: float = 0.003,
        alpha_warning: float = 0.05,
        direction: Direction = "both",
    ) -> None:
        require("window_n", window_n, "2 or more", holds=window_n >= 2)
        require("alpha_drift", alpha_drift, "a number in (0, 1)", holds=0 < alpha_drift < 1)
        require("alpha_warning", alpha_warning, "a number in (0, 1)", holds=0 < alpha_warning < 1)
        sign = direction_sign(direction)
        # The lower tail: 1 - alpha would round away a small alpha.
        drift_z, warning_z = (
            -NormalDist().inv_cdf(alpha if sign else alpha / 2) for alpha in (alpha_drift, alpha_warning)
        )
        super().__init__(n_signals, _Rule(window_n, alpha_drift, alpha_warning, sign, drift_z, warning_z))

    @staticmethod
    def _empty(n_signals: int, rule: _Rule) -> _Signals:
        signals = _Signals(
            np.zeros((n_signals, RECENT_N)), np.zeros((n_signals, RECENT_N), dtype=np.int64),
            np.zeros((n_signals, rule.window_n)), np.zeros((n_signals, 4)), np.zeros((n_signals, 3), dtype=np.int64),
        )  # fmt: skip
        signals.real[:, _STATISTIC:] = np.nan
        return signals

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        return int(_fold(block, positions, self._signals, self._rule, statistic, threshold, *buffers))

    def warned(self, signal: int) -> bool:
        """Whether a signal's newest test passed at the warning level."""
        return bool(self._signals.whole[signal, _WARNED])


class STEPD(StreamDetector):
    """STEPD on one signal, with river's interface; parameters as for `StepdBank`.

    Examples
    --------
    >>> detector = STEPD()
    >>> [i for i in range(2000) if detector.update(float(i % 5 == 0 or i >= 1000)).drift_detected]
    [1009]
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(StepdBank(1, **parameters))


@njit(cache=True, nogil=True)
def _fold(values, index, signals, rule, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    count = 0
    for f in range(values.shape[1]):
        ring, ring_at, sums, counts = signals.ring[f], signals.ring_at[f], signals.real[f], signals.whole[f]
        for row in range(values.shape[0]):
            x, status, sign = values[row, f], 0, 0
            if 0.0 <= x <= 1.0:  # false for NaN
                keep(ring, ring_at, counts[_N], x, index[row])
                status, sign = _take(x, index[row], signals.window[f], sums, counts, rule)
            statistic[f, row], threshold[f, row] = sums[_STATISTIC], sums[_THRESHOLD]
            if status:
                onset, earliest, latest, _, _ = locate(ring, ring_at, counts[_N], counts[_FIRST], sign)
                older = counts[_N] - rule.window_n
                effect = abs(sums[_NEW] / rule.window_n - sums[_OLD] / older)
                whole[count] = (row, f, status, sign, onset, earliest, latest, rule.window_n)
                real[count] = (sums[_STATISTIC], sums[_THRESHOLD], effect)
                count += 1
            if status == DRIFT:
                sums[:], counts[:] = 0.0, 0
                sums[_STATISTIC:] = np.nan
    return count


@njit(cache=True, nogil=True)
def _take(x, position, window, sums, counts, rule):  # type: ignore[no-untyped-def]
    """Take a value; returns the status of its alarm (0: none) and its direction."""
    if counts[_N] == 0:
        counts[_FIRST] = position
    place = counts[_N] % rule.window_n
    if counts[_N] >= rule.window_n:
        sums[_OLD] += window[place]
        sums[_NEW] -= window[place]
    window[place] = x
    sums[_NEW] += x
    counts[_N] += 1
    older = counts[_N] - rule.window_n
    share = (sums[_OLD] + sums[_NEW]) / counts[_N]
    if older < rule.window_n or share * (1.0 - share) <= 0.0:
        return 0, 0
    scale = 1.0 / older + 1.0 / rule.window_n
    gap = sums[_NEW] / rule.window_n - sums[_OLD] / older
    sign = rule.direction or (1 if gap >= 0.0 else -1)
    z = (sign * gap - 0.5 * scale) / np.sqrt(share * (1.0 - share) * scale)
    sums[_STATISTIC], sums[_THRESHOLD] = z, rule.drift_z
    if z > rule.drift_z:
        counts[_WARNED] = 0
        return DRIFT, sign
    fresh = not counts[_WARNED]
    counts[_WARNED] = 1 if z > rule.warning_z else 0
    return (WARNING if counts[_WARNED] and fresh else 0), sign
