"""What the banks share that compare a sliding window with a fixed reference: checks, snapshot, alarm rule.

They are level detectors: an alarm opens where statistic and effect say so, and clears where either has fallen back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.base import (
    CLEARED,
    DRIFT,
    BlockResult,
    Domain,
    Floats,
    Ints,
    State,
    alarms_from,
    checked_block,
    require,
    restored,
)

__all__ = ["SEEN", "WindowBank", "WindowRule", "due", "effective_shares", "judge", "reference_parts", "window_rule"]

# Places in a signal's `flags`.
SEEN, _OPEN = 0, 1


class WindowRule(NamedTuple):
    """When to test, what is measured (`kind` is the kernel's number of it) and what is an alarm."""

    kind: int
    test_every: int
    min_effect: float
    clear_ratio: float
    empty: float


class WindowBank:
    """F signals, a sliding window each.

    A subclass makes its arrays and folds in `_fold`.

    Parameters
    ----------
    arrays : a NamedTuple of arrays whose first axis is the signal, with `empty(n_signals, window_n, size)`
    rule : the checked rule
    window_n, size : what `arrays` was made with
    """

    takes: ClassVar[frozenset[Domain]]
    arrays_type: ClassVar[Any]

    def __init__(self, arrays: Any, rule: WindowRule, *, window_n: int, size: int) -> None:
        self.n_signals, self.window_n, self._size = len(arrays.flags), window_n, size
        self._signals, self._rule = arrays, rule

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        """Fold a block, write each row's statistic and threshold, and the alarms into the two buffers; their number."""
        raise NotImplementedError

    def update_many(self, values: Floats, index: Ints) -> BlockResult:
        """Fold rows [n, F] (NaN: that signal skips the row); `index` [n] gives their positions."""
        block, positions = checked_block(values, index, self.n_signals)
        statistic, threshold = (np.empty(block.shape[::-1]).T for _ in range(2))
        whole, real = np.empty((block.size, 8), dtype=np.int64), np.empty((block.size, 3))
        count = self._fold(block, positions, statistic, threshold, whole, real)
        return BlockResult(alarms_from(whole[:count], real[:count]), statistic, threshold)

    def warned(self, signal: int) -> bool:
        """Never: a level test has no warning zone of its own."""
        return False

    def state(self) -> State:
        """Rule and arrays, copied."""
        arrays = {name: array.copy() for name, array in self._signals._asdict().items()}
        sizes = {"n_signals": self.n_signals, "window_n": self.window_n, "size": self._size}
        return sizes | self._rule._asdict() | arrays

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The bank that gave `state`; it goes on bit for bit.

        Raises
        ------
        ValueError
            where an array is missing or has another shape.
        """
        rule = WindowRule(
            int(state["kind"]), int(state["test_every"]), float(state["min_effect"]), float(state["clear_ratio"]),
            float(state["empty"]),
        )  # fmt: skip
        n_signals, window_n, size = (int(state[name]) for name in ("n_signals", "window_n", "size"))
        bank = cls.__new__(cls)
        arrays = cls.arrays_type.empty(n_signals, window_n, size)
        WindowBank.__init__(bank, arrays, rule, window_n=window_n, size=size)
        restored(state, arrays._asdict())
        return bank

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held; constant."""
        return sum(array.nbytes for array in self._signals)


def window_rule(kind: int, window_n: int, **numbers: float) -> WindowRule:
    """The checked rule; `numbers`: alpha, test_every, min_effect, below (what the effect stays under), clear_ratio,
    and for binned statistics empty."""
    alpha, least, below, ratio = (numbers[name] for name in ("alpha", "min_effect", "below", "clear_ratio"))
    every, empty = int(numbers["test_every"]), numbers.get("empty", 0.5)
    require("window_n", window_n, "2 or more", holds=window_n >= 2)
    require("alpha", alpha, "a number in (0, 0.5)", holds=0 < alpha < 0.5)
    require("test_every", every, "1 or more", holds=every >= 1)
    require("min_effect", least, f"a number in [0, {below})", holds=0 <= least < below)
    require("clear_ratio", ratio, "a number in (0, 1]", holds=0 < ratio <= 1)
    require("empty", empty, "a number in (0, 1]", holds=0 < empty <= 1)
    return WindowRule(kind, every, float(least), float(ratio), float(empty))


def reference_parts(reference: Sequence[Any]) -> list[Floats]:
    """Each signal's reference, ascending, without NaN.

    Raises
    ------
    ValueError
        where there is no signal, or a reference is not a list of finite numbers.
    """
    require("len(reference)", len(reference), "1 array or more", holds=len(reference) >= 1)
    parts = []
    for signal, values in enumerate(reference):
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 1 or np.isinf(array).any():
            raise ValueError(f"reference of signal {signal}: give a list of finite numbers (NaN is dropped)")
        parts.append(np.sort(array[~np.isnan(array)] + 0.0))  # one zero only, as in the kernels
    return parts


def effective_shares(n_effective: Any, n_signals: int) -> NDArray[np.float64]:
    """One share of independent values for each signal.

    Raises
    ------
    ValueError
        where one is not in (0, 1].
    """
    given = np.asarray(1.0 if n_effective is None else n_effective, dtype=np.float64)
    shares = np.array(np.broadcast_to(given, (n_signals,)))
    usable = bool(((shares > 0) & (shares <= 1)).all())
    require("n_effective", float(np.min(shares)), "shares in (0, 1], effective number over count", holds=usable)
    return shares


@njit(cache=True, nogil=True)
def due(flags, reference_n, window_n, test_every):  # type: ignore[no-untyped-def]
    """Whether the value that just came asks for a test."""
    return flags[SEEN] >= window_n and flags[SEEN] % test_every == 0 and reference_n > 0


@njit(cache=True, nogil=True)
def judge(newest, flags, min_effect, clear_ratio):  # type: ignore[no-untyped-def]
    """Open or clear a signal's alarm after a test; returns its status, 0 for neither.

    `newest` holds statistic, threshold and effect. At a threshold of 0 (a constant reference) 0 clears.
    """
    if not flags[_OPEN]:
        flags[_OPEN] = 1 if newest[0] > newest[1] and newest[2] >= min_effect else 0
        return DRIFT if flags[_OPEN] else 0
    if newest[0] <= clear_ratio * newest[1] or newest[2] < clear_ratio * min_effect:
        flags[_OPEN] = 0
        return CLEARED
    return 0
