"""EDDM: a drift is where the distances between errors have shrunk to nine tenths of the longest they were.

The statistic is one minus that ratio, so that larger is worse; it changes only at an error.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numba import njit

from detectors._bits import is_bit, recent_rings, write
from detectors._recent import keep
from detectors.base import DRIFT, WARNING, Direction, Domain, Floats, Ints, direction_sign, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["EDDM", "EDDMBank"]

_N, _ERRORS, _FIRST = range(3)
_HITS, _LAST, _WARNED = range(3)
_MEAN, _M2, _MOST, _SHRUNK = range(4)


class _Signals(NamedTuple):
    """`counts` [F, 3] by the first names above; of the errors and of the correct values `places` [F, 2, 3] and `gaps`
    [F, 2, 4] by the others; `ring`, `ring_at` [F, 256]: the newest values."""

    counts: Ints
    places: Ints
    gaps: Floats
    ring: Floats
    ring_at: Ints


class _Rule(NamedTuple):
    warm_start: int
    alpha: float
    beta: float
    direction: int
    sample: int


class EDDMBank(StreamBank):
    """The Early Drift Detection Method on F streams of bits, 1 = error.

    With p' the mean distance between two errors since the last restart and s' its standard deviation, the ratio of
    p' + 2 s' to the largest that it was is tested at every error. `statistic` is 1 - ratio, `threshold` 1 - beta;
    between two errors both are carried on.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    warm_start : no alarm before more errors than this, and no maximum before so many values, 1 or more
    alpha : a warning where the ratio falls below it, a number in [beta, 1)
    beta : a drift where the ratio falls below it, a number in (0, 1)
    direction : alarms where errors come closer together (`up`, as in the paper), where correct values do (`down`), or
        `both`: two detectors that restart together; a row shows the larger of their statistics
    definition : `moa`: s' divides by the number of distances and the maximum is taken from value `warm_start` on, as
        in the code of the paper's first author and in river before 0.15. `river`: s' divides by one fewer, and the
        maximum is taken from the value after that. The paper leaves both open

    Notes
    -----
    The ratio moves by chance as well, most where the first errors happened to lie far apart: with the paper's levels
    a stream that does not change alarms tens of times in 100,000 values, and a warning costs a search for its onset.
    The first distance counts from the restart. A value other than 0 or 1 counts as missing and has no length.

    An alarm's onset is the likeliest change of the error rate among the newest 256 values; a change that is found later
    than that is placed too late. `effect` is the difference of the rates on the two sides of the onset in
    standard deviations. Cost: O(1) a value; about 4.3 KB a signal, whatever its length.

    References
    ----------
    Baena-García, del Campo-Ávila, Fidalgo, Bifet, Gavaldà, Morales-Bueno (2006), Early drift detection method,
    Fourth international workshop on knowledge discovery from data streams, 77-86 (no DOI)

    Examples
    --------
    >>> bits = np.zeros((1200, 1))
    >>> bits[::9] = bits[::4] = bits[600:] = 1.0
    >>> found = EDDMBank(1).update_many(bits, np.arange(1200)).alarms
    >>> next(alarm.row for alarm in found if alarm.status == 2)
    726
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"bits"})
    rule_type = _Rule

    def __init__(
        self,
        n_signals: int,
        *,
        warm_start: int = 30,
        alpha: float = 0.95,
        beta: float = 0.9,
        direction: Direction = "up",
        definition: Literal["moa", "river"] = "moa",
    ) -> None:
        require("warm_start", warm_start, "1 or more", holds=warm_start >= 1)
        require("beta", beta, "a number in (0, 1)", holds=0 < beta < 1)
        require("alpha", alpha, f"a number in [beta, 1), beta = {beta}", holds=beta <= alpha < 1)
        if definition not in ("moa", "river"):
            raise ValueError(f"definition = {definition!r}; give 'moa' or 'river'")
        rule = _Rule(warm_start, alpha, beta, direction_sign(direction), int(definition == "river"))
        super().__init__(n_signals, rule)

    @staticmethod
    def _empty(n_signals: int, rule: _Rule) -> _Signals:
        gaps = np.zeros((n_signals, 2, 4))
        gaps[:, :, _SHRUNK] = np.nan
        counts, places = (np.zeros((n_signals, *shape), dtype=np.int64) for shape in ((3,), (2, 3)))
        return _Signals(counts, places, gaps, *recent_rings(n_signals))

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        return int(_fold(block, positions, self._signals, self._rule, statistic, threshold, *buffers))

    def warned(self, signal: int) -> bool:
        """Whether a signal's ratio stands in the warning zone."""
        return bool(self._signals.places[signal, :, _WARNED].any())


class EDDM(StreamDetector):
    """EDDM on one stream of bits, with river's interface; parameters as for `EDDMBank`.

    Examples
    --------
    >>> detector = EDDM()
    >>> [i for i in range(400) if detector.update(float(i >= 200)).drift_detected]
    [230]
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(EDDMBank(1, **parameters))


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
    counts, places, gaps = signals.counts[f], signals.places[f], signals.gaps[f]
    ring, ring_at = signals.ring[f], signals.ring_at[f]
    n, errors, first = counts[_N], counts[_ERRORS], counts[_FIRST]
    limit = 1.0 - rule.beta
    shrunk = _larger(gaps[0, _SHRUNK], gaps[1, _SHRUNK])
    for row in range(values.shape[0]):
        x = values[row, f]
        status, sign = 0, 1 if x == 1.0 else -1
        if is_bit(x):
            first = index[row] if n == 0 else first
            keep(ring, ring_at, n, x, index[row])
            n += 1
            errors += int(x)
            if sign * rule.direction >= 0:
                side = 0 if sign > 0 else 1
                status = _take(n, places[side], gaps[side], rule)
                shrunk = _larger(gaps[0, _SHRUNK], gaps[1, _SHRUNK])
        statistic[f, row], threshold[f, row] = shrunk, np.nan if np.isnan(shrunk) else limit
        if status:
            write(
                row, f, status, sign, shrunk, limit, ring, ring_at, n, first, errors / n, whole[count], real[count]
            )  # fmt: skip
            count += 1
        if status == DRIFT:
            n, errors, shrunk = 0, 0, np.nan
            places[:], gaps[:] = 0, 0.0
            gaps[0, _SHRUNK] = gaps[1, _SHRUNK] = np.nan
    counts[:] = (n, errors, first)
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _larger(one, two):  # type: ignore[no-untyped-def]
    """The larger number; the other one where one is NaN."""
    return one if np.isnan(two) or one >= two else two


@njit(cache=True, nogil=True, error_model="numpy")
def _take(n, places, gaps, rule):  # type: ignore[no-untyped-def]
    """Take the distance that ends with value `n`; returns the status of the alarm (0: none)."""
    gap = float(n - places[_LAST])
    places[_LAST] = n
    places[_HITS] += 1
    before = gap - gaps[_MEAN]
    gaps[_MEAN] += before / places[_HITS]
    gaps[_M2] += before * (gap - gaps[_MEAN])
    if n < rule.warm_start + rule.sample:
        return 0
    spread = gaps[_MEAN] + 2.0 * np.sqrt(gaps[_M2] / max(places[_HITS] - rule.sample, 1))
    gaps[_MOST] = max(gaps[_MOST], spread)
    if places[_HITS] <= rule.warm_start:
        return 0
    gaps[_SHRUNK] = 1.0 - spread / gaps[_MOST]
    if gaps[_SHRUNK] > 1.0 - rule.beta:
        return DRIFT
    fresh = not places[_WARNED]
    places[_WARNED] = int(gaps[_SHRUNK] > 1.0 - rule.alpha)
    return WARNING if places[_WARNED] and fresh else 0
