"""Kernels of linear models by stochastic gradient descent: standardised numbers, one weight a category.

A step never carries a model past the example it learns: the rate times the squared length of the row is 1 at most,
however many columns there are.
"""

from __future__ import annotations

import math

from numba import njit

from learners._dense_kernels import (
    CLASSES,
    LEARNED,
    MEAN,
    OFFSET,
    PLACES,
    SQUARES,
    WEIGHT,
    WEIGHT_NOW,
    code_of,
    normalise,
    observe,
    shrink_scales,
    tick,
)

__all__ = ["ABSOLUTE", "HUBER", "REACH", "SQUARED", "active", "linear_block", "shrink_weights", "softmax_block"]

SQUARED, ABSOLUTE, HUBER = range(3)
REACH = 10.0  # standard deviations from the mean at which inputs, targets and answers are cut off
_LARGEST_WEIGHT = 1e6


@njit(cache=True, nogil=True)
def _standardised(x, at):  # type: ignore[no-untyped-def]
    """Standard deviations from the mean; 0 where nothing varies."""
    if at[SQUARES] <= 0.0 or at[WEIGHT] <= 0.0:
        return 0.0
    deviation = math.sqrt(at[SQUARES] / at[WEIGHT])  # of subnormal squares it may be 0 as well
    return max(-REACH, min(REACH, (x - at[MEAN]) / deviation)) if deviation > 0.0 else 0.0


@njit(cache=True, nogil=True)
def active(row, state, work):  # type: ignore[no-untyped-def]
    """Fill in which weights a row uses and with what input, the intercept first; how many."""
    layout, scale, places, values = state.layout, state.scale, work.places, work.values
    places[0], values[0], n = 0, 1.0, 1
    for c in range(len(layout)):
        if math.isnan(row[c]):
            continue
        if layout[c, PLACES] == 0:
            places[n], values[n] = layout[c, OFFSET], _standardised(row[c], scale[1 + c])
            n += 1
        else:
            code = code_of(row[c], layout, c)
            if code >= 0:
                places[n], values[n] = layout[c, OFFSET] + code, 1.0
                n += 1
    return n


@njit(cache=True, nogil=True)
def _score(weights, places, values, n):  # type: ignore[no-untyped-def]
    total = 0.0
    for j in range(n):
        total += weights[places[j]] * values[j]
    return total


@njit(cache=True, nogil=True)
def _observe_row(row, layout, scale, weight):  # type: ignore[no-untyped-def]
    for c in range(len(layout)):
        if layout[c, PLACES] == 0 and not math.isnan(row[c]):
            observe(scale[1 + c], row[c], weight)


@njit(cache=True, nogil=True)
def _rate(rule, learned, values, n):  # type: ignore[no-untyped-def]
    """The length of this step."""
    rate = rule.rate if rule.power == 0.0 else rule.rate / math.pow(learned, rule.power)
    squares = 0.0
    for j in range(n):
        squares += values[j] * values[j]
    return min(rate, 1.0 / squares)


@njit(cache=True, nogil=True)
def _move(weights, work, n, rate, slope, l2):  # type: ignore[no-untyped-def]
    """One step against the slope; the intercept, first, is not pulled to 0."""
    for j in range(n):
        at = work.places[j]
        pull = l2 * weights[at] if j else 0.0
        moved = weights[at] - rate * (slope * work.values[j] + pull)
        weights[at] = max(-_LARGEST_WEIGHT, min(_LARGEST_WEIGHT, moved))


@njit(cache=True, nogil=True)
def _class_scores(row, state, work, scores):  # type: ignore[no-untyped-def]
    """Probabilities of the classes for one row; how many weights it uses."""
    n = active(row, state, work)
    classes = int(state.clock[CLASSES])
    for k in range(classes):
        scores[k] = _score(state.table[k], work.places, work.values, n)
    normalise(scores, classes)
    return n


@njit(cache=True, nogil=True)
def softmax_block(rows, labels, out, state, rule, work):  # type: ignore[no-untyped-def]
    """Answer each row into `out`, then learn it if its label is 0 or more."""
    clock = state.clock
    for i in range(len(rows)):
        _class_scores(rows[i], state, work, out[i])
        if labels[i] < 0:
            continue
        tick(clock, rule.growth, state.scale)
        clock[CLASSES] = max(clock[CLASSES], labels[i] + 1.0)
        _observe_row(rows[i], state.layout, state.scale, clock[WEIGHT_NOW])
        n = _class_scores(rows[i], state, work, work.shares)
        rate = _rate(rule, clock[LEARNED], work.values, n)
        for k in range(int(clock[CLASSES])):
            slope = work.shares[k] - (1.0 if k == labels[i] else 0.0)
            _move(state.table[k], work, n, rate, max(-rule.cap, min(rule.cap, slope)), rule.l2)


@njit(cache=True, nogil=True)
def linear_block(rows, targets, out, state, rule, work):  # type: ignore[no-untyped-def]
    """Answer each row into `out`, then learn it if its target is a number."""
    target, weights, clock = state.scale[0], state.table[0], state.clock
    for i in range(len(rows)):
        out[i, 0] = math.nan
        if target[WEIGHT] > 0.0:
            n = active(rows[i], state, work)
            said = max(-REACH, min(REACH, _score(weights, work.places, work.values, n)))
            out[i, 0] = target[MEAN] + said * math.sqrt(target[SQUARES] / target[WEIGHT])
        if math.isnan(targets[i]):
            continue
        tick(clock, rule.growth, state.scale)
        observe(target, targets[i], clock[WEIGHT_NOW])
        _observe_row(rows[i], state.layout, state.scale, clock[WEIGHT_NOW])
        n = active(rows[i], state, work)
        error = _score(weights, work.places, work.values, n) - _standardised(targets[i], target)
        slope = max(-rule.cap, min(rule.cap, _slope(error, rule.loss, rule.bend)))
        _move(weights, work, n, _rate(rule, clock[LEARNED], work.values, n), slope, rule.l2)


@njit(cache=True, nogil=True)
def _slope(error, loss, bend):  # type: ignore[no-untyped-def]
    """Derivative of the loss at an error: the error itself, its sign, or the error up to the bend."""
    if loss == SQUARED:
        return error
    if loss == ABSOLUTE:
        return 0.0 if error == 0.0 else math.copysign(1.0, error)
    return max(-bend, min(bend, error))


@njit(cache=True, nogil=True)
def shrink_weights(state, keep):  # type: ignore[no-untyped-def]
    """Let all that was learned count `keep` of what it did: weights, moments, and the place in the schedule."""
    state.clock[LEARNED] *= keep
    shrink_scales(state.scale, keep)
    state.table[:] *= keep
