"""HDDM_W: a weighted mean of the values after a cut point against one up to it, judged by McDiarmid's inequality.

Weights fall off exponentially with age, which finds gradual changes sooner than HDDM_A and forgets the older part.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit

from detectors._recent import RECENT_N, keep, locate
from detectors.base import DRIFT, WARNING, Direction, Domain, Floats, Ints, direction_sign, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["HDDM_W", "HddmWBank"]

_MEAN, _WEIGHT, _STATISTIC, _THRESHOLD = range(4)
_N, _FIRST, _WARNED = range(3)
# Of each side: the bound at its cut point, mean and squared weights up to it and after it.
_EDGE, _OLD_MEAN, _OLD_WEIGHT, _NEW_MEAN, _NEW_WEIGHT = range(5)


class _Signals(NamedTuple):
    """The newest values of F signals and their positions [F, 256]; their means and counts by the names above.

    `sides` [F, 2, 5] and `cuts` [F, 2] belong to the test for a rise and, on the mirrored signal, for a fall.
    """

    ring: Floats
    ring_at: Ints
    real: Floats
    sides: Floats
    whole: Ints
    cuts: Ints


class _Rule(NamedTuple):
    drift_confidence: float
    warning_confidence: float
    lambda_: float
    direction: int
    least_n: int


class HddmWBank(StreamBank):
    """HDDM_W on F signals, for a rise and a fall of the mean.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    drift_confidence : in (0, 1), the level of one test; smaller means fewer false alarms and more delay
    warning_confidence : in (0, 1]; a warning where the test passes at this level only. Not above `drift_confidence`:
        no warnings
    lambda_ : weight of the newest value, above 0 and below 2 / (1 + ln(1 / drift_confidence)), at and above which no
        stream can pass the test
    direction : alarms for a rise (`up`: worse, where 1 is an error), a fall (`down`) or `both`

    Notes
    -----
    With k = lambda_, a sample's mean is m <- k x + (1 - k) m and its sum of squared weights w <- k² + (1 - k)² w, from
    m = x and w = 1 at its first value. The cut point of a rise is the last value at which m + sqrt(w ln(1/d) / 2) of
    all values fell below its least so far, d = drift_confidence; the values after it are a second sample, and it is a
    drift where the second mean less the first > sqrt((w1 + w2) ln(1/d) / 2). For a fall all signs turn. Both tests have
    a cut point of their own, and restart together. The statistic is that difference, of `both` that of the test nearer
    to its bound, and the threshold that bound; where the cut point is this very value there is nothing to compare, and
    the newest pair is carried on. Both are NaN for the first values, as long as no numbers within [0, 1] could pass.

    A value outside [0, 1] counts as missing: the bound holds for no other. An alarm's `onset` is the likeliest split
    of the newest 256 values; `effect` is the statistic, in units of the signal; `n` the values after the cut point.
    An alarm comes once; the next value is the first of a new start.

    `both` is river's `two_sided_test`, `up` its default and MOA's. w starts at 1 as in the paper and in MOA; river has
    k² + (1 - k)² there, a smaller bound, so that it alarms a few values earlier at times: with that weight put right
    it alarms at the same rows. MOA's test for a fall has no cut point while m less its bound is 0 or below.

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
        lambda_: float = 0.05,
        direction: Direction = "both",
    ) -> None:
        require("drift_confidence", drift_confidence, "a number in (0, 1)", holds=0 < drift_confidence < 1)
        require("warning_confidence", warning_confidence, "a number in (0, 1]", holds=0 < warning_confidence <= 1)
        limit = min(1.0, 2 / (1 - math.log(drift_confidence)))
        require("lambda_", lambda_, f"a number in (0, {limit:.4g}): no more can alarm at this drift_confidence",
                holds=0 < lambda_ < limit)  # fmt: skip
        least_n = _least_n(lambda_, max(drift_confidence, warning_confidence))
        rule = _Rule(drift_confidence, warning_confidence, lambda_, direction_sign(direction), least_n)
        super().__init__(n_signals, rule)

    @staticmethod
    def _empty(n_signals: int, rule: Any) -> _Signals:
        signals = _Signals(
            np.zeros((n_signals, RECENT_N)), np.zeros((n_signals, RECENT_N), dtype=np.int64),
            np.zeros((n_signals, 4)), np.zeros((n_signals, 2, 5)),
            np.zeros((n_signals, 3), dtype=np.int64), np.zeros((n_signals, 2), dtype=np.int64),
        )  # fmt: skip
        for f in range(n_signals):
            _restart(signals.real[f], signals.sides[f], signals.whole[f], signals.cuts[f])
        return signals

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        return int(_fold(block, positions, self._signals, self._rule, statistic, threshold, *buffers))

    def warned(self, signal: int) -> bool:
        """Whether a signal's newest test passed at the warning level."""
        return bool(self._signals.whole[signal, _WARNED])


class HDDM_W(StreamDetector):  # noqa: N801 - the paper's name
    """HDDM_W on one signal, with river's interface; parameters as for `HddmWBank`.

    Examples
    --------
    >>> detector = HDDM_W()
    >>> [i for i in range(2000) if detector.update(float(i >= 1000)).drift_detected]
    [1010]
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(HddmWBank(1, **parameters))


def _least_n(lambda_: float, confidence: float) -> int:
    """Values without which the bound is 1 or more, however they are cut in two."""
    log = -math.log(confidence)
    if log <= 1:  # two samples of one value may do
        return 2
    last, kept = lambda_ / (2 - lambda_), (1 - lambda_) ** 2
    # Both samples of k values have w = last + (1 - last) kept^(k - 1); the bound is below 1 where w log < 1.
    k = 1 + math.log((1 / log - last) / (1 - last)) / math.log(kept)
    return max(2, 2 * math.floor(k))


@njit(cache=True, nogil=True)
def _fold(values, index, signals, rule, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    half_log = 0.5 * np.log(1.0 / rule.drift_confidence)
    warning_part = np.sqrt(np.log(rule.warning_confidence) / np.log(rule.drift_confidence))
    count = 0
    for f in range(values.shape[1]):
        ring, ring_at, sums, counts = signals.ring[f], signals.ring_at[f], signals.real[f], signals.whole[f]
        sides, cuts = signals.sides[f], signals.cuts[f]
        for row in range(values.shape[0]):
            x, status, sign = values[row, f], 0, 0
            if 0.0 <= x <= 1.0:  # false for NaN
                keep(ring, ring_at, counts[_N], x, index[row])
                status, sign = _take(x, index[row], sums, sides, counts, cuts, rule, half_log, warning_part)
            statistic[f, row], threshold[f, row] = sums[_STATISTIC], sums[_THRESHOLD]
            if status:
                onset, earliest, latest, _, _ = locate(ring, ring_at, counts[_N], counts[_FIRST], sign)
                newer = counts[_N] - cuts[0 if sign > 0 else 1]
                whole[count] = (row, f, status, sign, onset, earliest, latest, newer)
                real[count] = (sums[_STATISTIC], sums[_THRESHOLD], sums[_STATISTIC])
                count += 1
            if status == DRIFT:
                _restart(sums, sides, counts, cuts)
    return count


@njit(cache=True, nogil=True)
def _restart(sums, sides, counts, cuts):  # type: ignore[no-untyped-def]
    sums[:], counts[:], cuts[:] = 0.0, 0, 0
    sums[_STATISTIC], sums[_THRESHOLD] = np.nan, np.nan
    for side in range(2):
        sides[side, :] = 0.0
        sides[side, _EDGE] = np.inf


@njit(cache=True, nogil=True)
def _take(x, position, sums, sides, counts, cuts, rule, half_log, warning_part):  # type: ignore[no-untyped-def]
    """Take a value; returns the status of its alarm (0: none) and its direction."""
    n = counts[_N] + 1
    counts[_N] = n
    if n == 1:
        sums[_MEAN], sums[_WEIGHT], counts[_FIRST] = x, 1.0, position
    else:
        sums[_MEAN], sums[_WEIGHT] = _blend(x, sums[_MEAN], sums[_WEIGHT], rule.lambda_)
    slack = np.sqrt(sums[_WEIGHT] * half_log)
    if rule.direction >= 0:
        _extend(x, 1.0, sums, slack, sides[0], n, cuts, 0, rule.lambda_)
    if rule.direction <= 0:
        _extend(x, -1.0, sums, slack, sides[1], n, cuts, 1, rule.lambda_)
    if n < rule.least_n:
        return 0, 0
    sign, gap, weights = _nearer(sides, n, cuts, rule.direction)
    warned = counts[_WARNED]
    counts[_WARNED] = 0
    if weights == 0.0:
        return 0, 0
    bound = np.sqrt(weights * half_log)
    sums[_STATISTIC], sums[_THRESHOLD] = gap, bound
    if gap > bound:
        return DRIFT, sign
    counts[_WARNED] = 1 if gap > warning_part * bound else 0
    return (WARNING if counts[_WARNED] > warned else 0), sign


@njit(cache=True, nogil=True)
def _blend(x, mean, weight, lambda_):  # type: ignore[no-untyped-def]
    """A weighted mean and its sum of squared weights, one value on."""
    kept = 1.0 - lambda_
    return lambda_ * x + kept * mean, lambda_ * lambda_ + kept * kept * weight


@njit(cache=True, nogil=True)
def _extend(x, sign, sums, slack, side, n, cuts, at, lambda_):  # type: ignore[no-untyped-def]
    """Cut here where the mean and its slack are at their least, or take the value into the newer sample."""
    mean = sign * sums[_MEAN]
    if mean + slack < side[_EDGE]:
        side[_EDGE], side[_OLD_MEAN], side[_OLD_WEIGHT], cuts[at] = mean + slack, mean, sums[_WEIGHT], n
    elif n - cuts[at] == 1:
        side[_NEW_MEAN], side[_NEW_WEIGHT] = sign * x, 1.0
    else:
        side[_NEW_MEAN], side[_NEW_WEIGHT] = _blend(sign * x, side[_NEW_MEAN], side[_NEW_WEIGHT], lambda_)


@njit(cache=True, nogil=True)
def _nearer(sides, n, cuts, direction):  # type: ignore[no-untyped-def]
    """The direction whose test comes nearer to its bound, its difference and w1 + w2; 0 where it has no newer value."""
    rise = sides[0, _NEW_MEAN] - sides[0, _OLD_MEAN]
    fall = sides[1, _NEW_MEAN] - sides[1, _OLD_MEAN]
    weights_up = sides[0, _OLD_WEIGHT] + sides[0, _NEW_WEIGHT] if n > cuts[0] else 0.0
    weights_down = sides[1, _OLD_WEIGHT] + sides[1, _NEW_WEIGHT] if n > cuts[1] else 0.0
    if direction == 0:
        # Bounds are as the roots of the weights: compare squares, signs kept.
        up = rise * abs(rise) * weights_down >= fall * abs(fall) * weights_up
        direction = 1 if weights_down == 0.0 or (weights_up > 0.0 and up) else -1
    return (1, rise, weights_up) if direction > 0 else (-1, fall, weights_down)
