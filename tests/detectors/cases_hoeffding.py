"""Cases of HDDM_A, HDDM_W, STEPD and KSWIN, and streams whose mean turns."""

from __future__ import annotations

from typing import Any

import numpy as np

from detectors.base import DRIFT, BlockResult, Floats
from detectors.hddm_a import HddmABank
from detectors.hddm_w import HddmWBank
from detectors.kswin import KswinBank
from detectors.stepd import StepdBank
from tests.detectors.cases import BOUNDS, COLUMNS, Case

__all__ = ["CASES", "drifts", "folded", "turns"]

CASES: dict[str, Case] = {
    "hddm_a": Case(lambda _: HddmABank(COLUMNS), stream="bits"),
    "hddm_w": Case(lambda _: HddmWBank(COLUMNS, drift_confidence=1e-4), stream="bits"),
    "kswin": Case(lambda _: KswinBank(COLUMNS, alpha=1e-6, bounds=BOUNDS)),
    "stepd": Case(lambda _: StepdBank(COLUMNS, window_n=60, alpha_drift=1e-4), stream="bits"),
}


def turns(seed: int, *, bits: bool) -> Floats:
    """Six stretches of another mean each, bits or numbers within [0, 1]."""
    generator = np.random.default_rng(seed)
    parts = []
    for mean, rows in zip(generator.random(6), generator.integers(50, 300, 6), strict=True):
        noise = generator.random(rows)
        parts.append(noise < mean if bits else (noise + mean) / 2)
    return np.concatenate(parts).astype(np.float64)


def folded(bank: Any, values: Any) -> BlockResult:
    """One signal's values in one block."""
    column = np.asarray(values, dtype=np.float64)[:, None]
    result = bank.update_many(column, np.arange(len(column)))
    assert isinstance(result, BlockResult)
    return result


def drifts(result: BlockResult) -> list[tuple[int, int]]:
    """Row and direction of each drift."""
    return [(alarm.row, alarm.direction) for alarm in result.alarms if alarm.status == DRIFT]
