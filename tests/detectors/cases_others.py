"""Cases of detectors that belong to no family: the e-detector and the contextual check."""

from __future__ import annotations

import numpy as np

from detectors.base import Floats
from detectors.context import ContextBank
from detectors.e_detector import EDetectorBank
from tests.detectors.cases import COLUMNS, Case

__all__ = ["CASES"]


def e_detector(reference: Floats) -> EDetectorBank:
    """Bounds four standard errors beyond the reference's means, as far as there is room."""
    means = reference.mean(axis=0)
    margin = 4.0 * np.sqrt(np.maximum(means * (1.0 - means), 0.01) / len(reference))
    return EDetectorBank(
        COLUMNS, mean_at_most=means + margin, mean_at_least=np.maximum(means - margin, 0.0), direction="both"
    )


CASES: dict[str, Case] = {
    "context": Case(
        lambda _: ContextBank(COLUMNS - 1, window_n=600, test_every=25, min_leaf=25),
        signed=False,
        signals=1,
        stream="labelled",
        within=200,
        alarms=5,
    ),
    "e_detector": Case(e_detector, stream="bits", alarms=20),
}
