"""Model versions from the fold: when one is made, of which data it knows, and what a restored one is."""

from __future__ import annotations

import base64
import hashlib
import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learners.registry import restore_learner
from service.replay import replay, write_results
from service.versions import LearnedRange
from tests.service.fold_rig import START_MS, Folded, configured, control, fold, label, prediction

__all__: list[str] = []

BAYES = {"estimator": "river.naive_bayes.GaussianNB", "parameters": {}}
LEARNERS = {"one": BAYES, "another": {"estimator": "river.naive_bayes.GaussianNB"}}
SETTINGS: dict[str, Any] = {"learners": LEARNERS, "adaptation": {"min_warm": 20, "cooldown": 30}}
SECOND_MS = 1_000


def stream(first: int, until: int, *, flipped: bool = False) -> list[bytes]:
    """Predictions one second apart, each answered by its label half a second later."""
    events = []
    for n in range(first, until):
        value = 3.0 * (n % 2) + 0.1 * (n % 7)
        events.append(prediction(f"p{n}", n * SECOND_MS, features={"a": value}, prediction=None))
        events.append(label(f"p{n}", n * SECOND_MS + 500, "yn"[(n + flipped) % 2]))
    return events


def versions(folded: Folded) -> list[dict[str, Any]]:
    """All versions so far."""
    return folded.bodies("version")


def brief(folded: Folded) -> list[tuple[Any, ...]]:
    """Number, learner, reason and parent of all versions."""
    return [(v["version"], v["learner"], v["reason"], v["parent"]) for v in versions(folded)]


def restoration(version: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The parameters of a `restore` event as HTTP puts them together."""
    named = {name: version[name] for name in ("learner", "version", "sha256", "estimator", "learned")}
    return named | {"snapshot": base64.b64encode(version["snapshot"]).decode()} | more


def test_learners_are_started_when_the_reference_ends() -> None:
    """With the last of the reference's 50 predictions come of age, each learner is version 1, 2, … with the range of
    labels that it learned, its parameters and its figures; the snapshot is the learner of that very event."""
    folded = fold(stream(0, 50), configured(**SETTINGS))
    assert versions(folded) == []
    folded.feed(stream(50, 60))
    one, two = versions(folded)
    assert brief(folded) == [(1, "one", "started", None), (2, "another", "started", None)]
    # Prediction 49 comes of age with event 50, whose own label is learned later.
    assert one["learned"] == {
        "labels": 50, "first_event": 0, "last_event": 49, "first_ms": START_MS, "last_ms": START_MS + 49_000,
    }  # fmt: skip
    assert (one["estimator"], one["parameters"], one["generation"], one["champion"]) == (
        "river.naive_bayes.GaussianNB", {}, 0, "one",
    )  # fmt: skip
    assert one["metrics"]["n"] == one["metrics"]["window"]["n"] == 49
    assert one["sha256"] == hashlib.sha256(one["snapshot"]).hexdigest()
    assert one["bytes"] == len(one["snapshot"])
    assert restore_learner(two["snapshot"]).predict_one({"a": 0.0}) == "y"


def test_a_promotion_before_the_end_of_the_reference() -> None:
    """Makes a version at once; when the reference ends that learner is started all the same, with it as parent."""
    folded = fold(
        [*stream(0, 20), control("promote", 20_000, learner="another"), *stream(20, 60)], configured(**SETTINGS)
    )
    assert brief(folded) == [
        (1, "another", "promoted", None),
        (2, "one", "started", None),
        (3, "another", "started", 1),
    ]


def test_a_new_reference_starts_nobody_again() -> None:
    """Learners go on over an accepted reference, so its end makes no version."""
    folded = fold([*stream(0, 60), control("accept_reference", 60_000), *stream(60, 130)], configured(**SETTINGS))
    assert [v["reason"] for v in versions(folded)] == ["started", "started"]


def test_promotion_and_roll_back_are_versions() -> None:
    """Whoever becomes champion is a version with its newest as parent; a refused control makes none."""
    folded = fold([*stream(0, 60), control("promote", 60_000, learner="another")], configured(**SETTINGS))
    folded.feed([control("promote", 60_001, learner="nobody"), *stream(60, 70), control("roll_back", 70_001)])
    assert brief(folded)[2:] == [(3, "another", "promoted", 2), (4, "one", "rolled_back", 1)]
    promoted, back = versions(folded)[2:]
    assert (promoted["champion"], promoted["learned"]["labels"], promoted["event"]) == ("another", 60, 60)
    assert (back["champion"], back["learned"]["labels"], back["event"]) == ("one", 70, 70)


def drifted() -> Folded:
    """A change of concept after the start, upon which warm learners take over."""
    adaptation = SETTINGS["adaptation"] | {"watch": "own_error"}
    return fold([*stream(0, 100), *stream(100, 400, flipped=True)], configured(**SETTINGS | {"adaptation": adaptation}))


def test_a_replacement_is_two_versions() -> None:
    """The last of the retired and the first of the fresh learner: the one with all that it learned, the other with what
    it learned while it warmed, one generation later, and the retired one as its parent; neither has figures."""
    folded = drifted()
    made = [v for v in versions(folded) if v["learner"] == "one"]
    started, retired, replaced = made[:3]
    assert [v["reason"] for v in (started, retired, replaced)] == ["started", "retired", "replaced"]
    assert (retired["parent"], replaced["parent"]) == (started["version"], retired["version"])
    assert (retired["generation"], replaced["generation"]) == (0, 1)
    assert retired["event"] == replaced["event"]
    assert retired["learned"]["first_event"] == 0
    assert retired["metrics"] == {}
    assert replaced["metrics"] == {}
    assert replaced["learned"]["labels"] >= 20
    assert replaced["learned"]["last_event"] == retired["learned"]["last_event"]
    first = replaced["learned"]["first_event"]
    assert replaced["learned"]["labels"] == replaced["learned"]["last_event"] - first + 1
    assert restore_learner(retired["snapshot"]).predict_one({"a": 0.0}) == "y"
    assert restore_learner(replaced["snapshot"]).predict_one({"a": 0.0}) == "n"


@pytest.mark.parametrize("cut", [None, 480, 1_240])
def test_versions_of_concepts_that_recur_know_what_they_learned(cut: int | None) -> None:
    """The fresh learner: the labels of its trial, which the policy taught it; the recalled one: what it knew when it
    was retired, at the warning. A restart in either trial changes nothing."""
    adaptation = {"policy": "recurring", "min_warm": 40, "cooldown": 60, "sketch_n": 60, "watch": "own_error"}
    config = configured(learners={"one": BAYES}, adaptation=adaptation)
    events = [*stream(0, 200), *stream(200, 600, flipped=True), *stream(600, 700)]
    folded = fold(events[:cut], config)
    made = versions(folded)
    if cut is not None:
        policy = folded.monitor.committee.members["one"].policy
        assert policy is not None
        assert policy.newcomer is not None
        made += versions(folded.restarted(config).feed(events[cut:]))
    fresh, returned = (v for v in made if v["reason"] == "replaced")
    warned = fresh["learned"]["first_event"]
    assert fresh["learned"]["labels"] == fresh["learned"]["last_event"] - warned + 1 == 40
    assert (returned["learned"]["first_event"], returned["learned"]["last_event"]) == (0, warned - 1)
    assert returned["learned"]["labels"] == warned


@pytest.mark.parametrize("size", [1, 7, 200])
def test_batches_and_restarts_do_not_matter(size: int) -> None:
    """Versions, their numbers, hashes and bytes are the same under other batches, and under a restart after each."""
    expected = drifted()
    assert len(versions(expected)) > 4
    adaptation = SETTINGS["adaptation"] | {"watch": "own_error"}
    config = configured(**SETTINGS | {"adaptation": adaptation})
    events = [*stream(0, 100), *stream(100, 400, flipped=True)]
    again = fold(events, config, size)
    assert versions(again) == versions(expected)
    restarted, found = fold([], config), []
    # Around the replacements a restart comes after every single event.
    cuts = [0, *range(13 * size, 220, 13 * size), *range(220, 330, 1 if size == 1 else size), len(events)]
    for start, until in itertools.pairwise(cuts):
        restarted.feed(events[start:until])
        found += versions(restarted)
        restarted = restarted.restarted(config)
        assert restarted.partition.restarted == []
    assert found == versions(expected)
    assert restarted.feed([]).hashes == expected.hashes


def test_learners_replaced_by_one_event_keep_their_order_over_a_restart() -> None:
    """Learners that a drift replaces at once do so in order of configuration, although the answers of a prediction
    that waited in a checkpoint come back in another order."""
    adaptation = {"min_warm": 0, "cooldown": 30, "watch": "own_error"}
    config = configured(**SETTINGS | {"adaptation": adaptation, "labels": {"age": "20s"}})
    events = [*stream(0, 100), *stream(100, 160, flipped=True)]
    expected = fold(events, config)
    assert [v["learner"] for v in versions(expected)][2:] == ["one", "one", "another", "another"]
    folded, found = fold(events[:200], config), versions(fold(events[:200], config))
    for event in events[200:]:
        folded = folded.restarted(config).feed([event])
        found += versions(folded)
    assert found == versions(expected)
    assert folded.hashes == expected.hashes


def test_replay_prints_no_snapshot(tmp_path: Path) -> None:
    """A replay makes the same versions, but neither its summary nor its files hold any of their bytes."""
    adaptation = SETTINGS["adaptation"] | {"watch": "own_error"}
    events = [*stream(0, 100), *stream(100, 400, flipped=True)]
    replayed = replay(events, configured(**SETTINGS | {"adaptation": adaptation}), keep_outputs=True)
    assert [o.body for o in replayed.outputs if o.kind == "version"] == versions(drifted())
    write_results(replayed, tmp_path)
    written = [msgspec.json.encode(replayed.summary), *(path.read_bytes() for path in tmp_path.iterdir())]
    snapshots = [v["snapshot"] for v in versions(drifted())]
    assert not any(s in text or base64.b64encode(s) in text for s in snapshots for text in written)
    assert b"snapshot" not in b"".join(written)


def test_restore_puts_an_old_snapshot_back() -> None:
    """The learner of the event's snapshot stands in the learner's place from then on: the one that stood there is
    retired, the new version's parent is the restored one, and it goes on learning where that one stopped."""
    folded = drifted()
    started = versions(folded)[0]
    before = len(versions(folded))
    folded.feed([control("restore", 400_500, **restoration(started))])
    retired, restored = versions(folded)[before:]
    assert (retired["learner"], retired["reason"]) == ("one", "retired")
    assert (restored["reason"], restored["parent"], restored["metrics"]) == ("restored", started["version"], {})
    assert (restored["sha256"], restored["learned"]) == (started["sha256"], started["learned"])
    assert restored["generation"] == retired["generation"] + 1
    assert folded.monitor.committee.members["one"].answer({"a": 0.0})[0] == "y"
    folded.feed([*stream(401, 403), control("promote", 403_500, learner="another")])
    folded.feed([control("roll_back", 403_600)])
    last = versions(folded)[-1]
    assert (last["learner"], last["parent"]) == ("one", restored["version"])
    assert last["learned"]["labels"] == started["learned"]["labels"] + 2
    assert last["learned"]["last_event"] == 401
    audit = next(entry for entry in folded.bodies("audit") if entry["action"] == "restore")
    assert audit["parameters"]["sha256"] == started["sha256"]
    assert "snapshot" not in audit["parameters"]


def test_restore_may_promote_too() -> None:
    """With `promote` the restored learner becomes champion in the same event."""
    folded = fold(stream(0, 60), configured(**SETTINGS))
    two = versions(folded)[1]
    folded.feed([control("restore", 60_000, **restoration(two, promote=True))])
    assert brief(folded)[2:] == [
        (3, "another", "retired", 2),
        (4, "another", "restored", 2),
        (5, "another", "promoted", 4),
    ]
    assert folded.monitor.committee.champion == "another"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"learner": "nobody"}, "learners: one, another"),
        ({"estimator": "river.tree.HoeffdingTreeClassifier"}, "is river.naive_bayes.GaussianNB"),
        ({"sha256": "00"}, "the snapshot that was sent has"),
        ({"snapshot": "???"}, "base64"),
        ({"snapshot": 7}, ""),
        ({"version": 0}, "version = 0"),
        ({"learned": {"labels": 3}}, "learned.first_event"),
        ({"learned": "much"}, ""),
    ],
)
def test_a_refused_restoration_changes_nothing(change: dict[str, Any], why: str) -> None:
    """What does not fit is refused with the reason; the learner that stands stays and no version is made."""
    folded = fold(stream(0, 60), configured(**SETTINGS))
    before = folded.monitor.committee.learner_states()
    folded.feed([control("restore", 60_000, **restoration(versions(folded)[0]) | change)])
    (entry,) = folded.bodies("audit")
    assert why in entry["refused"]
    assert folded.monitor.committee.learner_states() == before
    assert len(versions(folded)) == 2


def test_a_restored_learner_is_not_replaced_on_evidence_against_another() -> None:
    """While a fresh learner waits to take over, an old version that answers without fault is put back: what was shown
    against the one that is gone does not count against it."""
    adaptation = {"min_warm": 40, "cooldown": 60, "watch": "own_error"}
    config = configured(learners={"one": BAYES}, adaptation=adaptation)
    events = [*stream(0, 200), *stream(200, 500, flipped=True), *stream(500, 800)]
    straight = fold(events, config)
    retired = next(v for v in versions(straight) if v["reason"] == "retired")
    _, second = (v["event"] for v in versions(straight) if v["reason"] == "replaced")
    restore = control("restore", (second - 4) * SECOND_MS - 100, **restoration(retired))
    cut = 2 * (second - 4)
    folded = fold(events[:cut], config).feed([restore, *events[cut:]])
    assert [v["reason"] for v in versions(folded)][-1] == "restored"
    numbers = [v["generation"] for v in versions(folded)]
    assert numbers[-1] == folded.monitor.committee.members["one"].replacements == 2


def test_another_learners_bytes_are_refused() -> None:
    """A snapshot of another kind, and bytes that are none, are refused even with the right hash."""
    folded = fold(stream(0, 60), configured(**SETTINGS))
    majority = folded.monitor.committee.members["majority"].learner.snapshot()
    for data, why in ((majority, "Majority"), (b"nothing", "cannot be used")):
        forged = versions(folded)[0] | {"snapshot": data, "sha256": hashlib.sha256(data).hexdigest()}
        folded.feed([control("restore", 60_000, **restoration(forged))])
        assert why in folded.bodies("audit")[-1]["refused"]


def test_other_learners_go_on_with_the_numbers() -> None:
    """After a change of the configured learners new ones are versions of their own at once, numbered on, without a
    parent."""
    folded = fold(stream(0, 60), configured(**SETTINGS))
    other = folded.restarted(configured(**SETTINGS | {"learners": {"three": BAYES}}))
    other.feed(stream(60, 130))
    assert brief(other) == [(3, "three", "started", None)]
    assert versions(other)[0]["learned"]["labels"] == 0


def test_a_store_without_versions_goes_on() -> None:
    """State of a program that knew no versions is loaded whole; what learns is versions from then on."""
    config = configured(**SETTINGS)
    folded = fold(stream(0, 60), config)
    for key in [key for key in folded.stored if key.component == "versions"]:
        del folded.stored[key]
    later = folded.restarted(config)
    assert later.partition.restarted == []
    later.feed([*stream(60, 70), control("promote", 70_000, learner="another")])
    assert brief(later) == [(1, "one", "started", None), (2, "another", "started", None), (3, "another", "promoted", 2)]


def test_a_range_knows_its_ends() -> None:
    """Labels come in any order: the ends are those of the predictions, and a range survives being shown."""
    learned = LearnedRange()
    assert LearnedRange.from_shown(learned.shown()) == learned
    for number in (5, 3, 9, 4):
        learned.add(number, 100 * number)
    assert learned == LearnedRange(4, 3, 9, 300, 900)
    assert LearnedRange.from_shown(learned.shown()) == learned
