"""How often each of a window's values occurs: a table by the value's bits, open to the next free slot.

A slot is (bits, count), free where the count is 0. Taking a value out closes the hole, so that searches stay short
however long the stream; what the counts say does not depend on the order of slots.
"""

from __future__ import annotations

from numba import njit

__all__ = ["count_in", "count_out"]


@njit(cache=True, nogil=True, forceinline=True)
def _home(bits, mask):  # type: ignore[no-untyped-def]
    """The slot where a search begins; the product of 31 bits each stays below 2^63."""
    return ((((bits ^ (bits >> 32)) & 0x7FFFFFFF) * 0x61C88647) >> 20) & mask


@njit(cache=True, nogil=True, forceinline=True)
def _slot(table, bits):  # type: ignore[no-untyped-def]
    """Where `bits` is, or where it goes."""
    mask = table.shape[0] - 1
    at = _home(bits, mask)
    while table[at, 1] != 0 and table[at, 0] != bits:
        at = (at + 1) & mask
    return at


@njit(cache=True, nogil=True, forceinline=True)
def count_in(table, bits):  # type: ignore[no-untyped-def]
    """Count a value; returns how often it is there now."""
    at = _slot(table, bits)
    count = table[at, 1] + 1
    table[at, 0], table[at, 1] = bits, count
    return count


@njit(cache=True, nogil=True, forceinline=True)
def count_out(table, bits):  # type: ignore[no-untyped-def]
    """Take back a value that was counted; returns how often it was there."""
    hole = _slot(table, bits)
    count = table[hole, 1]
    table[hole, 1] = count - 1
    if count > 1:
        return count
    mask = table.shape[0] - 1
    at = (hole + 1) & mask
    while table[at, 1] != 0:
        if (at - _home(table[at, 0], mask)) & mask >= (at - hole) & mask:  # its search passes the hole
            table[hole, 0], table[hole, 1] = table[at, 0], table[at, 1]
            table[at, 1] = 0
            hole = at
        at = (at + 1) & mask
    return count
