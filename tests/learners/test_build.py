"""Learners by name: ours, river's, and what is refused with what to write instead."""

from __future__ import annotations

import sys
from inspect import signature
from typing import Any

import pytest

from learners.build import COMPILED, build_learner
from learners.errors import EstimatorRefusedError, LearnerError
from learners.registry import restore_learner
from learners.river_adapter import RiverLearner
from tests.learners.streams import separable, step

__all__: list[str] = []


def build(estimator: str, task: Any = "classification", **parameters: Any) -> Any:
    return build_learner(estimator, parameters, task=task, seed=1)


@pytest.mark.parametrize("name", sorted(COMPILED))
def test_every_compiled_learner_is_built_by_its_name(name: str) -> None:
    """`anchorwatch.NAME` gives the learner, and its snapshot finds the way back without the name."""
    task: Any = getattr(COMPILED[name], "task", "classification")
    inside = {"estimator": "anchorwatch.NaiveBayes"} if "estimator" in signature(COMPILED[name]).parameters else {}
    learner = build_learner(f"anchorwatch.{name}", inside, task=task, seed=1)
    assert type(learner) is COMPILED[name]
    for x, y in separable(task, 60):
        step(learner, x, y)
    assert restore_learner(learner.snapshot()).snapshot() == learner.snapshot()


def test_river_goes_on_as_before() -> None:
    """Other names are river's."""
    assert type(build("river.naive_bayes.GaussianNB")) is RiverLearner


INSIDE = {"estimator": "anchorwatch.NaiveBayes"}
WRONG = [
    ("SlidingWindow", INSIDE | {"refit_every": 2.5}, "refit_every = 2.5"),
    ("SlidingWindow", INSIDE | {"window_n": float("inf")}, "window_n = inf"),
    ("SlidingWindow", INSIDE | {"parameters": 5}, "parameters = 5"),
    ("Decay", INSIDE | {"half_life_n": float("inf")}, "half_life_n = inf"),
    ("Decay", INSIDE | {"refit_every": "2"}, "refit_every = '2'"),
    ("AdaptiveWindow", INSIDE | {"max_n": 2.5}, "max_n = 2.5"),
    ("MajorityVote", {"members": [INSIDE], "period": 2.5}, "period = 2.5"),
    ("NaiveBayes", {"classes_cap": 2.5}, "classes_cap = 2.5"),
    ("NaiveBayes", {"decay": "0.9"}, "decay = '0.9'"),
    ("HoeffdingTree", {"classes_cap": True}, "classes_cap = True"),
    ("HoeffdingTree", {"budget_bytes": 10**18}, "HoeffdingTree"),
    ("AdaptiveRandomForest", {"trees": 2.5}, "trees = 2.5"),
]


@pytest.mark.parametrize(("name", "parameters", "words"), WRONG)
def test_a_parameter_of_another_type_is_refused_by_name(name: str, parameters: dict[str, Any], words: str) -> None:
    """Half an example, endlessly many or a text is no count; what is refused is named with its value."""
    with pytest.raises(EstimatorRefusedError) as refused:
        build_learner(f"anchorwatch.{name}", parameters, task="classification", seed=1)
    assert words in str(refused.value)


def test_a_whole_number_is_a_number() -> None:
    """1 is 1.0 where any number is wanted: the same learner, to the byte."""
    assert build("anchorwatch.NaiveBayes", decay=1).snapshot() == build("anchorwatch.NaiveBayes", decay=1.0).snapshot()


@pytest.mark.parametrize(
    "name", sorted(name for name, kind in COMPILED.items() if "trees" in signature(kind).parameters)
)
def test_a_budget_holds_many_trees_or_refuses_them(name: str) -> None:
    """What each tree takes whatever it learns counts, too: the state stays within the budget, and one that has no room
    for a leaf a tree is refused with what is needed."""
    task: Any = COMPILED[name].task
    with pytest.raises(EstimatorRefusedError, match="budget_bytes = 5000") as refused:
        build(f"anchorwatch.{name}", task, budget_bytes=5_000, trees=100)
    budget = int(str(refused.value).split(": ")[-1].split()[0]) + 200_000
    learner = build(f"anchorwatch.{name}", task, budget_bytes=budget, trees=100)
    for x, y in separable(task, 3_000):
        learner.learn_one({"a": x["a"]}, y)
    assert learner.state_bytes <= budget


def test_a_river_estimator_takes_a_budget_and_a_cap_beside_its_own_parameters() -> None:
    """Both reach the learner, and its successors; what is out of range is refused by name."""
    learner = build("river.naive_bayes.GaussianNB", classes_cap=2, budget_bytes=1 << 20)
    for one in (learner, build_learner(
        "river.naive_bayes.GaussianNB", {"classes_cap": 2}, task="classification", seed=1, generation=3
    )):  # fmt: skip
        one.learn_one({"a": 1.0}, "x")
        one.learn_one({"a": 2.0}, "y")
        with pytest.raises(LearnerError, match="classes_cap = 2"):
            one.learn_one({"a": 3.0}, "z")
    for name, value in (("budget_bytes", 65_535), ("budget_bytes", "much"), ("classes_cap", 1)):
        with pytest.raises(EstimatorRefusedError, match=f"{name} = {value!r}: must be an integer"):
            build("river.naive_bayes.GaussianNB", **{name: value})


def test_generations_draw_differently_and_repeatably() -> None:
    """A successor has a generator of its own, the same at each replay."""

    def trained(generation: int) -> bytes:
        learner = build_learner(
            "anchorwatch.LeveragingBagging", {"trees": 3}, task="classification", seed=1, generation=generation
        )
        for x, y in separable("classification", 200):
            learner.learn_one(x, y)
        return learner.snapshot()

    assert trained(1) == trained(1)
    assert trained(1) != trained(0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"estimator": "anchorwatch.AdaptivRandomForest"}, ["did you mean anchorwatch.AdaptiveRandomForest"]),
        ({"estimator": "anchorwatch.os"}, ["no such learner", "HoeffdingTree"]),
        ({"estimator": "anchorwatch.HoeffdingTree", "task": "regression"}, ["learns classification, not regression"]),
        ({"estimator": "anchorwatch.HoeffdingTree", "graze": 3}, ["no parameter 'graze'", "grace_n"]),
        ({"estimator": "anchorwatch.LeveragingBagging", "seed": 3}, ["no parameter 'seed'"]),
        ({"estimator": "anchorwatch.LeveragingBagging", "trees": 0}, ["anchorwatch.LeveragingBagging", "trees"]),
        ({"estimator": "anchorwatch.LeveragingBagging", "trees": "ten"}, ["anchorwatch.LeveragingBagging"]),
    ],
)
def test_what_cannot_be_built_is_refused(arguments: dict[str, Any], words: list[str]) -> None:
    """The message names the estimator and says what to write."""
    with pytest.raises(EstimatorRefusedError) as refused:
        build(**arguments)
    assert [word for word in words if word not in str(refused.value)] == []


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where scikit-learn is not installed, the message says how to install it."""
    for module in ("sklearn", "sklearn.linear_model", "sklearn.base"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EstimatorRefusedError, match=r"anchorwatch\[sklearn\]"):
        build("sklearn.linear_model.LogisticRegression", C=0.123)
