"""The level and spread that a control chart compares with: given, or learned from a signal's first values.

A value is clipped at `CLIP` spreads from the target, so an absurd one is worth a bounded step and no more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from detectors._recent import RECENT_N, locate
from detectors.base import DRIFT, WARNING, Floats, Ints

__all__ = [
    "CLIP",
    "ChartSignals",
    "chart_signals",
    "edge_of",
    "floored",
    "give",
    "judge",
    "per_signal",
    "settle",
    "standardised",
    "write",
]

# Beyond any threshold in use, and a hundred such values still leave sums that the next alarm ends.
CLIP = 8.0
# Mean range of two normal values in spreads: 2 / sqrt(pi), the textbook's d2 = 1.128.
_D2 = 1.1283791670955126
# Spread over median absolute deviation of normal values.
_MAD = 1.4826022185056018
# The least spread: a part of the target far above its rounding error, and a number to divide by where it is 0.
_RELATIVE_FLOOR, _FLOOR = 1e-9, 1e-300


class ChartSignals(NamedTuple):
    """What F signals of a chart hold.

    `real` [F, 6]: target, spread, edge (largest distance from the target that is kept), statistic, two sums;
    `whole` [F, 4]: values since the restart, position of the first of them, whether in the warning zone, whether to
    restart; `ring`, `ring_at`: the newest values; `first` [F, learn_n]: the values learned from; `given` [F, 3]:
    target, spread (NaN: to be learned), and a parameter of the detector's own.
    """

    real: Floats
    whole: Ints
    ring: Floats
    ring_at: Ints
    first: Floats
    given: Floats


def chart_signals(n_signals: int, learn_n: int) -> ChartSignals:
    """Fresh signals that learn from `learn_n` values (0: nothing to learn)."""
    signals = ChartSignals(
        np.zeros((n_signals, 6)),
        np.zeros((n_signals, 4), dtype=np.int64),
        np.zeros((n_signals, RECENT_N)),
        np.zeros((n_signals, RECENT_N), dtype=np.int64),
        np.zeros((n_signals, learn_n)),
        np.full((n_signals, 3), np.nan),
    )
    signals.real[:, 3] = np.nan
    return signals


def per_signal(name: str, value: Any, n_signals: int, *, least: float = -np.inf, most: float = np.inf) -> Floats:
    """A parameter as one finite number a signal, NaN where it is to be learned (None: everywhere).

    Raises
    ------
    ValueError
        on another shape, on infinity and out of [least, most]: names the parameter and the signal.
    """
    asked = np.asarray(np.nan if value is None else value, dtype=np.float64)
    if asked.shape not in ((), (n_signals,)):
        raise ValueError(f"{name} has shape {asked.shape}; give a number or [{n_signals}], one a signal")
    numbers = np.array(np.broadcast_to(asked, (n_signals,)))
    wrong = np.isinf(numbers) | (numbers < least) | (numbers > most)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"{name} of signal {at} = {numbers[at]}; give a finite number in [{least}, {most}]")
    return numbers


def give(signals: ChartSignals, target: Floats, spread: Floats) -> None:
    """Write what is known of the signals; NaN is learned."""
    signals.given[:, 0], signals.given[:, 1] = target, spread


@njit(cache=True, nogil=True)
def floored(target, spread):  # type: ignore[no-untyped-def]
    """A spread that can be divided by: at least 1e-9 of the target, and above 0."""
    return max(spread, _RELATIVE_FLOOR * abs(target), _FLOOR)


@njit(cache=True, nogil=True)
def edge_of(target, spread):  # type: ignore[no-untyped-def]
    """Largest distance from the target at which values are kept: without a spread of their own, any."""
    return CLIP * spread if spread > floored(target, 0.0) else np.inf


@njit(cache=True, nogil=True)
def standardised(x, target, spread):  # type: ignore[no-untyped-def]
    """Distance from the target in spreads, clipped."""
    return min(max((x - target) / spread, -CLIP), CLIP)


@njit(cache=True, nogil=True)
def settle(first, given, ranges, ring, seen):  # type: ignore[no-untyped-def]
    """Target and spread of the first values, each unless given, and the edge; clips the values kept to it.

    The target is their mean; the spread their mean moving range over d2 (`ranges`) or their standard deviation. Both
    are taken after clipping at 8 robust spreads (median absolute deviation; where half of the values tie, the second
    largest deviation) from the median: normal numbers never reach that, a single absurd value does.
    """
    n = len(first)
    ordered = np.sort(first)
    middle = 0.5 * (ordered[(n - 1) // 2] + ordered[n // 2])
    away = np.sort(np.abs(ordered - middle))
    scale = _MAD * 0.5 * (away[(n - 1) // 2] + away[n // 2])
    reach = CLIP * (scale if scale > 0.0 else away[n - 2])
    total, steps, before = 0.0, 0.0, 0.0
    for k in range(n):
        x = min(max(first[k], middle - reach), middle + reach)
        total += x - middle
        steps += abs(x - before) if k else 0.0
        before = x
    mean = total / n
    squares = 0.0
    for k in range(n):
        squares += (min(max(first[k], middle - reach), middle + reach) - middle - mean) ** 2
    found = steps / (n - 1) / _D2 if ranges else np.sqrt(squares / (n - 1))
    target = middle + mean if np.isnan(given[0]) else given[0]
    spread = floored(target, found if np.isnan(given[1]) else given[1])
    edge = edge_of(target, spread)
    for k in range(min(seen, RECENT_N)):
        ring[k] = min(max(ring[k], target - edge), target + edge)
    return target, spread, edge


@njit(cache=True, nogil=True)
def judge(shown, limit, warning, warned):  # type: ignore[no-untyped-def]
    """Status of a statistic (0: none; a warning only where fresh), and whether it stands in the warning zone."""
    if shown > limit:
        return DRIFT, 0
    if shown > warning:
        return (0 if warned else WARNING), 1
    return 0, 0


@njit(cache=True, nogil=True)
def write(whole, real, row, f, status, sign, shown, limit, ring, ring_at, seen, began):  # type: ignore[no-untyped-def]
    """Write an alarm; without any spread around its onset its effect is `CLIP`."""
    onset, low, high, effect, newer = locate(ring, ring_at, seen, began, sign)
    whole[0], whole[1], whole[2], whole[3] = row, f, status, sign
    whole[4], whole[5], whole[6], whole[7] = onset, low, high, newer
    real[0], real[1], real[2] = shown, limit, (effect if effect > 0.0 else CLIP)
