"""Categories as numbers: first seen, first numbered while the reference is learned; by frequency afterwards.

A code is the rank of a category in the reference, most frequent first, so that rank statistics of the codes
compare cumulative shares of categories. A category that the reference never saw has the code after the last.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Vocabulary"]


class Vocabulary:
    """The categories of one signal, at most `cap` of them; later ones share the code of the unseen."""

    __slots__ = ("cap", "codes", "counts", "frozen", "overflow")

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.codes: dict[str, int] = {}
        self.counts: list[int] = []
        self.frozen = False
        self.overflow = 0

    def __len__(self) -> int:
        return len(self.codes)

    def learn(self, value: str) -> int:
        """The code of `value` while the reference is learned."""
        code = self.codes.get(value)
        if code is None:
            if len(self.codes) >= self.cap:
                self.overflow += 1
                return self.cap
            code = self.codes[value] = len(self.codes)
            self.counts.append(0)
        self.counts[code] += 1
        return code

    def freeze(self) -> list[int]:
        """Number the categories by frequency; returns, for each old code, the new one."""
        order = sorted(range(len(self.counts)), key=lambda code: (-self.counts[code], code))
        rank = [0] * len(order)
        for new, old in enumerate(order):
            rank[old] = new
        self.codes = {value: rank[code] for value, code in self.codes.items()}
        self.counts = [self.counts[old] for old in order]
        self.frozen = True
        return rank

    def code(self, value: str) -> int:
        """The code of `value` after `freeze`; `len(self)` for one that the reference never saw."""
        return self.codes.get(value, len(self.codes))

    def state(self) -> list[Any]:
        """Plain values for a checkpoint."""
        return [list(self.codes.items()), self.counts, self.frozen, self.overflow]

    def load(self, state: list[Any]) -> None:
        """Restore what `state` gave."""
        codes, counts, self.frozen, self.overflow = state
        self.codes, self.counts = dict(codes), list(counts)
