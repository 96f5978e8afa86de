"""The window tests against scipy, Frouros and published tables; where each number comes from stands beside it."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest

from detectors._cells import JENSEN_SHANNON, measure
from detectors._sorted import anderson_darling
from detectors._window_laws import (
    anderson_darling_deviation,
    anderson_darling_quantile,
    chi_square_quantiles,
    quadratic_tail,
    tied_weights,
)
from detectors.anderson_darling import AndersonDarlingBank
from detectors.base import Floats
from detectors.binned import BinnedBank
from detectors.categories import CategoryBank, CategoryStatistic
from detectors.wasserstein import WassersteinBank

__all__: list[str] = []

UNTIED = np.arange(1000.0)


def last(bank: Any, values: Any) -> float:
    column = np.asarray(values, dtype=np.float64)[:, None]
    return float(bank.update_many(column, np.arange(len(column))).statistic[-1, 0])


def frouros_samples() -> tuple[Floats, Floats]:
    """N(1, 1) and N(5, 2), 100 each, numpy's legacy seed 31 before each."""
    return np.random.RandomState(31).normal(1, 1, 100), np.random.RandomState(31).normal(5, 2, 100)


def sigma(n: int, m: int) -> float:
    """Standard deviation of A²_kN by Scholz and Stephens (1987), section 3, summed as printed there."""
    total, k = n + m, 2
    h_all, h = 1 / n + 1 / m, math.fsum(1 / i for i in range(1, total))
    g = math.fsum(1 / ((total - i) * j) for i in range(1, total - 1) for j in range(i + 1, total))
    a = (4 * g - 6) * (k - 1) + (10 - 6 * g) * h_all
    b = (2 * g - 4) * k**2 + 8 * h * k + (2 * g - 14 * h - 4) * h_all - 8 * h + 4 * g - 6
    c = (6 * h + 2 * g - 2) * k**2 + (4 * h - 4 * g + 6) * k + (2 * h - 6) * h_all + 4 * h
    d = (2 * h + 6) * k**2 - 4 * h * k
    return math.sqrt((a * total**3 + b * total**2 + c * total + d) / ((total - 1) * (total - 2) * (total - 3)))


@pytest.mark.parametrize("decimals", [0, 1, 12])
@pytest.mark.parametrize(("n", "m"), [(5, 7), (40, 25), (100, 300)])
def test_anderson_darling_is_scipys_before_it_is_standardised(n: int, m: int, decimals: int) -> None:
    """scipy.stats.anderson_ksamp gives (A²_akN - 1) / sigma, over mid-ranks; on rounded data it has many ties."""
    from scipy import stats

    generator = np.random.default_rng(n)
    x, y = generator.normal(size=n).round(decimals), generator.normal(0.3, 1.5, size=m).round(decimals)
    result = stats.anderson_ksamp([x, y], variant="midrank", method=stats.PermutationMethod(n_resamples=1))
    found = last(AndersonDarlingBank([x], m, test_every=1), y)
    assert found == pytest.approx(result.statistic * sigma(n, m) + 1.0, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (30, 20), (200, 1000)])
def test_anderson_darling_deviation_is_the_published_one(n: int, m: int) -> None:
    """The sums in closed order give the deviation of the sums as printed, over the limit's (pi² - 9) 2 / 3 rooted."""
    expected = sigma(n, m) / math.sqrt(2 * (math.pi**2 - 9) / 3)
    assert anderson_darling_deviation(n, m) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("alpha", "point", "digits"),
    [(0.10, 1.933, 5e-4), (0.05, 2.492, 5e-4), (0.01, 3.857, 0.025)],
)
def test_anderson_darling_quantiles_are_the_tabulated_ones(alpha: float, point: float, digits: float) -> None:
    """Anderson and Darling (1954), table; its third point is known to be low (3.878 by later, exact computations)."""
    assert anderson_darling_quantile(alpha, UNTIED) == pytest.approx(point, abs=digits)


def anderson_darling_1954(z: float) -> float:
    """P(A² < z) by the series of integrals of Anderson and Darling (1954), equation 2."""
    from scipy.integrate import quad

    terms = []
    for j in range(12):
        rate = (4 * j + 1) ** 2 * math.pi**2 / (8 * z)

        def integrand(w: float, rate: float = rate) -> float:
            return math.exp(z / (8 * (w * w + 1)) - rate * (w * w + 1))

        binomial = math.prod((-0.5 - i) / (i + 1) for i in range(j))
        terms.append(binomial * (4 * j + 1) * quad(integrand, 0, math.inf, epsabs=0, epsrel=1e-12)[0])
    return math.sqrt(2 * math.pi) / z * math.fsum(terms)


@pytest.mark.parametrize("alpha", [0.3, 0.05, 1e-3, 1e-6, 1e-9])
def test_anderson_darling_law_is_the_series_of_1954(alpha: float) -> None:
    """At the quantile that series, another computation of the same law, leaves alpha above it."""
    quantile = anderson_darling_quantile(alpha, UNTIED)
    assert 1.0 - anderson_darling_1954(quantile) == pytest.approx(alpha, rel=1e-4, abs=2e-12)


def test_anderson_darling_quantiles_are_scipys_critical_values() -> None:
    """anderson_ksamp's table for two samples (Scholz and Stephens 1987, table 1), which is standardised."""
    expected = {0.25: 0.325, 0.10: 1.226, 0.05: 1.961, 0.025: 2.718, 0.01: 3.752, 0.005: 4.592, 0.001: 6.546}
    for alpha, point in expected.items():
        found = (anderson_darling_quantile(alpha, UNTIED) - 1.0) / math.sqrt(2 * (math.pi**2 - 9) / 3)
        assert found == pytest.approx(point, rel=0.01)


@pytest.mark.parametrize("degrees", [1, 2, 9, 60])
@pytest.mark.parametrize("alpha", [0.05, 1e-4, 1e-9])
def test_tail_of_equal_weights_is_chi_squares(degrees: int, alpha: float) -> None:
    """The sum of `degrees` squares has scipy's chi-square tail, and the quantiles are scipy's too."""
    from scipy import stats

    point = stats.chi2.isf(alpha, degrees)
    assert quadratic_tail(point, np.ones(degrees)) == pytest.approx(alpha, rel=1e-9)
    assert chi_square_quantiles(alpha, 61)[degrees + 1] == pytest.approx(point, rel=1e-10)


def test_ties_lead_from_the_limit_to_chi_square() -> None:
    """Two values have one weight of 1, that of chi-square; 128 runs of equal values all but those of no ties."""
    assert tied_weights(np.repeat([3.0, 5.0], [30, 70])) == pytest.approx([1.0])
    found = np.sort(tied_weights(np.repeat(UNTIED, 3)))[::-1]
    assert found.sum() == pytest.approx(1.0)
    assert found[:5] == pytest.approx([1 / (j * (j + 1)) for j in range(1, 6)], rel=0.06)
    assert found[0] == pytest.approx(0.5, rel=0.015)
    assert anderson_darling_quantile(1e-6, np.repeat(UNTIED, 3)) == pytest.approx(
        anderson_darling_quantile(1e-6, UNTIED), rel=0.015
    )


def test_anderson_darling_of_two_values_is_chi_square() -> None:
    """With two values A² is (N - 1) / N times scipy's chi-square of the two by two table."""
    from scipy import stats

    x, y = np.repeat([0.0, 1.0], [30, 20]), np.repeat([0.0, 1.0], [10, 30])
    expected = stats.chi2_contingency([[30, 20], [10, 30]], correction=False).statistic
    assert anderson_darling(x, y)[0] == pytest.approx(expected * 89 / 90, rel=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (np.arange(1.0, 11.0), np.arange(6.0, 16.0) ** 1.1, 7.839140397396699),  # scipy 1.14.1, wasserstein_distance
        (np.sin(np.arange(1, 31)), np.sin(3 * np.arange(1, 21)) + 0.5, 0.48650609915972626),  # the same
        (*frouros_samples(), 3.85346006),  # frouros, EMD, to eight decimals
    ],
)
def test_wasserstein_is_the_published_one(x: Floats, y: Floats, expected: float) -> None:
    """W1 of a full window, against scipy and Frouros."""
    found = last(WassersteinBank([x], len(y), test_every=1), y)
    assert found == pytest.approx(expected, abs=1e-8 if expected == 3.85346006 else 1e-13)


@pytest.mark.parametrize("decimals", [1, 12])
def test_wasserstein_is_scipys(decimals: int) -> None:
    """The same of samples of other sizes and laws, with and without ties."""
    from scipy import stats

    generator = np.random.default_rng(3)
    for n, m in ((50, 70), (200, 30), (300, 400)):
        x, y = generator.standard_t(3, size=n).round(decimals), generator.exponential(size=m).round(decimals)
        expected = stats.wasserstein_distance(x, y)
        assert last(WassersteinBank([x], m, test_every=1), y) == pytest.approx(expected, rel=1e-11)


def frouros_psi(x: Floats, y: Floats) -> float:
    """Ours with Frouros' ten bins of equal width over both samples and its share in place of none."""
    edges = np.histogram(np.concatenate([x, y]), bins=10)[1][1:-1]
    return last(BinnedBank([x], len(y), edges=edges.tolist(), empty=sys.float_info.min * len(y)), y)


def test_psi_with_frouros_bins_is_frouros() -> None:
    """frouros: 461.20379435 for N(1, 1) against N(5, 2), .01840072 for 500 and 500 in turn from N(1, 1); cut there."""
    assert frouros_psi(*frouros_samples()) == pytest.approx(461.20379435, abs=1e-8)
    legacy = np.random.RandomState(31)
    assert frouros_psi(legacy.normal(1, 1, 500), legacy.normal(1, 1, 500)) == pytest.approx(0.01840072, abs=1e-8)


def interpolated(values: Floats, edges: Floats) -> Floats:
    """Shares between `edges` under the histogram of `values`, level within each of its automatic bins."""
    counts, own = np.histogram(values, bins="auto")
    cumulative = np.concatenate([[0.0], np.cumsum(counts) / len(values)])
    return np.diff(np.interp(edges, own, cumulative))


def test_jensen_shannon_of_frouros_shares_is_frouros() -> None:
    """frouros: .67010107, the root, of shares interpolated between ten points; here scaled up to whole counts."""
    samples = frouros_samples()
    edges = np.linspace(np.min(samples), np.max(samples), 10)
    x, y = (np.rint(interpolated(sample, edges) * 2**40).astype(np.int64) for sample in samples)
    assert math.sqrt(measure(JENSEN_SHANNON, x, y, 0.5)[0]) == pytest.approx(0.67010107, abs=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_jensen_shannon_is_scipys_distance_squared(seed: int) -> None:
    """scipy.spatial.distance.jensenshannon of the bins' shares, empty bins among them."""
    from scipy.spatial.distance import jensenshannon

    generator = np.random.default_rng(seed)
    x, y, edges = generator.normal(size=80), generator.normal(1.0, 0.5, size=60), [-2.0, -1.0, 0.0, 0.5, 1.0, 1.5]
    p, q = (np.bincount(np.digitize(sample, edges), minlength=7) / len(sample) for sample in (x, y))
    found = last(BinnedBank([x], 60, edges=edges, statistic="js"), y)
    assert found == pytest.approx(jensenshannon(p, q) ** 2, rel=1e-10)


def test_chi_square_is_frouros() -> None:
    """frouros: [a, a, b, a, a, b] against [b, a, c, c, c, c]: 6.13333333, p .04657615 of two degrees."""
    bank = CategoryBank([[0, 0, 1, 0, 0, 1]], 6, n_categories=3, alpha=0.04657615)
    result = bank.update_many(np.array([[1.0], [0], [2], [2], [2], [2]]), np.arange(6))
    assert result.statistic[-1, 0] == pytest.approx(6.13333333, abs=1e-8)
    assert result.threshold[-1, 0] == pytest.approx(6.13333333, abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_chi_square_and_g_are_scipys(seed: int) -> None:
    """scipy.stats.chi2_contingency of random tables; threshold at its p-value is the statistic; V from it."""
    from scipy import stats

    generator = np.random.default_rng(seed)
    categories = int(generator.integers(2, 9))
    x, y = generator.integers(0, categories, 60), generator.integers(0, categories + 1, 90) // 2
    counts = np.array([np.bincount(sample, minlength=categories + 1) for sample in (x, y)])
    counts = counts[:, counts.sum(axis=0) > 0]
    both: tuple[tuple[CategoryStatistic, str], ...] = (("chi_square", "pearson"), ("g", "log-likelihood"))
    for statistic, name in both:
        expected = stats.chi2_contingency(counts, correction=False, lambda_=name)
        bank = CategoryBank([x], 90, statistic=statistic, alpha=expected.pvalue)
        result = bank.update_many(y[:, None].astype(np.float64), np.arange(90))
        assert result.statistic[-1, 0] == pytest.approx(expected.statistic, rel=1e-10)
        assert result.threshold[-1, 0] == pytest.approx(expected.statistic, rel=1e-8)
        effect = bank.state()["newest"][0, 2]
        assert effect == pytest.approx(stats.contingency.association(counts, method="cramer"), rel=1e-10)
