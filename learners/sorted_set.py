"""A set that is iterated in sorted order, for the place where river walks a set of text.

The order of a plain set of text differs between processes (Python salts the hash of text) and after a restore,
and river lets it decide between equally good splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["SortedSet", "sort_river_sets"]


class SortedSet(set[Any]):
    """A set whose iteration order depends on its members only: by type, then by value."""

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(super().__iter__(), key=lambda value: (type(value).__name__, value)))


def sort_river_sets() -> None:
    """Make river's observer of nominal features repeatable; a second call changes nothing.

    River 0.26 compares the binary splits of a nominal feature in the order of a set and keeps the first of equals;
    with two categories both splits are always equal. And it takes note of a class when it is asked about it, so that
    predictions, however many, changed the state of a tree.
    """
    from river.tree.splitter.nominal_splitter_classif import NominalSplitterClassif

    splitter: Any = NominalSplitterClassif
    plain, plain_proba = splitter.__init__, splitter.cond_proba
    if getattr(plain, "walks_sorted", False):
        return

    def sorted_init(self: Any) -> None:
        plain(self)
        self._att_values = SortedSet()

    def cond_proba(self: Any, att_val: Any, target_val: Any) -> Any:
        return plain_proba(self, att_val, target_val) if target_val in self._att_dist_per_class else 0.0

    sorted_init.walks_sorted = True  # type: ignore[attr-defined] # marks the replacement on itself
    splitter.__init__, splitter.cond_proba = sorted_init, cond_proba
