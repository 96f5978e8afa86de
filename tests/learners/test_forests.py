"""The compiled tree learners over blocks of rows: accuracy, drift, odd input, budget, cuts, seeds and snapshots."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from learners import LearnerError, SnapshotError, codec
from learners._tree_learner import TreeLearner
from learners.adaptive_random_forest import AdaptiveRandomForest
from learners.hoeffding_adaptive_tree import HoeffdingAdaptiveTree
from learners.hoeffding_tree import HoeffdingTree
from learners.leveraging_bagging import LeveragingBagging
from learners.oza_bagging import OzaBaggingAdwin
from learners.streaming_random_patches import StreamingRandomPatches
from tests.learners.streams import labelled

__all__: list[str] = []

Build = Callable[..., TreeLearner]

ENSEMBLES: dict[str, Build] = {
    "adaptive_random_forest": AdaptiveRandomForest,
    "leveraging_bagging": LeveragingBagging,
    "oza_bagging": OzaBaggingAdwin,
    "streaming_random_patches": StreamingRandomPatches,
}
SEEDED = ENSEMBLES | {"hoeffding_adaptive_tree": HoeffdingAdaptiveTree}
ALL = SEEDED | {"hoeffding_tree": HoeffdingTree}


@pytest.fixture(params=sorted(ALL))
def build(request: pytest.FixtureRequest) -> Build:
    """Each learner in turn; ensembles of three."""
    name = str(request.param)
    few: dict[str, Any] = {"trees": 3} if name in ENSEMBLES else {}
    if name == "streaming_random_patches":
        # Three trees that each lack two of five columns could not learn what two columns decide.
        few["columns_share"] = 0.8
    return lambda *a, **k: ALL[name](*a, **few, **k)


def _stream(n: int, seed: int = 1, turn_at: int | None = None) -> tuple[Any, Any]:
    """Four numbers, two of which decide, a code that helps, and gaps; the labels turn round at `turn_at`."""
    rng = np.random.default_rng(seed)
    rows = np.column_stack([rng.random((n, 4)), rng.integers(5, size=n)])
    labels = (rows[:, 0] + 0.5 * rows[:, 1] + 0.1 * (rows[:, 4] == 3) > 0.8).astype(np.int64)
    if turn_at is not None:
        labels[turn_at:] = 1 - labels[turn_at:]
    rows[rng.random(rows.shape) < 0.03] = np.nan
    return rows, labels


def _right(shares: Any, labels: Any) -> Any:
    return shares.argmax(axis=1) == labels


def test_learns_a_separable_stream(build: Build) -> None:
    """After some thousand rows with gaps, more than nine in ten are answered right, and answers are probabilities."""
    rows, labels = _stream(6_000)
    shares = build(5, (4,)).step_many(rows, labels)
    assert _right(shares, labels)[3_000:].mean() > 0.9
    assert np.isfinite(shares).all()
    assert shares[1:].sum(axis=1) == pytest.approx(1.0)
    assert not shares[0].any()


@pytest.mark.parametrize("name", sorted(ENSEMBLES))
def test_recovers_from_a_drift(name: str) -> None:
    """Three thousand rows after all labels have turned round, an ensemble is right again, a lone tree is not."""
    rows, labels = _stream(12_000, turn_at=6_000)
    learner = ENSEMBLES[name](5, (4,), **({"columns_share": 0.8} if name == "streaming_random_patches" else {}))
    right = _right(learner.step_many(rows, labels), labels)
    lone = _right(HoeffdingTree(5, (4,)).step_many(rows, labels), labels)
    assert learner.replaced_n > 0
    assert right[9_000:].mean() > 0.9 > lone[9_000:].mean()


def test_any_cut_of_the_stream_gives_the_same_bits(build: Build) -> None:
    """One block, single rows, or uneven blocks with a restart between: same answers, same snapshot."""
    rows, labels = _stream(3_000, turn_at=1_500)
    labels[2_000:][rows[2_000:, 1] > 0.8] = 4  # a class that appears late
    whole, cut = build(5, (4,)), build(5, (4,))
    wanted = whole.step_many(rows, labels)
    found, start = np.zeros_like(wanted), 0
    for size in [1] * 40 + [7, 300, 1, 900, 13, 5_000]:
        shares = cut.step_many(rows[start : start + size], labels[start : start + size])
        found[start : start + size, : shares.shape[1]] = shares
        cut = type(cut).restore(cut.snapshot())
        start += size
    assert found.tobytes() == wanted.tobytes()
    assert cut.snapshot() == whole.snapshot()


def test_predicting_leaves_no_trace(build: Build) -> None:
    """Rows that are only answered, alone or among labelled ones, change neither state nor later answers."""
    rows, labels = _stream(1_500)
    asked, plain = build(5, (4,)), build(5, (4,))
    some = labels.copy()
    some[::3] = -1
    shares = asked.step_many(rows, some)
    kept = plain.step_many(rows[some >= 0], some[some >= 0])
    assert shares[some >= 0].tobytes() == kept.tobytes()
    assert asked.predict_many(rows[:50]).tobytes() == plain.predict_many(rows[:50]).tobytes()
    assert asked.snapshot() == plain.snapshot()


@pytest.mark.parametrize("name", sorted(SEEDED))
def test_seed_decides_the_bits(name: str) -> None:
    """The same seed gives the same bytes, another seed others."""
    rows, labels = _stream(2_000)
    first, second, other = (SEEDED[name](5, (4,), seed=seed) for seed in (3, 3, 4))
    for learner in (first, second, other):
        learner.learn_many(rows, labels)
    assert first.snapshot() == second.snapshot()
    assert first.predict_many(rows).tobytes() != other.predict_many(rows).tobytes()


def test_odd_input_gives_finite_probabilities(build: Build) -> None:
    """Huge, tiny, infinite, missing, constant and unseen values are learned and answered without a non-finite share."""
    rng = np.random.default_rng(2)
    odd = np.array([1e308, -1e308, np.inf, -np.inf, np.nan, 0.0, 5e-324, 1e16, -0.0, 1.0])
    rows, labels = _stream(4_000)
    rows[:, 3] = 7.0
    rows[500:, 0] = np.where(rng.random(3_500) < 0.3, rng.choice(odd, 3_500), rows[500:, 0])
    rows[900:1_000] = np.nan
    rows[1_000:1_100, 4] = rng.choice(odd, 100)
    shares = build(5, (4,)).step_many(rows, labels)
    assert np.isfinite(shares).all()
    assert shares[1:].sum(axis=1) == pytest.approx(1.0)
    assert _right(shares, labels)[3_000:].mean() > 0.6


def test_new_classes_appear_and_too_many_are_refused(build: Build) -> None:
    """Classes beyond the first two get places as they come; one beyond the cap is refused and nothing is learned."""
    rows, labels = _stream(4_000)
    labels = labels + 2 * (rows[:, 1] > 0.5) + 4 * (np.arange(4_000) > 2_000) * (rows[:, 2] > 0.9)
    learner = build(5, (4,), classes_cap=8)
    shares = learner.step_many(rows, labels)
    assert shares.shape[1] == labels.max() + 1
    assert _right(shares, labels)[1_000:2_000].mean() > 0.8
    before = learner.snapshot()
    with pytest.raises(ValueError, match="label 8 is beyond classes_cap = 8"):
        learner.learn_many(rows[:3], [0, 8, 1])
    assert learner.snapshot() == before


def test_budget_holds(build: Build) -> None:
    """A tree that has used up its part grows no further, and goes on answering and learning."""
    rng = np.random.default_rng(3)
    rows = rng.random((30_000, 6))
    labels = ((rows[:, :3] * 4).astype(int).sum(axis=1) + (np.arange(30_000) // 3_000)) % 3
    budget = 200_000
    learner = build(6, budget_bytes=budget, grace_n=20.0, delta=0.1)
    shares = learner.step_many(rows, labels)
    pool = learner._ensemble.pool
    windows = learner._ensemble.windows.nbytes if learner._ensemble.by_node else 0
    held = pool.link.nbytes + pool.cut.nbytes + pool.stats.nbytes + pool.subset.nbytes + windows
    assert held <= budget
    assert learner.state_bytes <= budget
    assert np.isfinite(shares).all()
    assert type(learner).restore(learner.snapshot()).snapshot() == learner.snapshot()


def test_a_tree_too_large_for_more_classes_begins_anew(build: Build) -> None:
    """When wider leaves no longer fit, trees are given up rather than the budget; too wide ones are refused."""
    rng = np.random.default_rng(4)
    rows = rng.random((12_000, 6))
    labels = (rows[:, :3] * 4).astype(int).sum(axis=1) % 2
    learner = build(6, budget_bytes=60_000, grace_n=20.0, delta=0.1)
    learner.learn_many(rows, labels)
    learner.learn_many(rows[:100], labels[:100] + 20)
    pool = learner._ensemble.pool
    assert pool.link.nbytes + pool.cut.nbytes + pool.stats.nbytes + pool.subset.nbytes <= 60_000
    assert learner.predict_many(rows[:100]).any()


def test_names_and_rows_give_the_same_trees(build: Build) -> None:
    """Examples with names, learned one by one, are answered as the same stream in rows."""
    rows, labels = _stream(400)
    rows, labels = np.vstack([[[0.1] * 5, [0.9] * 5], rows]), np.concatenate([[0, 1], labels])
    named, dense = build(), build(4)
    for row, label in zip(rows[:, :4].tolist(), labels.tolist(), strict=True):
        x: dict[str, float | str] = {name: v for name, v in zip("abcd", row, strict=True) if v == v}  # noqa: PLR0124 # NaN
        shares = dense.step_many([row], [label])[0]
        said = named.predict_proba_one(x)
        assert [said.get(str(k), 0.0) for k in range(len(shares))] == pytest.approx(shares.tolist())
        named.learn_one(x, str(label))


def test_a_feature_that_appears_late_is_learned(build: Build) -> None:
    """A column that comes after a thousand examples, and decides from then on, is put to use."""
    rng = np.random.default_rng(5)
    learner, right = build(), []
    for i in range(4_000):
        a, b, c, d = rng.random(4).tolist()
        x: dict[str, float | str] = {"a": a, "b": b, "c": c} | ({"d": d} if i >= 1_000 else {})
        label = "yes" if (d if i >= 1_000 else a) > 0.5 else "no"
        right.append(learner.predict_one(x) == label)
        learner.learn_one(x, label)
    assert np.mean(right[3_000:]) > 0.75


def test_examples_in_blocks_are_learned_as_one_by_one(build: Build) -> None:
    """Blocks of examples with names, errors among them, give the answers and the bytes of single calls."""
    examples = [(x, y if i != 150 else "one too many") for i, (x, y) in enumerate(labelled("classification", 300))]
    single, block = build(classes_cap=3), build(classes_cap=3)
    block.learn_examples(examples[250:])
    single.learn_examples(examples[250:])
    failures: list[str | None] = []
    for x, y in examples[:250]:
        try:
            single.learn_one(x, y)
            failures.append(None)
        except LearnerError as error:
            failures.append(str(error))
    found = [error and str(error) for error in block.learn_examples(examples[:250])]
    assert found == failures
    assert sum(error is not None for error in found) == 1
    asked = [x for x, _ in examples]
    assert block.predict_proba_examples(asked) == [single.predict_proba_one(x) for x in asked]
    assert block.predict_proba_examples([]) == []
    assert block.snapshot() == single.snapshot()


def _ops(seed: int, n: int) -> list[tuple[dict[str, float | str], str | None]]:
    """Answers and labels in random order: a label right after its answer, later, or never; classes, categories and
    columns appear within."""
    rng = np.random.default_rng(seed)
    ops: list[tuple[dict[str, float | str], str | None]] = []
    waiting: list[tuple[dict[str, float | str], str | None]] = []
    for i in range(n):
        a, b = rng.normal(size=2).tolist()
        x: dict[str, float | str] = {"a": a, "b": b * 1e6 ** (rng.random() < 0.01)}
        if i > n // 8 and rng.random() < 0.9:
            x["shop"] = f"shop {int(rng.integers(2 + 6 * i // n))}" if rng.random() < 0.98 else 7.0
        if i > n // 2:
            x = {"late": float("nan") if rng.random() < 0.1 else float(rng.normal()), **x}
        label = f"{(a > 0) + 2 * (i > n // 3 and b > 0.5) + 4 * (i > 2 * n // 3 and rng.random() < 0.2):.0f}"
        ops.append((x, None))
        (ops if rng.random() < 0.5 else waiting).append((x, label))
        if len(waiting) > 20:
            ops += [waiting.pop(int(rng.integers(len(waiting)))) for _ in range(15)]
    return ops


def _one_by_one(learner: TreeLearner, ops: list[tuple[dict[str, float | str], str | None]]) -> list[Any]:
    results: list[Any] = []
    for x, y in ops:
        if y is None:
            results.append(learner.predict_proba_one(x))
            continue
        try:
            learner.learn_one(x, y)
            results.append(None)
        except LearnerError as error:
            results.append(str(error))
    return results


def _in_blocks(learner: TreeLearner, blocks: list[Any]) -> list[Any]:
    found = [result for block in blocks for result in learner.run_examples(block)]
    return [str(result) if isinstance(result, LearnerError) else result for result in found]


@pytest.mark.parametrize("seed", [1, 2])
def test_answers_and_labels_in_one_block_are_as_one_by_one(build: Build, seed: int) -> None:
    """A block of answers and labels in any order, news and refusals within, gives the results and bytes of calls."""
    ops = _ops(seed, 700)
    caps: dict[str, Any] = {"classes_cap": 5, "categories_cap": 6, "grace_n": 30.0}
    single, block, cut = build(**caps), build(**caps), build(**caps)
    wanted = _one_by_one(single, ops)
    assert _in_blocks(block, [ops]) == wanted
    assert any(isinstance(result, str) for result in wanted)
    assert block.snapshot() == single.snapshot()
    cuts = [0, *np.cumsum(np.random.default_rng(seed).integers(1, 60, size=len(ops))).tolist()]
    assert _in_blocks(cut, [ops[a:b] for a, b in pairwise(cuts)]) == wanted
    assert cut.snapshot() == single.snapshot()
    assert block.run_examples([]) == []


def test_features_beyond_the_budget_are_a_learner_error(build: Build) -> None:
    """An example with more features than the budget holds is refused, and the learner stays as it was."""
    learner = build(budget_bytes=10_000)
    for i in range(12):
        learner.learn_one({"a": 1.0}, f"class {i}")
    before = learner.snapshot()
    with pytest.raises(LearnerError, match="budget_bytes"):
        learner.learn_one({f"f{i}": 1.0 for i in range(200)}, "class 0")
    assert learner.snapshot() == before


def _forged(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    tree = codec.decode(data)
    change(tree)
    return codec.encode(tree)


def test_forged_snapshots_are_refused(build: Build) -> None:
    """Numbers that would lead a kernel astray are refused, though the checksum fits: outside, circular, too many."""
    learner = build(5, (4,), grace_n=20.0, delta=0.1)
    learner.learn_many(*_stream(3_000))
    data = learner.snapshot()
    active = int(learner._ensemble.members[0, 0])

    def link(field: int, value: int) -> Callable[[dict[str, Any]], None]:
        return lambda tree: tree["trees"]["regions"][active][1].__setitem__((0, field), value)

    forgeries: list[Callable[[dict[str, Any]], None]] = [
        link(0, 99), link(1, 10**6), link(1, 0), link(2, -5), link(4, 10**6),
        lambda tree: tree["trees"]["regions"][active][0].__setitem__(0, 10**9),
        lambda tree: tree["trees"]["regions"][active][0].__setitem__(4, -7),
        lambda tree: tree["trees"]["regions"][active][0].__setitem__(2, 10**7),
        lambda tree: tree["trees"]["members"].__setitem__((0, 0), 77),
        lambda tree: tree["trees"].update(classes=1_000),
        lambda tree: tree["trees"].update(class_places=2**40),
        lambda tree: tree["trees"].update(categories=[0] * 90),
        lambda tree: tree["config"].update(budget_bytes=1),
        lambda tree: tree["trees"].pop("regions"),
    ]  # fmt: skip
    assert type(learner).restore(_forged(data, lambda tree: None)).snapshot() == data
    for forgery in forgeries:
        with pytest.raises(SnapshotError):
            type(learner).restore(_forged(data, forgery))


def test_rows_of_another_width_are_refused(build: Build) -> None:
    """A block that does not have the learner's columns, or not a label per row, is the caller's mistake."""
    learner = build(5)
    with pytest.raises(ValueError, match=r"must be \[n, 5\]"):
        learner.predict_many(np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"must be \[3\]"):
        learner.step_many(np.zeros((3, 5)), [1, 0])
    with pytest.raises(ValueError, match="nominal"):
        build(5, (5,))


@pytest.mark.parametrize("name", sorted(ENSEMBLES))
def test_spread_is_the_share_of_trees_that_name_another_class(name: str) -> None:
    """As recounted from each tree alone, over the last 100 labelled rows; rows that are only asked do not count."""
    rows, labels = _stream(1_500, turn_at=1_400)
    learner: Any = ENSEMBLES[name](5, (4,), trees=4)
    assert learner.spread() is None
    learner.step_many(rows[:1_350], labels[:1_350])
    differ = []
    for row, label in zip(rows[1_350:], labels[1_350:], strict=True):
        share = learner.predict_many(row[None]).argmax()
        alone = []
        for t in range(4):
            copy = type(learner).restore(learner.snapshot())
            copy._ensemble.members = copy._ensemble.members[t : t + 1]
            if copy._ensemble.plan.kind == "bag":  # its trees stand in the order of regions
                copy._ensemble.pool.region[0] = copy._ensemble.pool.region[t]
            said = copy.predict_many(row[None])[0]
            alone += [said.argmax() != share] if said.any() else []
        differ.append(sum(alone) / max(1, len(alone)))
        learner.step_many(np.stack([row, row]), np.array([-1, label]))
    assert learner.spread() == pytest.approx(np.mean(differ[-100:]))
    assert 0.0 < learner.spread() < 0.5
    assert type(learner).restore(learner.snapshot()).spread() == learner.spread()


def test_a_single_tree_has_no_spread() -> None:
    """Nothing in it could disagree."""
    rows, labels = _stream(300)
    for tree in (HoeffdingTree(5, (4,)), HoeffdingAdaptiveTree(5, (4,)), OzaBaggingAdwin(5, (4,), trees=1)):
        tree.learn_many(rows, labels)
        assert tree.spread() is None
