"""What the sliding rank tests rely on to be fast: each shortcut against the sum that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors._rank_layout import WIDTH, empty_places, empty_prefixes, empty_ring
from detectors._rank_places import (
    REFERENCE_SUM,
    SEEN,
    SHARED,
    WINDOW_SUM,
    WINDOW_TIES,
    find,
    places_of,
    plant,
    prefixes_of,
    resume,
    ring_of,
)
from detectors._window_ties import occurs, shuffled, tie_sum
from detectors.base import Floats
from detectors.rank_tests import RankBank, RankTest, rank_thresholds
from detectors.trailing import TrailingRankBank

__all__: list[str] = []

few = settings(max_examples=40, deadline=None, derandomize=True)
Law = Literal["continuous", "tenths", "integers", "bits", "heavy tails"]
LAWS: tuple[Law, ...] = ("continuous", "tenths", "integers", "bits", "heavy tails")


def draw(generator: np.random.Generator, law: Law, size: Any) -> Floats:
    """Values with no ties, some or many."""
    values: Floats = generator.normal(size=size)
    if law == "heavy tails":
        return values**9
    places = {"continuous": 15, "tenths": 1, "integers": 0}
    return np.round(values, places[law]) if law in places else (values > 0).astype(np.float64)


@pytest.mark.parametrize("apart", [0.0, 1000.0])
@pytest.mark.parametrize("law", LAWS)
def test_sums_that_slid_equal_sums_from_nothing(law: Law, apart: float) -> None:
    """After 1,500 values the sums of squares, ties and extremes are those of a window that is summed anew,
    also where all of it lies in one gap of the reference."""
    generator = np.random.default_rng(LAWS.index(law))
    reference, values = draw(generator, law, 150), draw(generator, law, 1500) + apart
    bank = RankBank([reference], 90)
    bank.update_many(values[:, None], np.arange(1500))
    slid = bank._ring.sums[0].copy()
    gaps = bank._prefixes.gaps[0] + bank._prefixes.gaps_before[0][:, None]
    kept = bank._prefixes.most, bank._prefixes.least
    extremes = [part[0] + bank._prefixes.gaps_before[0] for part in kept]
    counts = bank._prefixes.counts[0] + bank._prefixes.counts_before[0][:, None]
    assert extremes[0].tolist() == gaps.max(axis=1).tolist()
    assert extremes[1].tolist() == gaps.min(axis=1).tolist()
    assert (gaps == bank._places.due[0] - 150 * counts).all()
    resume(places_of(bank._places, 0), prefixes_of(bank._prefixes, 0), ring_of(bank._ring, 0))
    assert bank._ring.sums[0].tolist() == slid.tolist()
    assert (bank._prefixes.gaps[0] == gaps).all()


@few
@given(
    st.lists(st.integers(-4, 4), min_size=1, max_size=90),
    st.lists(st.integers(-9, 9), min_size=2, max_size=40),
)
def test_sums_from_nothing_are_what_they_are_called(reference: list[int], window: list[int]) -> None:
    """Each of the four sums of Cramér-von Mises equals its definition over plain lists; values lie between the
    reference's, on them and beyond."""
    m, halves = len(window), [x / 2 for x in window]
    places, prefixes, rings = empty_places(1, len(reference)), empty_prefixes(1, len(reference)), empty_ring(1, m)
    plant(places_of(places, 0), np.sort(np.array(reference, dtype=np.float64)), m)
    rings.values[0], rings.flags[0, SEEN] = halves, m
    resume(places_of(places, 0), prefixes_of(prefixes, 0), ring_of(rings, 0))

    def doubled(x: float, sample: Sequence[float]) -> int:
        return 2 * sum(y < x for y in sample) + sum(y == x for y in sample)

    sums, both = rings.sums[0].tolist(), set(reference) & set(halves)
    assert sums[REFERENCE_SUM] == sum(doubled(x, halves) ** 2 for x in reference)
    assert sums[WINDOW_SUM] == sum(doubled(x, reference) ** 2 for x in halves)
    assert sums[WINDOW_TIES] == sum(t**3 - t for t in (halves.count(x) for x in set(halves)))
    pairs = [(reference.count(int(x)), halves.count(x)) for x in both]
    assert sums[SHARED] == sum(3 * g * c * (g + c) for g, c in pairs)


@pytest.mark.parametrize("kind", ["fixed", "trailing"])
@pytest.mark.parametrize("tests", [("ks",), ("cvm",)])
@pytest.mark.parametrize("law", ["continuous", "tenths"])
def test_one_test_alone_says_what_it_says_beside_the_other(kind: str, tests: tuple[RankTest], law: Law) -> None:
    """Statistic, threshold and alarms of a test do not depend on whether the other one's sums are kept."""
    generator = np.random.default_rng(3)
    reference, values = draw(generator, law, 150), draw(generator, law, (1200, 1))
    values[600:800] += 2.0

    def run(which: tuple[RankTest, ...]) -> Any:
        if kind == "fixed":
            bank: Any = RankBank([reference], 100, tests=which)
        else:
            bank = TrailingRankBank(1, reference_n=150, gap_n=50, window_n=100, step_n=40, tests=which)
        return getattr(bank.update_many(values, np.arange(1200)), tests[0])

    alone, beside = run(tests), run(("ks", "cvm"))
    assert alone.alarms
    assert alone.alarms == beside.alarms
    assert alone.statistic.tobytes() == beside.statistic.tobytes()
    assert alone.threshold.tobytes() == beside.threshold.tobytes()


@pytest.mark.parametrize(("n", "m"), [(1000, 1000), (3000, 200), (150, 1500)])
@pytest.mark.parametrize("law", ["continuous", "tenths"])
def test_statistics_over_many_blocks_equal_scipys(n: int, m: int, law: Law) -> None:
    """KS and CvM after many values in and out equal scipy's of the window, as floats of the same integers."""
    from scipy import stats

    generator = np.random.default_rng(n)
    reference, values = draw(generator, law, n), draw(generator, law, m + 700) * 1.2 + 0.3
    result = RankBank([reference], m).update_many(values[:, None], np.arange(len(values)))
    assert result.ks is not None
    assert result.cvm is not None
    for row in (m - 1, m, m + 300, m + 699):
        window = values[row + 1 - m : row + 1]
        ks = stats.ks_2samp(reference, window, method="asymp").statistic
        cvm = stats.cramervonmises_2samp(reference, window, method="asymptotic").statistic
        assert result.ks.statistic[row, 0] == pytest.approx(ks, abs=1e-15)
        assert result.cvm.statistic[row, 0] == pytest.approx(cvm, rel=1e-10, abs=1e-10)


@few
@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=200), st.lists(st.floats(-1e308, 1e308), max_size=20))
def test_place_is_twice_what_lies_below_plus_one_where_equal(reference: list[float], others: list[float]) -> None:
    """The search bounded by cells finds the place that a search through all finds, for values of any size."""
    ordered = np.sort(np.array(reference) + 0.0)
    places = empty_places(1, len(reference))
    part = places_of(places, 0)
    plant(part, ordered, 5)
    unique = np.unique(ordered)
    for x in [*reference, *others]:
        expected = 2 * int(np.searchsorted(unique, x)) + int(x in unique)
        assert find(x + 0.0, part.unique, part.cells, part.grid, part.size[0]) == expected


@few
@given(st.lists(st.integers(0, 12).map(float), min_size=2, max_size=60), st.sampled_from([1, 3, 63]))
def test_count_of_a_value_does_not_depend_on_the_hash(values: list[float], mask: int) -> None:
    """However many values share a hash, each is counted as often as it occurs."""
    held = np.array(values)
    slots = [int(shuffled(bits, mask)) for bits in held.view(np.int64)]
    assert all(0 <= slot <= mask for slot in slots)
    for x, slot in zip(values, slots, strict=True):
        assert occurs(held, x, slots.count(slot)) == values.count(x)
    assert tie_sum(held) == sum(t**3 - t for t in (values.count(x) for x in set(values)))


def test_hash_spreads_what_streams_hold() -> None:
    """Of 1,000 values in 16,384 slots few share one: of uniform and normal numbers, of whole ones, of tenths."""
    generator = np.random.default_rng(2)
    streams = [generator.random(1000), generator.normal(size=1000), np.arange(1000.0), np.arange(1000) / 10]
    for values in streams:
        slots = [int(shuffled(bits, 16_383)) for bits in values.view(np.int64)]
        assert len(set(slots)) > 900


def test_sizes_that_are_let_in_fit_their_integers() -> None:
    """No entry of 32 bits can overflow where sizes pass the guard: 2 n m stays below 2^31, and a count below 2^16."""
    for m in (2, 10, 100, 1_000, 5_000, 20_000, 50_000, 60_000):
        let_in = [n for n in (2, 10, 100, 1_000, 5_000, 20_000, 23_000, 50_000, 60_000) if _passes(n, m)]
        assert all(2 * n * m < 2**31 for n in let_in)
        assert not let_in or m < 2**16
    assert _passes(20_000, 20_000)
    assert WIDTH % 16 == 0


def _passes(n: int, m: int) -> bool:
    try:
        rank_thresholds(np.array([n]), m, alpha=1e-6, n_effective=None)
    except ValueError:
        return False
    return True
