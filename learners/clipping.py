"""Keep one absurd number from ruining a learner: clip each feature at 5 times what its last values reached.

A change of unit still gets through: the limit follows what arrives by up to a factor of 5 every 256 values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["RangeClip"]

BLOCK_N = 256
FACTOR = 5.0  # at 100, one clipped outlier still took 20 points of accuracy from Gaussian naive Bayes
NAMES_CAP = 4_096
FIRST_LIMIT = 1e12  # before the first block is full nothing is known; 1e12 squared still adds up exactly enough

_LIMIT, _BEFORE, _NOW, _COUNT = range(4)


class RangeClip:
    """Limits per name: `FACTOR` × the largest magnitude in the last two full blocks of values.

    Where that is 0, as in the first block, there is no scale yet and the limit is `FIRST_LIMIT`. What enters the next
    limit is the clipped value, so a single outlier widens the range by `FACTOR` at most and is forgotten after two
    blocks. Constant time and four numbers per name, for the first 4,096 names; others keep `FIRST_LIMIT`.
    """

    def __init__(self) -> None:
        self._names: dict[str, list[float]] = {}

    def clip(self, name: str, value: float) -> float | None:
        """`value` within the limits of `name`; None for NaN."""
        state = self._names.get(name)
        limit = FIRST_LIMIT if state is None else state[_LIMIT]
        if -limit <= value <= limit:
            return float(value)
        if value > limit:
            return limit
        return -limit if value < -limit else None

    def learn(self, name: str, value: float) -> None:
        """Let `value` count for the limits to come."""
        clipped = self.clip(name, value)
        if clipped is None:
            return
        state = self._names.get(name)
        if state is None:
            if len(self._names) >= NAMES_CAP:
                return
            state = self._names[name] = [FIRST_LIMIT, 0.0, 0.0, 0]
        state[_NOW] = max(state[_NOW], abs(clipped))
        state[_COUNT] += 1
        if state[_COUNT] == BLOCK_N:
            largest = max(state[_BEFORE], state[_NOW])
            state[:] = [FACTOR * largest if largest > 0.0 else FIRST_LIMIT, state[_NOW], 0.0, 0]

    def columns(self, names: Sequence[str]) -> list[list[float]]:
        """What is kept for each of `names`, in their order; for compiled code that clips many values at once."""
        return [self._names.get(name, [FIRST_LIMIT, 0.0, 0.0, 0]) for name in names]

    def load_columns(self, names: Sequence[str], states: Sequence[Sequence[float]]) -> None:
        """Take over what `columns` gave, moved on by values that were learned."""
        for name, (limit, before, now, count) in zip(names, states, strict=True):
            self._names[name] = [limit, before, now, int(count)]

    def state(self) -> dict[str, list[float]]:
        """Plain tree for a snapshot."""
        return self._names

    @classmethod
    def from_state(cls, state: Any) -> RangeClip:
        """Restore what `state` gave."""
        clip = cls()
        clip._names = {str(name): [float(a), float(b), float(c), int(n)] for name, (a, b, c, n) in state.items()}
        return clip
