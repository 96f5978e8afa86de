"""Kernels of the rank tests that slide: one value in, one out, both statistics and the alarm rule.

A value in and one out add to the sums up to every place between them, which are kept in blocks: two blocks change
entry by entry, those between them by one number each. Nothing here branches within a block, so it runs as vectors.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors._rank_layout import WIDTH
from detectors._rank_places import (
    KS_OPEN,
    REFERENCE_SUM,
    SEEN,
    SHARED,
    SIZE_N,
    SIZE_TIES,
    SIZE_UNIQUE,
    WINDOW_SUM,
    WINDOW_TIES,
    find,
    places_of,
    plant,
    prefixes_of,
    recount,
    replant,
    resume,
    ring_of,
)
from detectors._window_ties import occurs, shuffled
from detectors.base import CLEARED, DRIFT

__all__ = ["cvm_ratio", "fold"]

_ZERO = np.int32(0)


@njit(cache=True, nogil=True, forceinline=True)
def _add(entries, first, amount):  # type: ignore[no-untyped-def]
    """Add to a block's entries from `first` on; returns the largest and the smallest of all."""
    start, step = np.int32(first), np.int32(amount)
    most, least = np.int32(-(2**31)), np.int32(2**31 - 1)
    for i in range(WIDTH):
        entries[i] += step if np.int32(i) >= start else _ZERO
        most, least = max(most, entries[i]), min(least, entries[i])
    return most, least


@njit(cache=True, nogil=True, forceinline=True)
def _slide(entries, before, place, out, amount, amount_out):  # type: ignore[no-untyped-def]
    """Add `amount` to the sums from `place` on and take `amount_out` from those from `out` on."""
    _add(entries[place // WIDTH], place % WIDTH, amount)
    _add(entries[out // WIDTH], out % WIDTH, -amount_out)
    step, step_out = np.int32(amount), np.int32(amount_out)
    block, block_out = np.int32(place // WIDTH), np.int32(out // WIDTH)
    for j in range(before.shape[0]):
        before[j] += (step if np.int32(j) > block else _ZERO) - (step_out if np.int32(j) > block_out else _ZERO)


@njit(cache=True, nogil=True, forceinline=True)
def _slide_gaps(gaps, before, most, least, place, out, n):  # type: ignore[no-untyped-def]
    """Slide `gaps`, which a value lowers by n, and keep the extremes of each block."""
    block, block_out, step = np.int32(place // WIDTH), np.int32(out // WIDTH), np.int32(n)
    most[block], least[block] = _add(gaps[block], place % WIDTH, -n)
    most[block_out], least[block_out] = _add(gaps[block_out], out % WIDTH, n)
    for j in range(before.shape[0]):
        before[j] += (step if np.int32(j) > block_out else _ZERO) - (step if np.int32(j) > block else _ZERO)


@njit(cache=True, nogil=True, forceinline=True)
def _extremes(before, most, least):  # type: ignore[no-untyped-def]
    """The largest and smallest of `gaps`, and 0, which is that beyond all values."""
    up, down = _ZERO, _ZERO
    for j in range(before.shape[0]):
        up, down = max(up, np.int32(before[j] + most[j])), min(down, np.int32(before[j] + least[j]))
    return np.int64(up), np.int64(down)


@njit(cache=True, nogil=True, forceinline=True)
def _up_to(entries, before, place):  # type: ignore[no-untyped-def]
    """The sum over the window's values up to `place`."""
    return np.int64(entries[place // WIDTH, place % WIDTH]) + before[place // WIDTH]


@njit(cache=True, nogil=True, forceinline=True)
def _weights(ranks, counts, counts_before, rank_sums, ranks_before, place):  # type: ignore[no-untyped-def]
    """What one of the window's values at `place` takes from sum(g V^2), up to a constant, what it adds to the sum of
    3 g c (g + c), and c, 0 for a gap.

    It lifts V by 2 above its place and by 1 on it. The first is 4 sum(g V) above; over the window's other values that
    is a constant less the sum of (this rank - its rank) over those below: so ranks and their number say it.
    """
    rank, up_to = np.int64(ranks[place // WIDTH, place % WIDTH]), _up_to(counts, counts_before, place)
    weight = 4 * (rank * up_to - _up_to(rank_sums, ranks_before, place)) + 2 * rank
    if place & 1 == 0:
        return weight, np.int64(0), np.int64(0)
    equal = up_to - _up_to(counts, counts_before, place - 1)
    count = np.int64(ranks[(place + 1) // WIDTH, (place + 1) % WIDTH]) - rank
    return weight + count * (2 * equal - 1), 3 * count * (count + 2 * equal - 1), equal


@njit(cache=True, nogil=True, forceinline=True)
def _slide_sums(x, slot, place, out, ranks, counts, counts_before, rank_sums, ranks_before, held, bits, hashes, sums):  # type: ignore[no-untyped-def]
    """Slide what Cramér-von Mises needs, and put x in the place of the value that leaves."""
    mask = hashes.shape[0] - 1
    rank, rank_out = np.int64(ranks[place // WIDTH, place % WIDTH]), np.int64(ranks[out // WIDTH, out % WIDTH])
    weight_out, shared_out, equal_out = _weights(ranks, counts, counts_before, rank_sums, ranks_before, out)
    _slide(counts, counts_before, place, out, 1, 1)
    _slide(rank_sums, ranks_before, place, out, rank, rank_out)
    weight, shared, equal = _weights(ranks, counts, counts_before, rank_sums, ranks_before, place)
    hashed = shuffled(bits[slot], mask)
    if out & 1 == 0:
        equal_out = occurs(held, held[slot], hashes[hashed])
    hashes[hashed] -= np.uint16(1)
    held[slot] = x
    hashed = shuffled(bits[slot], mask)
    hashes[hashed] += np.uint16(1)
    if place & 1 == 0:
        equal = occurs(held, x, hashes[hashed])
    sums[REFERENCE_SUM] += weight_out - weight
    sums[WINDOW_SUM] += rank * rank - rank_out * rank_out
    sums[WINDOW_TIES] += 3 * (equal * (equal - 1) - equal_out * (equal_out - 1))
    sums[SHARED] += shared - shared_out


@njit(cache=True, nogil=True)
def cvm_ratio(n, m, reference_sum, reference_ties, window_sum, window_ties):  # type: ignore[no-untyped-def]
    """T as scipy defines it, from exact integers and one division."""
    twelve = n * (3 * reference_sum + reference_ties) + m * (3 * window_sum + window_ties)
    return (twelve - 2 * n * m * (4 * n * m - 1)) / (12.0 * n * m * (n + m))


@njit(cache=True, nogil=True)
def _tie_part(n, m, reference_ties, window_ties, shared):  # type: ignore[no-untyped-def]
    """How much of T ties alone make: T less the same integral over mid-distribution functions, less 1/(4 (n + m)).

    0 without ties; with n != m it grows with the samples although they agree, so no critical value holds for T itself.
    """
    own = float(reference_ties + window_ties)
    return own / (12.0 * n * m) - (own + shared) / (12.0 * (n + m) * (n + m))


@njit(cache=True, nogil=True)
def _onset(ranks, ring, n):  # type: ignore[no-untyped-def]
    """Index of the window's value from which on the doubled mid-ranks among the reference differ most from n.

    They average n while window and reference share a law, so the split is where the squared sum of what follows, over
    its length, is largest.
    """
    m = ring.values.shape[0]
    newest = (ring.flags[SEEN] - 1) % m
    total, best, onset = 0, -1.0, newest
    for back in range(m):
        slot = newest - back if newest >= back else newest - back + m
        place = ring.places[slot]
        total += ranks[place // WIDTH, place % WIDTH] - n
        gain = float(total) * float(total) / (back + 1.0)
        if gain > best:
            best, onset = gain, slot
    return ring.positions[onset]


@njit(cache=True, nogil=True)
def _direction(due, ring, n):  # type: ignore[no-untyped-def]
    """1 where the largest gap is above 0 (the window's values are the higher ones), else -1; summed from nothing."""
    held = np.zeros(due.size, dtype=np.int64)
    for slot in range(ring.places.shape[0]):
        held[ring.places[slot]] += 1
    most, least, count = 0, 0, 0
    for place in range(held.shape[0]):
        count += held[place]
        gap = due[place // WIDTH, place % WIDTH] - n * count
        most, least = max(most, gap), min(least, gap)
    return 1 if most >= -least else -1


@njit(cache=True, nogil=True, forceinline=True)
def _statistics(n, m, gaps_before, most, least, ties, sums, newest, rule):  # type: ignore[no-untyped-def]
    """Compute both tests' statistics."""
    if rule.ks:
        up, down = _extremes(gaps_before, most, least)
        newest[0] = max(up, -down) / (n * m)
    if rule.cvm:
        newest[1] = cvm_ratio(n, m, sums[REFERENCE_SUM], ties, sums[WINDOW_SUM], sums[WINDOW_TIES])
        newest[2] = _tie_part(n, m, ties, sums[WINDOW_TIES], sums[SHARED])


@njit(cache=True, nogil=True, forceinline=True)
def _effect(test, n, m, newest):  # type: ignore[no-untyped-def]
    if test == 0:
        return newest[0]
    return np.sqrt(max(0.0, newest[1] - newest[2]) * (n + m) / (n * m))


@njit(cache=True, nogil=True, forceinline=True)
def _status(test, n, m, newest, thresholds, flags, rule):  # type: ignore[no-untyped-def]
    """Status of a test's level alarm: opened, cleared or 0; 0 too for one that is not run."""
    statistic = newest[test] - newest[2] if test == 1 else newest[test]
    threshold, effect = thresholds[test], _effect(test, n, m, newest)
    if not flags[KS_OPEN + test]:
        return DRIFT if statistic > threshold and effect >= rule.min_effect else 0
    cleared = statistic < rule.clear_ratio * threshold or effect < rule.clear_ratio * rule.min_effect
    return CLEARED if cleared else 0


@njit(cache=True, nogil=True)
def _say(row, f, position, places, ring, rule, thresholds, count, said):  # type: ignore[no-untyped-def]
    """Open and clear alarms and write what there is to say of them; returns the new number of alarms."""
    (whole, real), n, m = said, places.size[SIZE_N], ring.values.shape[0]
    for test in range(2):
        status = _status(test, n, m, ring.newest, thresholds, ring.flags, rule)
        if status:
            ring.flags[KS_OPEN + test] = 1 if status == DRIFT else 0
            first = ring.positions[ring.flags[SEEN] % m]
            onset = _onset(places.ranks, ring, n) if status == DRIFT else position
            sign = _direction(places.due, ring, n)
            whole[count] = (row, f, status, sign, onset, first, position, m, test)
            ties = ring.newest[2] if test == 1 else 0.0
            real[count] = (ring.newest[test], thresholds[test] + ties, _effect(test, n, m, ring.newest))
            count += 1
    return count


@njit(cache=True, nogil=True)
def _until_renewal(seen, held, step):  # type: ignore[no-untyped-def]
    """Values until the next renewal: when history is first full, then every `step`."""
    if step == 0 or seen < held:
        return held - seen
    return step - (seen - held) % step


@njit(cache=True, nogil=True)
def _renew(oldest, places, prefixes, ring, history, reference):  # type: ignore[no-untyped-def]
    """Take the oldest part of history as the new reference."""
    held, fresh = history.shape[0], places.size[SIZE_N] == 0
    for i in range(reference.shape[0]):
        reference[i] = history[(oldest + i) % held]
    reference[:] = np.sort(reference)
    plant(places, reference, ring.values.shape[0])
    replant(places, prefixes, ring)
    if fresh:
        recount(ring)


@njit(cache=True, nogil=True)
def fold(values, index, planted, summed, rings, rule, thresholds, history, reference, step, statistic, whole, real):  # type: ignore[no-untyped-def]
    """Fold a block [F, n] signal by signal; `statistic` is [3, F, n], as `Ring.newest`; returns the number of alarms.

    With a `step`, references are renewed every so many values from `history` [F, reference + gap + window].
    """
    count = 0
    for f in range(values.shape[0]):
        count = _fold_signal(
            f, values[f], index, places_of(planted, f), prefixes_of(summed, f), ring_of(rings, f), rule, thresholds[f],
            history[f], reference[f], step, statistic[:, f], count, (whole, real),
        )  # fmt: skip
    return count


@njit(cache=True, nogil=True)
def _fold_signal(  # type: ignore[no-untyped-def]
    f, values, index, places, prefixes, ring, rule, thresholds, history, reference, step, statistic, count, said
):  # sizes: a signal's part of each array of `fold`
    # Arrays one by one: taking one out of a named tuple counts a reference, which costs as much as a block.
    unique, cells, grid, ranks, _, size = places
    gaps, gaps_before, most, least, counts, counts_before, rank_sums, ranks_before = prefixes
    held, positions, spots, flags, sums, newest, hashes = ring
    bits, m, past = held.view(np.int64), held.shape[0], history.shape[0]
    slot, until, at = flags[SEEN] % m, _until_renewal(flags[SEEN], past, step), flags[SEEN] % max(past, 1)
    for row in range(values.shape[0]):
        statistic[0, row], statistic[1, row], statistic[2, row] = newest[0], newest[1], newest[2]
        x = values[row] + 0.0  # one zero only: -0.0 and 0.0 tie, and a sort may swap them
        if np.isnan(x):
            continue
        n, out = size[SIZE_N], np.int64(spots[slot])
        flags[SEEN] += 1
        if flags[SEEN] > m and n > 0:
            place = find(x, unique, cells, grid, size[SIZE_UNIQUE])
            spots[slot] = place
            if rule.ks:
                _slide_gaps(gaps, gaps_before, most, least, place, out, n)
            if rule.cvm:
                _slide_sums(
                    x, slot, place, out, ranks, counts, counts_before, rank_sums, ranks_before, held, bits, hashes, sums
                )
        held[slot], positions[slot] = x, index[row]
        if flags[SEEN] == m:
            resume(places, prefixes, ring)
        slot = slot + 1 if slot + 1 < m else 0
        if step:
            history[at] = x
            at, until = at + 1 if at + 1 < past else 0, until - 1
            if until == 0:
                _renew(at, places, prefixes, ring, history, reference)
                until = step
        n = size[SIZE_N]
        if n == 0 or flags[SEEN] < m or (rule.test_every > 1 and flags[SEEN] % rule.test_every):
            continue
        _statistics(n, m, gaps_before, most, least, size[SIZE_TIES], sums, newest, rule)
        if _status(0, n, m, newest, thresholds, flags, rule) or _status(1, n, m, newest, thresholds, flags, rule):
            count = _say(row, f, index[row], places, ring, rule, thresholds, count, said)
        statistic[0, row], statistic[1, row], statistic[2, row] = newest[0], newest[1], newest[2]
    return count
