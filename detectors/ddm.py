"""DDM: an error rate that stands three standard deviations above the lowest level it had is a drift.

It signals a change once and starts anew with the value after the alarm.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit

from detectors._bits import is_bit, recent_rings, write
from detectors._recent import keep
from detectors.base import DRIFT, WARNING, Direction, Domain, Floats, Ints, direction_sign, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["DDM", "DDMBank"]

_N, _ERRORS, _FIRST, _WARNED = range(4)
_STATISTIC, _THRESHOLD = range(2)


class _Signals(NamedTuple):
    """`counts` [F, 4] and `real` [F, 2] by the names above; `least` [F, 2, 3]: rate, deviation and their sum at the
    lowest level, of the errors and of the correct values; `ring`, `ring_at` [F, 256]: the newest values."""

    counts: Ints
    real: Floats
    least: Floats
    ring: Floats
    ring_at: Ints


class _Rule(NamedTuple):
    warm_start: int
    warning_threshold: float
    drift_threshold: float
    direction: int


class DDMBank(StreamBank):
    """The Drift Detection Method on F streams of bits, 1 = error.

    With p the error rate since the last restart and s = sqrt(p (1 - p) / n), the level p + s is compared with
    p_min + 3 s_min, where p_min and s_min belong to the lowest level so far. Every row shows both numbers.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    warm_start : values after a restart that are only counted, 1 or more; the next value is the first that is tested
    warning_threshold : a warning where p + s passes p_min + this * s_min, a number in (0, drift_threshold]
    drift_threshold : a drift where p + s passes p_min + this * s_min, a number above 0
    direction : alarms where errors grow more (`up`, as in the paper), grow fewer (`down`: the same rule on the correct
        values) or `both`; in `both` a row shows the side that is nearer to its threshold, and an alarm restarts both

    Notes
    -----
    The paper alarms where the level reaches the threshold; here, as in river and MOA, it must pass it: otherwise a
    stream without an error, whose s is 0, would alarm at once. What the paper shares with this is that after a
    faultless beginning (s_min = 0) the first error alarms. MOA tests from the 30th value on, river and this from
    the 31st (`warm_start` = 30). A value other than 0 or 1 counts as missing; river would fold it into the mean, and
    one NaN would end its detections.

    An alarm's onset is the likeliest change of the error rate among the newest 256 values; a change that is found later
    than that is placed too late. `effect` is the difference of the rates on the two sides of the onset in
    standard deviations. Cost: O(1) a value; about 4.2 KB a signal, whatever its length.

    References
    ----------
    Gama, Medas, Castillo, Rodrigues (2004), Learning with drift detection, doi:10.1007/978-3-540-28645-5_29

    Examples
    --------
    >>> bank = DDMBank(2)
    >>> bits = np.zeros((400, 2))
    >>> bits[::5] = 1.0
    >>> bits[200:, 1] = 1.0
    >>> [(alarm.signal, alarm.onset) for alarm in bank.update_many(bits, np.arange(400)).alarms if alarm.status == 2]
    [(1, 200)]
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"bits"})
    rule_type = _Rule

    def __init__(
        self,
        n_signals: int,
        *,
        warm_start: int = 30,
        warning_threshold: float = 2.0,
        drift_threshold: float = 3.0,
        direction: Direction = "up",
    ) -> None:
        require("warm_start", warm_start, "1 or more", holds=warm_start >= 1)
        require("drift_threshold", drift_threshold, "a number above 0", holds=0 < drift_threshold < np.inf)
        require(
            "warning_threshold",
            warning_threshold,
            f"a number above 0 and at most drift_threshold = {drift_threshold}",
            holds=0 < warning_threshold <= drift_threshold,
        )
        super().__init__(n_signals, _Rule(warm_start, warning_threshold, drift_threshold, direction_sign(direction)))

    @staticmethod
    def _empty(n_signals: int, rule: _Rule) -> _Signals:
        ring, ring_at = recent_rings(n_signals)
        counts = np.zeros((n_signals, 4), dtype=np.int64)
        return _Signals(counts, np.full((n_signals, 2), np.nan), np.full((n_signals, 2, 3), np.inf), ring, ring_at)

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        return int(_fold(block, positions, self._signals, self._rule, statistic, threshold, *buffers))

    def warned(self, signal: int) -> bool:
        """Whether a signal's level stands in the warning zone."""
        return bool(self._signals.counts[signal, _WARNED])


class DDM(StreamDetector):
    """DDM on one stream of bits, with river's interface; parameters as for `DDMBank`.

    Examples
    --------
    >>> detector = DDM()
    >>> [i for i in range(2000) if detector.update(float(i % 5 == 0 or i >= 1000)).drift_detected]
    [1032]
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(DDMBank(1, **parameters))


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
    counts, sums, least = signals.counts[f], signals.real[f], signals.least[f]
    ring, ring_at = signals.ring[f], signals.ring_at[f]
    n, errors, first, warned = counts[_N], counts[_ERRORS], counts[_FIRST], counts[_WARNED]
    level, limit = sums[_STATISTIC], sums[_THRESHOLD]
    for row in range(values.shape[0]):
        x = values[row, f]
        status, sign = 0, 0
        if is_bit(x):
            first = index[row] if n == 0 else first
            keep(ring, ring_at, n, x, index[row])
            n += 1
            errors += int(x)
            if n > rule.warm_start:
                sign, level, limit, warn_limit = _measured(n, errors, least, rule)
                zone = DRIFT if level > limit else (WARNING if level > warn_limit else 0)
                status = zone if zone == DRIFT or not warned else 0
                warned = int(zone == WARNING)
        statistic[f, row], threshold[f, row] = level, limit
        if status:
            write(
                row, f, status, sign, level, limit, ring, ring_at, n, first, errors / n, whole[count], real[count]
            )  # fmt: skip
            count += 1
        if status == DRIFT:
            n, errors, level, limit = 0, 0, np.nan, np.nan
            least[:] = np.inf
    counts[:] = (n, errors, first, warned)
    sums[:] = (level, limit)
    return count


# Inlined, these two leave two thirds of a value's cost: their arguments stay in registers.
@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _measured(n, errors, least, rule):  # type: ignore[no-untyped-def]
    """The side nearer to its drift: direction, level, drift threshold, warning threshold; lowers `least`."""
    sign, level, limit, warn_limit = 1, -np.inf, np.inf, np.inf
    if rule.direction >= 0:
        level, limit, warn_limit = _side(n, errors, least[0], rule)
    if rule.direction <= 0:
        other, other_limit, other_warn = _side(n, n - errors, least[1], rule)
        if other - other_limit > level - limit:
            sign, level, limit, warn_limit = -1, other, other_limit, other_warn
    return sign, level, limit, warn_limit


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _side(n, hits, least, rule):  # type: ignore[no-untyped-def]
    p = hits / n
    s = np.sqrt(p * (1.0 - p) / n)
    if p + s <= least[2]:
        least[0], least[1], least[2] = p, s, p + s
    limit = least[0] + rule.drift_threshold * least[1]
    return p + s, limit, least[0] + rule.warning_threshold * least[1]
