"""Every learner of the registry holds the same contract; adding one there adds its tests here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pytest

from learners import LearnerError, SnapshotError
from learners.base import Label, Learner
from learners.baselines import Majority, Mean
from learners.blocks import Rows, judge_examples, run_examples
from learners.frozen import FrozenProbe
from learners.registry import LEARNERS, LearnerEntry, restore_learner
from tests.learners.streams import answer, labelled, separable, step

__all__: list[str] = []

TWO_CLASSES = {"logistic_regression", "scaled_logistic_regression"}


@pytest.fixture(params=sorted(LEARNERS))
def name(request: pytest.FixtureRequest) -> str:
    """Each registered name in turn."""
    return str(request.param)


@pytest.fixture
def entry(name: str) -> LearnerEntry:
    """How to build it."""
    return LEARNERS[name]


def _try_step(learner: Learner, x: dict[str, float | str], y: Label) -> object:
    """What the fold does: an error on one event is an answer, too."""
    try:
        return step(learner, x, y)
    except LearnerError as error:
        return str(error)


def _check_answers(learner: Learner, x: dict[str, float | str]) -> None:
    one, scores = answer(learner, x)
    if learner.task == "regression":
        assert scores == {}
        assert one is None or math.isfinite(float(one))
        return
    assert all(0.0 <= p <= 1.0 for p in scores.values())
    assert list(scores) == sorted(scores)
    assert not scores or math.isclose(math.fsum(scores.values()), 1.0, abs_tol=1e-9)
    assert one == (max(sorted(scores), key=lambda label: scores[label]) if scores else None)


def test_knows_nothing_before_the_first_label(entry: LearnerEntry) -> None:
    """An untrained learner answers None and no probabilities."""
    assert answer(entry.build(1), {"a": 1.0, "shop": "N"}) == (None, {})


def test_satisfies_the_protocol(entry: LearnerEntry) -> None:
    """Each learner has all that the protocol names, and the task that the registry says."""
    learner = entry.build(1)
    assert isinstance(learner, Learner)
    assert learner.task == entry.task


@pytest.mark.parametrize("name", sorted(name for name, entry in LEARNERS.items() if entry.learns))
def test_beats_the_baseline_on_a_separable_stream(name: str) -> None:
    """On a stream that a feature decides, whatever looks at features is clearly better than majority or mean."""
    entry = LEARNERS[name]
    learner, baseline = entry.build(1), Majority() if entry.task == "classification" else Mean()
    losses = {"learner": 0.0, "baseline": 0.0}
    for i, (x, y) in enumerate(separable(entry.task, 500)):
        for key, said in (("learner", step(learner, x, y)[0]), ("baseline", step(baseline, x, y)[0])):
            if i >= 150:
                losses[key] += abs(float(said or 0.0) - float(y)) if entry.task == "regression" else float(said != y)
    assert losses["learner"] < 0.7 * losses["baseline"], name


def _nasty(entry: LearnerEntry) -> Iterator[tuple[dict[str, float | str], Label]]:
    label: Label = 1.0 if entry.task == "regression" else "ok"
    rows: list[dict[str, float | str]] = [
        {}, {"a": 1e308}, {"a": -1e308, "b": 1e308}, {"a": 1e16}, {"a": 5e-324}, {"a": -0.0}, {"b": 0.0},
        {"shop": "never seen"}, {"shop": ""}, {"shop": "ü" * 500}, {"unheard of": 1.0}, {"a": 1e308, "late": 1e308},
        {"a": float("nan")}, {"a": float("inf"), "b": float("-inf")}, {f"f{i}": float(i) for i in range(60)},
    ]  # fmt: skip
    yield from ((x, label) for x in rows)
    yield {"a": 1.0}, 1e308 if entry.task == "regression" else "x" * 1_000


def test_nasty_input_stops_nothing(entry: LearnerEntry) -> None:
    """Missing, unseen, huge and even non-finite values give answers or LearnerErrors, and learning goes on."""
    learner = entry.build(1)
    stream = separable(entry.task, 60)
    for x, y in stream:
        step(learner, x, y)
    for x, y in _nasty(entry):
        before = dict(x)
        _try_step(learner, x, y)
        _check_answers(learner, x)
        assert x.keys() == before.keys()
        assert repr(x) == repr(before)
    for x, y in stream:
        step(learner, x, y)
        _check_answers(learner, x)
    assert answer(learner, stream[0][0])[0] is not None


def test_constant_features_are_survived(entry: LearnerEntry) -> None:
    """A stream in which nothing varies gives finite answers, and in the end the only label."""
    learner = entry.build(1)
    label: Label = 3.0 if entry.task == "regression" else "ok"
    for _ in range(260):
        step(learner, {"a": 0.0, "b": 1.0, "shop": "N"}, label)
    _check_answers(learner, {"a": 0.0, "b": 1.0, "shop": "N"})
    said = learner.predict_one({"a": 0.0, "b": 1.0, "shop": "N"})
    if entry.task == "classification":
        assert said == label
    else:
        assert said == pytest.approx(3.0, abs=0.2)


def test_classes_and_features_come_and_go(name: str, entry: LearnerEntry) -> None:
    """A class that appears is learned or refused with a LearnerError that says what to do; features may vanish."""
    learner = entry.build(1)
    refused = []
    for x, y in labelled(entry.task, 300):
        try:
            step(learner, x, y)
        except LearnerError as error:
            refused.append(str(error))
        _check_answers(learner, x)
    if entry.task == "classification" and name not in TWO_CLASSES and name != "no_change":
        assert "refund" in learner.predict_proba_one({"a": 0.0, "b": 0.0, "shop": "N"})
    assert bool(refused) == (name in TWO_CLASSES)
    assert all("OneVsRestClassifier" in reason for reason in refused)


def test_a_judged_block_says_what_was_said_before_it_was_learned(entry: LearnerEntry) -> None:
    """Judged by an example: its class's probability, or the number, as asked for just before; and learned alike."""
    stream = separable(entry.task, 200)
    judged, twin = entry.build(1), entry.build(1)
    expected: list[object] = []
    for x, y in stream:
        one, scores = answer(twin, x)
        expected.append(one if entry.task == "regression" else scores.get(str(y), 0.0))
        expected.append(run_examples(twin, [(x, None)])[0])
        twin.learn_one(x, y)
    found: list[object] = []
    for start, stop in ((0, 1), (1, 60), (60, 200)):
        ops = [op for x, y in stream[start:stop] for op in ((x, None), (x, y))]
        said = judge_examples(judged, ops)
        found += [result for asked, learned in zip(said[::2], said[1::2], strict=True) for result in (learned, asked)]
    assert found == expected
    assert judged.snapshot() == twin.snapshot()


@pytest.mark.parametrize("names", ["ab", "abc", "abcst"])
def test_rows_of_values_do_what_examples_with_names_do(entry: LearnerEntry, names: str) -> None:
    """The same block as rows and as examples: same answers, same judgements, same state; with missing values, with
    features, categories and a class that come later, and for a part of a block."""
    by_rows, by_name = entry.build(1), entry.build(1)
    texts = frozenset(names) & {"s", "t"}
    for start in range(0, 270, 45):
        values: list[Sequence[float | str | None]] = []
        labels: list[Label | None] = []
        for i in range(start, start + 45):
            late = None if i < 60 or i % 11 == 0 else 0.5 * (i % 5)
            shop = None if i % 17 == 0 else "NSW"[i % (3 if i > 150 else 2)]
            rare = "x" if i > 200 and i % 9 == 0 else None
            values.append([float(i % 7), None if i % 13 == 0 else -1.5 * (i % 3), late, shop, rare][: len(names)])
            label: Label = float(i % 7) if entry.task == "regression" else "abc"[i % (3 if i > 100 else 2)]
            labels.append(None if i % 3 == 1 else label)
        rows = Rows(tuple(names), values, labels, texts=texts)
        plain = list(Rows(rows.names, values, labels, texts=texts))
        work = judge_examples if start == 90 else run_examples
        for part in (range(20), range(20, 45)):
            assert repr(work(by_rows, rows.part(part))) == repr(work(by_name, [plain[i] for i in part]))
        assert by_rows.snapshot() == by_name.snapshot()


def test_snapshot_at_any_cut_changes_nothing(entry: LearnerEntry) -> None:
    """Restored from a snapshot, a learner goes on bit for bit like the one that was never interrupted."""
    stream = labelled(entry.task, 260)
    straight, restarted = entry.build(1), entry.build(1)
    for i, (x, y) in enumerate(stream):
        if i in {0, 1, 2, 57, 130, 131, 205, 259}:
            data = restarted.snapshot()
            restarted = restore_learner(data)
            assert restarted.snapshot() == data == straight.snapshot()
            assert restarted.nbytes == len(data)
        assert _try_step(restarted, x, y) == _try_step(straight, x, y)
    assert restarted.snapshot() == straight.snapshot()


def test_same_seed_gives_the_same_bits(entry: LearnerEntry) -> None:
    """Two learners of one configuration and seed hold the same bytes after the same stream."""
    first, second = entry.build(7), entry.build(7)
    for x, y in labelled(entry.task, 120):
        assert _try_step(first, x, y) == _try_step(second, dict(x), y)
    assert first.snapshot() == second.snapshot()


def test_predicting_changes_no_state(entry: LearnerEntry) -> None:
    """A prediction leaves the snapshot as it was: how often somebody asks decides nothing."""
    learner = entry.build(1)
    stream = separable(entry.task, 80)
    for x, y in stream:
        step(learner, x, y)
    before = learner.snapshot()
    for x, _ in stream:
        answer(learner, x)
    assert learner.snapshot() == before


def test_a_flipped_byte_is_a_snapshot_error(entry: LearnerEntry) -> None:
    """No damaged snapshot is ever restored."""
    learner = entry.build(1)
    for x, y in separable(entry.task, 20):
        step(learner, x, y)
    data = learner.snapshot()
    for place in range(0, len(data), max(1, len(data) // 40)):
        damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(SnapshotError):
            type(learner).restore(damaged)


def test_probe_never_learns_after_the_freeze(entry: LearnerEntry) -> None:
    """Whatever learner a probe holds, labels after the freeze change neither answers nor bytes, restarts included."""
    probe = FrozenProbe(entry.build(1))
    stream = separable(entry.task, 60)
    for x, y in stream[:40]:
        step(probe, x, y)
    probe.freeze()
    frozen, said = probe.snapshot(), [answer(probe, x) for x, _ in stream]
    restored = FrozenProbe.restore(frozen)
    for one in (probe, restored):
        assert one.frozen
        for x, y in stream[40:]:
            one.learn_one(x, y)
        assert [answer(one, x) for x, _ in stream] == said
        assert one.snapshot() == frozen


@pytest.mark.parametrize("name", ["majority", "mean", "no_change", "no_change_regression"])
def test_baselines_stay_small(name: str) -> None:
    """The memory of a baseline is bounded, however many labels, classes and features it sees."""
    learner = LEARNERS[name].build(1)
    for i in range(3_000):
        label: Label = float(i) * 1e300 if learner.task == "regression" else f"class {i}"
        learner.learn_one({f"feature {i}": float(i)}, label)
    assert learner.nbytes < 3_000
