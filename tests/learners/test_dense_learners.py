"""What all learners over dense rows promise: cuts, names and rows agree, the budget holds, forged bytes are refused."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from learners import codec
from learners.errors import LearnerError, SnapshotError
from learners.linear_regression import LinearRegression
from learners.naive_bayes import NaiveBayes
from learners.softmax_regression import SoftmaxRegression
from tests.learners.streams import labelled

__all__: list[str] = []

NASTY = [0.0, 1.0, 1e308, -1e16, 5e-324]
LEARNERS: list[Any] = [LinearRegression, NaiveBayes, SoftmaxRegression]


@pytest.fixture(params=LEARNERS, ids=lambda kind: kind.kind)
def learner_class(request: pytest.FixtureRequest) -> Any:
    """Each class in turn."""
    return request.param


def _block(kind: Any, n: int = 700, seed: int = 3) -> tuple[Any, Any]:
    """Rows with gaps and a column of codes that grow in number, and labels of which some are only asked for."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 3)) * (1.0, 100.0, 1.0) + (0.0, 7.0, 0.0)
    rows[:, 2] = rng.integers(2 + np.arange(n) // 60)
    value = rows[:, 0] + 0.01 * rows[:, 1] + (rows[:, 2] == 1)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    if kind.task == "regression":
        return rows, np.where(rng.random(n) < 0.1, np.nan, 50.0 * value)
    return rows, np.where(rng.random(n) < 0.1, -1, np.digitize(value, [-0.5, 0.7 + 20.0 * (np.arange(n) < n // 2)[0]]))


def test_where_blocks_are_cut_changes_nothing(learner_class: Any) -> None:
    """The same rows in other blocks give the same answers and the same bytes, also with a decay and across growth."""
    rows, labels = _block(learner_class)
    whole, cut = (learner_class(3, (2,), decay=0.7) for _ in range(2))
    said = whole.step_many(rows, labels)
    cuts = [0, 1, 2, 5, 90, 91, 400, 700]
    parts = [cut.step_many(rows[a:b], labels[a:b]) for a, b in pairwise(cuts)]
    width = said.shape[1:] and said.shape[1]
    padded = [np.pad(part, ((0, 0), (0, width - part.shape[1]))) if width else part for part in parts]
    assert np.array_equal(np.concatenate(padded), said, equal_nan=True)
    assert cut.snapshot() == whole.snapshot()


def test_predicting_a_block_changes_nothing(learner_class: Any) -> None:
    """`predict_many` leaves the bytes as they are, codes never met included."""
    rows, labels = _block(learner_class)
    learner = learner_class(3, (2,))
    learner.learn_many(rows[:300], labels[:300])
    before = learner.snapshot()
    strange = np.array([[np.inf, -np.inf, 60.0], [np.nan, np.nan, np.nan], [1e308, -1e308, -5.0], [0.0, 0.0, 1e300]])
    assert np.isfinite(learner.predict_many(strange)).all()
    assert learner.snapshot() == before


def test_names_and_rows_agree(learner_class: Any) -> None:
    """Examples with names give the answers of the rows that they stand for."""
    rows, labels = _block(learner_class, 400)
    labels = np.where(labels < 0, 0, labels) if learner_class.task == "classification" else np.nan_to_num(labels)
    names = ("a", "b", "shop")
    full = {"a": 0.0, "b": 0.0, "shop": "0"}
    by_row, by_name = learner_class(3, (2,)), learner_class()
    start = np.array([[0.0, 0.0, 0.0]])
    classes = sorted(set(labels.tolist()))[:3] if learner_class.task == "classification" else [0.0]
    for label in classes:
        by_row.step_many(start, np.array([label]))
        by_name.learn_one(full, label)
    for row, label in zip(rows, labels, strict=True):
        if row[2] >= 64:
            continue
        x: dict[str, Any] = {n: float(v) for n, v in zip(names, row, strict=True) if not np.isnan(v)}
        if "shop" in x:
            x["shop"] = str(int(x["shop"]))
            known = by_name._encoder._codes["shop"]
            row[2] = known.get(x["shop"], len(known))
        scores = by_name.predict_proba_one(x)
        said = by_row.step_many(row[None, :], np.array([label]))[0]
        assert (list(scores.values()) if scores else by_name.predict_one(x)) == pytest.approx(said.tolist())
        by_name.learn_one(x, label)


def test_examples_in_blocks_equal_one_by_one(learner_class: Any) -> None:
    """`run_examples`, `learn_examples` and `predict_proba_examples` give what single calls give, errors and all."""
    stream: list[Any] = [(x, None if i % 3 == 1 else y) for i, (x, y) in enumerate(labelled(learner_class.task, 300))]
    stream[50] = (stream[50][0], "a label of its own")
    caps = {"budget_bytes": 4_096} if learner_class.task == "regression" else {"classes_cap": 3}
    single, block = learner_class(**caps), learner_class(**caps)
    expected: list[Any] = []
    for x, y in stream:
        if y is None:
            said = single.predict_proba_one(x)
            expected.append(single.predict_one(x) if learner_class.task == "regression" else said)
            continue
        try:
            single.learn_one(x, y)
            expected.append(None)
        except LearnerError as error:
            expected.append(str(error))
    got = [result for start in (0, 101) for result in block.run_examples(stream[start : 101 if start == 0 else None])]
    assert [str(one) if isinstance(one, LearnerError) else one for one in got] == expected
    assert any(isinstance(one, LearnerError) for one in got)
    assert block.snapshot() == single.snapshot()
    again = learner_class(**caps)
    learned = again.learn_examples([(x, y) for x, y in stream if y is not None])
    assert [error is None for error in learned] == [
        not isinstance(one, LearnerError) for one, (_, y) in zip(got, stream, strict=True) if y is not None
    ]
    assert again.snapshot() == single.snapshot()
    asked = [x for x, _ in stream]
    assert again.predict_proba_examples(asked) == [single.predict_proba_one(x) for x in asked]


def test_budget_holds_and_the_rest_is_learned(learner_class: Any) -> None:
    """However many features, categories and classes come, the arrays stay within the budget and answers go on."""
    learner = learner_class(budget_bytes=20_000)
    for i in range(600):
        x: dict[str, Any] = {"a": float(i % 7), "shop": f"s{i}", f"f{i}": 1.0, f"t{i}": "text"}
        label: Any = float(i % 7) if learner.task == "regression" else f"class {i % 7}"
        learner.learn_one(x, label)
    assert 2_000 < learner.state_bytes <= 20_000
    said = learner.predict_one({"a": 6.0})
    assert said == ("class 6" if learner.task == "classification" else pytest.approx(6.0, abs=1.0))


def test_a_class_beyond_the_budget_is_an_error() -> None:
    """A class for which no memory is left is refused with the parameter to raise, and the others stay."""
    learner = NaiveBayes(budget_bytes=5_000)
    for i in range(12):
        learner.learn_one({f"f{k}": float(i) for k in range(12)}, "ok")
    errors = learner.learn_examples([({"f1": 1.0}, f"class {i}") for i in range(60)])
    assert errors[0] is None
    assert "budget_bytes = 5000" in str(errors[-1])
    assert learner.state_bytes <= 5_000
    assert "ok" in learner.predict_proba_one({"f1": 1.0})


@settings(max_examples=60, deadline=None)
@given(
    values=some.lists(
        some.tuples(some.floats(), some.sampled_from([0.0, 1.0, 1e308, -1e16, 5e-324]), some.integers(0, 2)),
        max_size=40,
    ),
    decay=some.sampled_from([1.0, 0.999, 0.5, 1e-3]),
    kind=some.sampled_from(LEARNERS),
)
def test_no_number_makes_an_answer_that_is_not_finite(values: list[Any], decay: float, kind: Any) -> None:
    """Whatever floats come, NaN and infinities included, probabilities are finite and sum to 1; numbers are finite."""
    learner = kind(2, decay=decay)
    rows = np.array([[a, b] for a, b, _ in values]).reshape(-1, 2)
    labels = np.array([label for *_, label in values], dtype=float if kind.task == "regression" else int)
    if kind.task == "regression":
        labels = np.nan_to_num(rows[:, 0], posinf=1e308, neginf=-1e308)
    for i in range(len(rows)):
        said = learner.step_many(rows[i : i + 1], labels[i : i + 1])
        assert i == 0 or np.isfinite(said).all()
    last = learner.predict_many(np.array([[0.5, 0.5], [np.nan, 1e308]]))
    if len(rows):
        assert np.isfinite(last).all()
        assert kind.task == "regression" or last.sum(axis=1) == pytest.approx(1.0)


def test_forgetting_all_but_nothing_stays_finite(learner_class: Any) -> None:
    """Forgetting again and again, down to weights of nothing, leaves a learner that learns anew."""
    rows, labels = _block(learner_class)
    learner = learner_class(3, (2,))
    learner.learn_many(rows, labels)
    learner.forget(1.0)
    before = learner.snapshot()
    for _ in range(6):
        learner.forget(1e-60)
    assert learner.snapshot() != before
    again = learner.step_many(rows, labels)
    assert np.isfinite(again[20:]).all()
    for keep in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="keep"):
            learner.forget(keep)


def test_forged_states_are_refused(learner_class: Any) -> None:
    """A snapshot with a sound checksum whose arrays contradict each other is a SnapshotError, never a crash later."""
    learner = learner_class()
    for x, y in labelled(learner_class.task, 60):
        learner.learn_one(x, y)

    def forged(**changes: Any) -> bytes:
        tree = codec.decode(learner.snapshot())
        tree["state"] |= {name: change(tree["state"][name]) for name, change in changes.items()}
        return codec.encode(tree)

    assert learner_class.restore(forged()).snapshot() == learner.snapshot()
    wrong: list[dict[str, Any]] = [
        {"layout": lambda a: a + 1}, {"layout": lambda a: a + np.array([0, 0, 100])}, {"layout": lambda a: a[:2]},
        {"table": lambda a: a[:, :-1]}, {"table": lambda a: a * np.nan}, {"clock": lambda a: a - 500.0},
        {"scale": lambda a: a.astype(np.float32)}, {"scale": lambda _: None},
        {"clock": lambda a: np.full_like(a, np.inf)},
    ]  # fmt: skip
    for changes in wrong:
        with pytest.raises(SnapshotError):
            learner_class.restore(forged(**changes))


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        (NaiveBayes, {"decay": 0.0}, "decay = 0.0"),
        (NaiveBayes, {"smoothing": 0.0}, "smoothing = 0.0"),
        (NaiveBayes, {"classes_cap": 1}, "classes_cap = 1"),
        (NaiveBayes, {"columns": 2, "nominal": (2,)}, "nominal"),
        (NaiveBayes, {"budget_bytes": 100}, "budget_bytes = 100"),
        (SoftmaxRegression, {"learning_rate": 1.5}, "learning_rate = 1.5"),
        (SoftmaxRegression, {"schedule": "cosine"}, "'inverse_scaling'"),
        (SoftmaxRegression, {"l2": -1.0}, "l2 = -1.0"),
        (SoftmaxRegression, {"categories_cap": 1}, "categories_cap = 1"),
        (LinearRegression, {"loss": "cubic"}, "'huber'"),
        (LinearRegression, {"power": 0.0}, "power = 0.0"),
        (LinearRegression, {"gradient_cap": 0.0}, "gradient_cap = 0.0"),
    ],
)
def test_parameters_out_of_range_are_named(kind: Any, parameters: dict[str, Any], words: str) -> None:
    """The message names the parameter, its value and what is allowed."""
    with pytest.raises(ValueError, match=words):
        kind(**parameters)


def test_rows_that_do_not_fit_are_refused(learner_class: Any) -> None:
    """Another width, another number of labels, a label beyond the cap: a ValueError, and nothing is learned."""
    learner = learner_class(3, (2,))
    before = learner.snapshot()
    with pytest.raises(ValueError, match=r"rows of shape \(2, 2\)"):
        learner.step_many(np.zeros((2, 2)), np.zeros(2))
    with pytest.raises(ValueError, match="labels of shape"):
        learner.step_many(np.zeros((2, 3)), np.zeros(3))
    if learner.task == "classification":
        with pytest.raises(ValueError, match="label 64 is beyond classes_cap = 64"):
            learner.step_many(np.zeros((1, 3)), np.array([64]))
    assert learner.snapshot() == before
