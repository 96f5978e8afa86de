"""Kernels of the rank tests that build: the places of a reference, and the sums of a window from nothing.

All sums are integers, so a statistic depends on what the window holds, never on how it came there. With W(k) and R(k)
the number and the ranks of the window's values up to place k, g how often the reference holds a unique value and V
twice that value's mid-rank among the window's (W(2i) + W(2i + 1)), `Ring.sums` holds for Cramér-von Mises:
the sum of g V^2; of squared ranks; of t^3 - t over the counts t of equal window values; of 3 g c (g + c), c = window
values equal to the unique value.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors._rank_layout import WIDTH, Places, Prefixes, Ring
from detectors._window_ties import shuffled, tie_sum

__all__ = [
    "KS_OPEN", "REFERENCE_SUM", "SEEN", "SHARED", "SIZE_N", "SIZE_TIES", "SIZE_UNIQUE", "WINDOW_SUM", "WINDOW_TIES",
    "find", "places_of", "plant", "prefixes_of", "recount", "replant", "resume", "ring_of",
]  # fmt: skip

SIZE_UNIQUE, SIZE_N, SIZE_TIES = range(3)
REFERENCE_SUM, WINDOW_SUM, WINDOW_TIES, SHARED = range(4)
SEEN, KS_OPEN = 0, 1  # of `Ring.flags`; then CvM's


@njit(cache=True, nogil=True)
def places_of(places, f):  # type: ignore[no-untyped-def]
    """One signal's part; the kernels below take this."""
    return Places(
        places.unique[f], places.cells[f], places.grid[f], places.ranks[f], places.due[f], places.size[f],
    )  # fmt: skip


@njit(cache=True, nogil=True)
def prefixes_of(sums, f):  # type: ignore[no-untyped-def]
    """One signal's part."""
    return Prefixes(
        sums.gaps[f], sums.gaps_before[f], sums.most[f], sums.least[f], sums.counts[f], sums.counts_before[f],
        sums.ranks[f], sums.ranks_before[f],
    )  # fmt: skip


@njit(cache=True, nogil=True)
def ring_of(rings, f):  # type: ignore[no-untyped-def]
    """One signal's part."""
    return Ring(
        rings.values[f], rings.positions[f], rings.places[f], rings.flags[f], rings.sums[f], rings.newest[f],
        rings.hashes[f],
    )  # fmt: skip


@njit(cache=True, nogil=True)
def plant(places, reference, m):  # type: ignore[no-untyped-def]
    """Learn the places of the ascending `reference`, for windows of m values."""
    unique, ranks, due = places.unique, places.ranks.reshape(-1), places.due.reshape(-1)
    n, first, found, ties = reference.shape[0], 0, 0, 0
    while first < n:
        end = first + 1
        while end < n and reference[end] == reference[first]:
            end += 1
        count = end - first
        unique[found] = reference[first]
        ranks[2 * found], ranks[2 * found + 1] = 2 * first, 2 * first + count
        due[2 * found], due[2 * found + 1] = m * first, m * end
        ties += count * count * count - count
        found += 1
        first = end
    ranks[2 * found :] = 2 * n
    due[2 * found :] = m * n
    places.size[SIZE_UNIQUE], places.size[SIZE_N], places.size[SIZE_TIES] = found, n, ties
    _rule_grid(unique, places.cells, places.grid, found)


@njit(cache=True, nogil=True)
def _rule_grid(unique, cells, grid, found):  # type: ignore[no-untyped-def]
    """Cut the reference's range into equal cells; `cells` holds how many unique values lie below each.

    A value's cell never falls when the value rises, in floating point too: so the cell bounds the search exactly.
    """
    last = cells.shape[0] - 1
    grid[0], grid[1] = 0.0, 0.0
    if found > 0:
        grid[0] = unique[0]
        width = unique[found - 1] - unique[0]
        grid[1] = last / width if width > 0.0 else 0.0
    cells[:] = 0
    for i in range(found):
        cells[_cell(unique[i], grid, last) + 1] += 1
    for cell in range(last):
        cells[cell + 1] += cells[cell]


@njit(cache=True, nogil=True, forceinline=True)
def _cell(x, grid, last):  # type: ignore[no-untyped-def]
    at = (x - grid[0]) * grid[1]
    if not at > 0.0:  # NaN too: an infinite difference times a scale of 0
        return 0
    return int(at) if at < last else last - 1


@njit(cache=True, nogil=True, forceinline=True)
def find(x, unique, cells, grid, found):  # type: ignore[no-untyped-def]
    """The place of x."""
    cell = _cell(x, grid, cells.shape[0] - 1)
    low, high = np.int64(cells[cell]), np.int64(cells[cell + 1])
    while low < high:
        middle = (low + high) >> 1
        if unique[middle] < x:
            low = middle + 1
        else:
            high = middle
    return 2 * low + (1 if low < found and unique[low] == x else 0)


@njit(cache=True, nogil=True)
def resume(places, prefixes, ring):  # type: ignore[no-untyped-def]
    """Rebuild all sums of a restored window."""
    if places.size[SIZE_N] > 0 and ring.flags[SEEN] >= ring.values.shape[0]:
        replant(places, prefixes, ring)
        recount(ring)


@njit(cache=True, nogil=True)
def replant(places, prefixes, ring):  # type: ignore[no-untyped-def]
    """Find the values of a full window anew among a reference's and sum them from nothing."""
    unique, cells, grid, ranks, _, size = places
    held = prefixes.counts.reshape(-1)
    held[:] = 0
    squares = 0
    for slot in range(ring.values.shape[0]):
        place = find(ring.values[slot], unique, cells, grid, size[SIZE_UNIQUE])
        ring.places[slot] = place
        held[place] += 1
        rank = int(ranks[place // WIDTH, place % WIDTH])
        squares += rank * rank
    ring.sums[WINDOW_SUM] = squares
    ring.sums[REFERENCE_SUM], ring.sums[SHARED] = _pair_sums(held, ranks.reshape(-1), size[SIZE_UNIQUE])
    _sum_up(places, prefixes)


@njit(cache=True, nogil=True)
def _sum_up(places, prefixes):  # type: ignore[no-untyped-def]
    """Turn the window's counts at each place, which stand in `counts`, into all prefix sums."""
    ranks, due, n = places.ranks, places.due, places.size[SIZE_N]
    gaps, gaps_before, most, least, counts, counts_before, rank_sums, ranks_before = prefixes
    total, total_ranks = 0, 0
    for block in range(counts.shape[0]):
        before, before_ranks, first = total, total_ranks, int(due[block, 0]) - n * (total + int(counts[block, 0]))
        up, down = first, first
        for i in range(WIDTH):
            here = int(counts[block, i])
            total += here
            total_ranks += here * int(ranks[block, i])
            gap = int(due[block, i]) - n * total
            up, down = max(up, gap), min(down, gap)
            counts[block, i], rank_sums[block, i], gaps[block, i] = total - before, total_ranks - before_ranks, gap
        counts_before[block], ranks_before[block], gaps_before[block] = before, before_ranks, 0
        most[block], least[block] = up, down


@njit(cache=True, nogil=True)
def _pair_sums(held, ranks, unique):  # type: ignore[no-untyped-def]
    """The sums over unique reference values: of g V^2, and of 3 g c (g + c)."""
    below, squares, shared = 0, 0, 0
    for i in range(unique):
        between, equal, count = int(held[2 * i]), int(held[2 * i + 1]), int(ranks[2 * i + 2] - ranks[2 * i + 1])
        doubled = 2 * (below + between) + equal
        below += between + equal
        squares += count * doubled * doubled
        shared += 3 * count * equal * (count + equal)
    return squares, shared


@njit(cache=True, nogil=True)
def recount(ring):  # type: ignore[no-untyped-def]
    """Count the ties of a full window anew."""
    bits, mask = ring.values.view(np.int64), ring.hashes.shape[0] - 1
    ring.hashes[:] = 0
    for slot in range(bits.shape[0]):
        ring.hashes[shuffled(bits[slot], mask)] += 1
    ring.sums[WINDOW_TIES] = tie_sum(ring.values)
