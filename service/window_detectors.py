"""How each detector that compares a window with the first predictions is made for the signals of a monitor.

KS and CvM share one structure and are made in `service.window_signals`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from detectors.anderson_darling import AndersonDarlingBank
from detectors.base import Bank, Floats
from detectors.binned import BinnedBank
from detectors.categories import CategoryBank
from detectors.domain_classifier import DomainClassifierBank
from detectors.energy import EnergyBank
from detectors.mmd import MmdBank
from detectors.sliced_energy import SlicedEnergyBank
from detectors.wasserstein import WassersteinBank
from service.config import MonitorConfig

__all__ = ["JOINT", "LEVELS", "JointRecipe", "LevelRecipe"]


class LevelRecipe(NamedTuple):
    """A bank of single columns, made from its section, the reference of each column, the window's length, the least
    effect, and the share of each column's values that count as independent."""

    bank: type[Bank]
    make: Callable[[Any, Sequence[Floats], int, float, Floats], Bank]


class JointRecipe(NamedTuple):
    """A bank of rows, made from the monitor's configuration, the encoded reference, the columns of each feature, and
    the share of rows that count as independent."""

    bank: type[Bank]
    make: Callable[[MonitorConfig, Floats, list[list[int]], float], Bank]


def _energy(config: MonitorConfig, reference: Floats, _groups: list[list[int]], share: float) -> Bank:
    section = config.detectors.energy
    return EnergyBank(
        reference if section.reference is None else reference[-section.reference :],
        section.window or config.reference.window, test_every=section.test_every, alpha=section.alpha,
        min_effect=section.min_effect, effective_share=share, seed=config.seed,
    )  # fmt: skip


def _joint(bank: Any, name: str) -> Callable[[MonitorConfig, Floats, list[list[int]], float], Bank]:
    def make(config: MonitorConfig, reference: Floats, _groups: list[list[int]], share: float) -> Bank:
        section = getattr(config.detectors, name)
        made: Bank = bank(
            reference, config.reference.window, test_every=section.test_every, alpha=section.alpha,
            min_effect=section.min_effect, effective_share=share, seed=config.seed,
        )  # fmt: skip
        return made

    return make


def _domain_classifier(config: MonitorConfig, reference: Floats, groups: list[list[int]], share: float) -> Bank:
    section, window_n = config.detectors.domain_classifier, config.reference.window
    # Rows that resemble their neighbours must not lie on both sides of a fold.
    fold_rows = max(1, min(window_n // 8, round(1.0 / share)))
    return DomainClassifierBank(
        reference, window_n, refit_every=section.refit_every, groups=groups, alpha=section.alpha,
        min_effect=section.min_effect, effective_share=share, fold_rows=fold_rows, seed=config.seed,
    )  # fmt: skip


JOINT: dict[str, JointRecipe] = {
    "energy": JointRecipe(EnergyBank, _energy),
    "sliced_energy": JointRecipe(SlicedEnergyBank, _joint(SlicedEnergyBank, "sliced_energy")),
    "mmd": JointRecipe(MmdBank, _joint(MmdBank, "mmd")),
    "domain_classifier": JointRecipe(DomainClassifierBank, _domain_classifier),
}


def _level(bank: Any, **fixed: Any) -> Callable[[Any, Sequence[Floats], int, float, Floats], Bank]:
    def make(section: Any, reference: Sequence[Floats], window_n: int, min_effect: float, share: Floats) -> Bank:
        own = {"bins": section.bins} if hasattr(section, "bins") else {}
        made: Bank = bank(
            reference, window_n, test_every=section.test_every, alpha=section.alpha, min_effect=min_effect,
            n_effective=share, **own, **fixed,
        )  # fmt: skip
        return made

    return make


LEVELS: dict[str, LevelRecipe] = {
    "anderson_darling": LevelRecipe(AndersonDarlingBank, _level(AndersonDarlingBank)),
    "wasserstein": LevelRecipe(WassersteinBank, _level(WassersteinBank)),
    "psi": LevelRecipe(BinnedBank, _level(BinnedBank, statistic="psi")),
    "jensen_shannon": LevelRecipe(BinnedBank, _level(BinnedBank, statistic="js")),
    "chi_square": LevelRecipe(CategoryBank, _level(CategoryBank, statistic="chi_square")),
    "g_test": LevelRecipe(CategoryBank, _level(CategoryBank, statistic="g")),
}
