"""KSWIN: its distance against scipy's, its alarms against river's and a slow twin."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from detectors.base import DRIFT, BlockResult, Floats
from detectors.kswin import KSWIN, KswinBank
from tests.detectors.oracles import slow_ks
from tests.detectors.streams import STREAMS

__all__: list[str] = []

RIVER: Any = importlib.import_module("river.drift")  # its classes carry no types
few = settings(max_examples=25, deadline=None, derandomize=True)
SIDES = {"both": "two-sided", "up": "greater", "down": "less"}


def folded(bank: KswinBank, values: Any) -> BlockResult:
    column = np.asarray(values, dtype=np.float64)[:, None]
    return bank.update_many(column, np.arange(len(column)))


def drifts(result: BlockResult) -> list[int]:
    return [alarm.row for alarm in result.alarms if alarm.status == DRIFT]


def river_drifts(detector: Any, values: Floats) -> list[int]:
    found = []
    for row, x in enumerate(values.tolist()):
        detector.update(x)
        if detector.drift_detected:
            found.append(row)
    return found


@pytest.mark.parametrize("seed", [42, 7])
def test_alarms_on_s1_where_river_does(seed: int) -> None:
    """River's [1042] (0.23.0, 0.26.1; seed 42) is no matter of chance: 100 of 100 older values are drawn, which is all.

    It holds for another seed, and for ours, which draws none.
    """
    theirs = river_drifts(RIVER.KSWIN(alpha=1e-4, window_size=200, stat_size=100, seed=seed), STREAMS["s1"])
    ours = drifts(folded(KswinBank(1, alpha=1e-4, window_size=200, stat_size=100), STREAMS["s1"]))
    assert ours == theirs == [1042]


def test_alarms_are_rivers_where_it_draws_all() -> None:
    """Halves of equal size on 12 streams: river's alarms, but for those that its exact law allows a value earlier."""
    same = 0
    for seed in range(12):
        generator = np.random.default_rng(seed)
        values = generator.normal(size=260) + np.where(np.arange(260) >= 130, generator.normal(scale=2.0), 0.0)
        theirs = river_drifts(RIVER.KSWIN(alpha=0.001, window_size=60, stat_size=30, seed=1), values)
        ours = drifts(folded(KswinBank(1, alpha=0.001, window_size=60, stat_size=30), values))
        assert len(ours) == len(theirs)
        assert all(0 <= one - other <= 8 for one, other in zip(ours, theirs, strict=True))
        same += ours == theirs
    assert same >= 4


def test_finds_what_the_drawing_misses() -> None:
    """Of 24 shifts by 1.2 spreads ours finds as many as river's draws of 30 do or more, with no more alarms before."""
    values = np.random.default_rng(3).normal(size=(260, 24))
    values[150:] += 1.2
    alarms = KswinBank(24, alpha=0.001).update_many(values, np.arange(260)).alarms
    first = {alarm.signal: alarm.row for alarm in reversed(alarms)}
    theirs = [river_drifts(RIVER.KSWIN(alpha=0.001, seed=1), column) for column in values.T]
    assert sum(row < 150 for row in first.values()) <= sum(bool(rows) and rows[0] < 150 for rows in theirs)
    assert sum(row >= 150 for row in first.values()) >= sum(any(row >= 150 for row in rows) for rows in theirs)


@few
@given(
    st.integers(0, 2**32), st.sampled_from([(100, 30), (20, 10), (9, 8), (9, 1), (3, 1)]), st.sampled_from([0, 1, 8])
)
def test_distance_is_scipys_at_every_row(seed: int, sizes: tuple[int, int], digits: int) -> None:
    """D of all older values against the newest equals scipy's and the naive count, ties or none, in each direction."""
    window, newest = sizes
    generator = np.random.default_rng(seed)
    values = np.round(generator.normal(size=window + 90), digits)
    values[generator.integers(0, window + 90)] = 1e16
    for direction, alternative in SIDES.items():
        bank = KswinBank(1, alpha=1e-300, window_size=window, stat_size=newest, direction=direction)  # type: ignore[arg-type]
        result = folded(bank, values)
        assert np.isnan(result.statistic[: window - 1]).all()
        for row in (*range(window - 1, window + 3), window + 44, window + 89):
            older, newer = np.split(values[row + 1 - window : row + 1], [window - newest])
            expected = stats.ks_2samp(older, newer, alternative=alternative, method="asymp").statistic
            assert result.statistic[row, 0] == pytest.approx(expected, abs=1e-15)
            if direction == "both":
                assert result.statistic[row, 0] == slow_ks(older.tolist(), newer.tolist())


def slow_kswin(values: Sequence[float], window: int, newest: int, alpha: float) -> list[int]:
    """Alarms from lists; the window is empty after each."""
    found, start, older = [], 0, window - newest
    bound = math.sqrt(-math.log(alpha / 2) / 2 * (older + newest) / (older * newest))
    for row in range(len(values)):
        if row + 1 - start < window:
            continue
        part = values[row + 1 - window : row + 1]
        if slow_ks(part[:older], part[older:]) > bound:
            found.append(row)
            start = row + 1
    return found


@few
@given(st.integers(0, 2**32), st.sampled_from([(20, 10), (30, 7), (11, 9)]))
def test_alarms_are_those_of_the_slow_twin(seed: int, sizes: tuple[int, int]) -> None:
    """Restarts included, on levels with ties."""
    generator = np.random.default_rng(seed)
    levels = np.repeat(generator.integers(0, 4, 5), 40)
    values = (levels + generator.integers(0, 3, 200)).astype(np.float64)
    bank = KswinBank(1, alpha=0.05, window_size=sizes[0], stat_size=sizes[1])
    assert drifts(folded(bank, values)) == slow_kswin(values.tolist(), *sizes, 0.05)


@few
@given(st.integers(0, 2**32))
def test_down_is_the_mirror_of_up(seed: int) -> None:
    """`down` shows on a stream what `up` shows on its negative; `both` the larger of the two."""
    values = np.round(np.random.default_rng(seed).normal(size=300), 1)
    down, up, both = (
        folded(KswinBank(1, alpha=1e-300, direction=direction), sign * values).statistic  # type: ignore[arg-type]
        for direction, sign in (("down", 1), ("up", -1), ("both", 1))
    )
    assert np.array_equal(down, up, equal_nan=True)
    other = folded(KswinBank(1, alpha=1e-300, direction="up"), values).statistic
    assert np.array_equal(both, np.maximum(down, other), equal_nan=True)


@few
@given(st.integers(0, 2**32))
def test_only_the_order_of_the_values_counts(seed: int) -> None:
    """Any increasing map of the values leaves alarms and statistics as they are."""
    values = np.round(np.random.default_rng(seed).normal(size=300), 2)
    values[150:] += 2.0
    plain, mapped = folded(KswinBank(1), values), folded(KswinBank(1), np.exp(values) * 1e6 - 3)
    assert plain.alarms == mapped.alarms
    assert plain.alarms
    assert np.array_equal(plain.statistic, mapped.statistic, equal_nan=True)


@pytest.mark.parametrize(("window", "newest"), [(100, 30), (200, 100), (60, 30), (200, 50)])
@pytest.mark.parametrize("alpha", [0.01, 0.005, 1e-4, 1e-6])
@pytest.mark.parametrize("direction", sorted(SIDES))
def test_the_level_of_a_test_is_at_most_alpha(window: int, newest: int, alpha: float, direction: Any) -> None:
    """At the least D that passes, the exact chance of as large a one is at most alpha, and a tenth of it or more."""
    bank = KswinBank(1, alpha=alpha, window_size=window, stat_size=newest, direction=direction)
    threshold = float(folded(bank, np.zeros(window)).threshold[-1, 0])
    older, steps = window - newest, math.lcm(window - newest, newest)
    least = (math.floor(threshold * steps) + 1) / steps
    assert alpha / 10 <= exact_p(older, newest, least, one_sided=direction != "both") <= alpha


def exact_p(n: int, m: int, least: float, *, one_sided: bool) -> float:
    """Chance of D >= least: 1 less the share of lattice paths from (0, 0) to (n, m) that stay within it."""
    counts = [1.0] + [0.0] * m
    limit = least * n * m - 1e-6
    for i in range(n + 1):
        for j in range(m + 1):
            gap = i * m - j * n
            inside = gap < limit and (one_sided or -gap < limit)
            before = counts[j] if i else (1.0 if j == 0 else 0.0)
            # The chance that a path at random is here and has stayed inside.
            left = counts[j - 1] * (m - j + 1) / (n + m - i - j + 1) if j else 0.0
            up = before * (n - i + 1) / (n + m - i - j + 1) if i else before
            counts[j] = (up + left) if inside else 0.0
    return 1.0 - counts[m]


def test_the_lattice_count_is_scipys_exact_law() -> None:
    """The chance of the test above is scipy's for a pair of samples at that distance."""
    older, newest = np.arange(20.0), np.arange(12.0) + 11.5
    for alternative in ("two-sided", "greater"):
        expected = stats.ks_2samp(older, newest, alternative=alternative, method="exact")
        found = exact_p(20, 12, float(expected.statistic), one_sided=alternative == "greater")
        assert found == pytest.approx(expected.pvalue, rel=1e-9)


def test_an_alarm_lies_at_the_change() -> None:
    """Onset by ranks: one absurd value among the older ones moves it nowhere."""
    values = np.random.default_rng(2).normal(size=400)
    values[200:] -= 2.0
    values[190] = 1e99
    alarm = folded(KswinBank(1, alpha=1e-5), values).alarms[0]
    assert (alarm.direction, alarm.status, alarm.n) == (-1, DRIFT, 30)
    assert 200 < alarm.row < 230
    assert alarm.onset_low <= 200 <= alarm.onset_high
    assert abs(alarm.onset - 200) <= 3
    assert alarm.effect == alarm.statistic > alarm.threshold


def test_single_detector_has_rivers_interface() -> None:
    """`drift_detected` is up for one value, there is no warning, and a missing value changes nothing."""
    detector = KSWIN(window_size=20, stat_size=10)
    found = [row for row in range(60) if detector.update(math.nan if row == 5 else float(row >= 31)).drift_detected]
    assert len(found) == 1
    assert not detector.warning_detected
    assert detector.threshold == pytest.approx(math.sqrt(math.log(400) / 10))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": 0.0}, "alpha = 0.0"),
        ({"window_size": 1}, "window_size = 1"),
        ({"window_size": 10_001}, "window_size = 10001"),
        ({"stat_size": 100}, "stat_size = 100"),
        ({"stat_size": 0}, "stat_size = 0"),
        ({"direction": "left"}, "direction = 'left'"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, Any], message: str) -> None:
    """The sentence names the parameter and its value."""
    with pytest.raises(ValueError, match=message):
        KswinBank(1, **parameters)
