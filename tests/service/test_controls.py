"""Control events: each does what it says, and leaves an audit entry that says why if it could not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.controls import _ACTIONS
from stream.events import CONTROL_ACTIONS
from tests.service.fold_rig import MONITOR, START_MS, Folded, configured, control, fold, label, prediction

BAYES = {"estimator": "river.naive_bayes.GaussianNB"}
LEARNERS = {"one": BAYES, "two": BAYES}


def audits(events: list[bytes], **settings: Any) -> list[dict[str, Any]]:
    """Audit entries of a monitor with two learners."""
    return fold(events, configured(**{"learners": LEARNERS} | settings)).bodies("audit")


def test_every_action_of_the_contract_is_carried_out() -> None:
    """What the events' contract names and what the fold can do are the same."""
    assert set(_ACTIONS) == set(CONTROL_ACTIONS)


def test_promote_and_roll_back() -> None:
    """A promotion changes who answers; a roll-back returns to the champion before."""
    folded = fold([prediction("p0", 0)], configured(learners=LEARNERS))
    champions = [folded.monitor.committee.champion]
    for action, parameters in (("promote", {"learner": "two"}), ("roll_back", {})):
        folded.feed([control(action, 1, **parameters)])
        champions.append(folded.monitor.committee.champion)
    assert champions == ["one", "two", "one"]
    assert [(entry["action"], "refused" in entry) for entry in folded.bodies("audit")] == [
        ("promote", False),
        ("roll_back", False),
    ]


@pytest.mark.parametrize(
    ("action", "parameters", "why"),
    [
        ("promote", {"learner": "three"}, "learners: one, two"),
        ("promote", {"learner": "one"}, "champion already"),
        ("promote", {}, "'learner' is missing"),
        ("roll_back", {}, "nothing to roll back to"),
        ("planned_change", {"until_ms": START_MS - 1}, "until_ms"),
        ("planned_change", {"until_ms": 1e300}, "until_ms"),
        ("planned_change", {"until_ms": "soon"}, "soon"),
        ("planned_change", {"until_ms": [1]}, "list"),
        ("erase", {}, "'id' is missing"),
        ("configuration", {}, "'version' is missing"),
    ],
)
def test_a_refusal_says_why(action: str, parameters: dict[str, Any], why: str) -> None:
    """A control that cannot be carried out changes nothing, stops nothing, and its audit entry says why."""
    events = [prediction("p0", 0), control(action, 1, **parameters), prediction("p1", 2)]
    (entry,) = audits(events)
    assert (entry["monitor"], entry["action"], entry["parameters"]) == (MONITOR, action, parameters)
    assert why in entry["refused"]


def test_configuration_and_quarantine_are_noted() -> None:
    """The version in force is kept; a quarantine is an audit entry; a tick leaves none, for there are many."""
    folded = fold([control("configuration", 0, version="v7"), control("quarantine", 1, offset=5), control("tick", 2)])
    assert folded.monitor.configuration == "v7"
    assert [entry["action"] for entry in folded.bodies("audit")] == ["configuration", "quarantine"]


def test_a_tick_lets_predictions_come_of_age() -> None:
    """On a quiet monitor a tick moves event time, and what is old enough matures."""
    events = [prediction("p0", 0), prediction("p1", 1), prediction("p2", 2), label("p0", 500, "y")]
    folded = fold(events)
    assert folded.monitor.join.counts.matured == 0
    folded.feed([control("tick", 5_000)])
    assert folded.monitor.join.counts.matured == 3


def test_accept_reference_begins_anew() -> None:
    """After it the next `reference.n` predictions are the reference, for features, errors and the probe."""
    folded = fold([prediction(f"p{n}", n) for n in range(60)], configured(learners=LEARNERS))
    assert folded.monitor.signals.watching
    folded.feed([control("accept_reference", 60)])
    assert folded.monitor.signals.events_left == 50
    assert folded.monitor.reference_from == 60
    folded.feed([prediction(f"q{n}", 61 + n) for n in range(50)])
    assert folded.monitor.signals.watching


def test_an_accepted_reference_has_a_scale_of_its_own() -> None:
    """Numbers a thousand times as large, accepted as the new reference: challengers are compared in their unit, and
    the better one is promoted."""
    learners = {
        "bad": {"estimator": "anchorwatch.LinearRegression", "parameters": {"learning_rate": 1e-9}},
        "good": {"estimator": "anchorwatch.LinearRegression"},
    }
    config = configured(
        task="regression", learners=learners, adaptation={"policy": "none"}, promotion={"min_n": 50, "cooldown": 10}
    )
    values, noise = np.random.default_rng(2).normal(size=(2, 700)).tolist()

    def stream(first: int, until: int, scale: float) -> list[bytes]:
        events = []
        for n in range(first, until):
            events.append(prediction(f"p{n}", 1_000 * n, features={"a": values[n]}, prediction=None))
            events.append(label(f"p{n}", 1_000 * n + 500, scale * (values[n] + 0.3 * noise[n])))
        return events

    folded = fold([*stream(0, 60, 1.0), control("accept_reference", 59_600), *stream(60, 700, 1_000.0)], config)
    assert folded.monitor.contest.view() is not None
    promoted = [body for body in folded.bodies("audit") if body["action"] == "promoted"]
    assert [body["learner"] for body in promoted] == ["good"]
    restarted = fold(stream(0, 60, 1.0), config).restarted(config)
    restarted.feed([control("accept_reference", 59_600), *stream(60, 700, 1_000.0)])
    assert restarted.hashes == folded.hashes


def _holds(folded: Folded, text: str) -> list[str]:
    return [key.component for key, data in folded.stored.items() if text.encode() in data]


def test_erase_leaves_no_features() -> None:
    """After `erase` no component holds the features of that prediction; its label is not learned from nothing."""
    features = {"a": {"type": "numeric"}, "who": {"type": "categorical", "watch": False}}
    config = configured(features=features, learners={"one": BAYES})
    events = [prediction(f"p{n}", n, features={"a": 1.0, "who": f"person-{n}"}) for n in range(5)]
    folded = fold(events, config)
    assert _holds(folded, "person-3")
    folded.feed([control("erase", 10, id="p3")])
    assert _holds(folded, "person-3") == []
    assert _holds(folded, "person-2")
    before = folded.stored[next(key for key in folded.stored if key.component == "learner/one")]
    folded.feed([label("p3", 20, "y")])
    assert folded.stored[next(key for key in folded.stored if key.component == "learner/one")] == before


def test_erase_takes_an_early_label_too() -> None:
    """A label that waits for its prediction goes; erasing what is not there is no mistake."""
    folded = fold([label("p9", 0, "y"), control("erase", 1, id="p9"), control("erase", 2, id="none")])
    assert dict(folded.monitor.join.early) == {}
    assert all("refused" not in entry for entry in folded.bodies("audit"))
