"""What the memory policies share: a learner inside, the examples that are kept for it, and the rebuilding.

The learner inside is built by name like any other; rebuilt means: a fresh one of the same seed learns what is kept.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from learners._checks import in_range
from learners._examples import Examples
from learners._snapshots import Snapshots
from learners.base import Features, Label, Learner, Task
from learners.errors import EstimatorRefusedError, LearnerError

__all__ = ["Memory"]

DEPTH_CAP = 3
_EXAMPLE = "anchorwatch.NaiveBayes"

Answer = dict[str, float] | float | None


class Memory(Snapshots):
    """A learner inside, and what is remembered for it; a policy says what happens after each example.

    `rebuilt_n` counts how often the learner inside was rebuilt.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression"})

    def __init__(self, config: dict[str, Any], max_n: int) -> None:
        task, budget = config["task"], config["budget_bytes"]
        in_range("task", task, "'classification' or 'regression'", holds=task in self.tasks)
        in_range("budget_bytes", budget, "4096 or more", holds=budget >= 4_096)
        _check_depth(config)
        self.task: Task = task
        self._config = config
        self._kept = Examples(max_n, budget)
        self._learned_n = 0
        self.rebuilt_n = 0
        self._inner = self._fresh()

    def _fresh(self) -> Learner:
        from learners.build import build_learner

        config = self._config
        return build_learner(config["estimator"], config["parameters"], task=self.task, seed=config["seed"])

    @property
    def inner(self) -> Learner:
        """The learner inside."""
        return self._inner

    @property
    def window_n(self) -> int:
        """How many examples are kept."""
        return len(self._kept)

    def predict_one(self, x: Features) -> Label | None:
        """What the learner inside says."""
        return self._inner.predict_one(x)

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """What the learner inside says."""
        return self._inner.predict_proba_one(x)

    def predict_proba_examples(self, examples: Sequence[Features]) -> list[dict[str, float]]:
        """What `predict_proba_one` says of each."""
        block = getattr(self._inner, "predict_proba_examples", None)
        if block is None:
            return [self.predict_proba_one(x) for x in examples]
        said: list[dict[str, float]] = block(examples)
        return said

    def learn_one(self, x: Features, y: Label) -> None:
        """Learn one labelled example; what the learner inside refuses is not kept.

        Raises
        ------
        LearnerError
            the learner inside refused it.
        """
        self._before(x, y)
        self._inner.learn_one(x, y)
        self._learned(x, y)
        self._act()

    def _learned(self, x: Features, y: Label) -> None:
        self._learned_n += 1
        self._remember(x, str(y) if self.task == "classification" else y)

    def learn_examples(self, examples: Sequence[tuple[Features, Label]]) -> list[LearnerError | None]:
        """Learn the examples in order, bit for bit as `learn_one` does; an error for each."""
        return [result if isinstance(result, LearnerError) else None for result in self.run_examples(examples)]

    def run_examples(self, ops: Sequence[tuple[Features, Label | None]]) -> list[Answer | LearnerError]:
        """Answer where the label is None, learn otherwise, in order; answers, and None or an error for the learned.

        As fast as the learner inside between the points at which the policy acts.
        """
        results: list[Answer | LearnerError] = []
        block = getattr(self._inner, "run_examples", None)
        while len(results) < len(ops):
            start = len(results)
            room = self._room() if block is not None else 0
            if room < 2:
                results.append(self._run_one(*ops[start]))
                continue
            chunk, learned_n = _with_labels(ops, start, room), self._learned_n
            for (x, y), result in zip(chunk, self._inner.run_examples(chunk), strict=True):  # type: ignore[attr-defined]
                results.append(result)
                if y is not None and not isinstance(result, LearnerError):
                    self._learned(x, y)
            if self._learned_n > learned_n:
                self._act()
        return results

    def _run_one(self, x: Features, y: Label | None) -> Answer | LearnerError:
        try:
            if y is not None:
                self.learn_one(x, y)
                return None
            if self.task == "classification":
                return self.predict_proba_one(x)
            said = self.predict_one(x)
            return None if said is None else float(said)
        except LearnerError as error:
            return error

    def _before(self, x: Features, y: Label) -> None:
        """What the policy looks at before an example is learned."""

    @abstractmethod
    def _remember(self, x: Features, y: Label) -> None:
        """Keep a learned example, or do not."""

    @abstractmethod
    def _act(self) -> None:
        """Forget, if it is time."""

    def _room(self) -> int:
        """How many examples may be learned at once before the policy has to be asked."""
        return 1

    def _rebuild(self) -> None:
        """Put a fresh learner in place that has learned what is kept; what it refuses of that is left out."""
        fresh = self._fresh()
        block = getattr(fresh, "learn_examples", None)
        if block is not None:
            block(list(self._kept))
        else:
            for x, y in self._kept:
                _try_learn(fresh, x, y)
        self._inner = fresh
        self.rebuilt_n += 1

    def forget(self, keep: float) -> None:
        """Keep only the newest `keep` (in (0, 1]) of the examples, and rebuild the learner inside.

        Raises
        ------
        ValueError
            keep is out of range.
        """
        in_range("keep", keep, "in (0, 1]", holds=0.0 < keep <= 1.0)
        if keep < 1.0:
            self._kept.drop_oldest(len(self._kept) - round(keep * len(self._kept)))
            self._rebuild()

    def _state(self) -> dict[str, Any]:
        """What a policy adds to the snapshot."""
        return {}

    def _load(self, state: dict[str, Any]) -> None:
        """Take over what `_state` gave."""

    def _tree(self) -> dict[str, Any]:
        return {
            "learned_n": self._learned_n,
            "rebuilt_n": self.rebuilt_n,
            "kept": self._kept.stored(),
            "policy": self._state(),
            "inner": self._inner.snapshot(),
        }

    def _take_over(self, tree: dict[str, Any]) -> None:
        from learners.registry import restore_learner

        self._kept.load(tree["kept"])
        self._learned_n, self.rebuilt_n = int(tree["learned_n"]), int(tree["rebuilt_n"])
        self._load(tree["policy"])
        self._inner = restore_learner(tree["inner"])
        if self._inner.task != self.task:
            raise ValueError("the learner inside has another task")


def _with_labels(ops: Sequence[tuple[Features, Label | None]], start: int, room: int) -> list[Any]:
    """The operations from `start` on with `room` labelled ones at most."""
    chunk: list[Any] = []
    labelled = 0
    for i in range(start, len(ops)):
        chunk.append(ops[i])
        labelled += ops[i][1] is not None
        if labelled == room:
            break
    return chunk


def _try_learn(learner: Learner, x: Features, y: Label) -> bool:
    """Whether it could be learned; it could once, when other examples came before it."""
    try:
        learner.learn_one(x, y)
    except LearnerError:
        return False
    return True


def _check_depth(config: Mapping[str, Any]) -> None:
    inside: Any = config
    if not isinstance(config["estimator"], str):
        raise EstimatorRefusedError(f"estimator = {config['estimator']!r}: must be a name such as {_EXAMPLE!r}")
    for _ in range(DEPTH_CAP):
        inside = inside.get("parameters") if isinstance(inside, Mapping) else None
        if not isinstance(inside, Mapping) or not isinstance(inside.get("estimator"), str):
            return
    raise EstimatorRefusedError(f"policies stand {DEPTH_CAP + 1} deep or more: put at most {DEPTH_CAP} into each other")
