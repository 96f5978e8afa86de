"""Cases of the first detectors: ADWIN, Page-Hinkley, the rank tests and energy distance."""

from __future__ import annotations

from detectors.adwin import AdwinBank
from detectors.energy import EnergyBank
from detectors.page_hinkley import PageHinkleyBank
from detectors.rank_tests import RankBank
from detectors.trailing import TrailingRankBank
from tests.detectors.cases import BOUNDS, COLUMNS, REFERENCE_N, WINDOW_N, Case

__all__ = ["CASES"]

CASES: dict[str, Case] = {
    "adwin": Case(lambda _: AdwinBank(COLUMNS, bounds=BOUNDS, warning_delta=0.02)),
    "energy": Case(lambda reference: EnergyBank(reference, WINDOW_N), signed=False, level=True, signals=1, alarms=5),
    "page_hinkley": Case(lambda _: PageHinkleyBank(COLUMNS, bounds=BOUNDS, delta=0.2)),
    "rank_tests": Case(lambda reference: RankBank(list(reference.T), WINDOW_N, test_every=3), level=True),
    "trailing": Case(
        lambda _: TrailingRankBank(COLUMNS, reference_n=REFERENCE_N, gap_n=20, window_n=WINDOW_N, step_n=70), level=True
    ),
}
