"""Windows against a reference: what is reported is the textbook statistic of the raw values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from service.window_signals import suspects
from tests.service.fold_rig import Folded, configured, fold, prediction

N, WINDOW = 60, 40


def numbers(total: int, seed: int, *, ties: bool) -> list[float]:
    """Values whose mean moves slowly; with `ties`, few distinct ones."""
    generator = np.random.default_rng(seed)
    values = generator.normal(0.0, 1.0, total) + np.linspace(0.0, 1.5, total)
    return [float(v) for v in (np.round(values) if ties else values)]


def folded(values: list[float], **settings: Any) -> Folded:
    """The fold of these values of the feature `a`."""
    config = configured(**{"reference": {"n": N, "window": WINDOW}} | settings)
    return fold([prediction(f"p{n}", n, features={"a": value}) for n, value in enumerate(values)], config, size=37)


@pytest.mark.parametrize("ties", [False, True], ids=["continuous", "ties"])
@pytest.mark.parametrize("seed", range(4))
def test_ks_and_cvm_are_those_of_scipy(seed: int, *, ties: bool) -> None:
    """At the last event the fold reports the statistics of scipy on the raw window and reference."""
    values = numbers(N + 150 + seed, seed, ties=ties)
    latest = folded(values).monitor.signals.latest()["feature:a"]
    reference, window = values[:N], values[-WINDOW:]
    assert latest["ks"][0] == pytest.approx(stats.ks_2samp(reference, window).statistic, abs=1e-12)
    assert latest["cvm"][0] == pytest.approx(stats.cramervonmises_2samp(reference, window).statistic, abs=1e-9)


@pytest.mark.parametrize(("alone", "other"), [("ks", "cvm"), ("cvm", "ks")])
def test_either_test_may_run_alone(alone: str, other: str) -> None:
    """With one of the two switched off the other reports what it reports beside it."""
    values = numbers(N + 80, 9, ties=False)
    both = folded(values).monitor.signals.latest()["feature:a"]
    one = folded(values, detectors={other: {"enabled": False}}).monitor.signals.latest()["feature:a"]
    assert other not in one
    assert one[alone][0] == both[alone][0]


def test_a_shift_is_found_with_onset_and_windows() -> None:
    """A shift of three spreads opens episodes of KS and CvM whose onset interval holds its start."""
    values = numbers(N + 100, 1, ties=False)
    values = [v - 1.5 * n / len(values) for n, v in enumerate(values)] + [4.0 + 0.01 * n for n in range(60)]
    records = [b for b in folded(values).bodies("drift") if b["status"] == "drift" and b["signal"] == "feature:a"]
    by_detector = {record["detector"]: record for record in records}
    for name in ("ks", "cvm"):
        record = by_detector[name]
        assert record["onset"]["low"] <= N + 100 <= record["onset"]["high"]
        assert record["statistic"] > record["threshold"]
        assert record["window"]["reference"] == [0, N]


def test_suspects_are_ranked_by_effect() -> None:
    """The largest effect first, ties by name, at most five, those without a value left out."""
    names = [f"feature:{letter}" for letter in "gfedcba"]
    got = suspects(names, np.array([0.1, 0.9, np.nan, 0.5, 0.5, 0.2, 0.05]))
    assert [one["feature"] for one in got] == ["f", "c", "d", "b", "g"]
