"""Kernels of the regression ensembles: a block of rows in event order, each row answered before it is learned.

The trees know nothing of each other, so it goes tree by tree through the block, which keeps one tree in the cache; then
the answers to each row become one.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from learners._forest_kernels import draw_weight
from learners._regression_adwin import add_value, clear_values
from learners._regression_kernels import answer, find_leaf, learn, start_tree
from learners._regression_layout import LEFT
from learners._regression_plan import MEDIAN_VOTE, WEIGHTED_VOTE

__all__ = ["ACTIVE", "BACKGROUND", "DRIFTS", "DUE", "FADED", "MEMBER_N", "RECORD_N", "SCORED", "aggregate", "block_of"]

# Per member: region of its tree, region of the tree that grows in the background (-1: none), trees replaced, warnings,
# and whether a drift was seen after which the background tree has not yet been the better one.
ACTIVE, BACKGROUND, DRIFTS, WARNINGS, DUE = range(5)
MEMBER_N = 5
# Per region: answers scored and sum of their squared errors since the tree began or, voting, since its last drift; and
# the faded squared error.
SCORED, _SQUARES, FADED = range(3)
RECORD_N = 3
# An error counts as 1 from three root mean squared errors on.
_WIDE = 3.0
_FADING = 0.99
# Answers of a background tree before its error is compared.
_COMPARED_N = 50.0


@njit(cache=True, nogil=True)
def block_of(rows, standard, targets, limits, said, trust, pool, rule, members, record, windows, streams, poisson):  # type: ignore[no-untyped-def]
    """Fill `said` [n, trees] with each tree's answer and `trust` with the faded squared error it had by then."""
    for t in range(members.shape[0]):
        for r in range(rows.shape[0]):
            active, y = members[t, ACTIVE], targets[r]
            node, shown, mean, linear = _ask(rows, standard, r, limits, active, pool, rule)
            said[r, t], trust[r, t] = shown, record[active, FADED] if record[active, SCORED] > 0.0 else np.inf
            if np.isnan(y):
                continue
            weight, behind = draw_weight(poisson, streams, t), members[t, BACKGROUND]
            if weight > 0:
                learn(rows, standard, r, y, weight, (mean, linear), active, node, pool, rule, streams, t)
            if behind >= 0:
                node, other, mean, linear = _ask(rows, standard, r, limits, behind, pool, rule)
                _score(behind, y - other, record)
            if behind >= 0 and weight > 0:
                learn(rows, standard, r, y, weight, (mean, linear), behind, node, pool, rule, streams, t)
            if not np.isnan(shown):
                _score(active, y - shown, record)
                _watch(t, abs(y - shown), members, record, windows, pool, rule, streams)


@njit(cache=True, nogil=True)
def _ask(rows, standard, r, limits, i, pool, rule):  # type: ignore[no-untyped-def]
    """The leaf of row `r` in region `i`, its answer, and what its mean and its linear model say."""
    node = find_leaf(rows, r, i * rule.nodes, pool)
    row = pool.stats[pool.link[node, LEFT]]
    shown, mean, linear = answer(standard, r, row, rows.shape[1], rule.leaf_mode, limits[r, 0], limits[r, 1])
    return node, shown, mean, linear


@njit(cache=True, nogil=True)
def _score(i, error, record):  # type: ignore[no-untyped-def]
    """Note the error of the tree in region `i`, unless it knew nothing."""
    if np.isnan(error):
        return
    record[i, SCORED] += 1.0
    record[i, _SQUARES] += error * error
    rate = max(1.0 / record[i, SCORED], 1.0 - _FADING)
    record[i, FADED] += rate * (error * error - record[i, FADED])


@njit(cache=True, nogil=True)
def _watch(t, error, members, record, windows, pool, rule, streams):  # type: ignore[no-untyped-def]
    """On a warning begin a background tree; from a drift on it takes the tree's place once it is better."""
    if rule.drift_delta <= 0.0:
        return
    active, spare = members[t, ACTIVE], 2 * t + 1 - members[t, ACTIVE] % 2
    scale = _WIDE * math.sqrt(record[active, _SQUARES] / record[active, SCORED])
    share = min(error / scale, 1.0) if scale > 0.0 else 0.0
    warned = rule.warning_delta > 0.0 and add_value(windows, 2 * t, share, rule.warning_delta)
    drifted = add_value(windows, 2 * t + 1, share, rule.drift_delta)
    if warned or (drifted and members[t, BACKGROUND] < 0):
        members[t, WARNINGS] += 1
        clear_values(windows, 2 * t)
        start_tree(spare, pool, rule, streams, t)
        members[t, BACKGROUND] = spare
        record[spare, :] = 0.0
    if drifted:
        members[t, DUE] = 1
    is_better = record[spare, SCORED] >= _COMPARED_N and record[spare, FADED] < record[active, FADED]
    if members[t, DUE] == 0 or members[t, BACKGROUND] < 0 or not is_better:
        return
    members[t, ACTIVE], members[t, BACKGROUND], members[t, DUE] = spare, -1, 0
    members[t, DRIFTS] += 1
    clear_values(windows, 2 * t)
    clear_values(windows, 2 * t + 1)


@njit(cache=True, nogil=True)
def aggregate(said, trust, limits, vote, out):  # type: ignore[no-untyped-def]
    """Make one answer of those of the trees that know something: mean, median, or weighted by 1 / squared error.

    Where none does, the mean of the targets in `limits` is the answer.
    """
    trees = said.shape[1]
    values = np.empty(trees)
    for r in range(said.shape[0]):
        known, total, mass = 0, 0.0, 0.0
        for t in range(trees):
            y = said[r, t]
            if np.isnan(y):
                continue
            # A tree that was never scored counts least, one that never erred most; both leave quotients finite.
            weight = min(max(1.0 / max(trust[r, t], 1e-250), 1e-250), 1e250) if vote == WEIGHTED_VOTE else 1.0
            mass += weight
            total += weight / mass * (y - total)
            i = known
            while vote == MEDIAN_VOTE and i > 0 and values[i - 1] > y:
                values[i] = values[i - 1]
                i -= 1
            values[i] = y
            known += 1
        if known == 0:
            out[r] = limits[r, 2]
        elif vote == MEDIAN_VOTE:
            out[r] = 0.5 * values[(known - 1) // 2] + 0.5 * values[known // 2]
        else:
            out[r] = total
