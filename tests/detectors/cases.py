"""How the conformance suite makes each bank of the registry, and streams that are quiet or shifted to it.

The cases themselves stand in `cases_*.py`, one file a family of detectors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from detectors.base import Alarm, Floats, Ints

__all__ = [
    "BOUNDS",
    "COLUMNS",
    "REFERENCE_N",
    "WINDOW_N",
    "Case",
    "Said",
    "all_alarms",
    "constant",
    "eventful",
    "fold",
    "noise",
    "parts",
    "same_state",
    "shift",
]

COLUMNS = 3
BOUNDS = (-8.0, 8.0)
REFERENCE_N, WINDOW_N = 200, 100
Stream = Literal["real", "bits", "codes", "labelled"]
# Shares of the categories 0 to 4 before a change and after it.
_SHARES = (0.4, 0.3, 0.15, 0.1, 0.05)


@dataclass(frozen=True)
class Case:
    """`make` builds a bank from a reference [n, 3].

    `signed`: alarms carry a direction; `level`: alarms clear; `signals`: signals that speak; `stream`: what the
    columns hold (`labelled`: two features and a label that follows from them); `within`: rows until a change must be
    found; `onset_within`: rows that its estimated place may be off; `alarms`: that the eventful stream raises at least.
    """

    make: Callable[[Floats], Any]
    signed: bool = True
    level: bool = False
    signals: int = COLUMNS
    stream: Stream = "real"
    within: int = 150
    onset_within: int = 60
    alarms: int = 20


@dataclass(frozen=True)
class Said:
    """An alarm of a named part of a result."""

    part: str
    alarm: Alarm


def noise(rows: int, seed: int = 1, stream: Stream = "real") -> Floats:
    """A stationary stream [rows, 3]: normal numbers, bits (30 % ones), category numbers, or features with a label."""
    generator = np.random.default_rng(seed)
    if stream == "bits":
        return (generator.random((rows, COLUMNS)) < 0.3).astype(np.float64)
    if stream == "codes":
        return generator.choice(5, (rows, COLUMNS), p=_SHARES).astype(np.float64)
    values = generator.normal(size=(rows, COLUMNS))
    if stream == "labelled":
        values[:, -1] = (values[:, 0] > 0) ^ (generator.random(rows) < 0.1)
    return values


def shift(values: Floats, start: int, direction: int, stream: Stream = "real", seed: int = 2) -> None:
    """Change a stream in place from row `start` on: two spreads up or down, ones at 80 % or 2 %, categories turned
    round, labels that no longer follow from the first feature but from the second."""
    rows = len(values) - start
    generator = np.random.default_rng(seed)
    if stream == "bits":
        values[start:] = generator.random((rows, COLUMNS)) < (0.8 if direction > 0 else 0.02)
    elif stream == "codes":
        values[start:] = 4.0 - values[start:]
    elif stream == "labelled":
        values[start:, -1] = (direction * values[start:, 1] > 0) ^ (generator.random(rows) < 0.1)
    else:
        values[start:] += 2.0 * direction


def constant(rows: int, stream: Stream = "real") -> Floats:
    """The same value always."""
    return np.full((rows, COLUMNS), {"real": 0.1}.get(stream, 0.0))


def eventful(seed: int, stream: Stream = "real") -> Floats:
    """Twelve stretches of 250 rows that differ, rounded so that values tie, with gaps."""
    generator = np.random.default_rng(seed)
    if stream == "real":
        levels = np.repeat(generator.normal(scale=2.0, size=(12, COLUMNS)), 250, axis=0)
        values = np.round(levels + generator.normal(size=levels.shape), 1)
    else:
        values = noise(3000, seed, stream)
        for start in range(250, 3000, 500):
            part = values[start : start + 250]
            shift(part, 0, 1, stream, seed + start)
    values[generator.random(values.shape) < 0.05] = np.nan
    return values


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


def same_state(one: Any, two: Any) -> bool:
    """Whether two states hold the same keys and, bit for bit, the same arrays."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same_state(one[key], two[key]) for key in one)
    return np.asarray(one).tobytes() == np.asarray(two).tobytes() and np.shape(one) == np.shape(two)
