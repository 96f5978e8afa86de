"""Build a river estimator from its dotted name and plain parameters, with every seed set.

A parameter may itself be an estimator: `{"estimator": "river.…", "parameters": {…}}`; a chain of steps is
`{"pipeline": [step, …]}`, and for the outermost estimator `river.compose.Pipeline` with a parameter `pipeline`.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from learners.errors import EstimatorRefusedError, raise_unless_panic

__all__ = ["EstimatorBuilder", "derived_seed"]

# River's own default here is SWINN, which is refused below; the exact search over as many examples takes its place.
_SEARCH = {"engine": {"estimator": "river.neighbors.LazySearch", "parameters": {"window_size": 1_000}}}
_DEFAULT_PARTS: dict[str, dict[str, Any]] = {
    "river.neighbors.KNNClassifier": _SEARCH,
    "river.neighbors.KNNRegressor": _SEARCH,
}
_REFUSED = {
    "river.neighbors.SWINN": "all its graphs share one set in their class, so that they change each other and no "
    "snapshot holds it: use river.neighbors.LazySearch",
}
_PIPELINE = "river.compose.Pipeline"
_SPEC_KEYS = ({"estimator"}, {"estimator", "parameters"}, {"pipeline"})

# river takes what the process's recursion limit leaves, which differs between processes; this is the usual one's.
_MAX_DEPTH = 980


def derived_seed(seed: int, generation: int, path: str) -> int:
    """The seed of the part at `path` in the given generation; `seed` itself for the first whole."""
    if generation == 0 and not path:
        return seed
    digest = hashlib.sha256(f"{seed}/{generation}/{path}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1  # numpy's legacy generator takes 32 bits, some of river 31


class EstimatorBuilder:
    """Builds one estimator with all its parts.

    Parameters
    ----------
    find
        gives the class for a dotted name, or raises `EstimatorRefusedError` with a suggestion.
    seed, generation
        what the seeds of all parts are derived from.
    """

    def __init__(self, find: Callable[[str], type], *, seed: int, generation: int) -> None:
        self._find = find
        self._seed, self._generation = seed, generation

    def build(self, name: str, parameters: Mapping[str, Any], path: str = "") -> Any:
        """The estimator `name` with its parameters.

        Raises
        ------
        EstimatorRefusedError
            an unknown name or parameter (the nearest known one is named), or values that river refuses.
        """
        if name == _PIPELINE:
            return self._pipeline(parameters, path)
        if name in _REFUSED:
            raise EstimatorRefusedError(f"{name} cannot be used: {_REFUSED[name]}")
        cls = self._find(name)
        accepted = inspect.signature(cls).parameters
        catch_all = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
        for given in parameters:
            if given not in accepted and not catch_all:
                raise EstimatorRefusedError(_unknown_parameter(name, given, list(accepted)))
        parts = _DEFAULT_PARTS.get(name, {}) | dict(parameters)
        values = {key: self._value(value, f"{path}.{key}".lstrip(".")) for key, value in parts.items()}
        if "max_depth" in accepted and values.get("max_depth") is None:
            values["max_depth"] = _MAX_DEPTH
        if "seed" in accepted:
            values["seed"] = self._part_seed(values.get("seed"), path)
        return _construct(name, cls, values)

    def _part_seed(self, given: int | None, path: str) -> int:
        if given is None:
            return derived_seed(self._seed, self._generation, path)
        return derived_seed(given, self._generation, path) if self._generation else given

    def _pipeline(self, parameters: Mapping[str, Any], path: str) -> Any:
        steps = parameters.get("pipeline")
        if set(parameters) != {"pipeline"} or not isinstance(steps, list) or not steps:
            raise EstimatorRefusedError(f"{_PIPELINE}: give it one parameter, pipeline = [step, …], first step first")
        specs = [{"estimator": step} if isinstance(step, str) else step for step in steps]
        built = [self._value(spec, f"{path}.{i}".lstrip(".")) for i, spec in enumerate(specs)]
        for step in built:
            if isinstance(step, dict):
                raise EstimatorRefusedError(f"{_PIPELINE}: step {step!r} is no estimator: write {{estimator = …}}")
        return _construct(_PIPELINE, self._find(_PIPELINE), {}, *built)

    def _value(self, value: Any, path: str) -> Any:
        if isinstance(value, list):
            return [self._value(item, f"{path}.{i}") for i, item in enumerate(value)]
        if not isinstance(value, dict) or set(value) not in _SPEC_KEYS:
            return value
        if "pipeline" in value:
            return self._pipeline(value, path)
        return self.build(value["estimator"], value.get("parameters", {}), path)


def _construct(name: str, cls: Any, values: dict[str, Any], *steps: Any) -> Any:
    try:
        return cls(*steps, **values)
    except BaseException as error:
        raise_unless_panic(error)
        raise EstimatorRefusedError(f"{name} refuses its parameters {sorted(values)}: {error}") from error


def _unknown_parameter(name: str, given: str, accepted: list[str]) -> str:
    near = difflib.get_close_matches(given, accepted, 1, 0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(accepted) or 'no parameters'}"
    return f"{name} has no parameter {given!r}: {hint}"
