"""Kernels that decide whether a leaf splits: information gain of ten cuts a column, and the Hoeffding bound.

Gains are in bits, good to a millionth. A leaf whose entropy is below the bound cannot split, which spares most of the
search.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from learners._tree_kernels import clear_block, leaf_over, new_leaf
from learners._tree_layout import (
    BLOCKS_FREE,
    BLOCKS_USED,
    COUNTS,
    FEATURE,
    FLAGS,
    LEFT,
    MISSING_LEFT,
    MULTIWAY,
    NEXT,
    NOMINAL,
    RIGHT,
    TOTAL,
    TRIED_AT,
)

__all__ = [
    "CUTS",
    "MULTIWAY_CAP",
    "best_splits",
    "erfc",
    "find_scales",
    "free_blocks",
    "gain",
    "hoeffding_bound",
    "multiway_gain",
    "n_log_n",
    "try_split",
    "weight_left",
]

CUTS = 10
# A column of more categories than this is split into one against the rest.
MULTIWAY_CAP = 16
# Both sides of a split must hold this part of the weight.
_LEAST_PART = 0.01
_PER_BIT = 1.0 / math.log(2.0)
_ROOT_TWO, _LN_TWO = math.sqrt(2.0), math.log(2.0)
_TINY = 1e-300  # weights below it are none; they would be subnormal
_MANTISSA, _ONE = np.int64((1 << 52) - 1), np.int64(1023 << 52)


@njit(cache=True, nogil=True, error_model="numpy")
def hoeffding_bound(value_range, delta, n):  # type: ignore[no-untyped-def]
    """How far the mean of `n` values may lie below its expectation, at confidence 1 - `delta`."""
    return math.sqrt(value_range * value_range * math.log(1.0 / delta) / (2.0 * n))


@njit(cache=True, nogil=True, error_model="numpy")
def n_log_n(n):  # type: ignore[no-untyped-def]
    """n ln n, 0 for 0; to 1e-10 of n, several times faster than the logarithm of the system."""
    if n < _TINY:
        return 0.0
    bits = np.float64(n).view(np.int64)
    exponent = (bits >> 52) - 1023
    # The mantissa, brought to [√½, √2): ln m = 2 artanh((m - 1) / (m + 1)).
    m = np.int64((bits & _MANTISSA) | _ONE).view(np.float64)
    if m > _ROOT_TWO:
        m, exponent = 0.5 * m, exponent + 1
    z = (m - 1.0) / (m + 1.0)
    q = z * z
    series = 1.0 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13))))))
    return n * (exponent * _LN_TWO + 2.0 * z * series)


@njit(cache=True, nogil=True, error_model="numpy")
def erfc(x):  # type: ignore[no-untyped-def]
    """Complementary error function to 3e-7, without an exponential (Abramowitz, Stegun 7.1.28)."""
    z = abs(x)
    series = 0.0092705272 + z * (0.0001520143 + z * (0.0002765672 + z * 0.0000430638))
    power = 1.0 + z * (0.0705230784 + z * (0.0422820123 + z * series))
    power *= power
    power *= power
    power *= power
    power *= power
    return 1.0 / power if x >= 0.0 else 2.0 - 1.0 / power


@njit(cache=True, nogil=True, error_model="numpy")
def _entropy(stats, block, classes):  # type: ignore[no-untyped-def]
    """Entropy of the leaf's classes in bits, and how many occur."""
    total, parts, present = 0.0, 0.0, 0
    for k in range(classes):
        n = stats[block, COUNTS + k]
        total += n
        parts += n_log_n(n)
        present += n > 0.0
    return (n_log_n(total) - parts) / total * _PER_BIT if present > 1 else 0.0, present


@njit(cache=True, nogil=True, error_model="numpy")
def find_scales(stats, block, slot, classes, work):  # type: ignore[no-untyped-def]
    """Fill `work[1]` with 1 / (standard deviation × √2) of each class in a numeric column; inf where it is 0."""
    for k in range(classes):
        at = slot[0] + k * slot[1]
        n, squares = stats[block, at], stats[block, at + 2]
        work[1, k] = math.sqrt(0.5 * (n - 1.0) / squares) if n > 1.0 and squares > 0.0 else np.inf


@njit(cache=True, nogil=True, error_model="numpy")
def weight_left(stats, block, at, x, scale):  # type: ignore[no-untyped-def]
    """Estimated weight of one class at or below `x`: a normal law, exact outside the range that was seen."""
    n = stats[block, at]
    if n <= 0.0 or x < stats[block, at + 3]:
        return 0.0
    if x >= stats[block, at + 4]:
        return n
    gap = stats[block, at + 1] - x
    if scale == np.inf:
        return n if gap <= 0.0 else 0.0
    return 0.5 * n * erfc(gap * scale)


@njit(cache=True, nogil=True, error_model="numpy")
def gain(entropy, stats, block, slot, x, nominal, classes, work):  # type: ignore[no-untyped-def]
    """Information gain of a cut at `x` (nominal: the code `x` against the rest), -inf if a side is nearly empty.

    `work[0]` becomes the weight of each class on the left; `work[1]` holds what `find_scales` found.
    """
    low, high, parts = 0.0, 0.0, 0.0
    at, width = slot[0], slot[1]
    for k in range(classes):
        n = stats[block, at]
        left = stats[block, at + 1 + int(x)] if nominal else weight_left(stats, block, at, x, work[1, k])
        rest = max(n - left, 0.0)
        low, high = low + left, high + rest
        parts += n_log_n(left) + n_log_n(rest)
        work[0, k] = left
        at += width
    if min(low, high) <= _LEAST_PART * (low + high):
        return -np.inf
    return entropy - (n_log_n(low) + n_log_n(high) - parts) / (low + high) * _PER_BIT


@njit(cache=True, nogil=True, error_model="numpy")
def multiway_gain(entropy, stats, block, slot, branches, classes):  # type: ignore[no-untyped-def]
    """Information gain of one branch per code, -inf unless two branches hold more than a hundredth of the weight."""
    total, parts, mass = 0.0, 0.0, 0.0
    for k in range(classes):
        total += stats[block, slot[0] + k * slot[1]]
    sizable = 0
    for code in range(branches):
        mass, mass_parts = 0.0, 0.0
        for k in range(classes):
            n = stats[block, slot[0] + k * slot[1] + 1 + code]
            mass += n
            mass_parts += n_log_n(n)
        parts += n_log_n(mass) - mass_parts
        sizable += mass > _LEAST_PART * total
    return entropy - parts / total * _PER_BIT if sizable > 1 else -np.inf


@njit(cache=True, nogil=True, error_model="numpy")
def best_splits(entropy, block, pool, classes, work):  # type: ignore[no-untyped-def]
    """Gains of the best column and of the second best (0 for no split at all), and place and cut of the best."""
    stats, slots = pool.stats, pool.slots
    first, second, place, cut = 0.0, 0.0, -1, 0.0
    for i in range(slots.shape[0]):
        column = pool.subset[block, i]
        if column < 0:
            continue
        categories = pool.columns[column]
        if 0 < categories <= MULTIWAY_CAP:
            best, best_cut = multiway_gain(entropy, stats, block, slots[i], categories, classes), float(categories)
        else:
            best, best_cut = _best_cut(entropy, stats, block, slots[i], categories, classes, work)
        if best > first:
            first, second, place, cut = best, first, i, best_cut
        elif best > second:
            second = best
    return first, second, place, cut


@njit(cache=True, nogil=True, error_model="numpy")
def _best_cut(entropy, stats, block, slot, categories, classes, work):  # type: ignore[no-untyped-def]
    """The best of the cuts of a numeric column, or of one code against the rest."""
    low, step, count = 0.0, 1.0, categories
    if categories == 0:
        low, high = _range(stats, block, slot, classes)
        find_scales(stats, block, slot, classes, work)
        count, step = CUTS, (high - low) / (CUTS + 1)
        low += step
        if not step > 0.0:
            return -np.inf, 0.0
    best, best_cut = -np.inf, 0.0
    for c in range(count):
        x = low + step * c
        merit = gain(entropy, stats, block, slot, x, categories > 0, classes, work)
        if merit > best:
            best, best_cut = merit, x
    return best, best_cut


@njit(cache=True, nogil=True, error_model="numpy")
def _range(stats, block, slot, classes):  # type: ignore[no-untyped-def]
    low, high = np.inf, -np.inf
    for k in range(classes):
        at = slot[0] + k * slot[1]
        if stats[block, at] > 0.0:
            low, high = min(low, stats[block, at + 3]), max(high, stats[block, at + 4])
    return low, high


@njit(cache=True, nogil=True, error_model="numpy")
def try_split(i, node, pool, rule, streams, s, work):  # type: ignore[no-untyped-def]
    """Split the leaf at `node` of region `i` if the bound allows and there is room; True if it did."""
    stats, block = pool.stats, pool.link[node, LEFT]
    total = stats[block, TOTAL]
    stats[block, TRIED_AT] = total
    entropy, present = _entropy(stats, block, rule.classes)
    bound = hoeffding_bound(math.log(max(present, 2)) * _PER_BIT, rule.delta, total)
    if present < 2 or (entropy <= bound and bound >= rule.tau):
        return False
    first, second, place, cut = best_splits(entropy, block, pool, rule.classes, work)
    if place < 0 or (first - second <= bound and bound >= rule.tau):
        # The bound falls to the gap as seen, or to tau, at this ratio of weights: no need to look sooner.
        ratio = bound / max(first - second, rule.tau)
        stats[block, TRIED_AT] = total + max(0.0, rule.patience * total * (ratio * ratio - 1.0) - rule.grace)
        return False
    if 0 < pool.columns[pool.subset[block, place]] <= MULTIWAY_CAP:
        return _split_many(i, node, place, pool, rule, streams, s)
    return _split(i, node, place, cut, entropy, pool, rule, streams, s, work)


@njit(cache=True, nogil=True, error_model="numpy")
def _split(i, node, place, cut, entropy, pool, rule, streams, s, work):  # type: ignore[no-untyped-def]
    """Turn a leaf into a split with two leaves, which inherit the classes' estimated weights."""
    link, stats, block, slot = pool.link, pool.stats, pool.link[node, LEFT], pool.slots[place]
    other = new_leaf(i, pool, rule, block, streams, s)
    if other < 0:
        return False
    column, sibling = pool.subset[block, place], link[other, LEFT]
    nominal = pool.columns[column] > 0
    if not nominal:
        find_scales(stats, block, slot, rule.classes, work)
    gain(entropy, stats, block, slot, cut, nominal, rule.classes, work)
    for k in range(rule.classes):
        stats[sibling, COUNTS + k] = max(stats[block, slot[0] + k * slot[1]] - work[0, k], 0.0)
    clear_block(block, block, pool, rule, streams, s)
    for k in range(rule.classes):
        stats[block, COUNTS + k] = work[0, k]
    low, high = _begin(stats, block, rule.classes), _begin(stats, sibling, rule.classes)
    one = leaf_over(i, block, pool, rule)
    link[node, FEATURE], link[node, LEFT], link[node, RIGHT] = column, one, other
    link[node, FLAGS] = (NOMINAL if nominal else 0) | (MISSING_LEFT if low >= high else 0)
    pool.cut[node] = cut
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _begin(stats, block, classes):  # type: ignore[no-untyped-def]
    """Set the total of a leaf that has inherited its classes; returns it."""
    total = 0.0
    for k in range(classes):
        total += stats[block, COUNTS + k]
    stats[block, TOTAL] = stats[block, TRIED_AT] = total
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _split_many(i, node, place, pool, rule, streams, s):  # type: ignore[no-untyped-def]
    """Turn a leaf into a split with a branch per code; a branch without weight begins with the leaf's shares."""
    link, stats, region, block = pool.link, pool.stats, pool.region, pool.link[node, LEFT]
    column = pool.subset[block, place]
    branches = pool.columns[column]
    if free_blocks(i, pool, rule) < branches:
        return False
    newest, heaviest, largest = -1, -1, -1.0
    for code in range(branches - 1, -1, -1):
        child = new_leaf(i, pool, rule, block, streams, s)
        part = link[child, LEFT]
        for k in range(rule.classes):
            stats[part, COUNTS + k] = stats[block, pool.slots[place, 0] + k * pool.slots[place, 1] + 1 + code]
        weight = _begin(stats, part, rule.classes)
        if weight <= 0.0:
            for k in range(rule.classes):
                stats[part, COUNTS + k] = stats[block, COUNTS + k] / stats[block, TOTAL]
            _begin(stats, part, rule.classes)
        if weight > largest:
            heaviest, largest = child, weight
        link[child, NEXT] = newest
        newest = child
    stats[block, 0] = region[i, BLOCKS_FREE]
    region[i, BLOCKS_FREE] = block - i * rule.blocks
    link[node, FEATURE], link[node, LEFT], link[node, RIGHT] = column, newest, heaviest
    link[node, FLAGS] = NOMINAL | MULTIWAY
    pool.cut[node] = branches
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def free_blocks(i, pool, rule):  # type: ignore[no-untyped-def]
    """How many leaves region `i` still has room for."""
    count = rule.blocks - pool.region[i, BLOCKS_USED]
    at = pool.region[i, BLOCKS_FREE]
    while at >= 0:
        count += 1
        at = int(pool.stats[i * rule.blocks + at, 0])
    return count
