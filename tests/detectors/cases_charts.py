"""Cases of the charts: CUSUM, EWMA, Shewhart, Wald's test and the rate detector.

At the textbook's limits a chart alarms about once in 400 values; here they are wider, and what is learned comes from
more values, so that none alarms by chance: while they learn, some of the eventful stream's changes go unseen.
"""

from __future__ import annotations

from detectors.cusum import CusumBank
from detectors.ewma_chart import EwmaChartBank
from detectors.rate import RateBank
from detectors.shewhart import ShewhartBank
from detectors.sprt import SprtBank
from tests.detectors.cases import COLUMNS, REFERENCE_N, Case

__all__ = ["CASES"]

LEARN_N = 250
CASES: dict[str, Case] = {
    "cusum": Case(
        lambda _: CusumBank(COLUMNS, delta=0.8, threshold=15.0, learn_n=LEARN_N, direction="both"), alarms=12
    ),
    "ewma_chart": Case(lambda _: EwmaChartBank(COLUMNS, limit=5.0, learn_n=LEARN_N), alarms=15),
    "rate": Case(
        lambda reference: RateBank.from_counts(reference.sum(axis=0), REFERENCE_N, min_instances=30), stream="bits"
    ),
    "shewhart": Case(lambda _: ShewhartBank(COLUMNS, k=5.0, run_n=8, run_k=0.8, learn_n=LEARN_N), alarms=15),
    "sprt": Case(lambda _: SprtBank(COLUMNS, shift=1.5, alpha=1e-7, learn_n=LEARN_N), alarms=15),
}
