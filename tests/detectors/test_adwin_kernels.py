"""ADWIN's buckets and the search for its best split, against twins that know no shortcut."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.adwin import AdwinBank
from detectors.base import Floats
from tests.detectors.cases import all_alarms, same_state

__all__: list[str] = []

few = settings(max_examples=40, deadline=None, derandomize=True)
NEVER = 10**9


class OneByOne:
    """Buckets as lists, oldest first: a value comes, and levels merge their two oldest while they hold too many."""

    def __init__(self, max_buckets: int) -> None:
        self.max_buckets = max_buckets
        self.levels: list[list[tuple[float, float, int]]] = [[]]

    def take(self, x: float, position: int) -> None:
        self.levels[0].append((x, 0.0, position))
        for level, buckets in enumerate(self.levels):
            if len(buckets) <= self.max_buckets:
                return
            (one, spread, first), (two, other, _) = buckets[:2]
            del buckets[:2]
            if level + 1 == len(self.levels):
                self.levels.append([])
            gap = (one - two) / 2**level  # a product below: a power need not be rounded exactly
            between = gap * gap * 2**level / 2
            self.levels[level + 1].append((one + two, spread + other + between, first))


def gappy(seed: int, rows: int) -> Floats:
    """Normal values [rows, 2], a tenth of them missing."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(rows, 2)) * 10.0 ** generator.integers(-3, 4)
    values[generator.random(values.shape) < 0.1] = np.nan
    return values


def folded(bank: AdwinBank, values: Floats, sizes: list[int]) -> tuple[list[Any], Floats]:
    """Fold `values` in blocks of `sizes`, over and over; alarms, and the statistics beside the thresholds."""
    said, shown, start, turn = [], [], 0, 0
    while start < len(values):
        end = min(start + sizes[turn % len(sizes)], len(values))
        result = bank.update_many(values[start:end], np.arange(start, end) * 3)
        said += all_alarms(result, start)
        shown.append(np.hstack([result.statistic, result.threshold]))
        start, turn = end, turn + 1
    return said, np.vstack(shown)


@few
@given(
    st.integers(0, 2**32),
    st.integers(1, 1500),
    st.sampled_from([2, 3, 5, 8]),
    st.lists(st.integers(1, 700), min_size=1),
)
def test_runs_leave_the_buckets_that_single_values_leave(
    seed: int, rows: int, max_buckets: int, sizes: list[int]
) -> None:
    """Sums, squares and positions of all buckets equal, bit for bit, those of lists that take one value at a time."""
    values = gappy(seed, rows)
    bank = AdwinBank(2, clock=NEVER, max_buckets=max_buckets)
    folded(bank, values, sizes)
    state = bank.state()
    for f in range(2):
        twin = OneByOne(max_buckets)
        for row in range(rows):
            if not np.isnan(values[row, f]):
                twin.take(float(values[row, f]), row * 3)
        for level, buckets in enumerate(twin.levels):
            assert state["used"][f, level] == len(buckets)
            held = [state[name][f, level, : len(buckets)].tolist() for name in ("total", "squares", "first")]
            assert list(zip(*held, strict=True)) == buckets


@few
@given(
    st.integers(0, 2**32), st.sampled_from([1, 2, 7, 32, 100]), st.sampled_from([2, 5]), st.booleans(),
    st.lists(st.integers(1, 60), min_size=1, max_size=9),
)  # fmt: skip
def test_blocks_of_any_size_equal_single_rows(
    seed: int, clock: int, max_buckets: int, restart: bool, sizes: list[int]
) -> None:
    """With cuts, warnings, restarts and gaps: alarms, statistics, thresholds and state are the same bits."""
    values = gappy(seed, 900)
    values[300:600] += np.nanstd(values) * 3
    values[600:] -= np.nanstd(values)
    made: dict[str, Any] = {"clock": clock, "max_buckets": max_buckets, "restart": restart}
    made |= {"delta": 0.01, "warning_delta": 0.1, "value_range": np.nanstd(values)}
    banks = [AdwinBank(2, **made) for _ in range(3)]
    results = [folded(bank, values, part) for bank, part in zip(banks, ([1], sizes, [900]), strict=True)]
    assert results[0][0]
    for said, shown in results[1:]:
        assert said == results[0][0]
        assert shown.tobytes() == results[0][1].tobytes()
    assert all(same_state(bank.state(), banks[0].state()) for bank in banks)


def ratios(state: dict[str, Any], least: int, delta: float, value_range: float) -> list[tuple[float, float]]:
    """Difference and threshold of every split of the first signal, the oldest first, by the formulas of the class."""
    sums, sizes, squares = [], [], []
    for level in range(state["used"].shape[1] - 1, -1, -1):
        for k in range(int(state["used"][0, level])):
            sums.append(float(state["total"][0, level, k]))
            squares.append(float(state["squares"][0, level, k]))
            sizes.append(2**level)
    n, mean = sum(sizes), math.fsum(sums) / sum(sizes)
    within = (s + (t / size - mean) ** 2 * size for s, t, size in zip(squares, sums, sizes, strict=True))
    variance, confidence = math.fsum(within) / n, math.log(2 * math.log(n) / delta)
    found = []
    for k in range(1, len(sizes)):
        older = sum(sizes[:k])
        if min(older, n - older) >= least:
            gap = abs(math.fsum(sums[:k]) / older - math.fsum(sums[k:]) / (n - older))
            m = 1 / (older - least + 1) + 1 / (n - older - least + 1)
            epsilon = math.sqrt(2 * m * variance * confidence) + 2 / 3 * value_range * confidence * m
            found.append((gap, epsilon))
    return found


@few
@given(
    st.integers(0, 2**32), st.sampled_from(["noise", "walk", "bits", "steps"]), st.sampled_from([1.0, 1e-60, 1e60]),
    st.sampled_from([1, 5, 40]), st.integers(1, 40),
)  # fmt: skip
def test_shown_split_is_the_one_with_the_largest_ratio(
    seed: int, kind: str, scale: float, least: int, clock: int
) -> None:
    """Statistic and threshold are those of the best of all splits: the filter loses none, at any scale."""
    generator = np.random.default_rng(seed)
    values = {
        "noise": generator.normal(size=400),
        "walk": np.cumsum(generator.normal(size=400)) / 20,
        "bits": (generator.random(400) < 0.05).astype(np.float64),
        "steps": np.repeat(generator.normal(size=8), 50),
    }[kind] * scale
    bank = AdwinBank(1, clock=clock, min_window_length=least, value_range=scale, delta=1e-300)
    for start in range(0, 400, clock):
        result = bank.update_many(values[start : start + clock, None], np.arange(len(values[start : start + clock])))
        tested = start + clock > 10 and len(result.statistic) == clock
        splits = ratios(bank.state(), least, 1e-300, scale) if tested else []
        if not splits:
            continue
        best = max(gap / epsilon for gap, epsilon in splits)
        shown, limit = result.statistic[-1, 0], result.threshold[-1, 0]
        assert shown / limit == pytest.approx(best, rel=1e-7, abs=1e-9)
        near = [epsilon for gap, epsilon in splits if gap / epsilon >= best - 1e-7]
        assert min(abs(limit / epsilon - 1) for epsilon in near) < 1e-7


@pytest.mark.parametrize("x", [0.0, 1.0, 0.1, 1e-170, 1e15])
def test_constant_shows_no_difference(x: float) -> None:
    """Where all values are equal the statistic is what rounding leaves of nothing, and no time is lost in NaN."""
    result = AdwinBank(1, clock=1).update_many(np.full((700, 1), x), np.arange(700))
    assert not result.alarms
    assert (result.statistic[11:] <= 1e-12 * x).all()
    assert (result.threshold[11:] > 0).all()


def test_hint_decides_nothing() -> None:
    """The split that the state remembers is where the search begins: another place gives the same bits."""
    values = gappy(4, 3000)
    bank = AdwinBank(2, clock=8)
    folded(bank, values[:1000], [1000])
    state = bank.state()
    expected = folded(bank, values[1000:], [500])[1].tobytes()
    for hint in (0, 1, 17, 400, 10**6):
        counters = state["counters"].copy()
        assert (counters[:, -1] > 0).all()
        counters[:, -1] = hint
        other = AdwinBank.from_state(state | {"counters": counters})
        assert folded(other, values[1000:], [500])[1].tobytes() == expected


def test_newest_values_of_a_long_block_count_as_much_as_its_first() -> None:
    """A block longer than what is folded at once, with a signal that is always missing beside it."""
    values = gappy(9, 5000)
    values[:, 1] = np.nan
    values[2500:, 0] += np.nanstd(values[:, 0]) * 2
    said, shown = folded(AdwinBank(2), values, [5000])
    again, cut = folded(AdwinBank(2), values, [13])
    assert said
    assert np.isnan(shown[:, 1]).all()
    assert again == said
    assert cut.tobytes() == shown.tobytes()
