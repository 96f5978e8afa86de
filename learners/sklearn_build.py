"""Build a scikit-learn estimator from its dotted name and plain parameters, with every seed set and one thread.

Only public classifiers, regressors and transformers of the packages listed here are found: no other name is imported.
A parameter may itself be an estimator: `{"estimator": "sklearn.…", "parameters": {…}}`; a chain is
`{"pipeline": [step, …]}`, and for the outermost estimator `sklearn.pipeline.Pipeline` with a parameter `pipeline`.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from learners.base import Task
from learners.errors import EstimatorRefusedError
from learners.river_build import derived_seed

__all__ = ["SKLEARN_PACKAGES", "build_sklearn", "find_sklearn_class"]

# Packages whose estimators learn from a matrix of numbers, and read or write nothing else.
SKLEARN_PACKAGES = frozenset({
    "calibration", "compose", "cross_decomposition", "decomposition", "discriminant_analysis", "dummy", "ensemble",
    "feature_selection", "gaussian_process", "isotonic", "kernel_approximation", "kernel_ridge", "linear_model",
    "multiclass", "naive_bayes", "neighbors", "neural_network", "preprocessing", "random_projection",
    "semi_supervised", "svm", "tree",
})  # fmt: skip
_NAME = re.compile(r"sklearn\.([a-z_]+)\.([A-Z][A-Za-z0-9]*)")
_PIPELINE = "sklearn.pipeline.Pipeline"
_SPEC_KEYS = ({"estimator"}, {"estimator", "parameters"}, {"pipeline"})
_FIXED = {
    "n_jobs": "it is 1 here: results must not depend on threads",
    "memory": "nothing is written to disk here",
    "verbose": "nothing is printed here",
}
_DEPTH_CAP = 8


def find_sklearn_class(name: str) -> Any:
    """The class behind a public dotted name such as `sklearn.linear_model.LogisticRegression`, or None.

    Raises
    ------
    EstimatorRefusedError
        scikit-learn is not installed.
    """
    match = _NAME.fullmatch(name)
    if match is None or match[1] not in SKLEARN_PACKAGES:
        return None
    found, base = getattr(_sklearn(match[1]), match[2], None), _sklearn("base")
    if match[2] not in _public(match[1]):
        return None
    kinds = (base.ClassifierMixin, base.RegressorMixin, base.TransformerMixin)
    fits = isinstance(found, type) and issubclass(found, base.BaseEstimator) and issubclass(found, kinds)
    return found if fits and not inspect.isabstract(found) else None


def _public(package: str) -> list[str]:
    """What a package exports; of a single file without `__all__`, the classes that are defined there."""
    module = _sklearn(package)
    own = (name for name, found in vars(module).items() if getattr(found, "__module__", "") == module.__name__)
    return list(getattr(module, "__all__", own))


def build_sklearn(name: str, parameters: Mapping[str, Any], *, task: Task, seed: int) -> Any:
    """An unfitted estimator with all its parts.

    Raises
    ------
    EstimatorRefusedError
        scikit-learn is not installed, an unknown name or parameter (the nearest known one is named), values that are
        not plain or that scikit-learn refuses, or an estimator of another task.
    """
    built = _build(name, parameters, seed, "")
    base = _sklearn("base")
    fits = {"classification": base.is_classifier, "regression": base.is_regressor}
    if not fits[task](built):
        other = "regression" if task == "classification" else "classification"
        hint = f"set task = {other!r}" if fits[other](built) else "choose a predictor"
        raise EstimatorRefusedError(f"{name} does no {task}: {hint}")
    return built


def _sklearn(package: str) -> Any:
    try:
        return import_module(f"sklearn.{package}")
    except ImportError as error:
        reason = "scikit-learn is not installed: install anchorwatch with its extra, anchorwatch[sklearn]"
        raise EstimatorRefusedError(f"sklearn.{package}: {reason}") from error


def _build(name: str, parameters: Mapping[str, Any], seed: int, path: str) -> Any:
    if path.count(".") > _DEPTH_CAP:
        raise EstimatorRefusedError(f"{name}: estimators stand more than {_DEPTH_CAP} deep in each other")
    if name == _PIPELINE:
        return _pipeline(parameters, seed, path)
    cls = find_sklearn_class(name)
    if cls is None:
        raise EstimatorRefusedError(f"estimator = {name!r} is no estimator of scikit-learn: {_suggestion(name)}")
    accepted = list(inspect.signature(cls).parameters)
    for given in parameters:
        if given not in accepted:
            near = difflib.get_close_matches(given, accepted, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(accepted) or 'no parameters'}"
            raise EstimatorRefusedError(f"{name} has no parameter {given!r}: {hint}")
        if given in _FIXED:
            raise EstimatorRefusedError(f"{name}: {given} cannot be set, {_FIXED[given]}")
    values = {key: _value(value, seed, f"{path}.{key}") for key, value in parameters.items()}
    if "n_jobs" in accepted:
        values["n_jobs"] = 1
    if "random_state" in accepted and values.get("random_state") is None:
        values["random_state"] = derived_seed(seed, 0, path)
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise EstimatorRefusedError(f"{name} refuses its parameters {sorted(values)}: {error}") from error


def _pipeline(parameters: Mapping[str, Any], seed: int, path: str) -> Any:
    steps = parameters.get("pipeline")
    if set(parameters) != {"pipeline"} or not isinstance(steps, list) or not steps:
        raise EstimatorRefusedError(f"{_PIPELINE}: give it one parameter, pipeline = [step, …], first step first")
    specs = [{"estimator": step} if isinstance(step, str) else step for step in steps]
    built = [_value(spec, seed, f"{path}.{i}") for i, spec in enumerate(specs)]
    base = _sklearn("base")
    for step, later in zip(built, [*built[1:], None], strict=True):
        if not isinstance(step, base.BaseEstimator) or (later is not None and not hasattr(step, "transform")):
            raise EstimatorRefusedError(f"{_PIPELINE}: step {step!r} is no transformer: only the last may be none")
    return _sklearn("pipeline").Pipeline([(str(i), step) for i, step in enumerate(built)])


def _value(value: Any, seed: int, path: str) -> Any:
    if isinstance(value, dict) and set(value) in _SPEC_KEYS:
        if "pipeline" in value:
            return _pipeline(value, seed, path)
        return _build(value["estimator"], value.get("parameters", {}), seed, path)
    if isinstance(value, list | tuple):
        return [_value(item, seed, f"{path}.{i}") for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {str(key): _value(item, seed, f"{path}.{key}") for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise EstimatorRefusedError(f"parameter {path.lstrip('.')} = {value!r}: must be a plain value, a list or a table")


def _suggestion(name: str) -> str:
    known = [_PIPELINE]
    for package in sorted(SKLEARN_PACKAGES):
        known += [f"sklearn.{package}.{public}" for public in _public(package) if public[0].isupper()]
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]!r}?" if near else "write a dotted name such as 'sklearn.svm.SVC'"
