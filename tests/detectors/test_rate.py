"""The rate detector: its exact run length against a dense solution and simulation, its limits of rates, its domain."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors._rate_law import climb_limit, jump_limit, lattice, rate_limit
from detectors.base import DRIFT, Floats
from detectors.rate import Rate, RateBank

__all__: list[str] = []


def dense_run_length(up_p: float, up: int, down: int, limit: int) -> float:
    """Mean number of values in which a sum, 0 or above, passes `limit`: the linear equations of its Markov chain."""
    step = np.eye(limit + 1)
    for i in range(limit + 1):
        if i + up <= limit:
            step[i, i + up] -= up_p
        step[i, max(i - down, 0)] -= 1.0 - up_p
    return float(np.linalg.solve(step, np.ones(limit + 1))[0])


@pytest.mark.parametrize("arl", [20.0, 500.0, 20_000.0])
@pytest.mark.parametrize(("p", "m"), [(0.003, 100), (0.01, 61), (0.1, 5), (0.2, 3), (0.45, 2)])
@pytest.mark.parametrize("compiled", [True, False])
def test_jump_limit_is_the_least_that_keeps_the_run_length(p: float, m: int, arl: float, compiled: bool) -> None:
    """The mean is that of the dense equations, and a limit lower by one would not do."""
    limit, mean = (jump_limit if compiled else jump_limit.py_func)(p, m, arl)  # type: ignore[no-untyped-call]
    assert mean == pytest.approx(dense_run_length(p, m - 1, 1, limit), rel=1e-9)
    assert mean >= arl
    assert limit == 1 or dense_run_length(p, m - 1, 1, limit - 1) < arl


@pytest.mark.parametrize("arl", [20.0, 500.0, 20_000.0])
@pytest.mark.parametrize(("p", "m"), [(0.02, 100), (0.05, 61), (0.3, 5), (0.4, 3), (0.55, 2)])
@pytest.mark.parametrize("compiled", [True, False])
def test_climb_limit_is_the_least_that_keeps_the_run_length(p: float, m: int, arl: float, compiled: bool) -> None:
    """As for jumps, of a sum that climbs one by one and falls by m - 1."""
    limit, mean = (climb_limit if compiled else climb_limit.py_func)(p, m, arl)  # type: ignore[no-untyped-call]
    assert mean == pytest.approx(dense_run_length(1.0 - p, 1, m - 1, limit), rel=1e-9)
    assert mean >= arl
    assert limit == 1 or dense_run_length(1.0 - p, 1, m - 1, limit - 1) < arl


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    p0=st.floats(1e-6, 1 - 1e-6), odds=st.floats(0.05, 3.0), rising=st.booleans()
)  # fmt: skip
def test_rounded_weight_stays_clear_of_the_rate_in_control(p0: float, odds: float, rising: bool) -> None:
    """The weight lies on the side of the rate to be found, at least half as far as the exact one."""
    ratio = math.exp(odds if rising else -odds)
    gamma = math.log1p(p0 * (ratio - 1.0)) / math.log(ratio)
    m, rare = lattice(gamma, p0)
    weight = 1.0 / m if rare else 1.0 - 1.0 / m
    assert m >= 2
    assert (weight - p0) / (gamma - p0) >= 0.5


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 1000), (1, 1000), (37, 1000), (999, 1000), (5, 5), (40_000, 100_000)])
def test_limits_of_a_rate_are_scipys(k: int, n: int, confidence: float) -> None:
    """Clopper and Pearson's limits are quantiles of beta laws."""
    from scipy.stats import beta

    upper = 1.0 if k == n else beta.ppf(confidence, k + 1, n - k)
    lower = 0.0 if k == 0 else beta.ppf(1 - confidence, k, n - k + 1)
    assert rate_limit(k, n, confidence, upper=True) == pytest.approx(upper, rel=1e-9)
    assert rate_limit(k, n, confidence, upper=False) == pytest.approx(lower, rel=1e-9)


def test_limit_without_events_is_the_rule_of_three() -> None:
    """0 of n at 95 %: 1 - .05^(1/n), about 3 / n."""
    assert rate_limit(0, 1000, 0.95, upper=True) == pytest.approx(1 - 0.05 ** (1 / 1000), rel=1e-12)


def lengths(bank: RateBank, rate: float, rows: int, seed: int = 7) -> Floats:
    """Values between alarms on independent bits."""
    generator = np.random.default_rng(seed)
    bits = (generator.random((rows, bank.n_signals)) < rate).astype(np.float64)
    alarms: list[list[int]] = [[-1] for _ in range(bank.n_signals)]
    for alarm in bank.update_many(bits, np.arange(rows)).alarms:
        alarms[alarm.signal].append(alarm.row)
    return np.concatenate([np.diff(rows) for rows in alarms]).astype(np.float64)


@pytest.mark.parametrize(
    ("p0", "p1", "direction", "m", "jumps"),
    [
        (0.01, 0.025, "up", 61, True),  # log(.99 / .975) / log(.025 .99 / (.01 .975)) = 1 / 61.02
        (0.001, 0.005, "up", 402, True),
        (0.1, 0.3, "down", 18, False),  # odds ratio 27/7: log(1 - .1 (1 - 7/27)) / log(7/27) = 1 / 17.53
        (0.9, 0.97, "up", 17, False),  # its mirror, .1 to .03: log(.97 / .9) / log(.1 .97 / (.03 .9)) = 1 / 17.08
    ],
)
def test_simulated_run_length_is_the_stated_one(p0: float, p1: float, direction: Any, m: int, jumps: bool) -> None:
    """In control, the mean number of values to an alarm lies within four standard errors of the exact one, which is
    at least `arl0` and for rare events less than twice that."""
    arl0 = 3000.0
    bank = RateBank(20, p0=p0, p1=p1, arl0=arl0, direction=direction)
    found = lengths(bank, p0, 100_000)
    limit = float(bank.limits[0 if direction == "up" else 1][0])
    rare = p0 if direction == "down" or p0 < 0.5 else 1.0 - p0
    exact = dense_run_length(rare if jumps else 1.0 - rare, *((m - 1, 1) if jumps else (1, m - 1)), int(limit))
    assert arl0 <= exact < 2.0 * arl0
    assert abs(found.mean() - exact) <= 4.0 * found.std() / math.sqrt(len(found)) + 0.02 * exact


@pytest.mark.parametrize("rate", [0.02, 0.5])
def test_both_sides_together_keep_the_run_length(rate: float) -> None:
    """Two-sided, independent bits alarm no more often than once in `arl0` values, and at least half as often."""
    found = lengths(RateBank(20, p0=rate, arl0=2000.0), rate, 60_000)
    assert 0.95 * 2000.0 <= found.mean() <= 2.0 * 2000.0


def test_sums_are_those_of_the_definition() -> None:
    """Each value moves the sums by m (x - 1/m) and its negative; the statistic is the larger in limits."""
    bits = (np.random.default_rng(1).random(3000) < 0.06).astype(np.float64)
    bank = RateBank(1, p0=0.05, p1=0.15, arl0=300.0)
    rise, fall = (float(limit[0]) for limit in bank.limits)
    result = bank.update_many(bits[:, None], np.arange(3000))
    ratio = 0.15 * 0.95 / (0.05 * 0.85)
    weights = [math.log(1 + 0.05 * (r - 1)) / math.log(r) for r in (ratio, 1 / ratio)]
    m_up, m_down = (round(1 / weight) for weight in weights)
    up = down = 0.0
    expected = []
    for x in bits:
        up, down = max(0.0, up + m_up * x - 1), max(0.0, down + 1 - m_down * x)
        expected.append(max(up / rise, down / fall))
        up, down = (0.0, 0.0) if expected[-1] > 1 else (up, down)
    np.testing.assert_allclose(result.statistic[:, 0], expected, rtol=1e-12)
    assert [alarm.row for alarm in result.alarms] == [row for row, shown in enumerate(expected) if shown > 1]
    assert {alarm.direction for alarm in result.alarms} <= {1, -1}


def test_reference_without_events_still_finds_them() -> None:
    """After 0 of 2,000, one in twenty is found within 100 values; one in 2,000 is not an alarm; a fall cannot be."""
    bank = RateBank.from_counts(0, 2000)
    assert np.isinf(bank.limits[1]).all()
    rare = (np.arange(20_000) % 2000 == 0).astype(np.float64)
    assert bank.update_many(rare[:, None], np.arange(20_000)).alarms == []
    more = (np.arange(1000) % 20 == 0).astype(np.float64)
    (first, *_) = RateBank.from_counts(0, 2000).update_many(more[:, None], np.arange(1000)).alarms
    assert (first.direction, first.status) == (1, DRIFT)
    assert first.row <= 100


def test_counts_are_taken_signal_by_signal() -> None:
    """Limits are those of each signal's own counts; what always happened can only become rarer."""
    bank = RateBank.from_counts([0, 50, 1000], 1000)
    for f, k in enumerate([0, 50, 1000]):
        alone = RateBank.from_counts(k, 1000)
        assert [float(side[f]) for side in bank.limits] == [float(side[0]) for side in alone.limits]
    rise, fall = bank.limits
    assert np.isinf(rise).tolist() == [False, False, True]
    assert np.isinf(fall).tolist() == [True, False, False]
    gone = RateBank.from_counts(1000, 1000).update_many(np.zeros((50, 1)), np.arange(50)).alarms
    assert gone[0].direction == -1


def test_short_reference_brings_no_false_alarms_about() -> None:
    """Of 100 references of 500 values at rate .01, at most 15 alarm more than twice as often as stated: a limit of
    95 % is wrong for about 5 of them, and then by little."""
    generator = np.random.default_rng(9)
    bank = RateBank.from_counts(generator.binomial(500, 0.01, 100), 500, arl0=2000.0, direction="up")
    bits = (generator.random((20_000, 100)) < 0.01).astype(np.float64)
    alarms = np.bincount([alarm.signal for alarm in bank.update_many(bits, np.arange(20_000)).alarms], minlength=100)
    assert (alarms > 20).sum() <= 15
    assert alarms.mean() < 10


def test_fractions_of_the_same_mean_alarm_less_often() -> None:
    """A value of .1 where a bit would be 1 with probability .1 moves the sums by less."""
    fractions = np.random.default_rng(2).beta(1.0, 9.0, (20_000, 5))
    alarms = RateBank(5, p0=0.1, arl0=1000.0).update_many(fractions, np.arange(20_000)).alarms
    assert len(alarms) < 100 / 2


@pytest.mark.parametrize("bad", [math.nan, -0.1, 1.1, 7.0, 1e300])
def test_what_is_no_rate_is_missing(bad: float) -> None:
    """A value outside [0, 1] changes nothing but its own row."""
    bits = (np.random.default_rng(3).random(400) < 0.5).astype(np.float64)
    with_bad = np.insert(bits, 100, bad)
    one, two = (RateBank(1, p0=0.2, arl0=100.0) for _ in range(2))
    clean = one.update_many(bits[:, None], np.arange(400)).statistic[:, 0]
    dirty = two.update_many(with_bad[:, None], np.arange(401)).statistic[:, 0]
    assert np.delete(dirty, 100).tobytes() == clean.tobytes()
    assert dirty[100] == dirty[99]


def test_single_detector_speaks_rivers_language() -> None:
    """`update`, `drift_detected`, `warning_detected`, `statistic`, `threshold`."""
    detector = Rate(p0=0.01, p1=0.1, direction="up", warning_ratio=0.4)
    assert not detector.update(0.0).drift_detected
    states = [(detector.update(1.0).warning_detected, detector.drift_detected) for _ in range(6)]
    assert (True, False) in states
    assert (False, True) in states
    assert detector.threshold == 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RateBank(1, p0=0.0), "p0 of signal 0 = 0.0"),
        (lambda: RateBank(2, p0=[0.1, 0.3], p1=0.2), r"p1 of signal 1 = 0.2; give a rate above p0 = 0.3"),
        (lambda: RateBank(1, p0=0.1, arl0=1.0), "arl0 = 1.0"),
        (lambda: RateBank(1, p0=0.1, min_instances=0), "min_instances = 0"),
        (lambda: RateBank(3, p0=[0.1, 0.2]), r"p0 has shape \(2,\)"),
        (lambda: RateBank.from_counts(5, 4), "k = 5.0"),
        (lambda: RateBank.from_counts(0, 0), "n = 0.0"),
        (lambda: RateBank.from_counts(0, 9, confidence=1.0), "confidence = 1.0"),
    ],
)
def test_parameter_out_of_range_is_refused_by_name(make: Callable[[], Any], message: str) -> None:
    """The error names the parameter and its value."""
    with pytest.raises(ValueError, match=message):
        make()
