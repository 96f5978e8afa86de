"""What the tests of a sliding window against a fixed reference share: checks at construction and the alarm rule.

They are level detectors: an alarm opens where statistic and effect say so, and clears where either has fallen back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from detectors.base import CLEARED, DRIFT, Floats, require

__all__ = ["SEEN", "WindowRule", "due", "effective_shares", "judge", "reference_parts", "window_rule"]

# Places in a signal's `flags`.
SEEN, _OPEN = 0, 1


class WindowRule(NamedTuple):
    """What is kept, when to test, what is measured and what is an alarm.

    `size` is the length of the longest reference, or the number of cells; `kind` the kernel's number of the statistic.
    """

    window_n: int
    size: int
    kind: int
    test_every: int
    min_effect: float
    clear_ratio: float
    empty: float


def window_rule(kind: int, window_n: int, *, size: int, **numbers: float) -> WindowRule:
    """The checked rule; `numbers`: alpha, test_every, min_effect, below (what the effect stays under), clear_ratio,
    and for binned statistics empty."""
    alpha, least, below, ratio = (numbers[name] for name in ("alpha", "min_effect", "below", "clear_ratio"))
    every, empty = int(numbers["test_every"]), numbers.get("empty", 0.5)
    require("window_n", window_n, "2 or more", holds=window_n >= 2)
    require("alpha", alpha, "a number in (0, 0.5)", holds=0 < alpha < 0.5)
    require("test_every", every, "1 or more", holds=every >= 1)
    require("min_effect", least, f"a number in [0, {below})", holds=0 <= least < below)
    require("clear_ratio", ratio, "a number in (0, 1]", holds=0 < ratio <= 1)
    require("empty", empty, "a number in (0, 1]", holds=0 < empty <= 1)
    return WindowRule(window_n, size, kind, every, float(least), float(ratio), float(empty))


def reference_parts(reference: Sequence[Any]) -> list[Floats]:
    """Each signal's reference, ascending, without NaN.

    Raises
    ------
    ValueError
        where there is no signal, or a reference is not a list of finite numbers.
    """
    require("len(reference)", len(reference), "1 array or more", holds=len(reference) >= 1)
    parts = []
    for signal, values in enumerate(reference):
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 1 or np.isinf(array).any():
            raise ValueError(f"reference of signal {signal}: give a list of finite numbers (NaN is dropped)")
        parts.append(np.sort(array[~np.isnan(array)] + 0.0))  # one zero only, as in the kernels
    return parts


def effective_shares(n_effective: Any, n_signals: int) -> Floats:
    """One share of independent values for each signal.

    Raises
    ------
    ValueError
        where one is not in (0, 1].
    """
    given = np.asarray(1.0 if n_effective is None else n_effective, dtype=np.float64)
    shares = np.array(np.broadcast_to(given, (n_signals,)))
    usable = bool(((shares > 0) & (shares <= 1)).all())
    require("n_effective", float(np.min(shares)), "shares in (0, 1], effective number over count", holds=usable)
    return shares


@njit(cache=True, nogil=True)
def due(flags, reference_n, window_n, test_every):  # type: ignore[no-untyped-def]
    """Whether the value that just came asks for a test."""
    return flags[SEEN] >= window_n and flags[SEEN] % test_every == 0 and reference_n > 0


@njit(cache=True, nogil=True)
def judge(newest, flags, min_effect, clear_ratio):  # type: ignore[no-untyped-def]
    """Open or clear a signal's alarm after a test; returns its status, 0 for neither.

    `newest` holds statistic, threshold and effect. At a threshold of 0 (a constant reference) 0 clears.
    """
    if not flags[_OPEN]:
        flags[_OPEN] = 1 if newest[0] > newest[1] and newest[2] >= min_effect else 0
        return DRIFT if flags[_OPEN] else 0
    if newest[0] <= clear_ratio * newest[1] or newest[2] < clear_ratio * min_effect:
        flags[_OPEN] = 0
        return CLEARED
    return 0
