"""Kernels of the rank tests: a segment tree over the reference's unique values that counts the window between them.

All in int64, so a statistic depends on what the window holds and never on how it came there.

A leaf is a unique reference value u with the gap below it: how many window values lie in the gap, how many equal u, how
often the reference holds u. A node covers a run of leaves and keeps, with n and m values in reference and window:
W and G, the window's and the reference's counts; the largest and smallest prefix of m*ref - n*window for
Kolmogorov-Smirnov; for Cramér-von Mises sum(g V) and sum(g V^2), V = twice the mid-rank of u among the window's values.
Each node has four children, the lowest nodes four leaves.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors._rank_layout import FOUR, Ring, Tree
from detectors.base import CLEARED, DRIFT

__all__ = ["cvm_ratio", "fold", "plant", "recount", "replant", "ring_of", "tree_of"]

_BETWEEN, _EQUAL, _REFERENCE, _BELOW = range(4)
_W, _G, _MOST, _LEAST, _S1, _S2 = range(6)
_UNIQUE, _N, _TIES = range(3)
_SEEN, _KS_OPEN, _CVM_OPEN = range(3)
_SQUARES, _WINDOW_TIES, _SHARED = range(3)


@njit(cache=True, nogil=True)
def tree_of(trees, f):  # type: ignore[no-untyped-def]
    """One signal's part; the kernels below take this."""
    return Tree(trees.unique[f], trees.cells[f], trees.grid[f], trees.leaves[f], trees.nodes[f], trees.size[f])


@njit(cache=True, nogil=True)
def ring_of(rings, f):  # type: ignore[no-untyped-def]
    """One signal's part."""
    return Ring(rings.values[f], rings.positions[f], rings.places[f], rings.flags[f], rings.sums[f], rings.newest[f])


@njit(cache=True, nogil=True)
def plant(tree, reference, m):  # type: ignore[no-untyped-def]
    """Build a signal's tree over the ascending `reference`, with an empty window."""
    unique, leaves, size = tree.unique, tree.leaves, tree.size
    leaves[:] = 0
    found, ties = 0, 0
    for i in range(reference.shape[0]):
        if i == 0 or reference[i] != reference[i - 1]:
            unique[found] = reference[i]
            found += 1
        count = leaves[found - 1, _REFERENCE]
        ties += 3 * count * (count + 1)
        leaves[found - 1, _REFERENCE] = count + 1
    below = 0
    for leaf in range(leaves.shape[0]):
        leaves[leaf, _BELOW] = below
        below += leaves[leaf, _REFERENCE]
    size[_UNIQUE], size[_N], size[_TIES] = found, reference.shape[0], ties
    _rule_grid(unique, tree.cells, tree.grid, found)
    _grow(leaves, tree.nodes, reference.shape[0], m)


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


@njit(cache=True, nogil=True)
def _cell(x, grid, last):  # type: ignore[no-untyped-def]
    at = (x - grid[0]) * grid[1]
    if not at > 0.0:  # NaN too: an infinite difference times a scale of 0
        return 0
    return int(at) if at < last else last - 1


@njit(cache=True, nogil=True)
def _grow(leaves, nodes, n, m):  # type: ignore[no-untyped-def]
    """Compute all nodes from the leaves."""
    runs = leaves.shape[0] // FOUR
    for run in range(runs):
        _sum_run(leaves, nodes, run, n, m)
    for node in range(nodes.shape[0] - runs - 1, -1, -1):
        _join(nodes, node, n, m)


@njit(cache=True, nogil=True)
def replant(tree, ring):  # type: ignore[no-untyped-def]
    """Find the window's values anew in a tree that was just planted."""
    leaves, m, squares = tree.leaves, ring.values.shape[0], 0
    for slot in range(min(ring.flags[_SEEN], m)):
        place = _find(ring.values[slot], tree.unique, tree.cells, tree.grid, tree.size[_UNIQUE])
        ring.places[slot] = place
        leaves[place >> 1, place & 1] += 1
        rank = _rank(leaves, place)
        squares += rank * rank
    shared = 0
    for leaf in range(tree.size[_UNIQUE]):
        equal, count = leaves[leaf, _EQUAL], leaves[leaf, _REFERENCE]
        shared += 3 * count * equal * (count + equal)
    ring.sums[_SQUARES], ring.sums[_SHARED] = squares, shared
    _grow(leaves, tree.nodes, tree.size[_N], m)


@njit(cache=True, nogil=True)
def recount(ring):  # type: ignore[no-untyped-def]
    """Count the ties of the window anew."""
    values = np.sort(ring.values[: min(ring.flags[_SEEN], ring.values.shape[0])])
    equal, ties = 0, 0
    for i in range(values.shape[0]):
        equal = equal + 1 if i > 0 and values[i] == values[i - 1] else 0
        ties += 3 * equal * (equal + 1)
    ring.sums[_WINDOW_TIES] = ties


@njit(cache=True, nogil=True)
def _find(x, unique, cells, grid, found):  # type: ignore[no-untyped-def]
    """Twice the first leaf whose value is not below x, plus 1 where it equals x."""
    cell = _cell(x, grid, cells.shape[0] - 1)
    low, high = cells[cell], cells[cell + 1]
    while low < high:
        middle = (low + high) >> 1
        if unique[middle] < x:
            low = middle + 1
        else:
            high = middle
    return 2 * low + (1 if low < found and unique[low] == x else 0)


@njit(cache=True, nogil=True)
def _rank(leaves, place):  # type: ignore[no-untyped-def]
    """Twice the mid-rank of a window value among the reference, counted from 0."""
    leaf = place >> 1
    return 2 * leaves[leaf, _BELOW] + (leaves[leaf, _REFERENCE] if place & 1 else 0)


@njit(cache=True, nogil=True)
def _sum_run(leaves, nodes, run, n, m):  # type: ignore[no-untyped-def]
    most, least, window, reference, s1, s2 = 0, 0, 0, 0, 0, 0
    for leaf in range(run * FOUR, run * FOUR + FOUR):
        between, equal, count = leaves[leaf, _BETWEEN], leaves[leaf, _EQUAL], leaves[leaf, _REFERENCE]
        doubled = 2 * (window + between) + equal
        least = min(least, m * reference - n * (window + between))
        window += between + equal
        reference += count
        most = max(most, m * reference - n * window)
        least = min(least, m * reference - n * window)
        s1 += count * doubled
        s2 += count * doubled * doubled
    node = nodes.shape[0] - leaves.shape[0] // FOUR + run
    nodes[node, _W], nodes[node, _G] = window, reference
    nodes[node, _MOST], nodes[node, _LEAST] = most, least
    nodes[node, _S1], nodes[node, _S2] = s1, s2


@njit(cache=True, nogil=True)
def _join(nodes, node, n, m):  # type: ignore[no-untyped-def]
    most, least, window, reference, s1, s2 = 0, 0, 0, 0, 0, 0
    for child in range(FOUR * node + 1, FOUR * node + 1 + FOUR):
        count, first = nodes[child, _G], nodes[child, _S1]
        prefix = m * reference - n * window
        most, least = max(most, prefix + nodes[child, _MOST]), min(least, prefix + nodes[child, _LEAST])
        s1 += first + 2 * window * count
        s2 += nodes[child, _S2] + 4 * window * (first + window * count)
        window += nodes[child, _W]
        reference += count
    nodes[node, _W], nodes[node, _G] = window, reference
    nodes[node, _MOST], nodes[node, _LEAST] = most, least
    nodes[node, _S1], nodes[node, _S2] = s1, s2


@njit(cache=True, nogil=True)
def _climb(leaves, nodes, one, two, n, m):  # type: ignore[no-untyped-def]
    """Recompute the paths from two leaves to the root."""
    one //= FOUR
    two //= FOUR
    _sum_run(leaves, nodes, one, n, m)
    if two != one:
        _sum_run(leaves, nodes, two, n, m)
    first = nodes.shape[0] - leaves.shape[0] // FOUR
    one += first
    two += first
    while one > 0:
        one = (one - 1) // FOUR
        two = (two - 1) // FOUR
        _join(nodes, one, n, m)
        if two != one:
            _join(nodes, two, n, m)


@njit(cache=True, nogil=True)
def _equals(leaves, values, place, x, count):  # type: ignore[no-untyped-def]
    """How many of the window's `count` values equal x, which lies at `place` and is counted in the leaves."""
    here = leaves[place >> 1, place & 1]
    if place & 1 or here <= 1:
        return here
    equal = 0
    for slot in range(count):
        equal += values[slot] == x
    return equal


@njit(cache=True, nogil=True)
def _shares(leaves, place):  # type: ignore[no-untyped-def]
    """What a window value at `place` adds to the sum of 3 g c (g + c) over leaves, c = window values equal to u."""
    if place & 1 == 0:
        return 0
    count, equal = leaves[place >> 1, _REFERENCE], leaves[place >> 1, _EQUAL]
    return 3 * count * (count + 2 * equal + 1)


@njit(cache=True, nogil=True)
def _take(x, position, place, leaves, nodes, n, values, index, places, flags, sums):  # type: ignore[no-untyped-def]
    """Let a value, which lies at `place`, into the window and, once it is full, the oldest out.

    Arrays one by one: taking one out of a named tuple costs a count of references, as much as a level of the tree.
    """
    m, seen = values.shape[0], flags[_SEEN]
    slot = seen % m
    out, ties, rank = place, 0, _rank(leaves, place)
    squares, shared = rank * rank, 0
    if seen >= m:
        out = places[slot]
        equal = _equals(leaves, values, out, values[slot], m)
        ties -= 3 * equal * (equal - 1)
        rank = _rank(leaves, out)
        squares -= rank * rank
        leaves[out >> 1, out & 1] -= 1
        shared -= _shares(leaves, out)
    values[slot], index[slot], places[slot] = x, position, place
    sums[_SHARED] += shared + _shares(leaves, place)
    leaves[place >> 1, place & 1] += 1
    equal = _equals(leaves, values, place, x, min(seen + 1, m))
    sums[_WINDOW_TIES] += ties + 3 * equal * (equal - 1)
    sums[_SQUARES] += squares
    flags[_SEEN] = seen + 1
    _climb(leaves, nodes, place >> 1, out >> 1, n, m)


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
def _judge(statistic, threshold, effect, is_open, rule):  # type: ignore[no-untyped-def]
    """Status of a level alarm: opened, cleared or 0."""
    if not is_open:
        return DRIFT if statistic > threshold and effect >= rule.min_effect else 0
    cleared = statistic < rule.clear_ratio * threshold or effect < rule.clear_ratio * rule.min_effect
    return CLEARED if cleared else 0


@njit(cache=True, nogil=True)
def _onset(tree, ring):  # type: ignore[no-untyped-def]
    """Index of the window's value from which on the doubled mid-ranks among the reference differ most from n.

    They average n while window and reference share a law, so the split is where the squared sum of what follows, over
    its length, is largest.
    """
    m, n = ring.values.shape[0], tree.size[_N]
    newest = (ring.flags[_SEEN] - 1) % m
    total, best, onset = 0, -1.0, newest
    for back in range(m):
        slot = newest - back if newest >= back else newest - back + m
        total += _rank(tree.leaves, ring.places[slot]) - n
        gain = float(total) * float(total) / (back + 1.0)
        if gain > best:
            best, onset = gain, slot
    return ring.positions[onset]


@njit(cache=True, nogil=True)
def _alarms(row, f, position, tree, ring, rule, thresholds, count, whole, real):  # type: ignore[no-untyped-def]
    """Write what both tests have to say after a test; returns the new number of alarms."""
    n, m = tree.size[_N], ring.values.shape[0]
    for test in range(2):
        statistic, ties = ring.newest[test], ring.newest[2] if test == 1 else 0.0
        if not (rule.ks if test == 0 else rule.cvm):
            continue
        effect = statistic if test == 0 else np.sqrt(max(0.0, statistic - ties) * (n + m) / (n * m))
        status = _judge(statistic - ties, thresholds[test], effect, ring.flags[_KS_OPEN + test], rule)
        if status:
            ring.flags[_KS_OPEN + test] = 1 if status == DRIFT else 0
            root = tree.nodes[0]
            first = ring.positions[ring.flags[_SEEN] % m]
            onset = _onset(tree, ring) if status == DRIFT else position
            sign = 1 if root[_MOST] >= -root[_LEAST] else -1
            whole[count] = (row, f, status, sign, onset, first, position, m, test)
            real[count] = (statistic, thresholds[test] + ties, effect)
            count += 1
    return count


@njit(cache=True, nogil=True)
def fold(values, index, trees, rings, rule, thresholds, history, reference, step, statistic, whole, real):  # type: ignore[no-untyped-def]
    """Fold a block signal by signal; `statistic` is [3, n, F], as `Ring.newest`; returns the number of alarms.

    With a `step`, references are renewed every so many values from `history` [F, reference + gap + window].
    """
    count, m = 0, rings.values.shape[1]
    for f in range(values.shape[1]):
        tree, ring, limits = tree_of(trees, f), ring_of(rings, f), thresholds[f]
        unique, cells, grid, leaves, nodes, size = tree
        held, positions, places, flags, sums, newest = ring
        for row in range(values.shape[0]):
            x = values[row, f] + 0.0  # one zero only: -0.0 and 0.0 tie, and a sort may swap them
            statistic[0, row, f], statistic[1, row, f], statistic[2, row, f] = newest[0], newest[1], newest[2]
            if np.isnan(x):
                continue
            place = _find(x, unique, cells, grid, size[_UNIQUE])
            _take(x, index[row], place, leaves, nodes, size[_N], held, positions, places, flags, sums)
            if step:
                _renew(x, tree, ring, history[f], reference[f], step)
            if _due(flags, size, m, rule) and _test(nodes, size, m, sums, newest, flags, rule, limits):
                count = _alarms(row, f, index[row], tree, ring, rule, limits, count, whole, real)
            statistic[0, row, f], statistic[1, row, f], statistic[2, row, f] = newest[0], newest[1], newest[2]
    return count


@njit(cache=True, nogil=True)
def _due(flags, size, m, rule):  # type: ignore[no-untyped-def]
    return flags[_SEEN] >= m and flags[_SEEN] % rule.test_every == 0 and size[_N] > 0


@njit(cache=True, nogil=True)
def _test(nodes, size, m, sums, newest, flags, rule, thresholds):  # type: ignore[no-untyped-def]
    """Compute both statistics; returns whether the alarm rule has to be asked."""
    n = size[_N]
    if rule.ks:
        newest[0] = max(nodes[0, _MOST], -nodes[0, _LEAST]) / (n * m)
    if rule.cvm:
        newest[1] = cvm_ratio(n, m, nodes[0, _S2], size[_TIES], sums[_SQUARES], sums[_WINDOW_TIES])
        newest[2] = _tie_part(n, m, size[_TIES], sums[_WINDOW_TIES], sums[_SHARED])
    return newest[0] > thresholds[0] or newest[1] > thresholds[1] + newest[2] or flags[_KS_OPEN] or flags[_CVM_OPEN]


@njit(cache=True, nogil=True)
def _renew(x, tree, ring, history, reference, step):  # type: ignore[no-untyped-def]
    """Remember x; every `step` values since history was first full, take its oldest part as the new reference."""
    seen, held = ring.flags[_SEEN], history.shape[0]
    history[(seen - 1) % held] = x
    if seen < held or (seen - held) % step:
        return
    oldest = seen % held
    for i in range(reference.shape[0]):
        reference[i] = history[(oldest + i) % held]
    reference[:] = np.sort(reference)
    plant(tree, reference, ring.values.shape[0])
    replant(tree, ring)
