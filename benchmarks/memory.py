"""Whether what learns stays within its byte budget: a million labelled examples through whatever holds other learners.

The compiled learners are held to it by the tests, over rows; these get examples with names. Each of the stream's twenty
parts has another rule and scale, new categories, classes (up to twelve) and names of features, and some absurd values.
`python -m benchmarks.memory [EXAMPLES]` prints a table and fails if a snapshot is larger than the limit.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from learners.base import Task
from learners.baselines import Majority, Mean, NoChange
from learners.blocks import Result, judge_examples
from learners.errors import LearnerError
from learners.registry import LEARNERS, restore_learner

__all__ = ["CASES", "Case", "grown"]

BUDGET = 400_000
FRAME = 60_000  # configuration, encoder and the frame of a snapshot, of each learner inside
PARTS_N, BLOCK_N = 20, 5_000
_REFUSALS = ("classes_cap", "budget_bytes", "two classes", "OneVsRest")
Op = tuple[dict[str, float | str], str | float]


class Case(NamedTuple):
    """A learner, how many bytes its snapshot may have, and how many examples take less than a minute or so."""

    build: Callable[[], Any]
    limit: int
    quick_n: int = 1_000_000
    task: Task = "classification"


def _tree(name: str, **parameters: Any) -> dict[str, Any]:
    return {"estimator": f"anchorwatch.{name}", "parameters": {"budget_bytes": BUDGET, **parameters}}


def _window() -> Any:
    from learners.sliding_window import SlidingWindow

    return SlidingWindow(
        "anchorwatch.LinearRegression", {"budget_bytes": BUDGET}, window_n=2_000, refit_every=1_000, task="regression",
        budget_bytes=BUDGET,
    )  # fmt: skip


def _adaptive() -> Any:
    from learners.adaptive_window import AdaptiveWindow

    return AdaptiveWindow("anchorwatch.NaiveBayes", {"budget_bytes": BUDGET}, max_n=2_000, budget_bytes=BUDGET)


def _decay() -> Any:
    from learners.decay import Decay

    return Decay("anchorwatch.HoeffdingTree", {"budget_bytes": BUDGET}, half_life_n=2_000, budget_bytes=BUDGET)


def _committee(module: str, name: str) -> Any:
    from importlib import import_module

    learner = getattr(import_module(f"learners.{module}"), name)
    return learner([_tree("HoeffdingTree"), _tree("LeveragingBagging", trees=2, mean_weight=1.0)])


def _probe() -> Any:
    from learners.frozen import FrozenProbe
    from learners.hoeffding_tree import HoeffdingTree

    return FrozenProbe(HoeffdingTree(budget_bytes=BUDGET))


def _theirs() -> dict[str, Case]:
    """What the conformance suite holds to the contract of river's and scikit-learn's."""
    return {
        f"{entry.origin}: {name.removeprefix('sklearn_').replace('_', ' ')}": Case(
            partial(entry.build, 1), 1 << 20, 10_000, entry.task
        )
        for name, entry in LEARNERS.items()
        if entry.origin != "anchorwatch"
    }


_TWO = 2 * (BUDGET + FRAME)
CASES: dict[str, Case] = {
    "majority": Case(Majority, FRAME),
    "no change": Case(NoChange, FRAME),
    "mean": Case(Mean, FRAME, task="regression"),
    "frozen probe": Case(_probe, BUDGET + FRAME),
    "window of linear regression": Case(_window, _TWO, task="regression"),
    "adaptive window of naive Bayes": Case(_adaptive, _TWO, quick_n=100_000),
    "decay of a Hoeffding tree": Case(_decay, _TWO),
    "best expert": Case(lambda: _committee("best_expert", "BestExpert"), _TWO, quick_n=100_000),
    "majority vote": Case(lambda: _committee("majority_vote", "MajorityVote"), _TWO, quick_n=100_000),
    "weighted vote": Case(lambda: _committee("weighted_vote", "WeightedVote"), _TWO, quick_n=100_000),
} | _theirs()


def _examples(part: int, n: int, task: Task) -> Iterator[Op]:
    rng = np.random.default_rng(part)
    numbers = (10.0 ** (part % 4) * rng.normal(size=(n, 2))).tolist()
    shops, draws = rng.integers(2 + 5 * part, size=n).tolist(), rng.random(n).tolist()
    for i, ((a, b), shop, draw) in enumerate(zip(numbers, shops, draws, strict=True)):
        x: dict[str, float | str] = {"a": a, "b": 1e300 if i % 997 == 5 else b, "shop": f"{shop}"}
        if draw < 0.2:
            x[f"late {part}"] = draw
            del x["b"]
        score = a + (shop % (2 + part % 3)) * 10.0 ** (part % 4)
        if task == "regression":
            yield x, score
        else:
            yield x, f"class {(int(abs(score)) + part) % (2 + part // 2)}"


def _check(said: list[Result]) -> None:
    """Answers are finite, and only a class too many is refused, or whatever comes once the budget is used up."""
    for answer in said:
        if isinstance(answer, float) and not math.isfinite(answer):
            raise ValueError(f"an answer is {answer}")
        if isinstance(answer, LearnerError) and not any(reason in str(answer) for reason in _REFUSALS):
            raise answer


def grown(case: Case, n: int, *, shown: str = "") -> int:
    """The largest of twenty snapshots, one after each part; whatever is said on the way must be finite."""
    learner, largest = case.build(), 0
    for part in tqdm(range(PARTS_N), desc=shown, disable=not shown or not sys.stderr.isatty()):
        examples = list(_examples(part, n // PARTS_N, case.task))
        for start in range(0, len(examples), BLOCK_N):
            _check(judge_examples(learner, examples[start : start + BLOCK_N]))
        largest = max(largest, len(learner.snapshot()))
    data = learner.snapshot()
    if restore_learner(data).snapshot() != data:
        raise ValueError("a restored learner has another snapshot")
    return largest


def main() -> int:
    """Print the table."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    beyond = 0
    print(f"{'learner':34}{'limit':>12}{'largest snapshot after a part':>32}  of {n:,} examples")
    for name, case in CASES.items():
        largest = grown(case, n, shown=name)
        beyond += largest > case.limit
        print(f"{name:34}{case.limit:>12,}{largest:>32,}{'  TOO LARGE' if largest > case.limit else ''}", flush=True)
    return int(beyond > 0)


if __name__ == "__main__":
    sys.exit(main())
