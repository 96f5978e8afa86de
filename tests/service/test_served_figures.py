"""Figures of a monitor whose answers are the champion's: what was served is what counts, and nobody's else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from service.config import Config, ConfigurationError
from service.summary import monitor_summary
from service.view import MonitorHistory, monitor_view
from tests.service.fold_rig import Folded, configured, control, fold, label, prediction

__all__: list[str] = []

BAYES, TREE = {"estimator": "anchorwatch.NaiveBayes"}, {"estimator": "anchorwatch.HoeffdingTree"}


def stream(shares: list[tuple[int, float]]) -> list[bytes]:
    """Predictions without an answer, so many of each share of `y`, which the feature tells, and their labels."""
    rng, events, n = np.random.default_rng(7), [], 0
    for count, share in shares:
        for is_y in (rng.random(count) < share).tolist():
            value = 1.0 if is_y else -1.0
            events.append(prediction(f"p{n}", 1_000 * n, features={"a": value}, prediction=None))
            events.append(label(f"p{n}", 1_000 * n + 500, "y" if is_y else "n"))
            n += 1
    return events


def view(folded: Folded) -> dict[str, Any]:
    """What HTTP shows."""
    return monitor_view(folded.monitor, MonitorHistory(), "")


def watched() -> Config:
    """A champion and a reference of 200."""
    return configured(learners={"one": BAYES}, reference={"n": 200, "window": 200})


def test_coverage_is_by_the_class_that_was_served() -> None:
    """As recounted from the answers that went out."""
    folded = fold([*stream([(300, 0.4)]), control("tick", 500_000)], watched())
    served = Counter(str(body["prediction"]) for body in folded.bodies("prediction"))
    found = {name: counts[0] for name, counts in folded.monitor.scoreboard.coverage.items()}
    assert found == {("none" if name == "None" else name): n for name, n in served.items()}
    assert found["y"] > 100


@pytest.mark.parametrize("size", [3, 500])
def test_a_shift_of_the_champions_answers_is_a_prediction_drift(size: int) -> None:
    """The same as when a producer sends them, with the same bits in any batches and over restarts."""
    events, config = stream([(600, 0.5), (600, 0.95)]), watched()
    folded = fold(events, config, size=size)
    found = [body for body in folded.bodies("drift") if body["signal"] == "prediction" and body["status"] == "drift"]
    assert found
    assert 600 <= found[0]["event"] <= 750
    signal = next(signal for signal in view(folded)["signals"] if signal["name"] == "prediction")
    assert signal["phase"] == "watching"
    restarted = fold(events[:701], config).restarted(config).feed(events[701:], size=size)
    assert restarted.hashes == folded.hashes


def test_a_learner_that_is_configured_no_more_is_shown_no_more() -> None:
    """Neither in segments nor in the summary."""
    both = configured(learners={"one": BAYES, "two": TREE}, segments=["channel"])
    one = configured(learners={"one": BAYES}, segments=["channel"])
    sliced = [
        prediction(f"s{n}", n, prediction=None, segment={"channel": "web"}, features={"a": float(n % 2)})
        for n in range(60)
    ]
    labelled = [label(f"s{n}", 100 + n, "yn"[n % 2]) for n in range(60)]
    before = fold([*sliced, *labelled, control("tick", 5_000)], both)
    assert "two" in view(before)["segments"]["channel=web"]["challengers"]
    after = before.restarted(one)
    assert view(after)["segments"]["channel=web"]["challengers"] == {}
    assert "two" not in monitor_summary(after.monitor, [], "")["learners"]


@pytest.mark.parametrize("name", ["producer:7", "champion", "challenger", "producer", "probe"])
def test_names_that_stand_for_others_are_refused(name: str) -> None:
    """A learner must not be taken for a producer's version or an alias."""
    with pytest.raises(ConfigurationError, match="call the learner something else"):
        configured(learners={name: BAYES})


def test_a_new_reference_begins_probe_and_canary_anew() -> None:
    """What the old probe said is not shown as the new one's; a canary that is a learner goes on."""
    for model, is_kept in (("probe", False), ("one", True)):
        config = configured(learners={"one": BAYES, "two": TREE}, champion="two", canary={"model": model})
        events = stream([(300, 0.5)])
        folded = fold(events, config)
        before = view(folded)
        assert before["canary"]["n"] == 50
        assert before["learners"]["probe"]["n"] > 100
        folded.feed([control("accept_reference", 300_000)])
        shown = view(folded)
        assert "n" not in shown["learners"]["probe"]
        assert (shown["canary"]["n"] == before["canary"]["n"]) == is_kept
        assert folded.restarted(config).feed([control("tick", 301_000)]).rejects == []


def test_what_is_open_is_over_after_a_restart() -> None:
    """Until its detector is read again an open episode is shown with its detector, over and without a statistic."""
    config = watched()
    folded = fold(stream([(600, 0.5), (200, 1.0)]), config)
    before = {
        (signal["name"], reading["detector"])
        for signal in view(folded)["signals"]
        for reading in signal["detectors"]
        if reading["over"]
    }
    assert before
    after = [
        (signal["name"], reading["detector"], reading["over"], reading["statistic"])
        for signal in view(folded.restarted(config))["signals"]
        for reading in signal["detectors"]
    ]
    assert {(name, detector) for name, detector, *_ in after} == before
    assert all(over and statistic is None for *_, over, statistic in after)


def test_a_review_without_scores_says_why_it_learns_nothing() -> None:
    """A producer that sends no probabilities leaves a margin nothing to decide on."""
    config = configured(learners={}, review={"of": "producer", "margin": 0.2})
    bare = view(fold([prediction(f"p{n}", n) for n in range(20)], config))
    scored = view(fold([prediction("p0", 0, scores={"y": 0.7, "n": 0.3})], config))
    details = [
        next(signal["phase_detail"] for signal in shown["signals"] if signal["name"] == "review")
        for shown in (bare, scored)
    ]
    assert "no answer yet came with scores" in details[0]
    assert details[1] == "49 decisions left"
