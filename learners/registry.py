"""The learners that the conformance suite holds to the contract, and the way back from any learner's snapshot.

Adding a learner here adds its tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from learners import codec
from learners.adaptive_random_forest import AdaptiveRandomForest
from learners.adaptive_random_forest_regressor import AdaptiveRandomForestRegressor
from learners.adaptive_window import AdaptiveWindow
from learners.base import Learner, Task
from learners.baselines import Majority, Mean, NoChange
from learners.best_expert import BestExpert
from learners.decay import Decay
from learners.errors import SnapshotError
from learners.frozen import FrozenProbe
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

__all__ = ["LEARNERS", "LearnerEntry", "restore_learner"]

_KINDS: dict[str, Callable[[bytes], Learner]] = {
    "adaptive_random_forest": AdaptiveRandomForest.restore,
    "adaptive_window": AdaptiveWindow.restore,
    "decay": Decay.restore,
    "adaptive_random_forest_regressor": AdaptiveRandomForestRegressor.restore,
    "best_expert": BestExpert.restore,
    "frozen": FrozenProbe.restore,
    "hoeffding_adaptive_tree": HoeffdingAdaptiveTree.restore,
    "hoeffding_tree": HoeffdingTree.restore,
    "hoeffding_tree_regressor": HoeffdingTreeRegressor.restore,
    "leveraging_bagging": LeveragingBagging.restore,
    "linear_regression": LinearRegression.restore,
    "majority": Majority.restore,
    "majority_vote": MajorityVote.restore,
    "mean": Mean.restore,
    "naive_bayes": NaiveBayes.restore,
    "no_change": NoChange.restore,
    "oza_bagging_adwin": OzaBaggingAdwin.restore,
    "river": RiverLearner.restore,
    "sklearn_refit": SklearnRefit.restore,
    "sliding_window": SlidingWindow.restore,
    "softmax_regression": SoftmaxRegression.restore,
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
    """How to build a learner for a seed; `learns` is False for what ignores the features. `origin`: who wrote it."""

    task: Task
    build: Callable[[int], Learner]
    learns: bool = True
    origin: Literal["anchorwatch", "river", "scikit-learn"] = "anchorwatch"


def _river(name: str, task: Task = "classification", **parameters: Any) -> LearnerEntry:
    def build(seed: int) -> RiverLearner:
        return RiverLearner(f"river.{name}", parameters, task=task, seed=seed, budget_bytes=1 << 20)

    return LearnerEntry(task, build, origin="river")


def _compiled(learner: Callable[..., Learner], **parameters: Any) -> LearnerEntry:
    return LearnerEntry("classification", lambda seed: learner(seed=seed, **parameters))


def _policy(policy: Callable[..., Learner], name: str, task: Task = "classification", **its: Any) -> LearnerEntry:
    return LearnerEntry(task, lambda seed: policy(f"anchorwatch.{name}", task=task, seed=seed, **its))


def _sklearn(name: str, task: Task = "classification", **parameters: Any) -> LearnerEntry:
    def build(seed: int) -> SklearnRefit:
        return SklearnRefit(f"sklearn.{name}", parameters | {"budget_bytes": 1 << 20}, task=task, seed=seed)

    return LearnerEntry(task, build, origin="scikit-learn")


def _committee(
    learner: Callable[..., Learner], members: list[dict[str, Any]], task: Task = "classification", **parameters: Any
) -> LearnerEntry:
    return LearnerEntry(task, lambda seed: learner(members, task=task, seed=seed, **parameters))


def _part(name: str, **parameters: Any) -> dict[str, Any]:
    return {"estimator": f"river.{name}", "parameters": parameters}


_SCALED_LOGISTIC = [_part("preprocessing.StandardScaler"), _part("linear_model.LogisticRegression")]
_SCALED_SVM = ["sklearn.preprocessing.StandardScaler", {"estimator": "sklearn.svm.SVC"}]
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
    "compiled_adaptive_random_forest_regressor": LearnerEntry(
        "regression", lambda seed: AdaptiveRandomForestRegressor(trees=3, seed=seed)
    ),
    "compiled_hoeffding_adaptive_tree": _compiled(HoeffdingAdaptiveTree),
    "compiled_hoeffding_tree": LearnerEntry("classification", lambda _: HoeffdingTree()),
    "compiled_hoeffding_tree_regressor": LearnerEntry("regression", lambda _: HoeffdingTreeRegressor()),
    "compiled_leveraging_bagging": _compiled(LeveragingBagging, trees=3),
    "compiled_linear_regression": LearnerEntry("regression", lambda _: LinearRegression()),
    "compiled_naive_bayes": LearnerEntry("classification", lambda _: NaiveBayes(decay=0.999)),
    "compiled_oza_bagging_adwin": _compiled(OzaBaggingAdwin, trees=3),
    "compiled_softmax_regression": LearnerEntry("classification", lambda _: SoftmaxRegression()),
    "compiled_streaming_random_patches": _compiled(StreamingRandomPatches, trees=3),
    "window_of_naive_bayes": _policy(SlidingWindow, "NaiveBayes", window_n=60, refit_every=25),
    "window_of_linear_regression": _policy(SlidingWindow, "LinearRegression", "regression", window_n=99),
    "adaptive_window_of_naive_bayes": _policy(AdaptiveWindow, "NaiveBayes", max_n=80),
    "adaptive_window_of_linear_regression": _policy(AdaptiveWindow, "LinearRegression", "regression", delta=0.1),
    "decay_of_naive_bayes": _policy(Decay, "NaiveBayes", half_life_n=50),
    "decay_of_hoeffding_tree": _policy(Decay, "HoeffdingTree", half_life_n=60, refit_every=30),
    "decay_of_linear_regression": _policy(Decay, "LinearRegression", "regression", half_life_n=500),
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

if find_spec("sklearn") is not None:  # an optional extra
    LEARNERS |= {
        "sklearn_random_forest": _sklearn("ensemble.RandomForestClassifier", n_estimators=5, refit_every=50),
        "sklearn_ridge_of_a_sample": _sklearn("linear_model.Ridge", "regression", half_life_n=100, refit_every=50),
        "sklearn_scaled_svm": _sklearn("pipeline.Pipeline", pipeline=_SCALED_SVM, window_n=80, refit_every=40),
    }
