"""One case for every bank of the registry: how to make it, and streams that are quiet or shifted to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors.adwin import AdwinBank
from detectors.base import Alarm, Floats, Ints
from detectors.energy import EnergyBank
from detectors.page_hinkley import PageHinkleyBank
from detectors.rank_tests import RankBank
from detectors.trailing import TrailingRankBank

__all__ = ["CASES", "Case", "Said", "all_alarms", "fold", "outcome", "same_state"]

COLUMNS = 3
BOUNDS = (-8.0, 8.0)
REFERENCE_N, WINDOW_N = 200, 100


@dataclass(frozen=True)
class Case:
    """`make` builds a bank from a reference [n, 3]; `signed`: alarms carry a direction; `level`: alarms clear."""

    make: Callable[[Floats], Any]
    signed: bool = True
    level: bool = False
    signals: int = COLUMNS


@dataclass(frozen=True)
class Said:
    """An alarm of a named part of a result."""

    part: str
    alarm: Alarm


CASES: dict[str, Case] = {
    "adwin": Case(lambda _: AdwinBank(COLUMNS, bounds=BOUNDS, warning_delta=0.02)),
    "energy": Case(lambda reference: EnergyBank(reference, WINDOW_N), signed=False, level=True, signals=1),
    "page_hinkley": Case(lambda _: PageHinkleyBank(COLUMNS, bounds=BOUNDS, delta=0.2)),
    "rank_tests": Case(lambda reference: RankBank(list(reference.T), WINDOW_N, test_every=3), level=True),
    "trailing": Case(
        lambda _: TrailingRankBank(COLUMNS, reference_n=REFERENCE_N, gap_n=20, window_n=WINDOW_N, step_n=70), level=True
    ),
}


def parts(result: Any) -> dict[str, Any]:
    """The block results inside a result, by name."""
    if hasattr(result, "ks"):
        return {"ks": result.ks, "cvm": result.cvm}
    return {"": result}


def all_alarms(result: Any, offset: int = 0) -> list[Said]:
    """Alarms of all parts, rows counted from `offset`."""
    return [
        Said(name, alarm._replace(row=alarm.row + offset))
        for name, part in parts(result).items()
        for alarm in part.alarms
    ]


def fold(bank: Any, values: Floats, cuts: Ints) -> tuple[list[Said], Floats]:
    """Fold `values` cut before each row of `cuts`; alarms in order, and the statistics of all parts side by side."""
    said: list[Said] = []
    statistics: list[Floats] = []
    edges = [0, *(int(cut) for cut in cuts), len(values)]
    for start, end in itertools.pairwise(edges):
        result = bank.update_many(values[start:end], np.arange(start, end) + 1000)
        said += all_alarms(result, start)
        statistics.append(np.hstack([part.statistic for part in parts(result).values()]))
    said.sort(key=lambda one: (one.alarm.row, one.alarm.signal, one.part))
    return said, np.vstack(statistics)


def outcome(name: str, values: Floats, reference: Floats) -> list[Said]:
    """Alarms of a fresh bank over `values`, in one block."""
    return fold(CASES[name].make(reference), values, np.array([], dtype=np.int64))[0]


def same_state(one: Any, two: Any) -> bool:
    """Whether two states hold the same keys and, bit for bit, the same arrays."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same_state(one[key], two[key]) for key in one)
    return np.asarray(one).tobytes() == np.asarray(two).tobytes() and np.shape(one) == np.shape(two)
