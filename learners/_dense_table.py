"""State of the learners over dense rows: a table of classes by places that grows with classes, columns and codes.

How much room there is decides no result, so growth may come early: what is in use follows from what was learned.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.errors import SnapshotError

__all__ = ["SCALE_WIDTH", "State", "Widths", "begun", "grown", "loaded", "stored"]

SCALE_WIDTH = 8  # of learners._dense_kernels, which loads the compiler
_OFFSET, _PLACES, _KNOWN = range(3)
_CLASSES = 2


class State(NamedTuple):
    """What a kernel reads and writes; see `learners._dense_kernels` for the places within."""

    table: NDArray[np.float64]
    layout: NDArray[np.int64]
    scale: NDArray[np.float64]
    clock: NDArray[np.float64]


class Widths(NamedTuple):
    """Places of a class: for itself, for a column of numbers, and for a nominal one beside one for each code."""

    lead: int
    number: int
    nominal: int


def begun(widths: Widths, rows: int, categories: tuple[int, ...]) -> State:
    """A state that has learned nothing, with places for so many rows and codes a column (0: numbers)."""
    layout = np.zeros((len(categories), 3), dtype=np.int64)
    at = widths.lead
    for c, places in enumerate(categories):
        layout[c, _OFFSET], layout[c, _PLACES] = at, places
        at += widths.nominal + places if places else widths.number
    return State(np.zeros((rows, at)), layout, np.zeros((1 + len(categories), SCALE_WIDTH)), np.array([1.0, 0.0, 0.0]))


def grown(state: State, widths: Widths, rows: int, categories: tuple[int, ...], budget_bytes: int) -> State:
    """The same state with places for so many rows and codes a column; new columns are appended.

    Raises
    ------
    ValueError
        the budget does not hold it; nothing has changed then.
    """
    rows, wanted = _room(state, rows, categories)
    if rows == len(state.table) and wanted == tuple(state.layout[:, _PLACES]):
        return state
    places = widths.lead + sum(widths.nominal + n if n else widths.number for n in wanted)
    needed = 8 * (rows * places + 3 * len(wanted) + SCALE_WIDTH * (1 + len(wanted)) + 3)
    if needed > budget_bytes:
        raise ValueError(f"budget_bytes = {budget_bytes}: {needed} are needed for it")
    larger = begun(widths, rows, wanted)
    old = len(state.table)
    larger.table[:old, : widths.lead] = state.table[:, : widths.lead]
    for before, after in zip(state.layout, larger.layout, strict=False):
        width = widths.nominal + int(before[_PLACES]) if before[_PLACES] else widths.number
        source = slice(int(before[_OFFSET]), int(before[_OFFSET]) + width)
        larger.table[:old, int(after[_OFFSET]) : int(after[_OFFSET]) + width] = state.table[:, source]
        after[_KNOWN] = before[_KNOWN]
    larger.scale[: len(state.scale)] = state.scale
    larger.clock[:] = state.clock
    return larger


def _room(state: State, rows: int, categories: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Rows and codes a column that a state must have so that these fit; the same as it has if they do."""
    known = tuple(int(n) for n in state.layout[:, _PLACES])
    wanted = list(known) + [_power_of_two(n) if n else 0 for n in categories[len(known) :]]
    for c, (had, n) in enumerate(zip(known, categories, strict=False)):
        wanted[c] = max(had, _power_of_two(n)) if had else 0
    return max(len(state.table), _power_of_two(rows)), tuple(wanted)


def stored(state: State) -> dict[str, Any]:
    """Plain tree for a snapshot."""
    return {name: array.copy() for name, array in state._asdict().items()}


def loaded(widths: Widths, tree: dict[str, Any], caps: tuple[int, int]) -> State:
    """What `stored` gave; `caps` are the most rows and codes a column that may stand there.

    Raises
    ------
    SnapshotError
        the arrays do not fit each other.
    """
    rows, layout = len(tree["table"]), np.asarray(tree["layout"])
    places = tuple(int(n) for n in layout[:, _PLACES])
    if not 1 <= rows <= 2 * caps[0] or any(not 0 <= n <= 2 * caps[1] for n in places):
        raise SnapshotError("the snapshot contradicts itself: its table is larger than the caps allow")
    state = begun(widths, rows, places)
    for name, target in state._asdict().items():
        array = tree[name]
        if not isinstance(array, np.ndarray) or (array.dtype, array.shape) != (target.dtype, target.shape):
            raise SnapshotError(f"the snapshot contradicts itself: {name} has another shape")
        if name == "layout":
            _check_layout(array, target)
        elif not np.isfinite(array).all():
            raise SnapshotError(f"the snapshot contradicts itself: {name} is not finite")
        target[:] = array
    if not 0 <= state.clock[_CLASSES] <= rows or state.clock[0] <= 0.0 or state.clock[1] < 0.0:
        raise SnapshotError("the snapshot contradicts itself: its counters are out of range")
    return state


def _check_layout(given: NDArray[np.int64], expected: NDArray[np.int64]) -> None:
    known = given[:, _KNOWN]
    if (given[:, :_KNOWN] != expected[:, :_KNOWN]).any() or (known < 0).any() or (known > given[:, _PLACES]).any():
        raise SnapshotError("the snapshot contradicts itself: columns lie where they cannot")


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()
