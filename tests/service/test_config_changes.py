"""Whatever is changed in a configuration between two starts: the state that still fits goes on, and nothing crashes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.config import Config
from tests.service.fold_rig import Folded, configured, control, fold, label, prediction

__all__: list[str] = []

BAYES, TREE = {"estimator": "anchorwatch.NaiveBayes"}, {"estimator": "anchorwatch.HoeffdingTree"}
NUMBER, CODE = {"type": "numeric"}, {"type": "categorical"}
BASE: dict[str, Any] = {
    "features": {"a": NUMBER, "c": CODE},
    "learners": {"one": BAYES, "two": TREE},
    "segments": ["channel"],
    "canary": {"model": "probe"},
    "review": {"margin": 0.3, "of": "producer"},
    "labels": {"age": "5s"},
}
LINE = {"one": {"estimator": "anchorwatch.LinearRegression"}}
# What replaces a part of BASE; None leaves it out.
CHANGES: dict[str, dict[str, Any]] = {
    "a feature more": {"features": {"a": NUMBER, "b": NUMBER, "c": CODE}},
    "a feature less": {"features": {"a": NUMBER}},
    "a feature first": {"features": {"0": CODE, "a": NUMBER, "c": CODE}},
    "other names": {"features": {"b": NUMBER, "d": CODE}},
    "a feature not learned": {"features": {"a": NUMBER | {"learn": False}, "c": CODE}},
    "a feature not watched": {"features": {"a": NUMBER, "c": CODE | {"watch": False}}},
    "no feature watched": {"features": {"a": NUMBER | {"watch": False}, "c": CODE | {"watch": False}}},
    "no features": {"features": {}},
    "a sensitive feature": {"features": {"a": NUMBER, "c": CODE | {"sensitive": True}}, "hash_key": "secret"},
    "other detectors": {"features": {"a": NUMBER | {"detectors": ["ks", "psi"]}, "c": CODE}},
    "a trailing reference": {"reference": {"n": 50, "window": 30, "mode": "trailing"}},
    "another reference": {"reference": {"n": 60, "window": 20}},
    "regression": {"task": "regression", "learners": LINE, "canary": None, "review": None},
    "regression alone": {"task": "regression", "learners": {}, "canary": None, "review": None},
    "a context": {"detectors": {"context": {"enabled": True}}},
    "fewer classes": {"max_classes": 2},
    "fewer categories": {"max_categories": 1},
    "error classes": {"error_classes": ["y"]},
    "another age": {"labels": {"age": "9s"}},
    "ages by delay": {"labels": {}},
    "small caps": {"labels": {"age": "5s", "correction_window": 1, "max_pending": 2, "max_early": 1}},
    "no canary": {"canary": None},
    "another canary": {"canary": {"model": "two"}},
    "no review": {"review": None},
    "review of the champion": {"review": {"margin": 0.3}},
    "rare first": {"review": {"margin": 0.3, "priority": "rare"}},
    "another seed": {"seed": 2},
    "a small window": {"metrics_window": 10},
    "no promotion": {"promotion": {"mode": "off"}},
    "no learners": {"learners": {}, "canary": None},
    "swapped learners": {"learners": {"two": TREE, "one": BAYES}},
    "another learner": {"learners": {"one": TREE, "two": TREE}},
    "another probe": {"probe": TREE},
    "no adaptation": {"adaptation": {"policy": "none"}},
    "another policy": {"adaptation": {"policy": "recurring"}},
    "another cooldown of learners": {"adaptation": {"cooldown": 5}},
    "another cooldown": {"cooldown": 5},
    "blocks of errors": {"error_block": 5},
    "blocks of missing values": {"quality_block": 5},
    "no segments": {"segments": None},
    "other segments": {"segments": ["c"]},
    "one segment": {"max_segments": 1},
}


def changed(change: str | None) -> Config:
    """BASE with a change."""
    merged = BASE | ({} if change is None else CHANGES[change])
    return configured(**{key: value for key, value in merged.items() if value is not None})


def stream(first: int, until: int, *, numbers: bool = False) -> list[bytes]:
    """Predictions with scores, or numbers, every other without an answer, and labels three predictions later."""
    events = []
    for n in range(first, until):
        said: dict[str, Any] = {"prediction": None} if n % 2 else {"prediction": 1.0}
        if not numbers and not n % 2:
            said = {"prediction": "y", "scores": {"y": 0.6, "n": 0.4}}
        features = {"a": 3.0 * (n % 2), "c": "uvw"[n % 3]}
        events.append(prediction(f"p{n}", n * 1_000, features=features, segment={"channel": "web"}, **said))
        if n >= first + 3:
            events.append(label(f"p{n - 3}", n * 1_000 + 500, 1.0 + n % 2 if numbers else "yn"[n % 2]))
    return events


@pytest.fixture(scope="module")
def before() -> Folded:
    """The state before the change."""
    return fold(stream(0, 120), changed(None))


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_change_is_survived_and_settles(change: str, before: Folded) -> None:
    """The monitor goes on, refuses no event, and another start with the changed configuration begins nothing anew."""
    config, numbers = changed(change), change.startswith("regression")
    after = before.restarted(config).feed(stream(120, 260, numbers=numbers))
    assert after.rejects == []
    again = after.restarted(config)
    assert again.partition.restarted == []
    more = stream(260, 330, numbers=numbers)
    assert again.feed(more).hashes == after.feed(more).hashes
    back = again.restarted(changed(None)).feed([control("tick", 400_000)])
    assert back.rejects == []


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_monitor_begins_with_any_of_them(change: str) -> None:
    """From nothing, too, and with a new reference in the middle."""
    numbers = change.startswith("regression")
    events = [
        *stream(0, 100, numbers=numbers),
        control("accept_reference", 100_000),
        *stream(100, 220, numbers=numbers),
    ]
    folded = fold(events, changed(change))
    assert folded.rejects == []
    assert fold(events, changed(change), size=37).hashes == folded.hashes


def test_what_waits_is_learned_under_the_names_that_it_had() -> None:
    """Predictions that wait over a change of features: each value stays with its name, what is new or of another type
    is missing, and values of names that are gone are forgotten."""
    both = {"a": NUMBER, "b": NUMBER, "c": CODE}
    tree = {"one": {"estimator": "anchorwatch.HoeffdingTree", "parameters": {"budget_bytes": 1 << 20}}}

    def features_of(after: dict[str, Any]) -> list[Any]:
        events = [prediction("p0", 0, features={"a": 1.0, "b": 2.0, "c": "u"}), control("tick", 1)]
        folded = fold(events, configured(features=both, learners=tree)).restarted(
            configured(features=after, learners=tree)
        )
        features = folded.monitor.join.row(0).features
        assert folded.feed([label("p0", 2, "y"), control("tick", 5_000)]).rejects == []
        assert folded.monitor.committee.members["one"].failures == 0
        return features

    assert features_of(both) == [1.0, 2.0, "u"]
    assert features_of({"0": NUMBER, "c": CODE, "b": NUMBER}) == [None, 2.0, "u"]
    assert features_of({"b": CODE, "a": NUMBER}) == [1.0, None]
    assert features_of({"a": NUMBER | {"learn": False}, "c": CODE}) == ["u"]
    assert features_of({}) == []


SMALL_TREE = {"estimator": "anchorwatch.HoeffdingTree", "parameters": {"budget_bytes": 1 << 20}}
TWO = {"one": BAYES, "two": SMALL_TREE}


def _told(folded: Folded) -> list[tuple[Any, ...]]:
    return [(v["learner"], v["reason"], v["parent"], v["learned"]["labels"]) for v in folded.bodies("version")]


def test_a_learner_that_is_added_takes_nothing_from_the_others() -> None:
    """They, their scores, policies and the champion go on; the new one is a version at once."""
    before = fold([*stream(0, 200), control("promote", 200_000, learner="two")], configured(learners=TWO))
    after = before.restarted(configured(learners=TWO | {"three": BAYES}))
    members = after.monitor.committee.members
    assert after.partition.restarted == ["m/disagreement", "m/contest", "m/learner/three"]
    for name in TWO:
        assert members[name].learner.snapshot() == before.monitor.committee.members[name].learner.snapshot()
        assert members[name].learned == before.monitor.committee.members[name].learned
        old = before.monitor.scoreboard.scores[name]
        assert after.monitor.scoreboard.scores[name].summary() == old.summary()
    assert after.monitor.committee.champion == "two"
    assert _told(after.feed(stream(200, 210))) == [("three", "started", None, 0)]


@pytest.mark.parametrize("changed_one", ["one", "two"])
def test_a_learner_that_is_changed_begins_anew_alone(changed_one: str) -> None:
    """It knows nothing, has no scores and no evidence, and is a version whose parent is the newest of its name; where
    it was champion by promotion, the configured one is champion again, and the trail says so."""
    before = fold([*stream(0, 200), control("promote", 200_000, learner="two")], configured(learners=TWO))
    newest = max(v["version"] for v in before.bodies("version") if v["learner"] == changed_one)
    after = before.restarted(configured(learners=TWO | {changed_one: SMALL_TREE | {"parameters": {"grace_n": 50.0}}}))
    gone = changed_one == "two"
    wanted = ["m/disagreement", "m/contest", f"m/learner/{changed_one}"]
    assert [c for c in after.partition.restarted if "probe" not in c] == [*wanted, *["m/champion"] * gone]
    committee = after.monitor.committee
    assert committee.champion == ("one" if gone else "two")
    assert committee.members[changed_one].learned.labels == 0
    assert changed_one not in after.monitor.scoreboard.scores
    after.feed(stream(200, 330))
    assert (changed_one, "started", newest) in [told[:3] for told in _told(after)]
    figures = after.monitor.scoreboard.summaries()[changed_one]
    assert figures["n"] <= 133


def test_a_changed_policy_keeps_what_was_learned() -> None:
    """Only what waits in the policies is dropped."""
    before = fold(stream(0, 200), configured(learners=TWO))
    after = before.restarted(configured(learners=TWO, adaptation={"policy": "recurring", "cooldown": 7}))
    assert after.partition.restarted == ["m/policies"]
    for name in TWO:
        learner = after.monitor.committee.members[name].learner
        assert learner.snapshot() == before.monitor.committee.members[name].learner.snapshot()
    assert after.feed(stream(200, 260)).bodies("version") == []


def test_nobody_is_promoted_on_the_evidence_of_another_estimator() -> None:
    """A challenger that was about to be promoted and is changed has to show anew that it is better, and predictions
    that its predecessor answered do not count."""
    flat, decaying = {"estimator": "river.dummy.PriorClassifier"}, BAYES | {"parameters": {"decay": 0.999}}
    settings: dict[str, Any] = {"labels": {"age": "2s"}, "promotion": {"min_n": 100, "cooldown": 10}}
    signs = np.random.default_rng(1).normal(size=300).tolist()
    events = []
    for n, a in enumerate(signs):
        events.append(prediction(f"p{n}", n * 1_000, features={"a": a}, prediction=None))
        events.append(label(f"p{n}", n * 1_000 + 500, "y" if a > 0.0 else "n"))
    before = fold(events[:190], configured(learners={"flat": flat, "good": BAYES}, **settings))
    after = before.restarted(configured(learners={"flat": flat, "good": decaying}, **settings)).feed(events[190:])
    promoted = [b for b in after.bodies("audit") if b["action"] == "promoted"]
    assert promoted
    assert promoted[0]["event"] >= 95 + 100
    version = next(v for v in after.bodies("version") if v["reason"] == "promoted")
    assert version["learned"]["labels"] >= 95


def test_a_start_says_what_begins_anew_and_who_is_champion() -> None:
    """The configured champion is the first one: where another was promoted the command that changes it is named."""
    before = fold([*stream(0, 80), control("promote", 80_000, learner="two")], configured(learners=TWO))
    assert before.restarted(configured(learners=TWO)).partition.remarks() == []
    remarks = before.restarted(configured(learners=TWO, champion="one", metrics_window=9)).partition.remarks()
    assert any("m/scores begins anew" in remark for remark in remarks)
    assert remarks[-1].startswith("m: champion is 'two' by promotion, not 'one' as configured")
    assert remarks[-1].endswith("anchorwatch models promote m --learner one")
