"""STEPD against its definition, scipy's test of a table, and what MOA's does otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.stepd import StepdBank
from tests.detectors.cases_hoeffding import drifts, folded, turns
from tests.detectors.streams import STREAMS

__all__: list[str] = []

few = settings(max_examples=30, deadline=None, derandomize=True)
SIGNS = {"both": (1, -1), "up": (1,), "down": (-1,)}


def test_stepd_takes_errors_and_correct_answers_alike() -> None:
    """Fed with correct answers, as MOA's documentation asks, it alarms at the same rows with the other sign."""
    for name in ("s2", "s3"):
        errors, correct = (drifts(folded(StepdBank(1), v)) for v in (STREAMS[name], 1 - STREAMS[name]))
        assert correct == [(row, -direction) for row, direction in errors]


def stepd_test(part: Sequence[float], sign: int, window: int) -> float | None:
    """The statistic of equal proportions with continuity correction, from all values since the restart."""
    older, newer = part[:-window], part[-window:]
    share = math.fsum(part) / len(part)
    if len(older) < window or not 0 < share < 1:
        return None
    scale = 1 / len(older) + 1 / window
    gap = math.fsum(newer) / window - math.fsum(older) / len(older)
    return (sign * gap - scale / 2) / math.sqrt(share * (1 - share) * scale)


@few
@given(st.integers(0, 2**32), st.sampled_from(sorted(SIGNS)), st.sampled_from([2, 17, 30]))
def test_stepd_follows_its_definition(seed: int, direction: Any, window: int) -> None:
    """Alarms and statistics are those of counts taken anew; the level is that of the whole test."""
    values = turns(seed, bits=True)[:400].tolist()
    limit = NormalDist().inv_cdf(1 - 0.01 / len(SIGNS[direction]))
    result = folded(StepdBank(1, window_n=window, alpha_drift=0.01, direction=direction), values)
    start, newest, found = 0, math.nan, []
    for row in range(len(values)):
        zs = [(z, s) for s in SIGNS[direction] if (z := stepd_test(values[start : row + 1], s, window)) is not None]
        newest, sign = max(zs, default=(newest, 0))
        assert result.statistic[row, 0] == pytest.approx(newest, rel=1e-9, abs=1e-12, nan_ok=True)
        if zs and newest > limit:
            found.append((row, sign))
            start, newest = row + 1, math.nan
    assert drifts(result) == found
    assert result.threshold[~np.isnan(result.threshold)] == pytest.approx(limit, rel=1e-12)


def test_stepd_agrees_with_the_test_of_a_two_by_two_table() -> None:
    """Its square is scipy's chi-square with Yates' correction of the table (newest, older) x (errors, others)."""
    from scipy import stats

    values = np.random.default_rng(4).random(90) < 0.3
    result = folded(StepdBank(1, alpha_drift=1e-9), values)
    for row in range(60, 90):
        newest, older = values[row - 29 : row + 1], values[: row - 29]
        table = [[part.sum(), len(part) - part.sum()] for part in (newest, older)]
        z = float(result.statistic[row, 0])
        if z > 0:  # scipy's correction stops at no difference
            assert z**2 == pytest.approx(stats.chi2_contingency(table, correction=True).statistic, rel=1e-9)


def test_stepd_has_no_alarm_within_its_correction() -> None:
    """One error in 5,000 values and then none: MOA's, which takes |z| of a z far below 0, would alarm."""
    values = np.zeros(5000)
    values[0] = 1.0
    result = folded(StepdBank(1), values)
    assert result.alarms == []
    z = stepd_test(values.tolist(), -1, 30)
    assert z is not None
    assert z == pytest.approx(float(result.statistic[-1, 0]), rel=1e-9)
    assert -z > result.threshold[-1, 0]
