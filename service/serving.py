"""What becomes of an answer once the learners have given it: compared, decided on, served.

Learners answer in blocks, so this comes after the event itself; everything here looks only at answers as they were
made for that event, and at who was champion then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.canary import CANARY
from service.fold_output import FoldOutput
from stream.columns import MonitorBatch
from stream.join import PendingPrediction

if TYPE_CHECKING:
    from service.fold import MonitorFold

__all__ = ["Asked", "answered", "answers_given"]

_NAN = float("nan")


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A prediction whose answers were asked for: its places in the batch, its number, who was champion then."""

    at: int
    row: int
    number: int
    pending: PendingPrediction
    champion: str | None
    order: int
    offset: int


def answered(fold: MonitorFold, asked: Sequence[Asked], batch: MonitorBatch) -> list[FoldOutput]:
    """Take the answers of predictions; gives what leaves."""
    if not (fold.disagreement.wanted or fold.canary.wanted or fold.review.wanted):
        return [_served(fold, one, name, {}) for one in asked if (name := one.pending.served) is not None]
    return [output for one in asked for output in _looked_at(fold, one, batch)]


def _looked_at(fold: MonitorFold, asked: Asked, batch: MonitorBatch) -> Iterator[FoldOutput]:
    pending, champion = asked.pending, asked.champion
    if fold.disagreement.wanted:
        fold.disagreement.see(pending.answers, champion)
    if fold.canary.wanted and (differs := fold.canary.see(pending)) is not None:
        fold.errors.hear(CANARY, "prediction", (float(differs),), asked.number, (asked.at, -1.0, pending.backfill))
    decision: dict[str, Any] = {}
    if fold.review.wanted and (decided := fold.review.decide(asked.number, pending, champion)) is not None:
        decision = decided.decision.record()
        if decided.decision.review:
            item = fold.review.item(decided, batch, asked.row)
            about = {"id": pending.id, "monitor": fold.name, "event": asked.number}
            yield FoldOutput(asked.offset, "review", about | item)
    if pending.served is not None:
        yield _served(fold, asked, pending.served, decision)


def _served(fold: MonitorFold, asked: Asked, name: str, decision: dict[str, Any]) -> FoldOutput:
    """The answer of the learner that was champion, as it leaves."""
    pending = asked.pending
    predicted, scores = pending.answers[name]
    body = {
        "id": pending.id, "monitor": fold.name, "event": asked.number, "prediction": predicted, "scores": scores,
        "model": name, "generation": fold.committee.members[name].generation(asked.order),
    }  # fmt: skip
    return FoldOutput(asked.offset, "prediction", body | decision if decision else body)


def answers_given(
    asked: Sequence[Asked], *, classification: bool
) -> tuple[list[Any], NDArray[np.float64], NDArray[np.float64]]:
    """What was answered to each, with its score and its margin."""
    predicted, scores, margins = [], [], []
    for one in asked:
        given, told = one.pending.given()
        score, margin = _confidence(given, told, classification=classification)
        predicted.append(given)
        scores.append(score)
        margins.append(margin)
    return predicted, np.array(scores), np.array(margins)


def _confidence(predicted: Any, scores: dict[str, float] | None, *, classification: bool) -> tuple[float, float]:
    """Score and margin of what was predicted.

    Two classes: the probability of the first in text order; more: of the best one. Regression: the value.
    """
    if not classification:
        return (_NAN if predicted is None else float(predicted)), _NAN
    if not scores:
        return _NAN, _NAN
    if len(scores) == 2:
        (name, first), (other, second) = scores.items()
        return (first if name < other else second), abs(first - second)
    ordered = sorted(scores.values(), reverse=True)
    return ordered[0], ordered[0] - ordered[1] if len(ordered) > 1 else ordered[0]
