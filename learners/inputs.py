"""Turn an event's features into what a river estimator takes: clipped numbers, bounded text, one-hot where needed.

Trees take text as it is. Linear and neighbour models get `name=value: 1.0` for the value at hand (`sparse`);
everything else gets a 0.0 for each other known value too (`dense`), because scalers and Gaussian naive Bayes learn
nothing from a feature that is always 1.
"""

from __future__ import annotations

from typing import Any, Literal

from learners.base import Features
from learners.clipping import RangeClip

__all__ = ["OTHER", "Inputs", "TextMode", "text_mode"]

TextMode = Literal["native", "sparse", "dense"]

OTHER = "…"  # stands for every category beyond the cap
_DENSE_CAP = 100  # a dense feature costs its whole vocabulary at every event
_TEXT_PACKAGES = ("river.dummy",)
_SPARSE_PACKAGES = ("river.linear_model", "river.neighbors", "river.facto")
_TEXT_STEPS = frozenset(
    {"OneHotEncoder", "OrdinalEncoder", "FeatureHasher", "TargetAgg", "Agg", "BagOfWords", "TFIDF", "TransformerUnion"}
)


class Inputs:
    """Clips numbers, caps vocabularies, and encodes text in one of three ways.

    Parameters
    ----------
    mode
        how text is passed on.
    categories_cap
        known values per feature; later ones count as one value, `OTHER`. Dense encoding stops at 100.
    """

    def __init__(self, mode: TextMode, categories_cap: int) -> None:
        self.mode: TextMode = mode
        self._cap = min(categories_cap, _DENSE_CAP) if mode == "dense" else categories_cap
        self._clip = RangeClip()
        self._values: dict[str, dict[str, str]] = {}

    def learn(self, x: Features) -> None:
        """Take note of ranges and categories before an example is learned."""
        for name, value in x.items():
            if not isinstance(value, str):
                self._clip.learn(name, value)
                continue
            values = self._values.setdefault(name, {})
            if value not in values and len(values) <= self._cap:
                known = value if len(values) < self._cap else OTHER
                values[known] = f"{name}={known}"

    def encode(self, x: Features) -> dict[str, float | str]:
        """The features as the estimator takes them; `x` is left alone."""
        encoded: dict[str, float | str] = {}
        for name, value in x.items():
            if isinstance(value, str):
                self._encode_text(encoded, name, value)
            else:
                clipped = self._clip.clip(name, value)
                if clipped is not None:
                    encoded[name] = clipped
        return encoded

    def _encode_text(self, encoded: dict[str, float | str], name: str, value: str) -> None:
        values = self._values.get(name, {})
        if value not in values and OTHER in values:
            value = OTHER
        if self.mode == "native":
            encoded[name] = value
        elif self.mode == "sparse":
            encoded[values.get(value) or f"{name}={value}"] = 1.0
        else:
            for known, key in values.items():
                encoded[key] = 1.0 if known == value else 0.0

    def state(self) -> dict[str, Any]:
        """Plain tree for a snapshot."""
        return {
            "mode": self.mode,
            "cap": self._cap,
            "clip": self._clip.state(),
            "values": {name: list(values) for name, values in self._values.items()},
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Inputs:
        """Restore what `state` gave."""
        inputs = cls(state["mode"], int(state["cap"]))
        inputs._clip = RangeClip.from_state(state["clip"])
        inputs._values = {str(n): {str(v): f"{n}={v}" for v in values} for n, values in state["values"].items()}
        return inputs


def text_mode(estimator: Any) -> TextMode:
    """How text must be passed to an untrained river estimator, from the family that it and its parts belong to.

    A trained ensemble holds members of private classes that this does not know: the answer is kept in snapshots.
    """
    from river import base, compose, forest, tree

    if isinstance(estimator, compose.Pipeline):
        return _pipeline_mode(list(estimator.steps.values()))
    models = getattr(estimator, "models", None)
    parts = list(models.values() if isinstance(models, dict) else models or ())
    if isinstance(estimator, base.Wrapper):
        parts.append(estimator._wrapped_model)  # noqa: SLF001 # river's own name for what a wrapper holds
    if parts:
        modes = {text_mode(part) for part in parts}
        return modes.pop() if len(modes) == 1 else "dense"
    if isinstance(estimator, tree.HoeffdingTreeRegressor | forest.ARFRegressor):
        # Its leaves hold linear models, unless they are told to answer with the mean.
        return "native" if estimator.leaf_prediction == "mean" else "dense"
    if isinstance(
        estimator, tree.HoeffdingTreeClassifier | tree.SGTClassifier | tree.SGTRegressor | forest.ARFClassifier
    ):
        return "native"
    module = type(estimator).__module__
    if module.startswith(_TEXT_PACKAGES):
        return "native"
    return "sparse" if module.startswith(_SPARSE_PACKAGES) else "dense"


def _pipeline_mode(steps: list[Any]) -> TextMode:
    """A pipeline takes text if a step encodes it before one that cannot; scaling needs the zeros of dense."""
    for step in steps:
        if type(step).__name__ in _TEXT_STEPS:
            return "native"
        if not type(step).__module__.startswith("river.compose"):
            mode = text_mode(step)
            if step is not steps[-1]:
                return "dense"
            return mode
    return "dense"
