"""DDM, RDDM, EDDM and ECDD against alarm positions of river and MOA, and against river itself.

The published positions on s1 and s5 are left out: these streams hold values up to 7, which are no bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from river.drift import binary

from detectors.base import DRIFT, WARNING, Floats
from detectors.ddm import DDMBank
from detectors.ecdd import ECDDBank
from detectors.eddm import EDDMBank
from detectors.rddm import RDDMBank
from tests.detectors.streams import STREAMS

__all__: list[str] = []


def positions(bank: Any, values: Floats, status: int = DRIFT) -> list[int]:
    result = bank.update_many(values[:, None], np.arange(len(values)))
    return [alarm.row for alarm in result.alarms if alarm.status == status]


@pytest.mark.parametrize(("name", "expected"), [("s2", [1049]), ("s3", [542, 1619]), ("s4", [1000])])
def test_ddm_alarms_where_moa_does(name: str, expected: list[int]) -> None:
    """MOA's DDM (CapyMOA 0.15.1); on s2 river 0.23.0 and 0.26.1 say the same."""
    assert positions(DDMBank(1), STREAMS[name]) == expected


@pytest.mark.parametrize(("name", "expected"), [("s2", [1018, 1238]), ("s3", [516, 1573]), ("s4", [1000])])
def test_rddm_alarms_where_moa_does(name: str, expected: list[int]) -> None:
    """MOA's RDDM (CapyMOA 0.15.1)."""
    assert positions(RDDMBank(1), STREAMS[name]) == expected


@pytest.mark.parametrize(("name", "expected"), [("s2", [681, 848, 983, 1042, 1089]), ("s4", [1030])])
def test_eddm_alarms_where_moa_does(name: str, expected: list[int]) -> None:
    """MOA's EDDM (CapyMOA 0.15.1), and on s2 river's test_drift_detectors.py at 063ca61."""
    assert positions(EDDMBank(1), STREAMS[name]) == expected


def test_eddm_alarms_where_river_does() -> None:
    """river 0.23.0 and 0.26.1, whose deviation is that of a sample."""
    assert positions(EDDMBank(1, definition="river"), STREAMS["s2"]) == [663, 828, 1007, 1078]


@pytest.mark.parametrize(("name", "expected"), [("s2", [178, 425, 497, 929, 1019]), ("s4", [1000])])
def test_ecdd_alarms_where_moa_does(name: str, expected: list[int]) -> None:
    """MOA's EWMAChart (CapyMOA 0.15.1)."""
    assert positions(ECDDBank(1), STREAMS[name]) == expected


def changing_bits(seed: int) -> Floats:
    """2,000 bits whose rate changes every 100 to 700 values."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(100, 700, 20)
    rates = np.repeat(generator.uniform(0, 1, 20) ** 2, lengths)[:2000]
    return (generator.random(2000) < rates).astype(np.float64)


def river_positions(detector: Any, values: Floats) -> tuple[list[int], list[int]]:
    """Where river's detector reports a drift, and where it enters its warning zone."""
    drifts: list[int] = []
    warnings: list[int] = []
    warned = False
    for i, x in enumerate(values.tolist()):
        detector.update(int(x))
        if detector.drift_detected:
            drifts.append(i)
        fresh = detector.warning_detected and not warned and not detector.drift_detected
        warnings += [i] if fresh else []
        warned = detector.warning_detected and not detector.drift_detected
    return drifts, warnings


def test_ddm_agrees_with_river_on_random_streams() -> None:
    """On 60 streams with changes drifts and warnings are where river's DDM has them, with other parameters too."""
    found = 0
    for seed in range(60):
        parameters: dict[str, Any] = [{}, {"warm_start": 10, "warning_threshold": 1.5, "drift_threshold": 2.5}][
            seed % 2
        ]
        values = changing_bits(seed)
        drifts, warnings = river_positions(binary.DDM(**parameters), values)
        assert positions(DDMBank(1, **parameters), values) == drifts
        assert positions(DDMBank(1, **parameters), values, WARNING) == warnings
        found += len(drifts)
    assert found > 100


def test_eddm_agrees_with_river_on_random_streams() -> None:
    """On 60 streams with changes drifts are where river's EDDM has them, with other parameters too."""
    found = 0
    for seed in range(60):
        parameters: dict[str, Any] = [{}, {"warm_start": 10, "alpha": 0.85, "beta": 0.8}][seed % 2]
        values = changing_bits(seed)
        drifts, _ = river_positions(binary.EDDM(**parameters), values)
        assert positions(EDDMBank(1, definition="river", **parameters), values) == drifts
        found += len(drifts)
    assert found > 200


@pytest.mark.parametrize(("length", "rate"), [(100, 0.3), (400, 0.05), (400, 0.3), (400, 0.7), (1000, 0.15)])
def test_ecdd_table_gives_its_run_length(length: int, rate: float) -> None:
    """Charts that know the rate run as long as the table says until the first alarm: 1,000 of them, within 15 %."""
    from detectors._ecdd_limits import LENGTHS, RATES, ROOM

    generator = np.random.default_rng(5)
    room = np.interp(rate, RATES, ROOM[LENGTHS.index(length)])
    limit = 1 - (1 - rate) * np.exp(room)
    average, alive, total = np.full(1000, rate), np.ones(1000, dtype=bool), 0
    for t in range(1, 20 * length):
        total += int(alive.sum())
        average += 0.2 * ((generator.random(1000) < rate) - average)
        alive &= average <= rate + (limit - rate) * np.sqrt(1 - 0.8 ** (2 * t))
        if not alive.any():
            break
    assert total / 1000 == pytest.approx(length, rel=0.15)
