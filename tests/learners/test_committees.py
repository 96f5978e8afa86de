"""Committees answer as their rules say, score before they learn, and are the same bits in blocks as one by one."""

from __future__ import annotations

import math
from typing import Any

import pytest

from learners import LearnerError
from learners._committee_learner import CommitteeLearner
from learners._voters import Voter
from learners.base import Features, Label, Task
from learners.best_expert import BestExpert
from learners.build import build_learner
from learners.decay import Decay
from learners.errors import EstimatorRefusedError
from learners.majority_vote import MajorityVote
from learners.policies import build_policy
from learners.registry import LEARNERS, restore_learner
from learners.weighted_vote import WeightedVote
from tests.learners.drifting import concepts, errors
from tests.learners.streams import labelled

__all__: list[str] = []

TREE = {"estimator": "anchorwatch.HoeffdingTree"}
BAG = {"estimator": "anchorwatch.OzaBaggingAdwin", "parameters": {"trees": 2}}
BAYES = {"estimator": "river.naive_bayes.GaussianNB"}
COMMITTEES = (BestExpert, MajorityVote, WeightedVote)
REGISTERED = sorted(name for name in LEARNERS if "vote" in name or "expert" in name)


class _Says:
    """A member that says what it is told to, and counts what it is asked to learn."""

    def __init__(self, said: Any, task: Task = "classification") -> None:
        self.said, self.task = said, task
        self.learned: list[Label] = []
        self.kept = 1.0

    def predict_one(self, x: Features) -> Any:
        """Its answer, or its failure."""
        if isinstance(self.said, LearnerError):
            raise self.said
        return self.said

    def predict_proba_one(self, x: Features) -> dict[str, float]:
        """Its answer, or its failure."""
        said = self.predict_one(x)
        return said if isinstance(said, dict) else {} if said is None else {said: 1.0}

    def learn_one(self, x: Features, y: Label) -> None:
        """Counted, or refused by one that fails."""
        if isinstance(self.said, LearnerError):
            raise self.said
        self.learned.append(y)

    def forget(self, keep: float) -> None:
        """Noted."""
        self.kept *= keep


def _committee(kind: type[CommitteeLearner], *said: Any, task: Task = "classification", **parameters: Any) -> Any:
    members = [TREE if task == "classification" else {"estimator": "river.dummy.StatisticRegressor",
               "parameters": {"statistic": {"estimator": "river.stats.Mean"}}} for _ in said]  # fmt: skip
    committee: Any = kind(members, task=task, **parameters)  # type: ignore[call-arg, arg-type]
    committee._voters.voters = [Voter(_Says(one, task)) for one in said]  # type: ignore[arg-type]
    return committee


def test_weights_are_the_log_odds_of_faded_errors() -> None:
    """Against the definition, over a run of hits and misses, by a naive sum over the whole past."""
    vote = _committee(WeightedVote, {"y": 0.9, "n": 0.1}, {"y": 0.2, "n": 0.8}, fading=0.9)
    labels = "ynyyynyyyyny"
    for label in labels:
        vote.learn_one({}, label)
    ages = [0.9 ** (len(labels) - 1 - i) for i in range(len(labels))]
    weights = []
    for wrong in ("n", "y"):
        loss = math.fsum(age for age, label in zip(ages, labels, strict=True) if label == wrong)
        error = (loss + 1.0) / (math.fsum(ages) + 2.0)
        weights.append(max(0.0, math.log((1.0 - error) / error)))
    assert weights[0] > 0.0 == weights[1]
    assert vote.predict_proba_one({}) == pytest.approx({"y": 0.9, "n": 0.1})
    vote.learn_one({}, "n")
    for _ in range(3):
        vote.learn_one({}, "n")
    assert vote.predict_one({}) == "n"


def test_numbers_are_weighted_by_inverse_squared_errors() -> None:
    """Errors of 1 and 3 give weights of 9 to 1."""
    vote = _committee(WeightedVote, 11.0, 7.0, None, task="regression")
    vote.learn_one({}, 10.0)
    assert vote.predict_one({}) == pytest.approx((9.0 * 11.0 + 7.0) / 10.0)
    assert vote.predict_proba_one({}) == {}


def test_one_vote_each_and_a_median() -> None:
    """Probabilities are shares of votes, ties go to the first in text order; numbers give the median."""
    vote = _committee(MajorityVote, "b", "a", {"a": 0.4, "b": 0.6}, None)
    assert vote.predict_proba_one({}) == pytest.approx({"a": 1 / 3, "b": 2 / 3})
    assert _committee(MajorityVote, "b", "a").predict_one({}) == "a"
    assert _committee(MajorityVote, 1.0, 50.0, 3.0, task="regression").predict_one({}) == 3.0
    assert _committee(MajorityVote, 1e308, 1e308, task="regression").predict_one({}) == 1e308


def test_the_worst_is_replaced_at_the_period_and_heard_when_warm() -> None:
    """At the tenth label, and not before, the one that is always wrong is fresh, and silent for `warm_n` labels."""
    vote = _committee(MajorityVote, "y", "n", "y", period=10, warm_n=5)
    before = [voter.learner for voter in vote._voters.voters]
    for n in range(10):
        assert vote.replaced_n == 0, n
        vote.learn_one({"a": 1.0}, "y")
    assert [voter.learner is old for voter, old in zip(vote._voters.voters, before, strict=True)] == [True, False, True]
    assert vote.records[1]["generation"] == 1
    assert vote.replaced_n == 1
    for _ in range(4):
        vote.learn_one({"a": 1.0}, "n")
    assert vote.predict_proba_one({"a": 1.0}) == {"y": 1.0}
    vote.learn_one({"a": 1.0}, "n")
    assert vote.predict_proba_one({"a": 1.0}) == pytest.approx({"n": 1 / 3, "y": 2 / 3})


def test_nobody_is_replaced_within_the_margin() -> None:
    """Members that are equally bad all stay."""
    vote = _committee(MajorityVote, "n", "n", period=5)
    for _ in range(20):
        vote.learn_one({}, "y")
    assert vote.replaced_n == 0


def test_the_leader_changes_for_a_clear_gain_only_and_not_at_once() -> None:
    """Against a naive twin that recomputes faded losses from the whole past."""
    best = _committee(BestExpert, "y", "n", fading=0.9, margin=0.1, hold_n=8)
    labels = "yyyynnyynnnnnnnnyyyyyyyyyyynynynynynyn"
    leader, since, past = 0, 0, [[], []]  # type: ignore[var-annotated]
    for label in labels:
        assert best.predict_one({}) == "yn"[leader]
        best.learn_one({}, label)
        since += 1
        ages = [0.9 ** (len(past[0]) - i) for i in range(len(past[0]) + 1)]
        for own, said in zip(past, "yn", strict=True):
            own.append(float(said != label))
        losses = [math.fsum(a * loss for a, loss in zip(ages, own, strict=True)) / math.fsum(ages) for own in past]
        other = 1 - leader
        if since >= 8 and losses[leader] - losses[other] > 0.1:
            leader, since = other, 0
        assert best.leader == leader
    assert best.switches_n == 2


def test_a_leader_without_an_answer_is_spoken_for() -> None:
    """The best of those that know something answers; None where nobody does."""
    best = _committee(BestExpert, None, "b", "a")
    best._voters.voters[1].loss, best._voters.voters[1].weight = 3.0, 4.0
    best._voters.voters[2].loss, best._voters.voters[2].weight = 2.0, 4.0
    assert best.predict_one({}) == "a"
    assert _committee(BestExpert, None, None).predict_one({}) is None


@pytest.mark.parametrize("kind", COMMITTEES)
def test_a_failing_member_degrades_only_itself(kind: type[CommitteeLearner]) -> None:
    """Its failures are counted, it is scored as wrong, and the others answer and learn on."""
    committee = _committee(kind, LearnerError("no"), "y", "y")
    for _ in range(5):
        committee.learn_one({}, "y")
    assert committee.predict_one({}) == "y"
    assert [record["failures"] for record in committee.records] == [10, 0, 0]
    assert [record["loss"] for record in committee.records] == [1.0, 0.0, 0.0]
    assert [len(voter.learner.learned) for voter in committee._voters.voters[1:]] == [5, 5]


def test_where_all_fail_the_example_is_refused() -> None:
    """The first member's error says why, and nobody is scored."""
    vote = _committee(WeightedVote, LearnerError("first"), LearnerError("second"))
    with pytest.raises(LearnerError, match="first"):
        vote.learn_one({}, "y")
    assert vote.learned_n == 0
    assert vote.records[0]["loss"] is None


@pytest.mark.parametrize("label", ["ten", float("nan")])
def test_what_is_no_number_is_refused(label: Any) -> None:
    """A regression committee refuses the label before any member sees it."""
    vote = _committee(WeightedVote, 1.0, task="regression")
    with pytest.raises(LearnerError, match="no number"):
        vote.learn_one({}, label)
    assert vote._voters.voters[0].learner.learned == []


@pytest.mark.parametrize("name", REGISTERED)
@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_blocks_are_the_same_bits_as_one_by_one(name: str, size: int) -> None:
    """Answers between labels, replaced members and refused labels included, however the stream is cut."""
    entry = LEARNERS[name]
    ops: list[tuple[Features, Label | None]] = []
    for i, (features, truth) in enumerate(labelled(entry.task, 240)):
        if i % 3:
            ops.append((features, None))
        if i % 4:
            ops.append((features, truth))
        if i % 50 == 9 and entry.task == "regression":
            ops.append((features, "text"))
    alone, blocks = entry.build(1), entry.build(1)
    wanted: list[Any] = []
    for x, y in ops:
        if y is None:
            wanted.append(alone.predict_proba_one(x) if entry.task == "classification" else alone.predict_one(x))
            continue
        try:
            wanted.append(alone.learn_one(x, y))  # type: ignore[func-returns-value]
        except LearnerError as error:
            wanted.append(str(error))
    assert isinstance(blocks, CommitteeLearner)
    got = [r for at in range(0, len(ops), size) for r in blocks.run_examples(ops[at : at + size])]
    assert [str(r) if isinstance(r, LearnerError) else r for r in got] == wanted
    assert blocks.snapshot() == alone.snapshot()


def test_members_get_blocks() -> None:
    """A member that takes blocks gets each stretch without a replacement in one call."""
    seen: list[int] = []

    class _Blocks(_Says):
        def run_examples(self, ops: Any) -> list[Any]:
            seen.append(len(ops))
            return [{"y": 1.0} if y is None else None for _, y in ops]

    vote = _committee(MajorityVote, "y", "y", period=5)
    vote._voters.voters[0].learner = _Blocks("y")
    vote.run_examples([({}, "y"), ({}, None)] * 6)
    assert seen == [5 * 2 + 4, 2 + 2]


@pytest.mark.parametrize("kind", COMMITTEES)
def test_a_committee_recovers_with_its_best_member(kind: type[CommitteeLearner]) -> None:
    """After a change it errs little more than its best member alone, and far less than its worst."""
    stream = concepts("AB", 700)
    members = [TREE, BAG, BAG]
    committee = sum(errors(kind(members), stream)[700:])  # type: ignore[arg-type]
    tree, bag = (
        sum(errors(build_learner(m["estimator"], m.get("parameters", {}), task="classification", seed=1), stream)[700:])  # type: ignore[arg-type]
        for m in (TREE, BAG)
    )
    assert committee <= 1.15 * min(tree, bag)
    assert bag < 0.8 * tree


def test_spread_is_the_share_that_differs() -> None:
    """Of three members one differs always: a third; agreement is 0; before any label there is none."""
    vote = _committee(MajorityVote, "y", "y", "n", period=10_000)
    assert vote.spread() is None
    assert vote.newest_spread() is None
    for _ in range(150):
        vote.learn_one({}, "y")
    assert vote.spread() == pytest.approx(1 / 3)
    vote._voters.voters[2].learner.said = "y"
    for _ in range(50):
        vote.learn_one({}, "y")
    assert vote.newest_spread() == 0.0
    assert vote.spread() == pytest.approx(1 / 6)


def test_spread_of_numbers_is_in_deviations_of_the_labels() -> None:
    """Answers that lie 2 apart on labels of deviation 5 spread by 1 / 5; constant labels have no scale."""
    vote = _committee(WeightedVote, 1.0, 3.0, task="regression")
    vote.learn_one({}, 10.0)
    assert vote.spread() is None
    vote.learn_one({}, 20.0)
    assert vote.spread() == pytest.approx(0.2)


def test_repair_replaces_the_worst_and_forget_reaches_members() -> None:
    """The one with the highest loss is fresh; a single member stays; records keep their means when they fade."""
    vote = _committee(WeightedVote, "y", "n", "y")
    for label in "yyyn":
        vote.learn_one({}, label)
    before = [record["loss"] for record in vote.records]
    vote.forget(0.25)
    assert [record["loss"] for record in vote.records] == before
    assert [voter.learner.kept for voter in vote._voters.voters] == [0.25] * 3
    assert vote.repair() == 1
    assert [record["generation"] for record in vote.records] == [0, 1, 0]
    assert _committee(WeightedVote, "y").repair() == 0
    with pytest.raises(ValueError, match="keep = 0"):
        vote.forget(0.0)


def test_a_committee_of_which_none_can_forget_says_so() -> None:
    """Told to forget it refuses and stays as it was; re-weighting then replaces it warm, and decay rebuilds it."""
    members = [{"estimator": "river.naive_bayes.GaussianNB"}, {"estimator": "river.tree.HoeffdingTreeClassifier"}]
    vote, mixed = WeightedVote(members), WeightedVote([*members, TREE])
    for x, y in labelled("classification", 60):
        vote.learn_one(x, y)
    before = vote.snapshot()
    with pytest.raises(LearnerError, match="no member"):
        vote.forget(0.5)
    assert vote.snapshot() == before
    assert (vote.can_forget, mixed.can_forget) == (False, True)
    nested = WeightedVote([{"estimator": "anchorwatch.MajorityVote", "parameters": {"members": members}}])
    assert not nested.can_forget
    policy = build_policy("reweight", lambda _: WeightedVote(members), lambda: vote, {"min_warm": 5, "keep": 0.5})
    assert policy is not None
    assert (policy.on_drift(3), policy.background is None) == (None, False)
    spec: dict[str, Any] = {"estimator": "anchorwatch.WeightedVote", "parameters": {"members": members}}
    decay = Decay(**spec, half_life_n=30, refit_every=10)
    for x, y in labelled("classification", 60):
        decay.learn_one(x, y)
    inner: Any = decay._inner
    assert inner.learned_n < 60


def test_members_of_one_estimator_have_seeds_of_their_own() -> None:
    """Three forests of one configuration do not say the same, and a second committee repeats them."""
    one, other = (WeightedVote(estimator="anchorwatch.OzaBaggingAdwin", n=3, parameters={"trees": 1}) for _ in "ab")
    for x, y in labelled("classification", 60):
        one.learn_one(x, y)
        other.learn_one(x, y)
    assert len({voter.learner.snapshot() for voter in one._voters.voters}) == 3
    assert one.snapshot() == other.snapshot()


NESTED = {"estimator": "anchorwatch.MajorityVote", "parameters": {"members": [TREE, BAYES]}}
DEEP = {"estimator": "anchorwatch.BestExpert", "parameters": {"members": [NESTED]}}


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"members": [TREE, {"estimator": "anchorwatch.Tree"}]}, ["members[1]", "HoeffdingTree"]),
        ({"members": [{"estimator": "river.tree.Nothing"}]}, ["members[0]", "river.tree.Nothing"]),
        ({"members": [TREE, {"name": "x"}]}, ["members[1] = {'name': 'x'}", "estimator"]),
        ({"members": ["anchorwatch.HoeffdingTree"]}, ["members[0]", "estimator"]),
        ({"members": [TREE, BAYES | {"parameters": 5}]}, ["members[1]", "parameters"]),
        ({"members": 5}, ["members = 5", "estimator"]),
        ({"estimator": 5}, ["members[0]", "'estimator': 5"]),
        ({"members": [TREE], "estimator": "anchorwatch.HoeffdingTree"}, ["not both"]),
        ({"estimator": "anchorwatch.HoeffdingTree", "n": 0}, ["0 members", "from 1 to 100"]),
        ({"members": [DEEP]}, ["nested 3 deep", "2 or less"]),
        ({"estimator": "anchorwatch.BestExpert", "parameters": {"members": [NESTED]}}, ["nested 3 deep"]),
        ({"members": [TREE], "fading": 0.0}, ["fading = 0.0", "(0, 1]"]),
        ({"members": [TREE], "seed": 3}, ["no parameter 'seed'"]),
    ],
)
@pytest.mark.parametrize("kind", COMMITTEES)
def test_what_cannot_be_a_committee_is_refused(kind: Any, parameters: dict[str, Any], words: list[str]) -> None:
    """The message names the member or the parameter, and what to write."""
    with pytest.raises(EstimatorRefusedError) as refused:
        build_learner(f"anchorwatch.{kind.__name__}", parameters, task="classification", seed=1)
    assert [word for word in words if word not in str(refused.value)] == []


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [(MajorityVote, {"period": 0}), (MajorityVote, {"margin": -0.1}), (MajorityVote, {"warm_n": -1}),
     (BestExpert, {"margin": -0.1}), (BestExpert, {"hold_n": -1})],
)  # fmt: skip
def test_a_parameter_out_of_range_is_refused(kind: Any, wrong: dict[str, Any]) -> None:
    """The message names the parameter, its value and the range."""
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name} = {value}: must be"):
        kind([TREE], **wrong)


def test_numbers_need_members_and_members_need_the_task() -> None:
    """There is no default for regression; a classifier is refused by name."""
    with pytest.raises(EstimatorRefusedError, match="members"):
        build_learner("anchorwatch.WeightedVote", {}, task="regression", seed=1)
    with pytest.raises(EstimatorRefusedError, match=r"members\[0\].*classification"):
        build_learner("anchorwatch.WeightedVote", {"members": [TREE]}, task="regression", seed=1)


def test_a_nested_committee_finds_its_way_back() -> None:
    """Two deep, learned, stored and restored, it goes on bit for bit."""
    one: Any = build_learner("anchorwatch.BestExpert", {"members": [NESTED, BAYES]}, task="classification", seed=1)
    stream = labelled("classification", 120)
    for x, y in stream[:60]:
        one.learn_one(x, y)
    other = restore_learner(one.snapshot())
    for x, y in stream[60:]:
        assert one.predict_proba_one(x) == other.predict_proba_one(x)
        one.learn_one(x, y)
        other.learn_one(x, y)
    assert one.snapshot() == other.snapshot()
