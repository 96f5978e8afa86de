"""The e-detector against its definition and its promise, and the gapped blocks that feed it dependent values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.base import DRIFT, Floats
from detectors.e_detector import EDetector, EDetectorBank, _information, _stakes
from detectors.gapped_blocks import GappedBlocks

__all__: list[str] = []


def log_worths(values: list[float], bets: list[float], bound: float) -> list[list[float]]:
    """For each bet the log of its product over values[start:], for every start; from the definition."""
    return [
        [sum(math.log1p(b * (x / bound - 1.0)) for x in values[start:]) for start in range(len(values))] for b in bets
    ]


def slow_log(values: list[float], bets: list[float], bound: float, form: str) -> float:
    """Log of the mixture after `values`, in logs throughout: the sum over all starts, or the best start's product."""
    per_bet = []
    for logs in log_worths(values, bets, bound):
        top = max(logs)
        per_bet.append(top if form == "cusum" else top + math.log(math.fsum(math.exp(w - top) for w in logs)))
    top = max(per_bet)
    return top + math.log(math.fsum(math.exp(w - top) for w in per_bet) / len(bets))


def run_lengths(values: Floats, bank: EDetectorBank) -> list[int]:
    """Values between the (re)starts and alarms of all signals."""
    alarms = bank.update_many(values, np.arange(len(values))).alarms
    lengths = []
    for signal in range(values.shape[1]):
        rows = [-1, *(alarm.row for alarm in alarms if alarm.signal == signal)]
        lengths += np.diff(rows).tolist()
    return lengths


def mean_and_error(values: Floats, **parameters: Any) -> tuple[float, float]:
    """Mean number of values to a signal's first alarm, and its standard error; signals without one count in full."""
    bank = EDetectorBank(values.shape[1], **parameters)
    firsts = np.full(values.shape[1], len(values), dtype=np.float64)
    for alarm in reversed(bank.update_many(values, np.arange(len(values))).alarms):
        firsts[alarm.signal] = alarm.row + 1
    return float(firsts.mean()), float(firsts.std() / math.sqrt(len(firsts)))


def correlated_bits(rows: int, columns: int, rate: float, correlation: float, seed: int) -> Floats:
    """Bits of a two-state Markov chain: rate of ones and lag-1 correlation are given."""
    generator = np.random.default_rng(seed)
    bits = np.empty((rows, columns))
    bits[0] = generator.random(columns) < rate
    draws = generator.random((rows, columns))
    for row in range(1, rows):
        bits[row] = draws[row] < rate * (1.0 - correlation) + correlation * bits[row - 1]
    return bits


@pytest.mark.parametrize("form", ["sr", "cusum"])
@pytest.mark.parametrize("direction", ["up", "down", "both"])
@pytest.mark.parametrize("bound", [0.02, 0.5, 0.9])
def test_statistic_is_the_mixture_over_all_starts(form: Any, direction: Any, bound: float) -> None:
    """At every value the statistic is the log of the mean over bets of the sum (largest) of all starts' products."""
    values = np.round(np.random.default_rng(3).random((40, 1)), 2)
    values[5:20] = 0.0
    values[30:34] = 1.0
    bank = EDetectorBank(
        1, mean_at_most=bound, mean_at_least=bound, form=form, direction=direction, min_instances=1, run_length=1e90
    )
    statistic = bank.update_many(values, np.arange(40)).statistic[:, 0]
    for n in range(1, 41):
        expected = []
        for up in (True, False):
            if direction in ("both", "up" if up else "down"):
                seen = [x if up else 1.0 - x for x in values[:n, 0].tolist()]
                mean = bound if up else 1.0 - bound
                bets = _stakes(np.array([mean]), 12, 0.1)[0].tolist()
                expected.append(slow_log(seen, bets, mean, form))
        assert statistic[n - 1] == pytest.approx(max(expected), abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(
    bound=st.floats(0.001, 1.0),
    n_bets=st.integers(1, 20),
    values=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30),
)
def test_a_bet_gains_nothing_on_average_under_the_bound(bound: float, n_bets: int, values: list[float]) -> None:
    """A bet's factor is never negative, and its mean over values that average to the bound or less is at most 1."""
    bets = _stakes(np.array([bound]), n_bets, 0.1)[0]
    x = np.array(values) * min(1.0, bound / max(float(np.mean(values)), 1e-300))
    for b in bets:
        factors = 1.0 + b * (x / bound - 1.0)
        assert factors.min() >= 0.0
        assert factors.mean() <= 1.0 + 1e-9


@pytest.mark.parametrize("bound", [0.001, 0.1, 0.5, 0.95])
def test_bets_are_geometric_in_information(bound: float) -> None:
    """The grid rises to .95 and neighbours' Kullback-Leibler informations have one ratio, taken from the definition."""
    bets = _stakes(np.array([bound]), 12, 0.1)[0]
    rates = bound + bets * (1.0 - bound)
    information = rates * np.log(rates / bound) + (1.0 - rates) * np.log((1.0 - rates) / (1.0 - bound))
    ratios = information[1:] / information[:-1]
    assert bets[-1] == pytest.approx(0.95)
    assert ratios == pytest.approx(ratios[0], rel=1e-6)
    assert np.allclose(_information(bets, np.full(12, bound)), information, rtol=1e-9)


@pytest.mark.parametrize("form", ["sr", "cusum"])
@pytest.mark.parametrize("direction", ["up", "down", "both"])
@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_run_length_at_the_bound_keeps_the_promise(form: Any, direction: Any, rate: float) -> None:
    """Independent bits at the bound: the mean run to a false alarm, cut off at 10 promises, is 500 less 3 errors at
    least (600 signals)."""
    values = (np.random.default_rng(11).random((5000, 600)) < rate).astype(np.float64)
    mean, error = mean_and_error(
        values, mean_at_most=rate, mean_at_least=rate, run_length=500, form=form, direction=direction
    )
    assert mean >= 500 - 3 * error


@pytest.mark.parametrize("shape", ["wandering", "answering", "fractions"])
def test_promise_needs_only_the_conditional_mean(shape: str) -> None:
    """Means that wander below the bound, that depend on the past, or values of any shape: the promise of 500 holds."""
    generator = np.random.default_rng(12)
    rows, columns, bound = 5000, 400, 0.3
    draws = generator.random((rows, columns))
    if shape == "wandering":
        rates = bound * (0.55 + 0.45 * np.sin(np.arange(rows) / 200.0))
        values = (draws < rates[:, None]).astype(np.float64)
    elif shape == "answering":  # dependent, yet never above the bound given the past
        values = np.zeros((rows, columns))
        for row in range(1, rows):
            values[row] = draws[row] < np.where(values[row - 1] > 0, bound, 0.1)
    else:
        values = np.where(draws < 0.5, draws, 0.2) * 0.3 / 0.225
    mean, error = mean_and_error(values, mean_at_most=bound, run_length=500)
    assert mean >= 500 - 3 * error


def test_promise_fails_when_only_the_marginal_mean_keeps_to_the_bound() -> None:
    """Bits with a lag-1 correlation of .5 alarm several times as often as promised: what the docstring warns of."""
    values = correlated_bits(5000, 400, 0.2, 0.5, seed=13)
    mean, _ = mean_and_error(values, mean_at_most=0.2, run_length=1000)
    assert mean < 333


def test_gapped_blocks_restore_the_promise() -> None:
    """The same bits as means of 50 with gaps of 10, with the promise counted in blocks, keep it: at least 6,000."""
    values = correlated_bits(30_000, 120, 0.2, 0.5, seed=14)
    means = GappedBlocks(120).update_many(values)
    mean, error = mean_and_error(means, mean_at_most=0.2, run_length=6000 / 60, min_instances=1)
    assert mean >= 6000 - 3 * error


def test_runs_after_an_alarm_are_like_the_first() -> None:
    """After an alarm both sides start anew: later runs keep the promise, too."""
    values = (np.random.default_rng(15).random((20_000, 100)) < 0.3).astype(np.float64)
    lengths = run_lengths(
        values, EDetectorBank(100, mean_at_most=0.3, mean_at_least=0.3, run_length=300, direction="both")
    )
    assert len(lengths) > 2000
    assert np.mean(lengths) >= 300


@pytest.mark.parametrize(("direction", "after"), [("up", 0.5), ("down", 0.05)])
def test_change_is_found_soon_and_located(direction: Any, after: float) -> None:
    """Rates from .25 to .5 and to .05, promise 100,000: found in every signal, half of them within 100 values (log of
    the promise over the information is 81 and 80), the onset set covers the change in 85 % or more."""
    generator = np.random.default_rng(16)
    rates = np.repeat([0.25, after], [1000, 1500])[:, None]
    values = (generator.random((2500, 200)) < rates).astype(np.float64)
    bank = EDetectorBank(200, mean_at_most=0.25, mean_at_least=0.25, direction=direction)
    alarms = bank.update_many(values, np.arange(2500)).alarms
    firsts = {alarm.signal: alarm for alarm in reversed(alarms) if alarm.row >= 1000}
    assert len(firsts) == 200
    assert np.median([alarm.row - 999 for alarm in firsts.values()]) <= 100
    assert np.mean([alarm.onset_low <= 1000 <= alarm.onset_high for alarm in firsts.values()]) >= 0.85
    assert all(alarm.direction == (1 if direction == "up" else -1) and alarm.effect > 0 for alarm in firsts.values())


def test_both_sides_have_half_of_the_promise() -> None:
    """With two sides the threshold is the log of twice the run length."""
    one = EDetectorBank(1, mean_at_most=0.3)
    two = EDetectorBank(1, mean_at_most=0.3, mean_at_least=0.2, direction="both")
    assert one.threshold == pytest.approx(math.log(100_000))
    assert two.threshold == pytest.approx(math.log(200_000))


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("bound", [1e-9, 0.3, 1.0])
def test_worths_stay_finite(value: float, bound: float) -> None:
    """A million equal values, at any bound and the largest promise, leave finite numbers."""
    bank = EDetectorBank(1, mean_at_most=bound, run_length=1e100)
    result = bank.update_many(np.full((1_000_000, 1), value), np.arange(1_000_000))
    assert np.isfinite(result.statistic[-1]).all() or result.alarms
    assert np.isfinite(bank.state()["worth"]).all()


def test_bound_of_one_is_never_broken() -> None:
    """No mean within [0, 1] lies above 1, nor below 0: no alarm."""
    bank = EDetectorBank(2, mean_at_most=[1.0, 0.5], mean_at_least=[0.0, 0.0], direction="both", run_length=2)
    values = np.column_stack([np.ones(500), np.zeros(500)])
    assert bank.update_many(values, np.arange(500)).alarms == []


def test_values_outside_are_missing() -> None:
    """Values below 0 or above 1 and NaN change nothing."""
    clean = (np.arange(300) % 3 == 0).astype(np.float64)
    dirty = np.insert(clean, [10, 100, 200], [np.nan, 1.5, -0.1])
    one, two = EDetectorBank(1, mean_at_most=0.4), EDetectorBank(1, mean_at_most=0.4)
    expected = one.update_many(clean[:, None], np.arange(300)).statistic[-1]
    assert two.update_many(dirty[:, None], np.arange(303)).statistic[-1] == expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "mean_at_most = None"),
        ({"mean_at_most": 0.0}, r"mean_at_most of signal 0 = 0.0; give a number in \(0, 1\]"),
        ({"mean_at_most": 0.5, "direction": "both"}, "mean_at_least = None"),
        ({"mean_at_least": 1.0, "direction": "down"}, r"mean_at_least of signal 0 = 1.0; give a number in \[0, 1\)"),
        ({"mean_at_most": 0.2, "mean_at_least": 0.3, "direction": "both"}, "mean_at_least lies above"),
        ({"mean_at_most": 0.5, "run_length": 1.0}, "run_length = 1.0"),
        ({"mean_at_most": 0.5, "form": "max"}, "form = 'max'"),
        ({"mean_at_most": 0.5, "n_bets": 0}, "n_bets = 0"),
        ({"mean_at_most": 0.5, "smallest_change": 0.0}, "smallest_change = 0.0"),
        ({"mean_at_most": 0.5, "min_instances": 0}, "min_instances = 0"),
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    """The error names parameter, value and range."""
    with pytest.raises(ValueError, match=message):
        EDetectorBank(1, **parameters)


def test_single_detector_speaks_like_river() -> None:
    """`update` takes a value, and the alarm, statistic and threshold can be read."""
    detector = EDetector(mean_at_most=0.2, run_length=1000)
    assert math.isnan(detector.statistic)
    found = [i for i in range(200) if detector.update(float(i >= 100)).drift_detected]
    assert 100 < found[0] < 112
    assert not detector.warning_detected
    assert detector.threshold == pytest.approx(math.log(1000)) or math.isnan(detector.threshold)


def slow_blocks(values: list[float], block_n: int, gap_n: int) -> list[float]:
    """A block's mean where it ends, NaN elsewhere."""
    own = [place for place, x in enumerate(values) if 0.0 <= x <= 1.0]
    means = [math.nan] * len(values)
    for start in range(0, len(own), block_n + gap_n):
        block = own[start : start + block_n]
        if len(block) == block_n:
            means[block[-1]] = math.fsum(values[place] for place in block) / block_n
    return means


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.one_of(st.floats(0.0, 1.0), st.sampled_from([math.nan, 2.0, -1.0])), max_size=60),
    block_n=st.integers(1, 7),
    gap_n=st.integers(0, 4),
    cut=st.integers(0, 60),
)
def test_blocks_are_means_with_gaps_whatever_the_batches(
    values: list[float], block_n: int, gap_n: int, cut: int
) -> None:
    """Two batches with a snapshot between them give bit for bit what one gives, and that is the definition's."""
    rows: NDArray[np.float64] = np.array(values, dtype=np.float64).reshape(-1, 1)
    whole = GappedBlocks(1, block_n=block_n, gap_n=gap_n).update_many(rows)
    blocks = GappedBlocks(1, block_n=block_n, gap_n=gap_n)
    head = blocks.update_many(rows[:cut])
    tail = GappedBlocks.from_state(blocks.state()).update_many(rows[cut:])
    assert np.vstack([head, tail]).tobytes() == whole.tobytes()
    assert whole[:, 0] == pytest.approx(slow_blocks(values, block_n, gap_n), nan_ok=True)


def test_blocks_of_signals_are_their_own() -> None:
    """A missing value delays the blocks of its signal only; the state of another plan is refused."""
    values = np.ones((6, 2))
    values[1, 1] = np.nan
    blocks = GappedBlocks(2, block_n=2, gap_n=1)
    means = blocks.update_many(values)
    assert np.flatnonzero(~np.isnan(means[:, 0])).tolist() == [1, 4]
    assert np.flatnonzero(~np.isnan(means[:, 1])).tolist() == [2, 5]
    assert blocks.nbytes == 32
    with pytest.raises(ValueError, match=r"state\['total'\]"):
        GappedBlocks.from_state(blocks.state() | {"total": np.zeros(3)})
    with pytest.raises(ValueError, match="block_n = 0"):
        GappedBlocks(1, block_n=0)


def test_kernels_are_the_same_uncompiled() -> None:
    """The kernel as plain Python gives the compiled kernel's alarms and statistics."""
    import detectors.e_detector as module

    values = (np.random.default_rng(17).random((300, 2)) < np.repeat([0.2, 0.7], 150)[:, None]).astype(np.float64)
    make: dict[str, Any] = {"mean_at_most": 0.25, "mean_at_least": 0.15, "direction": "both", "run_length": 50}
    compiled, plain = EDetectorBank(2, **make), EDetectorBank(2, **make)
    expected = compiled.update_many(values, np.arange(300))
    statistic, whole, real = np.empty((2, 300)), np.empty((600, 8), dtype=np.int64), np.empty((600, 3))
    fold: Any = module._fold
    count = fold.py_func(values, np.arange(300), plain._signals, plain._rule, plain.threshold, statistic, whole, real)
    assert count == len(expected.alarms) > 0
    assert all(alarm.status == DRIFT for alarm in expected.alarms)
    assert statistic.tobytes() == expected.statistic.T.copy(order="C").tobytes()


def test_one_kernel_serves_any_number_of_signals() -> None:
    """Banks of one signal and of several, of one side and of two, share one compiled kernel."""
    import detectors.e_detector as module

    for columns in (1, 3):
        for direction in ("up", "both"):
            bank = EDetectorBank(columns, mean_at_most=0.4, mean_at_least=0.1, direction=direction)
            bank.update_many(np.ones((50, columns)), np.arange(50))
    fold: Any = module._fold
    assert len(fold.signatures) == 1


@pytest.mark.parametrize(("direction", "doubt"), [("up", 0.1), ("both", 0.05)])
def test_bounds_from_counts_are_those_of_clopper_and_pearson(direction: Any, doubt: float) -> None:
    """The bounds are scipy's one-sided limits, for half of the doubt a side where both sides are watched."""
    from scipy.stats import binomtest

    bank = EDetectorBank.from_counts([3, 0], [200, 50], confidence=0.9, direction=direction)
    for f, (k, n) in enumerate(((3, 200), (0, 50))):
        most = binomtest(k, n, alternative="less").proportion_ci(1.0 - doubt, method="exact").high
        assert bank._signals.means[f, 0] == pytest.approx(most, rel=1e-9)
    if direction == "both":
        least = binomtest(3, 200, alternative="greater").proportion_ci(1.0 - doubt, method="exact").low
        assert bank._signals.means[0, 1] == pytest.approx(1.0 - least, rel=1e-9)


def test_a_confidence_of_one_is_refused() -> None:
    """Nothing is certain."""
    with pytest.raises(ValueError, match="confidence = 1"):
        EDetectorBank.from_counts(1, 10, confidence=1)
