"""What every detector bank shares: the alarm, the result of a block, and the checks at the door.

A *bank* holds F signals and folds a block of rows in one kernel call; NaN is a missing value and skips that signal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CLEARED",
    "DRIFT",
    "WARNING",
    "Alarm",
    "Bank",
    "BlockResult",
    "Bounds",
    "Direction",
    "Domain",
    "Floats",
    "Ints",
    "State",
    "alarms_from",
    "bound_arrays",
    "checked_block",
    "direction_name",
    "direction_sign",
    "in_order",
    "require",
    "restored",
]

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
State: TypeAlias = dict[str, Any]
Direction = Literal["both", "up", "down"]
# What a signal's values are: 0 or 1; within [0, 1]; any number; a category's number; a row of all features; a row of
# all features with its label last.
Domain = Literal["bits", "unit", "real", "codes", "rows", "labelled"]
Bounds: TypeAlias = tuple[Any, Any] | None

DRIFT, WARNING, CLEARED = 2, 1, -2

# A finite value beyond this cannot be squared and summed in float64; without bounds it counts as missing.
LARGEST = 1e100

_DIRECTIONS: dict[Direction, int] = {"both": 0, "up": 1, "down": -1}


class Alarm(NamedTuple):
    """What a bank says of a signal at a row.

    `status`: 2 drift (opened by level detectors, a pulse from ADWIN and Page-Hinkley), 1 warning, -2 cleared (level
    detectors only). `direction`: 1 up, -1 down, 0 both or none. `onset`, `onset_low`, `onset_high` are values of
    `index`; `n` counts the values that the newer side of the comparison holds.
    """

    row: int
    signal: int
    status: int
    direction: int
    statistic: float
    threshold: float
    effect: float
    onset: int
    onset_low: int
    onset_high: int
    n: int


@dataclass(frozen=True, slots=True)
class BlockResult:
    """Alarms of a block in the order (row, signal), and for each row [n, F] the newest test's statistic and threshold.

    Both are NaN until a signal's first test; between tests (`clock`, `test_every`) the newest is carried on.
    """

    alarms: list[Alarm]
    statistic: Floats
    threshold: Floats


class Bank(Protocol):
    """The contract of every bank, held by the conformance suite over `detectors.registry`."""

    takes: ClassVar[frozenset[Domain]]

    def update_many(self, values: Floats, index: Ints) -> Any:
        """Fold rows [n, F] whose positions are `index` [n]; the input is not changed."""

    def state(self) -> State:
        """Everything that `from_state` needs, as arrays and numbers; copies."""

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Bank:
        """The bank that gave `state`; it goes on bit for bit."""

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held."""


def checked_block(values: Any, index: Any, n_signals: int) -> tuple[Floats, Ints]:
    """Rows as a C-ordered, writable float64 array [n, F], positions as int64 [n]; neither shares what a kernel writes.

    Raises
    ------
    ValueError
        on another shape, or on an infinite value: names its row and column.
    """
    block = np.ascontiguousarray(values, dtype=np.float64)
    if block.ndim != 2 or block.shape[1] != n_signals:
        raise ValueError(f"values has shape {block.shape}; give [n, {n_signals}], one column a signal")
    positions = np.ascontiguousarray(index, dtype=np.int64)
    if positions.shape != (len(block),):
        raise ValueError(f"index has shape {positions.shape}; give [{len(block)}], one position a row")
    infinite = np.isinf(block)
    if np.count_nonzero(infinite):  # a third of the time of `any`
        row, column = (int(place[0]) for place in np.nonzero(infinite))
        raise ValueError(f"values[{row}, {column}] = {block[row, column]}; give finite numbers, or NaN for missing")
    # numba would compile a second kernel for read-only arrays, in the middle of a stream.
    return (block if block.flags.writeable else block.copy()), (
        positions if positions.flags.writeable else positions.copy()
    )


def direction_sign(direction: str) -> int:
    """Turn `both`, `up`, `down` into 0, 1, -1."""
    if direction not in _DIRECTIONS:
        raise ValueError(f"direction = {direction!r}; give one of {', '.join(map(repr, _DIRECTIONS))}")
    return _DIRECTIONS[direction]


def direction_name(sign: int) -> Direction:
    """The inverse of `direction_sign`."""
    return next(name for name, value in _DIRECTIONS.items() if value == sign)


def bound_arrays(bounds: Bounds, n_signals: int) -> tuple[Floats, Floats]:
    """`(low, high)` as one number a signal; without bounds infinities.

    Raises
    ------
    ValueError
        where a bound is NaN or `low` is not below `high`.
    """
    if bounds is None:
        return np.full(n_signals, -np.inf), np.full(n_signals, np.inf)
    low, high = (np.array(np.broadcast_to(np.asarray(side, dtype=np.float64), (n_signals,))) for side in bounds)
    if not (low < high).all():
        at = int(np.argmin(low < high))
        raise ValueError(f"bounds of signal {at} = ({low[at]}, {high[at]}); give low < high")
    return low, high


def require(name: str, value: float, allowed: str, *, holds: bool) -> None:
    """Refuse a parameter out of its range with a sentence that says what to give."""
    if not holds:
        raise ValueError(f"{name} = {value}; give {allowed}")


def restored(state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Copy the arrays of a state into those of a fresh bank.

    Raises
    ------
    ValueError
        where one is missing or has another shape: the state belongs to other parameters.
    """
    for name, target in arrays.items():
        if name not in state or np.shape(state[name]) != target.shape:
            found = np.shape(state[name]) if name in state else "nothing"
            raise ValueError(f"state[{name!r}] is {found}; give the state of a bank with shape {target.shape}")
        target[...] = state[name]


def in_order(alarms: Sequence[Alarm]) -> list[Alarm]:
    """Alarms by (row, signal)."""
    return sorted(alarms, key=lambda alarm: (alarm.row, alarm.signal))


def alarms_from(whole: Ints, real: Floats) -> list[Alarm]:
    """Alarms from a kernel's two buffers: columns (row, signal, status, direction, onset, low, high, n) and
    (statistic, threshold, effect)."""
    return in_order(
        [
            Alarm(
                row=w[0], signal=w[1], status=w[2], direction=w[3], onset=w[4], onset_low=w[5], onset_high=w[6], n=w[7],
                statistic=r[0], threshold=r[1], effect=r[2],
            )
            for w, r in zip(whole.tolist(), real.tolist(), strict=True)
        ]
    )  # fmt: skip
