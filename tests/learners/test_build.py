"""Learners by name: ours, river's, and what is refused with what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

from learners.build import COMPILED, build_learner
from learners.errors import EstimatorRefusedError
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
    learner = build(f"anchorwatch.{name}", task)
    assert type(learner) is COMPILED[name]
    for x, y in separable(task, 60):
        step(learner, x, y)
    assert restore_learner(learner.snapshot()).snapshot() == learner.snapshot()


def test_river_goes_on_as_before() -> None:
    """Other names are river's."""
    assert type(build("river.naive_bayes.GaussianNB")) is RiverLearner


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
