"""DDM, RDDM, EDDM and ECDD against slow twins, and what they promise beyond the conformance suite."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import _bits
from detectors._recent import RECENT_N
from detectors.base import DRIFT, Floats
from detectors.ddm import DDM, DDMBank
from detectors.ecdd import ECDD, ECDDBank
from detectors.eddm import EDDM, EDDMBank
from detectors.rddm import RDDM, RDDMBank
from tests.detectors.test_errors_golden import changing_bits

__all__: list[str] = []

BANKS: list[Callable[..., Any]] = [DDMBank, RDDMBank, EDDMBank, ECDDBank]
everywhere = pytest.mark.parametrize("make", BANKS)
# Small enough that every part of RDDM acts within 2,000 values.
SMALL: dict[str, Any] = {
    "min_num_instances": 20,
    "max_size_concept": 250,
    "min_size_stable_concept": 150,
    "warn_limit": 60,
}


def drifts(bank: Any, values: Floats) -> list[tuple[int, int]]:
    result = bank.update_many(values[:, None], np.arange(len(values)))
    return [(alarm.row, alarm.direction) for alarm in result.alarms if alarm.status == DRIFT]


def level_of(bits: list[int]) -> tuple[float, float]:
    p = sum(bits) / len(bits)
    return p, math.sqrt(p * (1 - p) / len(bits))


def slow_ddm(values: Floats, least: int = 30) -> list[int]:
    """Alarms of DDM; the minimum is searched anew among the levels of all values since the restart."""
    found, bits, levels = [], [], []
    for i, x in enumerate(values.tolist()):
        bits.append(int(x))
        if len(bits) <= least:
            continue
        p, s = level_of(bits)
        levels.append((p + s, p, s))
        low = min(levels, key=lambda level: level[0])
        if p + s > low[1] + 3 * low[2]:
            found.append(i)
            bits, levels = [], []
    return found


def slow_rddm(values: Floats, least: int, most: int, kept: int, warned: int) -> list[int]:
    """Alarms of RDDM; the values that count, those kept and those since the warning are three lists."""
    found: list[int] = []
    bits: list[int] = []
    store: list[int] = []
    since: list[int] = []
    low = (math.inf, 0.0, 0.0)
    for i, x in enumerate(values.tolist()):
        bits.append(int(x))
        store = [*store, int(x)][-kept:]
        if len(bits) < least:
            continue
        p, s = level_of(bits)
        low = min(low, (p + s, p, s), key=lambda level: level[0])
        drift = p + s > low[1] + 2.258 * low[2]
        warning = p + s > low[1] + 1.773 * low[2]
        if drift and since:
            since.append(int(x))
        elif warning and not drift and len(since) == warned:
            drift, since = True, []
        elif warning and not drift:
            since.append(int(x))
        elif not drift:
            since = []
        if drift:
            found.append(i)
            bits = store = (since or [int(x)])[-kept:]
            parts = [level_of(bits[:k]) for k in range(least + 1, len(bits) + 1)]
            low = min(((p + s, p, s) for p, s in parts), key=lambda level: level[0], default=(math.inf, 0.0, 0.0))
            since = []
        elif len(bits) >= most and not warning:
            bits = list(store)
    return found


def slow_eddm(values: Floats, least: int = 30) -> list[int]:
    """Alarms of EDDM; mean and deviation are taken anew from the list of distances."""
    found, places, n, most = [], [0], 0, 0.0
    for i, x in enumerate(values.tolist()):
        n += 1
        if not x:
            continue
        places.append(n)
        gaps = np.diff(places)
        spread = float(gaps.mean() + 2 * gaps.std())
        most = max(most, spread) if n >= least else most
        if len(gaps) > least and 1 - spread / most > 1 - 0.9:
            found.append(i)
            places, n, most = [0], 0, 0.0
    return found


def slow_ecdd(values: Floats, least: int = 30) -> list[int]:
    """Alarms of ECDD by the formulas of the paper; the rate is taken anew from all values since the restart."""
    found, start, average = [], 0, 0.0
    for i, x in enumerate(values.tolist()):
        n, p = i + 1 - start, float(values[start : i + 1].mean())
        average = 0.8 * average + 0.2 * x
        sigma = math.sqrt(p * (1 - p) * 0.2 / 1.8 * (1 - 0.8 ** (2 * n)))
        factor = 3.97 - 6.56 * p + 48.73 * p**3 - 330.13 * p**5 + 848.18 * p**7
        # Averages of constant parts differ in the last bits, a real excess is far larger.
        if n >= least and average - p > factor * sigma + 1e-12:
            found.append(i)
            start, average = i + 1, 0.0
    return found


TWINS: list[tuple[Any, Any]] = [
    (DDMBank(1), slow_ddm),
    (EDDMBank(1), slow_eddm),
    (ECDDBank(1), slow_ecdd),
    (RDDMBank(1, **SMALL), lambda values: slow_rddm(values, 20, 250, 150, 60)),
    (RDDMBank(1, **(SMALL | {"warn_limit": 400})), lambda values: slow_rddm(values, 20, 250, 150, 400)),
]


@pytest.mark.parametrize("twin", range(len(TWINS)))
def test_alarms_are_those_of_the_slow_twin(twin: int) -> None:
    """The compiled kernel alarms where the definition, taken anew at each value, does; 12 streams."""
    fresh, slow = TWINS[twin][0].state(), TWINS[twin][1]
    found = 0
    for seed in range(12):
        values = changing_bits(seed)
        said = drifts(type(TWINS[twin][0]).from_state(fresh), values)
        assert [row for row, _ in said] == slow(values)
        found += len(said)
    assert found >= 12


@everywhere
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_down_is_up_of_the_mirrored_bits(make: Callable[..., Any], seed: int) -> None:
    """`down` on a stream and `up` on its mirror image alarm at the same places, in opposite directions."""
    values = changing_bits(seed)
    extra = {"limits": "table"} if make is ECDDBank else {}
    up = drifts(make(1, **extra), 1 - values)
    assert drifts(make(1, direction="down"), values) == [(row, -1) for row, _ in up]
    assert all(sign == 1 for _, sign in up)


@everywhere
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_both_finds_whichever_side_comes_first(make: Callable[..., Any], seed: int) -> None:
    """The first alarm of `both` is the earlier first alarm of the two sides."""
    values = changing_bits(seed)
    extra = {"limits": "table"} if make is ECDDBank else {}
    one_sided = [drifts(make(1, direction=side, **extra), values)[:1] for side in ("up", "down")]
    both = drifts(make(1, direction="both"), values)[:1]
    assert both == sorted(itertools.chain(*one_sided))[:1]


@everywhere
@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_statistic_passes_the_threshold_in_alarmed_rows_only(make: Callable[..., Any], direction: str) -> None:
    """A row's statistic lies above its threshold exactly where there is a drift."""
    values = np.concatenate([changing_bits(seed) for seed in range(5)])
    values[::17] = np.nan
    result = make(1, direction=direction).update_many(values[:, None], np.arange(len(values)))
    above = np.flatnonzero(result.statistic[:, 0] > result.threshold[:, 0])
    assert above.tolist() == [alarm.row for alarm in result.alarms if alarm.status == DRIFT]
    assert len(above) >= 3


@everywhere
@pytest.mark.parametrize("direction", ["up", "down", "both"])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_constant_bits_are_quiet(make: Callable[..., Any], direction: str, level: float) -> None:
    """A stream of only correct or only wrong values has no deviation and raises nothing, for 50,000 values."""
    result = make(1, direction=direction).update_many(np.full((50_000, 1), level), np.arange(50_000))
    assert result.alarms == []


@everywhere
def test_what_is_no_bit_is_missing(make: Callable[..., Any]) -> None:
    """Fractions, negative and large numbers and NaN are skipped: alarms are those of the stream without them."""
    values = changing_bits(3)
    places = np.repeat(np.arange(0, 2000, 40), 2)
    spoiled = np.insert(values, places, np.resize([0.5, -1.0, 1e-300, np.nan, 2.0, 1e200], len(places)))
    rows = np.flatnonzero(np.isin(spoiled, (0.0, 1.0)))
    assert drifts(make(1), spoiled) == [(int(rows[row]), sign) for row, sign in drifts(make(1), values)]


@pytest.mark.parametrize("single", [DDM, RDDM, EDDM, ECDD])
def test_single_detector_shows_what_its_bank_does(single: Callable[..., Any]) -> None:
    """river's interface: drift and warning of the newest value, statistic and threshold."""
    values = changing_bits(8)
    detector = single()
    bank = type(detector.bank)(1)
    result = bank.update_many(values[:, None], np.arange(len(values)))
    found, warned = [], 0
    for row, x in enumerate(values.tolist()):
        detector.update(x)
        found += [row] if detector.drift_detected else []
        warned += detector.warning_detected
        assert np.array_equal(detector.statistic, result.statistic[row, 0], equal_nan=True)
        assert np.array_equal(detector.threshold, result.threshold[row, 0], equal_nan=True)
    assert found == [alarm.row for alarm in result.alarms if alarm.status == DRIFT] != []
    assert warned > 0


def every_fifth_then_third() -> Floats:
    """Every fifth bit an error, from value 100,000 on every third."""
    i = np.arange(105_000)
    return np.asarray(np.where(i < 100_000, i % 5 == 0, i % 3 == 0), dtype=np.float64)


def test_rddm_finds_a_late_change_sooner_than_ddm() -> None:
    """100,000 values after the start RDDM finds a change at least 1,000 values before DDM does."""
    first = [
        next(row for row, _ in drifts(bank, every_fifth_then_third()) if row >= 100_000)
        for bank in (RDDMBank(1), DDMBank(1, warm_start=129))
    ]
    assert first[0] < first[1] - 1000


def test_rddm_shrinking_alarms_by_itself_on_the_steadiest_stream() -> None:
    """As documented: from 40,000 values to 7,000 s grows by more than the drift level, and the next value alarms."""
    assert math.sqrt(40_000 / 7_000) > 2.258
    assert drifts(RDDMBank(1), every_fifth_then_third()[:50_000]) == [(40_000, 1)]


def test_rddm_says_that_a_long_warning_is_a_drift() -> None:
    """Where a warning has lasted `warn_limit` values the row's threshold is the warning's, which is passed."""
    values = np.concatenate([changing_bits(seed) for seed in range(10)])
    bank = RDDMBank(1, **SMALL, drift_level=1e6)
    result = bank.update_many(values[:, None], np.arange(len(values)))
    alarms = [alarm for alarm in result.alarms if alarm.status == DRIFT and alarm.row > 1000]
    assert alarms
    assert all(alarm.statistic > alarm.threshold for alarm in alarms)


def test_rddm_memory_is_what_it_says() -> None:
    """11.3 KB a signal with the defaults, as documented."""
    assert RDDMBank(10).nbytes / 10 == pytest.approx(11_300, rel=0.02)


def test_effect_of_constant_parts_counts_in_all_values() -> None:
    """Zeros then ones have no deviation within; written interpreted and compiled, the effect is that of all values."""
    ring, ring_at = np.zeros(RECENT_N), np.arange(RECENT_N)
    ring[90:100] = 1.0
    expected = 1 / math.sqrt(0.1 * 0.9)
    kernel: Any = _bits.write
    for write in (kernel, kernel.py_func):
        whole, real = np.zeros(8, dtype=np.int64), np.zeros(3)
        write(5, 0, DRIFT, 1, 0.4, 0.3, ring, ring_at, 100, 0, 0.1, whole, real)
        assert whole.tolist()[:5] == [5, 0, DRIFT, 1, 90]
        assert real.tolist() == [0.4, 0.3, pytest.approx(expected)]


@pytest.mark.parametrize(
    ("make", "parameters", "message"),
    [
        (DDMBank, {"warm_start": 0}, "warm_start = 0"),
        (DDMBank, {"warning_threshold": 4.0}, "warning_threshold = 4.0"),
        (DDMBank, {"drift_threshold": math.nan}, "drift_threshold = nan"),
        (DDMBank, {"direction": "left"}, "direction = 'left'"),
        (RDDMBank, {"max_size_concept": 7000}, "max_size_concept = 7000"),
        (RDDMBank, {"min_size_stable_concept": 0}, "min_size_stable_concept = 0"),
        (RDDMBank, {"warn_limit": 0}, "warn_limit = 0"),
        (EDDMBank, {"alpha": 0.8}, "alpha = 0.8"),
        (EDDMBank, {"beta": 1.0}, "beta = 1.0"),
        (EDDMBank, {"definition": "weka"}, "definition = 'weka'"),
        (ECDDBank, {"lambda_": 0.0}, r"lambda_ = 0\.0"),
        (ECDDBank, {"lambda_": 0.1, "direction": "both"}, r"lambda_ = 0\.1"),
        (ECDDBank, {"average_run_length": 500}, "average_run_length = 500"),
        (ECDDBank, {"limits": "ross", "direction": "both"}, "limits = 'ross'"),
        (ECDDBank, {"limits": "mine"}, "limits = 'mine'"),
    ],
)
def test_parameter_out_of_range_is_named(make: Callable[..., Any], parameters: dict[str, Any], message: str) -> None:
    """A wrong parameter is refused with its name, its value and what is allowed."""
    with pytest.raises(ValueError, match=f"{message}; give"):
        make(1, **parameters)
