"""Cases of the tests of a window against a reference: Anderson-Darling, Wasserstein, bins and categories."""

from __future__ import annotations

from detectors.anderson_darling import AndersonDarlingBank
from detectors.binned import BinnedBank
from detectors.categories import CategoryBank
from detectors.wasserstein import WassersteinBank
from tests.detectors.cases import WINDOW_N, Case

__all__ = ["CASES"]

CASES: dict[str, Case] = {
    "anderson_darling": Case(lambda reference: AndersonDarlingBank(list(reference.T), WINDOW_N), level=True),
    "chi_square": Case(
        lambda reference: CategoryBank(list(reference.T), WINDOW_N, min_effect=0.2), signed=False, level=True,
        stream="codes",
    ),
    "g_test": Case(
        lambda reference: CategoryBank(list(reference.T), WINDOW_N, statistic="g"), signed=False, level=True,
        stream="codes",
    ),
    "jensen_shannon": Case(
        lambda reference: BinnedBank(list(reference.T), WINDOW_N, statistic="js"), signed=False, level=True
    ),
    "psi": Case(lambda reference: BinnedBank(list(reference.T), WINDOW_N, test_every=3), signed=False, level=True),
    "wasserstein": Case(lambda reference: WassersteinBank(list(reference.T), WINDOW_N), level=True),
}  # fmt: skip
