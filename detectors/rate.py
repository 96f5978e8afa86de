"""Bernoulli CUSUM: finds a change of a rate, above all of a rare one, against what a reference leaves possible.

For missing values, unseen categories and other things that should hardly happen, even if the reference holds none.
It restarts with the value after an alarm.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numba import njit

from detectors._rate_law import climb_limit, jump_limit, lattice, rate_limit
from detectors._recent import RECENT_N, keep
from detectors._standard import judge, per_signal, write
from detectors.base import DRIFT, Direction, Domain, Floats, Ints, direction_sign, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["Rate", "RateBank"]

# A rarer thing is not told from none within any stream that one would wait for.
_LEAST = 1e-6
# A fall is of no use where even a rate of 0 would be found only after this part of the time to a false alarm.
_USEFUL = 0.1


class _Rule(NamedTuple):
    arl0: float
    min_instances: int
    direction: int
    warning_ratio: float


class _Signals(NamedTuple):
    """`real` [F, 3]: statistic, sums up and down; `whole` [F, 4]: values since the restart, position of the first,
    whether in the warning zone, whether to restart; `plan` [F, 6]: for the rise and the fall, what an event moves the
    sum by, what every value moves it back by, and the limit (infinite: not watched); the newest values."""

    real: Floats
    whole: Ints
    plan: Floats
    ring: Floats
    ring_at: Ints


class RateBank(StreamBank):
    """Reynolds' and Stoumbos' CUSUM of bits on F signals, in both directions.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    p0 : in-control rate that a rise is measured from, a number or array [F] in [1e-6, 1 - 1e-6]; NaN: no rise is
        watched. A reference without any event gives one by `from_counts`
    p1 : the rate to be found, above `p0`, a number or array [F] in (0, 1); None: odds three times those of `p0`
    fall_p0 : in-control rate that a fall is measured from, None: `p0`; NaN: no fall is watched. The rate to be found
        below it is as far in odds as `p1` is above `p0` (three times where there is no `p0`)
    arl0 : values between two false alarms in the mean, at the in-control rates, 10 to 1e9; for `both`, each side has
        twice that, so that together they keep it
    min_instances : no test before so many values after each start, 1 or more
    direction : alarms for a rise (`up`: more events), a fall (`down`) or `both`
    warning_ratio : a warning where the statistic passes this part of the threshold; 1 or more: no warnings

    Notes
    -----
    Values are bits (1: it happened) or fractions in [0, 1]; others count as missing. Each side sums m (x - g), or its
    negative, never below 0. The paper's weight g = log((1 - p0) / (1 - p1)) / log(odds ratio) is rounded to the nearest
    1/m or 1 - 1/m, as the paper does, which moves `p1` by little unless rates lie between .1 and .9. The sum then
    moves by whole numbers, and its mean in-control run length is computed exactly for independent bits, where the
    paper corrects a diffusion; the limit is the least that keeps `arl0`. Fractions of the same mean alarm less often.

    The statistic is the sum over its limit, of two sides the larger; the threshold is 1. A fall whose alarm would come
    later than a tenth of its time to a false alarm, were there no event at all, is not watched; `limits` shows it.

    An alarm's onset is the likeliest change of the mean within the newest 256 values: of rarer events it says little;
    `effect` is its size in spreads of all of them. Cost: O(1) a value in time, 4 kB a signal; a construction
    takes O(1/p0) in time and memory a signal, at most some 20 ms.

    References
    ----------
    Reynolds, Stoumbos (1999), A CUSUM chart for monitoring a proportion when inspecting continuously,
    doi:10.1080/00224065.1999.11979900; Clopper, Pearson (1934), The use of confidence or fiducial limits illustrated
    in the case of the binomial, doi:10.1093/biomet/26.4.404.

    Examples
    --------
    >>> bank = RateBank.from_counts(0, 5000, arl0=1e6)
    >>> missing = (np.arange(2000) >= 1000) & (np.arange(2000) % 10 == 0)
    >>> result = bank.update_many(missing[:, None].astype(float), np.arange(2000))
    >>> 1000 < result.alarms[0].row < 1100, result.alarms[0].direction
    (True, 1)
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"bits", "unit"})
    rule_type: ClassVar[Any] = _Rule

    def __init__(  # sizes: two rates for each of two directions, and what every detector has
        self,
        n_signals: int,
        *,
        p0: Any,
        p1: Any = None,
        fall_p0: Any = None,
        arl0: float = 100_000.0,
        min_instances: int = 1,
        direction: Direction = "both",
        warning_ratio: float = 1.0,
    ) -> None:
        require("n_signals", n_signals, "1 or more", holds=n_signals >= 1)
        require("arl0", arl0, "a number in [10, 1e9]", holds=10 <= arl0 <= 1e9)
        require("min_instances", min_instances, "1 or more", holds=min_instances >= 1)
        require("warning_ratio", warning_ratio, "a number above 0", holds=warning_ratio > 0)
        sign = direction_sign(direction)
        rise = per_signal("p0", p0, n_signals, least=_LEAST, most=1.0 - _LEAST)
        fall = rise if fall_p0 is None else per_signal("fall_p0", fall_p0, n_signals, least=_LEAST, most=1.0 - _LEAST)
        ratios = _odds_ratios(rise, per_signal("p1", p1, n_signals, least=0.0, most=1.0 - _LEAST))
        super().__init__(n_signals, _Rule(arl0, min_instances, sign, warning_ratio))
        for f in range(n_signals):
            least = arl0 if sign else 2.0 * arl0
            self._signals.plan[f, :3] = _plan(rise[f], ratios[f], least) if sign >= 0 else _OFF
            self._signals.plan[f, 3:] = _plan(fall[f], 1.0 / ratios[f], least) if sign <= 0 else _OFF

    @classmethod
    def from_counts(cls, k: Any, n: Any, *, confidence: float = 0.95, **parameters: Any) -> Self:
        """A bank whose in-control rates are what `k` events among `n` values of a reference leave possible.

        A rise is measured from the upper and a fall from the lower one-sided limit of Clopper and Pearson, each held
        with probability `confidence`: so a reference as short as it may be does not bring false alarms about, and
        one without events is of use (0 of 1,000 and 95 %: .003). Where a limit is 1, 0 or nearer to it than 1e-6 can
        tell, that side is not watched, or measured from 1e-6.

        Parameters
        ----------
        k, n : events and values, numbers or arrays [F]; they say how many signals there are
        confidence : in (0, 1)
        parameters : of the constructor, but for the rates in control
        """
        counts, sizes = np.broadcast_arrays(np.atleast_1d(np.asarray(k, float)), np.atleast_1d(np.asarray(n, float)))
        pairs = list(zip(counts.tolist(), sizes.tolist(), strict=True))
        high = np.array([rate_limit(k, n, confidence, upper=True) for k, n in pairs])
        low = np.array([rate_limit(k, n, confidence, upper=False) for k, n in pairs])
        high = np.where(high > 1.0 - _LEAST, np.nan, np.maximum(high, _LEAST))
        low = np.where(low < _LEAST, np.nan, np.minimum(low, 1.0 - _LEAST))
        return cls(len(pairs), p0=high, fall_p0=low, **parameters)

    @staticmethod
    def _empty(n_signals: int, rule: _Rule) -> _Signals:
        signals = _Signals(
            np.zeros((n_signals, 3)),
            np.zeros((n_signals, 4), dtype=np.int64),
            np.zeros((n_signals, 6)),
            np.zeros((n_signals, RECENT_N)),
            np.zeros((n_signals, RECENT_N), dtype=np.int64),
        )
        signals.real[:, 0] = np.nan
        return signals

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        outputs = statistic, threshold, *buffers
        return int(_fold(block, positions, self._signals, self._rule, *outputs))

    def warned(self, signal: int) -> bool:
        """Whether a signal's sum stands in the warning zone."""
        return bool(self._signals.whole[signal, 2])

    @property
    def limits(self) -> tuple[Floats, Floats]:
        """Limits of the sums for a rise and for a fall, one a signal; infinite where that side is not watched."""
        return self._signals.plan[:, 2].copy(), self._signals.plan[:, 5].copy()


class Rate(StreamDetector):
    """The rate detector on one signal, with river's interface; parameters as for `RateBank`.

    Examples
    --------
    >>> detector = Rate(p0=0.01, p1=0.1, direction="up")
    >>> found = [i for i in range(2000) if detector.update(float(i >= 1000)).drift_detected]
    >>> found[0]
    1003
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(RateBank(1, **parameters))


_OFF = (0.0, 0.0, math.inf)


def _odds_ratios(rates: Floats, found: Floats) -> Floats:
    """Odds of the rates to be found over those in control; 3 where either is not given."""
    known = ~np.isnan(rates) & ~np.isnan(found)
    if (found[known] <= rates[known]).any():
        at = int(np.argmax(known & (found <= rates)))
        raise ValueError(f"p1 of signal {at} = {found[at]}; give a rate above p0 = {rates[at]}, or above its limit")
    ratios = np.full(len(rates), 3.0)
    ratios[known] = found[known] / (1.0 - found[known]) * (1.0 - rates[known]) / rates[known]
    return ratios


def _plan(p0: float, ratio: float, arl: float) -> tuple[float, float, float]:
    """For odds `ratio` times those of `p0`: step of an event, step back of every value, and limit of the sum."""
    if np.isnan(p0):
        return _OFF
    gamma = math.log1p(p0 * (ratio - 1.0)) / math.log(ratio)
    m, rare = lattice(gamma, p0)
    # The sum climbs one by one where the likelier outcome moves it up.
    climbs = rare != (ratio > 1.0)
    limit = (climb_limit if climbs else jump_limit)(p0 if rare else 1.0 - p0, m, arl)[0]
    if climbs and rare and limit + 1 > _USEFUL * arl:
        return _OFF
    sign = 1.0 if ratio > 1.0 else -1.0
    return sign * m, sign * (1.0 if rare else m - 1.0), float(limit)


@njit(cache=True, nogil=True)
def _fold(values, index, signals, rule, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    count = 0
    for f in range(values.shape[1]):
        count = _fold_signal(values, index, f, signals, rule, statistic, threshold, count, whole, real)
    return count


@njit(cache=True, nogil=True)
def _fold_signal(values, index, f, signals, rule, statistic, threshold, count, whole, real):  # type: ignore[no-untyped-def]
    ring, ring_at = signals.ring[f], signals.ring_at[f]
    shown, up, down = signals.real[f]
    seen, began, warned, pending = signals.whole[f]
    up_event, up_back, up_limit, down_event, down_back, down_limit = signals.plan[f]
    for row in range(values.shape[0]):
        x, status, sign = values[row, f], 0, 0
        if not 0.0 <= x <= 1.0:
            statistic[f, row] = shown
            threshold[f, row] = np.nan if np.isnan(shown) else 1.0
            continue
        if pending or seen == 0:
            seen, began, warned, pending, shown, up, down = 0, index[row], 0, 0, np.nan, 0.0, 0.0
        keep(ring, ring_at, seen, x, index[row])
        seen += 1
        up = max(up + (up_event * x - up_back), 0.0)
        down = max(down + (down_event * x - down_back), 0.0)
        high, low = up / up_limit, down / down_limit
        sign = rule.direction or (1 if high >= low else -1)
        if seen >= rule.min_instances:
            shown = high if sign > 0 else low
            status, warned = judge(shown, 1.0, rule.warning_ratio, warned)
            pending = 1 if status == DRIFT else 0
        if status:
            write(whole[count], real[count], row, f, status, sign, shown, 1.0, ring, ring_at, seen, began)
            count += 1
        statistic[f, row] = shown
        threshold[f, row] = np.nan if np.isnan(shown) else 1.0
    signals.real[f] = (shown, up, down)
    signals.whole[f] = (seen, began, warned, pending)
    return count
