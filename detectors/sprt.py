"""Wald's sequential probability ratio test, begun anew after each acceptance of "no change" until it accepts a change.

Its two error probabilities are those of each test, not of a stream: on an unchanged stream it alarms about once in the
expected length of a test over `alpha`.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, NamedTuple

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

__all__ = ["SPRT", "Law", "SprtBank", "log_odds_ratio"]

Law = Literal["normal", "bernoulli"]


def log_odds_ratio(p0: float, p1: float) -> float:
    """The `shift` of the Bernoulli test of rate `p0` against `p1` (or of the same distance below), both in (0, 1).

    Examples
    --------
    >>> round(log_odds_ratio(0.1, 0.2), 4)
    0.8109
    """
    for name, p in (("p0", p0), ("p1", p1)):
        require(name, p, "a rate in (0, 1)", holds=0 < p < 1)
    return abs(math.log(p1 / (1.0 - p1)) - math.log(p0 / (1.0 - p0)))


class _Rule(NamedTuple):
    bernoulli: int
    accept: float
    reject: float
    learn_n: int
    direction: int
    warning_ratio: float


class SprtBank(StreamBank):
    """Wald's test on F signals.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    law : `normal`: a mean of independent normal values; `bernoulli`: a rate of bits, or of fractions in [0, 1], whose
        other values count as missing
    shift : the change to be told from none, a number or array [F] above 0: in spreads, at most 8 (`normal`), or as
        logarithm of the odds ratio (`bernoulli`; see `log_odds_ratio`)
    alpha : probability that a test accepts a change where there is none, in (0, 1)
    beta : probability that a test accepts no change where there is one of `shift`, in (0, 1 - alpha)
    target : mean or rate without change, a number or array [F]; None or NaN: learned
    spread : standard deviation of the normal law, 0 or more; None or NaN: learned
    learn_n : values that are learned from after each start, 2 or more; none is tested meanwhile
    direction : alarms for a rise (`up`), a fall (`down`) or `both` (two tests that restart together after an alarm)
    warning_ratio : a warning where the statistic passes this part of its threshold; 1 or more: no warnings
    bounds : (low, high), numbers or arrays [F]: values are clipped to them

    Notes
    -----
    The statistic is the logarithm of the likelihood ratio of a test, of two the larger; the threshold is Wald's
    log((1 - beta) / alpha), which it must pass, not only reach. At or below log(beta / (1 - alpha)) the test has
    accepted "no change": that statistic is shown, and the next value begins a new test.

    Wald's thresholds neglect how far the last value carries the sum beyond them. So the errors a and b that a test
    really has are kept under a <= alpha / (1 - beta), b <= beta / (1 - alpha), a + b <= alpha + beta. With `both`, the
    two tests share nothing, so an unchanged stream alarms twice as often.

    Normal values are clipped at 8 spreads. What is learned is the mean and the standard deviation after absurd values
    are clipped (at 8 robust spreads); the rate is (ones + 1/2) / (values + 1), so never 0 or 1. A spread below 1e-9 of
    the target counts as that, so a constant signal is quiet until it differs.

    An alarm's onset is the likeliest change of the mean within the newest 256 values, `effect` its size in spreads
    of all of them. Cost: O(1) a value in time; 4 kB + 8 `learn_n` bytes a signal.

    References
    ----------
    Wald (1945), Sequential tests of statistical hypotheses, doi:10.1214/aoms/1177731118.

    Examples
    --------
    >>> bank = SprtBank(1, law="bernoulli", target=0.1, shift=log_odds_ratio(0.1, 0.4), alpha=1e-4)
    >>> bits = np.repeat([0.0, 1.0], [50, 10])[:, None]
    >>> bank.update_many(bits, np.arange(60)).alarms[0].row
    57
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"bits", "unit", "real"})
    rule_type: ClassVar[Any] = _Rule

    def __init__(  # sizes: a test of two laws with two errors and what of the law is known
        self,
        n_signals: int,
        *,
        law: Law = "normal",
        shift: Any = 1.0,
        alpha: float = 1e-4,
        beta: float = 0.05,
        target: Any = None,
        spread: Any = None,
        learn_n: int = 100,
        direction: Direction = "both",
        warning_ratio: float = 1.0,
        bounds: Bounds = None,
    ) -> None:
        require("n_signals", n_signals, "1 or more", holds=n_signals >= 1)
        if law not in ("normal", "bernoulli"):
            raise ValueError(f"law = {law!r}; give 'normal' or 'bernoulli'")
        require("alpha", alpha, "a number in (0, 1)", holds=0 < alpha < 1)
        require("beta", beta, "a number in (0, 1 - alpha)", holds=0 < beta < 1 - alpha)
        require("learn_n", learn_n, "2 or more", holds=learn_n >= 2)
        require("warning_ratio", warning_ratio, "a number above 0", holds=warning_ratio > 0)
        bernoulli = law == "bernoulli"
        known = _known(target, spread, n_signals, bernoulli=bernoulli)
        shifts = per_signal("shift", shift, n_signals, least=0.0, most=np.inf if bernoulli else 8.0)
        require("shift", float(np.min(shifts)), "numbers above 0", holds=bool((shifts > 0).all()))
        learn_n = learn_n if np.isnan(known).any() else 0
        accept, reject = math.log(beta / (1.0 - alpha)), math.log((1.0 - beta) / alpha)
        rule = _Rule(int(bernoulli), accept, reject, learn_n, direction_sign(direction), warning_ratio)
        super().__init__(n_signals, rule, bounds=bounds)
        give(self._signals, *known)
        self._signals.given[:, 2] = shifts

    @staticmethod
    def _empty(n_signals: int, rule: _Rule) -> ChartSignals:
        return chart_signals(n_signals, rule.learn_n)

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        outputs = statistic, threshold, *buffers
        return int(_fold(block, positions, self._signals, self._rule, self._low, self._high, *outputs))

    def warned(self, signal: int) -> bool:
        """Whether a signal's newest likelihood ratio stands in the warning zone."""
        return bool(self._signals.whole[signal, 2])


class SPRT(StreamDetector):
    """Wald's test on one signal, with river's interface; parameters as for `SprtBank`.

    Examples
    --------
    >>> test = SPRT(target=0.0, spread=1.0)
    >>> found = [i for i in range(100) if test.update(1.5 * (i >= 50)).drift_detected]
    >>> found[0]
    60
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(SprtBank(1, **parameters))


def _known(target: Any, spread: Any, n_signals: int, *, bernoulli: bool) -> tuple[Floats, Floats]:
    """What is known of the law; a rate has no spread beside it."""
    if not bernoulli:
        return per_signal("target", target, n_signals), per_signal("spread", spread, n_signals, least=0.0)
    require("spread", spread, "None: a rate has none of its own", holds=spread is None)
    rates = per_signal("target", target, n_signals, least=0.0, most=1.0)
    require("target", float(rates[0]), "rates in (0, 1)", holds=not ((rates == 0.0) | (rates == 1.0)).any())
    return rates, np.ones(n_signals)


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
    shift, least, most = given[2], (0.0 if rule.bernoulli else -LARGEST), (1.0 if rule.bernoulli else LARGEST)
    cost_up, cost_down = _costs(target, shift, rule.bernoulli)
    for row in range(values.shape[0]):
        x, status, sign = min(max(values[row, f], low), high), 0, 0
        if np.isnan(values[row, f]) or x < least or x > most:
            statistic[f, row] = shown
            threshold[f, row] = np.nan if np.isnan(shown) else rule.reject
            continue
        if pending or seen == 0:
            seen, began, warned, pending, shown, up, down = 0, index[row], 0, 0, np.nan, 0.0, 0.0
            target, spread = given[0], floored(given[0], given[1])
            edge = edge_of(target, spread) if learn_n == 0 else np.inf
            cost_up, cost_down = _costs(target, shift, rule.bernoulli)
        keep(ring, ring_at, seen, min(max(x, target - edge), target + edge) if seen >= learn_n else x, index[row])
        seen += 1
        if seen <= learn_n:
            signals.first[f, seen - 1] = x
            if seen == learn_n:
                target, spread, edge = _learned(signals.first[f], given, rule.bernoulli, ring, seen)
                cost_up, cost_down = _costs(target, shift, rule.bernoulli)
        else:
            gain = shift * (x if rule.bernoulli else standardised(x, target, spread))
            # A test that has accepted "no change" is over: the next value begins another.
            up = (up if up > rule.accept else 0.0) + gain - cost_up
            down = (down if down > rule.accept else 0.0) - gain - cost_down
            sign = rule.direction or (1 if up >= down else -1)
            shown = up if sign > 0 else down
            status, warned = judge(shown, rule.reject, rule.warning_ratio * rule.reject, warned)
            pending = 1 if status == DRIFT else 0
        if status:
            write(whole[count], real[count], row, f, status, sign, shown, rule.reject, ring, ring_at, seen, began)
            count += 1
        statistic[f, row] = shown
        threshold[f, row] = np.nan if np.isnan(shown) else rule.reject
    signals.real[f] = (target, spread, edge, shown, up, down)
    signals.whole[f] = (seen, began, warned, pending)
    return count


@njit(cache=True, nogil=True)
def _costs(target, shift, bernoulli):  # type: ignore[no-untyped-def]
    """Logarithm of the mean of exp(shift x), and of exp(-shift x), without change: what a value must gain to count."""
    if not bernoulli:
        return 0.5 * shift * shift, 0.5 * shift * shift
    return math.log1p(target * math.expm1(shift)), math.log1p(target * math.expm1(-shift))


@njit(cache=True, nogil=True)
def _learned(first, given, bernoulli, ring, seen):  # type: ignore[no-untyped-def]
    """Target, spread and edge of the first values."""
    if not bernoulli:
        return settle(first, given, False, ring, seen)
    total = 0.5
    for k in range(len(first)):
        total += first[k]
    return total / (len(first) + 1.0), 1.0, np.inf
