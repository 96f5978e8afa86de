"""Kernels of one Hoeffding tree: find the leaf of a row, let it answer, let it observe, and make new leaves.

A leaf answers with the shares of the classes, or with naive Bayes over normal densities; by default with whichever of
the two has been right more often in that leaf.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from learners._tree_layout import (
    ALTERNATE,
    BAYES_HITS,
    BLOCKS_FREE,
    BLOCKS_USED,
    COUNTS,
    FEATURE,
    FLAGS,
    LEFT,
    MAJORITY_HITS,
    MISSING_LEFT,
    MULTIWAY,
    NEXT,
    NODES_FREE,
    NODES_USED,
    NOMINAL,
    RIGHT,
    ROOT,
    TOTAL,
)
from learners._tree_plan import BAYES, MAJORITY, PER_TREE

__all__ = [
    "Rule",
    "answer",
    "best_class",
    "branch_of",
    "clear_block",
    "find_leaf",
    "leaf_over",
    "new_leaf",
    "observe",
    "random_unit",
    "start_tree",
]

# A variance below this is none: its reciprocal times a square could leave the range of floats.
_NO_VARIANCE = 1e-200
_LOG_TWO_PI = math.log(2.0 * math.pi)
_GOLDEN, _MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Rule(NamedTuple):
    """What a tree and an ensemble go by; see the learners for the meaning."""

    classes: int
    grace: float
    delta: float
    tau: float
    patience: float
    leaf_mode: int
    subspace: int
    nodes: int
    blocks: int
    warning_delta: float
    drift_delta: float


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def random_unit(streams, s):  # type: ignore[no-untyped-def]
    """The next number in [0, 1) of stream `s` (SplitMix64: a counter, scrambled)."""
    z = streams[s] + _GOLDEN
    streams[s] = z
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return float((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def find_leaf(rows, r, node, link, cut):  # type: ignore[no-untyped-def]
    """The leaf of row `r` below `node`."""
    while True:
        feature = link[node, FEATURE]
        if feature < 0:
            return node
        x = rows[r, feature]
        if link[node, FLAGS] & (MULTIWAY | NOMINAL) or np.isnan(x):
            node = branch_of(rows, r, node, link, cut)
        else:
            # RIGHT follows LEFT: an address instead of a branch that cannot be foretold.
            node = link[node, LEFT + int(x > cut[node])]


@njit(cache=True, nogil=True, error_model="numpy")
def branch_of(rows, r, node, link, cut):  # type: ignore[no-untyped-def]
    """The node below the split at `node` that row `r` goes to."""
    x, flags = rows[r, link[node, FEATURE]], link[node, FLAGS]
    if flags & MULTIWAY:
        return _branch(x, node, link, cut)
    left = x == cut[node] if flags & NOMINAL else x <= cut[node]
    if np.isnan(x):
        left = flags & MISSING_LEFT != 0
    return link[node, LEFT] if left else link[node, RIGHT]


@njit(cache=True, nogil=True, error_model="numpy")
def _branch(x, node, link, cut):  # type: ignore[no-untyped-def]
    if not 0.0 <= x < cut[node]:
        return link[node, RIGHT]
    child = link[node, LEFT]
    for _ in range(int(x)):
        child = link[child, NEXT]
    return child


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def answer(rows, r, block, stats, subset, slots, columns, classes, leaf_mode, votes, scores):  # type: ignore[no-untyped-def]
    """Fill `votes` with the leaf's probabilities; returns its answer, that of the majority and that of naive Bayes."""
    total = stats[block, TOTAL]
    majority, present, largest = -1, 0, 0.0
    for k in range(classes):
        n = stats[block, COUNTS + k]
        votes[k] = n
        present += n > 0.0
        if n > largest:
            majority, largest = k, n
    if majority < 0:
        return -1, -1, -1
    bayes = majority
    if present > 1 and leaf_mode != MAJORITY:
        bayes = _bayes(rows, r, block, stats, subset, slots, columns, classes, scores)
        by_bayes = leaf_mode == BAYES or stats[block, BAYES_HITS] >= stats[block, MAJORITY_HITS]
        if by_bayes and bayes >= 0:
            _to_shares(scores, scores[bayes], classes, votes)
            return bayes, majority, bayes
    for k in range(classes):
        votes[k] /= total
    return majority, majority, bayes


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def best_class(rows, r, block, stats, subset, slots, columns, classes, leaf_mode, scores):  # type: ignore[no-untyped-def]
    """What `answer` would return first, without the probabilities."""
    best, present, largest = -1, 0, 0.0
    for k in range(classes):
        n = stats[block, COUNTS + k]
        present += n > 0.0
        if n > largest:
            best, largest = k, n
    by_bayes = leaf_mode == BAYES or stats[block, BAYES_HITS] >= stats[block, MAJORITY_HITS]
    if present > 1 and leaf_mode != MAJORITY and by_bayes:
        bayes = _bayes(rows, r, block, stats, subset, slots, columns, classes, scores)
        return bayes if bayes >= 0 else best
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def _to_shares(scores, best, classes, votes):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(classes):
        gap = scores[k] - best
        votes[k] = 1.0 if gap == 0.0 else (math.exp(gap) if gap > -700.0 else 0.0)
        total += votes[k]
    for k in range(classes):
        votes[k] /= total


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _bayes(rows, r, block, stats, subset, slots, columns, classes, scores):  # type: ignore[no-untyped-def]
    """Log posterior of each class up to a constant, -inf for the impossible; returns the best class, -1 if none."""
    best, highest = -1, -np.inf
    for k in range(classes):
        scores[k] = -np.inf
        n = stats[block, COUNTS + k]
        if n <= 0.0:
            continue
        scores[k] = _log_joint(rows, r, block, k, n, stats, subset, slots, columns)
        if scores[k] > highest:
            best, highest = k, scores[k]
    return best


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _log_joint(rows, r, block, k, weight, stats, subset, slots, columns):  # type: ignore[no-untyped-def]
    """Log of a class's weight times the observed columns' densities in it; missing values take no part."""
    # `product` is of squares, precisions for the normal densities, so that one root and one log serve all factors.
    square, product, logs, factors = 0.0, weight * weight, 0.0, 0
    for i in range(slots.shape[0]):
        column = subset[block, i]
        x = rows[r, column] if column >= 0 else np.nan
        if np.isnan(x):
            continue
        at = slots[i, 0] + k * slots[i, 1]
        n = stats[block, at]
        if columns[column] > 0:
            code = int(x)
            seen = stats[block, at + 1 + code] if 0 <= code < columns[column] else 0.0
            factor = (seen + 1.0) / (n + columns[column])
            product *= factor * factor
        else:
            gap, precision = x - stats[block, at + 1], stats[block, at + 5]
            if precision > 0.0:
                square += gap * gap * precision
                product *= precision
                factors += 1
            elif gap != 0.0 or n <= 0.0:
                return -np.inf
        if not 1e-100 < product < 1e100:
            logs += math.log(product)
            product = 1.0
    return 0.5 * (logs + math.log(product) - square - factors * _LOG_TWO_PI)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def observe(rows, r, label, weight, block, stats, subset, slots, columns):  # type: ignore[no-untyped-def]
    """Let a leaf's statistics take in one row."""
    stats[block, TOTAL] += weight
    stats[block, COUNTS + label] += weight
    for i in range(slots.shape[0]):
        column = subset[block, i]
        x = rows[r, column] if column >= 0 else np.nan
        if np.isnan(x):
            continue
        at = slots[i, 0] + label * slots[i, 1]
        if columns[column] > 0:
            code = int(x)
            if 0 <= code < columns[column]:
                stats[block, at] += weight
                stats[block, at + 1 + code] += weight
            continue
        n = stats[block, at] + weight
        if n == weight:
            stats[block, at + 1], stats[block, at + 3], stats[block, at + 4] = x, x, x
        gap = x - stats[block, at + 1]
        stats[block, at] = n
        stats[block, at + 1] += gap * weight / n
        squares = stats[block, at + 2] + gap * weight * (x - stats[block, at + 1])
        stats[block, at + 2] = squares
        stats[block, at + 5] = (n - 1.0) / squares if n > 1.0 and squares > _NO_VARIANCE * n else 0.0
        stats[block, at + 3] = min(stats[block, at + 3], x)
        stats[block, at + 4] = max(stats[block, at + 4], x)


@njit(cache=True, nogil=True, error_model="numpy")
def start_tree(i, pool, rule, streams, s):  # type: ignore[no-untyped-def]
    """Make region `i` a tree of one empty leaf, whatever was there; returns its root."""
    region = pool.region
    region[i, NODES_USED] = region[i, BLOCKS_USED] = 0
    region[i, NODES_FREE] = region[i, BLOCKS_FREE] = -1
    root = new_leaf(i, pool, rule, -1, streams, s)
    region[i, ROOT] = root
    return root


@njit(cache=True, nogil=True, error_model="numpy")
def new_leaf(i, pool, rule, like, streams, s):  # type: ignore[no-untyped-def]
    """A leaf with an empty block in region `i`, -1 if there is no room; block `like` names the tree's columns."""
    region = pool.region
    if region[i, BLOCKS_FREE] >= 0:
        block = i * rule.blocks + region[i, BLOCKS_FREE]
        region[i, BLOCKS_FREE] = int(pool.stats[block, 0])
    elif region[i, BLOCKS_USED] < rule.blocks:
        block = i * rule.blocks + region[i, BLOCKS_USED]
        region[i, BLOCKS_USED] += 1
    else:
        return -1
    clear_block(block, like, pool, rule, streams, s)
    return leaf_over(i, block, pool, rule)


@njit(cache=True, nogil=True, error_model="numpy")
def leaf_over(i, block, pool, rule):  # type: ignore[no-untyped-def]
    """A new node of region `i` that is the leaf of `block`; there are twice as many nodes as blocks, so it has room."""
    region, link = pool.region, pool.link
    if region[i, NODES_FREE] >= 0:
        node = i * rule.nodes + region[i, NODES_FREE]
        region[i, NODES_FREE] = link[node, LEFT]
    else:
        node = i * rule.nodes + region[i, NODES_USED]
        region[i, NODES_USED] += 1
    link[node, FEATURE], link[node, LEFT], link[node, RIGHT] = -1, block, -1
    link[node, FLAGS], link[node, ALTERNATE], link[node, NEXT] = 0, -1, -1
    pool.cut[node] = 0.0
    return node


@njit(cache=True, nogil=True, error_model="numpy")
def clear_block(block, like, pool, rule, streams, s):  # type: ignore[no-untyped-def]
    """Empty a block and choose the columns that it observes."""
    subset, total = pool.subset, pool.columns.shape[0]
    pool.stats[block, :] = 0.0
    wanted = subset.shape[1]
    if rule.subspace == PER_TREE and like >= 0:
        subset[block, :] = subset[like, :]
        return
    chosen = 0
    for column in range(total):
        # Each subset is equally likely: take a column with probability (still wanted) / (still to come).
        left = total - column
        if chosen < wanted and (wanted - chosen == left or random_unit(streams, s) * left < wanted - chosen):
            subset[block, chosen] = column
            chosen += 1
