"""ECDD: a moving average of errors, exponentially weighted, on a control chart around their mean.

MOA calls it EWMAChart. It signals a change once and starts anew with the value after the alarm.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numba import njit

from detectors._bits import is_bit, recent_rings, write
from detectors._ecdd_limits import LENGTHS, RATES, ROOM
from detectors._recent import keep
from detectors.base import DRIFT, WARNING, Direction, Domain, Floats, Ints, direction_sign, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["ECDD", "ECDDBank"]

_N, _ERRORS, _FIRST, _WARNED = range(4)
_AVERAGE, _CORRECT, _DECAY, _STATISTIC, _THRESHOLD = range(5)
# The weight for which the table of limits was made.
_LAMBDA = 0.2
# A weight of the beginning that no sum of order 1 shows any more; smaller ones become slow subnormal numbers.
_GONE = 1e-30


class _Signals(NamedTuple):
    """`counts` [F, 4] and `real` [F, 5] by the names above; `ring`, `ring_at` [F, 256]: the newest values."""

    counts: Ints
    real: Floats
    ring: Floats
    ring_at: Ints


class _Rule(NamedTuple):
    min_instances: int
    lambda_: float
    average_run_length: int
    warning_level: float
    direction: int
    table: int  # 0: the polynomial, otherwise 1 + the row of ROOM


class ECDDBank(StreamBank):
    """The EWMA chart for Concept Drift Detection on F streams of bits, 1 = error.

    The moving average z = (1 - lambda) z + lambda x, from 0, is compared with the error rate p since the last restart.
    `statistic` is z - p, `threshold` L(p) times the standard deviation of z.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    min_instances : the first value since a restart that is tested, 1 or more
    lambda_ : weight of the newest value, in (0, 1); the limits hold for 0.2
    average_run_length : values between two false alarms, on average, of a chart that knows p: 100, 400, 1,000, 10,000
        or 100,000
    warning_level : a warning where the statistic passes this part of the threshold, in (0, 1]; 1: none
    direction : alarms where errors grow more (`up`, as in the paper), grow fewer (`down`: the same chart of the correct
        values) or `both`; in `both` a row shows the side that is nearer to its threshold, and an alarm restarts both
    limits : `ross`: the paper's polynomial L for a run length of 400 (the only one in MOA). `table`: limits of our
        own. None: `ross` where it can be, that is for `up` and 400, otherwise `table`

    Notes
    -----
    The paper prints three polynomials. Simulated with p known they give run lengths of 250 to 300 instead of 400 for
    p in [.1, .4], 3 to 100 instead of 100, and 20 to 700 instead of 1,000, so the last two are not offered; and above
    p = .5 all three leave [0, 1], so that the correct values of any useful model, whose rate is above .5, could never
    alarm. The table covers rates to .97, above which a moving average of about five values
    says nothing and nothing alarms. Below .025 single errors decide and the run length comes in steps: it is the one
    asked for or longer. With p estimated from few values false alarms are more
    frequent than either says: this is a chart for a short memory, quick and noisy.
    A value other than 0 or 1 counts as missing.

    An alarm's onset is the likeliest change of the error rate among the newest 256 values; a change that is found later
    than that is placed too late. `effect` is the difference of the rates on the two sides of the onset in
    standard deviations. Cost: O(1) a value; about 4.2 KB a signal, whatever its length.

    References
    ----------
    Ross, Adams, Tasoulis, Hand (2012), Exponentially weighted moving average charts for detecting concept drift,
    doi:10.1016/j.patrec.2011.08.019

    Examples
    --------
    >>> bits = (np.arange(600) % 5 == 0).astype(float)[:, None]
    >>> bits[300:] = 1.0
    >>> found = ECDDBank(1).update_many(bits, np.arange(600)).alarms
    >>> next((alarm.row, alarm.onset) for alarm in found if alarm.status == 2)
    (303, 300)
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"bits"})
    rule_type = _Rule

    def __init__(
        self,
        n_signals: int,
        *,
        min_instances: int = 30,
        lambda_: float = 0.2,
        average_run_length: int = 400,
        warning_level: float = 0.5,
        direction: Direction = "up",
        limits: Literal["ross", "table"] | None = None,
    ) -> None:
        require("min_instances", min_instances, "1 or more", holds=min_instances >= 1)
        require("lambda_", lambda_, "a number in (0, 1)", holds=0 < lambda_ < 1)
        require(
            "average_run_length",
            average_run_length,
            "100, 400, 1000, 10000 or 100000",
            holds=average_run_length in LENGTHS,
        )
        require("warning_level", warning_level, "a number in (0, 1]", holds=0 < warning_level <= 1)
        sign = direction_sign(direction)
        printed = sign == 1 and average_run_length == 400
        if limits not in ("ross", "table", None):
            raise ValueError(f"limits = {limits!r}; give 'ross', 'table' or None")
        if limits == "ross" and not printed:
            raise ValueError("limits = 'ross'; give 'table', or direction = 'up' and average_run_length = 400")
        table = limits == "table" or not printed
        if table and lambda_ != _LAMBDA:
            raise ValueError(f"lambda_ = {lambda_}; give {_LAMBDA}, for which the table of limits was made")
        row = 1 + LENGTHS.index(average_run_length) if table else 0
        rule = _Rule(min_instances, lambda_, average_run_length, warning_level, sign, row)
        super().__init__(n_signals, rule)

    @staticmethod
    def _empty(n_signals: int, rule: _Rule) -> _Signals:
        real = np.zeros((n_signals, 5))
        real[:, _DECAY], real[:, _STATISTIC:] = 1.0, np.nan
        return _Signals(np.zeros((n_signals, 4), dtype=np.int64), real, *recent_rings(n_signals))

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        return int(_fold(block, positions, self._signals, self._rule, statistic, threshold, *buffers))

    def warned(self, signal: int) -> bool:
        """Whether a signal's moving average stands in the warning zone."""
        return bool(self._signals.counts[signal, _WARNED])


class ECDD(StreamDetector):
    """ECDD on one stream of bits, with river's interface; parameters as for `ECDDBank`.

    Examples
    --------
    >>> detector = ECDD()
    >>> [i for i in range(2000) if detector.update(float(i >= 1000)).drift_detected]
    [1000]
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(ECDDBank(1, **parameters))


# No divisor here is 0; without numpy's error model each division would ask whether it is.
@njit(cache=True, nogil=True, error_model="numpy")
def _fold(values, index, signals, rule, statistic, threshold, whole, real):  # type: ignore[no-untyped-def]
    count = 0
    for f in range(values.shape[1]):
        count = _follow(f, values, index, signals, rule, statistic, threshold, whole, real, count)
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _follow(f, values, index, signals, rule, statistic, threshold, whole, real, count):  # type: ignore[no-untyped-def]
    """Fold a signal's column; returns the number of alarms written so far."""
    counts, sums, ring, ring_at = signals.counts[f], signals.real[f], signals.ring[f], signals.ring_at[f]
    n, errors, first, warned = counts[_N], counts[_ERRORS], counts[_FIRST], counts[_WARNED]
    above, limit = sums[_STATISTIC], sums[_THRESHOLD]
    for row in range(values.shape[0]):
        x = values[row, f]
        status, sign = 0, 0
        if is_bit(x):
            first = index[row] if n == 0 else first
            keep(ring, ring_at, n, x, index[row])
            n += 1
            errors += int(x)
            _average(x, sums, rule.lambda_)
            if n >= rule.min_instances:
                sign, above, limit = _measured(n, errors, sums, rule)
                zone = DRIFT if above > limit else (WARNING if above > rule.warning_level * limit else 0)
                status = zone if zone == DRIFT or not warned else 0
                warned = int(zone == WARNING)
        statistic[f, row], threshold[f, row] = above, limit
        if status:
            write(
                row, f, status, sign, above, limit, ring, ring_at, n, first, errors / n, whole[count], real[count]
            )  # fmt: skip
            count += 1
        if status == DRIFT:
            n, errors, above, limit = 0, 0, np.nan, np.nan
            sums[_AVERAGE], sums[_CORRECT], sums[_DECAY] = 0.0, 0.0, 1.0
    counts[:] = (n, errors, first, warned)
    sums[_STATISTIC], sums[_THRESHOLD] = above, limit
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _average(x, sums, weight):  # type: ignore[no-untyped-def]
    """Take a bit into the moving averages of errors and of correct values."""
    sums[_AVERAGE] += weight * (x - sums[_AVERAGE])
    sums[_CORRECT] += weight * (1.0 - x - sums[_CORRECT])
    sums[_DECAY] *= (1.0 - weight) ** 2
    for place in (_AVERAGE, _CORRECT, _DECAY):
        if sums[place] < _GONE:
            sums[place] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _measured(n, errors, sums, rule):  # type: ignore[no-untyped-def]
    """The side nearer to its threshold: direction, distance above the rate, threshold."""
    sign, above, limit = 1, -np.inf, np.inf
    grown = np.sqrt(1.0 - sums[_DECAY])
    if rule.direction >= 0:
        p = errors / n
        above, limit = sums[_AVERAGE] - p, _reach(p, rule) * grown
    if rule.direction <= 0:
        p = (n - errors) / n
        other, other_limit = sums[_CORRECT] - p, _reach(p, rule) * grown
        if other - other_limit > above - limit:
            sign, above, limit = -1, other, other_limit
    return sign, above, limit


@njit(cache=True, nogil=True, error_model="numpy")
def _reach(p, rule):  # type: ignore[no-untyped-def]
    """How far above a rate the limit of a long stream lies."""
    if not rule.table:
        factor = 3.97 + p * (-6.56 + p**2 * (48.73 + p**2 * (-330.13 + p**2 * 848.18)))
        return factor * np.sqrt(p * (1.0 - p) * rule.lambda_ / (2.0 - rule.lambda_))
    if p > RATES[-1]:
        return 1.0 - p
    room = ROOM[rule.table - 1]
    at = min(max(np.searchsorted(RATES, p), 1), len(RATES) - 1)
    part = max(p - RATES[at - 1], 0.0) / (RATES[at] - RATES[at - 1])
    return (1.0 - p) * (1.0 - np.exp(room[at - 1] + part * (room[at] - room[at - 1])))
