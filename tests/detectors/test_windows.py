"""The tests of a window against a reference, held to their definitions and to their levels."""

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
from detectors.anderson_darling import AndersonDarlingBank
from detectors.base import Floats
from detectors.binned import BinnedBank
from detectors.categories import CategoryBank
from detectors.wasserstein import WassersteinBank
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
