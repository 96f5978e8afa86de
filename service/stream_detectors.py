"""How each detector of one value after the other is made for a signal: on which scale, with which parameters.

Banks look in both directions; which direction opens an episode is the signal's own matter (`service.mean_signals`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from detectors.adwin import AdwinBank
from detectors.base import Bank, Floats
from detectors.cusum import CusumBank
from detectors.ddm import DDMBank
from detectors.e_detector import EDetectorBank
from detectors.ecdd import ECDDBank
from detectors.eddm import EDDMBank
from detectors.effective import effective_n
from detectors.ewma_chart import EwmaChartBank
from detectors.hddm_a import HddmABank
from detectors.hddm_w import HddmWBank
from detectors.kswin import KswinBank
from detectors.page_hinkley import PageHinkleyBank
from detectors.rate import RateBank
from detectors.rddm import RDDMBank
from detectors.shewhart import ShewhartBank
from detectors.sprt import SprtBank, log_odds_ratio
from detectors.stepd import StepdBank

__all__ = ["RECIPES", "Recipe"]

_WARNING_FACTOR = 10.0


class Recipe(NamedTuple):
    """A bank and how it is made.

    view : what it sees: the values as they are (`raw`), in [0, 1] of the widened reference range (`unit`), or in
        reference spreads (`spreads`)
    make : from the detector's section, the number of signals, and the reference [n, signals] on that scale (None
        unless `needs_reference`)
    needs_reference : it is made once the reference is complete
    repeats : it alarms again and again while a change lasts and never says that it is over
    """

    bank: type[Bank]
    view: Literal["raw", "unit", "spreads"]
    make: Callable[[Any, int, Floats | None], Bank]
    needs_reference: bool = False
    repeats: bool = False


def _adwin(section: Any, signals: int, _reference: Floats | None) -> Bank:
    warning = min(0.5, _WARNING_FACTOR * section.delta)
    return AdwinBank(signals, delta=section.delta, clock=section.clock, warning_delta=warning)


def _known(section: Any, *left_out: str) -> dict[str, Any]:
    """A section's keys that are parameters of its bank under the same name."""
    out = {"enabled", "direction", *left_out}
    return {name: getattr(section, name) for name in section.__struct_fields__ if name not in out}


def _plain(bank: Any) -> Callable[[Any, int, Floats | None], Bank]:
    def make(section: Any, signals: int, _reference: Floats | None) -> Bank:
        made: Bank = bank(signals, direction="both", **_known(section))
        return made

    return make


def _sprt(section: Any, signals: int, reference: Floats | None) -> Bank:
    """Errors: the odds of the reference's rate against `ratio` times the rate. Numbers: their mean against one moved by
    `shift` spreads."""
    columns = _columns(reference, signals)
    bits = all(np.isin(column, (0.0, 1.0)).all() for column in columns)
    if not bits:
        return SprtBank(signals, law="normal", shift=section.shift, **_known(section, "ratio", "shift"))
    shifts = []
    for column in columns:
        rate = (column.sum() + 0.5) / (len(column) + 1.0)
        shifts.append(log_odds_ratio(rate, min(section.ratio * rate, (1.0 + rate) / 2.0)))
    return SprtBank(signals, law="bernoulli", shift=np.array(shifts), **_known(section, "ratio", "shift"))


def _e_detector(section: Any, signals: int, reference: Floats | None) -> Bank:
    return EDetectorBank.from_counts(*_counts(reference, signals), direction="both", **_known(section))


def _rate(section: Any, signals: int, reference: Floats | None) -> Bank:
    return RateBank.from_counts(*_counts(reference, signals), direction="both", **_known(section))


def _counts(reference: Floats | None, signals: int) -> tuple[list[float], list[float]]:
    """Events and values of each signal's reference, as many as they are worth where they come in runs."""
    columns = _columns(reference, signals)
    shares = [effective_n(column) / len(column) if len(column) > 1 else 1.0 for column in columns]
    counts = [float(column.sum()) * share for column, share in zip(columns, shares, strict=True)]
    return counts, [max(1.0, len(column) * share) for column, share in zip(columns, shares, strict=True)]


def _columns(reference: Floats | None, signals: int) -> list[Floats]:
    """The values of each signal in the reference, without the missing ones."""
    if reference is None:
        return [np.zeros(0) for _ in range(signals)]
    return [column[~np.isnan(column)] for column in reference.T]


RECIPES: dict[str, Recipe] = {
    "adwin": Recipe(AdwinBank, "unit", _adwin),
    "page_hinkley": Recipe(PageHinkleyBank, "spreads", _plain(PageHinkleyBank)),
    "cusum": Recipe(CusumBank, "spreads", _plain(CusumBank)),
    "ewma_chart": Recipe(EwmaChartBank, "spreads", _plain(EwmaChartBank)),
    "shewhart": Recipe(ShewhartBank, "spreads", _plain(ShewhartBank)),
    "sprt": Recipe(SprtBank, "raw", _sprt, needs_reference=True),
    "kswin": Recipe(KswinBank, "raw", _plain(KswinBank)),
    "ddm": Recipe(DDMBank, "raw", _plain(DDMBank)),
    "eddm": Recipe(EDDMBank, "raw", _plain(EDDMBank)),
    "rddm": Recipe(RDDMBank, "raw", _plain(RDDMBank)),
    "ecdd": Recipe(ECDDBank, "raw", _plain(ECDDBank)),
    "hddm_a": Recipe(HddmABank, "raw", _plain(HddmABank)),
    "hddm_w": Recipe(HddmWBank, "raw", _plain(HddmWBank)),
    "stepd": Recipe(StepdBank, "raw", _plain(StepdBank)),
    "e_detector": Recipe(EDetectorBank, "raw", _e_detector, needs_reference=True, repeats=True),
    "rate": Recipe(RateBank, "raw", _rate, needs_reference=True, repeats=True),
}
