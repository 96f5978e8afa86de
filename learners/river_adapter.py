"""Any river classifier or regressor as a learner, named by its dotted name in the configuration.

Labels are text outside and small whole numbers inside, in order of arrival: river keeps classes in sets, and the
order of a set of text differs between processes.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any, Self

import msgspec
import numpy as np

from learners import codec
from learners._snapshots import Snapshots
from learners.base import Features, Label, Task
from learners.clipping import RangeClip
from learners.errors import EstimatorRefusedError, LearnerError, raise_unless_panic
from learners.inputs import Inputs, text_mode
from learners.proof import prove_restorable
from learners.river_build import EstimatorBuilder
from learners.sorted_set import sort_river_sets

__all__ = ["RiverLearner"]

_TARGET = "target"
_CATEGORIES_CAP = 1_000
_BUDGET, _LEAST_BUDGET, _LEAST_N = 32 << 20, 1 << 16, 16


class RiverLearner(Snapshots):
    """A river estimator behind the `Learner` protocol.

    Parameters
    ----------
    estimator
        dotted name, such as `"river.tree.HoeffdingTreeClassifier"`.
    parameters
        plain values; an estimator inside is `{"estimator": …, "parameters": {…}}`, a chain `{"pipeline": […]}`.
    task
        `"classification"` or `"regression"`; must fit the estimator.
    seed
        for every part that draws random numbers and is given no seed of its own.
    classes_cap
        labels that may be known, 2 or more; a further one is a `LearnerError` each time.
    budget_bytes
        size of its snapshot, 65,536 or more, that it may reach: a learner that is about to learns no more, and
        every further example is a `LearnerError`.

    Raises
    ------
    EstimatorRefusedError
        an unknown name or parameter, the wrong task, or a state that cannot be stored and restored exactly.

    Attributes
    ----------
    failures : int
        predictions that were not finite and were answered with "unknown", since it was built or restored.

    Notes
    -----
    Numbers are clipped (`learners.clipping`), text is encoded by the family of the estimator (`learners.inputs`).
    Cost per event is river's own plus a few microseconds; memory is river's plus 1,000 known texts per feature. Most of
    river's estimators have no limit of their own, so the snapshot is measured whenever the examples have doubled since,
    and above a sixteenth of the budget whenever they have become a sixteenth more; at three quarters it is full. So the
    budget holds unless the last sixteenth of the examples adds a quarter of all bytes.

    Examples
    --------
    >>> learner = RiverLearner("river.naive_bayes.GaussianNB", {}, task="classification", seed=1)
    >>> learner.learn_one({"amount": 1.0}, "ok")
    >>> learner.predict_one({"amount": 1.0})
    'ok'
    """

    kind = "river"

    def __init__(
        self, estimator: str, parameters: Mapping[str, Any], *, task: Task, seed: int = 1, classes_cap: int = 64,
        budget_bytes: int = _BUDGET,
    ) -> None:  # fmt: skip
        if task not in {"classification", "regression"}:
            raise EstimatorRefusedError(f"task = {task!r}: must be 'classification' or 'regression'")
        given: dict[str, tuple[Any, int]] = {
            "classes_cap": (classes_cap, 2), "budget_bytes": (budget_bytes, _LEAST_BUDGET),
        }  # fmt: skip
        for name, (value, least) in given.items():
            if not isinstance(value, int) or value < least:
                raise EstimatorRefusedError(f"{name} = {value!r}: must be an integer, {least:,} or more")
        config = {
            "estimator": estimator,
            "parameters": dict(parameters),
            "task": task,
            "seed": seed,
            "classes_cap": classes_cap,
            "budget_bytes": budget_bytes,
        }
        _prove(msgspec.json.encode(config))
        self._begin(config, generation=0)

    @classmethod
    def _unproven(cls, config: dict[str, Any], generation: int, model: Any = None) -> Self:
        learner = cls.__new__(cls)
        learner._begin(config, generation, model)  # noqa: SLF001 # its own class; __init__ would prove it again
        return learner

    def _begin(self, config: dict[str, Any], generation: int, model: Any = None) -> None:
        self._config, self.generation = config, generation
        self._model = _build(config, generation) if model is None else model
        self._inputs = Inputs(text_mode(self._model), _CATEGORIES_CAP)
        self._target = RangeClip()
        self._multiclass = bool(getattr(self._model, "_multiclass", False))
        self._labels: list[str] = []
        self._codes: dict[str, int] = {}
        self._learned_n = 0
        self._measure_at: int | None = _LEAST_N  # examples learned; None: it is full
        self.failures = 0

    @property
    def task(self) -> Task:
        """Whether labels are text or numbers."""
        task: Task = self._config["task"]
        return task

    @property
    def adapts_itself(self) -> bool:
        """Whether it is a forest that grows a successor of each tree aside."""
        return self.estimator.startswith(("river.forest.ARF", "river.ensemble.SRP"))

    @property
    def estimator(self) -> str:
        """The dotted name of the estimator."""
        return str(self._config["estimator"])

    def fresh(self, generation: int | None = None) -> RiverLearner:
        """An untrained learner of the same configuration, its seed derived from the configured one and `generation`.

        Without `generation`, the one after this learner's.
        """
        return self._unproven(self._config, self.generation + 1 if generation is None else generation)

    def predict_one(self, x: Features) -> Label | None:
        """The most probable class, the first in order of text among equals; or the number. None while unknown."""
        if self.task == "classification":
            scores = self.predict_proba_one(x)
            return max(scores, key=scores.__getitem__) if scores else None
        if self._learned_n == 0:
            return None
        value = self._call(self._model.predict_one, self._inputs.encode(x))
        if value is None or not math.isfinite(value):
            self.failures += value is not None
            return None
        return float(value)

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """Probability per known class, in order of text; empty while nothing is known."""
        if not self._labels or self.task == "regression":
            return {}
        encoded = self._inputs.encode(x)
        try:
            raw = self._call(self._model.predict_proba_one, encoded)
        except NotImplementedError:
            code = self._call(self._model.predict_one, encoded)
            raw = {} if code is None else {code: 1.0}
        return self._normalized(raw)

    def _normalized(self, raw: Mapping[Any, float]) -> dict[str, float]:
        known = len(self._labels)
        scores = {self._labels[int(code)]: float(p) for code, p in raw.items() if int(code) < known}
        scores = {label: max(p, 0.0) for label, p in sorted(scores.items())}
        total = sum(scores.values())
        if not math.isfinite(total):
            self.failures += 1
            return {}
        return {label: p / total for label, p in scores.items()} if total > 0.0 else {}

    def learn_one(self, x: Features, y: Label) -> None:
        """Learn one labelled example.

        Raises
        ------
        LearnerError
            one label too many for the estimator or for `classes_cap`, a label that is no finite number, no bytes left
            of the budget, or an error inside river; the learner stays usable.
        """
        if self._measure_at is None:
            raise LearnerError(
                f"{self.estimator} has used up budget_bytes = {self._config['budget_bytes']:,} and learns no more: "
                "raise it, or limit what the estimator keeps (its depth, its number of models, its window)"
            )
        target = self._code(y) if self.task == "classification" else self._number(y)
        self._inputs.learn(x)
        self._learned_n += 1
        try:
            self._call(self._model.learn_one, self._inputs.encode(x), target)
        finally:
            if self._learned_n == self._measure_at:
                self._measure(self._learned_n)

    def _measure(self, n: int) -> None:
        """See whether there are bytes left, and when to look again."""
        size, budget = len(self.snapshot()), self._config["budget_bytes"]
        if 4 * size > 3 * budget:
            self._measure_at = None
        else:
            self._measure_at = 2 * n if 16 * size < budget else n + max(1, n // 16)

    def _code(self, y: Label) -> int | bool:
        label = str(y)
        code = self._codes.get(label)
        if code is None:
            code = len(self._labels)
            if code >= 2 and not self._multiclass:
                raise LearnerError(
                    f"{self.estimator} tells two classes apart and met a third, {label!r}: "
                    "wrap it in river.multiclass.OneVsRestClassifier"
                )
            if code >= self._config["classes_cap"]:
                raise LearnerError(f"label {label!r} is one more than classes_cap = {code}: raise it or merge labels")
            self._codes[label] = code
            self._labels.append(label)
        return code if self._multiclass else bool(code)

    def _number(self, y: Label) -> float:
        value = None if isinstance(y, str) else self._target.clip(_TARGET, y)
        if value is None:
            raise LearnerError(f"label {y!r} is no number, and {self.estimator} learns numbers")
        self._target.learn(_TARGET, value)
        return value

    def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        try:
            with np.errstate(all="ignore"):
                return method(*arguments)
        except NotImplementedError:
            raise
        except BaseException as error:
            raise_unless_panic(error)
            reason = f"{self.estimator} failed in {method.__name__}: {type(error).__name__}: {error}"
            raise LearnerError(reason) from error

    def _tree(self) -> dict[str, Any]:
        return {
            "generation": self.generation,
            "labels": self._labels,
            "learned_n": self._learned_n,
            "measure_at": self._measure_at,
            "inputs": self._inputs.state(),
            "target": self._target.state(),
            "model": self._model,
        }

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The learner that `snapshot` was taken of; SnapshotError where the bytes are damaged or of something else."""
        sort_river_sets()
        return super().restore(data)

    @classmethod
    def _built(cls, tree: dict[str, Any]) -> Self:
        config = tree["config"]  # snapshots of before had no budget
        config["budget_bytes"] = config.get("budget_bytes", _BUDGET)
        return cls._unproven(config, tree["generation"], tree["model"])

    def _take_over(self, tree: dict[str, Any]) -> None:
        self._labels = list(tree["labels"])
        self._codes = {label: code for code, label in enumerate(self._labels)}
        self._learned_n = tree["learned_n"]
        self._measure_at = tree.get("measure_at", self._learned_n + 1)
        self._inputs = Inputs.from_state(tree["inputs"])
        self._target = RangeClip.from_state(tree["target"])

    def prove(self) -> None:
        """Refuse the configuration if its state cannot be stored, or is not the same in a second run."""
        try:
            prove_restorable(lambda: self.fresh(0), min(3, self._config["classes_cap"]) if self._multiclass else 2)
        except EstimatorRefusedError as error:
            raise EstimatorRefusedError(f"{self.estimator} cannot be used: {error}") from error


def _build(config: dict[str, Any], generation: int) -> Any:
    sort_river_sets()
    builder = EstimatorBuilder(_find, seed=config["seed"], generation=generation)
    model = builder.build(config["estimator"], config["parameters"])
    base = import_module("river.base")
    last = list(model.steps.values())[-1] if config["estimator"].endswith(".Pipeline") else model
    wanted = base.Classifier if config["task"] == "classification" else base.Regressor
    if not isinstance(last, wanted):
        other = "regression" if isinstance(last, base.Regressor) else "classification"
        fits = f"set task = {other!r}" if isinstance(last, base.Classifier | base.Regressor) else "choose a predictor"
        raise EstimatorRefusedError(f"{config['estimator']} does no {config['task']}: {fits}")
    return model


def _find(name: str) -> type:
    found = codec.find_river_class(name)
    if found is None:
        raise EstimatorRefusedError(f"estimator = {name!r} is no class of river: {_suggestion(name)}")
    return found


def _suggestion(name: str) -> str:
    known: list[str] = []
    for package in sorted(codec.RIVER_PACKAGES - {"_river_rust"}):
        try:
            module = import_module(f"river.{package}")
        except ImportError:
            continue
        known += [f"river.{package}.{public}" for public in module.__all__]
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]!r}?" if near else "write a dotted name such as 'river.tree.HoeffdingTreeClassifier'"


@lru_cache(maxsize=256)
def _prove(config_json: bytes) -> None:
    """Once per configuration and process: the result is the same each time, and costs up to a second."""
    config = msgspec.json.decode(config_json)
    RiverLearner._unproven(config, 0).prove()  # noqa: SLF001 # its own module
