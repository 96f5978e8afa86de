"""RDDM: DDM that forgets, so that a long quiet stretch does not make it slow.

It keeps the newest 7,000 bits: after a drift it starts from those since the warning, after 40,000 values from all.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors._bits import is_bit, recent_rings, write
from detectors._recent import RECENT_N, keep
from detectors.base import DRIFT, WARNING, Direction, Domain, Floats, Ints, direction_sign, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["RDDM", "RDDMBank"]

# _N, _ERRORS: values and errors that the rate counts; _PLACE, _HELD, _HELD_ERRORS: newest place, values and errors of
# the window; _SEEN: values in the ring; _SINCE: values since the warning began, of the errors and of the correct
# values, 0 outside the warning zone; _SINCE_AT: where it began.
_N, _ERRORS, _PLACE, _HELD, _HELD_ERRORS, _SEEN, _FIRST = range(7)
_SINCE, _SINCE_AT = 7, 9
_STATISTIC, _THRESHOLD = range(2)


class _Signals(NamedTuple):
    """`counts` [F, 11] and `real` [F, 2] by the names above; `least` [F, 2, 3]: rate, deviation and their sum at the
    lowest level, of the errors and of the correct values; `window` [F, min_size_stable_concept]: the newest bits;
    `ring`, `ring_at` [F, 256]: the newest values with their positions."""

    counts: Ints
    real: Floats
    least: Floats
    window: NDArray[np.uint8]
    ring: Floats
    ring_at: Ints


class _Rule(NamedTuple):
    min_num_instances: int
    warning_level: float
    drift_level: float
    max_size_concept: int
    min_size_stable_concept: int
    warn_limit: int
    direction: int


class RDDMBank(StreamBank):
    """The Reactive Drift Detection Method on F streams of bits, 1 = error.

    As in DDM the level p + s is compared with p_min + drift_level * s_min. Three things differ: after a drift the
    counts start from the values since the warning began, not from nothing; a warning that lasts `warn_limit` values is
    a drift; and after `max_size_concept` values without warning p and s are taken anew from the newest
    `min_size_stable_concept`, while p_min and s_min stay.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    min_num_instances : the first value since a restart that is tested, 1 or more
    warning_level : a warning where p + s passes p_min + this * s_min, a number in (0, drift_level]
    drift_level : a drift where p + s passes p_min + this * s_min, a number above 0
    max_size_concept : values after which the counts shrink, above min_size_stable_concept
    min_size_stable_concept : bits kept, and to which the counts shrink, 1 to 1,000,000
    warn_limit : values after which a warning becomes a drift, 1 or more
    direction : alarms where errors grow more (`up`, as in the paper), grow fewer (`down`: the same rule on the correct
        values) or `both`; in `both` a row shows the side that is nearer to its threshold, and an alarm restarts both

    Notes
    -----
    A row's threshold is that of a drift. Where a warning has lasted `warn_limit` values the threshold of that one row
    is the warning's, which the statistic does pass: an alarm is always where the statistic lies above the threshold.
    After a faultless beginning (s_min = 0) the first error alarms, as in DDM. A value other than 0 or 1 counts as
    missing. Where the paper leaves a choice (what the counts start from, that value `min_num_instances` is tested but
    after a restart lowers the minimum only from the next on) this does what MOA does.

    Shrinking from 40,000 values to 7,000 makes s 2.4 times as large, which is more than the paper's drift_level: on a
    stream that has been quiet so long this can alarm by itself within some hundred values. Parameters for which
    sqrt(max_size_concept / min_size_stable_concept) stays below warning_level do not have this.

    An alarm's onset is the likeliest change of the error rate among the newest 256 values; a change that is found later
    than that is placed too late. `effect` is the difference of the rates on the two sides of the onset in
    standard deviations. Cost: O(1) a value; a restart after a drift reads the bits since the warning, at most the
    smaller of warn_limit and min_size_stable_concept. Memory: a byte for each bit kept and 4.3 KB, 11.3 KB a signal
    with the defaults, whatever its length.

    References
    ----------
    Barros, Cabral, Gonçalves, Santos (2017), RDDM: Reactive drift detection method, doi:10.1016/j.eswa.2017.08.023

    Examples
    --------
    >>> bits = (np.arange(2000) % 5 == 0).astype(float)[:, None]
    >>> bits[1000:] = 1.0
    >>> found = RDDMBank(1).update_many(bits, np.arange(2000)).alarms
    >>> next(alarm.row for alarm in found if alarm.status == 2)
    1019
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"bits"})
    rule_type = _Rule

    def __init__(  # sizes: the names are those of MOA, whose users look for them
        self,
        n_signals: int,
        *,
        min_num_instances: int = 129,
        warning_level: float = 1.773,
        drift_level: float = 2.258,
        max_size_concept: int = 40_000,
        min_size_stable_concept: int = 7_000,
        warn_limit: int = 1_400,
        direction: Direction = "up",
    ) -> None:
        kept = min_size_stable_concept
        require("min_num_instances", min_num_instances, "1 or more", holds=min_num_instances >= 1)
        require("drift_level", drift_level, "a number above 0", holds=0 < drift_level < np.inf)
        allowed = f"a number above 0 and at most drift_level = {drift_level}"
        require("warning_level", warning_level, allowed, holds=0 < warning_level <= drift_level)
        require("min_size_stable_concept", kept, "1 to 1,000,000", holds=1 <= kept <= 1_000_000)
        allowed = f"a number above min_size_stable_concept = {kept}"
        require("max_size_concept", max_size_concept, allowed, holds=max_size_concept > kept)
        require("warn_limit", warn_limit, "1 or more", holds=warn_limit >= 1)
        sign = direction_sign(direction)
        rule = _Rule(min_num_instances, warning_level, drift_level, max_size_concept, kept, warn_limit, sign)
        super().__init__(n_signals, rule)

    @staticmethod
    def _empty(n_signals: int, rule: _Rule) -> _Signals:
        counts = np.zeros((n_signals, 11), dtype=np.int64)
        counts[:, _PLACE] = rule.min_size_stable_concept - 1
        window = np.zeros((n_signals, rule.min_size_stable_concept), dtype=np.uint8)
        least, real = np.full((n_signals, 2, 3), np.inf), np.full((n_signals, 2), np.nan)
        return _Signals(counts, real, least, window, *recent_rings(n_signals))

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        return int(_fold(block, positions, self._signals, self._rule, statistic, threshold, *buffers))

    def warned(self, signal: int) -> bool:
        """Whether a signal's level stands in the warning zone."""
        return bool(self._signals.counts[signal, _SINCE : _SINCE + 2].any())


class RDDM(StreamDetector):
    """RDDM on one stream of bits, with river's interface; parameters as for `RDDMBank`.

    Examples
    --------
    >>> detector = RDDM()
    >>> [i for i in range(2000) if detector.update(float(i >= 1000)).drift_detected]
    [1000]
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(RDDMBank(1, **parameters))


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
    counts, sums, least, window = signals.counts[f], signals.real[f], signals.least[f], signals.window[f]
    ring, ring_at = signals.ring[f], signals.ring_at[f]
    for row in range(values.shape[0]):
        x = values[row, f]
        status, sign, level, limit = 0, 0, sums[_STATISTIC], sums[_THRESHOLD]
        if is_bit(x):
            if counts[_SEEN] == 0:
                counts[_FIRST] = index[row]
            keep(ring, ring_at, counts[_SEEN], x, index[row])
            _store(int(x), counts, window)
            if counts[_N] >= rule.min_num_instances:
                status, sign, level, limit = _test(index[row], counts, least, rule)
                sums[:] = (level, limit)
        statistic[f, row], threshold[f, row] = level, limit
        if status:
            rate = counts[_ERRORS] / counts[_N]
            write(
                row, f, status, sign, level, limit, ring, ring_at, counts[_SEEN], counts[_FIRST], rate,
                whole[count], real[count],
            )  # fmt: skip
            count += 1
        if status == DRIFT:
            sums[:] = np.nan
            _restart(sign, index[row], counts, least, window, rule.min_num_instances)
            _carry_over(counts, ring, ring_at)
        elif counts[_N] >= rule.max_size_concept and counts[_SINCE] + counts[_SINCE + 1] == 0:
            counts[_N], counts[_ERRORS] = counts[_HELD], counts[_HELD_ERRORS]
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _store(bit, counts, window):  # type: ignore[no-untyped-def]
    """Count a bit, and put it into the window in the place of the oldest."""
    counts[_SEEN] += 1
    counts[_N] += 1
    counts[_ERRORS] += bit
    place = counts[_PLACE] + 1
    place = 0 if place == window.shape[0] else place
    if counts[_HELD] == window.shape[0]:
        counts[_HELD_ERRORS] -= window[place]
    else:
        counts[_HELD] += 1
    window[place] = bit
    counts[_HELD_ERRORS] += bit
    counts[_PLACE] = place


@njit(cache=True, nogil=True, error_model="numpy")
def _test(position, counts, least, rule):  # type: ignore[no-untyped-def]
    """The side nearer to its threshold: status, direction, level and threshold."""
    status, sign, level, limit = 0, 1, -np.inf, np.inf
    if rule.direction >= 0:
        status, level, limit = _side(0, position, counts[_ERRORS], counts, least, rule)
    if rule.direction <= 0:
        correct = counts[_N] - counts[_ERRORS]
        other_status, other, other_limit = _side(1, position, correct, counts, least, rule)
        # Two alarms of one row have the same rank: the larger excess speaks.
        if other_status > status or (other_status == status and other - other_limit > level - limit):
            status, sign, level, limit = other_status, -1, other, other_limit
    return status, sign, level, limit


@njit(cache=True, nogil=True, error_model="numpy")
def _side(side, position, hits, counts, least, rule):  # type: ignore[no-untyped-def]
    """Test one side and keep its warning; status, level and threshold."""
    p = hits / counts[_N]
    s = np.sqrt(p * (1.0 - p) / counts[_N])
    level = p + s
    if level < least[side, 2]:
        least[side, 0], least[side, 1], least[side, 2] = p, s, level
    limit = least[side, 0] + rule.drift_level * least[side, 1]
    warn_limit = least[side, 0] + rule.warning_level * least[side, 1]
    if level > limit:
        counts[_SINCE + side] += int(counts[_SINCE + side] > 0)
        return DRIFT, level, limit
    if not level > warn_limit:
        counts[_SINCE + side] = 0
        return 0, level, limit
    counts[_SINCE + side] += 1
    if counts[_SINCE + side] == 1:
        counts[_SINCE_AT + side] = position
        return WARNING, level, limit
    if counts[_SINCE + side] > rule.warn_limit:
        counts[_SINCE + side] = 0  # so old a beginning says nothing of where the new concept begins
        return DRIFT, level, warn_limit
    return 0, level, limit


@njit(cache=True, nogil=True, error_model="numpy")
def _restart(sign, position, counts, least, window, min_num_instances):  # type: ignore[no-untyped-def]
    """Count anew from the window's values since the warning; without one from the newest value."""
    side = 0 if sign > 0 else 1
    since = counts[_SINCE + side]
    counts[_FIRST] = counts[_SINCE_AT + side] if since else position
    counts[_HELD] = min(counts[_HELD], max(since, 1))
    least[:] = np.inf
    errors = 0
    for k in range(counts[_HELD]):
        errors += int(window[(counts[_PLACE] - counts[_HELD] + 1 + k) % window.shape[0]])
        if k + 1 > min_num_instances:
            _lower(k + 1, errors, least[0])
            _lower(k + 1, k + 1 - errors, least[1])
    counts[_N], counts[_ERRORS], counts[_HELD_ERRORS] = counts[_HELD], errors, errors
    counts[_SINCE : _SINCE + 2] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def _lower(n, hits, least):  # type: ignore[no-untyped-def]
    p = hits / n
    s = np.sqrt(p * (1.0 - p) / n)
    if p + s < least[2]:
        least[0], least[1], least[2] = p, s, p + s


@njit(cache=True, nogil=True, error_model="numpy")
def _carry_over(counts, ring, ring_at):  # type: ignore[no-untyped-def]
    """Keep in the ring only the values that the counts start from, from its first place on."""
    kept = min(counts[_HELD], RECENT_N)
    old, old_at = ring.copy(), ring_at.copy()
    for k in range(kept):
        place = (counts[_SEEN] - kept + k) & (RECENT_N - 1)
        ring[k], ring_at[k] = old[place], old_at[place]
    counts[_SEEN] = kept
