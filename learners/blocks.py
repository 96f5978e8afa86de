"""A block of work for one learner, in order: answer an example, or learn it.

A learner that has a `run_examples` of its own does the block in one call; every other one works example by example.
Both give the same bits, so a caller may cut blocks where it likes.
"""

from __future__ import annotations

from collections.abc import Sequence

from learners.base import Features, Label, Learner
from learners.errors import LearnerError

__all__ = ["Operation", "Result", "judge_examples", "run_examples", "unjudged"]

Operation = tuple[Features, Label | None]
Result = dict[str, float] | Label | LearnerError | None


def judge_examples(learner: Learner, operations: Sequence[Operation]) -> list[Result]:
    """As `run_examples`; of an example that was learned it gives what the learner had said of it before.

    That is the probability of its true class (0 where that was not known), in regression the number or None; an error
    where it could not be answered or learned.
    """
    block = getattr(learner, "judge_examples", None)
    if block is not None:
        judged: list[Result] = block(operations)
        return judged
    both = [op for x, y in operations for op in (((x, None),) if y is None else ((x, None), (x, y)))]
    results = iter(run_examples(learner, both))
    return [next(results) if y is None else _judged(y, next(results), next(results)) for _, y in operations]


def _judged(y: Label, said: Result, learned: Result) -> Result:
    if isinstance(learned, LearnerError):
        return learned
    return said.get(str(y), 0.0) if isinstance(said, dict) else said


def unjudged(operations: Sequence[Operation], judged: Sequence[Result]) -> list[Result]:
    """What `run_examples` gives, from what `judge_examples` gave."""
    return [
        result if y is None or isinstance(result, LearnerError) else None
        for (_, y), result in zip(operations, judged, strict=True)
    ]


def run_examples(learner: Learner, operations: Sequence[Operation]) -> list[Result]:
    """Do each operation in order.

    Parameters
    ----------
    operations
        `(x, None)` asks for an answer, `(x, y)` learns.

    Returns
    -------
    For a question the probabilities per class (regression: the number, or None while nothing is known), for an example
    that was learned None; a `LearnerError` where one was raised, and the work goes on behind it.
    """
    block = getattr(learner, "run_examples", None)
    if block is not None:
        results: list[Result] = block(operations)
        return results
    ask = learner.predict_proba_one if learner.task == "classification" else learner.predict_one
    results = []
    for x, y in operations:
        try:
            if y is None:
                results.append(ask(x))
            else:
                learner.learn_one(x, y)
                results.append(None)
        except LearnerError as error:
            results.append(error)
    return results
