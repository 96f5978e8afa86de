"""Kernels of naive Bayes over dense rows: normal densities of numbers, smoothed shares of codes."""

from __future__ import annotations

import math

from numba import njit

from learners._dense_kernels import (
    CLASSES,
    KNOWN,
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
    several,
    shrink_scales,
    tick,
)

__all__ = ["NUMBER_N", "bayes_answer", "bayes_block", "bayes_learn", "shrink_table"]

# Places of a class in a column: of numbers weight, squared weights, mean, squares; of codes total, then one a code.
NUMBER_N = 4
_LEAST_SHARE = 1e-9  # of the column's variance, and of its density: no single value decides alone
_NO_VARIANCE = 1e-280  # below it quotients of variances are none
_LOG_FLOOR = math.log(_LEAST_SHARE)
_LOG_TWO_PI = math.log(2.0 * math.pi)
_NOTHING = 1e-150


@njit(cache=True, nogil=True)
def bayes_block(rows, labels, out, state, growth, smoothing):  # type: ignore[no-untyped-def]
    """Answer each row into `out`, then learn it if its label is 0 or more."""
    for i in range(len(rows)):
        bayes_answer(rows[i], state, smoothing, out[i])
        if labels[i] >= 0:
            bayes_learn(rows[i], labels[i], state, growth)


@njit(cache=True, nogil=True)
def bayes_answer(row, state, smoothing, scores):  # type: ignore[no-untyped-def]
    """Probabilities of the classes for one row."""
    table, layout, scale, clock = state
    classes = int(clock[CLASSES])
    for k in range(classes):
        scores[k] = math.log(table[k, 0]) if table[k, 0] > 0.0 else -math.inf
    for c in range(len(layout)):
        if math.isnan(row[c]):
            continue
        if layout[c, PLACES] == 0:
            _add_densities(row[c], table, layout[c, OFFSET], scale[1 + c], scores, classes)
        else:
            code = code_of(row[c], layout, c)
            if 0 <= code < layout[c, KNOWN]:
                _add_shares(code, table, layout[c], smoothing * clock[WEIGHT_NOW], scores, classes)
    normalise(scores, classes)


@njit(cache=True, nogil=True)
def _add_densities(x, table, at, pooled, scores, classes):  # type: ignore[no-untyped-def]
    overall = pooled[SQUARES] / pooled[WEIGHT] if pooled[SQUARES] > 0.0 else 0.0
    if overall <= _NO_VARIANCE:
        return
    for k in range(classes):
        mean, variance = pooled[MEAN], overall
        weight = table[k, at]
        if weight > 0.0:
            mean = table[k, at + 2]
            if several(weight, table[k, at + 1]):
                variance = max(table[k, at + 3] / weight, _LEAST_SHARE * overall)
        step = x - mean
        density = -0.5 * (step * step / variance + _LOG_TWO_PI + math.log(variance / overall))
        scores[k] += max(density, _LOG_FLOOR)


@njit(cache=True, nogil=True)
def _add_shares(code, table, column, alpha, scores, classes):  # type: ignore[no-untyped-def]
    at, known = column[OFFSET], column[KNOWN]
    for k in range(classes):
        scores[k] += math.log((table[k, at + 1 + code] + alpha) / (table[k, at] + alpha * known))


@njit(cache=True, nogil=True)
def bayes_learn(row, label, state, growth):  # type: ignore[no-untyped-def]
    """Add one row to the moments and counts of its class."""
    table, layout, scale, clock = state
    factor = tick(clock, growth, scale)
    if factor != 1.0:
        _shrink(table, layout, factor)
    weight = clock[WEIGHT_NOW]
    clock[CLASSES] = max(clock[CLASSES], label + 1.0)
    table[label, 0] += weight
    for c in range(len(layout)):
        if math.isnan(row[c]):
            continue
        at = layout[c, OFFSET]
        if layout[c, PLACES] == 0:
            if observe(scale[1 + c], row[c], weight):
                table[:, at : at + NUMBER_N] = 0.0
            _add_number(table[label, at : at + NUMBER_N], row[c], weight)
        else:
            code = code_of(row[c], layout, c)
            if code >= 0:
                layout[c, KNOWN] = max(layout[c, KNOWN], code + 1)
                table[label, at] += weight
                table[label, at + 1 + code] += weight


@njit(cache=True, nogil=True)
def _add_number(of, x, weight):  # type: ignore[no-untyped-def]
    of[0] += weight
    of[1] += weight * weight
    share = weight / of[0]
    step = x - of[2]
    of[2] += share * step
    of[3] += weight * step * step * (1.0 - share)


@njit(cache=True, nogil=True)
def shrink_table(state, keep):  # type: ignore[no-untyped-def]
    """Let all that was learned count `keep` of what it did."""
    table, layout, scale, clock = state
    clock[LEARNED] *= keep
    shrink_scales(scale, keep)
    _shrink(table, layout, keep)


@njit(cache=True, nogil=True)
def _width(places):  # type: ignore[no-untyped-def]
    return 1 + places if places else NUMBER_N


@njit(cache=True, nogil=True)
def _shrink(table, layout, factor):  # type: ignore[no-untyped-def]
    for k in range(len(table)):
        table[k, 0] = table[k, 0] * factor if table[k, 0] * factor >= _NOTHING else 0.0
        for c in range(len(layout)):
            at = layout[c, OFFSET]
            if table[k, at] * factor < _NOTHING:
                table[k, at : at + _width(layout[c, PLACES])] = 0.0
            elif layout[c, PLACES] == 0:
                table[k, at] *= factor
                table[k, at + 1] *= factor * factor
                table[k, at + 3] *= factor
            else:
                table[k, at : at + 1 + layout[c, PLACES]] *= factor
