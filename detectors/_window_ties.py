"""How often a value occurs in a window: a filter by hash says of most values that they stand alone.

Only where another value has the same hash is the window looked through, which runs as vectors. What comes out does not
depend on the hash.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["occurs", "shuffled", "tie_sum"]


@njit(cache=True, nogil=True, forceinline=True)
def shuffled(bits, mask):  # type: ignore[no-untyped-def]
    """A value's slot in the filter, from its bits; the product of 31 bits each stays below 2^63."""
    return ((((bits ^ (bits >> 32)) & 0x7FFFFFFF) * 0x61C88647) >> 20) & mask


@njit(cache=True, nogil=True, forceinline=True)
def occurs(held, x, same_hash):  # type: ignore[no-untyped-def]
    """How often the window holds x, which is one of `same_hash` values of it."""
    if same_hash == 1:
        return np.int64(1)
    equal = np.int64(0)
    for slot in range(held.shape[0]):
        equal += held[slot] == x
    return equal


@njit(cache=True, nogil=True)
def tie_sum(values):  # type: ignore[no-untyped-def]
    """The sum of t^3 - t over the counts t of equal values."""
    ordered = np.sort(values)
    equal, ties = 0, 0
    for i in range(ordered.shape[0]):
        equal = equal + 1 if i > 0 and ordered[i] == ordered[i - 1] else 0
        ties += 3 * equal * (equal + 1)
    return ties
