"""Each kernel compiled, interpreted, and against its slow twin, on values with ties."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.dispatcher import Dispatcher

from detectors.adwin import AdwinBank
from detectors.base import DRIFT, Floats
from detectors.energy import EnergyBank
from detectors.page_hinkley import PageHinkleyBank
from detectors.rank_tests import RankBank
from detectors.trailing import TrailingRankBank
from tests.detectors.cases import COLUMNS, fold, same_state
from tests.detectors.cases_backbone import CASES
from tests.detectors.oracles import SlowAdwin, slow_cvm, slow_energy, slow_ks, slow_page_hinkley

__all__: list[str] = []

MODULES = (
    "_adwin", "_adwin_check", "_rank_fold", "_rank_places", "_window_ties", "adwin", "effective", "energy",
    "page_hinkley", "rank_tests", "trailing",
)  # fmt: skip
NO_CUTS = np.array([], dtype=np.int64)
few = settings(max_examples=40, deadline=None, derandomize=True)
small = st.integers(-3, 3).map(float)


@contextmanager
def interpreted() -> Iterator[int]:
    """Replace every compiled function of the detectors by the Python that it was compiled from."""
    with pytest.MonkeyPatch.context() as patch:
        count = 0
        for module in (importlib.import_module(f"detectors.{name}") for name in MODULES):
            compiled = {key: value for key, value in vars(module).items() if isinstance(value, Dispatcher)}
            count += len(compiled)
            for key, value in compiled.items():
                patch.setattr(module, key, value.py_func)
        yield count


@pytest.mark.parametrize("name", sorted(CASES))
def test_compiled_and_interpreted_kernels_agree_bit_for_bit(name: str) -> None:
    """The same alarms, statistics and state come from numba's code and from Python's."""
    generator = np.random.default_rng(3)
    values = np.round(generator.normal(size=(700, COLUMNS)), 1)
    values[500:] += 2.0
    values[generator.random(values.shape) < 0.05] = np.nan
    reference = generator.normal(size=(60, COLUMNS))
    compiled = CASES[name].make(reference)
    said, statistic = fold(compiled, values, NO_CUTS)
    with interpreted() as count:
        assert count > 30
        slow = CASES[name].make(reference)
        slow_said, slow_statistic = fold(slow, values, NO_CUTS)
        slow_state = type(slow).from_state(slow.state()).state()
    assert said
    assert slow_said == said
    assert slow_statistic.tobytes() == statistic.tobytes()
    assert same_state(slow_state, compiled.state())


def drifts(result: Any) -> list[int]:
    return [alarm.row for alarm in result.alarms if alarm.status == DRIFT]


def blocks(draw: Any) -> Floats:
    """A stream of a few levels with noise that ties."""
    levels = draw(st.lists(st.tuples(st.integers(20, 150), st.integers(0, 3)), min_size=1, max_size=4))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    return np.concatenate([level + generator.integers(0, 2, size=rows) for rows, level in levels]).astype(np.float64)


@few
@given(st.data(), st.sampled_from([1, 3, 32]), st.sampled_from([0.002, 0.05, 0.3]), st.sampled_from([2, 5]))
def test_adwin_cuts_where_the_slow_twin_does(data: st.DataObject, clock: int, delta: float, buckets: int) -> None:
    """Alarms and the whole window equal those of a list of all values, tested by the paper's inequality."""
    values = blocks(data.draw)
    slow = SlowAdwin(delta=delta, clock=clock, max_buckets=buckets)
    expected = [i for i, x in enumerate(values) if slow.update(float(x))]
    bank = AdwinBank(1, delta=delta, clock=clock, max_buckets=buckets)
    assert drifts(bank.update_many(values[:, None], np.arange(len(values)))) == expected
    width, total, squares = bank.moments(0)
    assert (width, total) == (len(slow.window), sum(slow.window))
    assert squares == pytest.approx(np.var(slow.window) * len(slow.window), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("clock", [1, 32])
def test_adwin_leaves_no_residue(clock: int) -> None:
    """After values of 1e12 have left the window its moments are exactly those of what remains."""
    generator = np.random.default_rng(5)
    values = np.concatenate([generator.normal(size=500), np.full(500, 1e12), generator.normal(size=3000)])
    bank = AdwinBank(1, clock=clock, value_range=2.0)
    bank.update_many(values[:, None], np.arange(len(values)))
    width, total, squares = bank.moments(0)
    kept = values[-width:]
    assert width < 3000
    assert total == pytest.approx(kept.sum(), abs=1e-9)
    assert squares == pytest.approx(np.var(kept) * width, rel=1e-9)


@few
@given(st.data(), st.sampled_from([5.0, 20.0]), st.sampled_from([0.005, 0.5]), st.sampled_from([1, 30]))
def test_page_hinkley_alarms_where_the_slow_twin_does(
    data: st.DataObject, threshold: float, delta: float, least: int
) -> None:
    """Alarms equal those of sums taken anew from all values since the last alarm."""
    values = blocks(data.draw) + 0.125
    expected = slow_page_hinkley(values.tolist(), threshold=threshold, delta=delta, alpha=0.999, least=least)
    bank = PageHinkleyBank(1, threshold=threshold, delta=delta, alpha=0.999, min_instances=least)
    assert drifts(bank.update_many(values[:, None], np.arange(len(values)))) == expected


@few
@given(
    st.lists(small, min_size=1, max_size=60),
    st.lists(st.one_of(small, st.sampled_from([0.5, -2.5, 9.0]), st.just(float("nan"))), min_size=1, max_size=80),
    st.integers(2, 20),
)
def test_rank_statistics_equal_their_definitions_at_every_event(
    reference: list[float], values: list[float], window_n: int
) -> None:
    """KS and CvM of every full window equal the definitions, and scipy, with ties inside and between the samples."""
    from scipy import stats

    result = RankBank([reference], window_n).update_many(np.array(values)[:, None], np.arange(len(values)))
    assert result.ks is not None
    assert result.cvm is not None
    seen: list[float] = []
    for row, value in enumerate(values):
        seen += [] if np.isnan(value) else [value]
        if len(seen) < window_n:
            assert np.isnan(result.ks.statistic[row, 0])
            continue
        window = seen[-window_n:]
        assert result.ks.statistic[row, 0] == pytest.approx(slow_ks(reference, window), abs=1e-15)
        assert result.cvm.statistic[row, 0] == pytest.approx(slow_cvm(reference, window), rel=1e-12, abs=1e-12)
    if len(seen) >= window_n and len(reference) > 1:
        scipys = stats.cramervonmises_2samp(reference, seen[-window_n:], method="asymptotic").statistic
        assert result.cvm.statistic[-1, 0] == pytest.approx(scipys, rel=1e-12, abs=1e-12)


@few
@given(st.lists(small, min_size=5, max_size=40), st.lists(small, min_size=6, max_size=30))
def test_cvm_rule_judges_mid_distribution_functions(reference: list[float], window: list[float]) -> None:
    """T less what its threshold was raised by is n m / N^2 times the sum of (F - G)^2 over the joint sample, F and G
    counting half of what equals, plus 1 / (4 N)."""
    n, m = len(reference), len(window)
    bank = RankBank([reference], m)
    part = bank.update_many(np.array(window)[:, None], np.arange(m)).cvm
    assert part is not None

    def mid(sample: list[float], t: float) -> float:
        return (sum(v < t for v in sample) + sum(v == t for v in sample) / 2) / len(sample)

    total = sum((mid(reference, t) - mid(window, t)) ** 2 for t in reference + window)
    judged = part.statistic[-1, 0] - (part.threshold[-1, 0] - bank.thresholds[0, 1])
    assert judged == pytest.approx(n * m / (n + m) ** 2 * total + 1 / (4 * (n + m)), abs=1e-9)


@few
@given(
    st.lists(st.one_of(small, st.just(float("nan"))), min_size=30, max_size=120),
    st.integers(2, 12), st.integers(0, 5), st.integers(2, 10), st.integers(1, 9),
)  # fmt: skip
def test_trailing_reference_is_the_stretch_before_the_gap(
    values: list[float], reference_n: int, gap_n: int, window_n: int, step_n: int
) -> None:
    """KS and CvM equal the definitions against the stretch that was due at the newest renewal."""
    bank = TrailingRankBank(1, reference_n=reference_n, gap_n=gap_n, window_n=window_n, step_n=step_n)
    result = bank.update_many(np.array(values)[:, None], np.arange(len(values)))
    assert result.ks is not None
    assert result.cvm is not None
    seen: list[float] = []
    reference: list[float] = []
    span = reference_n + gap_n + window_n
    for row, value in enumerate(values):
        if not np.isnan(value):
            seen.append(value)
            if len(seen) >= span and (len(seen) - span) % step_n == 0:
                reference = seen[-span : len(seen) - gap_n - window_n]
        if not reference:
            assert np.isnan(result.ks.statistic[row, 0])
            continue
        assert result.ks.statistic[row, 0] == pytest.approx(slow_ks(reference, seen[-window_n:]), abs=1e-15)
        expected = slow_cvm(reference, seen[-window_n:])
        assert result.cvm.statistic[row, 0] == pytest.approx(expected, rel=1e-12, abs=1e-12)


@few
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(2, 9), st.booleans())
def test_energy_distance_equals_its_definition_at_every_event(seed: int, dims: int, window_n: int, ties: bool) -> None:
    """The sliding statistic equals the sum over all pairs, and its effect is that over 2 E|X - Y|."""
    generator = np.random.default_rng(seed)
    reference, values = generator.normal(size=(8, dims)), generator.normal(size=(30, dims))
    if ties:
        reference, values = np.round(reference), np.round(values)
    bank = EnergyBank(reference, window_n)
    result = bank.update_many(values, np.arange(30))
    for row in range(30):
        if row + 1 < window_n:
            assert np.isnan(result.statistic[row, 0])
            continue
        expected = slow_energy(reference.tolist(), values[row + 1 - window_n : row + 1].tolist())
        assert result.statistic[row, 0] == pytest.approx(expected, abs=4 * bank.quantum + 1e-14)


@pytest.mark.slow  # importing dcor compiles it
def test_energy_distance_equals_dcor_in_ten_dimensions() -> None:
    """1,000 against 1,000 rows, after 3,000 have passed: dcor.energy_distance to 1e-6, whose sums have no order."""
    import dcor

    generator = np.random.default_rng(7)
    reference, values = generator.normal(size=(1000, 10)), generator.normal(size=(3000, 10)) * 1.1
    result = EnergyBank(reference, 1000).update_many(values, np.arange(3000))
    expected = dcor.energy_distance(reference, values[-1000:])
    assert result.statistic[-1, 0] == pytest.approx(expected, rel=1e-6)


def test_energy_sums_have_no_residue() -> None:
    """After a million-fold outlier has left the window, the statistic is bit for bit that of a fresh bank."""
    generator = np.random.default_rng(8)
    reference, values = generator.normal(size=(100, 3)), generator.normal(size=(300, 3))
    values[50] *= 1e6
    long, fresh = EnergyBank(reference, 80), EnergyBank(reference, 80)
    all_rows = long.update_many(values, np.arange(300))
    last_rows = fresh.update_many(values[220:], np.arange(80))
    assert all_rows.statistic[-1, 0] == last_rows.statistic[-1, 0]
