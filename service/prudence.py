"""Is an answer sure enough to go out by itself (`auto`), or should a person look first (`review`)?

Pure: the same answer under the same configuration gives the same decision; `service.review` counts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.config import MonitorConfig

__all__ = ["Decision", "Prudence", "margin_of"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with an answer.

    Attributes
    ----------
    review : whether a person should look at it first
    by, value : what was measured, `margin` or `spread`, and its value; None: nothing could be measured
    urgency : for review from 0 (just past the threshold) to 1 (nothing is known); else 0
    """

    review: bool
    by: str
    value: float | None
    urgency: float

    def record(self) -> dict[str, Any]:
        """The fields that an answer carries."""
        return {"decision": "review" if self.review else "auto", self.by: self.value}


def margin_of(scores: Mapping[str, float]) -> float:
    """The difference of the two best probabilities, from 0 to 1; of one class alone its probability.

    Examples
    --------
    >>> margin_of({"a": 0.5, "b": 0.125, "c": 0.375})
    0.125
    """
    ordered = sorted(scores.values(), reverse=True)
    return ordered[0] - ordered[1] if len(ordered) > 1 else ordered[0]


class Prudence:
    """The rule of one monitor.

    A class goes to review where the two best probabilities differ by less than `margin`; a number, where the learners'
    answers to the same question lie further apart than `spread`. What cannot be measured of a learner goes to review.
    """

    def __init__(self, config: MonitorConfig) -> None:
        self._rule = config.review
        self._classification = config.task == "classification"

    def decide(
        self, predicted: Any, scores: Mapping[str, float] | None, others: Sequence[float | None] = ()
    ) -> Decision | None:
        """Decide on an answer; None where no rule is configured, or a class came without scores.

        Parameters
        ----------
        predicted, scores : the answer, None while nothing is known; scores of a class only
        others : what every learner answered to the same question, of a number
        """
        rule = self._rule
        if rule is None:
            return None
        if not self._classification:
            return self._number(predicted, [value for value in others if value is not None], rule.spread or 0.0)
        if predicted is None:
            return Decision(True, "margin", None, 1.0)
        if not scores:
            return None
        margin, threshold = margin_of(scores), rule.margin or 0.0
        review = margin < threshold
        return Decision(review, "margin", margin, 1.0 - margin / threshold if review else 0.0)

    @staticmethod
    def _number(predicted: Any, others: list[float], threshold: float) -> Decision:
        if predicted is None or len(others) < 2:
            return Decision(True, "spread", None, 1.0)
        spread = max(others) - min(others)
        review = spread > threshold
        return Decision(review, "spread", spread, 1.0 - threshold / spread if review else 0.0)
