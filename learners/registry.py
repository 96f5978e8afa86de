"""The learners that the conformance suite holds to the contract, and the way back from any learner's snapshot.

Adding a learner here adds its tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from learners import codec
from learners.adaptive_random_forest import AdaptiveRandomForest
from learners.base import Learner, Task
from learners.baselines import Majority, Mean, NoChange
from learners.best_expert import BestExpert
from learners.errors import SnapshotError
from learners.frozen import FrozenProbe
from learners.hoeffding_adaptive_tree import HoeffdingAdaptiveTree
from learners.hoeffding_tree import HoeffdingTree
from learners.leveraging_bagging import LeveragingBagging
from learners.majority_vote import MajorityVote
from learners.oza_bagging import OzaBaggingAdwin
from learners.river_adapter import RiverLearner
from learners.streaming_random_patches import StreamingRandomPatches
from learners.weighted_vote import WeightedVote

__all__ = ["LEARNERS", "LearnerEntry", "restore_learner"]

_KINDS: dict[str, Callable[[bytes], Learner]] = {
    "adaptive_random_forest": AdaptiveRandomForest.restore,
    "best_expert": BestExpert.restore,
    "frozen": FrozenProbe.restore,
    "hoeffding_adaptive_tree": HoeffdingAdaptiveTree.restore,
    "hoeffding_tree": HoeffdingTree.restore,
    "leveraging_bagging": LeveragingBagging.restore,
    "majority": Majority.restore,
    "majority_vote": MajorityVote.restore,
    "mean": Mean.restore,
    "no_change": NoChange.restore,
    "oza_bagging_adwin": OzaBaggingAdwin.restore,
    "river": RiverLearner.restore,
    "streaming_random_patches": StreamingRandomPatches.restore,
    "weighted_vote": WeightedVote.restore,
}


def restore_learner(data: bytes) -> Learner:
    """The learner, of whatever kind, that a snapshot was taken of.

    Raises
    ------
    SnapshotError
        the bytes are damaged, or of a kind that this version does not know.
    """
    kind = codec.kind_of(data)
    restore = _KINDS.get(kind or "")
    if restore is None:
        raise SnapshotError(f"a snapshot of kind {kind!r} is unknown here: use the program that wrote it")
    return restore(data)


@dataclass(frozen=True)
class LearnerEntry:
    """How to build a learner for a seed; `learns` is False for what ignores the features."""

    task: Task
    build: Callable[[int], Learner]
    learns: bool = True


def _river(name: str, task: Task = "classification", **parameters: Any) -> LearnerEntry:
    return LearnerEntry(task, lambda seed: RiverLearner(f"river.{name}", parameters, task=task, seed=seed))


def _compiled(learner: Callable[..., Learner], **parameters: Any) -> LearnerEntry:
    return LearnerEntry("classification", lambda seed: learner(seed=seed, **parameters))


def _committee(
    learner: Callable[..., Learner], members: list[dict[str, Any]], task: Task = "classification", **parameters: Any
) -> LearnerEntry:
    return LearnerEntry(task, lambda seed: learner(members, task=task, seed=seed, **parameters))


def _part(name: str, **parameters: Any) -> dict[str, Any]:
    return {"estimator": f"river.{name}", "parameters": parameters}


_SCALED_LOGISTIC = [_part("preprocessing.StandardScaler"), _part("linear_model.LogisticRegression")]
_SCALED_LINEAR = [_part("preprocessing.StandardScaler"), _part("linear_model.LinearRegression")]

_TWO_TREES = [
    {"estimator": "anchorwatch.HoeffdingTree", "parameters": {"grace_n": 50.0}},
    {"estimator": "anchorwatch.LeveragingBagging", "parameters": {"trees": 2}},
]
_TWO_REGRESSORS = [
    {"estimator": "river.compose.Pipeline", "parameters": {"pipeline": _SCALED_LINEAR}},
    _part("tree.HoeffdingTreeRegressor"),
]

LEARNERS: dict[str, LearnerEntry] = {
    "majority": LearnerEntry("classification", lambda _: Majority(), learns=False),
    "mean": LearnerEntry("regression", lambda _: Mean(), learns=False),
    "no_change": LearnerEntry("classification", lambda _: NoChange(), learns=False),
    "no_change_regression": LearnerEntry("regression", lambda _: NoChange("regression"), learns=False),
    "compiled_adaptive_random_forest": _compiled(AdaptiveRandomForest, trees=3),
    "compiled_hoeffding_adaptive_tree": _compiled(HoeffdingAdaptiveTree),
    "compiled_hoeffding_tree": LearnerEntry("classification", lambda _: HoeffdingTree()),
    "compiled_leveraging_bagging": _compiled(LeveragingBagging, trees=3),
    "compiled_oza_bagging_adwin": _compiled(OzaBaggingAdwin, trees=3),
    "compiled_streaming_random_patches": _compiled(StreamingRandomPatches, trees=3),
    "best_expert": _committee(BestExpert, _TWO_TREES),
    "best_expert_regression": _committee(BestExpert, _TWO_REGRESSORS, "regression"),
    "majority_vote": _committee(MajorityVote, _TWO_TREES, period=70),
    "majority_vote_regression": _committee(
        MajorityVote, [*_TWO_REGRESSORS, _part("tree.HoeffdingTreeRegressor")], "regression", period=70
    ),
    "nested_weighted_vote": _committee(
        WeightedVote, [{"estimator": "anchorwatch.MajorityVote", "parameters": {"members": _TWO_TREES}}, *_TWO_TREES]
    ),
    "weighted_vote": _committee(WeightedVote, _TWO_TREES),
    "weighted_vote_regression": _committee(WeightedVote, _TWO_REGRESSORS, "regression"),
    "adaptive_random_forest": _river("forest.ARFClassifier", n_models=3),
    "gaussian_naive_bayes": _river("naive_bayes.GaussianNB"),
    "hoeffding_adaptive_tree": _river("tree.HoeffdingAdaptiveTreeClassifier"),
    "hoeffding_tree": _river("tree.HoeffdingTreeClassifier"),
    "hoeffding_tree_regressor": _river("tree.HoeffdingTreeRegressor", "regression"),
    "leveraging_bagging": _river(
        "ensemble.LeveragingBaggingClassifier", model=_part("tree.HoeffdingTreeClassifier"), n_models=3
    ),
    "linear_regression": _river("compose.Pipeline", "regression", pipeline=_SCALED_LINEAR),
    "logistic_regression": _river("linear_model.LogisticRegression"),
    "nearest_neighbours": _river("neighbors.KNNClassifier"),
    "one_vs_rest": _river("multiclass.OneVsRestClassifier", classifier=_part("linear_model.LogisticRegression")),
    "scaled_logistic_regression": _river("compose.Pipeline", pipeline=_SCALED_LOGISTIC),
}
