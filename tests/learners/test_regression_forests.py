"""The compiled regression learners over blocks of rows: error, drift, odd input, budget, cuts, seeds and snapshots."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from learners import LearnerError, SnapshotError, codec
from learners._regression_forest import ACTIVE
from learners._regression_learner import RegressionLearner
from learners.adaptive_random_forest_regressor import AdaptiveRandomForestRegressor
from learners.hoeffding_tree_regressor import HoeffdingTreeRegressor
from tests.learners.streams import labelled

__all__: list[str] = []

Build = Callable[..., RegressionLearner]


@pytest.fixture(params=["forest", "tree"])
def build(request: pytest.FixtureRequest) -> Build:
    """Each learner in turn; forests of three."""
    if request.param == "tree":
        return HoeffdingTreeRegressor
    return lambda *a, **k: AdaptiveRandomForestRegressor(*a, **{"trees": 3} | k)


def _stream(n: int, seed: int = 1, turn_at: int | None = None) -> tuple[Any, Any]:
    """Four numbers and a code, most of which decide, with gaps and noise; all turns round at `turn_at`."""
    rng = np.random.default_rng(seed)
    rows = np.column_stack([rng.random((n, 4)), rng.integers(5, size=n)])
    values = 10.0 * rows[:, 0] + 4.0 * np.sin(6.0 * rows[:, 1]) + 3.0 * np.isin(rows[:, 4], [1, 3])
    if turn_at is not None:
        values[turn_at:] = 20.0 - values[turn_at:]
    rows[rng.random(rows.shape) < 0.02] = np.nan
    return rows, values + rng.normal(0.0, 0.3, n)


def _mae(said: Any, values: Any, start: int = 0) -> float:
    return float(np.abs(said - values)[start:].mean())


def test_learns_numbers_codes_and_gaps(build: Build) -> None:
    """After some thousand rows the error is less than a third of the mean's; only the first row has no answer."""
    rows, values = _stream(8_000)
    said = build(5, (4,)).step_many(rows, values)
    assert 3.0 * _mae(said, values, 5_000) < _mae(values.mean(), values)
    assert math.isnan(said[0])
    assert np.isfinite(said[1:]).all()


def test_codes_are_no_numbers() -> None:
    """A column of codes in no order is used as well as one in order, and better than if it were one of numbers."""
    rng = np.random.default_rng(2)
    codes, effect = rng.integers(30, size=3_000).astype(float), rng.permutation(30) * 1.0
    values, rows = effect[codes.astype(int)], codes[:, None]
    as_codes = _mae(HoeffdingTreeRegressor(1, (0,)).step_many(rows, values)[1_500:], values[1_500:])
    as_numbers = _mae(HoeffdingTreeRegressor(1).step_many(rows, values)[1_500:], values[1_500:])
    assert as_codes < 0.7 * as_numbers


def test_leaf_decides_how_it_answers() -> None:
    """On a straight line linear leaves beat means, on a staircase of a code means do; adaptive is near the better."""
    rng = np.random.default_rng(3)
    rows = np.column_stack([rng.random(2_000), rng.integers(4, size=2_000)])
    for values, better, worse in ((5.0 * rows[:, 0], "linear", "mean"), (9.0 * (rows[:, 1] % 2), "mean", "linear")):
        kinds: tuple[Any, ...] = ("linear", "mean", "adaptive")
        errors = {
            leaf: _mae(HoeffdingTreeRegressor(2, (1,), leaf=leaf).step_many(rows, values), values, 20) for leaf in kinds
        }
        assert errors[better] < errors[worse]
        assert errors["adaptive"] < 0.5 * (errors[better] + errors[worse])


@pytest.mark.parametrize("aggregation", ["mean", "median", "weighted"])
def test_recovers_from_a_drift(aggregation: Any) -> None:
    """Two thousand rows after all has turned round, a forest is right again with new trees, a lone tree is not."""
    rows, values = _stream(8_000, turn_at=4_000)
    forest = AdaptiveRandomForestRegressor(5, (4,), trees=5, aggregation=aggregation)
    said, lone = forest.step_many(rows, values), HoeffdingTreeRegressor(5, (4,)).step_many(rows, values)
    assert forest.replaced_n > 0
    assert 1.5 * _mae(said, values, 6_000) < _mae(lone, values, 6_000)
    assert _mae(said, values, 6_000) < 1.1


def test_without_drift_hardly_a_tree_is_replaced() -> None:
    """On a steady stream the watch over the errors leaves the trees alone."""
    forest = AdaptiveRandomForestRegressor(5, (4,))
    forest.step_many(*_stream(20_000))
    assert forest.replaced_n <= 1


@pytest.mark.parametrize(("seed", "scale", "shift"), [(1, 1e-9, 0.0), (1, 1e12, 0.0), (1, 1.0, 1e9)])
def test_any_scale_of_targets_is_learned_alike(build: Build, seed: int, scale: float, shift: float) -> None:
    """Targets times a thousand million, or shifted by it, give the same answers on that scale."""
    rows, values = _stream(3_000, seed)
    plain = build(5, (4,)).step_many(rows, values)
    other = (build(5, (4,)).step_many(rows, values * scale + shift) - shift) / scale
    assert _mae(other, values, 100) == pytest.approx(_mae(plain, values, 100), rel=0.03)


@pytest.mark.parametrize("place", [0, 10, 2_000])
def test_an_absurd_target_leaves_no_lasting_trace(build: Build, place: int) -> None:
    """One target of 1e308, the very first, an early or a late one, does not show in the error 2,000 rows later."""
    rows, values = _stream(6_000)
    clean = build(5, (4,)).step_many(rows, values)
    values[place] = 1e308
    said = build(5, (4,)).step_many(rows, values)
    assert np.isfinite(said[1:]).all()
    assert _mae(said, values, place + 2_000) < 1.15 * _mae(clean, values, place + 2_000)


def test_odd_input_gives_finite_numbers(build: Build) -> None:
    """Huge, tiny, infinite, missing, constant and unseen values are learned and answered, and learning goes on."""
    rng = np.random.default_rng(2)
    odd = np.array([1e308, -1e308, np.inf, -np.inf, np.nan, 0.0, 5e-324, 1e16, -0.0, 1.0])
    rows, values = _stream(6_000)
    rows[:, 3] = 7.0
    rows[500:, 2] = np.where(rng.random(5_500) < 0.3, rng.choice(odd, 5_500), rows[500:, 2])
    rows[900:1_000] = np.nan
    rows[1_000:1_100, 4] = rng.choice(odd, 100)
    values[1_200:1_220] = rng.choice(odd[:4], 20)
    learner = build(5, (4,))
    said = learner.step_many(rows, values)
    assert np.isfinite(said[1:]).all()
    assert _mae(said, values, 5_000) < 0.6 * _mae(values[5_000:].mean(), values, 5_000)
    assert type(learner).restore(learner.snapshot()).snapshot() == learner.snapshot()


def test_huge_targets_without_end_stay_finite(build: Build) -> None:
    """Even where every target is absurd, and of either sign, answers are finite numbers."""
    rng = np.random.default_rng(4)
    said = build(2).step_many(rng.normal(size=(4_000, 2)), rng.choice([1e308, -1e308, 3e307], 4_000))
    assert np.isfinite(said[1:]).all()


def test_any_cut_of_the_stream_gives_the_same_bits(build: Build) -> None:
    """One block, single rows, or uneven blocks with a restart between: same answers, same snapshot."""
    rows, values = _stream(5_000, turn_at=2_500)
    values[20] = 1e308  # lets all trees begin anew at the 64th target
    values[1_000:1_200:2] = np.nan
    whole, cut = build(5, (4,)), build(5, (4,))
    wanted, found, start = whole.step_many(rows, values), [], 0
    for size in [1] * 80 + [7, 300, 1, 2_900, 13, 5_000]:
        found.append(cut.step_many(rows[start : start + size], values[start : start + size]))
        cut = type(cut).restore(cut.snapshot())
        start += size
    assert np.concatenate(found).tobytes() == wanted.tobytes()
    assert cut.snapshot() == whole.snapshot()
    if isinstance(whole, AdaptiveRandomForestRegressor):
        assert whole.replaced_n > 0


def test_predicting_leaves_no_trace(build: Build) -> None:
    """Rows that are only answered, alone or among labelled ones, change neither state nor later answers."""
    rows, values = _stream(1_500)
    asked, plain, some = build(5, (4,)), build(5, (4,)), values.copy()
    some[::3] = np.nan
    known = ~np.isnan(some)
    assert asked.step_many(rows, some)[known].tobytes() == plain.step_many(rows[known], some[known]).tobytes()
    assert asked.predict_many(rows[:50]).tobytes() == plain.predict_many(rows[:50]).tobytes()
    assert asked.snapshot() == plain.snapshot()


def test_seed_decides_the_bits() -> None:
    """The same seed gives the same bytes, another seed others."""
    rows, values = _stream(2_000)
    first, second, other = (AdaptiveRandomForestRegressor(5, (4,), trees=3, seed=seed) for seed in (3, 3, 4))
    for learner in (first, second, other):
        learner.learn_many(rows, values)
    assert first.snapshot() == second.snapshot()
    assert first.predict_many(rows).tobytes() != other.predict_many(rows).tobytes()


def test_budget_holds(build: Build) -> None:
    """A tree that has used up its part grows no further, and goes on answering and learning."""
    rng = np.random.default_rng(3)
    rows, budget = rng.random((30_000, 6)), 200_000
    values = np.floor(rows[:, :3] * 4).sum(axis=1) + np.arange(30_000) // 3_000
    learner = build(6, budget_bytes=budget, grace_n=20.0, delta=0.1)
    said = learner.step_many(rows, values)
    pool = learner._ensemble.pool
    assert sum(part.nbytes for part in (pool.link, pool.cut, pool.codes, pool.stats, pool.subset)) <= budget
    assert learner.state_bytes <= budget
    assert np.isfinite(said[1:]).all()
    assert type(learner).restore(learner.snapshot()).snapshot() == learner.snapshot()


def test_features_beyond_the_budget_are_a_learner_error(build: Build) -> None:
    """An example with more features than the budget holds is refused, and the learner stays as it was."""
    learner = build(budget_bytes=30_000)
    learner.learn_one({"a": 1.0}, 2.0)
    before = learner.snapshot()
    with pytest.raises(LearnerError, match="budget_bytes"):
        learner.learn_one({f"f{i}": 1.0 for i in range(200)}, 2.0)
    assert learner.snapshot() == before


def test_targets_that_are_no_numbers_are_learner_errors(build: Build) -> None:
    """Text and what is not finite are refused, and nothing is learned, new features included."""
    learner = build()
    learner.learn_one({"a": 1.0}, 2.0)
    before = learner.snapshot()
    for y in ("many", math.nan, math.inf):
        with pytest.raises(LearnerError, match=r"target .*: must be"):
            learner.learn_one({"a": 1.0, "b": 2.0}, y)
    assert learner.snapshot() == before
    learner.learn_one({"a": 1.0}, "3.5")


def test_names_and_rows_give_the_same_trees() -> None:
    """Examples with names, learned one by one, are answered as the same stream in rows."""
    rows, values = _stream(600)
    rows = np.vstack([[0.5] * 5, rows])
    named, dense = HoeffdingTreeRegressor(), HoeffdingTreeRegressor(4)
    for row, y in zip(rows[:, :4].tolist(), [1.0, *values.tolist()], strict=True):
        x: dict[str, float | str] = {name: v for name, v in zip("abcd", row, strict=True) if not math.isnan(v)}
        said = named.predict_one(x)
        assert [math.nan if said is None else said] == pytest.approx(dense.step_many([row], [y]).tolist(), nan_ok=True)
        named.learn_one(x, y)


def test_a_feature_that_appears_late_is_learned(build: Build) -> None:
    """A column that comes after a thousand examples, and decides from then on, is put to use."""
    rng = np.random.default_rng(5)
    learner, errors = build(), []
    for i in range(4_000):
        a, b, c, d = rng.random(4).tolist()
        x: dict[str, float | str] = {"a": a, "b": b, "c": c} | ({"d": d} if i >= 1_000 else {})
        y = 10.0 * (d if i >= 1_000 else a)
        errors.append(abs(y - (learner.predict_one(x) or 0.0)))
        learner.learn_one(x, y)
    assert np.mean(errors[3_000:]) < 1.0


def test_examples_in_blocks_are_run_as_one_by_one(build: Build) -> None:
    """Questions and labels in any order, features that appear, errors among them: as single calls, to the bit."""
    examples = [(x, y if i != 150 else "no number") for i, (x, y) in enumerate(labelled("regression", 300))]
    ops: list[Any] = [op for i, (x, y) in enumerate(examples) for op in ([(x, None)] if i % 3 else []) + [(x, y)]]
    single, block, learned = build(), build(), build()
    wanted: list[Any] = []
    for x, y in ops:
        if y is None:
            wanted.append(single.predict_one(x))
            continue
        try:
            wanted.append(single.learn_one(x, y))  # type: ignore[func-returns-value]
        except LearnerError as error:
            wanted.append(str(error))
    found = block.run_examples(ops[:97]) + block.run_examples([]) + block.run_examples(ops[97:])
    assert [str(one) if isinstance(one, LearnerError) else one for one in found] == wanted
    assert sum(isinstance(one, LearnerError) for one in found) == 1
    errors = learned.learn_examples(examples)
    assert [i for i, error in enumerate(errors) if error is not None] == [150]
    asked = [x for x, _ in examples]
    assert block.predict_examples(asked) == [single.predict_one(x) for x in asked]
    assert block.predict_examples([]) == []
    assert block.snapshot() == single.snapshot() == learned.snapshot()


def _forged(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    tree = codec.decode(data)
    change(tree)
    return codec.encode(tree)


def test_forged_snapshots_are_refused(build: Build) -> None:
    """Numbers that would lead a kernel astray are refused, though the checksum fits: outside, circular, not finite."""
    learner = build(5, (4,), grace_n=20.0, delta=0.1)
    learner.learn_many(*_stream(3_000))
    data, active = learner.snapshot(), int(learner._ensemble.members[0, ACTIVE])

    def part(place: int, at: Any, value: float) -> Callable[[dict[str, Any]], object]:
        return lambda tree: tree["trees"]["regions"][active][place].__setitem__(at, value)

    def fixed(name: str, at: Any, value: float) -> Callable[[dict[str, Any]], object]:
        return lambda tree: tree["trees"][name].__setitem__(at, value)

    width = learner._ensemble.pool.stats.shape[1]
    first_slot = 9 + 5
    forgeries: list[Callable[[dict[str, Any]], object]] = [
        part(0, 0, 10**9), part(0, 1, -3), part(1, (0, 0), 99), part(1, (0, 1), 10**6), part(1, (0, 2), 0),
        part(2, 0, math.nan), part(4, (0, 2), -1.0), part(4, (0, width - 1), math.inf), part(4, (0, first_slot), 40.0),
        part(4, (0, first_slot), 2.5), part(5, (0, 0), 77), fixed("members", (0, 0), 77), fixed("members", (0, 1), 0),
        fixed("clip", 0, -5.0), fixed("clip", 1, math.nan), fixed("scale", (0, 2), math.inf),
        fixed("record", (0, 0), -1.0),
        lambda tree: tree["config"].update(budget_bytes=1), lambda tree: tree["trees"].pop("regions"),
        lambda tree: tree["trees"].update(nominal=[False] * 90), lambda tree: tree["config"].update(leaf="none"),
    ]  # fmt: skip
    if isinstance(learner, AdaptiveRandomForestRegressor):
        forgeries += [fixed("windows", (0, 2), 9e9), fixed("windows", (0, 3), 7.0), fixed("windows", (0, 3), 0.5)]
    assert type(learner).restore(_forged(data, lambda tree: None)).snapshot() == data
    for forgery in forgeries:
        with pytest.raises(SnapshotError):
            type(learner).restore(_forged(data, forgery))


def test_wrong_calls_say_what_is_allowed(build: Build) -> None:
    """Blocks of another width or length, and parameters out of range, are the caller's mistake."""
    learner = build(5)
    with pytest.raises(ValueError, match=r"must be \[n, 5\]"):
        learner.predict_many(np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"must be \[3\]"):
        learner.step_many(np.zeros((3, 5)), [1.0, 0.0])
    for name, value in (
        ("nominal", (5,)), ("grace_n", 0.0), ("delta", 1.0), ("tau", -1.0), ("leaf", "best"), ("learning_rate", 0.0),
        ("fading", 1.0), ("split_least_n", 0.0), ("categories_cap", 65), ("budget_bytes", 10),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=name):
            build(5, **{name: value})
    for name, value in (("aggregation", "sum"), ("trees", 0), ("columns_share", 0.0), ("mean_weight", 30.0)):
        with pytest.raises(ValueError, match=name):
            AdaptiveRandomForestRegressor(5, **{name: value})  # type: ignore[arg-type]


def test_no_worse_than_rivers() -> None:
    """On a stream with a bend, a product and a staircase, tree and forest err no more than river's."""
    from river import forest, tree

    rng = np.random.default_rng(8)
    rows = rng.random((4_000, 5))
    values = 10.0 * np.sin(3.0 * rows[:, 0] * rows[:, 1]) + 5.0 * (rows[:, 2] > 0.4) + 8.0 * (rows[:, 3] - 0.5) ** 2
    values += rng.normal(0.0, 0.3, 4_000)
    for ours, theirs in (
        (HoeffdingTreeRegressor(5), tree.HoeffdingTreeRegressor()),
        (AdaptiveRandomForestRegressor(5, trees=3), forest.ARFRegressor(3, seed=1)),
    ):
        said = []
        for row, y in zip(rows.tolist(), values.tolist(), strict=True):
            x = dict(zip("abcde", row, strict=True))
            said.append(theirs.predict_one(x))
            theirs.learn_one(x, y)
        assert _mae(ours.step_many(rows, values), values, 500) < _mae(np.array(said), values, 500)
