"""A river estimator as a learner: named in the configuration, seeded, held to river's own answers, hard to ruin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import compose, forest, linear_model, naive_bayes, preprocessing, tree

from learners import EstimatorRefusedError, LearnerError, SnapshotError, codec
from learners.baselines import Majority, Mean, NoChange
from learners.registry import restore_learner
from learners.river_adapter import RiverLearner
from learners.river_build import derived_seed
from tests.learners.streams import answer, separable, step

__all__: list[str] = []

ROOT = Path(__file__).parents[2]
TREE = "river.tree.HoeffdingTreeClassifier"
LOGISTIC = "river.linear_model.LogisticRegression"


def _build(estimator: str, parameters: dict[str, Any] | None = None, **more: Any) -> RiverLearner:
    return RiverLearner(estimator, parameters or {}, **({"task": "classification"} | more))


def _numbers(n: int, seed: int = 4) -> list[tuple[dict[str, float], str]]:
    rng = np.random.default_rng(seed)
    return [({"a": a, "b": b}, "yes" if a + b > 0 else "no") for a, b in rng.normal(size=(n, 2)).tolist()]


@pytest.mark.parametrize(
    ("estimator", "parameters", "reference"),
    [
        (TREE, {"grace_period": 50}, lambda: tree.HoeffdingTreeClassifier(grace_period=50)),
        ("river.naive_bayes.GaussianNB", {}, naive_bayes.GaussianNB),
        ("river.forest.ARFClassifier", {"n_models": 3, "seed": 9}, lambda: forest.ARFClassifier(n_models=3, seed=9)),
        (
            "river.compose.Pipeline",
            {"pipeline": ["river.preprocessing.StandardScaler", {"estimator": "river.tree.HoeffdingTreeClassifier"}]},
            lambda: compose.Pipeline(preprocessing.StandardScaler(), tree.HoeffdingTreeClassifier()),
        ),
    ],
)
def test_answers_are_rivers_own(estimator: str, parameters: dict[str, Any], reference: Any) -> None:
    """On ordinary numbers the probabilities are those of river, used directly with classes 0 and 1."""
    learner, model = _build(estimator, parameters), reference()
    codes: dict[str, int] = {}
    for x, y in _numbers(400):
        expected = model.predict_proba_one(x) if codes else {}
        total = sum(expected.values()) or 1.0
        assert learner.predict_proba_one(x) == pytest.approx(
            {
                label: expected[code] / total
                for label, code in codes.items()
                if code in expected and sum(expected.values())
            }
        )
        learner.learn_one(x, y)
        model.learn_one(x, codes.setdefault(y, len(codes)))


def test_binary_and_regression_answers_are_rivers_own() -> None:
    """Logistic regression sees True for the second label that came; regressors see the numbers."""
    model: Any = linear_model.LogisticRegression()
    straight: Any = linear_model.LinearRegression()
    learner, line = _build(LOGISTIC), _build("river.linear_model.LinearRegression", task="regression")
    first: str | None = None
    for i, (x, y) in enumerate(_numbers(300)):
        first = first or y
        if i > 20:
            other = "no" if first == "yes" else "yes"
            assert learner.predict_proba_one(x)[other] == pytest.approx(model.predict_proba_one(x)[True], abs=1e-15)
            assert line.predict_one(x) == straight.predict_one(x)
        learner.learn_one(x, y)
        model.learn_one(x, y != first)
        line.learn_one(x, x["a"] * 3)
        straight.learn_one(x, x["a"] * 3)


@pytest.mark.parametrize(
    ("estimator", "parameters", "says"),
    [
        ("river.tree.HoeffdingTreeClasifier", {}, "did you mean 'river.tree.HoeffdingTreeClassifier'"),
        ("HoeffdingTreeClassifier", {}, "did you mean 'river.tree.HoeffdingTreeClassifier'"),
        ("sklearn.linear_model.LogisticRegression", {}, "did you mean 'river.linear_model.LogisticRegression'"),
        ("os.system", {}, "write a dotted name"),
        ("river.datasets.Elec2", {}, "is no class of river"),
        ("river.tree.__loader__", {}, "is no class of river"),
        (TREE, {"grace_periode": 100}, "did you mean 'grace_period'"),
        (TREE, {"zzz": 1}, "it takes grace_period"),
        (TREE, {"leaf_prediction": 7, "splitter": "text"}, "HoeffdingTreeClassifier"),
        ("river.linear_model.LinearRegression", {}, "set task = 'regression'"),
        ("river.preprocessing.StandardScaler", {}, "choose a predictor"),
        ("river.compose.Pipeline", {}, "pipeline = ["),
        ("river.compose.Pipeline", {"pipeline": [{"name": "x"}]}, "is no estimator"),
        (
            "river.ensemble.BaggingClassifier",
            {"model": {"estimator": "river.tree.Tree"}},
            "'river.tree.Tree' is no class",
        ),
        ("river.neighbors.KNNClassifier", {"engine": {"estimator": "river.neighbors.SWINN"}}, "LazySearch"),
        ("river.naive_bayes.MultinomialNB", {}, "fails on ordinary events"),
        ("river.misc.ZstdClassifier", {}, "river.misc.ZstdClassifier"),
    ],
)
def test_wrong_configuration_is_refused_with_what_is_right(
    estimator: str, parameters: dict[str, Any], says: str
) -> None:
    """A wrong name, parameter, task or part is refused when it is built, and the message says what to write."""
    with pytest.raises(EstimatorRefusedError) as refused:
        _build(estimator, parameters)
    assert says in str(refused.value)


def test_what_cannot_be_restored_is_refused_at_once() -> None:
    """River's AMRules keys its rules by address: refused with that reason before the first event."""
    with pytest.raises(EstimatorRefusedError, match="differs from run to run"):
        _build("river.rules.AMRules", task="regression")


def test_wrong_task_and_cap_name_their_value() -> None:
    """An unknown task and a cap below two classes are errors that name the value."""
    with pytest.raises(ValueError, match="task = 'ranking'"):
        _build(TREE, task="ranking")
    with pytest.raises(ValueError, match="classes_cap = 1"):
        _build(TREE, classes_cap=1)


def test_a_third_label_for_a_binary_estimator_says_what_to_do() -> None:
    """Two-class estimators refuse a third label each time, and go on with the two they know."""
    learner = _build(LOGISTIC)
    for x, y in _numbers(20):
        learner.learn_one(x, y)
    before = learner.snapshot()
    with pytest.raises(LearnerError, match="OneVsRestClassifier"):
        learner.learn_one({"a": 1.0}, "maybe")
    assert learner.snapshot() == before
    assert set(learner.predict_proba_one({"a": 1.0})) == {"yes", "no"}


def test_labels_beyond_the_cap_are_learner_errors() -> None:
    """A learner knows `classes_cap` labels; one more is refused each time and changes nothing."""
    learner = _build(TREE, classes_cap=3)
    for label in ("a", "b", "c"):
        learner.learn_one({"x": 1.0}, label)
    before = learner.snapshot()
    with pytest.raises(LearnerError, match="classes_cap = 3"):
        learner.learn_one({"x": 1.0}, "d")
    assert learner.snapshot() == before


GROWING: dict[str, tuple[str, dict[str, Any]]] = {
    "a forest": ("river.forest.ARFClassifier", {"n_models": 3, "grace_period": 20}),
    "a tree": (TREE, {"grace_period": 20}),
    "bagged trees": ("river.ensemble.LeveragingBaggingClassifier", {"model": {"estimator": TREE}, "n_models": 3}),
    "weights of ever more names": ("river.linear_model.SoftmaxRegression", {}),
}


@pytest.mark.parametrize("name", GROWING)
def test_a_budget_that_is_used_up_ends_learning_and_not_answers(name: str) -> None:
    """No snapshot is larger than the budget; each further label is refused with the reason and changes nothing, and a
    fresh learner begins with the whole budget. A cut before or after the end changes nothing."""
    estimator, parameters = GROWING[name]
    learner = _build(estimator, parameters, budget_bytes=1 << 16)
    rng = np.random.default_rng(4)
    restored, largest, refused = learner, 0, ""
    x: dict[str, float | str] = {}
    y = ""
    for i in range(20_000):
        x = {f"{name} {j}": v for j, v in enumerate(rng.normal(size=12).tolist(), i // 2)}
        y = f"{sum(map(float, x.values())) > 0.0} {i % 5}"
        if i in {5, 300, 1_000}:
            restored = RiverLearner.restore(learner.snapshot())
        try:
            learner.learn_one(x, y)
        except LearnerError as error:
            refused = str(error)
            break
        if restored is not learner:
            restored.learn_one(x, y)
        if i % 50 == 0:
            largest = max(largest, len(learner.snapshot()))
    assert "budget_bytes = 65,536" in refused
    last = learner.snapshot()
    assert (1 << 15) < max(largest, len(last)) <= 1 << 16
    with pytest.raises(LearnerError, match="learns no more"):
        restored.learn_one(x, "a label that is new")
    assert learner.snapshot() == restored.snapshot() == last
    assert learner.predict_proba_one(x)
    learner.fresh().learn_one(x, y)


def test_a_snapshot_from_before_there_was_a_budget_goes_on() -> None:
    """It has the budget that is now the default, and is measured from its next example on."""
    learner = _build("river.naive_bayes.GaussianNB")
    for x, y in _numbers(100):
        learner.learn_one(x, y)
    tree: Any = codec.decode(learner.snapshot())
    del tree["config"]["budget_bytes"], tree["measure_at"]
    old = RiverLearner.restore(codec.encode(tree))
    for x, y in _numbers(40, seed=5):
        learner.learn_one(x, y)
        old.learn_one(x, y)
    assert old.predict_proba_one({"a": 1.0, "b": 0.0}) == learner.predict_proba_one({"a": 1.0, "b": 0.0})
    now: Any = codec.decode(old.snapshot())
    assert now["config"]["budget_bytes"] == 32 << 20
    assert now["measure_at"] > 140


def test_a_label_that_is_no_number_is_a_learner_error() -> None:
    """A regressor refuses text and NaN labels, and stays as it was."""
    for learner in (_build("river.linear_model.LinearRegression", task="regression"), Mean(), NoChange("regression")):
        learner.learn_one({"x": 1.0}, 2.0)
        before = learner.snapshot()
        for label in ("text", float("nan")):
            with pytest.raises(LearnerError, match="number"):
                learner.learn_one({"x": 1.0}, label)
        assert learner.snapshot() == before


def test_an_error_inside_river_is_a_learner_error_with_its_cause() -> None:
    """Whatever river raises on one event comes as LearnerError, and the next event works."""
    learner = _build(TREE)
    learner.learn_one({"a": 1.0}, "ok")
    model = learner._model

    class Broken:
        def predict_proba_one(self, x: object) -> dict[int, float]:
            raise ZeroDivisionError("inside")

    learner._model = Broken()
    with pytest.raises(LearnerError, match="ZeroDivisionError: inside") as failed:
        learner.predict_one({"a": 1.0})
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    learner._model = model
    assert learner.predict_one({"a": 1.0}) == "ok"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_answers_are_unknown_and_counted(value: float) -> None:
    """A probability or number that is not finite becomes "unknown" and one failure, for both tasks."""

    class Broken:
        def predict_proba_one(self, x: object) -> dict[int, float]:
            return {0: 0.5, 1: value}

        def predict_one(self, x: object) -> float:
            return value

    learner, line = _build(TREE), _build("river.linear_model.LinearRegression", task="regression")
    learner.learn_one({"a": 1.0}, "ok")
    learner.learn_one({"a": 1.0}, "bad")
    line.learn_one({"a": 1.0}, 1.0)
    learner._model = line._model = Broken()
    assert learner.predict_proba_one({"a": 1.0}) == {}
    assert line.predict_one({"a": 1.0}) is None
    assert (learner.failures, line.failures) == (1, 1)


def test_an_estimator_without_probabilities_still_answers() -> None:
    """Where river gives only a class, it gets all the probability."""
    learner = _build("river.multiclass.OneVsOneClassifier", {"classifier": {"estimator": LOGISTIC}})
    for x, y in _numbers(100):
        step(learner, x, y)
    assert learner.predict_proba_one({"a": 3.0, "b": 3.0}) == {"yes": 1.0}


@pytest.mark.parametrize("absurd", [1e16, -1e308, 1e308])
@pytest.mark.parametrize(
    ("estimator", "parameters"),
    [
        (LOGISTIC, {}),
        (TREE, {}),
        ("river.naive_bayes.GaussianNB", {}),
        ("river.compose.Pipeline", {"pipeline": ["river.preprocessing.StandardScaler", LOGISTIC]}),
    ],
)
def test_one_absurd_value_does_not_ruin_a_learner(estimator: str, parameters: dict[str, Any], absurd: float) -> None:
    """After one absurd value a learner is soon within .1 of the accuracy that it had without."""
    accuracy = []
    for spoil in (False, True):
        learner = _build(estimator, parameters)
        right = 0
        for i, (x, y) in enumerate(_numbers(1_500)):
            if i >= 1_000:
                right += learner.predict_one(x) == y
            learner.learn_one(x | {"a": absurd} if spoil and i == 400 else x, y)
        accuracy.append(right / 500)
    assert accuracy[1] > accuracy[0] - 0.1


def test_fresh_is_untrained_and_seeded_by_its_generation() -> None:
    """A fresh learner knows nothing; equal generations are equal, different ones draw different numbers."""
    learner = _build("river.forest.ARFClassifier", {"n_models": 2}, seed=5)
    for x, y in _numbers(30):
        learner.learn_one(x, y)
    first, again, second = learner.fresh(1), learner.fresh(), learner.fresh(2)
    assert answer(first, {"a": 1.0}) == (None, {})
    assert (first.generation, again.generation, second.generation) == (1, 1, 2)
    assert first.snapshot() == again.snapshot()
    for x, y in _numbers(60):
        for one in (first, second):
            one.learn_one(x, y)
    assert first._model._rng.random() != second._model._rng.random()
    assert again.fresh().generation == 2


def test_every_part_gets_a_seed() -> None:
    """Nested parts are seeded from the configured seed; a seed of their own is kept in the first generation."""
    spec = {"model": {"estimator": "river.tree.HoeffdingAdaptiveTreeClassifier"}, "n_models": 2}
    first, other = (_build("river.ensemble.BaggingClassifier", spec, seed=seed) for seed in (1, 2))
    assert first._model.seed == 1
    assert first._model.model.seed == derived_seed(1, 0, "model") != other._model.model.seed
    own = _build("river.forest.ARFClassifier", {"n_models": 2, "seed": 77}, seed=1)
    assert own._model.seed == 77
    assert own.fresh(1)._model.seed == derived_seed(77, 1, "") != own.fresh(2)._model.seed


def test_a_snapshot_restores_only_its_own_kind() -> None:
    """A snapshot of a baseline is no river learner and the other way round; the registry finds the right one."""
    learner = _build(TREE)
    for wrong, data in (
        (RiverLearner, Majority().snapshot()),
        (Majority, learner.snapshot()),
        (Mean, Majority().snapshot()),
    ):
        with pytest.raises(SnapshotError):
            wrong.restore(data)
    assert isinstance(restore_learner(learner.snapshot()), RiverLearner)
    assert isinstance(restore_learner(NoChange().snapshot()), NoChange)
    later = codec.encode({"kind": "later"})
    with pytest.raises(SnapshotError, match="unknown"):
        restore_learner(later)


def test_text_is_learned_by_models_that_take_numbers_only() -> None:
    """A label that text decides, but for 5 % noise, is learned by trees, linear models, naive Bayes and neighbours."""
    rng = np.random.default_rng(8)
    rows: list[tuple[dict[str, float | str], str]] = [
        ({"city": "ABCD"[int(rng.integers(4))], "n": float(rng.normal())}, "") for _ in range(500)
    ]
    for estimator in (TREE, LOGISTIC, "river.naive_bayes.GaussianNB", "river.neighbors.KNNClassifier"):
        learner = _build(estimator)
        right = 0
        for i, (x, _) in enumerate(rows):
            y = "in" if (x["city"] in {"A", "B"}) != (i % 20 == 7) else "out"
            right += learner.predict_one(x) == y and i >= 250
            learner.learn_one(x, y)
        assert right / 250 > 0.85, estimator


def test_the_example_of_a_stream_stays_untouched() -> None:
    """Neither predicting nor learning changes the caller's features."""
    learner = _build(LOGISTIC)
    for x, y in separable("classification", 20):
        kept = dict(x)
        step(learner, x, y)
        assert x == kept


def test_importing_the_package_loads_no_river() -> None:
    """`import learners` and all its modules load neither river nor scipy nor pandas: the service starts fast."""
    code = (
        "import sys, learners, learners.registry, learners.prequential, learners.adaptation, learners.frozen\n"
        "from learners.baselines import Majority\n"
        "Majority.restore(Majority().snapshot())\n"
        "print([m for m in ('river', 'scipy', 'pandas', 'numba') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert run.stdout.strip() == b"[]"
