"""Streams of the learners' table: read from a folder, or generated from a seed after published definitions.

Generated: 100,000 rows each, seed 1, the same rows on every run.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["STREAMS", "Data", "Stream", "agrawal", "path_of", "random_rbf", "read"]

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
ROWS_N = 100_000


class Data(NamedTuple):
    """Features with NaN for what is missing, labels as codes from 0, and codes per nominal column."""

    rows: Floats
    labels: Labels
    nominal: dict[int, int]


class Stream(NamedTuple):
    """Where a stream comes from: a file's column of labels and how its columns of codes begin, or a generator."""

    target: str = ""
    codes: tuple[str, ...] = ()
    rows_n: int | None = None
    generate: Callable[[], Data] | None = None


def path_of(folder: Path, name: str) -> Path:
    """The file of a stream that is not generated."""
    return folder / f"{name}.csv.gz"


def read(path: Path, stream: Stream) -> Data:
    """The stream; `path` is looked at only where it is not generated."""
    if stream.generate is not None:
        return stream.generate()
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        header, *rows = list(csv.reader(lines))[: None if stream.rows_n is None else stream.rows_n + 1]
    at = header.index(stream.target)
    codes: dict[str, int] = {}
    labels = [codes.setdefault(row[at], len(codes)) for row in rows]
    features = np.array([[float(v) if v else math.nan for i, v in enumerate(row) if i != at] for row in rows])
    names = header[:at] + header[at + 1 :]
    nominal = [c for c, column in enumerate(names) if stream.codes and column.startswith(stream.codes)]
    features[:, nominal] -= features[:, nominal].min(axis=0)
    return Data(features, np.array(labels), {c: int(features[:, c].max()) + 1 for c in nominal})


def agrawal(n: int = ROWS_N, seed: int = 1) -> Data:
    """Loan applicants: nine attributes, two groups; after each quarter the rule changes: functions 1, 3, 5, 7.

    Three attributes are nominal (education, make of car, zip code). After the label is set, 5 % of an attribute's
    range, up or down at most, is added to each number. Agrawal, Imielinski, Swami, *Database mining: a performance
    perspective*, IEEE TKDE 5 (1993), doi:10.1109/69.250074.
    """
    rng = np.random.default_rng(seed)
    salary = rng.uniform(20_000.0, 150_000.0, n)
    commission = np.where(salary >= 75_000.0, 0.0, rng.uniform(10_000.0, 75_000.0, n))
    age = rng.integers(20, 81, n).astype(float)
    education, car, zip_code = rng.integers(5, size=n), rng.integers(20, size=n), rng.integers(9, size=n)
    value = (9 - zip_code) * 100_000.0 * rng.uniform(0.5, 1.5, n)
    years, loan = rng.integers(1, 31, n).astype(float), rng.uniform(0.0, 500_000.0, n)
    income = salary + commission
    young, old = age < 40.0, age >= 60.0
    rules = [
        young | old,
        np.select([young, old], [education <= 1, education >= 2], (education >= 1) & (education <= 3)),
        _between(loan, young, old, salary),
        0.67 * income - 0.2 * loan - 20_000.0 > 0.0,
    ]
    labels = np.select([np.arange(n) * 4 // n == i for i in range(4)], rules).astype(np.int64)
    numbers = [(salary, 20e3, 150e3), (commission, 0.0, 75e3), (age, 20.0, 80.0), (value, 0.0, 135e4)]
    numbers += [(years, 1.0, 30.0), (loan, 0.0, 5e5)]
    noisy = [np.clip(v + (high - low) * rng.uniform(-0.05, 0.05, n), low, high) for v, low, high in numbers]
    noisy[1][commission == 0.0] = 0.0
    rows: Floats = np.column_stack([*noisy[:3], education, car, zip_code, *noisy[3:]]).round(3)
    return Data(rows, labels, {3: 5, 4: 20, 5: 9})


def _between(loan: Floats, young: NDArray[np.bool_], old: NDArray[np.bool_], salary: Floats) -> NDArray[np.bool_]:
    """Function 5: the loan's range depends on age and on whether the salary lies in the age's range."""
    start = np.select([young, old], [50e3, 25e3], 75e3)
    usual = (salary >= start) & (salary <= start + 50e3)
    least = np.select([young & usual, young, old & usual, old, usual], [1e5, 2e5, 3e5, 1e5, 2e5], 3e5)
    return (loan >= least) & (loan <= least + 2e5)


def random_rbf(n: int = ROWS_N, seed: int = 1, speed: float = 1e-4) -> Data:
    """Fifty balls in ten dimensions, five classes; each ball moves by `speed` a row and turns back at the cube's walls.

    A row picks a ball by its weight and lies off its centre in a random direction by a normal amount of the ball's
    deviation (both uniform in [0, 1)). No label noise. Bifet et al., *New ensemble methods for evolving data streams*,
    KDD 2009, doi:10.1145/1557019.1557041.
    """
    rng = np.random.default_rng(seed)
    balls, dimensions, classes = 50, 10, 5
    centres, labels = rng.random((balls, dimensions)), rng.integers(classes, size=balls)
    deviations, weights = rng.random(balls), rng.random(balls)
    ways = rng.normal(size=(balls, dimensions))
    ways /= np.sqrt((ways * ways).sum(axis=1, keepdims=True))
    ball = rng.choice(balls, size=n, p=weights / weights.sum())
    # Going back and forth between two walls is a triangle wave of the way that was gone.
    gone = centres[ball] + ways[ball] * speed * np.arange(n)[:, None]
    places = 1.0 - np.abs(1.0 - np.mod(gone, 2.0))
    offsets = rng.uniform(-1.0, 1.0, (n, dimensions))
    offsets *= (rng.normal(size=n) * deviations[ball] / np.sqrt((offsets * offsets).sum(axis=1)))[:, None]
    return Data(np.round(places + offsets, 6), labels[ball], {})


STREAMS: dict[str, Stream] = {
    # The weekday is one of seven codes, as in the file that MOA's figures are known for.
    "elec2_full8": Stream("class", ("day",)),
    "noaa_weather": Stream("target"),
    "sea_losing": Stream("target"),
    "covtype": Stream("Cover_Type", ("Wilderness_Area", "Soil_Type"), ROWS_N),
    "agrawal_drift": Stream(generate=agrawal),
    "rbf_drift": Stream(generate=random_rbf),
}
