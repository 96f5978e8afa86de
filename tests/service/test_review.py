"""Answers that are not sure enough: the rule, what is sent to people and how urgent, the count, the signal."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answering import answer
from service.config import Config, ConfigurationError
from service.outputs import messages_of, outbox_rows
from service.prudence import Prudence, margin_of
from service.recent_share import RecentShare
from service.view import MonitorHistory, monitor_view
from stream.store import ComponentKey, StoredRow
from tests.service.fold_rig import MONITOR, Folded, configured, control, fold, label, prediction

BAYES = {"estimator": "river.naive_bayes.GaussianNB"}
LINEAR = {"estimator": "river.linear_model.LinearRegression"}
FEATURES: dict[str, Any] = {
    "a": {"type": "numeric"},
    "amount": {"type": "numeric"},
    "who": {"type": "categorical", "sensitive": True},
    "age": {"type": "numeric", "sensitive": True, "bins": [18, 65]},
    "country": {"type": "categorical"},
}
SURE, UNSURE = {"y": 0.9375, "n": 0.0625}, {"y": 0.5625, "n": 0.4375}  # margins .875 and .125


def producers(**review: Any) -> Config:
    """A monitor that decides on the producer's scores."""
    rule: dict[str, Any] = {"of": "producer", "margin": 0.25}
    return configured("key", features=FEATURES, review=rule | review)


def champions(**settings: Any) -> Config:
    """A monitor whose champion answers, and is decided on."""
    default: dict[str, Any] = {"learners": {"one": BAYES}, "review": {"margin": 0.2}}
    return configured(**default | settings)


def view(folded: Folded) -> dict[str, Any]:
    """The read view."""
    return monitor_view(folded.monitor, MonitorHistory(), "")


def asked(n: int) -> bytes:
    """A prediction event without an answer."""
    return prediction(f"q{n}", 10_000 + n, prediction=None, features={"a": n / 10})


def taught() -> list[bytes]:
    """Labelled predictions from which a learner is unsure around 5."""
    events = []
    for n in range(200):
        a = (n * 7 % 100) / 10
        events += [prediction(f"p{n}", n, features={"a": a}), label(f"p{n}", n, "y" if a > 5 else "n")]
    return events


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1, max_size=6))
def test_the_margin_is_that_of_the_two_best(scores: dict[str, float]) -> None:
    """It is the largest score less the largest of the others, whatever their order."""
    best = max(scores, key=lambda name: scores[name])
    others = [scores[name] for name in scores if name != best]
    assert margin_of(scores) == scores[best] - max(others, default=0.0)


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 9), st.integers(0, 40))
def test_the_recent_share_is_that_of_the_last(answers: list[bool], window: int, cut: int) -> None:
    """It equals the mean of the last W answers, through a restart at any point."""
    recent = RecentShare(window)
    for n, yes in enumerate(answers):
        if n == cut:
            state, recent = recent.state(), RecentShare(window)
            recent.load(state)
        recent.add(yes)
    newest = answers[-window:]
    assert (recent.n, recent.share) == (len(newest), sum(newest) / len(newest) if newest else None)


@pytest.mark.parametrize(
    ("scores", "record", "urgency"),
    [
        (UNSURE, {"decision": "review", "margin": 0.125}, 0.5),
        (SURE, {"decision": "auto", "margin": 0.875}, 0.0),
        ({"y": 0.625, "n": 0.375}, {"decision": "auto", "margin": 0.25}, 0.0),
        ({"y": 0.5, "n": 0.5}, {"decision": "review", "margin": 0.0}, 1.0),
    ],
)
def test_below_the_margin_is_review(scores: dict[str, float], record: dict[str, Any], urgency: float) -> None:
    """Below the threshold an answer is for review, at it no longer; the less sure, the more urgent."""
    decision = Prudence(producers().monitors[MONITOR]).decide("y", scores)
    assert decision is not None
    assert (decision.record(), decision.urgency) == (record, urgency)


def test_what_cannot_be_measured() -> None:
    """An answer of nothing is for review; a class without scores is not decided on; without a rule nothing is."""
    rule = Prudence(producers().monitors[MONITOR])
    nothing = rule.decide(None, None)
    assert nothing is not None
    assert (nothing.record(), nothing.urgency) == ({"decision": "review", "margin": None}, 1.0)
    assert rule.decide("y", None) is None
    assert Prudence(configured().monitors[MONITOR]).decide("y", UNSURE) is None


def test_a_producers_unsure_answer_goes_to_review() -> None:
    """The item says what a person needs, nothing that is sensitive or missing, and the counts add up."""
    seen = {"a": 1, "amount": None, "who": "Ann", "age": 30, "country": "FR"}
    events = [
        prediction("p0", 0, scores=UNSURE, features=seen, model_version="7"),
        prediction("p1", 1, scores=SURE, features=seen),
        prediction("p2", 2, features=seen),
    ]
    folded = fold(events, producers())
    assert folded.bodies("review") == [
        {
            "id": "p0", "monitor": MONITOR, "event": 0, "prediction": "y", "scores": UNSURE, "model": "7",
            "margin": 0.125, "priority": 0.5, "features": {"a": 1.0, "country": "FR"},
        }
    ]  # fmt: skip
    shown = view(folded)["review"]
    assert (shown["auto"], shown["review"], shown["window"]) == (1, 1, {"n": 2, "share": 0.5})


def test_rare_classes_come_first() -> None:
    """`rare` is the mean of the urgency and of 1 less the class's share among the answers before."""
    scores = {"fraud": 0.5625, "ok": 0.4375}
    events = [prediction(f"p{n}", n, prediction="ok", scores={"ok": 0.5625, "fraud": 0.4375}) for n in range(4)]
    folded = fold([*events, prediction("f", 9, prediction="fraud", scores=scores)], producers(priority="rare"))
    assert [item["priority"] for item in folded.bodies("review")] == [0.75, 0.25, 0.25, 0.25, 0.75]


def test_what_is_at_stake_comes_first() -> None:
    """`value:FEATURE` is the urgency times the size of the feature; 0 where it is missing."""
    amounts = (200.0, -50.0, None)
    events = [prediction(f"p{n}", n, scores=UNSURE, features={"amount": v}) for n, v in enumerate(amounts)]
    folded = fold(events, producers(priority="value:amount"))
    assert [item["priority"] for item in folded.bodies("review")] == [100.0, 25.0, 0.0]


def test_a_served_answer_carries_its_decision() -> None:
    """The champion's answers have decision and margin; those for review go to their own topic too, with the same."""
    folded = fold([asked(500), *taught(), *(asked(n) for n in range(100))], champions())
    served = {body["id"]: body for body in folded.bodies("prediction")}
    assert (served["q500"]["decision"], served["q500"]["margin"]) == ("review", None)
    assert {body["decision"] for body in served.values()} == {"auto", "review"}
    for body in served.values():
        margin = None if body["scores"] is None else margin_of(body["scores"])
        assert (body["margin"], body["decision"]) == (margin, "auto" if (margin or 0.0) >= 0.2 else "review")
    items = folded.bodies("review")
    assert [item["id"] for item in items] == [i for i, body in served.items() if body["decision"] == "review"]
    assert all(item["margin"] == served[item["id"]]["margin"] and item["model"] == "one" for item in items)
    assert view(folded)["review"]["auto"] + view(folded)["review"]["review"] == 101


def test_an_answer_on_request_carries_its_decision() -> None:
    """`predict` decides as the fold does; recorded, it is decided on as the champion's."""
    folded = fold(taught(), champions())
    snapshot = folded.stored[ComponentKey(MONITOR, "", "learner/one")]
    for n in (0, 50, 99):
        got = answer(champions(), {MONITOR: ("one", snapshot)}, MONITOR, {"a": n / 10})
        folded.outputs.clear()
        folded.feed([asked(n)])
        (served,) = folded.bodies("prediction")
        assert (got["decision"], got["margin"]) == (served["decision"], served["margin"])
    recorded = prediction("r", 20_000, scores=UNSURE, model_version="champion:one")
    folded.feed([recorded, prediction("s", 20_001, scores=UNSURE, model_version="7")])
    assert folded.bodies("review")[-1]["id"] == "r"
    assert view(folded)["review"]["window"]["n"] == 4


def test_numbers_go_by_the_spread_of_the_learners() -> None:
    """A number is for review where the learners' answers lie further apart than `spread`, or where one alone knows."""
    rule = Prudence(numbers().monitors[MONITOR])

    def said(*others: float | None) -> Any:
        decision = rule.decide(others[0], None, others)
        assert decision is not None
        return (*decision.record().values(), decision.urgency)

    assert said(1.0, 3.0) == ("auto", 2.0, 0.0)
    assert said(1.0, 3.0, -1.0) == ("review", 4.0, 0.5)
    assert said(1.0, None) == ("review", None, 1.0)
    assert said(None, 1.0, 2.0) == ("review", None, 1.0)


def numbers(**settings: Any) -> Config:
    """A regression with two learners."""
    learners = {"one": LINEAR, "two": LINEAR | {"parameters": {"l2": 1.0}}}
    return configured(**{"task": "regression", "learners": learners, "review": {"spread": 2.0}} | settings)


def test_served_numbers_are_decided() -> None:
    """The fold asks the learners' answers as made, and the record says the spread."""
    events = []
    for n in range(120):
        a = (n * 7 % 100) / 10
        events += [prediction(f"p{n}", n, prediction=1.0, features={"a": a}), label(f"p{n}", n, 20.0 * a)]
    folded = fold([*events, *(asked(n) for n in range(100))], numbers())
    served = folded.bodies("prediction")
    assert {body["decision"] for body in served} == {"auto", "review"}
    for body in served:
        answers = [folded.monitor.join.row(body["event"]).answers[name][0] for name in ("one", "two")]
        assert body["spread"] == max(answers) - min(answers)


def noisy(n: int) -> list[bytes]:
    """Producer's answers of which one in 20 is unsure, and every second one from the half on."""
    generator = np.random.default_rng(3)
    rates = np.where(np.arange(n) < n // 2, 0.05, 0.5)
    unsure = generator.uniform(size=n) < rates
    return [prediction(f"p{i}", 40 * i, scores=UNSURE if unsure[i] else SURE) for i in range(n)]


def test_a_rise_of_reviews_is_a_drift_of_the_predictions() -> None:
    """The share of review is a signal of its own, watched by `rate`, of the kind of predictions."""
    config = configured(review={"of": "producer", "margin": 0.25}, reference={"n": 300, "window": 100})
    folded = fold(noisy(1_200), config)
    found = [d for d in folded.bodies("drift") if d["signal"] == "review" and d["status"] == "drift"]
    assert [(d["kind"], d["detector"], d["direction"]) for d in found[:1]] == [("prediction", "rate", "up")]
    assert 600 <= found[0]["event"] < 700
    (signal,) = [s for s in view(folded)["signals"] if s["name"] == "review"]
    assert (signal["kind"], signal["phase"], signal["detectors"][0]["detector"]) == ("prediction", "watching", "rate")
    folded.feed([control("accept_reference", 50_000)])
    assert folded.monitor.review.signal.events_left == 300


@pytest.mark.parametrize("size", [1, 7, 1_000])
@pytest.mark.parametrize("who", ["producer", "champion"])
def test_neither_batches_nor_restarts_matter(size: int, who: str) -> None:
    """Any batch cut and a restart at any commit give the same items, alarms and state, bit for bit."""
    if who == "producer":
        raw = noisy(800)
        config = configured(review={"of": who, "margin": 0.25, "priority": "rare"}, reference={"n": 300, "window": 50})
    else:
        raw, config = [*taught(), *(asked(n) for n in range(100))], champions()
    straight = fold(raw, config, size=100)
    at = len(raw) * 2 // 3
    first = fold(raw[:at], config, size)
    second = first.restarted(config).feed(raw[at:], size)
    assert second.hashes == straight.hashes
    assert first.bodies("review") + second.bodies("review") == straight.bodies("review") != []
    told = [d for d in straight.bodies("drift") if d["signal"] == "review"]
    assert [d for d in first.bodies("drift") + second.bodies("drift") if d["signal"] == "review"] == told


def test_items_are_packed_for_their_topic() -> None:
    """The reviews of a commit are one row for `review_topic`, and single messages again when they are published."""
    folded = fold([prediction(f"p{n}", n, scores=UNSURE) for n in range(3)], producers())
    commit = folded.partition.commit()
    commit.outputs = folded.outputs
    (row,) = [r for r in outbox_rows(commit, producers(), 0) if r.kind == "reviews"]
    assert row.destination == "topic:anchorwatch.review"
    messages = messages_of(StoredRow(1, row, 0))
    assert [msgspec.json.decode(m.value or b"") for m in messages] == folded.bodies("review")


def test_without_a_rule_nothing_is_decided() -> None:
    """A monitor without `review` has no component, no signal and no figure of it."""
    folded = fold([*taught(), asked(1)], configured(learners={"one": BAYES}))
    assert "decision" not in folded.bodies("prediction")[0]
    assert {key.component for key in folded.stored} & {"review"} == set()
    assert view(folded)["review"] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"review": {"margin": 0.2}}, "no learner is configured"),
        ({"review": {"of": "producer"}}, "margin = None"),
        ({"review": {"of": "producer", "margin": 1.5}}, "margin = 1.5"),
        ({"review": {"of": "producer", "margin": 0.2, "spread": 1.0}}, "is for regression"),
        ({"review": {"of": "producer", "margin": 0.2, "priority": "soon"}}, "priority = 'soon'"),
        ({"review": {"of": "producer", "margin": 0.2, "priority": "value:b"}}, "there are: a"),
        ({"task": "regression", "learners": {"one": LINEAR}, "review": {"margin": 0.2}}, "no probabilities"),
        ({"task": "regression", "learners": {"one": LINEAR}, "review": {"spread": 1.0}}, "two or more"),
        ({"task": "regression", "review": {"of": "producer", "spread": 1.0}}, "cannot be told"),
        ({"task": "regression", "learners": {"one": LINEAR}, "review": {"spread": -1.0}}, "spread = -1.0"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(settings: dict[str, Any], message: str) -> None:
    """With the key, the reason and what to write instead."""
    with pytest.raises(ConfigurationError, match=message):
        configured(**settings)


def test_a_sensitive_number_sets_no_priority() -> None:
    """Its size would tell what must not be told."""
    with pytest.raises(ConfigurationError, match="there are: a, amount"):
        producers(priority="value:age")
