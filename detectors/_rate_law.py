"""The exact in-control run length of a CUSUM of bits whose steps are whole numbers, and limits of a rate.

With weight 1/m or 1 - 1/m the sum moves by 1 one way and by m - 1 the other, so it can skip no value on one side: both
run lengths then follow from one pass of sums of positive terms.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from detectors.base import require

__all__ = ["climb_limit", "jump_limit", "lattice", "rate_limit"]

# The continued fraction converges within some square roots of a + b terms; `_TINY` stands in for a divisor of 0.
_TERMS, _TINY, _CLOSE = 100_000, 1e-300, 1e-15


def lattice(gamma: float, p0: float) -> tuple[int, bool]:
    """`(m, rare)` of a weight 1/m (rare) or 1 - 1/m: that nearest to `gamma` if it lies on the same side of `p0` and at
    least half as far from it, else the next one beyond."""
    rare = gamma <= 0.5
    exact = 1.0 / (gamma if rare else 1.0 - gamma)
    for m in (max(round(exact), 2), max(math.floor(exact), 2), math.ceil(exact)):
        weight = 1.0 / m if rare else 1.0 - 1.0 / m
        if (weight - p0) / (gamma - p0) >= 0.5:
            return m, rare
    raise AssertionError(f"no weight for gamma {gamma}, p0 {p0}")  # one of floor and ceil lies beyond gamma


@njit(cache=True, nogil=True)
def jump_limit(p, m, arl):  # type: ignore[no-untyped-def]
    """Least whole limit h, 1 or more, that a sum at 0 takes `arl` values or more to pass, and how many it takes.

    The sum goes up by m - 1 with probability p, else down by 1, and stays at 0 or above. With w(j) = (1-p) w(j+1) +
    p w(j-m+1), w(0) = 1, w below 0 nothing (the scale function of the walk, seen from the limit), the mean number of
    values is w(h)^2 / ((1-p) (w(h+1) - w(h))) - (w(0) + ... + w(h-1)) / (1-p).
    """
    ring = np.zeros(m)
    w, total, ring[0] = 1.0, 0.0, 1.0
    h = 0
    while True:
        # ring[(h+1) % m] still holds w(h - m + 1), or 0 where that lies below the start.
        rise = p / (1.0 - p) * (w - ring[(h + 1) % m])
        mean = w * w / ((1.0 - p) * rise) - total / (1.0 - p)
        if h >= 1 and mean >= arl:
            return h, mean
        total += w
        w += rise
        h += 1
        ring[h % m] = w


@njit(cache=True, nogil=True)
def climb_limit(p, m, arl):  # type: ignore[no-untyped-def]
    """As `jump_limit`, for a sum that goes down by m - 1 with probability p, else up by 1.

    From i it takes t(i) values to reach i + 1 for the first time: (1-p) t(i) = 1 + p (t(i-1) + ... + t(max(i-m+1, 0))).
    """
    ring = np.zeros(m)  # sums of t(0) to t(i - 1), for the newest m places
    total, h = 0.0, 0
    while True:
        past = ring[(h + 1) % m] if h >= m - 1 else 0.0
        total += (1.0 + p * (total - past)) / (1.0 - p)
        if h >= 1 and total >= arl:
            return h, total
        h += 1
        ring[h % m] = total


def rate_limit(k: float, n: float, confidence: float, *, upper: bool) -> float:
    """One-sided limit of Clopper and Pearson (1934) for the rate behind `k` of `n`; 0 or 1 where the counts allow it.

    Covers the rate with at least that confidence, whatever it is.
    """
    require("n", n, "1 or more", holds=n >= 1)
    require("k", k, f"a number in [0, {n}]", holds=0 <= k <= n)
    require("confidence", confidence, "a number in (0, 1)", holds=0 < confidence < 1)
    if k == (n if upper else 0):
        return 1.0 if upper else 0.0
    a, b = (k + 1.0, n - k) if upper else (k, n - k + 1.0)
    level = confidence if upper else 1.0 - confidence
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _beta_below(middle, a, b) < level else (low, middle)
    return high if upper else low


def _beta_below(x: float, a: float, b: float) -> float:
    """Regularized incomplete beta function, by its continued fraction (DLMF 8.17.22) taken by Lentz's method."""
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta_below(1.0 - x, b, a)
    front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    value, c, d = 1.0, 1.0, 0.0
    for j in range(1, _TERMS):
        i = j // 2
        if j % 2:
            term = -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1.0))
        else:
            term = i * (b - i) * x / ((a + 2 * i - 1.0) * (a + 2 * i))
        d = 1.0 / (1.0 + term * d or _TINY)
        c = 1.0 + term / c or _TINY
        value *= c * d
        if abs(c * d - 1.0) < _CLOSE:
            break
    return math.exp(front) / (a * value)
