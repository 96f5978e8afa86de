"""The committee: who answers, who learns, who is champion, and what survives a restart."""

from __future__ import annotations

from typing import Any

from service.deferred import Moment
from service.members import Committee, Lesson
from service.scoreboard import Scoreboard
from stream.join import PendingPrediction
from tests.service.fold_rig import MONITOR, configured

BAYES = {"estimator": "river.naive_bayes.GaussianNB"}


def committee() -> Committee:
    """Two learners, the probe, the majority."""
    return Committee(configured(learners={"one": BAYES, "two": BAYES}).monitors[MONITOR])


def answers(members: Committee, x: dict[str, float | str]) -> dict[str, Any]:
    """What every member says, at once."""
    asked = members.ask([x.get("a")])
    members.work()
    return asked


def teach(members: Committee, label: str, event: int = 0, *, in_reference: bool = False) -> None:
    """One example of that class."""
    lesson = Lesson(Moment(members.order + 1, event, 0), label)
    members.learn(lesson, [1.0], in_reference=in_reference)


def test_roles() -> None:
    """The first learner is champion; the probe and the baseline have roles of their own."""
    members = committee()
    roles = {name: members.role(name) for name in members.members}
    assert roles == {"one": "champion", "two": "challenger", "probe": "probe", "majority": "baseline"}


def test_the_probe_learns_in_the_reference_and_answers_when_frozen() -> None:
    """The probe never learns beyond its reference and says nothing before it is frozen."""
    members = committee()
    teach(members, "y", in_reference=True)
    assert set(answers(members, {"a": 1.0})) == {"one", "two", "majority"}
    members.freeze_probe()
    before = members.learner_states()
    teach(members, "n")
    after = members.learner_states()
    assert {name for name in before if before[name] != after[name]} == {"one", "two", "majority"}
    assert answers(members, {"a": 1.0})["probe"][0] == "y"


def test_a_drift_replaces_once_the_fresh_learner_is_warm() -> None:
    """After a drift the fresh learner takes over with the label that makes it warm, and the old one's past is gone."""
    settings: dict[str, Any] = {"learners": {"one": BAYES}, "adaptation": {"min_warm": 3, "cooldown": 10, "alpha": 1.0}}
    members = Committee(configured(**settings).monitors[MONITOR])
    for _ in range(5):
        teach(members, "y", 5)
    members.alarm(Moment(members.order, 5, 50), is_drift=True)
    for event in range(5, 9):
        teach(members, "n", event)
    done = [entry for _, entry, _ in members.work()]
    assert done == [{"action": "replaced", "learner": "one", "event": 7, "generation": 1}]
    assert answers(members, {"a": 1.0})["one"] == ["n", {"n": 1.0}]


def test_a_restart_keeps_champion_learners_and_counts() -> None:
    """A loaded committee answers alike and knows whom to roll back to."""
    one, other = committee(), committee()
    teach(one, "y", in_reference=True)
    one.promote("two")
    one.members["one"].failures = 3
    other.load(one.state(), one.learner_states(), one.policy_states(), anew=set())
    assert answers(other, {"a": 1.0}) == answers(one, {"a": 1.0})
    assert (other.champion, other.members["one"].failures, other.roll_back(), other.champion) == ("two", 3, True, "one")


def test_a_scoreboard_restarts_alike() -> None:
    """Scores stored and loaded take corrections alike; coverage counts by the class that was predicted."""
    config = configured().monitors[MONITOR]
    one, other = Scoreboard(config), Scoreboard(config)
    rows = [
        PendingPrediction(f"p{n}", 0, "1", "yn"[n % 2], None, "y", False, [], {}, label="y" if n < 4 else None)
        for n in range(6)
    ]
    for row in rows:
        one.cover(row)
        if row.label is not None:
            one.add(row)
    assert one.coverage == {"y": [3, 2], "n": [3, 2]}
    other.load(one.state())
    rows[0].label = "n"
    for board in (one, other):
        board.revise(rows[0], "y")
    assert one.summaries() == other.summaries()
    assert one.summaries()["producer:1"]["accuracy"] == 0.25


def test_a_fresh_learner_that_was_dropped_is_not_compared_any_more() -> None:
    """A warning that goes stale in the middle of a block leaves the same state as the same lessons in two blocks."""
    settings: dict[str, Any] = {"learners": {"one": BAYES}, "adaptation": {"min_warm": 0, "cooldown": 1}}
    states = []
    for cut in (None, 7):
        members = Committee(configured(**settings).monitors[MONITOR])
        teach(members, "y", 0)
        members.alarm(Moment(members.order, 0, 0), is_drift=False)
        for event in range(20):
            teach(members, "yn"[event % 2], event)
            if event == cut:
                members.work()
        states.append(members.policy_states())
    assert states[0] == states[1]
