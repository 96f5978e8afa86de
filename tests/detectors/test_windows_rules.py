"""What the parameters, effects and alarms of the window tests mean, and which values they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from detectors.anderson_darling import AndersonDarling, AndersonDarlingBank
from detectors.base import CLEARED, DRIFT, Alarm
from detectors.binned import PSI, BinnedBank, JensenShannon
from detectors.categories import CategoryBank, ChiSquare, GTest
from detectors.rank_tests import RankBank
from detectors.wasserstein import Wasserstein, WassersteinBank

__all__: list[str] = []


def run(bank: Any, values: Any) -> Any:
    column = np.asarray(values, dtype=np.float64)[:, None]
    return bank.update_many(column, np.arange(len(column)))


def alarms(bank: Any, values: Any) -> list[Alarm]:
    found: list[Alarm] = run(bank, values).alarms
    return found


def test_empty_reference_is_untestable() -> None:
    """A signal without a reference has no statistic and no alarm; its neighbours have theirs."""
    values = np.column_stack([np.arange(40.0) % 3] * 2)
    for make in (AndersonDarlingBank, WassersteinBank, BinnedBank, CategoryBank):
        result = make([[], np.full(30, 9.0)], 20).update_many(values, np.arange(40))
        assert np.isnan(result.statistic[:, 0]).all()
        assert {alarm.signal for alarm in result.alarms} == {1}


@pytest.mark.parametrize("given", [-1.0, 2.5, math.nan, 1e200])
def test_what_is_no_code_counts_as_missing(given: float) -> None:
    """A negative or broken number, NaN and an absurd one leave window and statistic alone."""
    reference, values = [0.0, 1.0, 2.0] * 20, [0.0, 1.0] * 10
    plain, bank = CategoryBank([reference], 20), CategoryBank([reference], 20)
    run(plain, values)
    run(bank, [*values[:7], given, *values[7:]])
    for name in ("counts", "newest"):
        assert bank.state()[name].tobytes() == plain.state()[name].tobytes()


def test_codes_beyond_the_known_are_one_category() -> None:
    """Whatever their number, unseen codes count together: three of them are one cell in use."""
    bank = CategoryBank([[0.0, 1.0] * 30], 20)
    run(bank, [0.0, 1.0] * 7 + [2.0, 3.0, 2.0, 99.0, 1e15, 2.0])
    assert bank.state()["counts"].tolist() == [[7, 7, 6]]
    wider = CategoryBank([[0.0, 1.0] * 30], 20, n_categories=[4])
    run(wider, [0.0, 1.0] * 7 + [2.0, 3.0, 2.0, 99.0, 1e15, 2.0])
    assert wider.state()["counts"].tolist() == [[7, 7, 3, 1, 2]]


@pytest.mark.parametrize("step", [-1e-9, 1e-9])
@pytest.mark.parametrize("statistic", ["psi", "js"])
def test_bins_of_a_constant_reference_see_both_sides(statistic: Any, step: float) -> None:
    """Values just below or just above a constant are in bins of their own."""
    bank = BinnedBank([np.full(100, 3.0)], 50, statistic=statistic)
    assert alarms(bank, np.full(50, 3.0)) == []
    assert [alarm.status for alarm in alarms(bank, np.full(50, 3.0 + step))] == [DRIFT]


def test_bins_are_quantiles_of_the_reference() -> None:
    """Each of ten bins holds a tenth of 1,000 values; a bin holds its lower edge and not its upper."""
    bank = BinnedBank([np.arange(1000.0)], 2)
    assert bank.state()["reference"].tolist() == [[100] * 10]
    given = BinnedBank([[0.0, 1.0, 1.0, 2.0]], 2, edges=[[1.0, 2.0]])
    assert given.state()["reference"].tolist() == [[1, 2, 1]]


def test_one_absurd_value_does_not_open_a_wasserstein_alarm() -> None:
    """Clipped at eight times the reference's range, a 1e50 among 200 normal values stays under the threshold."""
    generator = np.random.default_rng(6)
    values = generator.normal(size=600)
    values[300] = 1e50
    assert alarms(WassersteinBank([generator.normal(size=1000)], 200), values) == []


def test_alarm_on_a_constant_reference_clears() -> None:
    """An alarm, for W1 at threshold 0, clears when the window is the reference's constant again."""
    for make in (AndersonDarlingBank, WassersteinBank):
        bank = make([np.full(60, 2.0)], 20, test_every=1, min_effect=0.0)
        result = alarms(bank, np.repeat([2.0, 3.0, 2.0], 60))
        assert [alarm.status for alarm in result] == [DRIFT, CLEARED]


def test_effects_are_what_the_docstrings_say() -> None:
    """A²'s effect is the KS distance, W1's is in normal spreads, the divergence's a distance in [0, 1]."""
    generator = np.random.default_rng(7)
    reference, values = generator.normal(size=500), generator.normal(1.5, 1.0, size=100)
    ks = run(RankBank([reference], 100), values).ks
    assert ks is not None
    first = alarms(AndersonDarlingBank([reference], 100), values)[0]
    assert first.effect == ks.alarms[0].effect
    w1 = alarms(WassersteinBank([reference], 100), values)[0]
    low, high = np.quantile(reference, [0.25, 0.75])
    assert w1.effect == pytest.approx(w1.statistic / (high - low) * 1.349, rel=1e-4)
    psi = alarms(BinnedBank([reference], 100), values)[0]
    assert psi.effect == psi.statistic
    apart = alarms(BinnedBank([reference], 100, statistic="js", edges=[50.0]), np.full(100, 60.0))[0]
    assert [apart.statistic, apart.effect] == pytest.approx([math.log(2.0), 1.0])
    for statistic in ("chi_square", "g"):
        bank = CategoryBank([np.zeros(300)], 100, statistic=statistic)
        assert alarms(bank, np.ones(100))[0].effect == pytest.approx(1.0)


def test_least_effect_holds_an_alarm_back() -> None:
    """What passes the threshold but not the least effect opens nothing."""
    generator = np.random.default_rng(9)
    reference, values = generator.normal(size=2000), generator.normal(0.5, 1.0, size=2000)
    for make in (AndersonDarlingBank, WassersteinBank, BinnedBank):
        result = run(make([reference], 1000, min_effect=0.9), values)
        assert result.statistic[-1, 0] > result.threshold[-1, 0]
        assert result.alarms == []


def test_anderson_darling_sees_a_change_of_spread_before_kolmogorov_smirnov() -> None:
    """What the test is there for: in 20 streams whose spread doubles it is earlier in most and never later by much."""
    generator = np.random.default_rng(10)
    delays = []
    for _ in range(20):
        reference = generator.normal(size=1000)
        values = np.concatenate([generator.normal(size=200), generator.normal(0.0, 2.0, size=800)])
        ad = alarms(AndersonDarlingBank([reference], 200, test_every=1, min_effect=0.0), values)
        ks = run(RankBank([reference], 200, tests=("ks",), min_effect=0.0), values).ks
        delays.append((ad[0].row, ks.alarms[0].row if ks is not None and ks.alarms else 1000))
    assert sum(ad < ks for ad, ks in delays) >= 15


@pytest.mark.parametrize(
    ("make", "change", "direction"),
    [
        (AndersonDarling, 60, 1),
        (AndersonDarling, -60, -1),
        (Wasserstein, 60, 1),
        (Wasserstein, -60, -1),
        (PSI, 60, 0),
        (JensenShannon, 60, 0),
        (ChiSquare, 3, 0),
        (GTest, 3, 0),
    ],
)
def test_single_detector_speaks_rivers_language(make: Any, change: int, direction: int) -> None:
    """`update` returns itself, `drift_detected` is a pulse at the opening, the bank's alarm names the direction."""
    width = 20 if make in (ChiSquare, GTest) else 1
    values = [float(37 * i % 100 // width + change * (i >= 200)) for i in range(400)]
    reference = np.arange(100) // width
    detector = make(reference, 50)
    found = [i for i, value in enumerate(values) if detector.update(value).drift_detected]
    assert len(found) == 1
    assert 200 < found[0] <= 250
    assert detector.statistic > detector.threshold
    assert detector.warning_detected is False
    first = alarms(make(reference, 50).bank, values)[0]
    assert (first.row, first.direction, first.n) == (found[0], direction, 50)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AndersonDarlingBank([], 10), r"len\(reference\) = 0; give 1 array or more"),
        (lambda: AndersonDarlingBank([[1.0, math.inf]], 10), "reference of signal 0: give a list of finite numbers"),
        (lambda: AndersonDarlingBank([[1.0]], 1), "window_n = 1; give 2 or more"),
        (lambda: AndersonDarlingBank([[1.0]], 9, alpha=0.6), r"alpha = 0.6; give a number in \(0, 0.5\)"),
        (lambda: AndersonDarlingBank([[1.0]], 9, test_every=0), "test_every = 0; give 1 or more"),
        (lambda: AndersonDarlingBank([[1.0]], 9, min_effect=1.0), r"min_effect = 1.0; give a number in \[0, 1\)"),
        (lambda: AndersonDarlingBank([[1.0]], 9, clear_ratio=0.0), r"clear_ratio = 0.0; give a number in \(0, 1\]"),
        (lambda: AndersonDarlingBank([[1.0]], 9, n_effective=[2.0]), r"n_effective = 2.0; give shares in \(0, 1\]"),
        (lambda: WassersteinBank([[1.0]], 9, clip=0.5), "clip = 0.5; give 1 or more"),
        (lambda: BinnedBank([[1.0]], 9, bins=1), "bins = 1; give 2 or more"),
        (lambda: BinnedBank([[1.0]], 9, empty=0.0), r"empty = 0.0; give a number in \(0, 1\]"),
        (lambda: BinnedBank([[1.0]], 9, edges=[2.0, 1.0]), "edges of signal 0: give 1 or more finite numbers"),
        (lambda: BinnedBank([[1.0]], 9, edges=[[1.0], [2.0]]), r"len\(edges\) = 2; give 1 arrays"),
        (lambda: BinnedBank([[1.0]], 9, statistic="kl"), "statistic = 'kl'; give 'psi' or 'js'"),  # type: ignore[arg-type]
        (lambda: CategoryBank([[0.5]], 9), "reference of signal 0: give whole category codes, 0 or more"),
        (lambda: CategoryBank([[1.0]], 9, n_categories=0), "n_categories = 0; give 1 or more"),
        (lambda: CategoryBank([[1.0]], 9, statistic="t"), "statistic = 't'; give 'chi_square' or 'g'"),  # type: ignore[arg-type]
    ],
)
def test_parameter_out_of_range_is_refused_by_name(make: Callable[[], Any], message: str) -> None:
    """The error names the parameter, its value and what to give."""
    with pytest.raises(ValueError, match=message):
        make()
