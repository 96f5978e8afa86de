"""The parts of a regression tree against slow, obvious twins: observer, split search, leaf, scale, ADWIN, votes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners._regression_adwin import WINDOW_N, _moments, add_value, clear_values, windows_hold
from learners._regression_forest import aggregate
from learners._regression_layout import SLOT_WIDTH, SLOTS
from learners._regression_observer import best_codes, best_number, observe_code, observe_number
from learners._regression_plan import MEAN_VOTE, MEDIAN_VOTE, WEIGHTED_VOTE
from learners._regression_scale import CLIP_N, SCALE_N, START_N, standardize, tidy_targets
from learners._tree_adwin import ADWIN_N, add_bit, clear_window
from learners.hoeffding_tree_regressor import HoeffdingTreeRegressor
from tests.learners.slow_regression import SlowColumn, SlowTree, fall_of

__all__: list[str] = []

Values = list[tuple[float, float]]
few_places = st.integers(-20, 20).map(float)
many_places = st.floats(-1e6, 1e6)
targets = st.integers(-50, 50).map(float)


def _observed(values: Values, observe: Any = observe_number) -> Any:
    row = np.zeros(SLOT_WIDTH)
    for x, y in values:
        observe(row, 0, x, 1.0, y)
    return row


def _slots(row: Any) -> list[tuple[float, float, float]]:
    edges, weights, sums = (row[1 + part * SLOTS : 1 + part * SLOTS + int(row[0])].tolist() for part in range(3))
    return list(zip(edges, weights, sums, strict=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.one_of(few_places, many_places), targets), min_size=1, max_size=200))
def test_slots_hold_exactly_what_lies_between_their_edges(values: Values) -> None:
    """However many values came, and in whatever order, weight and sum of each slot are those of its values."""
    row, slow = _observed(values), SlowColumn()
    for x, y in values:
        slow.add(x, y)
    assert [edge for edge, _, _ in _slots(row)] == slow.edges
    low = -math.inf
    for edge, weight, total in _slots(row):
        mine = [y for x, y in values if low < x <= edge]
        assert (weight, total) == (len(mine), sum(mine))
        low = edge
    assert low == max(x for x, _ in values)


def test_slots_follow_a_column_that_keeps_rising() -> None:
    """Values that grow without end, as time does, stay cut in places of little weight, over their whole range."""
    slots = _slots(_observed([(float(i), 1.0) for i in range(5_000)]))
    assert len(slots) == SLOTS
    assert slots[-1][0] == 4_999.0
    assert max(weight for _, weight, _ in slots) < 0.2 * 5_000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.one_of(few_places, many_places), targets), min_size=1, max_size=120))
def test_best_cut_is_the_best_of_all(values: Values) -> None:
    """Fall, cut and left side are those of trying every cut by the definition of the variance."""
    row, slow = _observed(values), SlowColumn()
    for x, y in values:
        slow.add(x, y)
    for least in (1.0, 5.0):
        fall, cut, n, total = best_number(row, 0, least)
        wanted, place, left, right = slow.best(least)
        assert fall == pytest.approx(wanted, rel=1e-9, abs=1e-7)
        if wanted > 1e-6 and sum(abs(one - wanted) < 1e-6 * wanted for one in _falls(slow, least)) == 1:
            assert (cut, n, total) == pytest.approx((place, len(left), sum(left)))
            assert len(left) + len(right) == len(values)


def _falls(slow: SlowColumn, least: float) -> list[float]:
    return [fall_of(left, right) for _, left, right in slow.sides() if min(len(left), len(right)) >= least]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6).map(float), targets), min_size=1, max_size=60))
def test_best_codes_are_the_best_of_all_sets(values: Values) -> None:
    """Of all sets of codes against the rest, the one found has the largest fall of the squared error."""
    row, slow = _observed(values, observe_code), SlowColumn(is_codes=True)
    for x, y in values:
        slow.add(x, y)
    fall, codes, n, total = best_codes(row, 0, 1.0)
    assert fall == pytest.approx(slow.best(1.0)[0], rel=1e-9, abs=1e-7)
    if fall > 1e-6:
        left = [y for x, y in values if int(codes) >> int(x) & 1]
        assert (n, total) == (len(left), sum(left))


def test_codes_beyond_the_slots_are_left_out() -> None:
    """A leaf that has seen 32 codes goes on without the others; what it knows of the first stays exact."""
    row = _observed([(float(i % 50), float(i % 50)) for i in range(500)], observe_code)
    assert _slots(row) == [(float(c), 10.0, 10.0 * c) for c in range(SLOTS)]


def test_kernels_agree_with_their_python() -> None:
    """Compiled and interpreted, observer and split search give the same numbers."""
    rng = np.random.default_rng(3)
    kernels: list[Any] = [observe_number, best_number, best_codes]
    observe, search, sets = kernels
    compiled, plain = np.zeros(SLOT_WIDTH), np.zeros(SLOT_WIDTH)
    for x, y in rng.normal(size=(300, 2)).tolist():
        observe(compiled, 0, x, 2.0, y)
        observe.py_func(plain, 0, x, 2.0, y)
    assert compiled.tobytes() == plain.tobytes()
    assert search(compiled, 0, 3.0) == search.py_func(plain, 0, 3.0)
    coded = _observed([(float(rng.integers(9)), y) for y in rng.normal(size=200)], observe_code)
    assert sets(coded, 0, 3.0) == sets.py_func(coded, 0, 3.0)


@pytest.mark.parametrize(("seed", "tie"), [(0, False), (1, False), (2, True)])
def test_tree_equals_the_slow_one(seed: int, tie: bool) -> None:
    """Splits, means and linear models are those of the twin that keeps all, also where two columns are equally good."""
    rng = np.random.default_rng(seed)
    n = 1_500
    rows = np.column_stack([rng.normal(size=n), rng.random(n), rng.integers(24, size=n), rng.integers(6, size=n)])
    values = 100.0 + 3.0 * rows[:, 0] + 8.0 * (rows[:, 2] > 11) + 4.0 * np.isin(rows[:, 3], [1, 4]) + rng.normal(size=n)
    rows[rng.random(rows.shape) < 0.05] = np.nan
    if tie:
        rows[:, 1], values = rows[:, 0], 9.0 * (rows[:, 0] > 0.0) + rng.normal(size=n)
    tree, slow = HoeffdingTreeRegressor(4, (3,)), SlowTree(4, (3,))
    said = tree.step_many(rows, values)
    wanted = [slow.step(row, y) for row, y in zip(rows.tolist(), values.tolist(), strict=True)]
    assert slow.splits_n >= (1 if tie else 3)
    assert wanted[0] is None
    assert math.isnan(said[0])
    assert said[1:] == pytest.approx(np.array(wanted[1:], dtype=float), rel=1e-9)


def test_standardized_columns_have_mean_0_and_spread_1() -> None:
    """Numbers come out at mean 0 and spread 1 whatever their scale; gaps, codes and constants as 0; 4 is the most."""
    rng = np.random.default_rng(4)
    rows = np.column_stack(
        [rng.normal(1e6, 3.0, 4_000), rng.normal(0, 1e-9, 4_000), np.full(4_000, 7.0), np.ones(4_000)]
    )
    rows[100, 0], rows[200, 0] = np.nan, 1e100
    out, scale = np.empty(rows.shape), np.zeros((4, SCALE_N))
    standardize(rows, np.zeros(4_000), np.array([0, 0, 0, 1]), scale, out)
    assert out[2_000:, :2].mean(axis=0) == pytest.approx([0.0, 0.0], abs=0.15)
    assert out[2_000:, :2].std(axis=0) == pytest.approx([1.0, 1.0], abs=0.1)
    assert not out[:, 2:].any()
    assert (out[100, 0], out[200, 0]) == (0.0, 4.0)


def test_absurd_targets_are_clipped_and_the_start_is_judged() -> None:
    """A target of 1e308 is clipped near the others; among the first, where there is no scale, trees begin anew."""
    rng = np.random.default_rng(5)
    plain = rng.normal(50.0, 2.0, 500)
    for place, stop in ((10, START_N - 1), (300, 500)):
        values = plain.copy()
        values[place] = 1e308
        clip, out, limits = np.zeros(CLIP_N), np.empty(500), np.empty((500, 3))
        assert tidy_targets(values, clip, 0, out, limits) == stop
        tidy_targets(values, clip, stop + 1, out, limits)
        assert (np.delete(out, place) == np.delete(plain, place)).all()
        assert out[place] == 1e12 if place < START_N else out[place] < 150.0
        assert limits[499].max() < 200.0


def test_adwin_of_bits_is_the_adwin_of_the_classifiers() -> None:
    """Over zeros and ones, windows and alarms are those of the ADWIN that knows nothing else."""
    rng = np.random.default_rng(6)
    numbers, bits = np.zeros((1, WINDOW_N)), np.zeros((1, ADWIN_N), dtype=np.int32)
    clear_values(numbers, 0)
    clear_window(bits, 0)
    alarms = 0
    for i in range(12_000):
        bit = int(rng.random() < (0.2, 0.5, 0.3)[i // 4_000])
        alarm = add_bit(bits, 0, bit, 0.002)
        assert bool(add_value(numbers, 0, float(bit), 0.002)) == bool(alarm)
        alarms += bool(alarm)
    assert alarms >= 1
    assert windows_hold(numbers)


def test_adwin_keeps_mean_and_variance_of_its_window() -> None:
    """Number, sum and squared deviations are those of the newest values, as many as the window holds."""
    rng = np.random.default_rng(7)
    window, values = np.zeros((1, WINDOW_N)), rng.beta(2, 5, 3_000)
    values[1_500:] = np.minimum(values[1_500:] + 0.3, 1.0)
    clear_values(window, 0)
    rises = [i for i, value in enumerate(values) if add_value(window, 0, value, 0.002)]
    n, total, squares = _moments(window, 0)
    kept = values[-int(n) :]
    assert 1_500 < rises[0] < 1_600
    assert n < 1_600
    assert (total, squares) == pytest.approx((kept.sum(), kept.var() * n), rel=1e-9)


def test_votes_become_one_answer() -> None:
    """Mean, median and mean weighted by 1 / squared error, over trees that know something; else the targets' mean."""
    said = np.array([[1.0, 4.0, 2.0, np.nan], [1.0, np.nan, 3.0, np.nan], [np.nan] * 4])
    trust = np.array([[1.0, 0.5, 4.0, 1.0], [np.inf, 1.0, np.inf, 1.0], [1.0] * 4])
    for vote, wanted in (
        (MEAN_VOTE, [7 / 3, 2.0]),
        (MEDIAN_VOTE, [2.0, 2.0]),
        (WEIGHTED_VOTE, [(1.0 + 8.0 + 0.5) / 3.25, 2.0]),
    ):
        out, limits = np.empty(3), np.full((3, 3), 9.0)
        aggregate(said, trust, limits, vote, out)
        assert out == pytest.approx([*wanted, 9.0])
