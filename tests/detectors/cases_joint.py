"""Cases of the detectors of all features jointly, beside exact energy distance."""

from __future__ import annotations

from detectors.domain_classifier import DomainClassifierBank
from detectors.mmd import MmdBank
from detectors.sliced_energy import SlicedEnergyBank
from tests.detectors.cases import WINDOW_N, Case

__all__ = ["CASES"]

CASES: dict[str, Case] = {
    "domain_classifier": Case(
        lambda reference: DomainClassifierBank(reference, WINDOW_N, refit_every=25, rounds=20),
        # Rounded values never look like the reference's again: what has opened stays open.
        signed=False, level=True, signals=1, alarms=1,
    ),
    "mmd": Case(lambda reference: MmdBank(reference, WINDOW_N), signed=False, level=True, signals=1, alarms=5),
    "sliced_energy": Case(
        lambda reference: SlicedEnergyBank(reference, WINDOW_N), signed=False, level=True, signals=1, alarms=5
    ),
}  # fmt: skip
