"""Null laws of the window tests, for one look at independent data: Anderson-Darling, Wasserstein, chi-square.

All are limits for large samples; thresholds are computed at construction and kept in a bank's state.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import Floats

__all__ = [
    "anderson_darling_deviation",
    "anderson_darling_quantile",
    "bridge_areas",
    "chi_square_quantiles",
    "quadratic_tail",
    "tied_weights",
    "wasserstein_quantile",
]

# Terms of the Anderson-Darling limit that stand for themselves; the rest has a variance of 2e-8 and enters by its mean.
_TERMS = 300
# Values of a tied reference are merged into about so many runs: its largest weights then have four digits.
_RUNS = 128
# Step and number of the nodes of the contour integral, in units of the saddle point's width.
_STEP, _NODES = 0.1, 120
# Gaps between order statistics of which a null law of W1 is made; all where the reference has no more.
_GAPS, _OUTER = 1024, 256
_DRAWS, _SEED = 2048, 1
# The tail from which on the law of W1 is continued by its bound; 100 draws lie beyond it.
_ANCHOR = 0.05


def quadratic_tail(x: float, weights: Floats) -> float:
    """P(Q > x) for Q = the sum of `weights` (positive) times independent squares of standard normal numbers.

    The inverse Laplace transform along a parabola through the saddle point that opens round the branch cut: there
    the integrand falls like a Gaussian, so the plain sum over 120 nodes has a relative error below 1e-10 from the 5 %
    point on, however deep, and below 1e-5 at the 30 % point.
    """
    if x <= 0.0:
        return 1.0
    end = 0.5 / float(weights.max())
    low, high, saddle = 0.0, end, end / 2.0
    for _ in range(60):
        slope = float(np.sum(weights / (1.0 - 2.0 * weights * saddle))) - x - 1.0 / saddle
        low, high = (saddle, high) if slope < 0.0 else (low, saddle)
        saddle = (low + high) / 2.0
    curvature = float(np.sum(2.0 * (weights / (1.0 - 2.0 * weights * saddle)) ** 2)) + 1.0 / saddle**2
    step = _STEP / math.sqrt(curvature)
    t = (np.arange(_NODES) + 0.5) * step
    bend = 0.25 / (end - saddle)
    s = saddle + bend * t * t + 1j * t
    exponent = -0.5 * np.log(1.0 - 2.0 * weights[:, None] * s).sum(axis=0) - s * x
    return min(1.0, max(0.0, float(np.sum((np.exp(exponent) / s * (1j + 2.0 * bend * t)).imag)) * step / math.pi))


def _quadratic_quantile(alpha: float, weights: Floats) -> float:
    """By the secants of the tail's logarithm, nearly a line, between two points that hold the quantile."""

    def excess(x: float) -> float:
        return math.log(max(quadratic_tail(x, weights), 1e-300) / alpha)

    low, high = 0.0, float(weights.sum())
    above, below = -math.log(alpha), excess(high)
    while below > 0.0:
        low, above, high = high, below, 2.0 * high
        below = excess(high)
    for _ in range(60):
        x = low + (high - low) * above / (above - below)
        found = excess(x)
        if abs(found) < 1e-9:
            return x
        # Halving the side that stays keeps both ends moving (the Illinois rule).
        low, above, high, below = (x, found, high, below / 2.0) if found > 0.0 else (low, above / 2.0, x, found)
    return high


@lru_cache(maxsize=64)
def _untied_quantile(alpha: float) -> float:
    j = np.arange(1.0, _TERMS + 1.0)
    return 1.0 / (_TERMS + 1.0) + _quadratic_quantile(alpha, 1.0 / (j * (j + 1.0)))


def anderson_darling_quantile(alpha: float, ascending: Floats) -> float:
    """What the limit of the two-sample statistic exceeds with probability `alpha`, for data tied as `ascending` is.

    Without ties the limit is the sum of squares over j (j + 1) (Anderson, Darling 1952); ties give the larger of the
    weights more, up to chi-square with one degree for two values, whose tail is a thousand times as heavy.
    """
    if len(np.unique(ascending)) == len(ascending):
        return _untied_quantile(alpha)
    return _quadratic_quantile(alpha, tied_weights(ascending))


def tied_weights(ascending: Floats) -> Floats:
    """Weights of the limit law where both samples are drawn from these values; that of two values where all are equal.

    They are the eigenvalues of the covariance of the mid-distribution function's bridge, scaled as the statistic
    scales it; neighbours are merged into about 128 runs, which raises a quantile by 1 % at most.
    """
    _, sizes = np.unique(ascending, return_counts=True)
    run = np.floor((np.cumsum(sizes) - sizes / 2.0) * (_RUNS / len(ascending)))
    large = sizes * _RUNS > len(ascending)  # a run's worth by itself: stays alone
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(run) > 0) | large[1:] | large[:-1]]))
    p = np.add.reduceat(sizes, starts) / len(ascending)
    if len(p) < 2:
        return np.ones(1)
    middle = np.cumsum(p) - p / 2.0
    scale = np.sqrt(p / (middle * (1.0 - middle) - p / 4.0))
    covariance = np.minimum.outer(middle, middle) * (1.0 - np.maximum.outer(middle, middle))
    np.fill_diagonal(covariance, middle * (1.0 - middle) - p / 4.0)
    weights = np.linalg.eigvalsh(covariance * scale[:, None] * scale)
    return np.asarray(weights[weights > 1e-9], dtype=np.float64)


def anderson_darling_deviation(n: int, m: int) -> float:
    """Standard deviation of the two-sample statistic without ties, over that of its limit.

    References
    ----------
    Scholz, Stephens (1987), K-sample Anderson-Darling tests, doi:10.1080/01621459.1987.10478517, section 3
    """
    total = n + m
    if total < 4:
        return 1.0
    # Sums over 1 / i, and over 1 / ((total - i) j) for i < j.
    inverse = 1.0 / np.arange(1.0, total)
    h, later = float(inverse.sum()), np.cumsum(inverse[::-1])[::-1]
    g = float(np.sum(later[1:] / (total - np.arange(1.0, total - 1.0))))
    both = 1.0 / n + 1.0 / m
    a = (4 * g - 6) + (10 - 6 * g) * both
    b = (2 * g - 4) * 4 + 16 * h + (2 * g - 14 * h - 4) * both - 8 * h + 4 * g - 6
    c = (6 * h + 2 * g - 2) * 4 + (4 * h - 4 * g + 6) * 2 + (2 * h - 6) * both + 4 * h
    d = (2 * h + 6) * 4 - 8 * h
    variance = (a * total**3 + b * total**2 + c * total + d) / ((total - 1.0) * (total - 2.0) * (total - 3.0))
    return math.sqrt(variance / (2.0 * (math.pi**2 - 9.0) / 3.0))


def bridge_areas(n: int) -> tuple[NDArray[Any], Floats]:
    """Draws of a Brownian bridge between the order statistics of n values, the same at every call.

    Returns
    -------
    cuts : indices of the order statistics between which the bridge is held to be level, all n where n is at most 1,025
    bridges : [2,048, cuts - 1] its absolute height there
    """
    cuts = np.arange(n)
    if n > _GAPS + 1:
        inner = np.linspace(_OUTER, n - 1 - _OUTER, _GAPS - 2 * _OUTER + 1).astype(np.int64)
        cuts = np.unique(np.concatenate([cuts[:_OUTER], inner, cuts[n - _OUTER :]]))
    levels = (cuts[:-1] + 1.0 + cuts[1:]) / (2.0 * n)
    steps = np.sqrt(np.diff(np.concatenate([[0.0], levels, [1.0]])))
    walk = np.cumsum(np.random.default_rng(_SEED).normal(size=(_DRAWS, len(steps))) * steps, axis=1)
    return cuts, np.abs(walk[:, :-1] - levels * walk[:, -1:])


def wasserstein_quantile(alpha: float, ascending: Floats, bridges: tuple[NDArray[Any], Floats]) -> float:
    """What W1 times sqrt(n m / (n + m)) exceeds with probability `alpha` or less, for samples of these values' law.

    The limit is the area under a Brownian bridge's absolute value over the values' distribution function, a convex
    function of Gaussian variables, of which `bridges` holds draws. Its 95 % point is taken from them; beyond it the
    normal score of the law rises by at least 1 for each standard deviation of the values (Ehrhard's inequality: that
    score is concave, and its slope tends to this), which bounds the tail at any depth, a few percent of the
    threshold above the truth.

    References
    ----------
    del Barrio, Giné, Matrán (1999), doi:10.1214/aop/1022677394; Borell (2003), doi:10.1016/j.crma.2003.09.031
    """
    from scipy.special import ndtri

    cuts, heights = bridges
    areas = (heights * np.diff(ascending[cuts])).sum(axis=1)
    if alpha >= _ANCHOR:
        return float(np.quantile(areas, 1.0 - alpha))
    beyond = float(ndtri(_ANCHOR) - ndtri(alpha))
    return float(np.quantile(areas, 1.0 - _ANCHOR)) + beyond * float(np.std(ascending))


def chi_square_quantiles(alpha: float, cells: int) -> Floats:
    """[cells + 1]: what chi-square exceeds with probability `alpha` at so many cells in use, less one, degrees."""
    from scipy.special import gammainccinv

    degrees = np.arange(-1.0, cells)
    quantiles = np.zeros(cells + 1)
    quantiles[2:] = 2.0 * gammainccinv(degrees[2:] / 2.0, alpha)
    return quantiles
