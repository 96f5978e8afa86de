"""The charts against MOA's alarms, published run lengths and Wald's bounds; where each comes from stands beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from detectors.base import DRIFT, Floats
from detectors.cusum import CUSUM, CusumBank
from detectors.ewma_chart import EwmaChartBank
from detectors.shewhart import ShewhartBank
from detectors.sprt import SprtBank, log_odds_ratio
from tests.detectors.streams import STREAMS

__all__: list[str] = []

KNOWN: dict[str, Any] = {"target": 0.0, "spread": 1.0}


def positions(bank: Any, values: Floats) -> list[int]:
    result = bank.update_many(values[:, None], np.arange(len(values)))
    return [alarm.row for alarm in result.alarms if alarm.status == DRIFT]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("s1", [1020, 1991]), ("s2", [1081]), ("s3", [588, 1692]), ("s4", [1051]), ("s5", [1009, 1505])],
)
def test_cusum_alarms_where_moa_does(name: str, expected: list[int]) -> None:
    """MOA's CusumDM (CapyMOA 0.15.1), defaults."""
    assert positions(CusumBank(1), STREAMS[name]) == expected


def test_cusum_alarms_where_capymoa_documents_it() -> None:
    """The doctest of CapyMOA's CUSUM(.005, 60) on s5."""
    detector = CUSUM(threshold=60.0)
    assert [i for i, x in enumerate(STREAMS["s5"]) if detector.update(x).drift_detected] == [1011, 1556]


def run_length(bank: Any, shift: float, *, values_n: int = 2_000_000) -> tuple[float, float]:
    """Mean number of values to an alarm of a chart that knows target and spread, and its standard error."""
    generator = np.random.default_rng(11)
    columns = bank.n_signals
    alarms: list[list[int]] = [[] for _ in range(columns)]
    values = generator.normal(loc=shift, size=(values_n // columns, columns))
    for alarm in bank.update_many(values, np.arange(len(values))).alarms:
        alarms[alarm.signal].append(alarm.row)
    # A chart begins anew after each alarm; the run that is cut off at the end would favour the short ones.
    lengths = np.concatenate([np.diff([-1, *rows]) for rows in alarms])
    return float(lengths.mean()), float(lengths.std() / math.sqrt(len(lengths)))


@pytest.mark.parametrize(
    ("make", "shift", "expected", "digits"),
    [
        # Lucas and Crosier (1982), table 1, two-sided, as quoted in the examples of R's spc::xcusum.arl.
        (lambda n: CusumBank(n, delta=0.5, threshold=4.0, direction="both", **KNOWN), 0.0, 168.0, 0.5),
        (lambda n: CusumBank(n, delta=0.5, threshold=4.0, direction="both", **KNOWN), 0.5, 26.6, 0.05),
        (lambda n: CusumBank(n, delta=0.5, threshold=4.0, direction="both", **KNOWN), 1.0, 8.38, 0.005),
        (lambda n: CusumBank(n, delta=0.5, threshold=4.0, direction="both", **KNOWN), -2.0, 3.34, 0.005),
        # Montgomery, table 9.3.
        (lambda n: CusumBank(n, delta=0.5, threshold=5.0, direction="both", **KNOWN), 0.0, 465.0, 0.5),
        (lambda n: CusumBank(n, delta=0.5, threshold=5.0, direction="both", **KNOWN), 1.0, 10.4, 0.05),
        # Vance (1986), table 1, one-sided, ibid.
        (lambda n: CusumBank(n, delta=0.0, threshold=10.0, **KNOWN), 0.0, 124.66, 0.005),
        # Lucas and Saccucci (1990), table 3, limits for large t, as quoted in the examples of R's spc::xewma.arl.
        (lambda n: EwmaChartBank(n, weight=0.5, limit=3.071, exact=False, **KNOWN), 0.0, 500.0, 0.5),
        (lambda n: EwmaChartBank(n, weight=0.5, limit=3.071, exact=False, **KNOWN), 1.0, 17.5, 0.05),
        (lambda n: EwmaChartBank(n, weight=0.03, limit=2.437, exact=False, **KNOWN), 1.0, 12.6, 0.05),
        # Montgomery, table 9.11.
        (lambda n: EwmaChartBank(n, weight=0.2, limit=2.962, exact=False, **KNOWN), 1.0, 10.5, 0.05),
        (lambda n: EwmaChartBank(n, weight=0.1, limit=2.814, exact=False, **KNOWN), 1.0, 10.3, 0.05),
        # Crowder (1987), table 1, ibid.
        (lambda n: EwmaChartBank(n, weight=0.05, limit=2.0, exact=False, **KNOWN), 0.0, 127.53, 0.005),
        # SAS/QC manual (1999), ibid.
        (lambda n: EwmaChartBank(n, weight=0.25, limit=3.0, exact=False, **KNOWN), 1.0, 11.154267016, 0.0),
        # Steiner (1999), table 2, exact limits, ibid., within 4 %: our own simulation agrees with ours, not his.
        (lambda n: EwmaChartBank(n, weight=0.05, limit=3.0, **KNOWN), 0.5, 32.5, 1.3),
        (lambda n: EwmaChartBank(n, weight=0.05, limit=3.0, **KNOWN), 1.0, 9.0, 0.36),
        (lambda n: EwmaChartBank(n, weight=0.05, limit=3.0, **KNOWN), -2.0, 2.8, 0.112),
        # 1 / P(|Z| > 3), and with a mean of 1: 1 / (P(Z > 2) + P(Z > 4)).
        (lambda n: ShewhartBank(n, **KNOWN), 0.0, 370.398, 0.0),
        (lambda n: ShewhartBank(n, **KNOWN), 1.0, 43.895, 0.0),
        # Champ and Woodall (1987), table 1: three sigma, or eight in a row on one side.
        (lambda n: ShewhartBank(n, run_n=8, **KNOWN), 0.0, 152.73, 0.005),
    ],
)
def test_mean_run_length_is_the_published_one(
    make: Callable[[int], Any], shift: float, expected: float, digits: float
) -> None:
    """The simulated mean lies within four standard errors, and the table's rounding, of the published one."""
    bank = make(20)
    mean, error = run_length(bank, shift, values_n=2_000_000 if expected > 50 else 200_000)
    assert abs(mean - expected) <= 4.0 * error + digits


def outcomes_of(bank: SprtBank, values: Floats) -> tuple[float, float, float, float]:
    """Part of the tests that accept a change and its standard error, mean length of a test and its standard error."""
    result = bank.update_many(values, np.arange(len(values)))
    reject = math.log(0.9 / 0.05)
    accept = math.log(0.1 / 0.95)
    lengths, changes = [], []
    for column in result.statistic.T:
        ends = np.flatnonzero((column > reject) | (column <= accept))
        lengths.append(np.diff(ends, prepend=-1))
        changes.append(column[ends] > reject)
    n, accepted = np.concatenate(lengths), np.concatenate(changes)
    part, count = float(accepted.mean()), len(accepted)
    return part, math.sqrt(part * (1 - part) / count), float(n.mean()), float(n.std() / math.sqrt(count))


def bernoulli_gain(p: float, p0: float, p1: float) -> float:
    return p * math.log(p1 / p0) + (1 - p) * math.log((1 - p1) / (1 - p0))


@pytest.mark.parametrize("law", ["normal", "bernoulli"])
def test_wald_test_keeps_its_errors_and_sample_numbers(law: str) -> None:
    """Wald's bounds on both errors hold; the mean lengths lie between his exact lower bound and his neglect of the
    last value's excess plus the mean of a gain that is positive (or negative)."""
    generator = np.random.default_rng(5)
    shape, alpha, beta = (40_000, 20), 0.05, 0.1
    if law == "normal":
        bank = [SprtBank(20, shift=0.5, alpha=alpha, beta=beta, direction="up", **KNOWN) for _ in range(2)]
        streams = [generator.normal(mean, size=shape) for mean in (0.0, 0.5)]
        gains = (-0.125, 0.125)
        tail = math.exp(-0.03125) / math.sqrt(2 * math.pi) / (0.5 * math.erfc(-0.25 / math.sqrt(2)))
        excess = 0.125 + 0.5 * tail  # E[gain | gain > 0] of a normal gain of mean .125 and spread .5
    else:
        odds = log_odds_ratio(0.1, 0.2)
        made = {"law": "bernoulli", "target": 0.1, "shift": odds, "alpha": alpha, "beta": beta, "direction": "up"}
        bank = [SprtBank(20, **made) for _ in range(2)]  # type: ignore[arg-type]
        streams = [(generator.random(shape) < p).astype(np.float64) for p in (0.1, 0.2)]
        gains = (bernoulli_gain(0.1, 0.1, 0.2), bernoulli_gain(0.2, 0.1, 0.2))
        excess = math.log(2.0)
    a, a_error, n0, n0_error = outcomes_of(bank[0], streams[0])
    power, b_error, n1, n1_error = outcomes_of(bank[1], streams[1])
    b = 1.0 - power
    assert a <= alpha / (1 - beta) + 4 * a_error
    assert b <= beta / (1 - alpha) + 4 * b_error
    assert a + b <= alpha + beta + 4 * (a_error + b_error)
    least0 = ((1 - a) * math.log((1 - a) / b) - a * math.log((1 - b) / a)) / -gains[0]
    least1 = ((1 - b) * math.log((1 - b) / a) - b * math.log((1 - a) / b)) / gains[1]
    # The bounds hold for the true errors; ours are estimates that move them by some per cent.
    assert 0.97 * least0 - 4 * n0_error <= n0 <= (math.log(0.95 / 0.1) + excess) / -gains[0] + 4 * n0_error
    assert 0.97 * least1 - 4 * n1_error <= n1 <= (math.log(0.9 / 0.05) + excess) / gains[1] + 4 * n1_error
