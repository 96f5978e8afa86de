"""E-detector: bets against "the mean is at most m", begun at every value; it alarms when they are worth the promise.

Its false alarms are bounded without any model of the values, but only while their mean *given the past* keeps to the
bound: for dependent values feed block means (`detectors.gapped_blocks`).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numba import njit

from detectors._rate_law import rate_limit
from detectors._recent import RECENT_N, keep, locate
from detectors.base import DRIFT, Direction, Domain, Floats, Ints, direction_sign, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["EDetector", "EDetectorBank"]

_SEEN, _FIRST, _PENDING = range(3)
# The boldest bet stakes this part of what may be lost; at 1 a single value could cost everything.
_BOLDEST = 0.95
# An alarm's effect is above 0 by contract, also where the newest values happen to average to the bound.
_LEAST_EFFECT = 1e-9


class _Rule(NamedTuple):
    run_length: float
    direction: int
    cusum: int
    n_bets: int
    smallest_change: float
    min_instances: int


class _Signals(NamedTuple):
    """`worth` [F, sides, bets]: the e-detectors of single bets; `stakes`, `rates` [F, sides, bets]: a value x that is
    mirrored for `down` multiplies by 1 - stake + rate x; `means` [F, sides]: bounds, mirrored too; `real` [F, 1]: the
    newest statistic; `whole` [F, 3]: by the names above; `ring`, `ring_at` [F, 256]: the newest values."""

    worth: Floats
    stakes: Floats
    rates: Floats
    means: Floats
    real: Floats
    whole: Ints
    ring: Floats
    ring_at: Ints


class EDetectorBank(StreamBank):
    """E-detectors of a mean within [0, 1], on F signals.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    mean_at_most : number or array [F] in (0, 1], needed for `up` and `both`: the mean before a change is at most this;
        at 1 that side never alarms
    mean_at_least : number or array [F] in [0, 1), needed for `down` and `both`: it is at least this; at 0 that side
        never alarms
    run_length : in [2, 1e100]: the promised mean number of values between false alarms; the threshold is its log
    form : `sr` sums over all possible starts of the change (Shiryaev-Roberts), `cusum` takes the best start
    direction : alarms for a mean above `mean_at_most` (`up`), below `mean_at_least` (`down`) or `both`
    n_bets : bets in the mixture, 1 or more
    smallest_change : above 0: the most careful bet is the best one for a mean so many spreads sqrt(m (1 - m)) past
        the bound m; smaller changes are found too, but later than they could be
    min_instances : no statistic and no alarm before so many values since the (re)start, 1 or more

    Notes
    -----
    **The promise.** Between (re)start and false alarm lie `run_length` values or more on average, if the values lie
    within [0, 1] and the mean of each *given all before it* is at most `mean_at_most` (at least `mean_at_least`):
    independent or not, with means that wander below the bound, of any distribution. It is not robust to dependence
    beyond that. With the *marginal* mean as the bound and a promise of 100,000, a trial found run lengths of 118,902
    for independent bits, 9,846 for a lag-1 correlation of .2, 929 for .5 and 250 for .8; this bank's, for a rate of .2,
    are about 138,000, 7,100, 490 and 100. For such signals feed the means of blocks with gaps (`GappedBlocks`: blocks
    of 50, gaps of 10; `run_length` then counts blocks), and call the promise estimated. A bound that comes from data
    must be an upper confidence limit, not the sample's mean. `cusum` keeps the promise with much to spare (10 times at
    1,000), and is slower to find a change.

    **The bets.** A value x multiplies the worth of a bet by 1 + b (x / m - 1), b in (0, 1): on average at most 1 under
    the promise's condition. It is the likelihood ratio of a rate m + b (1 - m) against m where values are bits. The
    paper's other baseline, exp(lambda (x - m) - psi(lambda)), is a lower bound of such products and slower. `sr` sets
    worth = (1 + worth) factor, `cusum` worth = max(1, worth) factor; the e-detector is the bets' mean worth. The grid
    follows the paper's: informations KL(m + b (1 - m) | m) in geometric progression, from that of `smallest_change` up
    to b = .95, with equal weights. Unlike the paper the number of bets is fixed and not solved for from `run_length`.

    **Two sides.** `both` runs one e-detector a side, each with the threshold log(2 run_length): their mean is an
    e-detector too, so the promise holds for the pair. The statistic is the larger one. Both restart after an alarm.

    The statistic is the log of the e-detector. Worths stay between 0 and about `n_bets run_length / m`, since an alarm
    ends them: plain float64, no logs but the statistic's. A value outside [0, 1] counts as missing. Waiting for
    `min_instances` only lengthens runs. An alarm's onset is the likeliest change of mean among the newest 256 values
    since the restart, with its 95 % likelihood-ratio set; `effect` is the distance of the mean after it from the bound
    in spreads sqrt(m (1 - m)); `n` counts values after it. Detectors of this kind have no warning zone.

    Cost: O(n_bets) a value and side; memory 24 n_bets bytes a side, and 4 KiB for the newest values.

    References
    ----------
    Shin, Ramdas, Rinaldo (2023), E-detectors: a nonparametric framework for sequential change detection,
    doi:10.51387/23-NEJSDS51

    Examples
    --------
    >>> import numpy as np
    >>> bits = np.arange(3000)[:, None] % 10 < np.repeat([1, 4], 1500)[:, None]
    >>> bank = EDetectorBank(1, mean_at_most=0.15)
    >>> bank.update_many(bits, np.arange(3000)).alarms[0].onset
    1500
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"bits", "unit"})
    rule_type: ClassVar[Any] = _Rule

    def __init__(  # sizes: the bound, the promise and the grid, each with its own name
        self,
        n_signals: int,
        *,
        mean_at_most: Any = None,
        mean_at_least: Any = None,
        run_length: float = 100_000.0,
        form: Literal["sr", "cusum"] = "sr",
        direction: Direction = "up",
        n_bets: int = 12,
        smallest_change: float = 0.1,
        min_instances: int = 10,
    ) -> None:
        require("run_length", run_length, "a number in [2, 1e100]", holds=2 <= run_length <= 1e100)
        require("n_bets", n_bets, "1 or more", holds=n_bets >= 1)
        require("smallest_change", smallest_change, "a number above 0", holds=0 < smallest_change < np.inf)
        require("min_instances", min_instances, "1 or more", holds=min_instances >= 1)
        if form not in ("sr", "cusum"):
            raise ValueError(f"form = {form!r}; give 'sr' or 'cusum'")
        sign = direction_sign(direction)
        rule = _Rule(float(run_length), sign, int(form == "cusum"), n_bets, float(smallest_change), min_instances)
        super().__init__(n_signals, rule)
        for side, up in enumerate(_sides(sign)):
            given = mean_at_most if up else mean_at_least
            mean = _bound("mean_at_most" if up else "mean_at_least", given, n_signals, up=up)
            stakes = _stakes(mean, n_bets, smallest_change)
            self._signals.means[:, side] = mean
            self._signals.stakes[:, side] = stakes
            # No mean lies beyond a bound of 1: that side loses its stake always, or the sum would grow by 1 a value.
            self._signals.rates[:, side] = np.where(mean[:, None] < 1.0, stakes / mean[:, None], 0.0)
        if sign == 0 and (self._signals.means.sum(axis=1) < 1.0).any():
            raise ValueError("mean_at_least lies above mean_at_most; give mean_at_least <= mean_at_most")

    @classmethod
    def from_counts(cls, k: Any, n: Any, *, confidence: float = 0.95, **parameters: Any) -> Self:
        """A bank whose bounds are what `k` ones among `n` values of a reference leave possible.

        Each is a one-sided limit of Clopper and Pearson; `both` gives either side half of the doubt.

        Parameters
        ----------
        k, n : ones and values, numbers or arrays [F]; they say how many signals there are. Fractions count as their sum
        confidence : in (0, 1), that the bounds hold
        parameters : of the constructor, but for the bounds
        """
        require("confidence", confidence, "a number in (0, 1)", holds=0 < confidence < 1)
        counts, sizes = np.broadcast_arrays(np.atleast_1d(np.asarray(k, float)), np.atleast_1d(np.asarray(n, float)))
        held = 0.5 + confidence / 2.0 if parameters.get("direction") == "both" else confidence
        most, least = (
            np.array([rate_limit(a, b, held, upper=upper) for a, b in zip(counts, sizes, strict=True)])
            for upper in (True, False)
        )
        return cls(len(counts), mean_at_most=most, mean_at_least=least, **parameters)

    @staticmethod
    def _empty(n_signals: int, rule: _Rule) -> _Signals:
        sides = len(_sides(rule.direction))
        bets = (n_signals, sides, rule.n_bets)
        return _Signals(
            worth=np.zeros(bets),
            stakes=np.zeros(bets),
            rates=np.zeros(bets),
            means=np.zeros((n_signals, sides)),
            real=np.full((n_signals, 1), np.nan),
            whole=np.zeros((n_signals, 3), dtype=np.int64),
            ring=np.zeros((n_signals, RECENT_N)),
            ring_at=np.zeros((n_signals, RECENT_N), dtype=np.int64),
        )

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        limit = self.threshold
        # Turned round it is C-ordered whatever the number of signals: one kernel.
        count: int = _fold(block, positions, self._signals, self._rule, limit, statistic, *buffers)
        threshold[...] = np.where(np.isnan(statistic), np.nan, limit)
        return count

    @property
    def threshold(self) -> float:
        """What the statistic is compared with: log(run_length), with two sides log(2 run_length)."""
        sides = len(_sides(self._rule.direction))
        return float(np.log(sides * self._rule.run_length))

    def warned(self, signal: int) -> bool:
        """False: an e-detector has no warning zone."""
        require("signal", signal, f"0 to {self.n_signals - 1}", holds=0 <= signal < self.n_signals)
        return False


class EDetector(StreamDetector):
    """E-detector of one signal, with river's interface; parameters as for `EDetectorBank`.

    Examples
    --------
    >>> detector = EDetector(mean_at_most=0.2)
    >>> found = [i for i in range(2000) if detector.update(float(i >= 1000)).drift_detected]
    >>> found[0]
    1008
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(EDetectorBank(1, **parameters))


def _sides(sign: int) -> tuple[bool, ...]:
    """Which sides a direction has; True: up."""
    return (True, False) if sign == 0 else (sign > 0,)


def _bound(name: str, given: Any, n_signals: int, *, up: bool) -> Floats:
    """A bound for each signal, as the largest mean of the values, mirrored for `down`."""
    allowed = "in (0, 1]" if up else "in [0, 1)"
    if given is None:
        raise ValueError(f"{name} = None; give a number or an array [{n_signals}] {allowed} for this direction")
    means = np.array(np.broadcast_to(np.asarray(given, dtype=np.float64), (n_signals,)))
    mirrored = means if up else 1.0 - means
    fits = (mirrored > 0.0) & (mirrored <= 1.0)
    if not fits.all():
        at = int(np.argmin(fits))
        raise ValueError(f"{name} of signal {at} = {means[at]}; give a number {allowed}")
    return mirrored


def _stakes(mean: Floats, n_bets: int, smallest_change: float) -> Floats:
    """The bets b [F, n_bets], whose informations about bits of rate m + b (1 - m) are in geometric progression."""
    # Where the bound is 1 no value is evidence and any bet does.
    m = np.minimum(mean, 1.0 - 1e-12)[:, None]
    careful = np.minimum(smallest_change * np.sqrt(m / (1.0 - m)), _BOLDEST)
    lowest, highest = np.log(_information(careful, m)), np.log(_information(np.full_like(m, _BOLDEST), m))
    steps = np.arange(n_bets) / max(n_bets - 1, 1)
    wanted = lowest + (highest - lowest) * steps
    low, high = np.broadcast_to(careful, wanted.shape), np.full_like(wanted, _BOLDEST)
    for _ in range(60):
        middle = (low + high) / 2.0
        above = np.log(_information(middle, m)) > wanted
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.ascontiguousarray((low + high) / 2.0)


def _information(b: Floats, m: Floats) -> Floats:
    """Mean log growth of a bet b on bits whose rate is the one that it bets on: KL(m + b (1 - m) | m)."""
    after = m + b * (1.0 - m)
    # (1 - after) / (1 - m) is 1 - b, and after / m - 1 is b (1 - m) / m: no cancellation for small bets.
    both: Floats = after * np.log1p(b * (1.0 - m) / m) + (1.0 - after) * np.log1p(-b)
    # A lower bound (half of the leading term, m at 1), for where rounding eats the difference of the two terms.
    return np.maximum(both, 0.25 * b * b * (1.0 - m))


@njit(cache=True, nogil=True)
def _fold(values, index, signals, rule, limit, statistic, whole, real):  # type: ignore[no-untyped-def]
    count = 0
    for f in range(values.shape[1]):
        counts, newest = signals.whole[f], signals.real[f]
        for row in range(values.shape[0]):
            x = values[row, f]
            # NaN fails both comparisons.
            inside = x >= 0.0 and x <= 1.0
            side = _take(x, index[row], f, signals, rule) if inside else 0
            if inside and counts[_SEEN] >= rule.min_instances and newest[0] > limit:
                _write(row, f, side, signals, rule, limit, whole[count], real[count])
                counts[_PENDING] = 1
                count += 1
            statistic[f, row] = newest[0] if counts[_SEEN] >= rule.min_instances else np.nan
    return count


@njit(cache=True, nogil=True)
def _take(x, position, f, signals, rule):  # type: ignore[no-untyped-def]
    """Take a value; returns the side whose e-detector is the larger one."""
    counts = signals.whole[f]
    if counts[_PENDING] or counts[_SEEN] == 0:
        counts[:] = 0
        counts[_FIRST] = position
        signals.worth[f] = 0.0
    keep(signals.ring[f], signals.ring_at[f], counts[_SEEN], x, position)
    counts[_SEEN] += 1
    best, larger = 0, -1.0
    for side in range(signals.worth.shape[1]):
        up = rule.direction > 0 or (rule.direction == 0 and side == 0)
        total = _bet(
            signals.worth[f, side], signals.stakes[f, side], signals.rates[f, side], x if up else 1.0 - x, rule.cusum
        )
        if total > larger:
            best, larger = side, total
    signals.real[f, 0] = np.log(larger / signals.worth.shape[2])
    return best


@njit(cache=True, nogil=True)
def _bet(worth, stakes, rates, x, cusum):  # type: ignore[no-untyped-def]
    """Multiply each bet's worth by what it makes of x; returns the sum."""
    total = 0.0
    for k in range(worth.shape[0]):
        before = max(worth[k], 1.0) if cusum else worth[k] + 1.0
        worth[k] = before * (1.0 - stakes[k] + rates[k] * x)
        total += worth[k]
    return total


@njit(cache=True, nogil=True)
def _write(row, f, side, signals, rule, limit, whole, real):  # type: ignore[no-untyped-def]
    up = rule.direction > 0 or (rule.direction == 0 and side == 0)
    sign = 1 if up else -1
    counts, ring = signals.whole[f], signals.ring[f]
    onset, low, high, _, newer = locate(ring, signals.ring_at[f], counts[_SEEN], counts[_FIRST], sign)
    total = 0.0
    for k in range(counts[_SEEN] - newer, counts[_SEEN]):
        total += ring[k & (RECENT_N - 1)]
    mean = signals.means[f, side]
    excess = (total / newer if up else 1.0 - total / newer) - mean
    effect = max(abs(excess) / np.sqrt(max(mean * (1.0 - mean), _LEAST_EFFECT)), _LEAST_EFFECT)
    whole[:] = (row, f, DRIFT, sign, onset, low, high, newer)
    real[:] = (signals.real[f, 0], limit, effect)
