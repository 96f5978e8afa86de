"""A scikit-learn estimator as a learner: fitted anew on kept examples at fixed event counts.

No fitted model is ever stored: a snapshot holds the examples that it was fitted to, and restoring fits it again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from learners._checks import in_range
from learners._design_matrix import DesignMatrix
from learners._examples import Example, Examples, Reservoir, pack, unpack
from learners._snapshots import Snapshots
from learners.base import Features, Label, Task
from learners.errors import EstimatorRefusedError, LearnerError
from learners.sklearn_build import build_sklearn

__all__ = ["SklearnRefit"]

_OWN: dict[str, Any] = {
    "window_n": 1_000,
    "refit_every": 250,
    "half_life_n": None,
    "categories_cap": 64,
    "budget_bytes": 16 << 20,
}
_CLASSES_CAP = 64
_PROOF_N = 60


class SklearnRefit(Snapshots):
    """A batch classifier or regressor that is fitted to the newest examples, or to a decayed sample of all.

    Parameters
    ----------
    estimator
        dotted name, such as `"sklearn.ensemble.RandomForestClassifier"`.
    parameters
        of the estimator, as plain values; an estimator inside is `{"estimator": …, "parameters": {…}}`, a chain
        `{"pipeline": […]}`. Beside them these, which are this learner's own:

        window_n : examples that are kept, 1 or more (default 1,000)
        refit_every : learned examples between two fits, 1 or more (default 250); nothing is known before the first
        half_life_n : keep a sample in which an example's chance to stay halves after so many, instead of the newest
            (default: none); `window_n` is then its size at most
        categories_cap : values of a text feature that get a column, 1 or more (default 64)
        budget_bytes : estimated memory of the kept examples, 4096 or more (default 16 MiB)
    task
        `"classification"` or `"regression"`; must fit the estimator.
    seed
        for every part that draws random numbers and is given no `random_state`.

    Raises
    ------
    EstimatorRefusedError
        scikit-learn is not installed, a name or parameter is refused, or two fits to the same examples differ.

    Attributes
    ----------
    failures : int
        fits that failed and answers that were not finite, since it was built or restored. A failed fit leaves the model
        before it in place, and the `LearnerError` of that example says why; the example is kept all the same.

    Notes
    -----
    A missing number is the median of those fitted to, a text a column of 0 or 1 for each value; numbers are clipped at
    5 times what came before (`learners.clipping`). Nothing is scaled: put a scaler into a pipeline for models that need
    one. With one class among the kept examples, that class is the answer. `window_n`, `half_life_n` and `refit_every`
    are the choice between stability and plasticity.

    All runs on one thread. Fits are bit for bit the same on one type of CPU with one version of scikit-learn and its
    libraries; other versions restore a snapshot, but may fit another model to it. A fit costs what the estimator takes
    for `window_n` examples, in one event; an answer some hundred microseconds.

    References
    ----------
    Pedregosa et al., *Scikit-learn: machine learning in Python*, JMLR 12, 2011.
    """

    kind = "sklearn_refit"

    def __init__(
        self, estimator: str, parameters: Mapping[str, Any] | None = None, *, task: Task = "classification",
        seed: int = 1,
    ) -> None:  # fmt: skip
        given = dict(parameters or {})
        config = {"estimator": estimator, "parameters": given, "task": task, "seed": seed}
        own = {name: given.get(name, default) for name, default in _OWN.items()}
        half_life = own["half_life_n"]
        leasts = {"window_n": 1, "refit_every": 1, "categories_cap": 1, "half_life_n": 1, "budget_bytes": 4_096}
        for name, least in leasts.items():
            value = own[name]
            if name != "half_life_n" or value is not None:
                holds = isinstance(value, int) and value >= least
                in_range(name, value, f"{least} or more, and whole", holds=holds)
        self._config, self.task = config, task
        self._every, self._categories_cap = own["refit_every"], own["categories_cap"]
        self._reservoir = Reservoir(half_life, own["window_n"], seed) if half_life else None
        self._kept = Examples(self._reservoir.places_n if self._reservoir else own["window_n"], own["budget_bytes"])
        _prove(_json(config))
        self._fitted: _Fitted | None = None
        self._learned_n = 0
        self.failures = 0

    @property
    def window_n(self) -> int:
        """How many examples are kept."""
        return len(self._kept)

    def predict_one(self, x: Features) -> Label | None:
        """The most probable class, the first in order of text among equals; or the number. None before the first fit.

        Raises
        ------
        LearnerError
            the estimator failed; it stays usable.
        """
        if self.task == "classification":
            scores = self.predict_proba_one(x)
            return max(scores, key=scores.__getitem__) if scores else None
        if self._fitted is None:
            return None
        value = float(self._fitted.answer(self._kept.within(x), "predict")[0])
        if not math.isfinite(value):
            self.failures += 1
            return None
        return value

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """Probability per class that was fitted to, in order of text; empty before the first fit, and for regression.

        Raises
        ------
        LearnerError
            the estimator failed; it stays usable.
        """
        if self._fitted is None or self.task == "regression":
            return {}
        shares = self._fitted.shares(self._kept.within(x))
        total = float(sum(shares.values()))
        if not math.isfinite(total) or total <= 0.0:
            self.failures += 1
            return {}
        return {label: p / total for label, p in shares.items()}

    def learn_one(self, x: Features, y: Label) -> None:
        """Keep one labelled example, and fit if it is time.

        Raises
        ------
        LearnerError
            a label that is no finite number (the example is not kept), or a fit that failed (it is).
        """
        if self.task == "classification":
            y = str(y)
        elif isinstance(y, str) or not math.isfinite(y):
            raise LearnerError(f"label {y!r} is no finite number, and this learner is for regression")
        self._learned_n += 1
        if self._reservoir is None:
            self._kept.append(x, y)
        else:
            self._reservoir.offer(self._kept, self._learned_n, x, y)
        if self._learned_n % self._every == 0 and len(self._kept):
            try:
                self._fitted = _Fitted(self._config, list(self._kept), self._categories_cap)
            except LearnerError:
                self.failures += 1
                raise

    def _tree(self) -> dict[str, Any]:
        return {
            "learned_n": self._learned_n,
            "kept": self._kept.stored(),
            "fitted": None if self._fitted is None else self._fitted.stored(),
        }

    def _take_over(self, tree: dict[str, Any]) -> None:
        """Costs a fit."""
        self._kept.load(tree["kept"])
        self._learned_n = int(tree["learned_n"])
        if tree["fitted"] is not None:
            examples, _ = unpack(tree["fitted"])
            self._fitted = _Fitted(self._config, examples, self._categories_cap)


class _Fitted:
    """A model and the examples that it was fitted to.

    Raises
    ------
    LearnerError
        the fit failed.
    """

    def __init__(self, config: dict[str, Any], examples: list[Example], categories_cap: int) -> None:
        self._examples, self._bytes = examples, b""
        self._labels: list[str] = []
        features = [x for x, _ in examples]
        self._matrix = DesignMatrix(features, categories_cap)
        targets = np.array([y for _, y in examples] if config["task"] == "regression" else self._codes())
        self._model: Any = None
        if len(self._labels) != 1:
            self._model = _build(config)
            self._call("fit", self._matrix.rows(features), targets)

    def _codes(self) -> list[int]:
        self._labels = sorted({str(y) for _, y in self._examples})
        if len(self._labels) > _CLASSES_CAP:
            raise LearnerError(f"{len(self._labels)} classes are kept, more than {_CLASSES_CAP}: merge labels")
        codes = {label: code for code, label in enumerate(self._labels)}
        return [codes[str(y)] for _, y in self._examples]

    def stored(self) -> bytes:
        """Bytes of the examples, made once."""
        if not self._bytes:
            self._bytes = pack(self._examples, {})
        return self._bytes

    def answer(self, x: Features, method: str) -> NDArray[Any]:
        """What the model's method says of one example: one row at a time, so that blocks change no bit."""
        said: NDArray[Any] = np.asarray(self._call(method, self._matrix.rows([x]))).reshape(-1)
        return said

    def shares(self, x: Features) -> dict[str, float]:
        """Probability per class, 1 for the answer of a model that knows none."""
        if self._model is None:
            return {self._labels[0]: 1.0}
        if hasattr(self._model, "predict_proba"):
            said = self.answer(x, "predict_proba")
            return {label: max(float(p), 0.0) for label, p in zip(self._labels, said, strict=True)}
        code = int(self.answer(x, "predict")[0])
        return {label: float(i == code) for i, label in enumerate(self._labels)}

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"), _one_thread():
                warnings.simplefilter("ignore")  # of convergence, mostly: no fault of an event
                return getattr(self._model, method)(*arguments)
        except Exception as error:
            name = type(self._model).__name__
            raise LearnerError(f"{name} failed in {method}: {type(error).__name__}: {error}") from error


def _build(config: dict[str, Any]) -> Any:
    parameters = {name: value for name, value in config["parameters"].items() if name not in _OWN}
    return build_sklearn(config["estimator"], parameters, task=config["task"], seed=config["seed"])


@lru_cache(maxsize=1)
def _controller() -> Any:
    return import_module("threadpoolctl").ThreadpoolController()


def _one_thread() -> Any:
    return _controller().limit(limits=1)


def _json(config: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(config)
    except (TypeError, msgspec.MsgspecError) as error:
        raise EstimatorRefusedError(f"{config['estimator']}: parameters must be plain values: {error}") from error


@lru_cache(maxsize=256)
def _prove(config_json: bytes) -> None:
    """Refuse what scikit-learn refuses, and what is not the same twice; once per configuration and process."""
    config = msgspec.json.decode(config_json)
    _build(config)
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(_PROOF_N, 2)).tolist()
    examples: list[Example] = []
    for i, (a, b) in enumerate(rows):
        label: Label = a if config["task"] == "regression" else str(i % 2)
        examples.append(({"a": a + i % 2, "b": b}, label))
    try:
        first, second = (_Fitted(config, examples, 64) for _ in range(2))
    except LearnerError as error:
        if type(error.__cause__).__name__ == "InvalidParameterError":
            raise EstimatorRefusedError(f"{config['estimator']} refuses its parameters: {error.__cause__}") from error
        return  # too few examples for it, most likely: the stream will show
    for x, _ in examples[:20]:
        if not np.array_equal(first.answer(x, "predict"), second.answer(x, "predict")):
            reason = "two fits to the same examples differ: give it a random_state"
            raise EstimatorRefusedError(f"{config['estimator']} cannot be used: {reason}")
