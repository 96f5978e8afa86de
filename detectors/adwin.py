"""ADWIN: a window that grows while its mean is steady and drops its oldest part when two parts of it differ.

The window is kept as buckets of 1, 2, 4, … values: memory and the cost of a check grow with the
logarithm of its width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from detectors._adwin import LEVELS, WARNED, Window, fold, moments
from detectors._adwin_check import Rule
from detectors.base import (
    BlockResult,
    Bounds,
    Direction,
    Domain,
    Floats,
    Ints,
    State,
    alarms_from,
    bound_arrays,
    checked_block,
    direction_name,
    direction_sign,
    require,
    restored,
)
from detectors.stream_bank import StreamDetector

__all__ = ["ADWIN", "AdwinBank"]


class AdwinBank:
    """ADWIN on F signals.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    delta : in (0, 1), the paper's confidence: smaller means fewer false alarms and more delay
    clock : check after every `clock`-th value, 1 or more
    max_buckets : buckets of one size before the two oldest merge, 2 or more
    min_window_length : both parts of a split hold at least so many values
    grace_period : no check before the window holds more values than this
    warning_delta : in (delta, 1): a check that cuts at this confidence only is a warning; None: no warnings
    direction : alarms for a rise (`up`), a fall (`down`) or `both`; the window adapts to both always
    bounds : (low, high), numbers or arrays [F]: values are clipped to them, so an absurd one leaves no trace
    value_range : numbers or array [F]: the width R of the values' range in the paper's test. Default: that of
        `bounds`, without them 1, which is what MOA and river assume
    restart : drop the whole window after an alarm, as river does, in place of its older part only

    Notes
    -----
    The test is the paper's (section 3.2 there, equation 3.1) with the sub-window correction of MOA and river:
    for a window of n values with variance v, cut where |mean of the newer part - mean of the older| exceeds
    sqrt(2 m v d) + 2/3 R d m, d = ln(2 ln(n) / delta), m = 1 / (n0 - k + 1) + 1 / (n1 - k + 1), k = min_window_length.
    While a split passes, the oldest bucket is dropped and the test repeated. Sums are taken from the buckets, anew
    from the oldest that has changed since the last check, and never by subtracting what has left, so no residue builds
    up (MOA and river subtract). Without bounds a finite
    value beyond 1e100 counts as missing, in `update` as in `update_many`; any smaller one is data.

    An alarm's statistic and threshold are those of the split with the largest ratio; `onset` is the boundary with
    the largest likelihood, `onset_low` and `onset_high` span its 95 % likelihood-ratio set, widened by one bucket;
    `effect` is the difference of the means there in standard deviations of the window; `n` the values kept.

    Cost: O(1) amortised a value, O(max_buckets log n) a check; memory O(max_buckets log n).

    References
    ----------
    Bifet, Gavaldà (2007), Learning from time-changing data with adaptive windowing, doi:10.1137/1.9781611972771.42
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"bits", "unit", "real"})

    def __init__(  # sizes: the names are those of river and MOA, whose users look for them
        self,
        n_signals: int,
        *,
        delta: float = 0.002,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
        warning_delta: float | None = None,
        direction: Direction = "both",
        bounds: Bounds = None,
        value_range: Any = None,
        restart: bool = False,
    ) -> None:
        require("n_signals", n_signals, "1 or more", holds=n_signals >= 1)
        require("delta", delta, "a number in (0, 1)", holds=0 < delta < 1)
        require("clock", clock, "1 or more", holds=clock >= 1)
        require("max_buckets", max_buckets, "2 or more", holds=max_buckets >= 2)
        require("min_window_length", min_window_length, "1 or more", holds=min_window_length >= 1)
        require("grace_period", grace_period, "1 or more", holds=grace_period >= 1)
        warn = 0.0 if warning_delta is None else warning_delta
        require(
            "warning_delta", warn, "a number in (delta, 1), or None", holds=warning_delta is None or delta < warn < 1
        )
        self.n_signals, self.max_buckets = n_signals, max_buckets
        self._rule = Rule(delta, warn, clock, min_window_length, grace_period, direction_sign(direction), int(restart))
        self._low, self._high = bound_arrays(bounds, n_signals)
        self._range = _ranges(value_range, self._low, self._high)
        shape = (n_signals, LEVELS, max_buckets)
        self._window = Window(
            total=np.zeros(shape), squares=np.zeros(shape), first=np.zeros(shape, dtype=np.int64),
            used=np.zeros((n_signals, LEVELS), dtype=np.int64),
            counters=np.zeros((n_signals, 5), dtype=np.int64),
            newest=np.full((n_signals, 2), np.nan),
        )  # fmt: skip

    def update_many(self, values: Floats, index: Ints) -> BlockResult:
        """Fold rows [n, F] (NaN: that signal skips the row); `index` [n] gives their positions."""
        block, positions = checked_block(values, index, self.n_signals)
        # One piece of memory: of two, long ones go back to the system and are faulted in anew with each block.
        shown = np.empty((2, *block.shape[::-1]))
        # One alarm a check at most.
        most = self.n_signals * (len(block) // self._rule.clock + 1)
        whole, real = np.empty((most, 8), dtype=np.int64), np.empty((most, 3))
        count = fold(
            block, positions, self._window, self._rule, self._low, self._high, self._range, shown[0], shown[1],
            whole, real,
        )  # fmt: skip
        return BlockResult(alarms_from(whole[:count], real[:count]) if count else [], shown[0].T, shown[1].T)

    def moments(self, signal: int) -> tuple[int, float, float]:
        """Width, sum and sum of squared deviations of a signal's window."""
        width, total, squares = moments(self._window, signal)
        return int(width), float(total), float(squares)

    def warned(self, signal: int) -> bool:
        """Whether the newest check of a signal was a warning."""
        return bool(self._window.counters[signal, WARNED])

    def _arrays(self) -> dict[str, Any]:
        # What stands behind a level's last bucket depends on how blocks were cut; it leaves no trace in a state.
        held = np.arange(self.max_buckets) < self._window.used[:, :, None]
        for array in (self._window.total, self._window.squares, self._window.first):
            array[~held] = 0
        return {**self._window._asdict(), "low": self._low, "high": self._high, "value_range": self._range}

    def state(self) -> State:
        """Parameters and buckets, copied."""
        numbers = {**self._rule._asdict(), "n_signals": self.n_signals, "max_buckets": self.max_buckets}
        return numbers | {name: array.copy() for name, array in self._arrays().items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> AdwinBank:
        """The bank that gave `state`."""
        bank = cls(
            int(state["n_signals"]), delta=float(state["delta"]), clock=int(state["clock"]),
            max_buckets=int(state["max_buckets"]), min_window_length=int(state["min_window_length"]),
            grace_period=int(state["grace_period"]), warning_delta=float(state["warning_delta"]) or None,
            direction=direction_name(int(state["direction"])), restart=bool(state["restart"]),
        )  # fmt: skip
        restored(state, bank._arrays())
        return bank

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held; constant."""
        return sum(array.nbytes for array in self._arrays().values())


class ADWIN(StreamDetector):
    """ADWIN on one signal, with river's interface; parameters as for `AdwinBank`.

    Examples
    --------
    >>> detector = ADWIN()
    >>> found = [i for i in range(2000) if detector.update(float(i >= 1000)).drift_detected]
    >>> found
    [1023, 1055, 1087]
    """

    bank: AdwinBank

    def __init__(self, delta: float = 0.002, **parameters: Any) -> None:
        super().__init__(AdwinBank(1, delta=delta, **parameters))

    @property
    def width(self) -> int:
        """Values in the window."""
        return self.bank.moments(0)[0]

    @property
    def total(self) -> float:
        """Sum of the window."""
        return self.bank.moments(0)[1]

    @property
    def variance(self) -> float:
        """Sum of squared deviations of the window; river gives this name to the sum, undivided."""
        return self.bank.moments(0)[2]

    @property
    def estimation(self) -> float:
        """Mean of the window, 0 while it is empty."""
        width, total, _ = self.bank.moments(0)
        return total / width if width else 0.0


def _ranges(value_range: Any, low: Floats, high: Floats) -> Floats:
    if value_range is None:
        return np.where(np.isfinite(high - low), high - low, 1.0)
    ranges = np.array(np.broadcast_to(np.asarray(value_range, dtype=np.float64), low.shape))
    require("value_range", float(ranges.min()), "numbers above 0", holds=bool((ranges > 0).all()))
    return ranges
