"""The charts against twins that follow the textbook word by word, and on signals that are constant or absurd."""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.dispatcher import Dispatcher

from detectors._standard import settle
from detectors.base import DRIFT, WARNING, Floats
from detectors.cusum import CusumBank
from detectors.ewma_chart import EwmaChartBank
from detectors.rate import RateBank
from detectors.shewhart import ShewhartBank
from detectors.sprt import SprtBank, log_odds_ratio
from tests.detectors.cases import fold, same_state

__all__: list[str] = []

NO_CUTS = np.array([], dtype=np.int64)
LEARNING = (CusumBank, EwmaChartBank, ShewhartBank, SprtBank)


def positions(bank: Any, values: Floats) -> list[int]:
    result = bank.update_many(values[:, None], np.arange(len(values)))
    return [alarm.row for alarm in result.alarms if alarm.status == DRIFT]


def bernoulli_gain(p: float, p0: float, p1: float) -> float:
    return p * math.log(p1 / p0) + (1 - p) * math.log((1 - p1) / (1 - p0))


def slow_standard(values: list[float], *, ranges: bool) -> tuple[float, float]:
    """Textbook's estimates after clipping at 8 robust spreads."""
    middle = float(np.median(values))
    away = np.abs(np.array(values) - middle)
    scale = 1.4826022185056018 * float(np.median(away)) or float(np.sort(away)[-2])
    kept = np.clip(values, middle - 8 * scale, middle + 8 * scale)
    spread = float(np.abs(np.diff(kept)).mean()) / (2 / math.sqrt(math.pi)) if ranges else float(kept.std(ddof=1))
    return float(kept.mean()), max(spread, 1e-9 * abs(float(kept.mean())), 1e-300)


class Slow(ABC):
    """One signal of any of the charts; `step` takes a value in spreads and gives the two sides' statistics."""

    def __init__(self, limit: float, direction: int, learn_n: int, *, ranges: bool) -> None:
        self.limit, self.direction, self.learn_n, self.ranges = limit, direction, learn_n, ranges
        self.values: list[float] = []
        self.z: list[float] = []
        self.shown = math.nan

    @abstractmethod
    def sides(self) -> tuple[float, float]:
        """The statistics of a rise and of a fall."""

    def update(self, x: float) -> bool:
        """Take a value; whether it alarms."""
        if math.isnan(x):
            return False
        self.values.append(x)
        if len(self.values) <= self.learn_n:
            self.shown = math.nan
            return False
        target, spread = slow_standard(self.values[: self.learn_n], ranges=self.ranges)
        self.z.append(min(max((x - target) / spread, -8.0), 8.0))
        up, down = self.sides()
        self.shown = {1: up, -1: down, 0: max(up, down)}[self.direction]
        if self.shown > self.limit:
            self.values, self.z = [], []
            return True
        return False


class SlowCusum(Slow):
    """Montgomery's table: the two sums by their recursion."""

    def sides(self) -> tuple[float, float]:
        up = down = 0.0
        for z in self.z:
            up, down = max(0.0, up + z - 0.5), max(0.0, down - z - 0.5)
        return up, down


class SlowEwma(Slow):
    """The weighted sum over all values, and its exact variance as the sum of squared weights."""

    def sides(self) -> tuple[float, float]:
        weights = [0.3 * 0.7**age for age in range(len(self.z))][::-1]
        up = math.fsum(w * z for w, z in zip(weights, self.z, strict=True)) / math.sqrt(
            math.fsum(w * w for w in weights)
        )
        return up, -up


class SlowShewhart(Slow):
    """The newest value, or the longest run of newest values on one side."""

    def sides(self) -> tuple[float, float]:
        def side(values: list[float]) -> float:
            run = next((i for i, z in enumerate(reversed(values)) if z <= 0.2), len(values))
            return max(values[-1], self.limit * run / 3.5)

        return side(self.z), side([-z for z in self.z])


class SlowSprt(Slow):
    """Tests one after the other, each a sum of log likelihood ratios of two normal laws."""

    def sides(self) -> tuple[float, float]:
        def side(values: list[float]) -> float:
            total = 0.0
            for z in values:
                total = (0.0 if total <= math.log(0.05 / 0.99) else total) + (z**2 - (z - 0.7) ** 2) / 2
            return total

        return side(self.z), side([-z for z in self.z])


TWINS: dict[str, tuple[Callable[[Any], Any], Callable[[int], Slow]]] = {
    "cusum": (
        lambda way: CusumBank(1, delta=0.5, threshold=4.0, learn_n=12, direction=way),
        lambda sign: SlowCusum(4.0, sign, 12, ranges=False),
    ),
    "ewma_chart": (
        lambda way: EwmaChartBank(1, weight=0.3, limit=3.0, learn_n=12, direction=way),
        lambda sign: SlowEwma(3.0, sign, 12, ranges=True),
    ),
    "shewhart": (
        lambda way: ShewhartBank(1, k=3.0, run_n=4, run_k=0.2, learn_n=12, direction=way),
        lambda sign: SlowShewhart(3.0, sign, 12, ranges=True),
    ),
    "sprt": (
        lambda way: SprtBank(1, shift=0.7, alpha=0.01, beta=0.05, learn_n=12, direction=way),
        lambda sign: SlowSprt(math.log(0.95 / 0.01), sign, 12, ranges=False),
    ),
}


@pytest.mark.parametrize("name", sorted(TWINS))
@pytest.mark.parametrize(("way", "sign"), [("both", 0), ("up", 1), ("down", -1)])
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), levels=st.lists(st.integers(-2, 2), min_size=2, max_size=5))
def test_chart_is_its_slow_twin(name: str, way: str, sign: int, seed: int, levels: list[int]) -> None:
    """Statistics and alarms are those of the definition taken anew from all values since the last alarm."""
    generator = np.random.default_rng(seed)
    values = np.repeat(levels, 30) + generator.normal(size=30 * len(levels))
    values[generator.random(len(values)) < 0.05] = np.nan
    make, twin = TWINS[name]
    slow = twin(sign)
    result = make(way).update_many(values[:, None], np.arange(len(values)))
    expected = [(row, slow.update(x), slow.shown) for row, x in enumerate(values.tolist())]
    np.testing.assert_allclose(result.statistic[:, 0], [shown for _, _, shown in expected], rtol=1e-9, atol=1e-9)
    assert [alarm.row for alarm in result.alarms] == [row for row, alarmed, _ in expected if alarmed]
    # A missing value carries the newest statistic on, an alarm's too.
    above = ((result.statistic > result.threshold)[:, 0] & ~np.isnan(values)).nonzero()[0]
    assert above.tolist() == [alarm.row for alarm in result.alarms]


def test_bernoulli_test_is_its_definition() -> None:
    """With p0 = .2 and p1 = .5 the sum moves by log(p1/p0) or log((1-p1)/(1-p0)); beside it that of a fall as far in
    odds."""
    bits = (np.random.default_rng(2).random(500) < 0.3).astype(np.float64)
    bank = SprtBank(1, law="bernoulli", target=0.2, shift=log_odds_ratio(0.2, 0.5), alpha=1e-3, beta=0.05)
    below = 0.25 / 4 / (0.25 / 4 + 1)  # odds 1/4 over 4
    statistic = bank.update_many(bits[:, None], np.arange(500)).statistic[:, 0]
    up = down = 0.0
    accept, reject = math.log(0.05 / 0.999), math.log(0.95 / 0.001)
    for x, shown in zip(bits, statistic, strict=True):
        up = (up if up > accept else 0.0) + bernoulli_gain(x, 0.2, 0.5)
        down = (down if down > accept else 0.0) + bernoulli_gain(x, 0.2, below)
        assert shown == pytest.approx(max(up, down), abs=1e-9)
        up, down = (0.0, 0.0) if max(up, down) > reject else (up, down)


@contextmanager
def interpreted() -> Iterator[None]:
    """The charts' compiled functions replaced by the Python that they were compiled from."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_recent", "_standard", "cusum", "ewma_chart", "rate", "shewhart", "sprt"):
            module = importlib.import_module(f"detectors.{name}")
            compiled = {key: value for key, value in vars(module).items() if isinstance(value, Dispatcher)}
            for key, value in compiled.items():
                patch.setattr(module, key, value.py_func)
        yield


@pytest.mark.parametrize(
    "make",
    [
        lambda: CusumBank(2, threshold=10.0, delta=0.1, direction="both", warning_ratio=0.5),
        lambda: CusumBank(2, learn_n=40, threshold=8.0, delta=0.5, direction="both"),
        lambda: EwmaChartBank(2, learn_n=40),
        lambda: ShewhartBank(2, learn_n=40, run_n=7),
        lambda: SprtBank(2, learn_n=40),
        lambda: SprtBank(2, learn_n=40, law="bernoulli"),
        lambda: RateBank(2, p0=[0.2, 0.6], arl0=500.0),
    ],
)
def test_compiled_and_interpreted_charts_agree_bit_for_bit(make: Callable[[], Any]) -> None:
    """The same alarms, statistics and state come from numba's code and from Python's."""
    generator = np.random.default_rng(3)
    values = (generator.random((400, 2)) < 0.3).astype(np.float64) + 0.0
    values[250:] = 1.0 - values[250:]
    values[generator.random(values.shape) < 0.05] = np.nan
    compiled = make()
    said, statistic = fold(compiled, values, NO_CUTS)
    with interpreted():
        slow = make()
        slow_said, slow_statistic = fold(slow, values, NO_CUTS)
    assert said
    assert slow_said == said
    assert slow_statistic.tobytes() == statistic.tobytes()
    assert same_state(slow.state(), compiled.state())


@pytest.mark.parametrize("bank", LEARNING)
def test_learned_target_and_spread_need_no_clean_start(bank: Any) -> None:
    """An absurd value among the first 100 neither widens the limits nor hides a change of three spreads."""
    values = np.random.default_rng(4).normal(size=(400, 1))
    values[300:] += 3.0
    values[20], values[60] = 1e16, -1e99
    found = positions(bank(1, learn_n=100, direction="up"), values[:, 0])
    assert any(300 <= row < 360 for row in found)


@pytest.mark.parametrize("ranges", [True, False])
def test_what_is_learned_is_the_textbooks(ranges: bool) -> None:
    """Mean, and mean moving range over 1.128 or standard deviation; what is given stands."""
    values = np.random.default_rng(6).normal(5.0, 2.0, 60)
    learned = settle(values, np.full(3, np.nan), ranges, np.zeros(256), 0)
    expected = np.abs(np.diff(values)).mean() / 1.1283791670955126 if ranges else values.std(ddof=1)
    assert learned[:2] == pytest.approx((values.mean(), expected), rel=1e-12)
    assert learned[2] == 8.0 * learned[1]
    assert settle(values, np.array([1.0, 3.0, np.nan]), ranges, np.zeros(256), 0) == (1.0, 3.0, 24.0)


@pytest.mark.parametrize("bank", LEARNING)
@pytest.mark.parametrize("level", [0.0, 0.1, -1e9, 1e-200])
def test_constant_signal_is_quiet_until_it_differs(bank: Any, level: float) -> None:
    """Without any spread a chart says nothing, and the first values that differ are an alarm, placed there."""
    values = np.full((600, 1), level)
    values[500:] += max(abs(level), 1.0) * 1e-3
    result = bank(1, learn_n=100, direction="up", **({"threshold": 5.0} if bank is CusumBank else {})).update_many(
        values, np.arange(600)
    )
    first = result.alarms[0]
    assert 500 <= first.row <= 510
    assert first.onset == 500
    assert first.effect > 0


@pytest.mark.parametrize("bank", LEARNING)
def test_signals_may_be_known_in_part(bank: Any) -> None:
    """What is given for a signal is used as if it stood alone: known, learned, and half of each."""
    values = np.random.default_rng(8).normal(size=(500, 3)) + np.where(np.arange(500) < 300, 0.0, 2.0)[:, None]
    target, spread = [0.0, np.nan, 0.1], [1.0, np.nan, np.nan]
    together = bank(3, target=target, spread=spread, learn_n=50).update_many(values, np.arange(500))
    for f in range(3):
        alone = bank(1, target=target[f], spread=spread[f], learn_n=50).update_many(values[:, [f]], np.arange(500))
        assert alone.statistic[:, 0].tobytes() == together.statistic[:, f].copy().tobytes()


@pytest.mark.parametrize("bank", [*LEARNING])
def test_warning_comes_once_before_the_drift(bank: Any) -> None:
    """On a slow ramp a fresh warning precedes the alarm, and `warned` says that the zone holds."""
    chart = bank(1, target=0.0, spread=1.0, warning_ratio=0.5, direction="up", **(
        {"threshold": 5.0} if bank is CusumBank else {}
    ))  # fmt: skip
    alarms = chart.update_many(np.linspace(0.0, 3.5, 200)[:, None], np.arange(200)).alarms
    assert [alarm.status for alarm in alarms[:2]] == [WARNING, DRIFT]
    assert not chart.warned(0) or alarms[-1].status == WARNING


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CusumBank(1, threshold=0.0), "threshold = 0.0"),
        (lambda: CusumBank(1, learn_n=50, delta=9.0), "delta = 9.0"),
        (lambda: CusumBank(2, target=[1.0, 2.0, 3.0]), r"target has shape \(3,\)"),
        (lambda: EwmaChartBank(1, weight=0.0), "weight = 0.0"),
        (lambda: EwmaChartBank(1, limit=40.0), "limit = 40.0"),
        (lambda: EwmaChartBank(1, spread=-1.0), "spread of signal 0 = -1.0"),
        (lambda: ShewhartBank(1, k=8.0), "k = 8.0"),
        (lambda: ShewhartBank(1, run_n=1), "run_n = 1"),
        (lambda: ShewhartBank(1, target=np.inf), "target of signal 0 = inf"),
        (lambda: SprtBank(1, beta=1.0), "beta = 1.0"),
        (lambda: SprtBank(1, shift=0.0), "shift = 0.0"),
        (lambda: SprtBank(1, shift=None), "shift = nan"),
        (lambda: SprtBank(1, law="bernoulli", target=1.0), "target = 1.0"),
        (lambda: SprtBank(1, law="bernoulli", spread=1.0), "spread = 1.0"),
        (lambda: SprtBank(1, law="poisson"), "law = 'poisson'"),  # type: ignore[arg-type]
        (lambda: log_odds_ratio(0.0, 0.5), "p0 = 0.0"),
    ],
)
def test_parameter_out_of_range_is_refused_by_name(make: Callable[[], Any], message: str) -> None:
    """The error names the parameter and its value."""
    with pytest.raises(ValueError, match=message):
        make()
