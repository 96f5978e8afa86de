"""The fold: each prediction is judged once, as made then; labels in any order; nothing takes others down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from learners import LearnerError
from service.error_signals import ErrorSignals
from service.members import Member
from tests.service.fold_rig import Folded, configured, control, fold, label, prediction

BAYES = {"estimator": "river.naive_bayes.GaussianNB"}
SETTLED = [control("tick", 0)] * 3  # three events that agree on the time
HOEFFDING = {"estimator": "river.tree.HoeffdingTreeClassifier"}


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, tuple[float, ...]]]:
    """Everything that enters the error detectors: (signal, prediction, values)."""
    entries: list[tuple[str, int, tuple[float, ...]]] = []
    real = ErrorSignals.hear

    def hear(self: ErrorSignals, name: str, kind: str, values: tuple[float, ...], number: int, mark: Any) -> None:
        entries.append((name, number, values))
        real(self, name, kind, values, number, mark)

    monkeypatch.setattr(ErrorSignals, "hear", hear)
    return entries


def errors(entries: list[tuple[str, int, tuple[float, ...]]]) -> list[tuple[int, float]]:
    """(prediction, error) of the producer, in the order heard."""
    return [(number, values[0]) for name, number, values in entries if name.startswith("error:producer")]


def accuracy(folded: Folded, name: str = "producer:") -> Any:
    """The accuracy over everything of one name."""
    return folded.monitor.scoreboard.summaries()[name]["accuracy"]


Entries = list[tuple[str, int, tuple[float, ...]]]


def test_each_prediction_is_judged_once_in_order(heard: Entries) -> None:
    """Labels in any order, twice, corrected early, late or never: detectors see each labelled prediction once, at the
    fixed age, in the order of predictions, with the label that it had then."""
    events = [prediction(f"p{n}", n) for n in range(6)]
    events += [label("p3", 100, "n"), label("p0", 101, "y"), label("p0", 102, "y"), label("p1", 103, "n")]
    events += [label("p1", 104, "y"), label("p5", 105, "n"), control("tick", 1_050)]
    assert fold(events).bodies("audit") == []
    assert errors(heard) == [(0, 0.0), (1, 0.0), (3, 1.0), (5, 1.0)]


def test_late_labels_and_corrections_score_but_never_alarm(heard: Entries) -> None:
    """After the fixed age a label or a correction changes the figures and no detector."""
    folded = fold([prediction("p0", 0), prediction("p1", 1), label("p0", 10, "y"), control("tick", 1_005)])
    before = list(errors(heard))
    assert (before, accuracy(folded)) == ([(0, 0.0)], 1.0)
    folded.feed([label("p0", 1_100, "n")])
    assert accuracy(folded) == 0.0
    folded.feed([label("p1", 1_200, "y")])
    assert accuracy(folded) == 0.5
    assert errors(heard) == before


@pytest.mark.parametrize(("value", "error"), [("y", 0.0), ("n", 1.0)])
def test_the_value_on_time_out_is_a_label(heard: Entries, value: str, error: float) -> None:
    """Where absence is the negative label, a prediction without one is judged by the configured value; a real label
    that comes later is a correction."""
    labels = {"age": "1s", "timeout": "1s", "on_timeout": {"value": value}}
    folded = fold([*SETTLED, prediction("p0", 0), control("tick", 1_000)], configured(labels=labels))
    assert (errors(heard), accuracy(folded)) == ([(0, error)], 1.0 - error)
    folded.feed([label("p0", 2_000, "n" if value == "y" else "y")])
    assert (errors(heard), accuracy(folded)) == ([(0, error)], error)


def test_the_value_on_time_out_is_written_as_labels_are() -> None:
    """`value = 0` is the class "0" that predictions and labels carry."""
    labels = {"age": "1s", "timeout": "1s", "on_timeout": {"value": 0}}
    folded = fold([*SETTLED, prediction("p0", 0, prediction=0), control("tick", 1_000)], configured(labels=labels))
    assert accuracy(folded) == 1.0


def test_no_change_says_the_newest_label_that_had_arrived() -> None:
    """The baseline answers what was the newest label when the prediction was made, not when it is judged."""
    events = [prediction("p0", 0), label("p0", 10, "y"), prediction("p1", 20), label("x", 25, "n")]
    events += [prediction("p2", 30), label("p1", 40, "y"), label("p2", 50, "n")]
    folded = fold(events)
    assert [folded.monitor.join.row(n).no_change for n in range(3)] == [None, "y", "n"]
    folded.feed([control("tick", 5_000)])
    assert accuracy(folded, "no_change") == pytest.approx(2 / 3)


def test_a_label_may_outlive_the_window_of_its_prediction() -> None:
    """A label that moves the watermark so far that its own prediction matures and leaves is learned all the same."""
    labels = {"age": "1s", "correction_window": 5, "max_pending": 20}
    folded = fold([prediction(f"p{n}", n) for n in range(10)], configured(labels=labels, learners={"one": BAYES}))
    folded.feed([label("p0", 5_000, "y")])
    assert len(folded.monitor.join) == 5
    assert folded.monitor.committee.members["one"].answer({"a": 0.5})[0] == "y"
    folded.feed([prediction("q0", 5_001)])


def test_features_are_kept_until_judged_and_learned() -> None:
    """They are gone once both has happened, in whatever order and for repeated labels too; until then they are kept."""
    config = configured(learners={"one": BAYES}, labels={"age": "1s"})
    folded = fold([prediction(f"p{n}", n) for n in range(4)], config)
    rows = [folded.monitor.join.row(n) for n in range(4)]

    def kept() -> list[bool]:
        return [bool(row.features) for row in rows]

    folded.feed([label("p0", 10, "y"), label("p1", 20, "y")])
    assert kept() == [True] * 4
    folded.feed([label("p1", 1_500, "y")])  # it makes all of them mature, and says nothing new
    assert kept() == [False, False, True, True]
    folded.feed([label("p2", 1_600, "n")])
    assert kept() == [False, False, False, True]
    assert folded.monitor.committee.members["one"].learned.labels == 3
    folded.feed([label("p2", 1_700, "y")])
    assert kept() == [False, False, False, True]


def test_a_duplicate_prediction_is_refused_and_changes_nothing() -> None:
    """The second prediction of an id is a reject that names its monitor; the first one stands."""
    folded = fold([prediction("p0", 0, prediction="y"), prediction("p0", 1, prediction="n")])
    (reject,) = folded.rejects
    assert (reject.reason, reject.monitor, reject.offset) == ("duplicate_id", "m", 1)
    assert folded.monitor.join.row(0).prediction == "y"


def test_versions_are_scored_side_by_side() -> None:
    """Interleaved versions have figures and error signals of their own; a label scores the version that predicted."""
    events = [prediction(f"p{n}", n, model_version=str(n % 2)) for n in range(40)]
    events += [label(f"p{n}", 100 + n, "y" if n % 2 else "n") for n in range(40)]
    folded = fold([*events, control("tick", 5_000)])
    assert (accuracy(folded, "producer:0"), accuracy(folded, "producer:1")) == (0.0, 1.0)
    assert {"error:producer@0", "error:producer@1"} <= set(folded.monitor.errors.signals)


def test_versions_beyond_the_cap_share_a_name() -> None:
    """Beyond `max_versions` versions are `other`, in figures and signals alike."""
    events = [prediction(f"p{n}", n, model_version=f"v{n}") for n in range(6)]
    events += [label(f"p{n}", 100, "y") for n in range(6)]
    folded = fold([*events, control("tick", 5_000)], configured(max_versions=2))
    names = {"producer:v0", "producer:v1", "producer:other", "no_change", "majority"}
    assert set(folded.monitor.scoreboard.scores) == names
    assert folded.monitor.scoreboard.scores["producer:other"].summary()["accuracy"] == 1.0


def test_a_new_version_that_is_wrong_from_the_start_is_no_change() -> None:
    """The errors of a version are compared with its own: one that begins at another rate opens no performance
    episode, while the same change within one version does."""

    def kinds(versions: list[str]) -> set[str]:
        events = []
        for n in range(800):
            right = n < 400
            events.append(prediction(f"p{n}", n * 10, model_version=versions[n // 400]))
            events.append(label(f"p{n}", n * 10 + 1, "y" if right else "n"))
        folded = fold([*events, control("tick", 20_000)])
        return {body["kind"] for body in folded.bodies("drift")}

    assert "performance" not in kinds(["1", "2"])
    assert "performance" in kinds(["1", "1"])


def test_a_learner_that_fails_degrades_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one learner raises, it is counted and says nothing; the other learners answer and learn as ever."""
    config = configured(learners={"bad": BAYES, "good": HOEFFDING}, champion="good")
    events = [prediction(f"p{n}", n, prediction=None) for n in range(8)] + [label(f"p{n}", 10, "y") for n in range(8)]

    def bodies(*, broken: bool) -> tuple[list[dict[str, Any]], Folded]:
        folded = fold([], config)

        if broken:
            monkeypatch.setattr(folded.monitor.committee.members["bad"].learner, "predict_proba_one", _raise)
            monkeypatch.setattr(folded.monitor.committee.members["bad"].learner, "learn_one", _raise)
        folded.feed(events)
        folded.feed([prediction("q", 20, prediction=None)])
        return folded.bodies("prediction"), folded

    expected, _ = bodies(broken=False)
    got, folded = bodies(broken=True)
    bad: Member = folded.monitor.committee.members["bad"]
    assert got == expected
    assert (bad.failures, bad.last_failure) == (9 + 8, "broken")
    assert folded.monitor.join.row(8).answers["bad"] == [None, None]


def _raise(*_: object) -> None:
    raise LearnerError("broken")


def test_the_champion_answers_where_the_producer_does_not() -> None:
    """A prediction event without a prediction leaves with the champion's answer as made then; others do not."""
    config = configured(learners={"one": BAYES})
    events = [prediction("p0", 0), label("p0", 1, "y"), prediction("p1", 2, prediction=None), prediction("p2", 3)]
    folded = fold(events, config)
    (body,) = folded.bodies("prediction")
    assert {k: body[k] for k in ("id", "monitor", "event", "prediction", "model")} == {
        "id": "p1", "monitor": "m", "event": 1, "prediction": "y", "model": "one",
    }  # fmt: skip
    assert body["scores"] == folded.monitor.join.row(1).answers["one"][1] == {"y": 1.0}


def test_what_the_old_probe_said_is_not_held_against_the_new() -> None:
    """After `accept_reference` predictions in flight, answered by the old probe, start no concept signal."""
    config = configured(learners={"one": BAYES})
    events = []
    for n in range(120):
        events += [prediction(f"p{n}", n * 100), label(f"p{n}", n * 100 + 1, "y")]
    folded = fold(events, config)
    assert "error:probe" in folded.monitor.errors.signals
    folded.feed([control("accept_reference", 12_000)])
    folded.feed([control("tick", 20_000)])
    assert folded.monitor.join.counts.matured == 120
    assert "error:probe" not in folded.monitor.errors.signals


def test_pending_and_early_are_bounded() -> None:
    """However many predictions wait and labels come early, both stay under their caps and what went is counted."""
    labels = {"age": "1d", "correction_window": 10, "max_pending": 20, "max_early": 5}
    events = [prediction(f"p{n}", n) for n in range(100)] + [label(f"x{n}", 200, "y") for n in range(30)]
    folded = fold(events, configured(labels=labels))
    assert len(folded.monitor.join) <= 20
    assert len(folded.monitor.join.early) == 5
    assert (folded.monitor.join.counts.evicted, folded.monitor.join.counts.orphans) == (80, 25)


def test_a_regression_is_watched_from_end_to_end() -> None:
    """Errors of a regression are watched absolute and signed, MAE and RMSE are those of the definition, and a bias
    that appears is found in the residual with its direction."""
    generator = np.random.default_rng(2)
    noise = generator.normal(0.0, 1.0, 700)
    noise[400:] += 4.0
    events = []
    for n, value in enumerate(noise.tolist()):
        events += [prediction(f"p{n}", n * 10, prediction=10.0), label(f"p{n}", n * 10 + 1, 10.0 + value)]
    folded = fold([*events, control("tick", 20_000)], configured(task="regression"))
    figures = folded.monitor.scoreboard.summaries()["producer:"]
    assert figures["mae"] == pytest.approx(float(np.mean(np.abs(noise))))
    assert figures["rmse"] == pytest.approx(float(np.sqrt(np.mean(noise**2))))
    found = [b for b in folded.bodies("drift") if b["signal"] == "residual:producer" and b["status"] == "drift"]
    assert (found[0]["direction"], found[0]["kind"]) == ("up", "performance")
    assert 500 <= found[0]["event"] < 560  # judged a second, or 100 predictions, after they were made
    assert found[0]["onset"]["low"] <= 400 <= found[0]["onset"]["high"] + 10
