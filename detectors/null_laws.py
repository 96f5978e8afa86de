"""Null laws of the rank tests: critical values and nominal p-values, for one look at independent data.

Tails are computed directly, never as one minus a distribution function, so small p-values keep their digits.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.base import require

__all__ = ["cvm_critical", "cvm_p_nominal", "cvm_tail", "ks_critical", "ks_p_nominal"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_ANGLES = (_NODES + 1.0) * (math.pi / 2.0)
# Below this the tail is 1 to all digits, and the series would need many terms.
_CVM_SURE = 0.004


def ks_critical(alpha: float, n: float, m: float) -> float:
    """Kolmogorov-Smirnov distance that two samples of sizes n and m exceed with probability `alpha` or less.

    First term of the limit's tail, 2 exp(-2 z^2), whose further terms only lower it.
    """
    require("alpha", alpha, "a number in (0, 1)", holds=0 < alpha < 1)
    return math.sqrt(-math.log(alpha / 2.0) / 2.0 * (n + m) / (n * m))


def ks_p_nominal(d: float, n: float, m: float) -> float:
    """P(distance > d) under the limiting law, for samples of sizes n and m."""
    z = d * math.sqrt(n * m / (n + m))
    if z < 0.2:
        return 1.0
    terms = ((-1) ** (k - 1) * math.exp(-2.0 * k * k * z * z) for k in range(1, 101))
    return min(1.0, max(0.0, 2.0 * math.fsum(terms)))


def cvm_tail(x: float) -> float:
    """P(T > x) for the limit of the Cramér-von Mises statistic.

    Smirnov's integral for a quadratic form with weights 1/(pi k)^2: over [(2k-1) pi, 2k pi], of alternating sign,
    2/(pi s) sqrt(s/|sin s|) exp(-x s^2/2) ds; the substitution s = (2k - 1/2 - cos(t)/2) pi lifts the end points'
    singularities. Absolute error below 1e-13, relative error below 1e-10 down to 1e-250.

    References
    ----------
    Smirnov (1937); Durbin, Knott (1972), Components of Cramér-von Mises statistics I, section 4.
    """
    if x < _CVM_SURE:
        return 1.0
    terms: list[float] = []
    for k in range(1, 200):
        if terms and x * ((2 * k - 1) * math.pi) ** 2 / 2.0 > 745.0:
            break
        s = (2 * k - 0.5 - np.cos(_ANGLES) / 2.0) * math.pi
        # sin s by its distance from the nearer end: sin itself loses all digits there.
        distance = np.where(math.pi / 2 > _ANGLES, 1.0 - np.cos(_ANGLES), 1.0 + np.cos(_ANGLES)) * math.pi / 2.0
        rate = np.exp(-x * s * s / 2.0) * np.sqrt(s / np.sin(distance)) / s
        part = float(np.sum(_WEIGHTS * rate * np.sin(_ANGLES))) * math.pi / 2.0
        terms.append((-1) ** (k - 1) * part)
        if abs(part) < 1e-16 * abs(terms[0]):
            break
    return min(1.0, max(0.0, math.fsum(terms)))


def cvm_critical(alpha: float, n: float, m: float) -> float:
    """Cramér-von Mises statistic that two samples of sizes n and m exceed with probability `alpha`.

    The limit's quantile, moved to the exact mean and variance of the statistic at these sizes (Anderson 1962).
    """
    require("alpha", alpha, "a number in (0, 1)", holds=0 < alpha < 1)
    low, high = 0.0, 1.0
    while cvm_tail(high) > alpha:
        low, high = high, 2.0 * high
    for _ in range(100):
        middle = (low + high) / 2.0
        low, high = (middle, high) if cvm_tail(middle) > alpha else (low, middle)
    mean, deviation = _cvm_moments(n, m)
    return mean + ((low + high) / 2.0 - 1.0 / 6.0) * deviation


def cvm_p_nominal(t: float, n: float, m: float) -> float:
    """P(T > t) for samples of sizes n and m, by the limiting law at matched mean and variance (as scipy)."""
    mean, deviation = _cvm_moments(n, m)
    return cvm_tail(1.0 / 6.0 + (t - mean) / deviation)


def _cvm_moments(n: float, m: float) -> tuple[float, float]:
    """Mean of the two-sample statistic, and its standard deviation over that of the limit (1/sqrt(45))."""
    both = n + m
    variance = (
        (both + 1.0) * (4.0 * n * m * both - 3.0 * (n * n + m * m) - 2.0 * n * m) / (45.0 * both**2 * 4.0 * n * m)
    )
    return (1.0 + 1.0 / both) / 6.0, math.sqrt(45.0 * variance)
