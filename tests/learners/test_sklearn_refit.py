"""Refits of scikit-learn against fits by hand; what is restored, what fails, and what may not be named."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from learners import codec
from learners.build import build_learner
from learners.errors import EstimatorRefusedError, LearnerError, SnapshotError
from learners.frozen import FrozenProbe
from learners.sklearn_build import SKLEARN_PACKAGES, find_sklearn_class
from learners.sklearn_refit import SklearnRefit
from tests.learners.streams import answer, labelled, separable

__all__: list[str] = []

pytest.importorskip("sklearn", reason="scikit-learn is an optional extra (anchorwatch[sklearn]) and not installed here")

LOGISTIC = "sklearn.linear_model.LogisticRegression"
FOREST = "sklearn.ensemble.RandomForestClassifier"


def build(name: str, task: Any = "classification", **parameters: Any) -> Any:
    return build_learner(name, parameters, task=task, seed=1)


def _matrix(examples: Any, asked: Any) -> tuple[Any, Any]:
    """By hand: numbers with medians, then each known shop as 0 or 1; for streams of `separable` and gaps."""
    names = [name for name in dict.fromkeys(n for x in examples for n in x) if name != "shop"]
    shops = list(dict.fromkeys(x["shop"] for x in examples if "shop" in x))
    medians = {name: float(np.median([x[name] for x in examples if name in x])) for name in names}

    def rows(xs: Any) -> Any:
        numbers = [[x.get(name, medians[name]) for name in names] for x in xs]
        return np.hstack([np.array(numbers), [[float(x.get("shop") == shop) for shop in shops] for x in xs]])

    return rows(examples), rows(asked)


@pytest.mark.parametrize("window_n", [60, 10_000])
def test_answers_are_those_of_a_fit_by_hand(window_n: int) -> None:
    """Between two refits answers are scikit-learn's own, fitted to the newest examples at the last multiple."""
    from sklearn.linear_model import LogisticRegression

    stream = labelled("classification", 200)
    learner = build(LOGISTIC, C=0.5, window_n=window_n, refit_every=50)
    for i, (x, y) in enumerate(stream, 1):
        learner.learn_one(x, y)
        if i in {49, 50, 99, 130, 200}:
            refit = i - i % 50
            if refit == 0:
                assert answer(learner, x) == (None, {})
                continue
            window = stream[max(0, refit - window_n) : refit]
            fitted_to, asked = _matrix([x for x, _ in window], [x for x, _ in stream[:30]])
            model = LogisticRegression(C=0.5).fit(fitted_to, [y for _, y in window])
            for row, (other, _) in zip(model.predict_proba(asked), stream, strict=False):
                said = learner.predict_proba_one(other)
                assert list(said) == list(model.classes_)
                assert list(said.values()) == pytest.approx(row.tolist(), abs=2e-3)


def test_regression_equals_a_fit_by_hand() -> None:
    """Ridge regression on the window: the same numbers."""
    from sklearn.linear_model import Ridge

    stream = separable("regression", 130)
    learner = build("sklearn.linear_model.Ridge", "regression", alpha=2.0, window_n=80, refit_every=65)
    for x, y in stream:
        learner.learn_one(x, y)
    fitted_to, asked = _matrix([x for x, _ in stream[50:]], [x for x, _ in stream])
    expected = Ridge(alpha=2.0).fit(fitted_to, [y for _, y in stream[50:]]).predict(asked)
    assert [learner.predict_one(x) for x, _ in stream] == pytest.approx(expected.tolist(), rel=1e-9)
    assert learner.predict_proba_one(stream[0][0]) == {}


@pytest.mark.parametrize(
    ("estimator", "parameters"),
    [
        (FOREST, {"n_estimators": 7}),
        (FOREST, {"n_estimators": 7, "half_life_n": 60}),
        ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 5}),
        ("sklearn.neighbors.KNeighborsClassifier", {}),
        ("sklearn.linear_model.SGDClassifier", {"loss": "hinge"}),
        ("sklearn.neural_network.MLPClassifier", {"hidden_layer_sizes": [4], "max_iter": 5}),
        ("sklearn.ensemble.BaggingClassifier", {"estimator": {"estimator": "sklearn.tree.DecisionTreeClassifier"}}),
        ("sklearn.pipeline.Pipeline", {"pipeline": ["sklearn.preprocessing.StandardScaler", {"estimator": LOGISTIC}]}),
    ],
)
def test_restored_answers_are_bit_identical(estimator: str, parameters: dict[str, Any]) -> None:
    """Restored between two refits, a learner answers and goes on as the one that was never interrupted."""
    stream = labelled("classification", 150)
    straight = build(estimator, window_n=50, refit_every=40, **parameters)
    restarted = build(estimator, window_n=50, refit_every=40, **parameters)
    for i, (x, y) in enumerate(stream):
        if i in {39, 75, 110}:
            restarted = SklearnRefit.restore(restarted.snapshot())
        if i % 3 == 0:
            assert answer(restarted, x) == answer(straight, x)
        straight.learn_one(x, y)
        restarted.learn_one(x, y)
    assert restarted.snapshot() == straight.snapshot()
    assert answer(straight, stream[0][0])[0] is not None


def test_a_failed_fit_keeps_the_model_before_it() -> None:
    """The error says why, the old model answers on, restarts included; the examples count for the next fit."""
    learner = build("sklearn.isotonic.IsotonicRegression", "regression", window_n=30, refit_every=20)
    for i in range(39):
        learner.learn_one({"a": float(i)}, 2.0 * i)
    before = learner.predict_one({"a": 7.0})
    with pytest.raises(LearnerError, match="IsotonicRegression failed in fit: ValueError"):
        learner.learn_one({"a": 40.0, "b": 1.0}, 80.0)
    assert (learner.failures, learner.predict_one({"a": 7.0})) == (1, before)
    restored = SklearnRefit.restore(learner.snapshot())
    for one in (learner, restored):
        for i in range(40):
            one.learn_one({"a": float(i)}, -2.0 * i) if i != 19 else _refused(one, i)
        assert one.predict_one({"a": 7.0}) != before
    assert restored.snapshot() == learner.snapshot()


def _refused(learner: Any, i: int) -> None:
    """The next fit still has the odd example in its window, the one after does not."""
    with pytest.raises(LearnerError, match="failed in fit"):
        learner.learn_one({"a": float(i)}, -2.0 * i)


def test_an_answer_that_is_not_finite_changes_no_state() -> None:
    """It is counted beside the state: how often somebody asks decides nothing."""
    learner = build(
        "sklearn.linear_model.PoissonRegressor", "regression", window_n=100, refit_every=100, alpha=0.0, max_iter=1_000
    )
    for i in range(100):
        learner.learn_one({"a": i / 50}, math.exp(6 * i / 100))
    for _ in range(99):
        learner.learn_one({"a": 1e6}, 1.0)
    before = learner.snapshot()
    assert (learner.predict_one({"a": 1e6}), learner.failures) == (None, 1)
    assert learner.snapshot() == before
    probe = FrozenProbe(learner)
    before = probe.snapshot()
    assert (probe.predict_one({"a": 1e6}), learner.failures) == (None, 2)
    assert probe.snapshot() == before


@pytest.mark.parametrize(
    ("name", "value"), [("window_n", 2.5), ("refit_every", 0), ("half_life_n", math.inf), ("budget_bytes", 5_000.5)]
)
def test_a_count_that_is_none_is_refused_by_name(name: str, value: float) -> None:
    """Whole numbers alone."""
    with pytest.raises(EstimatorRefusedError, match=f"{name} = {value!r}: must be .* or more, and whole"):
        build_learner("sklearn.linear_model.Ridge", {name: value}, task="regression", seed=1)


def test_one_class_is_its_own_model() -> None:
    """As long as only one class is kept, that class is the answer; a second one is fitted to."""
    learner = build(LOGISTIC, refit_every=10, window_n=20)
    for i in range(10):
        learner.learn_one({"a": float(i)}, "ok")
    assert answer(SklearnRefit.restore(learner.snapshot()), {"a": 1.0}) == ("ok", {"ok": 1.0})
    for i in range(10):
        learner.learn_one({"a": float(i)}, "fraud" if i > 4 else "ok")
    assert set(learner.predict_proba_one({"a": 1.0})) == {"ok", "fraud"}


def test_absurd_values_and_strange_features_are_survived() -> None:
    """1e308, NaN, another kind of value, an unseen category: finite answers, and a fit that works."""
    learner = build("sklearn.linear_model.Ridge", "regression", window_n=400, refit_every=100)
    for i, (x, y) in enumerate(separable("regression", 900)):
        strange: dict[str, Any] = {"a": 1e308, "b": float("nan"), "shop": 3.0, "f": float("inf")}
        learner.learn_one(strange if i == 300 else x, 1e308 if i == 300 else y)
    assert learner.failures == 0
    for x, y in separable("regression", 50, seed=4):
        assert learner.predict_one(x) == pytest.approx(y, abs=0.5)
    for odd in ({}, {"a": "text", "b": 1e308, "shop": "never seen"}, {"a": float("nan"), "shop": 2.0}):
        assert np.isfinite(learner.predict_one(odd))
    with pytest.raises(LearnerError, match="no finite number"):
        learner.learn_one({"a": 1.0}, "text")


def test_a_decayed_sample_reaches_further_back_than_a_window() -> None:
    """With a half-life the kept examples are of all ages, most of them new."""
    learner = build(LOGISTIC, window_n=200, refit_every=1_000, half_life_n=300)
    for i in range(1_500):
        learner.learn_one({"i": float(i)}, str(i % 2))
    ages = [1_500 - float(x["i"]) for x, _ in learner._kept]
    assert len(ages) > 150
    assert max(ages) > 500
    assert float(np.median(ages)) < 450


def test_exactly_the_public_estimators_are_found() -> None:
    """What scikit-learn lists as classifier, regressor or transformer in these packages is found, and nothing else."""
    from sklearn.utils import all_estimators

    listed = {cls for _, cls in all_estimators(type_filter=["classifier", "regressor", "transformer"])}
    found = set()
    for package in sorted(SKLEARN_PACKAGES):
        module = __import__(f"sklearn.{package}", fromlist=["__all__"])
        for name in dir(module):
            cls = find_sklearn_class(f"sklearn.{package}.{name}")
            found |= {cls} if cls is not None else set()
    assert found <= listed
    assert {cls for cls in listed if cls.__module__.split(".")[1] in SKLEARN_PACKAGES} <= found
    assert len(found) > 100


@pytest.mark.parametrize(
    ("estimator", "parameters", "words"),
    [
        ("sklearn.linear_model.LogisticRegresion", {}, "did you mean 'sklearn.linear_model.LogisticRegression'"),
        ("sklearn.datasets.fetch_openml", {}, "no estimator of scikit-learn"),
        ("sklearn.feature_extraction.text.CountVectorizer", {"input": "filename"}, "no estimator of scikit-learn"),
        ("sklearn.linear_model._logistic.LogisticRegression", {}, "no estimator of scikit-learn"),
        ("sklearn.linear_model.lasso_path", {}, "no estimator of scikit-learn"),
        ("sklearn.os.path", {}, "no estimator of scikit-learn"),
        (LOGISTIC, {"c": 1.0}, "it takes penalty, C"),
        (LOGISTIC, {"C": -1.0}, "refuses its parameters"),
        (LOGISTIC, {"C": object()}, "plain values"),
        (LOGISTIC, {"n_jobs": 4}, "n_jobs cannot be set"),
        (LOGISTIC, {"window_n": 0}, "window_n = 0: must be 1 or more"),
        (LOGISTIC, {"half_life_n": 0.5}, "half_life_n = 0.5"),
        (FOREST, {"verbose": 2}, "nothing is printed"),
        ("sklearn.linear_model.Ridge", {}, "set task = 'regression'"),
        ("sklearn.preprocessing.StandardScaler", {}, "choose a predictor"),
        ("sklearn.pipeline.Pipeline", {"steps": []}, "pipeline = [step, …]"),
        ("sklearn.pipeline.Pipeline", {"pipeline": [LOGISTIC, LOGISTIC]}, "no transformer"),
        ("sklearn.ensemble.BaggingClassifier", {"estimator": {"estimator": "os.system"}}, "no estimator"),
    ],
)
def test_what_cannot_be_built_is_refused(estimator: str, parameters: dict[str, Any], words: str) -> None:
    """The message says what to write instead."""
    with pytest.raises(EstimatorRefusedError) as refused:
        build(estimator, **parameters)
    assert words in str(refused.value)


def test_forged_snapshots_are_refused() -> None:
    """Bytes with a sound checksum that contradict themselves are a SnapshotError."""
    learner = build(LOGISTIC, refit_every=20, window_n=30)
    for x, y in separable("classification", 50):
        learner.learn_one(x, y)

    def forged(**changes: Any) -> bytes:
        return codec.encode(codec.decode(learner.snapshot()) | changes)

    assert SklearnRefit.restore(forged()).snapshot() == learner.snapshot()
    other = {"estimator": "os.system", "parameters": {}, "task": "classification", "seed": 1}
    wrong: list[dict[str, Any]] = [
        {"kind": "frozen"}, {"config": {}}, {"config": other}, {"kept": b"?"}, {"fitted": b"?"}, {"learned_n": "x"},
    ]  # fmt: skip
    for changes in wrong:
        with pytest.raises(SnapshotError):
            SklearnRefit.restore(forged(**changes))


def test_generations_draw_differently() -> None:
    """A successor's forest grows from another seed, the same at each replay."""

    def shares(generation: int) -> list[Any]:
        learner = build_learner(
            FOREST, {"n_estimators": 3, "refit_every": 60}, task="classification", seed=1, generation=generation
        )
        stream = separable("classification", 60)
        for x, y in stream:
            learner.learn_one(x, y)
        return [learner.predict_proba_one(x) for x, _ in stream]

    assert shares(1) == shares(1)
    assert shares(1) != shares(0)
