"""Signals watched for a change of mean: the scale comes from the reference, blocks do not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.config import parse
from service.detector_config import DetectorsConfig
from service.error_signals import ErrorSignals
from service.mean_signals import MeanSignals
from service.pairing import Run

CONFIG = DetectorsConfig()
BOTH = (Run("adwin", "both"), Run("page_hinkley", "both"))
RUNS = {"a": BOTH, "b": BOTH}


def watched(*names: str, **settings: Any) -> MeanSignals:
    """Columns with a reference of 200 rows."""
    given: dict[str, Any] = {"runs": RUNS, "reference_n": 200} | settings
    return MeanSignals(names or ("a", "b"), "data", CONFIG, **given)


def alarms(signal: MeanSignals, values: np.ndarray[Any, Any], size: int) -> list[tuple[Any, ...]]:
    """Alarms of drift, as (row, column's name, detector, direction)."""
    found = []
    for start in range(0, len(values), size):
        block = values[start : start + size]
        spoken = signal.update(block, np.arange(start, start + len(block), dtype=np.int64))
        found += [
            (start + s.row, s.alarm.signal, s.alarm.detector, s.alarm.direction, s.alarm.onset)
            for s in spoken
            if s.alarm.status == 2
        ]
    return found


def values() -> np.ndarray[Any, Any]:
    """Two columns; the second rises at row 600."""
    generator = np.random.default_rng(4)
    columns = generator.normal(0.0, 1.0, (1_200, 2))
    columns[600:, 1] += 3.0
    return columns


@pytest.mark.parametrize("size", [1, 7, 1_200])
def test_a_rise_is_found_in_any_blocks(size: int) -> None:
    """The column that moved is found, up, soon after, by both detectors; blocks change nothing."""
    found = alarms(watched(), values(), size)
    assert found == alarms(watched(), values(), 100)
    first = {detector: row for row, name, detector, direction, _ in reversed(found) if (name, direction) == ("b", 1)}
    assert set(first) == {"adwin", "page_hinkley"}
    assert all(600 <= row < 680 for row in first.values())
    assert not [name for _, name, *_ in found if name == "a"]


def test_units_do_not_matter() -> None:
    """A signal in other units, and upside down, gives the same alarms, mirrored."""
    plain = alarms(watched(), values(), 50)
    scaled = alarms(watched(), values() * -1024.0, 50)
    assert [(row, name, detector, -direction) for row, name, detector, direction, _ in scaled] == [
        part[:4] for part in plain
    ]


def test_the_reference_itself_raises_nothing() -> None:
    """While the scale is learned nothing is said, whatever the values do, and it says how many are left."""
    signal = watched("a", reference_n=300)
    jump = np.concatenate([np.zeros(150), np.ones(150)])[:, None]
    assert alarms(signal, jump[:299], 30) == []
    assert (signal.watching, signal.events_left) == (False, 1)
    assert alarms(signal, jump[299:], 30) == []
    assert (signal.watching, signal.events_left) == (True, 0)


def test_a_column_runs_only_the_detectors_it_names() -> None:
    """What one column runs does not touch the other."""
    signal = watched(runs={"a": BOTH, "b": BOTH[:1]})
    found = alarms(signal, values(), 50)
    assert {detector for _, name, detector, *_ in found if name == "b"} == {"adwin"}
    assert set(signal.latest["b"]) == {"adwin"}


def test_a_restart_changes_nothing() -> None:
    """State stored while learning or watching goes on alike."""
    for cut in (100, 700):
        one, other = (watched() for _ in range(2))
        alarms(one, values()[:cut], 50)
        other.load(one.state())
        assert alarms(one, values()[cut:], 50) == alarms(other, values()[cut:], 50)


def test_blocks_of_errors_are_their_means() -> None:
    """With `error_block` detectors see the mean of that many errors, numbered by the block's last prediction."""
    config = parse({"monitors": {"m": {"error_block": 4}}}).monitors["m"]
    errors = ErrorSignals(config, 0)
    for number in range(10):
        errors.hear("error:producer", "performance", (float(number % 4 == 0),), number, (0, 1.0, False))
    kept = errors._waiting["error:producer"]
    assert (kept.values, kept.numbers) == ([0.25, 0.25], [3, 7])
    errors.flush()
    other = ErrorSignals(config, 0)
    other.load(errors.state())
    assert other.state()["blocks"] == {"error:producer": [2, [1.0]]}
