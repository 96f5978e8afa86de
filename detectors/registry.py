"""All detector banks by name, for the conformance suite, and a way to compile their kernels ahead of a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from detectors.adwin import AdwinBank
from detectors.anderson_darling import AndersonDarlingBank
from detectors.base import Bank
from detectors.binned import BinnedBank
from detectors.categories import CategoryBank
from detectors.context import ContextBank
from detectors.cusum import CusumBank
from detectors.ddm import DDMBank
from detectors.domain_classifier import DomainClassifierBank
from detectors.e_detector import EDetectorBank
from detectors.ecdd import ECDDBank
from detectors.eddm import EDDMBank
from detectors.energy import EnergyBank
from detectors.ewma_chart import EwmaChartBank
from detectors.hddm_a import HddmABank
from detectors.hddm_w import HddmWBank
from detectors.kswin import KswinBank
from detectors.mmd import MmdBank
from detectors.page_hinkley import PageHinkleyBank
from detectors.rank_tests import RankBank
from detectors.rate import RateBank
from detectors.rddm import RDDMBank
from detectors.shewhart import ShewhartBank
from detectors.sliced_energy import SlicedEnergyBank
from detectors.sprt import SprtBank
from detectors.stepd import StepdBank
from detectors.trailing import TrailingRankBank
from detectors.wasserstein import WassersteinBank

__all__ = ["BANKS", "REGISTRY", "Entry", "warm"]

# Values that every detector can fold: small whole numbers, zeros and ones among them.
_SAMPLE = np.arange(32.0).reshape(32, 1) % 7
_ROWS = np.column_stack([_SAMPLE, _SAMPLE[::-1], _SAMPLE % 2])


class Entry(NamedTuple):
    """A bank, and a small one of its kind that folds `columns` columns; its kernels are those of all of its kind."""

    bank: type[Bank]
    sample: Callable[[], Bank]
    columns: int = 1


REGISTRY: dict[str, Entry] = {
    "adwin": Entry(AdwinBank, lambda: AdwinBank(1, clock=1)),
    "anderson_darling": Entry(AndersonDarlingBank, lambda: AndersonDarlingBank([_SAMPLE[:, 0]], 8)),
    "chi_square": Entry(CategoryBank, lambda: CategoryBank([_SAMPLE[:, 0]], 8)),
    "context": Entry(ContextBank, lambda: ContextBank(2, window_n=32, test_every=8, min_leaf=2), columns=3),
    "cusum": Entry(CusumBank, lambda: CusumBank(1, learn_n=8)),
    "ddm": Entry(DDMBank, lambda: DDMBank(1)),
    "domain_classifier": Entry(DomainClassifierBank, lambda: DomainClassifierBank(_SAMPLE, 8, refit_every=8)),
    "e_detector": Entry(EDetectorBank, lambda: EDetectorBank(1, mean_at_most=0.5)),
    "ecdd": Entry(ECDDBank, lambda: ECDDBank(1)),
    "eddm": Entry(EDDMBank, lambda: EDDMBank(1)),
    "energy": Entry(EnergyBank, lambda: EnergyBank(_SAMPLE, 8)),
    "ewma_chart": Entry(EwmaChartBank, lambda: EwmaChartBank(1, learn_n=8)),
    "g_test": Entry(CategoryBank, lambda: CategoryBank([_SAMPLE[:, 0]], 8, statistic="g")),
    "hddm_a": Entry(HddmABank, lambda: HddmABank(1)),
    "hddm_w": Entry(HddmWBank, lambda: HddmWBank(1)),
    "jensen_shannon": Entry(BinnedBank, lambda: BinnedBank([_SAMPLE[:, 0]], 8, statistic="js")),
    "kswin": Entry(KswinBank, lambda: KswinBank(1, window_size=8, stat_size=4)),
    "mmd": Entry(MmdBank, lambda: MmdBank(_SAMPLE, 8)),
    "page_hinkley": Entry(PageHinkleyBank, lambda: PageHinkleyBank(1)),
    "psi": Entry(BinnedBank, lambda: BinnedBank([_SAMPLE[:, 0]], 8)),
    "rank_tests": Entry(RankBank, lambda: RankBank([_SAMPLE[:, 0]], 8)),
    "rate": Entry(RateBank, lambda: RateBank.from_counts(3, 32)),
    "rddm": Entry(RDDMBank, lambda: RDDMBank(1, min_num_instances=4)),
    "shewhart": Entry(ShewhartBank, lambda: ShewhartBank(1, learn_n=8)),
    "sliced_energy": Entry(SlicedEnergyBank, lambda: SlicedEnergyBank(_SAMPLE, 8)),
    "sprt": Entry(SprtBank, lambda: SprtBank(1, learn_n=8)),
    "stepd": Entry(StepdBank, lambda: StepdBank(1)),
    "trailing": Entry(TrailingRankBank, lambda: TrailingRankBank(1, reference_n=8, gap_n=0, window_n=8, step_n=8)),
    "wasserstein": Entry(WassersteinBank, lambda: WassersteinBank([_SAMPLE[:, 0]], 8)),
}
BANKS: dict[str, type[Bank]] = {name: entry.bank for name, entry in REGISTRY.items()}


def warm(names: Iterable[str] | None = None, say: Callable[[str], None] | None = None) -> None:
    """Compile, or load from numba's cache, every kernel that a stream or a restart needs.

    Parameters
    ----------
    names : keys of `REGISTRY`; None: all
    say : called with each name before its kernels are compiled
    """
    for name in REGISTRY if names is None else names:
        if say is not None:
            say(name)
        entry = REGISTRY[name]
        bank = entry.sample()
        bank.update_many(_ROWS[:, -entry.columns :] if entry.columns > 1 else _SAMPLE, np.arange(32))
        type(bank).from_state(bank.state())
