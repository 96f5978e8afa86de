"""HDDM_A and HDDM_W against published positions, slow twins that keep every value, and river itself."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.dispatcher import Dispatcher
from river.drift.binary import hddm_w as river_hddm_w

from detectors.base import DRIFT, WARNING, Alarm, Floats
from detectors.hddm_a import HDDM_A, HddmABank
from detectors.hddm_w import HDDM_W, HddmWBank
from detectors.stepd import STEPD, StepdBank
from tests.detectors.cases import eventful, same_state
from tests.detectors.cases_hoeffding import CASES, drifts, folded, turns
from tests.detectors.streams import STREAMS

__all__: list[str] = []

RIVER: Any = importlib.import_module("river.drift.binary")  # its classes carry no types
few = settings(max_examples=30, deadline=None, derandomize=True)
# A side's difference of means and its bound; None where no value is newer than its cut point.
Pair = tuple[float, float] | None


@pytest.mark.parametrize(
    ("bank", "name", "expected"),
    [
        # river 0.23.0 and 0.26.1, one-sided; MOA (CapyMOA 0.15.1) has the same on s2
        (HddmABank(1, direction="up"), "s2", [(1047, 1)]),
        (HddmWBank(1, direction="up"), "s2", [(1018, 1)]),
        # river, two-sided
        (HddmABank(1), "s3", [(531, 1), (1015, -1), (1545, 1)]),
        (HddmWBank(1), "s3", [(507, 1), (1032, -1), (1508, 1)]),
        # MOA; its HDDM_A is two-sided by default, its HDDM_W one-sided
        (HddmABank(1), "s2", [(1047, 1)]),
        (HddmABank(1), "s4", [(1003, 1)]),
        (HddmWBank(1, direction="up"), "s3", [(507, 1), (1508, 1)]),
        (HddmWBank(1, direction="up"), "s4", [(1010, 1)]),
        (StepdBank(1), "s2", [(1017, 1)]),
        (StepdBank(1), "s3", [(512, 1), (1003, -1), (1515, 1)]),
    ],
)
def test_alarms_where_river_and_moa_do(bank: Any, name: str, expected: list[tuple[int, int]]) -> None:
    """Published positions of river and MOA, with the direction that the stream turns in."""
    assert drifts(folded(bank, STREAMS[name])) == expected


def test_moa_reports_the_rises_of_the_two_sided_hddm_a() -> None:
    """MOA's HDDM_A (CapyMOA 0.15.1) has s3 [531, 1545]: it restarts at the fall at 1015, too, and says nothing."""
    found = drifts(folded(HddmABank(1), STREAMS["s3"]))
    assert [row for row, direction in found if direction > 0] == [531, 1545]


def states(detector: Any, values: Floats) -> list[int]:
    """After each value 2 for a drift, 1 for a warning, else 0."""
    found = []
    for x in values.tolist():
        detector.update(x)
        found.append(2 if detector.drift_detected else int(detector.warning_detected))
    return found


@pytest.mark.parametrize("bits", [True, False])
@pytest.mark.parametrize("direction", ["up", "both"])
def test_hddm_a_is_rivers(direction: Any, *, bits: bool) -> None:
    """Drifts at the same rows as river's HDDMA on 40 streams at two levels, and warnings on the first of them."""
    two_sided = direction == "both"
    total = 0
    for seed in range(40):
        values = turns(seed, bits=bits)
        level = (0.001, 0.01)[seed % 2]
        setting = {"drift_confidence": level, "warning_confidence": 5 * level}
        expected = states(RIVER.HDDMA(two_sided_test=two_sided, **setting), values)
        rows = [row for row, _ in drifts(folded(HddmABank(1, direction=direction, **setting), values))]
        assert rows == [row for row, status in enumerate(expected) if status == 2]
        if seed < 2:
            assert states(HDDM_A(direction=direction, **setting), values) == expected
        total += len(rows)
    assert total >= 20


class PaperSample(river_hddm_w.SampleInfo):
    """river's sample, whose sum of squared weights is 1 at its first value."""

    def update(self, x: float) -> None:
        first = not self.is_init
        super().update(x)  # type: ignore[no-untyped-call]
        if first:
            self._ibc = 1.0

    @property
    def is_init(self) -> bool:
        return bool(self._is_init)


@pytest.mark.parametrize("bits", [True, False])
@pytest.mark.parametrize("direction", ["up", "both"])
def test_hddm_w_is_rivers_but_for_the_first_weight(
    direction: Any, monkeypatch: pytest.MonkeyPatch, *, bits: bool
) -> None:
    """With the weight of a first value set to the paper's, river's HDDMW drifts at the same rows on 40 streams."""
    monkeypatch.setattr(river_hddm_w, "SampleInfo", PaperSample)
    total = 0
    for seed in range(40):
        values = turns(seed, bits=bits)
        level = (0.001, 0.01)[seed % 2]
        setting = {"drift_confidence": level, "warning_confidence": 5 * level}
        detector = RIVER.HDDMW(two_sided_test=direction == "both", **setting)
        expected = states(detector, values)
        rows = [row for row, _ in drifts(folded(HddmWBank(1, direction=direction, **setting), values))]
        assert rows == [row for row, status in enumerate(expected) if status == 2]
        if seed < 2:
            assert states(HDDM_W(direction=direction, **setting), values) == expected
        total += len(rows)
    assert total >= 20


def test_hddm_w_alarms_next_to_rivers() -> None:
    """The first alarm is that of river as it is on 16 of 20 streams or more, and elsewhere at most 8 values later."""
    leads = []
    for seed in range(20):
        values = turns(seed, bits=True)
        theirs = states(RIVER.HDDMW(two_sided_test=True), values).index(2)
        leads.append(drifts(folded(HddmWBank(1), values))[0][0] - theirs)
    assert leads.count(0) >= 16
    assert 0 <= min(leads) <= max(leads) <= 8


def hddm_a_side(part: Sequence[float], sign: int, confidence: float) -> Pair:
    """One side's difference and bound by the definition, from all values since the restart."""
    n = len(part)
    means = [math.fsum(part[:c]) / c * sign for c in range(1, n + 1)]
    edges = [mean + math.sqrt(math.log(1 / confidence) / (2 * c)) for c, mean in enumerate(means, 1)]
    cut = max(c for c in range(1, n + 1) if edges[c - 1] == min(edges))
    if cut == n:
        return None
    return means[-1] - means[cut - 1], math.sqrt((n - cut) / (2 * cut * n) * math.log(2 / confidence))


def weighted(part: Sequence[float], weight: float) -> tuple[float, float]:
    """Weighted mean and sum of squared weights, the newest value's weight first."""
    n = len(part)
    shares = [weight * (1 - weight) ** age for age in range(n - 1)] + [(1 - weight) ** (n - 1)]
    return math.fsum(s * x for s, x in zip(shares, reversed(part), strict=True)), math.fsum(s * s for s in shares)


def hddm_w_side(part: Sequence[float], sign: int, confidence: float, weight: float = 0.05) -> Pair:
    """The same for HDDM_W, with explicit weights."""
    log = math.log(1 / confidence) / 2
    mirrored = [sign * x for x in part]
    edges = [mean + math.sqrt(w * log) for mean, w in (weighted(mirrored[:c], weight) for c in range(1, len(part) + 1))]
    cut = edges.index(min(edges)) + 1
    if cut == len(part):
        return None
    (old, old_w), (new, new_w) = weighted(mirrored[:cut], weight), weighted(mirrored[cut:], weight)
    return new - old, math.sqrt((old_w + new_w) * log)


def slow(values: Sequence[float], side: Callable[[Sequence[float], int], Pair], signs: Sequence[int]) -> Any:
    """Drifts as (row, direction), and of each row the newest test's ratio of statistic to threshold."""
    found, ratios, start, newest = [], [], 0, math.nan
    for row in range(len(values)):
        part = values[start : row + 1]
        tests = [(pair[0] / pair[1], sign) for sign in signs if (pair := side(part, sign)) is not None]
        newest, sign = max(tests, default=(newest, 0))
        ratios.append(newest)
        if tests and newest > 1:
            found.append((row, sign))
            start, newest = row + 1, math.nan
    return found, ratios


SIGNS = {"both": (1, -1), "up": (1,), "down": (-1,)}


@few
@given(st.integers(0, 2**32), st.sampled_from(sorted(SIGNS)), st.sampled_from(["a", "w"]), st.booleans())
def test_hddm_follows_its_definition(seed: int, direction: Any, which: str, bits: bool) -> None:
    """Alarms, and at each row statistic over threshold, are those of means taken anew from all values."""
    generator = np.random.default_rng(seed)
    values = turns(seed, bits=bits)[: generator.integers(60, 160)]
    values[len(values) // 2 :] = 1.0 - values[len(values) // 2 :]
    side = partial(hddm_a_side if which == "a" else hddm_w_side, confidence=0.01)
    bank = (HddmABank if which == "a" else HddmWBank)(1, drift_confidence=0.01, direction=direction)
    result = folded(bank, values)
    found, ratios = slow(values.tolist(), side, SIGNS[direction])
    assert drifts(result) == found
    shown = result.statistic[:, 0] / result.threshold[:, 0]
    seen = ~np.isnan(shown)
    assert shown[seen] == pytest.approx(np.array(ratios)[seen], rel=1e-9, abs=1e-12)
    assert set(np.flatnonzero(result.statistic[:, 0] > result.threshold[:, 0])) == {row for row, _ in found}


def first_shown(bank: Any) -> int:
    """How many values the first statistic takes, on the quickest of 64 streams."""
    rows = np.random.default_rng(6).integers(0, 2, (900, 64)).astype(np.float64)
    return int(np.argmax((~np.isnan(bank.update_many(rows, np.arange(900)).statistic)).any(axis=1))) + 1


@pytest.mark.parametrize("confidence", [0.05, 0.001, 1e-6])
def test_hddm_a_is_silent_only_while_nothing_could_pass(confidence: float) -> None:
    """No statistic is withheld that could pass: the first n shown is the last at which the best split cannot."""
    bank = HddmABank(64, drift_confidence=confidence, warning_confidence=confidence)
    first = first_shown(bank)

    def best(n: int) -> float:
        """Largest difference over bound of n values: zeros, then ones."""
        bounds = [math.sqrt((n - c) / (2 * c * n) * math.log(2 / confidence)) for c in range(1, n)]
        return max((n - c) / n / bound for c, bound in enumerate(bounds, 1))

    assert best(first - 1) <= 1
    assert best(first + 2) > 1


@pytest.mark.parametrize(("weight", "confidence"), [(0.05, 0.001), (0.2, 0.001), (0.01, 1e-6), (0.9, 0.5)])
def test_hddm_w_is_silent_only_while_nothing_could_pass(weight: float, confidence: float) -> None:
    """As for HDDM_A: the best split's bound reaches 1 just about where the first statistic is shown."""
    bank = HddmWBank(64, drift_confidence=confidence, warning_confidence=confidence, lambda_=weight)
    first = first_shown(bank)

    def least_bound(n: int) -> float:
        """Least bound of n values, however cut."""
        weights = [weighted([0.0] * c, weight)[1] for c in range(1, n)]
        return math.sqrt(min(a + b for a, b in zip(weights, weights[::-1], strict=True)) * -math.log(confidence) / 2)

    assert first == 2 or least_bound(first - 1) >= 1
    assert least_bound(first + 2) < 1


def test_hddm_w_refuses_a_weight_that_can_never_alarm() -> None:
    """At lambda = 2 / (1 + ln(1 / confidence)) the bound stays at 1 or more for ever."""
    with pytest.raises(ValueError, match=r"lambda_ = 0.3; give a number in \(0, 0.2529\)"):
        HddmWBank(1, lambda_=0.3)
    assert weighted([0.0] * 500, 0.3)[1] * 2 * math.log(1000) / 2 > 1
    assert weighted([0.0] * 500, 0.25)[1] * 2 * math.log(1000) / 2 < 1


@few
@given(st.integers(0, 2**32), st.sampled_from(["hddm_a", "hddm_w", "stepd"]))
def test_down_is_the_mirror_of_up(seed: int, name: str) -> None:
    """`down` on bits alarms where `up` does on their complement."""
    bank = {"hddm_a": HddmABank, "hddm_w": HddmWBank, "stepd": StepdBank}[name]
    values = turns(seed, bits=True)
    down, up = folded(bank(1, direction="down"), values), folded(bank(1, direction="up"), 1 - values)
    assert [row for row, _ in drifts(down)] == [row for row, _ in drifts(up)]
    assert all(direction == -1 for _, direction in drifts(down))
    assert down.statistic == pytest.approx(up.statistic, rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("bank", [HddmABank, HddmWBank, StepdBank])
def test_values_outside_the_domain_are_missing(bank: Any) -> None:
    """Numbers outside [0, 1] and NaN change nothing but the rows: the alarms are those of the values within."""
    values = turns(7, bits=True)
    places = np.sort(np.random.default_rng(8).choice(len(values), 40, replace=False))
    outside = np.insert(values, places, np.resize([-1.0, 1.0 + 1e-12, np.nan, 7.0, -1e-12], 40))
    kept = np.flatnonzero((outside >= 0) & (outside <= 1))
    expected = [(int(kept[row]), direction) for row, direction in drifts(folded(bank(1), values))]
    assert drifts(folded(bank(1), outside)) == expected
    assert expected


@pytest.mark.parametrize("bank", [HddmABank(1, direction="up"), HddmWBank(1), StepdBank(1)])
def test_an_alarm_says_what_was_compared(bank: Any) -> None:
    """Ones after 200 values of 10 %: the onset is the first of them, and the row shows the alarm's figures."""
    values = np.concatenate([np.arange(200) % 10 == 0, np.ones(60)]).astype(np.float64)
    result = folded(bank, values)
    alarm: Alarm = next(alarm for alarm in result.alarms if alarm.status == DRIFT)
    assert 200 < alarm.row < 220
    assert (alarm.onset, alarm.direction) == (200, 1)
    assert (alarm.statistic, alarm.threshold) == (result.statistic[alarm.row, 0], result.threshold[alarm.row, 0])
    assert 0.15 < alarm.effect <= 0.95
    assert np.isnan(result.statistic[alarm.row + 1, 0])


def test_hddm_a_effect_is_the_difference_of_its_two_parts() -> None:
    """The mean of the `n` newest values less that of those before them."""
    values = turns(3, bits=False)
    alarm = next(a for a in folded(HddmABank(1), values).alarms if a.status == DRIFT)
    older, newer = np.split(values[: alarm.row + 1], [alarm.row + 1 - alarm.n])
    assert alarm.effect == pytest.approx(abs(newer.mean() - older.mean()), rel=1e-9)


@pytest.mark.parametrize("single", [HDDM_A, HDDM_W, STEPD])
def test_a_warning_comes_first_and_once(single: Any) -> None:
    """Each run of warnings has one alarm of status 1, and the single class stands in the zone from there on."""
    values = turns(5, bits=True)
    detector = single()
    zone = states(detector, values)
    fresh = [row for row, status in enumerate(zone) if status == 1 and (row == 0 or zone[row - 1] != 1)]
    warned = [alarm.row for alarm in folded(type(detector.bank)(1), values).alarms if alarm.status == WARNING]
    assert warned == fresh
    assert fresh


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HddmABank(0), "n_signals = 0"),
        (lambda: HddmABank(1, drift_confidence=0.0), "drift_confidence = 0.0"),
        (lambda: HddmABank(1, warning_confidence=1.5), "warning_confidence = 1.5"),
        (lambda: HddmABank(1, direction="left"), "direction = 'left'"),  # type: ignore[arg-type]
        (lambda: HddmWBank(1, drift_confidence=1.0), "drift_confidence = 1.0"),
        (lambda: HddmWBank(1, lambda_=0.0), "lambda_ = 0.0"),
        (lambda: StepdBank(1, window_n=1), "window_n = 1"),
        (lambda: StepdBank(1, alpha_drift=1.0), "alpha_drift = 1.0"),
        (lambda: StepdBank(1, alpha_warning=0.0), "alpha_warning = 0.0"),
    ],
)
def test_parameters_out_of_range_are_refused(make: Callable[[], Any], message: str) -> None:
    """The sentence names the parameter and its value."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Replaces the compiled functions of this family by the Python they were compiled from; their number."""

    def replace() -> int:
        count = 0
        for name in ("_recent", *sorted(CASES)):
            module = importlib.import_module(f"detectors.{name}")
            for key, value in list(vars(module).items()):
                if isinstance(value, Dispatcher):
                    monkeypatch.setattr(module, key, value.py_func)
                    count += 1
        return count

    return replace


@pytest.mark.parametrize("name", sorted(CASES))
def test_compiled_and_interpreted_kernels_agree(name: str, interpreted: Callable[[], int]) -> None:
    """Bit for bit the same alarms, statistics and state."""
    case = CASES[name]
    values = eventful(9, case.stream)[:900]
    compiled = case.make(values)
    expected = compiled.update_many(values, np.arange(len(values)))
    assert interpreted() >= 18
    python = case.make(values)
    result = python.update_many(values, np.arange(len(values)))
    assert result.alarms == expected.alarms
    assert result.alarms
    assert result.statistic.tobytes() == expected.statistic.tobytes()
    assert result.threshold.tobytes() == expected.threshold.tobytes()
    assert same_state(python.state(), compiled.state())
