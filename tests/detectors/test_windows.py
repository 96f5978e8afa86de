"""The tests of a window against a reference, held to their definitions, and what their parameters mean."""

from __future__ import annotations

import importlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.dispatcher import Dispatcher

from detectors._window_laws import bridge_areas, wasserstein_quantile
from detectors.anderson_darling import AndersonDarling, AndersonDarlingBank
from detectors.base import CLEARED, DRIFT, Alarm, Floats
from detectors.binned import PSI, BinnedBank, JensenShannon
from detectors.categories import CategoryBank, ChiSquare, GTest
from detectors.rank_tests import RankBank
from detectors.wasserstein import Wasserstein, WassersteinBank
from tests.detectors.cases import fold, same_state
from tests.detectors.cases_windows import CASES

__all__: list[str] = []

MODULES = ("_cells", "_sorted", "_window")
NO_CUTS = np.array([], dtype=np.int64)
EDGES = [-1.5, 0.0, 0.5, 2.0]
few = settings(max_examples=40, deadline=None, derandomize=True)
numbers = st.lists(st.integers(-4, 4).map(lambda i: i / 2), min_size=1, max_size=12)
streams = st.lists(st.integers(-6, 6).map(lambda i: i / 2), min_size=4, max_size=20)
codes = st.lists(st.integers(0, 4).map(float), min_size=4, max_size=16)


def run(bank: Any, values: Any) -> Any:
    column = np.asarray(values, dtype=np.float64)[:, None]
    return bank.update_many(column, np.arange(len(column)))


def alarms(bank: Any, values: Any) -> list[Alarm]:
    found: list[Alarm] = run(bank, values).alarms
    return found


def slow_anderson_darling(x: Sequence[float], y: Sequence[float]) -> float:
    """A²_akN for two samples by the sum over samples and distinct values of Scholz and Stephens (1987), equation 7."""
    both = (*x, *y)
    total = len(both)
    if len(set(both)) == 1:
        return 0.0
    parts = []
    for sample in (x, y):
        for value in set(both):
            equal = both.count(value)
            below = sum(v < value for v in both) + equal / 2
            own = sum(v < value for v in sample) + sample.count(value) / 2
            gap = total * own - len(sample) * below
            parts.append(equal / total * gap**2 / (below * (total - below) - total * equal / 4) / len(sample))
    return (total - 1) / total * math.fsum(parts)


def slow_wasserstein(x: Sequence[float], y: Sequence[float]) -> float:
    """The integral of the distance of the two quantile functions, each value repeated to one length."""
    pairs = zip(sorted([*x] * len(y)), sorted([*y] * len(x)), strict=True)
    return math.fsum(abs(a - b) for a, b in pairs) / (len(x) * len(y))


def shares(x: Sequence[Any], y: Sequence[Any]) -> list[tuple[float, float]]:
    one, two = Counter(x), Counter(y)
    return [(one[key] / len(x), two[key] / len(y)) for key in set(one) | set(two)]


def binned(values: Sequence[float]) -> list[int]:
    return [sum(edge <= value for edge in EDGES) for value in values]


def slow_psi(x: Sequence[float], y: Sequence[float]) -> float:
    """The sum over bins, half a value in place of none."""
    filled = [(p or 0.5 / len(x), q or 0.5 / len(y)) for p, q in shares(binned(x), binned(y))]
    return math.fsum((q - p) * math.log(q / p) for p, q in filled)


def entropy(parts: Sequence[float]) -> float:
    return -math.fsum(p * math.log(p) for p in parts if p)


def slow_js(x: Sequence[float], y: Sequence[float]) -> float:
    """Entropy of the mean law less the mean of the entropies."""
    both = shares(binned(x), binned(y))
    middle = entropy([(p + q) / 2 for p, q in both])
    return middle - (entropy([p for p, _ in both]) + entropy([q for _, q in both])) / 2


def table(x: Sequence[float], y: Sequence[float]) -> list[tuple[int, float]]:
    """Observed and expected counts of both samples; codes from 4 on are one category."""
    one, two = (Counter(min(code, 4.0) for code in sample) for sample in (x, y))
    part = len(x) / (len(x) + len(y))
    whole = [(one[key], two[key]) for key in set(one) | set(two)]
    return [(r, (r + w) * part) for r, w in whole] + [(w, (r + w) * (1 - part)) for r, w in whole]


def slow_chi_square(x: Sequence[float], y: Sequence[float]) -> float:
    return math.fsum((seen - due) ** 2 / due for seen, due in table(x, y))


def slow_g(x: Sequence[float], y: Sequence[float]) -> float:
    return 2 * math.fsum(seen * math.log(seen / due) for seen, due in table(x, y) if seen)


def assert_slides(bank: Any, slow: Callable[..., float], reference: list[float], values: list[float]) -> None:
    """At every row from the first full window on the bank's statistic is that of the definition."""
    found = run(bank, values).statistic[:, 0]
    assert np.isnan(found[:3]).all()
    expected = [slow(reference, values[end - 4 : end]) for end in range(4, len(values) + 1)]
    assert found[3:] == pytest.approx(expected, rel=1e-10, abs=1e-12)


@few
@given(numbers, streams)
def test_anderson_darling_is_its_definition(reference: list[float], values: list[float]) -> None:
    """A² of the newest four values, ties included, is Scholz and Stephens' double sum."""
    assert_slides(AndersonDarlingBank([reference], 4, test_every=1), slow_anderson_darling, reference, values)


@few
@given(numbers, streams)
def test_wasserstein_is_its_definition(reference: list[float], values: list[float]) -> None:
    """W1 of the newest four values is the distance of the two quantile functions."""
    assert_slides(WassersteinBank([reference], 4, test_every=1, clip=100.0), slow_wasserstein, reference, values)


@few
@given(numbers, streams)
def test_psi_is_its_definition(reference: list[float], values: list[float]) -> None:
    """PSI of the newest four values over given edges is the sum over bins."""
    assert_slides(BinnedBank([reference], 4, edges=EDGES), slow_psi, reference, values)


@few
@given(numbers, streams)
def test_jensen_shannon_is_its_definition(reference: list[float], values: list[float]) -> None:
    """The divergence is the entropy of the mean law less the mean entropy, in nats."""
    assert_slides(BinnedBank([reference], 4, edges=EDGES, statistic="js"), slow_js, reference, values)


@few
@given(codes, codes)
def test_chi_square_and_g_are_their_definitions(reference: list[float], values: list[float]) -> None:
    """Both are the sums over the table of counts against those expected."""
    assert_slides(CategoryBank([reference], 4, n_categories=4), slow_chi_square, reference, values)
    assert_slides(CategoryBank([reference], 4, n_categories=4, statistic="g"), slow_g, reference, values)


@contextmanager
def interpreted() -> Iterator[int]:
    """Replace the compiled functions by the Python that they were compiled from."""
    with pytest.MonkeyPatch.context() as patch:
        count = 0
        for module in (importlib.import_module(f"detectors.{name}") for name in MODULES):
            compiled = {key: value for key, value in vars(module).items() if isinstance(value, Dispatcher)}
            count += len(compiled)
            for key, value in compiled.items():
                patch.setattr(module, key, value.py_func)
        for name in ("anderson_darling", "wasserstein", "binned", "categories"):
            bank_module = importlib.import_module(f"detectors.{name}")
            patch.setattr(bank_module, "fold", bank_module.fold.py_func)
        yield count


@pytest.mark.parametrize("name", sorted(CASES))
def test_compiled_and_interpreted_kernels_agree_bit_for_bit(name: str) -> None:
    """The same alarms, statistics and state come from numba's code and from Python's."""
    generator = np.random.default_rng(3)
    reference, values = np.round(generator.normal(size=(60, 3)), 1), np.round(generator.normal(size=(450, 3)), 1)
    values[250:] += 2.0
    if CASES[name].stream == "codes":
        reference, values = np.floor(np.abs(reference)), np.floor(np.abs(values))
    values[generator.random(values.shape) < 0.05] = np.nan
    compiled = CASES[name].make(reference)
    said, statistic = fold(compiled, values, NO_CUTS)
    with interpreted() as count:
        assert count > 12
        slow = CASES[name].make(reference)
        slow_said, slow_statistic = fold(slow, values, NO_CUTS)
    assert slow_said == said
    assert len(said) >= 3
    assert slow_statistic.tobytes() == statistic.tobytes()
    assert same_state(slow.state(), compiled.state())


@pytest.mark.parametrize("name", sorted(CASES))
def test_statistic_depends_only_on_what_the_window_holds(name: str) -> None:
    """After outliers and another law have left the window, the statistic is bit for bit that of a fresh bank."""
    generator = np.random.default_rng(8)
    reference, values = generator.normal(size=(200, 3)), generator.normal(size=(500, 3))
    values[:300] *= 1e7
    if CASES[name].stream == "codes":
        reference, values = np.floor(np.abs(reference)), np.floor(np.abs(values))
    long, fresh = CASES[name].make(reference), CASES[name].make(reference)
    whole = long.update_many(values, np.arange(500))
    # A test comes after every third or tenth value in some cases, and 390 is a multiple of all.
    last = fresh.update_many(values[390:], np.arange(110))
    assert whole.statistic[-1].tobytes() == last.statistic[-1].tobytes()


normal = pytest.param(lambda generator, size: generator.normal(size=size), id="normal")
rounded = pytest.param(lambda generator, size: np.round(generator.normal(size=size)), id="rounded")
exponential = pytest.param(lambda generator, size: generator.exponential(size=size), id="exponential")
makers: list[tuple[str, Callable[..., Any]]] = [
    ("anderson_darling", AndersonDarlingBank),
    ("wasserstein", WassersteinBank),
    ("psi", BinnedBank),
    ("js", lambda *given, **more: BinnedBank(*given, statistic="js", **more)),
]


def exceeding(make: Callable[..., Any], draw: Callable[..., Floats], alpha: float) -> float:
    """The share of 2,000 windows of 200 above the threshold, over 20 references of 1,000."""
    generator = np.random.default_rng(4)
    found = []
    for _ in range(20):
        bank = make([draw(generator, 1000)], 200, test_every=200, alpha=alpha)
        result = run(bank, draw(generator, 20_000))
        found.append((result.statistic > result.threshold)[199::200])
    return float(np.mean(found))


@pytest.mark.parametrize("draw", [normal, rounded, exponential])
@pytest.mark.parametrize("name", [name for name, _ in makers])
def test_one_look_at_independent_data_has_its_level(name: str, draw: Any) -> None:
    """At alpha = .02, of 2,000 windows from the reference's law 40 are due above the threshold; 12 to 68 are found."""
    assert 0.006 <= exceeding(dict(makers)[name], draw, 0.02) <= 0.034


@pytest.mark.parametrize("statistic", ["chi_square", "g"])
def test_one_look_at_independent_categories_has_its_level(statistic: Any) -> None:
    """The same of five categories, the rarest of 5 %."""

    def draw(generator: Any, size: int) -> Floats:
        drawn: Floats = generator.choice(5, size, p=(0.4, 0.3, 0.15, 0.1, 0.05)).astype(np.float64)
        return drawn

    def make(*given: Any, **more: Any) -> CategoryBank:
        return CategoryBank(*given, statistic=statistic, **more)

    assert 0.006 <= exceeding(make, draw, 0.02) <= 0.034


def test_wasserstein_threshold_bounds_the_tail_closely() -> None:
    """Of 40,000 other draws of the limit law between 1 in 4,000 and 1 in 1,000 exceed its point for 1 in 1,000."""
    generator = np.random.default_rng(12)
    values = np.sort(generator.normal(size=200))
    quantile = wasserstein_quantile(1e-3, values, bridge_areas(200))
    levels = np.arange(1, 200) / 200
    walk = np.cumsum(generator.normal(size=(40_000, 200)), axis=1) / math.sqrt(200)
    areas = np.abs(walk[:, :-1] - levels * walk[:, -1:]) @ np.diff(values)
    assert 0.25e-3 <= np.mean(areas > quantile) <= 1e-3


def test_wasserstein_threshold_of_a_long_reference_is_that_of_its_law() -> None:
    """20,000 values, of which the null law takes 1,025, give the quantile of 1,000 values of the same law."""
    positions = [(np.arange(n) + 0.5) / n for n in (1000, 20_000)]
    short, long = (wasserstein_quantile(1e-6, -np.log1p(-p), bridge_areas(len(p))) for p in positions)
    assert long == pytest.approx(short, rel=0.03)


@pytest.mark.parametrize("name", sorted(CASES))
def test_smaller_share_of_independent_values_raises_the_threshold(name: str) -> None:
    """A quarter as many independent values: four times the threshold, for W1, a mean's distance, twice."""
    generator = np.random.default_rng(5)
    values = generator.integers(0, 5, 400).astype(np.float64)
    make: dict[str, Callable[..., Any]] = {
        "anderson_darling": AndersonDarlingBank,
        "wasserstein": WassersteinBank,
        "chi_square": CategoryBank,
        "g_test": lambda *given, **more: CategoryBank(*given, statistic="g", **more),
        "psi": BinnedBank,
        "jensen_shannon": lambda *given, **more: BinnedBank(*given, statistic="js", **more),
    }
    plain = run(make[name]([values[:200]], 100), values[200:]).threshold[-1, 0]
    less = run(make[name]([values[:200]], 100, n_effective=[0.25]), values[200:]).threshold[-1, 0]
    assert less == pytest.approx(plain * (2 if name == "wasserstein" else 4), rel=1e-12)


def test_empty_reference_is_untestable() -> None:
    """A signal without a reference has no statistic and no alarm; its neighbours have theirs."""
    values = np.column_stack([np.arange(40.0) % 3] * 2)
    for make in (AndersonDarlingBank, WassersteinBank, BinnedBank, CategoryBank):
        result = make([[], np.full(30, 9.0)], 20).update_many(values, np.arange(40))
        assert np.isnan(result.statistic[:, 0]).all()
        assert {alarm.signal for alarm in result.alarms} == {1}


@pytest.mark.parametrize("given", [-1.0, 2.5, math.nan, 1e200])
def test_what_is_no_code_counts_as_missing(given: float) -> None:
    """A negative or broken number, NaN and an absurd one leave window and statistic alone."""
    reference, values = [0.0, 1.0, 2.0] * 20, [0.0, 1.0] * 10
    plain, bank = CategoryBank([reference], 20), CategoryBank([reference], 20)
    run(plain, values)
    run(bank, [*values[:7], given, *values[7:]])
    for name in ("counts", "newest"):
        assert bank.state()[name].tobytes() == plain.state()[name].tobytes()


def test_codes_beyond_the_known_are_one_category() -> None:
    """Whatever their number, unseen codes count together: three of them are one cell in use."""
    bank = CategoryBank([[0.0, 1.0] * 30], 20)
    run(bank, [0.0, 1.0] * 7 + [2.0, 3.0, 2.0, 99.0, 1e15, 2.0])
    assert bank.state()["counts"].tolist() == [[7, 7, 6]]
    wider = CategoryBank([[0.0, 1.0] * 30], 20, n_categories=[4])
    run(wider, [0.0, 1.0] * 7 + [2.0, 3.0, 2.0, 99.0, 1e15, 2.0])
    assert wider.state()["counts"].tolist() == [[7, 7, 3, 1, 2]]


@pytest.mark.parametrize("step", [-1e-9, 1e-9])
@pytest.mark.parametrize("statistic", ["psi", "js"])
def test_bins_of_a_constant_reference_see_both_sides(statistic: Any, step: float) -> None:
    """Values just below or just above a constant are in bins of their own."""
    bank = BinnedBank([np.full(100, 3.0)], 50, statistic=statistic)
    assert alarms(bank, np.full(50, 3.0)) == []
    assert [alarm.status for alarm in alarms(bank, np.full(50, 3.0 + step))] == [DRIFT]


def test_bins_are_quantiles_of_the_reference() -> None:
    """Each of ten bins holds a tenth of 1,000 values; a bin holds its lower edge and not its upper."""
    bank = BinnedBank([np.arange(1000.0)], 2)
    assert bank.state()["reference"].tolist() == [[100] * 10]
    given = BinnedBank([[0.0, 1.0, 1.0, 2.0]], 2, edges=[[1.0, 2.0]])
    assert given.state()["reference"].tolist() == [[1, 2, 1]]


def test_one_absurd_value_does_not_open_a_wasserstein_alarm() -> None:
    """Clipped at eight times the reference's range, a 1e50 among 200 normal values stays under the threshold."""
    generator = np.random.default_rng(6)
    values = generator.normal(size=600)
    values[300] = 1e50
    assert alarms(WassersteinBank([generator.normal(size=1000)], 200), values) == []


def test_alarm_on_a_constant_reference_clears() -> None:
    """An alarm, for W1 at threshold 0, clears when the window is the reference's constant again."""
    for make in (AndersonDarlingBank, WassersteinBank):
        bank = make([np.full(60, 2.0)], 20, test_every=1, min_effect=0.0)
        result = alarms(bank, np.repeat([2.0, 3.0, 2.0], 60))
        assert [alarm.status for alarm in result] == [DRIFT, CLEARED]


def test_effects_are_what_the_docstrings_say() -> None:
    """A²'s effect is the KS distance, W1's is in normal spreads, the divergence's a distance in [0, 1]."""
    generator = np.random.default_rng(7)
    reference, values = generator.normal(size=500), generator.normal(1.5, 1.0, size=100)
    ks = run(RankBank([reference], 100), values).ks
    assert ks is not None
    first = alarms(AndersonDarlingBank([reference], 100), values)[0]
    assert first.effect == ks.alarms[0].effect
    w1 = alarms(WassersteinBank([reference], 100), values)[0]
    low, high = np.quantile(reference, [0.25, 0.75])
    assert w1.effect == pytest.approx(w1.statistic / (high - low) * 1.349, rel=1e-4)
    psi = alarms(BinnedBank([reference], 100), values)[0]
    assert psi.effect == psi.statistic
    apart = alarms(BinnedBank([reference], 100, statistic="js", edges=[50.0]), np.full(100, 60.0))[0]
    assert [apart.statistic, apart.effect] == pytest.approx([math.log(2.0), 1.0])
    for statistic in ("chi_square", "g"):
        bank = CategoryBank([np.zeros(300)], 100, statistic=statistic)
        assert alarms(bank, np.ones(100))[0].effect == pytest.approx(1.0)


def test_least_effect_holds_an_alarm_back() -> None:
    """What passes the threshold but not the least effect opens nothing."""
    generator = np.random.default_rng(9)
    reference, values = generator.normal(size=2000), generator.normal(0.5, 1.0, size=2000)
    for make in (AndersonDarlingBank, WassersteinBank, BinnedBank):
        result = run(make([reference], 1000, min_effect=0.9), values)
        assert result.statistic[-1, 0] > result.threshold[-1, 0]
        assert result.alarms == []


def test_anderson_darling_sees_a_change_of_spread_before_kolmogorov_smirnov() -> None:
    """What the test is there for: in 20 streams whose spread doubles it is earlier in most and never later by much."""
    generator = np.random.default_rng(10)
    delays = []
    for _ in range(20):
        reference = generator.normal(size=1000)
        values = np.concatenate([generator.normal(size=200), generator.normal(0.0, 2.0, size=800)])
        ad = alarms(AndersonDarlingBank([reference], 200, test_every=1, min_effect=0.0), values)
        ks = run(RankBank([reference], 200, tests=("ks",), min_effect=0.0), values).ks
        delays.append((ad[0].row, ks.alarms[0].row if ks is not None and ks.alarms else 1000))
    assert sum(ad < ks for ad, ks in delays) >= 15


@pytest.mark.parametrize(
    ("make", "change", "direction"),
    [
        (AndersonDarling, 60, 1),
        (AndersonDarling, -60, -1),
        (Wasserstein, 60, 1),
        (Wasserstein, -60, -1),
        (PSI, 60, 0),
        (JensenShannon, 60, 0),
        (ChiSquare, 3, 0),
        (GTest, 3, 0),
    ],
)
def test_single_detector_speaks_rivers_language(make: Any, change: int, direction: int) -> None:
    """`update` returns itself, `drift_detected` is a pulse at the opening, the bank's alarm names the direction."""
    width = 20 if make in (ChiSquare, GTest) else 1
    values = [float(37 * i % 100 // width + change * (i >= 200)) for i in range(400)]
    reference = np.arange(100) // width
    detector = make(reference, 50)
    found = [i for i, value in enumerate(values) if detector.update(value).drift_detected]
    assert len(found) == 1
    assert 200 < found[0] <= 250
    assert detector.statistic > detector.threshold
    assert detector.warning_detected is False
    first = alarms(make(reference, 50).bank, values)[0]
    assert (first.row, first.direction, first.n) == (found[0], direction, 50)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AndersonDarlingBank([], 10), r"len\(reference\) = 0; give 1 array or more"),
        (lambda: AndersonDarlingBank([[1.0, math.inf]], 10), "reference of signal 0: give a list of finite numbers"),
        (lambda: AndersonDarlingBank([[1.0]], 1), "window_n = 1; give 2 or more"),
        (lambda: AndersonDarlingBank([[1.0]], 9, alpha=0.6), r"alpha = 0.6; give a number in \(0, 0.5\)"),
        (lambda: AndersonDarlingBank([[1.0]], 9, test_every=0), "test_every = 0; give 1 or more"),
        (lambda: AndersonDarlingBank([[1.0]], 9, min_effect=1.0), r"min_effect = 1.0; give a number in \[0, 1\)"),
        (lambda: AndersonDarlingBank([[1.0]], 9, clear_ratio=0.0), r"clear_ratio = 0.0; give a number in \(0, 1\]"),
        (lambda: AndersonDarlingBank([[1.0]], 9, n_effective=[2.0]), r"n_effective = 2.0; give shares in \(0, 1\]"),
        (lambda: WassersteinBank([[1.0]], 9, clip=0.5), "clip = 0.5; give 1 or more"),
        (lambda: BinnedBank([[1.0]], 9, bins=1), "bins = 1; give 2 or more"),
        (lambda: BinnedBank([[1.0]], 9, empty=0.0), r"empty = 0.0; give a number in \(0, 1\]"),
        (lambda: BinnedBank([[1.0]], 9, edges=[2.0, 1.0]), "edges of signal 0: give 1 or more finite numbers"),
        (lambda: BinnedBank([[1.0]], 9, edges=[[1.0], [2.0]]), r"len\(edges\) = 2; give 1 arrays"),
        (lambda: BinnedBank([[1.0]], 9, statistic="kl"), "statistic = 'kl'; give 'psi' or 'js'"),  # type: ignore[arg-type]
        (lambda: CategoryBank([[0.5]], 9), "reference of signal 0: give whole category codes, 0 or more"),
        (lambda: CategoryBank([[1.0]], 9, n_categories=0), "n_categories = 0; give 1 or more"),
        (lambda: CategoryBank([[1.0]], 9, statistic="t"), "statistic = 't'; give 'chi_square' or 'g'"),  # type: ignore[arg-type]
    ],
)
def test_parameter_out_of_range_is_refused_by_name(make: Callable[[], Any], message: str) -> None:
    """The error names the parameter, its value and what to give."""
    with pytest.raises(ValueError, match=message):
        make()
