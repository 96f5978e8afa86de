"""Claims about single detectors: parameters, thresholds under no drift, encoding, effective numbers."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from detectors.adwin import ADWIN, AdwinBank
from detectors.base import DRIFT, WARNING, Floats
from detectors.effective import effective_n
from detectors.encoding import JointEncoder
from detectors.energy import EnergyBank
from detectors.null_laws import cvm_critical, cvm_tail, ks_critical
from detectors.page_hinkley import PageHinkley, PageHinkleyBank
from detectors.rank_tests import CramerVonMises, KolmogorovSmirnov, RankBank
from detectors.trailing import TrailingRankBank

__all__: list[str] = []

GOOD: dict[str, Any] = {"reference_n": 10, "gap_n": 0, "window_n": 5, "step_n": 5}


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: AdwinBank(0), "n_signals = 0"),
        (lambda: AdwinBank(1, delta=0.0), "delta = 0.0"),
        (lambda: AdwinBank(1, clock=0), "clock = 0"),
        (lambda: AdwinBank(1, warning_delta=0.001), "warning_delta = 0.001"),
        (lambda: AdwinBank(1, bounds=(1.0, 1.0)), "bounds of signal 0"),
        (lambda: AdwinBank(1, value_range=0.0), "value_range = 0.0"),
        (lambda: AdwinBank(1, direction="sideways"), "direction = 'sideways'"),  # type: ignore[arg-type]
        (lambda: PageHinkleyBank(1, threshold=0.0), "threshold = 0.0"),
        (lambda: PageHinkleyBank(1, alpha=1.5), "alpha = 1.5"),
        (lambda: PageHinkleyBank(1, origin="one"), "origin = 'one'"),  # type: ignore[arg-type]
        (lambda: RankBank([], 5), r"len\(reference\) = 0"),
        (lambda: RankBank([[1.0, np.inf]], 5), "reference of signal 0"),
        (lambda: RankBank([[1.0]], 1), "window_n = 1"),
        (lambda: RankBank([[1.0]], 5, alpha=0.0), "alpha = 0.0"),
        (lambda: RankBank([[1.0]], 5, tests=()), r"tests = \(\)"),
        (lambda: RankBank([[1.0]], 5, n_effective=3.0), "n_effective = 3.0"),
        (lambda: RankBank([np.zeros(60_000)], 60_000), r"len\(reference\) = 60000"),
        (lambda: TrailingRankBank(1, **GOOD | {"step_n": 0}), "step_n = 0"),
        (lambda: EnergyBank(np.zeros((3, 1)), 5), "rows of reference = 3"),
        (lambda: EnergyBank(np.full((9, 1), np.nan), 5), "reference has NaN"),
        (lambda: effective_n([]), "values holds no number"),
    ],
)
def test_wrong_parameter_is_refused_by_name(make: Any, name: str) -> None:
    """A parameter out of range is an error at construction that names it and its value."""
    with pytest.raises(ValueError, match=name):
        make()


def test_single_detectors_speak_like_river() -> None:
    """The four single detectors find a shift by `update` and `drift_detected`, and name statistic and threshold."""
    generator = np.random.default_rng(1)
    reference = generator.random(300)
    stream = np.concatenate([generator.random(500), generator.random(500) + 1.0])
    for detector in (ADWIN(), PageHinkley(), KolmogorovSmirnov(reference, 100), CramerVonMises(reference, 100)):
        found = [i for i, x in enumerate(stream) if detector.update(float(x)).drift_detected]
        assert 500 <= found[0] < 600
        assert detector.threshold > 0
        assert detector.statistic >= 0


def test_warning_comes_once_and_before_the_drift() -> None:
    """ADWIN with a warning level and Page-Hinkley warn at entering the zone, not at every value in it."""
    values = np.concatenate([np.zeros(500), np.full(200, 0.3)])[:, None]
    for bank in (AdwinBank(1, clock=1, warning_delta=0.2), PageHinkleyBank(1, threshold=20.0)):
        statuses = [alarm.status for alarm in bank.update_many(values, np.arange(700)).alarms]
        assert statuses[:2] == [WARNING, DRIFT]


def test_direction_keeps_the_other_side_silent() -> None:
    """`up` reports only rises, `down` only falls; together they report what `both` does."""
    values = np.repeat([0.0, 1.0, 0.0], 1000)[:, None]
    index = np.arange(3000)
    for kind in (AdwinBank, PageHinkleyBank):
        both = kind(1).update_many(values, index).alarms
        up = kind(1, direction="up").update_many(values, index).alarms
        down = kind(1, direction="down").update_many(values, index).alarms
        assert {a.direction for a in up} == {1}
        assert {a.direction for a in down} == {-1}
        assert {a.direction for a in both} == {1, -1}


def test_adwin_scales_its_range_with_the_bounds() -> None:
    """With bounds the alarms do not depend on the unit: the test is the paper's for values between them."""
    values = np.concatenate([np.zeros(700), np.ones(700)]) + np.random.default_rng(1).random(1400) / 4
    rows = []
    for unit in (1.0, 1024.0, 2.0**-20):
        bank = AdwinBank(1, bounds=(0.0, 2.0 * unit))
        rows.append([a.row for a in bank.update_many(values[:, None] * unit, np.arange(1400)).alarms])
    assert rows[0]
    assert rows[0] == rows[1] == rows[2]


def test_adwin_without_bounds_takes_only_what_it_can_square() -> None:
    """Beyond 1e100 a value counts as missing in `update` and in `update_many` alike."""
    bank, single = AdwinBank(1), ADWIN()
    bank.update_many(np.array([[1.0], [1e308], [2.0]]), np.arange(3))
    for x in (1.0, 1e308, 2.0):
        single.update(x)
    assert bank.moments(0) == (2, 3.0, 0.5)
    assert (single.width, single.total, single.variance) == (2, 3.0, 0.5)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5])
def test_adwin_is_as_quiet_as_rivers_measured_rate(p: float) -> None:
    """river 0.26.1 has no false alarm in 100,000 stationary Bernoulli(p) values at delta .002, clock 32; nor have ten
    signals here."""
    values = (np.random.default_rng(17).random((100_000, 10)) < p).astype(np.float64)
    result = AdwinBank(10).update_many(values, np.arange(100_000))
    assert len(result.alarms) <= 1


@pytest.mark.parametrize("law", ["normal", "binary", "five values"])
def test_rank_tests_keep_their_level_with_and_without_ties(law: str) -> None:
    """At alpha .01 independent windows exceed their thresholds in about 1 % of cases or, with ties, fewer."""
    generator = np.random.default_rng(11)

    def draw(size: Any) -> Floats:
        drawn: Floats = generator.normal(size=size)
        return drawn if law == "normal" else np.clip(np.round(drawn), 0.0, 1.0 if law == "binary" else 4.0)

    signals, n, m = 1500, 150, 100
    bank = RankBank(list(draw((signals, n))), m, alpha=0.01)
    result = bank.update_many(draw((m, signals)), np.arange(m))
    for part in (result.ks, result.cvm):
        assert part is not None
        over = int((part.statistic[-1] > part.threshold[-1]).sum())
        assert over <= 30
        assert over >= (5 if law == "normal" and part is result.cvm else 0)


def test_effective_share_widens_the_thresholds() -> None:
    """A quarter of independent values doubles the KS threshold and quadruples that of CvM."""
    full = RankBank([np.arange(100.0)], 50)
    quarter = RankBank([np.arange(100.0)], 50, n_effective=[0.25])
    assert quarter.thresholds[0, 0] == pytest.approx(2 * full.thresholds[0, 0])
    assert quarter.thresholds[0, 1] == pytest.approx(4 * full.thresholds[0, 1])
    assert full.thresholds[0].tolist() == [ks_critical(1e-6, 100, 50), cvm_critical(1e-6, 100, 50)]


def test_signal_without_reference_is_never_tested() -> None:
    """An empty (or all missing) reference makes its signal untestable and leaves the others alone."""
    values = np.random.default_rng(1).normal(size=(200, 2)) + 5.0
    result = RankBank([[np.nan], np.random.default_rng(2).normal(size=50)], 20).update_many(values, np.arange(200))
    assert result.ks is not None
    assert np.isnan(result.ks.statistic[:, 0]).all()
    assert {alarm.signal for alarm in result.ks.alarms} == {1}


def test_energy_threshold_keeps_its_level() -> None:
    """At alpha .01 windows of the reference's law exceed the threshold in about 1 % of 600 cases."""
    generator = np.random.default_rng(4)
    over = 0
    for _ in range(600 // 20):
        reference = generator.normal(size=(100, 3))
        for window in generator.normal(size=(20, 60, 3)):
            bank = EnergyBank(reference, 60, alpha=0.01)
            over += bool(bank.update_many(window, np.arange(60)).statistic[-1, 0] > bank.threshold)
    assert 1 <= over <= 20


def test_energy_calibration_is_a_pure_function() -> None:
    """The threshold depends on reference, parameters and seed alone."""
    reference = np.random.default_rng(1).normal(size=(600, 2))
    limits = {EnergyBank(reference, 50, seed=seed).threshold for seed in (1, 1, 2)}
    assert len(limits) == 2


def test_cvm_tail_falls_from_one() -> None:
    """The tail is a survival function, smooth over the place where its series begins."""
    xs = np.concatenate([np.linspace(0, 0.1, 200), np.linspace(0.1, 30, 200)])
    tails = [cvm_tail(float(x)) for x in xs]
    assert tails[0] == 1.0
    assert all(a >= b - 1e-13 for a, b in pairwise(tails))
    assert 0 < cvm_tail(100.0) < 1e-200


def test_effective_n_of_an_autoregression_is_its_theory() -> None:
    """AR(1) with coefficient .5 carries a third of its number; white noise all of it; a constant all of it."""
    generator = np.random.default_rng(0)
    noise = generator.normal(size=20_000)
    series = np.zeros(20_000)
    for i in range(1, len(series)):
        series[i] = 0.5 * series[i - 1] + noise[i]
    assert effective_n(series) == pytest.approx(20_000 / 3, rel=0.15)
    assert effective_n(noise) == pytest.approx(20_000, rel=0.05)
    assert effective_n(np.full(1000, 0.1)) == 1000
    assert effective_n([math.nan, 1.0]) == 1


def test_encoder_scales_fills_and_pools() -> None:
    """Numbers become spreads from the median, clipped; gaps the median; categories columns of length 1/sqrt 2."""
    numeric = np.column_stack([np.arange(101.0), np.full(101, 7.0)])
    codes = np.column_stack([np.arange(101) % 12, np.zeros(101, dtype=np.int64)])
    encoder = JointEncoder.fit(numeric, codes, [12, 1])
    rows = np.array([[50.0, 7.0], [np.nan, 8.0], [1e308, 7.0]])
    encoded, filled = encoder.transform(rows, np.array([[0, 0], [11, -1], [-1, 0]]))
    assert encoded.shape == (3, 2 + 9 + 2)
    assert encoded[:, 0].tolist() == [0.0, 0.0, 8.0]
    assert encoded[:, 1].tolist() == [0.0, 1.0, 0.0]
    assert np.flatnonzero(encoded[0, 2:]).tolist() == [0, 9]
    assert np.flatnonzero(encoded[1, 2:]).tolist() == [8]
    assert filled.tolist() == [0, 2, 1]
    assert math.dist(encoded[0, 2:11], encoded[1, 2:11]) == pytest.approx(1.0)
    again = JointEncoder.from_state(encoder.state()).transform(rows, np.array([[0, 0], [11, -1], [-1, 0]]))[0]
    assert again.tobytes() == encoded.tobytes()
