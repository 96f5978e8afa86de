"""Kernels of one regression tree: find the leaf of a row, let it answer, let it learn, and split it.

A leaf answers with the mean of its targets, or with a linear model of all numeric columns; by default with whichever
has had the smaller faded error.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from learners._regression_layout import (
    BIAS,
    BLOCKS_USED,
    BORN_WITH,
    ERROR_LINEAR,
    ERROR_MEAN,
    FEATURE,
    FLAGS,
    LEFT,
    MISSING_LEFT,
    NODES_USED,
    NOMINAL,
    REFERENCE,
    RIGHT,
    SLOT_WIDTH,
    SUM,
    TOTAL,
    TRIED_AT,
    WEIGHTS,
)
from learners._regression_observer import best_codes, best_number, codes_outside, observe_code, observe_number, weigh
from learners._regression_plan import LINEAR, MEAN
from learners._tree_kernels import random_unit
from learners._tree_split import hoeffding_bound

__all__ = ["Rule", "answer", "best_splits", "find_leaf", "learn", "start_tree"]


class Rule(NamedTuple):
    """What a tree and an ensemble go by; see the learners for the meaning."""

    grace: float
    delta: float
    tau: float
    least: float
    leaf_mode: int
    rate: float
    fading: float
    nodes: int
    blocks: int
    warning_delta: float
    drift_delta: float


@njit(cache=True, nogil=True)
def find_leaf(rows, r, node, pool):  # type: ignore[no-untyped-def]
    """The block of the leaf of row `r` below `node`, and the leaf."""
    link = pool.link
    while link[node, FEATURE] >= 0:
        x, flags = rows[r, link[node, FEATURE]], link[node, FLAGS]
        if np.isnan(x):
            left = flags & MISSING_LEFT != 0
        elif flags & NOMINAL:
            left = (pool.codes[node] >> np.uint64(x)) & np.uint64(1) != 0
        else:
            left = x <= pool.cut[node]
        node = link[node, LEFT] if left else link[node, RIGHT]
    return node


@njit(cache=True, nogil=True)
def answer(standard, r, row, columns, leaf_mode, low, high):  # type: ignore[no-untyped-def]
    """What a leaf says, and what its mean and its linear model say; NaN while it knows nothing."""
    if row[TOTAL] <= 0.0:
        return np.nan, np.nan, np.nan
    mean = row[REFERENCE] + row[SUM] / row[TOTAL]
    if leaf_mode == MEAN:
        return mean, mean, mean
    linear = row[BIAS]
    for c in range(columns):
        linear += row[WEIGHTS + c] * standard[r, c]
    linear += row[REFERENCE]
    # A linear model knows nothing beyond what it has seen.
    shown = min(max(linear, low), high)
    if leaf_mode == LINEAR or row[ERROR_LINEAR] <= row[ERROR_MEAN]:
        return shown, mean, linear
    return mean, mean, linear


@njit(cache=True, nogil=True)
def learn(rows, standard, r, y, weight, said, i, node, pool, rule, streams, s):  # type: ignore[no-untyped-def]
    """Let the leaf at `node` learn a row that it has answered with `said` (mean, linear), and split if it should."""
    block = pool.link[node, LEFT]
    row = pool.stats[block]
    if row[TOTAL] <= 0.0:
        row[REFERENCE] = y
    else:
        _fit(standard, r, y, weight, said, row, rule)
    distance = y - row[REFERENCE]
    row[TOTAL] += weight
    row[SUM] += weight * distance
    at = WEIGHTS + rows.shape[1]
    for k in range(pool.subset.shape[1]):
        column = pool.subset[block, k]
        x = rows[r, column] if column >= 0 else np.nan
        if not np.isnan(x):
            if not pool.nominal[column]:
                observe_number(row, at, x, weight, distance)
            else:
                observe_code(row, at, x, weight, distance)
        at += SLOT_WIDTH
    if row[TOTAL] - row[TRIED_AT] >= rule.grace:
        _try_split(i, node, pool, rule, streams, s)


@njit(cache=True, nogil=True)
def _fit(standard, r, y, weight, said, row, rule):  # type: ignore[no-untyped-def]
    """Fade the errors, and move the linear model towards the target (normalized least mean squares)."""
    if rule.leaf_mode == MEAN:
        return
    mean_error, linear_error = y - said[0], y - said[1]
    row[ERROR_MEAN] = rule.fading * row[ERROR_MEAN] + mean_error * mean_error
    row[ERROR_LINEAR] = rule.fading * row[ERROR_LINEAR] + linear_error * linear_error
    square = 1.0
    for c in range(standard.shape[1]):
        square += standard[r, c] * standard[r, c]
    # A row of weight k counts as k steps in the same place.
    step = linear_error * (1.0 - (1.0 - rule.rate) ** weight) / square
    row[BIAS] += step
    for c in range(standard.shape[1]):
        row[WEIGHTS + c] += step * standard[r, c]


@njit(cache=True, nogil=True)
def start_tree(i, pool, rule, streams, s):  # type: ignore[no-untyped-def]
    """Make region `i` a tree of one empty leaf, whatever was there."""
    pool.region[i, NODES_USED] = pool.region[i, BLOCKS_USED] = 0
    _new_leaf(i, _new_block(i, pool, rule, streams, s), pool, rule)


@njit(cache=True, nogil=True)
def _new_block(i, pool, rule, streams, s):  # type: ignore[no-untyped-def]
    """An empty block in region `i`; the caller knows that there is room."""
    block = i * rule.blocks + pool.region[i, BLOCKS_USED]
    pool.region[i, BLOCKS_USED] += 1
    pool.stats[block, :WEIGHTS] = 0.0
    pool.stats[block, WEIGHTS : WEIGHTS + pool.nominal.shape[0]] = 0.0
    _choose_columns(block, pool, streams, s)
    return block


@njit(cache=True, nogil=True)
def _new_leaf(i, block, pool, rule):  # type: ignore[no-untyped-def]
    """A new node of region `i` that is the leaf of `block`; there are twice as many nodes as blocks, so it has room."""
    node = i * rule.nodes + pool.region[i, NODES_USED]
    pool.region[i, NODES_USED] += 1
    link = pool.link
    link[node, FEATURE], link[node, LEFT], link[node, RIGHT], link[node, FLAGS] = -1, block, -1, 0
    pool.cut[node], pool.codes[node] = 0.0, np.uint64(0)
    return node


@njit(cache=True, nogil=True)
def _choose_columns(block, pool, streams, s):  # type: ignore[no-untyped-def]
    """Empty the observers of a block and draw the columns that they observe, each set being equally likely."""
    subset, total = pool.subset, pool.nominal.shape[0]
    wanted, chosen = subset.shape[1], 0
    pool.stats[block, WEIGHTS + total :] = 0.0
    for column in range(total):
        left = total - column
        if chosen < wanted and (wanted - chosen == left or random_unit(streams, s) * left < wanted - chosen):
            subset[block, chosen] = column
            chosen += 1


@njit(cache=True, nogil=True)
def best_splits(block, pool, least):  # type: ignore[no-untyped-def]
    """Falls of the squared error by the best column and the second best, and place, cut, codes and left side's weight
    and sum of the best."""
    row, total = pool.stats[block], pool.nominal.shape[0]
    first, second, place, cut, codes, n, s = 0.0, 0.0, -1, 0.0, np.uint64(0), 0.0, 0.0
    for k in range(pool.subset.shape[1]):
        column, at = pool.subset[block, k], WEIGHTS + total + k * SLOT_WIDTH
        if column < 0 or row[at] < 2.0:
            continue
        x, members = 0.0, np.uint64(0)
        if pool.nominal[column]:
            fall, members, left_n, left_s = best_codes(row, at, least)
        else:
            fall, x, left_n, left_s = best_number(row, at, least)
        if fall > first:
            second, first, place, cut, codes, n, s = first, fall, k, x, members, left_n, left_s
        elif fall > second:
            second = fall
    return first, second, place, cut, codes, n, s


@njit(cache=True, nogil=True)
def _try_split(i, node, pool, rule, streams, s):  # type: ignore[no-untyped-def]
    """Split the leaf at `node` of region `i` if the bound allows and there is room."""
    block = pool.link[node, LEFT]
    row = pool.stats[block]
    row[TRIED_AT] = row[TOTAL]
    if pool.region[i, BLOCKS_USED] == rule.blocks:
        return
    bound = hoeffding_bound(1.0, rule.delta, row[TOTAL])
    least = max(rule.least, 0.01 * (row[TOTAL] - row[BORN_WITH]))
    first, second, place, cut, codes, left_n, left_s = best_splits(block, pool, least)
    if place < 0 or (second > (1.0 - bound) * first and bound >= rule.tau):
        return
    _split(i, node, (place, cut, codes, left_n, left_s), pool, rule, streams, s)


@njit(cache=True, nogil=True)
def _split(i, node, found, pool, rule, streams, s):  # type: ignore[no-untyped-def]
    """Turn a leaf into a split with two leaves, which inherit mean, linear model and errors."""
    place, cut, codes, left_n, left_s = found
    link, block = pool.link, pool.link[node, LEFT]
    row, total = pool.stats[block], pool.nominal.shape[0]
    column, at = pool.subset[block, place], WEIGHTS + total + place * SLOT_WIDTH
    n, sums = weigh(row, at)
    right_n, right_s = n - left_n, sums - left_s
    heavier_left = left_n >= right_n
    if pool.nominal[column] and heavier_left:
        # Codes without weight go where most rows go.
        codes = ~codes_outside(row, at, codes)
    sibling = _new_block(i, pool, rule, streams, s)
    other = pool.stats[sibling]
    other[: WEIGHTS + total] = row[: WEIGHTS + total]
    _choose_columns(block, pool, streams, s)
    _begin(row, left_n, left_s)
    _begin(other, right_n, right_s)
    one, two = _new_leaf(i, block, pool, rule), _new_leaf(i, sibling, pool, rule)
    link[node, FEATURE], link[node, LEFT], link[node, RIGHT] = column, one, two
    link[node, FLAGS] = (NOMINAL if pool.nominal[column] else 0) | (MISSING_LEFT if heavier_left else 0)
    pool.cut[node], pool.codes[node] = cut, codes


@njit(cache=True, nogil=True)
def _begin(row, n, s):  # type: ignore[no-untyped-def]
    """Let a block begin with weight `n` and sum `s`, its reference being the mean of these."""
    shift = s / n
    row[REFERENCE] += shift
    row[BIAS] -= shift
    row[SUM] = 0.0
    row[TOTAL] = row[TRIED_AT] = row[BORN_WITH] = n
