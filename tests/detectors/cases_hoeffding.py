"""Cases of HDDM_A, HDDM_W, STEPD and KSWIN."""

from __future__ import annotations

from detectors.hddm_a import HddmABank
from detectors.hddm_w import HddmWBank
from detectors.kswin import KswinBank
from detectors.stepd import StepdBank
from tests.detectors.cases import BOUNDS, COLUMNS, Case

__all__ = ["CASES"]

CASES: dict[str, Case] = {
    "hddm_a": Case(lambda _: HddmABank(COLUMNS), stream="bits"),
    "hddm_w": Case(lambda _: HddmWBank(COLUMNS, drift_confidence=1e-4), stream="bits"),
    "kswin": Case(lambda _: KswinBank(COLUMNS, alpha=1e-6, bounds=BOUNDS)),
    "stepd": Case(lambda _: StepdBank(COLUMNS, window_n=60, alpha_drift=1e-4), stream="bits"),
}
