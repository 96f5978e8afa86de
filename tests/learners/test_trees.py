"""The parts of a tree against slow, obvious twins: estimator, naive Bayes, split search, bound, ADWIN over bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as laws

from learners._tree_adwin import ADWIN_N, WINDOW_N, WINDOW_ONES, add_bit, clear_window, error_rate
from learners._tree_ensemble import Ensemble
from learners._tree_kernels import answer, observe
from learners._tree_layout import FEATURE, FLAGS, LEFT, MULTIWAY, NEXT, RIGHT, ROOT, Shape, shape_of
from learners._tree_plan import BAYES, Plan
from learners._tree_split import (
    CUTS,
    best_splits,
    erfc,
    find_scales,
    gain,
    hoeffding_bound,
    multiway_gain,
    n_log_n,
    weight_left,
)
from learners.hoeffding_adaptive_tree import HoeffdingAdaptiveTree
from learners.hoeffding_tree import HoeffdingTree

__all__: list[str] = []

CLASSES = 3


def _leaf(seed: int = 0, n: int = 300) -> tuple[Any, Any, Any, Any]:
    """A pool whose only leaf has observed two numeric columns and one of five codes; and what it has seen."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=n)
    rows = np.column_stack([rng.normal(labels, 1.0), rng.normal(size=n) * 3.0, (labels + rng.integers(3, size=n)) % 5])
    rows[rng.random(rows.shape) < 0.1] = np.nan
    weights = rng.integers(1, 5, size=n)
    ensemble = Ensemble(Plan("bag", grace_n=1e9), 3, (2,))
    ensemble.grow((0, 0, 5), CLASSES)
    ensemble.classes = CLASSES
    pool = ensemble.pool
    for r in range(n):
        observe(rows, r, labels[r], float(weights[r]), 0, pool.stats, pool.subset, pool.slots, pool.columns)
    return pool, rows, labels, weights


def _seen(rows: Any, labels: Any, weights: Any, column: int, label: int) -> Any:
    """The values of a column in one class, each as often as it weighs."""
    mine = (labels == label) & ~np.isnan(rows[:, column])
    return np.repeat(rows[mine, column], weights[mine])


def test_estimator_equals_the_repeated_values() -> None:
    """Weight, mean, variance and range of a column per class are those of the values, each repeated by its weight."""
    pool, rows, labels, weights = _leaf()
    for column in (0, 1):
        for label in range(CLASSES):
            values = _seen(rows, labels, weights, column, label)
            at = pool.slots[column, 0] + label * pool.slots[column, 1]
            n, mean, squares, low, high, precision = pool.stats[0, at : at + 6]
            assert (n, low, high) == (len(values), values.min(), values.max())
            assert mean == pytest.approx(values.mean(), rel=1e-12)
            assert squares / (n - 1.0) == pytest.approx(values.var(ddof=1), rel=1e-12)
            assert 1.0 / precision == pytest.approx(values.var(ddof=1), rel=1e-12)


def test_nominal_counts_are_the_counts() -> None:
    """A column of codes keeps the weight of each code per class, and none for what is missing."""
    pool, rows, labels, weights = _leaf()
    for label in range(CLASSES):
        at = pool.slots[2, 0] + label * pool.slots[2, 1]
        counts = np.bincount(_seen(rows, labels, weights, 2, label).astype(int), minlength=8)
        assert pool.stats[0, at] == counts.sum()
        assert pool.stats[0, at + 1 : at + 9].tolist() == counts.tolist()


def test_naive_bayes_equals_the_product_of_densities() -> None:
    """A leaf's probabilities are prior times normal densities times smoothed shares of codes, over what is present."""
    pool, rows, labels, weights = _leaf()
    votes, scores = np.zeros(4), np.zeros(4)
    priors = np.array([weights[labels == k].sum() for k in range(CLASSES)])
    for row in ([0.3, -1.0, 2.0], [math.nan, 2.0, 0.0], [1.5, math.nan, math.nan], [40.0, 0.0, 4.0]):
        wanted = np.log(priors)
        for label in range(CLASSES):
            seen = [_seen(rows, labels, weights, column, label) for column in range(3)]
            normal = [laws.norm.logpdf(row[c], seen[c].mean(), seen[c].std(ddof=1)) for c in (0, 1)]
            code = math.log(((seen[2] == row[2]).sum() + 1) / (len(seen[2]) + 8))
            wanted[label] += sum(p for p, x in zip((*normal, code), row, strict=True) if not math.isnan(x))
        shares = np.exp(wanted - wanted.max())
        answer(np.array([row]), 0, 0, pool.stats, pool.subset, pool.slots, pool.columns, CLASSES, BAYES, votes, scores)
        assert votes[:CLASSES] == pytest.approx(shares / shares.sum(), rel=1e-9, abs=1e-300)


def _entropy(weights: Any) -> float:
    shares = np.asarray(weights, dtype=float) / np.sum(weights)
    return float(-sum(p * math.log2(p) for p in shares if p > 0.0))


def _slow_gain(parts: list[Any], total: Any) -> float:
    masses = [np.sum(part) for part in parts]
    if sum(mass > 0.01 * sum(masses) for mass in masses) < 2:
        return -math.inf
    rest = sum(mass * _entropy(part) for mass, part in zip(masses, parts, strict=True) if mass > 0.0)
    return _entropy(total) - float(rest) / float(sum(masses))


def _slow_left(rows: Any, labels: Any, weights: Any, column: int, x: float) -> Any:
    found = []
    for label in range(CLASSES):
        values = _seen(rows, labels, weights, column, label)
        share = laws.norm.cdf(x, values.mean(), values.std(ddof=1))
        found.append(0.0 if x < values.min() else len(values) * (1.0 if x >= values.max() else share))
    return np.array(found)


def test_split_search_equals_the_slow_one() -> None:
    """Best and second best gain, and where the best lies, are those of a search by the definition of information."""
    for seed in range(5):
        pool, rows, labels, weights = _leaf(seed)
        total = np.array([weights[labels == k].sum() for k in range(CLASSES)])
        found: list[tuple[float, int, float]] = [(0.0, -1, 0.0)]
        for column in (0, 1):
            sides = [_seen(rows, labels, weights, column, k) for k in range(CLASSES)]
            n = np.array([len(side) for side in sides])
            low, high = min(side.min() for side in sides), max(side.max() for side in sides)
            cuts = [low + (high - low) / (CUTS + 1) * (c + 1) for c in range(CUTS)]
            lefts = [_slow_left(rows, labels, weights, column, x) for x in cuts]
            gains = [_slow_gain([left, n - left], total) for left in lefts]
            found.append((max(gains), column, cuts[int(np.argmax(gains))]))
        codes = [np.array([(_seen(rows, labels, weights, 2, k) == c).sum() for k in range(CLASSES)]) for c in range(8)]
        found.append((_slow_gain(codes, total), 2, 8.0))
        found.sort(reverse=True)
        first, second, place, cut = best_splits(_entropy(total), 0, pool, CLASSES, np.zeros((2, 4)))
        assert (first, second) == pytest.approx((found[0][0], found[1][0]), abs=2e-6)
        assert place == found[0][1]
        assert cut == pytest.approx(found[0][2], rel=1e-9)


@settings(deadline=None)
@given(st.floats(1e-250, 1e250), st.floats(-30.0, 30.0))
def test_quick_functions_are_close_to_the_exact(n: float, x: float) -> None:
    """The logarithm is right to 1e-11, the error function to 3e-7, over more than any stream needs."""
    logarithm: Any = n_log_n
    assert logarithm(n) / n == pytest.approx(math.log(n), rel=1e-11, abs=1e-11)
    assert logarithm.py_func(n) == logarithm(n)
    assert logarithm(0.0) == 0.0
    compiled: Any = erfc
    assert compiled(x) == pytest.approx(math.erfc(x), abs=3e-7)
    assert compiled.py_func(x) == compiled(x)


def test_kernels_agree_with_their_python() -> None:
    """Compiled and interpreted, the small kernels of a split give the same numbers."""
    pool, *_ = _leaf()
    kernels: list[Any] = [gain, weight_left, multiway_gain]
    one, two, three = kernels
    work, other = np.zeros((2, 4)), np.zeros((2, 4))
    for scales in (work, other):
        find_scales(pool.stats, 0, pool.slots[0], CLASSES, scales)
    for x in (-1.0, 0.4, 2.0):
        arguments = 1.5, pool.stats, 0, pool.slots[0], x, False, CLASSES
        assert one(*arguments, work) == pytest.approx(one.py_func(*arguments, other), rel=1e-12)
        assert work == pytest.approx(other)
        at = int(pool.slots[0, 0])
        side = pool.stats, 0, at, x, work[1, 0]
        assert two(*side) == pytest.approx(two.py_func(*side))
    many = 1.5, pool.stats, 0, pool.slots[2], 8, CLASSES
    assert three(*many) == pytest.approx(three.py_func(*many), rel=1e-12)


@pytest.mark.parametrize(("value_range", "delta", "n"), [(1.0, 1e-7, 200.0), (math.log2(7), 0.01, 50.0)])
def test_hoeffding_bound_is_the_formula(value_range: float, delta: float, n: float) -> None:
    """sqrt(R² ln(1/delta) / 2n)."""
    wanted = value_range * math.sqrt(-math.log(delta) / (2 * n))
    assert hoeffding_bound(value_range, delta, n) == pytest.approx(wanted, rel=1e-14)


def test_window_is_always_the_newest_bits() -> None:
    """The counts of an ADWIN are those of the last bits of its width, whatever was cut."""
    rng = np.random.default_rng(3)
    windows = np.zeros((2, ADWIN_N), dtype=np.int32)
    clear_window(windows, 1)
    bits = np.concatenate([rng.random(3_000) < p for p in (0.1, 0.5, 0.2, 0.9)]).astype(int)
    for i, bit in enumerate(bits.tolist()):
        add_bit(windows, 1, bit, 0.002)
        width = windows[1, WINDOW_N]
        assert windows[1, WINDOW_ONES] == bits[i + 1 - width : i + 1].sum()
    assert error_rate(windows, 1) == pytest.approx(0.9, abs=0.05)


def test_adwin_finds_the_change_where_moa_does() -> None:
    """On the shared stream s2 (VECTORS: MOA through CapyMOA 0.15.1) the first rise is found at the same bit."""
    generator = np.random.RandomState(12345)  # the stream is defined by the old generator
    bits = np.concatenate([generator.binomial(1, 0.2, 1_000), generator.binomial(1, 0.8, 1_000)])
    windows = np.zeros((1, ADWIN_N), dtype=np.int32)
    clear_window(windows, 0)
    alarms = [i for i, bit in enumerate(bits.tolist()) if add_bit(windows, 0, bit, 0.002)]
    assert alarms == [1055, 1087, 1119, 1247]


def test_tree_splits_on_what_decides() -> None:
    """The root of a grown tree is the column that decides; the tree is right nearly always."""
    rng = np.random.default_rng(4)
    rows = rng.random((8_000, 4))
    labels = (rows[:, 2] > 0.37).astype(int)
    tree = HoeffdingTree(4)
    said = tree.step_many(rows, labels).argmax(axis=1)
    assert (said == labels)[4_000:].mean() > 0.97
    assert tree._ensemble.pool.link[0, FEATURE] == 2
    assert tree._ensemble.pool.cut[0] == pytest.approx(0.37, abs=0.1)


def test_nominal_column_gets_a_branch_per_code_and_unseen_codes_go_to_the_heaviest() -> None:
    """A few codes split in as many branches; a code never seen, and a missing one, are answered by the heaviest."""
    rng = np.random.default_rng(5)
    codes = rng.choice(4, size=4_000, p=[0.5, 0.2, 0.2, 0.1])
    tree = HoeffdingTree(1, (0,), leaf=0)
    tree.learn_many(codes[:, None], codes % 2)
    assert tree._ensemble.pool.link[0, FLAGS] & MULTIWAY
    asked = np.array([[0.0], [1.0], [2.0], [3.0], [9.0], [math.nan], [-1.0], [1e308]])
    assert tree.predict_many(asked).argmax(axis=1).tolist() == [0, 1, 0, 1, 0, 0, 0, 0]


def test_many_codes_are_split_into_one_against_the_rest() -> None:
    """Above sixteen codes a split takes one code out, and the rest, unseen codes included, stay together."""
    rng = np.random.default_rng(6)
    codes = rng.integers(30, size=8_000)
    tree = HoeffdingTree(1, (0,), leaf=0)
    tree.learn_many(codes[:, None], codes == 7)
    link = tree._ensemble.pool.link
    assert link[0, FEATURE] == 0
    assert not link[0, FLAGS] & MULTIWAY
    assert link[link[0, LEFT], FEATURE] == link[link[0, RIGHT], FEATURE] == -1
    assert tree.predict_many([[7.0], [8.0], [50.0], [math.nan]]).argmax(axis=1).tolist() == [1, 0, 0, 0]


def _two_branches(seed: int, turned: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Classes 0 and 1 where the first column is 0, else 2 and 3; from row 20,000 on those of `turned` are swapped."""
    rng = np.random.default_rng(seed)
    rows = rng.random((30_000, 3))
    rows[:, 0] = rng.integers(2, size=30_000)
    labels = np.where(rows[:, 0] == 0, rows[:, 1] < 0.4, 2 + (rows[:, 2] < 0.6)).astype(np.int64)
    drifted = (np.arange(30_000) >= 20_000) & np.isin(rows[:, 0], turned)
    labels[drifted] ^= 1
    return rows, labels


def _splits(tree: HoeffdingAdaptiveTree, node: int) -> set[tuple[int, int, float]]:
    """The number, column and cut of each split from `node` down."""
    link, cut = tree._ensemble.pool.link, tree._ensemble.pool.cut
    if link[node, FEATURE] < 0:
        return set()
    below = _splits(tree, int(link[node, LEFT])) | _splits(tree, int(link[node, RIGHT]))
    return below | {(node, int(link[node, FEATURE]), float(cut[node]))}


@pytest.mark.parametrize("nominal", [(), (0,)], ids=["numbers", "codes"])
@pytest.mark.parametrize("seed", range(15))
def test_only_the_branch_that_drifted_is_replaced(seed: int, nominal: tuple[int, ...]) -> None:
    """When one branch's labels turn round, root and every split of the other branch stay, and nobody there notices."""
    rows, labels = _two_branches(seed, (0,))
    tree = HoeffdingAdaptiveTree(3, nominal)
    tree.learn_many(rows[:20_000], labels[:20_000])
    root, link = int(tree._ensemble.pool.region[0, ROOT]), tree._ensemble.pool.link
    other = int(link[link[root, LEFT], NEXT] if link[root, FLAGS] & MULTIWAY else link[root, RIGHT])
    before = _splits(tree, other)
    right = tree.step_many(rows[20_000:], labels[20_000:]).argmax(axis=1) == labels[20_000:]
    assert tree.replaced_n >= 1
    assert int(tree._ensemble.pool.region[0, ROOT]) == root
    assert set() < before <= _splits(tree, other)
    assert right[rows[20_000:, 0] == 1].mean() > 0.995
    assert right[5_000:].mean() > 0.98
    frozen = HoeffdingTree(3, nominal).step_many(rows, labels).argmax(axis=1) == labels
    assert right.mean() > frozen[20_000:].mean() + 0.02


def test_a_drift_in_one_half_of_the_space_is_followed() -> None:
    """Also where the root does not split between the halves: the tree recovers there and keeps the other half."""
    rng = np.random.default_rng(7)
    rows = rng.random((40_000, 3))
    labels = np.where(rows[:, 0] < 0.5, rows[:, 1] < 0.4, rows[:, 2] < 0.6).astype(int)
    turned = (np.arange(40_000) >= 20_000) & (rows[:, 0] < 0.5)
    labels[turned] = 1 - labels[turned]
    tree = HoeffdingAdaptiveTree(3)
    right = tree.step_many(rows, labels).argmax(axis=1) == labels
    still = rows[:, 0] >= 0.5
    assert tree.replaced_n >= 1
    assert right[30_000:].mean() > 0.95
    assert right[20_000:][still[20_000:]].mean() > 0.95
    frozen = HoeffdingTree(3)
    assert right[20_000:].mean() > (frozen.step_many(rows, labels).argmax(axis=1) == labels)[20_000:].mean()


@pytest.mark.parametrize("seed", range(6))
def test_a_drift_in_all_branches_is_followed(seed: int) -> None:
    """When all labels turn round, the tree follows within a few thousand rows, whatever it replaces."""
    rows, labels = _two_branches(seed, (0, 1))
    tree = HoeffdingAdaptiveTree(3)
    right = tree.step_many(rows, labels).argmax(axis=1) == labels
    assert tree.replaced_n >= 1
    assert right[25_000:].mean() > 0.99


def test_shape_refuses_a_budget_without_room() -> None:
    """A budget that does not hold a leaf a tree is refused with the number that is needed."""
    with pytest.raises(ValueError, match="budget_bytes = 1000: "):
        shape_of(Shape(2, 8, (0,) * 8), 20, 1_000)


@pytest.mark.parametrize("name", ["grace_n", "delta", "tau", "leaf", "classes_cap"])
def test_parameters_out_of_range_are_named(name: str) -> None:
    """A parameter that no tree can work with is refused by its name."""
    parameters: dict[str, Any] = {name: -1}
    with pytest.raises(ValueError, match=f"{name} = -1: must be "):
        HoeffdingTree(**parameters)


def test_a_tree_may_grow_as_deep_as_it_has_nodes() -> None:
    """A stream whose halves split again and again makes a path of more than a hundred nodes without harm."""
    rng = np.random.default_rng(8)
    tree = HoeffdingAdaptiveTree(1, (0,), grace_n=5.0, delta=0.9, tau=1.0, categories_cap=4_096)
    for code in range(299):
        codes = rng.integers(code + 1, 300, size=30).astype(float)
        codes[::2] = code
        tree.learn_many(codes[:, None], codes == code)
    link, deepest = tree._ensemble.pool.link, 0
    todo = [(int(tree._ensemble.pool.region[0, ROOT]), 1)]
    while todo:
        node, depth = todo.pop()
        deepest = max(deepest, depth)
        if link[node, FEATURE] >= 0:
            todo += [(int(link[node, LEFT]), depth + 1), (int(link[node, RIGHT]), depth + 1)]
    assert deepest > 100
    assert HoeffdingAdaptiveTree.restore(tree.snapshot()).snapshot() == tree.snapshot()
