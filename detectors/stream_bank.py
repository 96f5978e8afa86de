"""What banks share whose detectors take one value after the other: the door, the result, the snapshot.

A detector's own module holds its parameters, its arrays and its kernel; everything else of a bank is here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self, get_type_hints

import numpy as np
from numpy.typing import NDArray

from detectors.base import (
    DRIFT,
    BlockResult,
    Bounds,
    Domain,
    Floats,
    Ints,
    State,
    alarms_from,
    bound_arrays,
    checked_block,
    require,
    restored,
)

__all__ = ["StreamBank", "StreamDetector"]


class StreamBank(ABC):
    """F signals, each folded by itself.

    A subclass names its `rule_type` (a NamedTuple of int and float parameters), makes its arrays in `_empty` (a
    NamedTuple whose arrays have the signal as first axis) and folds in `_fold`. Its constructor checks parameters and
    calls this one.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    rule : the checked parameters
    bounds : (low, high), numbers or arrays [F]; values are clipped to them by the kernel
    """

    takes: ClassVar[frozenset[Domain]]
    rule_type: ClassVar[Any]

    def __init__(self, n_signals: int, rule: Any, *, bounds: Bounds = None) -> None:
        require("n_signals", n_signals, "1 or more", holds=n_signals >= 1)
        self.n_signals = n_signals
        self._rule = rule
        self._low, self._high = bound_arrays(bounds, n_signals)
        self._signals = self._empty(n_signals, rule)

    @staticmethod
    @abstractmethod
    def _empty(n_signals: int, rule: Any) -> Any:
        """The arrays of fresh signals."""

    @abstractmethod
    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        """Fold a block, write statistic and threshold of each row [F, n], and alarms into two buffers; their number.

        `buffers` are whole [n F, 8] (row, signal, status, direction, onset, low, high, n) and real [n F, 3]
        (statistic, threshold, effect), as `alarms_from` takes them.
        """

    def update_many(self, values: Floats, index: Ints) -> BlockResult:
        """Fold rows [n, F] (NaN: that signal skips the row); `index` [n] gives their positions."""
        block, positions = checked_block(values, index, self.n_signals)
        # One signal's column lies together: kernels go signal by signal, with its state in registers.
        statistic, threshold = np.empty(block.shape[::-1]), np.empty(block.shape[::-1])
        whole, real = np.empty((block.size, 8), dtype=np.int64), np.empty((block.size, 3))
        count = self._fold(block, positions, statistic, threshold, whole, real)
        return BlockResult(alarms_from(whole[:count], real[:count]), statistic.T, threshold.T)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {**self._signals._asdict(), "low": self._low, "high": self._high}

    def state(self) -> State:
        """Parameters and arrays, copied."""
        arrays = {name: array.copy() for name, array in self._arrays().items()}
        return {"n_signals": self.n_signals, **self._rule._asdict(), **arrays}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The bank that gave `state`.

        Raises
        ------
        ValueError
            where an array is missing or has another shape.
        """
        kinds = get_type_hints(cls.rule_type)
        rule = cls.rule_type(**{name: kinds[name](state[name]) for name in cls.rule_type._fields})
        bank = cls.__new__(cls)
        StreamBank.__init__(bank, int(state["n_signals"]), rule)
        restored(state, bank._arrays())  # noqa: SLF001 - a bank of this very class
        return bank

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held; constant."""
        return sum(array.nbytes for array in self._arrays().values())


class StreamDetector:
    """One signal of a bank, with river's interface: `update(x)`, `drift_detected`, `warning_detected`."""

    def __init__(self, bank: Any) -> None:
        self.bank = bank
        self.drift_detected = False
        self._newest = BlockResult([], np.full((1, 1), np.nan), np.full((1, 1), np.nan))
        self._seen = 0

    def update(self, x: float) -> Self:
        """Take one value; NaN counts as missing."""
        self._newest = self.bank.update_many(np.array([[x]]), np.array([self._seen]))
        self._seen += 1
        self.drift_detected = any(alarm.status == DRIFT for alarm in self._newest.alarms)
        return self

    @property
    def warning_detected(self) -> bool:
        """Whether the newest value left the detector in its warning zone."""
        return bool(self.bank.warned(0))

    @property
    def statistic(self) -> float:
        """The newest statistic; NaN before there is one."""
        return float(self._newest.statistic[0, 0])

    @property
    def threshold(self) -> float:
        """What `statistic` is compared with."""
        return float(self._newest.threshold[0, 0])
