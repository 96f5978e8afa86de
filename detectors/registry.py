"""All detector banks by name, for the conformance suite, and a way to compile their kernels ahead of a stream."""

from __future__ import annotations

import numpy as np

from detectors.adwin import AdwinBank
from detectors.base import Bank
from detectors.energy import EnergyBank
from detectors.page_hinkley import PageHinkleyBank
from detectors.rank_tests import RankBank
from detectors.trailing import TrailingRankBank

__all__ = ["BANKS", "warm"]

BANKS: dict[str, type[Bank]] = {
    "adwin": AdwinBank,
    "energy": EnergyBank,
    "page_hinkley": PageHinkleyBank,
    "rank_tests": RankBank,
    "trailing": TrailingRankBank,
}


def warm() -> None:
    """Compile, or load from numba's cache, every kernel that a stream or a restart needs."""
    values, index = np.arange(32.0).reshape(32, 1) % 7, np.arange(32)
    banks: list[Bank] = [
        AdwinBank(1, clock=1),
        EnergyBank(values, 8),
        PageHinkleyBank(1),
        RankBank([values[:, 0]], 8),
        TrailingRankBank(1, reference_n=8, gap_n=0, window_n=8, step_n=8),
    ]
    for bank in banks:
        bank.update_many(values, index)
        type(bank).from_state(bank.state())
