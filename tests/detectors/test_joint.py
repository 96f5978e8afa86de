"""Sliced energy distance and MMD by random features against their definitions, taken over all pairs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import mmd
from detectors.base import CLEARED, DRIFT, Floats
from detectors.mmd import MmdBank
from detectors.sliced_energy import SlicedEnergyBank
from tests.detectors.oracles import slow_energy

__all__: list[str] = []

BANKS: list[Any] = [SlicedEnergyBank, MmdBank]
both = pytest.mark.parametrize("bank", BANKS)


def pair_distances(x: Floats, y: Floats) -> Floats:
    return np.asarray(np.sqrt(((x[:, None, :] - y[None, :, :]) ** 2).sum(axis=2)))


def exact_mmd(x: Floats, y: Floats, bandwidth: float, *, unbiased: bool) -> float:
    """MMD² of the Gaussian kernel over all pairs; unbiased: without those of a row with itself."""

    def kernel(one: Floats, two: Floats) -> Floats:
        return np.asarray(np.exp(-(pair_distances(one, two) ** 2) / (2 * bandwidth**2)))

    n, m, loose = len(x), len(y), int(unbiased)
    within = (kernel(x, x).sum() - n * loose) / (n * (n - loose)) + (kernel(y, y).sum() - m * loose) / (m * (m - loose))
    return float(within - 2 * kernel(x, y).mean())


def exact_line(x: Floats, y: Floats) -> float:
    """Energy distance of numbers: twice the area under the squared difference of the step functions."""
    at = np.sort(np.concatenate([x, y]))
    gap = (x[:, None] <= at[:-1]).mean(axis=0) - (y[:, None] <= at[:-1]).mean(axis=0)
    return float(2 * (gap**2 * np.diff(at)).sum())


def newest(bank: Any, rows: Floats) -> float:
    return float(bank.update_many(rows, np.arange(len(rows))).statistic[-1, 0])


LAWS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Any]] = {
    "normal": lambda g, size: g.normal(size=size),
    "skewed": lambda g, size: g.exponential(size=size),
    "heavy": lambda g, size: g.standard_t(2.5, size=size),
    "whole": lambda g, size: np.round(3 * g.normal(size=size)),
    "two-valued": lambda g, size: 0.7 * (g.random(size) < 0.1),
}
# What becomes of the window, and the share of the exact statistic that the grid may cost.
CHANGES: dict[str, tuple[Callable[[Floats], Floats], float]] = {
    "none": (lambda y: y, 0.05),
    "shift": (lambda y: y + 1.0, 0.05),
    "spread": (lambda y: 2.0 * y, 0.05),
    "one value": (lambda y: 0.0 * y + 0.3, 0.25),
    "far": (lambda y: y + 15.0, 0.25),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("dims", [1, 5])
def test_sliced_statistic_is_near_the_exact_one(law: str, change: str, dims: int) -> None:
    """The grid costs at most the stated share of the exact mean over directions, plus 0.001 mean distances.

    Two values that move are wholly new values, like the window of one.
    """
    generator = np.random.default_rng(3)
    apply, share = CHANGES[change]
    share = 0.25 if law == "two-valued" and change != "none" else share
    x, y = LAWS[law](generator, (400, dims)), apply(LAWS[law](generator, (200, dims)))
    bank = SlicedEnergyBank(x, 200, directions=8)
    found = newest(bank, y)
    directions, edges = bank._grid.directions.T, bank._grid.edges
    clipped = [np.clip(y @ one, cut[0], cut[-1]) for one, cut in zip(directions, edges, strict=True)]
    exact = np.mean([exact_line(x @ one, line) for one, line in zip(directions, clipped, strict=True)])
    mean_distance = np.mean([pair_distances((x @ one)[:, None], (x @ one)[:, None]).mean() for one in directions])
    assert abs(found - exact) <= share * exact + 0.001 * mean_distance


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-9, 9), min_size=5, max_size=30), st.data())
def test_values_of_a_small_reference_are_exact(values: list[int], data: st.DataObject) -> None:
    """In one dimension, where every value of the reference has a cell of its own, a window of such values is exact."""
    window = data.draw(st.lists(st.sampled_from(values), min_size=2, max_size=20))
    x, y = np.array(values, dtype=np.float64)[:, None], np.array(window, dtype=np.float64)[:, None]
    found = newest(SlicedEnergyBank(x, len(y), directions=3), y)
    assert found == pytest.approx(slow_energy(x.tolist(), y.tolist()), abs=1e-9)


def test_many_directions_give_energy_distance() -> None:
    """The mean over the sphere of a projection's length is the row's times gamma(d/2) / (sqrt(pi) gamma((d+1)/2))."""
    generator = np.random.default_rng(4)
    x, y = generator.normal(size=(150, 3)), generator.normal(size=(100, 3)) * 1.3 + 0.5
    found = newest(SlicedEnergyBank(x, 100, directions=2000, cells=150), y)
    constant = math.gamma(1.5) / (math.sqrt(math.pi) * math.gamma(2.0))
    assert found / constant == pytest.approx(slow_energy(x.tolist(), y.tolist()), rel=0.03)


def test_oracle_gives_frouros_values() -> None:
    """Frouros 0.9's MMD (its default: unbiased, bandwidth 1): 2-D N(1, 2 I) against N(0, 3 I - 1), 100 each.

    Values: shared golden vectors, from Frouros' test suite; "3 I - 1" is [[2, -1], [-1, 2]], each drawn after
    numpy.random.seed(31); the second pair is drawn in turn from the first law.
    """
    state = np.random.RandomState(31)
    x = state.multivariate_normal([1, 1], [[2, 0], [0, 2]], 100)
    again = state.multivariate_normal([1, 1], [[2, 0], [0, 2]], 100)
    y = np.random.RandomState(31).multivariate_normal([0, 0], [[2, -1], [-1, 2]], 100)
    assert exact_mmd(x, y, 1.0, unbiased=True) == pytest.approx(0.10163633, abs=1e-8)
    assert exact_mmd(x, again, 1.0, unbiased=True) == pytest.approx(0.01570397, abs=1e-8)
    # Ours is the V-statistic of the same pairs, here within the stated spread of 20,000 frequencies.
    bank = MmdBank(x, 100, bandwidth=1.0, frequencies=20_000, clip=50.0)
    assert newest(bank, y) == pytest.approx(exact_mmd(x, y, 1.0, unbiased=False), abs=4 / math.sqrt(2 * 20_000))


@pytest.mark.parametrize("dims", [1, 4])
def test_many_frequencies_give_the_kernel(dims: int) -> None:
    """With 8,192 frequencies MMD² is within 0.005 of the definition's (V-statistic), at the median bandwidth."""
    generator = np.random.default_rng(5)
    x, y = generator.normal(size=(150, dims)), generator.normal(size=(100, dims)) + 1.0
    bank = MmdBank(x, 100, frequencies=8192)
    median = np.median(pair_distances(x, x)[np.triu_indices(150, 1)])
    assert bank.bandwidth == pytest.approx(median, rel=1e-12)
    assert newest(bank, y) == pytest.approx(exact_mmd(x, y, bank.bandwidth, unbiased=False), abs=0.005)


def test_features_are_cosines_and_sines() -> None:
    """Compiled and as Python, features are the library's cosines and sines to a quantum of 2^-30."""
    generator = np.random.default_rng(6)
    bank = MmdBank(generator.normal(size=(50, 3)), 10, frequencies=64)
    for row in (*generator.normal(scale=3.0, size=(40, 3)), np.zeros(3)):
        angles = 2 * math.pi * (np.clip(row, bank._features.low, bank._features.high) @ bank._features.turns)
        expected = np.concatenate([np.cos(angles), np.sin(angles)]) * 2**30
        kernels: tuple[Any, ...] = (mmd._feature, mmd._feature.py_func)
        for feature in kernels:
            found = np.empty(128, dtype=np.int32)
            feature(row, bank._features, np.empty(64), found)
            assert np.abs(found - expected).max() <= 1.0


@both
def test_past_leaves_no_trace(bank: Any) -> None:
    """The same window gives the same bits after any past: absurd values, other lengths."""
    generator = np.random.default_rng(7)
    reference, window = generator.normal(size=(100, 3)), generator.normal(size=(40, 3))
    fresh = newest(bank(reference, 40), window)
    for length in (1, 39, 40, 333):
        used = bank(reference, 40)
        used.update_many(generator.normal(scale=1e15, size=(length, 3)), np.arange(length))
        assert newest(used, window) == fresh


@both
def test_same_rows_are_no_distance(bank: Any) -> None:
    """A window that holds each row of the reference twice, in any order, is at distance 0."""
    generator = np.random.default_rng(8)
    reference = generator.normal(size=(64, 3))
    assert newest(bank(reference, 128), generator.permutation(np.vstack([reference, reference]))) <= 1e-18


@both
def test_rows_with_gaps_or_absurd_values_are_skipped(bank: Any) -> None:
    """A row with NaN or a value beyond 1e100 changes nothing, and has the statistic of the row before."""
    generator = np.random.default_rng(9)
    reference, rows = generator.normal(size=(100, 2)), generator.normal(size=(90, 2))
    holed = np.repeat(rows, 2, axis=0)
    holed[1::4, 1], holed[3::4, 0] = np.nan, -1e101
    expected = bank(reference, 30).update_many(rows, np.arange(90))
    found = bank(reference, 30).update_many(holed, np.arange(180))
    assert np.array_equal(found.statistic[::2], expected.statistic, equal_nan=True)
    assert np.array_equal(found.statistic[1::2], expected.statistic, equal_nan=True)


@both
@pytest.mark.parametrize("law", ["normal", "skewed", "two-valued"])
def test_threshold_is_exceeded_about_as_often_as_it_says(bank: Any, law: str) -> None:
    """At alpha = 0.05 between 1 % and 10 % of 300 separate looks at unchanged rows exceed the threshold."""
    generator, looks = np.random.default_rng(10), []
    for _ in range(15):
        one = bank(LAWS[law](generator, (300, 3)), 50, alpha=0.05, test_every=50)
        result = one.update_many(LAWS[law](generator, (1000, 3)), np.arange(1000))
        looks += (result.statistic[49::50, 0] > one.threshold).tolist()
    assert len(looks) == 300
    assert 0.01 <= np.mean(looks) <= 0.10


@both
def test_dependence_alone_is_found(bank: Any) -> None:
    """Columns that keep their laws but no longer are independent are told, and the place is right to 60 rows."""
    generator = np.random.default_rng(11)
    rows = generator.normal(size=(1500, 2))
    rows[1000:, 1] = 0.95 * rows[1000:, 0] + math.sqrt(1 - 0.95**2) * rows[1000:, 1]
    result = bank(generator.normal(size=(600, 2)), 300, min_effect=0.01).update_many(rows, np.arange(1500))
    first = result.alarms[0]
    assert (first.status, first.direction) == (DRIFT, 0)
    assert 1000 <= first.row < 1300
    assert abs(first.onset - 1000) <= 60


@both
def test_effect_share_and_clearing(bank: Any) -> None:
    """An alarm waits for its effect, and ends when the statistic is back; dependent rows raise the threshold."""
    generator = np.random.default_rng(12)
    reference, rows = generator.normal(size=(200, 2)), generator.normal(size=(600, 2))
    rows[200:400] += 1.5
    statuses = [alarm.status for alarm in bank(reference, 50).update_many(rows, np.arange(600)).alarms]
    assert statuses == [DRIFT, CLEARED]
    assert bank(reference, 50, min_effect=1.0).update_many(rows, np.arange(600)).alarms == []
    assert bank(reference, 50, effective_share=0.25).threshold == pytest.approx(4 * bank(reference, 50).threshold)


@both
@pytest.mark.parametrize(
    ("name", "value"),
    [("window_n", 1), ("test_every", 0), ("alpha", 0.5), ("min_effect", 1.1), ("clear_ratio", 0.0),
     ("effective_share", 0.0), ("clip", 1.0)],
)  # fmt: skip
def test_parameter_out_of_range_is_named(bank: Any, name: str, value: float) -> None:
    """A parameter out of its range is the caller's mistake; the error names it and its value."""
    parameters = {"window_n": 10, name: value}
    with pytest.raises(ValueError, match=f"{name} = {value}; give"):
        bank(np.zeros((10, 2)), **parameters)


def test_own_parameters_out_of_range_are_named() -> None:
    """So are those that only one of the two has, and references too short or with gaps."""
    rows = np.arange(20.0).reshape(10, 2)
    wrong: tuple[tuple[Any, str, float], ...] = (
        (SlicedEnergyBank, "directions", 0), (SlicedEnergyBank, "cells", 3),
        (MmdBank, "frequencies", 0), (MmdBank, "bandwidth", 0.0),
    )  # fmt: skip
    for bank, name, value in wrong:
        with pytest.raises(ValueError, match=f"{name} = {value}; give"):
            bank(rows, 5, **{name: value})
    for bank in BANKS:
        with pytest.raises(ValueError, match="rows of reference = 4; give 5 or more"):
            bank(rows[:4], 5)
        with pytest.raises(ValueError, match="reference has NaN"):
            bank(np.where(rows == 3, np.nan, rows), 5)
