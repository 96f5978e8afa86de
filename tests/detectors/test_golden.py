"""Results of other implementations and of published tables; where each comes from stands beside it."""

from __future__ import annotations

import math
from typing import Any

import dcor
import numpy as np
import pytest

from detectors.adwin import ADWIN, AdwinBank
from detectors.base import DRIFT, Floats
from detectors.energy import EnergyBank
from detectors.null_laws import cvm_critical, cvm_p_nominal, cvm_tail, ks_critical, ks_p_nominal
from detectors.page_hinkley import PageHinkleyBank
from detectors.rank_tests import RankBank
from tests.detectors.streams import STREAMS

__all__: list[str] = []

A_X, A_Y = np.arange(1.0, 11.0), np.arange(6.0, 16.0) ** 1.1
B_X = np.array([[math.sin(i), math.cos(2 * i)] for i in range(1, 31)])
B_Y = np.array([[math.sin(3 * j) + 0.5, math.cos(j)] for j in range(1, 21)])


def positions(bank: Any, values: Floats) -> list[int]:
    result = bank.update_many(values[:, None], np.arange(len(values)))
    return [alarm.row for alarm in result.alarms if alarm.status == DRIFT]


@pytest.mark.parametrize(("name", "total"), [("s1", 3985), ("s2", 1000), ("s3", 1470), ("s5", 6067)])
def test_streams_are_the_published_ones(name: str, total: int) -> None:
    """The streams have the sums that were published with the positions."""
    assert STREAMS[name].sum() == total


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s1", [1023, 1055]),
        ("s2", [1055, 1087, 1119, 1247]),
        ("s3", [543, 575, 607, 1567, 1599, 1759]),
        ("s4", [1023, 1055, 1087]),
        ("s5", [1023, 1119]),
    ],
)
def test_adwin_alarms_where_moa_does(name: str, expected: list[int]) -> None:
    """MOA's ADWIN change detector (CapyMOA 0.15.1), which reports an increase only and keeps its window."""
    assert positions(AdwinBank(1, direction="up"), STREAMS[name]) == expected


def test_adwin_alarms_where_capymoa_documents_it() -> None:
    """The doctest of CapyMOA's ADWIN on s5 with delta .001."""
    assert positions(AdwinBank(1, delta=0.001, direction="up"), STREAMS["s5"]) == [1023, 1055]


@pytest.mark.parametrize(("name", "clock", "expected"), [("s1", 32, [1023]), ("s2", 32, [1055]), ("s1", 1, [1004])])
def test_adwin_with_restart_alarms_where_river_does(name: str, clock: int, expected: list[int]) -> None:
    """river 0.23.0 and 0.26.1, which drop the whole window after an alarm."""
    assert positions(AdwinBank(1, clock=clock, restart=True), STREAMS[name]) == expected


def test_adwin_keeps_rivers_window_statistics() -> None:
    """river's test_adwin_regression.py at 2a0fd1c: width, total and (undivided) variance of i % 7, i < 200."""
    detector = ADWIN(clock=1_000_000)
    values = [i % 7 for i in range(200)]
    for value in values:
        detector.update(value)
    assert detector.width == 200
    assert detector.total == sum(values)
    assert detector.variance == pytest.approx(np.var(values) * 200, rel=1e-12)


def test_adwin_sums_large_values_exactly() -> None:
    """The same file: 100 values of 1e15 have exactly that mean, and no variance."""
    detector = ADWIN()
    for _ in range(100):
        detector.update(1e15)
    assert (detector.estimation, detector.variance) == (1e15, 0.0)


def test_adwin_tolerates_alternation() -> None:
    """The same file: 2,000 alternating values raise one alarm at most."""
    assert len(positions(AdwinBank(1), np.arange(2000.0) % 2)) <= 1


def test_page_hinkley_alarms_where_river_does() -> None:
    """river 0.23.0 and 0.26.1, two-sided, defaults."""
    assert positions(PageHinkleyBank(1), STREAMS["s1"]) == [1020, 1397, 1548, 1988]


@pytest.mark.parametrize(
    ("name", "expected"), [("s1", [1025]), ("s2", [1107]), ("s3", [632]), ("s4", [1056]), ("s5", [1014, 1685])]
)
def test_page_hinkley_from_zero_alarms_where_moa_does(name: str, expected: list[int]) -> None:
    """MOA's PageHinkleyDM (CapyMOA 0.15.1) tests the cumulative sum itself, for an increase."""
    assert positions(PageHinkleyBank(1, direction="up", origin="zero"), STREAMS[name]) == expected


def rank_statistics(reference: Any, window: Any) -> tuple[float, float]:
    values = np.asarray(window, dtype=np.float64)
    result = RankBank([reference], len(values)).update_many(values[:, None], np.arange(len(values)))
    assert result.ks is not None
    assert result.cvm is not None
    return float(result.ks.statistic[-1, 0]), float(result.cvm.statistic[-1, 0])


@pytest.mark.parametrize(
    ("x", "y", "d", "t"),
    [
        (A_X, A_Y, 0.7, 1.215),  # R ks.test; scipy
        (B_X[:, 0], B_Y[:, 0], 0.36666666666666664, 0.5383333333333331),  # the same
        (np.linspace(1, 100, 100), np.linspace(1, 100, 100) + 2.1, 0.03, None),  # scipy TestKSTwoSamples
        (np.linspace(1, 100, 100), np.linspace(1, 100, 110) + 20.1, 232 / 1100, None),  # the same
        ([2] * 3 + [3] * 4 + [5] * 5 + [6] * 4, [3] * 3 + [4] * 4 + [6] * 5 + [7] * 4, 5 / 16, None),  # the same, ties
        ([1, 2, 3, 4], [1.01, 2.01], 0.5, None),  # the same
        (
            [7.6, 8.4, 8.6, 8.7, 9.3, 9.9, 10.1, 10.6, 11.2],
            [5.2, 5.7, 5.9, 6.5, 6.8, 8.2, 9.1, 9.8, 10.8, 11.3, 11.5, 12.3, 12.5, 13.4, 14.6],
            None,
            0.262,  # Conover (1971), to three digits
        ),
    ],
)
def test_rank_statistics_are_the_published_ones(x: Any, y: Any, d: float | None, t: float | None) -> None:
    """KS and CvM of a full window, against R, scipy's test suite and Conover's table."""
    found_d, found_t = rank_statistics(x, y)
    if d is not None:
        assert found_d == pytest.approx(d, abs=1e-15)
    if t is not None:
        assert found_t == pytest.approx(t, abs=1e-3 if t == 0.262 else 1e-12)


def test_nominal_p_values_are_the_published_ones() -> None:
    """R's asymptotic KS p-value of B, scipy's asymptotic CvM p-values of A and B."""
    assert ks_p_nominal(0.36666666666666664, 30, 20) == pytest.approx(0.079374191348319, rel=1e-12)
    assert cvm_p_nominal(1.215, 10, 10) == pytest.approx(0.0006939371683399864, rel=1e-9)
    assert cvm_p_nominal(0.5383333333333331, 30, 20) == pytest.approx(0.03168637815938624, rel=1e-9)


@pytest.mark.parametrize(("x", "tail"), [(0.34730, 0.10), (0.46136, 0.05), (0.74346, 0.01), (1.16786, 0.001)])
def test_cvm_tail_is_the_tabulated_one(x: float, tail: float) -> None:
    """Anderson and Darling (1952), table 1: percentage points of the limit law, to five digits."""
    assert cvm_tail(x) == pytest.approx(tail, rel=1e-3)


def test_critical_values_are_those_of_scipys_laws() -> None:
    """At the critical values scipy's own p-values are alpha."""
    from scipy import stats

    alpha, n, m = 1e-3, 400, 300
    law = stats.kstwobign.sf(ks_critical(alpha, n, m) * math.sqrt(n * m / (n + m)))
    assert law == pytest.approx(alpha, rel=1e-6)
    assert cvm_p_nominal(cvm_critical(alpha, n, m), n, m) == pytest.approx(alpha, rel=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [(A_X[:, None], A_Y[:, None], 8.100062083131675), (B_X, B_Y, 0.19515084482323108)],
)
def test_energy_distance_is_that_of_r_and_dcor(x: Floats, y: Floats, expected: float) -> None:
    """dcor.energy_distance (0.7); R's eqdist.e gives the same times nm / (n + m)."""
    bank = EnergyBank(x, len(y), clip=16.0)
    result = bank.update_many(y, np.arange(len(y)))
    assert result.statistic[-1, 0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dims", range(1, 14))
def test_energy_distance_is_that_of_dcor_in_any_number_of_dimensions(dims: int) -> None:
    """Dimensions are summed in groups; none may be left out or taken twice."""
    generator = np.random.default_rng(dims)
    x = generator.normal(size=(60, dims)) * np.arange(1.0, dims + 1.0)
    y = generator.normal(size=(40, dims)) * np.arange(1.0, dims + 1.0) + 0.5
    result = EnergyBank(x, len(y), clip=100.0).update_many(y, np.arange(len(y)))
    assert result.statistic[-1, 0] == pytest.approx(dcor.energy_distance(x, y), rel=1e-8)


def test_energy_distance_of_the_dcor_test_suite() -> None:
    """dcor's tests/test_energy.py: a = 1..16 as 4 x 4."""
    a = np.arange(1.0, 17.0).reshape(4, 4)
    b = np.array([[1.0, 0, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]])
    doubled = np.concatenate([a, a])  # E² depends on the two laws only, and a reference has 5 rows or more
    result = EnergyBank(doubled, 3, clip=16.0).update_many(b, np.arange(3))
    assert result.statistic[-1, 0] == pytest.approx(20.5780594, rel=1e-8)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [([0, 1, 2], [1, 2, 3], 2.0 / 3.0), ([0, 0, 0], [1, 1, 1], 2.0), ([-5, -5, -5], [5, 5, 5], 20.0)],
)
def test_energy_distance_of_the_scipy_test_suite(x: Any, y: Any, expected: float) -> None:
    """scipy's TestEnergyDistance gives the roots: sqrt(2) sqrt(1/3), sqrt(2), sqrt(2) sqrt(10)."""
    doubled = np.array([*x, *x], dtype=np.float64)[:, None]
    window = np.array(y, dtype=np.float64)[:, None]
    result = EnergyBank(doubled, 3, clip=100.0).update_many(window, np.arange(3))
    assert result.statistic[-1, 0] == pytest.approx(expected, rel=1e-8)
