"""The generated streams of the learners' table are what their definitions say, the same on every run."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmarks._learner_streams import STREAMS, Stream, _between, agrawal, path_of, random_rbf, read

__all__: list[str] = []


def _fifth(age: float, salary: float, loan: float) -> bool:
    """Function 5 of the paper, written out."""
    if age < 40:
        low = 100e3 if 50e3 <= salary <= 100e3 else 200e3
    elif age < 60:
        low = 200e3 if 75e3 <= salary <= 125e3 else 300e3
    else:
        low = 300e3 if 25e3 <= salary <= 75e3 else 100e3
    return low <= loan <= low + 200e3


def test_agrawals_fifth_function_is_the_papers() -> None:
    """Row by row, the loan's range is that of the age and the salary."""
    rng = np.random.default_rng(2)
    age, salary, loan = rng.integers(20, 81, 2_000), rng.uniform(20e3, 150e3, 2_000), rng.uniform(0.0, 5e5, 2_000)
    wanted = [_fifth(*row) for row in zip(age.tolist(), salary.tolist(), loan.tolist(), strict=True)]
    assert _between(loan, age < 40, age >= 60, salary).tolist() == wanted


def test_agrawals_concepts_change_at_each_quarter() -> None:
    """Function 1 is right of ages far from its limits in the first quarter, and wrong of many in the others."""
    rows, labels, nominal = agrawal(20_000)
    assert nominal == {3: 5, 4: 20, 5: 9}
    assert all(set(rows[:, c]) == set(range(n)) for c, n in nominal.items())
    age = rows[:, 2]
    clear = (np.abs(age - 40.0) > 4.0) & (np.abs(age - 60.0) > 4.0)
    right = (labels == ((age < 40.0) | (age >= 60.0))) | ~clear
    shares = [float(part.mean()) for part in np.split(right, 4)]
    assert shares[0] == 1.0
    assert max(shares[1:]) < 0.8


def test_balls_move_and_stay_in_the_cube() -> None:
    """Without drift the same ball keeps its place; with it the mean of a class moves; the rows are near the cube."""
    still, moving = random_rbf(40_000, speed=0.0), random_rbf(40_000, speed=1e-3)
    assert still.labels.tolist() == moving.labels.tolist()
    for data, moves in ((still, False), (moving, True)):
        halves = [data.rows[s][data.labels[s] == 0].mean(axis=0) for s in (slice(4_000), slice(36_000, None))]
        assert (np.abs(halves[0] - halves[1]).max() > 0.08) == moves
        assert np.abs(data.rows - 0.5).max() < 5.0


@pytest.mark.parametrize("name", [name for name, stream in STREAMS.items() if stream.generate])
def test_generated_streams_are_the_same_each_time(name: str) -> None:
    """A seed decides every row."""
    first, second = (read(Path("nowhere"), STREAMS[name]) for _ in range(2))
    assert first.rows.tobytes() == second.rows.tobytes()
    assert first.labels.tobytes() == second.labels.tobytes()
    assert first.rows.shape[0] == len(first.labels) == 100_000


def test_a_file_gives_codes_from_zero_and_gaps(tmp_path: Path) -> None:
    """Labels are coded in order of appearance, columns of codes begin at 0, an empty field is missing."""
    path = path_of(tmp_path, "small")
    with gzip.open(path, "wt", encoding="utf-8") as file:
        csv.writer(file).writerows([["day", "x", "y"], ["2", "0.5", "b"], ["7", "", "a"], ["3", "1", "b"]])
    rows, labels, nominal = read(path, Stream("y", ("day",)))
    assert labels.tolist() == [0, 1, 0]
    assert nominal == {0: 6}
    assert rows[:, 0].tolist() == [0.0, 5.0, 1.0]
    assert np.isnan(rows[:, 1]).tolist() == [False, True, False]
