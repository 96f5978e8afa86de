"""A learner by the name that a configuration gives: `anchorwatch.…` for ours, `river.…` and `sklearn.…` for theirs."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

import msgspec

from learners.adaptive_random_forest import AdaptiveRandomForest
from learners.adaptive_random_forest_regressor import AdaptiveRandomForestRegressor
from learners.adaptive_window import AdaptiveWindow
from learners.base import Learner, Task
from learners.best_expert import BestExpert
from learners.decay import Decay
from learners.errors import EstimatorRefusedError
from learners.hoeffding_adaptive_tree import HoeffdingAdaptiveTree
from learners.hoeffding_tree import HoeffdingTree
from learners.hoeffding_tree_regressor import HoeffdingTreeRegressor
from learners.leveraging_bagging import LeveragingBagging
from learners.linear_regression import LinearRegression
from learners.majority_vote import MajorityVote
from learners.naive_bayes import NaiveBayes
from learners.oza_bagging import OzaBaggingAdwin
from learners.river_adapter import RiverLearner
from learners.sklearn_refit import SklearnRefit
from learners.sliding_window import SlidingWindow
from learners.softmax_regression import SoftmaxRegression
from learners.streaming_random_patches import StreamingRandomPatches
from learners.weighted_vote import WeightedVote

__all__ = ["COMPILED", "build_learner"]

_OWN = "anchorwatch."
COMPILED: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        AdaptiveRandomForest, HoeffdingAdaptiveTree, HoeffdingTree, LeveragingBagging, OzaBaggingAdwin,
        StreamingRandomPatches,
        LinearRegression, NaiveBayes, SoftmaxRegression,
        AdaptiveWindow, Decay, SlidingWindow,
        AdaptiveRandomForestRegressor, HoeffdingTreeRegressor,
        BestExpert, MajorityVote, WeightedVote,
    )
}  # fmt: skip
_RIVERS_OWN = {"budget_bytes", "classes_cap"}  # what stands beside an estimator's parameters and is not river's
# What a fold gives by itself: rows come with names, and the monitor has the seed.
_NOT_ASKED = {"columns", "nominal", "seed", "task"}
# What the learners look at themselves: their words say more than a type.
_SAID_THERE = {"estimator", "members"}
# Generations of one learner draw from generators of their own, and so do the neighbours of its seed.
_STRIDE = 1_000_003


def build_learner(
    estimator: str, parameters: Mapping[str, Any], *, task: Task, seed: int, generation: int = 0
) -> Learner:
    """A fresh learner; `generation` counts those that took its place before.

    Raises
    ------
    EstimatorRefusedError
        the name is unknown, the task is not the estimator's, or a parameter is refused: says what to write.
    """
    if estimator in COMPILED:
        raise EstimatorRefusedError(f"estimator = {estimator!r}: write {_OWN}{estimator}")
    if estimator.startswith("sklearn."):
        try:
            return SklearnRefit(estimator, parameters, task=task, seed=seed + _STRIDE * generation)
        except EstimatorRefusedError:
            raise
        except (TypeError, ValueError) as error:
            raise EstimatorRefusedError(f"{estimator}: {error}") from error
    if not estimator.startswith(_OWN):
        own = {name: value for name, value in parameters.items() if name in _RIVERS_OWN}
        theirs = {name: value for name, value in parameters.items() if name not in _RIVERS_OWN}
        learner = RiverLearner(estimator, theirs, task=task, seed=seed, **own)
        return learner.fresh(generation) if generation else learner
    name = estimator.removeprefix(_OWN)
    kind = COMPILED.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, COMPILED, 1)
        hint = f"did you mean {_OWN}{near[0]}? " if near else ""
        raise EstimatorRefusedError(f"{estimator}: no such learner; {hint}there are: {', '.join(sorted(COMPILED))}")
    tasks = getattr(kind, "tasks", None) or {kind.task}
    if task not in tasks:
        raise EstimatorRefusedError(f"{estimator} learns {' and '.join(sorted(tasks))}, not {task}")
    allowed = inspect.signature(kind).parameters.keys()
    unknown = sorted(set(parameters) - (allowed - _NOT_ASKED))
    if unknown:
        known = ", ".join(sorted(allowed - _NOT_ASKED))
        raise EstimatorRefusedError(f"{estimator}: no parameter {unknown[0]!r}; there are: {known}")
    given: dict[str, Any] = {"seed": seed + _STRIDE * generation, "task": task}
    typed = {name: _of_its_type(estimator, kind, name, value) for name, value in parameters.items()}
    try:
        built: Learner = kind(**typed, **{name: value for name, value in given.items() if name in allowed})
    except (TypeError, ValueError, MemoryError) as error:
        raise EstimatorRefusedError(f"{estimator}: {error}") from error
    return built


def _of_its_type(estimator: str, kind: Any, name: str, value: Any) -> Any:
    """A parameter as the learner's signature wants it: a whole number where it counts something."""
    if name in _SAID_THERE:
        return value
    try:
        return msgspec.convert(value, get_type_hints(kind.__init__)[name])
    except msgspec.ValidationError as error:
        raise EstimatorRefusedError(f"{estimator}: {name} = {value!r}: {error}") from error
