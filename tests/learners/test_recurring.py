"""Retired learners come back when their concept does, a wrong one is soon gone, and the pool stays within bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners._concept_sketch import distance, reference_bins, sketch
from learners._recall_trial import clearly_below, loss_of
from learners.adaptation import AdaptationPolicy, Replacement
from learners.base import Learner
from learners.baselines import Majority, Mean
from learners.errors import SnapshotError
from learners.hoeffding_tree import HoeffdingTree
from learners.policies import build_policy
from learners.recurring import RecurringConcepts
from tests.learners.drifting import concepts

__all__: list[str] = []

EACH_N, DELAY_N = 700, 60
ALPHA = 0.05  # what a configuration says by default


class _Run:
    """A learner under a policy on a stream whose drifts are told `DELAY_N` labels late; compared as in the service."""

    def __init__(self, policy: str, order: str, seed: int = 1, *, warned: bool = False, restart: bool = False) -> None:
        self.learner: Learner = HoeffdingTree()
        self.restart, self.name = restart, policy
        self.policy = self._new()
        self.errors: list[int] = []
        self.replaced: list[int] = []
        self.compared_n = 0
        for event, (x, y) in enumerate(concepts(order, EACH_N, seed)):
            since = event % EACH_N
            if warned and event > EACH_N and since == DELAY_N // 2:
                self.policy.on_warning(event)
            if event > EACH_N and since == DELAY_N:
                self._place(self.policy.on_drift(event))
            self._step(event, x, y)

    def _new(self) -> AdaptationPolicy:
        policy = build_policy(
            self.name, lambda _: HoeffdingTree(), lambda: self.learner,
            {"min_warm": 200, "cooldown": 300, "alpha": ALPHA},
        )  # fmt: skip
        assert policy is not None
        return policy

    def _place(self, reaction: object) -> None:
        if isinstance(reaction, Replacement):
            self.learner = reaction.learner
            self.replaced.append(reaction.event)

    def _step(self, event: int, x: dict[str, float | str], y: Any) -> None:
        self.errors.append(int(self.learner.predict_one(x) != y))
        self.compared_n += self.policy.background is not None
        self._place(_lesson(self.policy, self.learner, event, x, y))
        if self.restart and event % 97 == 11:
            state = msgspec.msgpack.encode(self.policy.state(), order="deterministic")
            self.policy = self._new()
            self.policy.load(msgspec.msgpack.decode(state))
            assert msgspec.msgpack.encode(self.policy.state(), order="deterministic") == state

    def recovery_n(self, part: int) -> int:
        """Labels from the begin of a part to the end of the first 50 with no more than 10 errors."""
        own = self.errors[part * EACH_N : (part + 1) * EACH_N]
        return next((n for n in range(50, EACH_N) if sum(own[n - 50 : n]) <= 10), EACH_N)


def _lesson(policy: AdaptationPolicy, in_place: Learner, event: int, x: Any, y: Any) -> Any:
    """What the service does with a label: compare, let both learn, tell the policy."""
    _compare(policy, in_place, x, y)
    in_place.learn_one(x, y)
    policy.observe(x, y)
    return policy.on_learned(event)


def _compare(policy: AdaptationPolicy, in_place: Any, x: Any, y: Any) -> None:
    """By the probability of the true class; then the learner in the background learns."""
    background: Any = policy.background
    if background is not None:
        policy.scored(background.predict_proba_one(x).get(y, 0.0) - in_place.predict_proba_one(x).get(y, 0.0))
        background.learn_one(x, y)


@pytest.mark.parametrize("warned", [False, True])
def test_a_concept_that_returns_is_recovered_sooner(*, warned: bool) -> None:
    """On A B A B a retired learner is back within 60 labels of the drift at each return, and recovery takes at most two
    thirds of the labels that warm replacement needs."""
    recalling, warm = (_Run(name, "ABAB", warned=warned) for name in ("recurring", "warm_replacement"))
    assert isinstance(recalling.policy, RecurringConcepts)
    assert recalling.policy.recalled_n == 2
    assert [event for event in recalling.replaced if event % EACH_N - DELAY_N <= 60] == recalling.replaced[1:]
    for part in (2, 3):
        assert recalling.recovery_n(part) <= 2 * warm.recovery_n(part) // 3
        part_errors = slice(part * EACH_N, (part + 1) * EACH_N)
        assert sum(recalling.errors[part_errors]) < sum(warm.errors[part_errors])


@pytest.mark.parametrize(("order", "share"), [("ABC", 0.02), ("ABAC", 0.04)])
def test_new_concepts_cost_no_more_than_warm_replacement(order: str, share: float) -> None:
    """Where a concept is new, errors exceed warm replacement's by no more than a small share of the part's labels.

    On A B C, where nothing returns, by 2 %; on A B A C, where a retired learner is half right about C, by 4 %.
    """
    recalling, warm = (_Run(name, order) for name in ("recurring", "warm_replacement"))
    last = slice((len(order) - 1) * EACH_N, len(order) * EACH_N)
    assert sum(recalling.errors[last]) <= sum(warm.errors[last]) + share * EACH_N
    assert sum(recalling.errors) <= sum(warm.errors) + share * EACH_N


def test_a_restart_in_the_middle_changes_nothing() -> None:
    """With the policy packed and unpacked every 97 events, trials and comparisons included, each answer is the same."""
    straight, restarted = (_Run("recurring", "ABAC", seed=2, restart=restart) for restart in (False, True))
    assert straight.compared_n > 97
    assert restarted.replaced == straight.replaced
    assert restarted.errors == straight.errors
    assert restarted.learner.snapshot() == straight.learner.snapshot()


def _recurring(current: Callable[[], Learner] = Majority, **parameters: Any) -> RecurringConcepts:
    return RecurringConcepts(lambda _: Majority(), current, **({"min_warm": 40, "cooldown": 50} | parameters))


def _label(policy: RecurringConcepts, event: int, y: str) -> Replacement | None:
    policy.observe({"a": float(event % 5)}, y)
    return policy.on_learned(event)


def test_without_retired_learners_it_is_warm_replacement() -> None:
    """The first drift is answered by the fresh learner with the label that makes it warm."""
    policy = _recurring()
    assert policy.on_drift(0) is None
    got = [_label(policy, event, "x") for event in range(40)]
    assert [r is not None for r in got] == [False] * 39 + [True]
    assert policy.pool_n == 1


def _drifts(policy: RecurringConcepts, labels: str, each_n: int = 100) -> list[int]:
    """A part for each label; pool sizes at the end of each."""
    sizes, event = [], 0
    for y in labels:
        policy.on_drift(event)
        for _ in range(each_n):
            _label(policy, event, y)
            event += 1
        sizes.append(policy.pool_n)
    return sizes


def test_the_pool_keeps_to_its_caps() -> None:
    """At most so many learners and bytes; what is larger alone is not kept."""
    current = iter(range(10_000))

    def learner() -> Learner:
        found = Majority()
        found.learn_one({}, f"class {next(current)}")
        return found

    assert max(_drifts(_recurring(learner, pool=2), "abcdef")) == 2
    assert max(_drifts(_recurring(learner, pool_bytes=10), "abcdef")) == 0


def test_a_learner_of_the_same_concept_replaces_the_older_one() -> None:
    """False alarms within one concept do not fill the pool with copies."""
    steady = Majority()
    steady.learn_one({}, "x")
    policy = _recurring(lambda: steady, pool=5)
    for event in range(100):
        _label(policy, event, "x")
    assert _drifts(policy, "xxxxxx") == [1] * 6


class _Heard:
    """A policy and the majority in place, told labels and drifts; what each replacement says, and after which label."""

    def __init__(self, **parameters: Any) -> None:
        self.in_place: Learner = _said("x")
        self._parameters = parameters
        self.policy = _recurring(lambda: self.in_place, **parameters)
        self.event = 0
        self.placed: list[tuple[int, Any]] = []
        self.generations: list[int] = []

    def drift(self) -> None:
        """A drift before the next label."""
        self._take(self.policy.on_drift(self.event))

    def restart(self) -> None:
        """Go on with the policy that the state of this one gives."""
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(self.policy.state(), order="deterministic"))
        self.policy = _recurring(lambda: self.in_place, **self._parameters)
        self.policy.load(state)

    def labels(self, said: str) -> None:
        """One after the other; the learner in place learns nothing, so that it stays what it is."""
        for y in said:
            _compare(self.policy, self.in_place, {}, y)
            self._take(_label(self.policy, self.event, y))
            self.event += 1

    def _take(self, reaction: Replacement | None) -> None:
        if reaction is not None:
            self.in_place = reaction.learner
            self.placed.append((self.event, reaction.learner.predict_one({})))
            self.generations.append(reaction.generation)


@pytest.mark.parametrize("alpha", [1.0, ALPHA])
def test_a_wrong_recall_is_undone_when_the_fresh_learner_is_warm(alpha: float) -> None:
    """A retired learner that fits the first labels only gives way to the fresh one, and stays in the pool; with
    evidence within 10 labels more."""
    heard = _Heard(min_warm=100, alpha=alpha)
    heard.labels("x" * 100)
    heard.drift()
    heard.labels("y" * 180 + "x" * 15)
    heard.drift()
    heard.labels("x" * 20)
    heard.restart()
    heard.labels("z" * 200)
    assert [said for _, said in heard.placed] == ["y", "x", "z"]
    assert heard.generations == [1, 2, 3]
    assert heard.placed[1][0] < 315
    assert 394 <= heard.placed[2][0] <= (394 if alpha == 1.0 else 404)
    assert (heard.policy.pool_n, heard.policy.recalled_n) == (2, 0)


@pytest.mark.parametrize("share", [0.5, 0.4])
def test_coin_flips_recall_and_replace_nobody(share: float) -> None:
    """Where a share of labels is flipped, none of 50 policies with the opposite learner in its pool gives way in six
    drifts, though most do when no evidence is asked for."""
    changed = {alpha: sum(_flipped(alpha, share, seed) for seed in range(50)) for alpha in (1.0, ALPHA)}
    assert changed[ALPHA] == 0
    assert changed[1.0] > 25


def _flipped(alpha: float, share: float, seed: int) -> bool:
    heard = _Heard(min_warm=100, cooldown=200, alpha=alpha)
    for y in "xyx":
        heard.labels(y * 450)
        heard.drift()
    heard.labels("x" * 200)
    assert heard.policy.pool_n == 2 or alpha == 1.0
    before, rng = len(heard.placed), np.random.default_rng(seed)
    for _ in range(6):
        heard.drift()
        heard.labels("".join("xy"[int(rng.random() < share)] for _ in range(220)))
    return len(heard.placed) > before


def test_what_waits_for_evidence_is_called_off_by_a_drift_after_the_cooldown() -> None:
    """A fresh learner no better than the one in place is compared until it is stale, or begins anew with a drift; a
    warning or a drift within the cooldown changes nothing."""
    heard = _Heard(alpha=ALPHA)
    heard.labels("x" * 50)
    heard.drift()
    heard.labels("x" * 41)
    first = heard.policy.background
    assert first is not None
    heard.drift()
    heard.policy.on_warning(heard.event)
    assert heard.policy.ignored_n == 1
    early, late = heard.event, heard.event + 50
    assert heard.policy.quiet_n([(early, None), (early, True), (early, False), (early, None), (late, True)]) == 4
    assert heard.policy.quiet_n([(late, True), (late, None)]) == 0
    heard.labels("x" * 60)
    assert heard.policy.background is first
    heard.drift()
    assert heard.policy.background is None
    heard.labels("x" * 41)
    assert heard.policy.background not in {None, first}
    heard.labels("x" * 250)
    assert heard.policy.background is None
    assert (heard.placed, heard.policy.pool_n, heard.policy.recalled_n) == ([], 0, 0)


def test_a_recall_that_no_evidence_corrects_is_confirmed() -> None:
    """The fresh learner was a little better than the recalled one when it was warm, and not so afterwards; a restart
    between does not forget that there was a recall."""
    heard = _Heard(min_warm=46, alpha=ALPHA)
    heard.labels("x" * 100)
    heard.drift()
    heard.labels("y" * 150 + "x" * 15)
    heard.drift()
    heard.labels("x" * 20 + "z" * 26)
    assert heard.policy.background is not None
    heard.restart()
    heard.labels("x" * 400)
    assert [said for _, said in heard.placed] == ["y", "x"]
    assert (heard.policy.pool_n, heard.policy.recalled_n) == (1, 1)


@pytest.mark.parametrize(
    ("part", "wrong"), [("recalled", 7), ("trial", {"rows": [[0.0]]}), ("trial", {"evidence": []}), ("gate", {})]
)
def test_a_state_that_contradicts_itself_is_refused(part: str, wrong: Any) -> None:
    """A recall that is not in the pool, losses or evidence of other learners, a gate without its parts."""
    policy = _recurring(alpha=ALPHA)
    policy.on_drift(0)
    _label(policy, 0, "x")
    state = policy.state()
    state[part] = state[part] | wrong if part == "trial" else wrong
    with pytest.raises(SnapshotError):
        _recurring(alpha=ALPHA).load(state)


def _said(label: str) -> Learner:
    learner = Majority()
    learner.learn_one({}, label)
    return learner


def test_calm_and_staleness_end_a_trial_that_no_drift_asked_for() -> None:
    """A warning that goes away, or is five cooldowns old, leaves nothing behind."""
    for calm in (True, False):
        policy = _recurring(cooldown=2)
        policy.on_warning(0)
        if calm:
            policy.on_calm(1)
        else:
            _label(policy, 11, "x")
        assert policy.state()["trial"] is None
        assert policy.pool_n == 0


def test_losses_of_numbers_and_of_not_knowing() -> None:
    """Absolute errors for numbers, clipped; an unknown class is an error, an unknown number says 0."""
    assert loss_of(Majority(), {}, "x") == 1.0
    assert loss_of(_said("x"), {}, "x") == 0.0
    assert loss_of(Mean(), {}, -3.0) == 3.0
    assert loss_of(Mean(), {}, float("inf")) == 1e30
    assert loss_of(Mean(), {}, float("nan")) == 1e30


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=50))
@settings(max_examples=50, deadline=None)
def test_what_is_clearly_below_is_so_one_way_only(pairs: list[tuple[float, float]]) -> None:
    """Never are both of two learners clearly better than the other, and equal losses decide nothing."""
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    assert not (clearly_below(one, other, 1.0) and clearly_below(other, one, 1.0))
    assert not clearly_below(one, one, 0.0)


def _examples(n: int, shift: float, seed: int) -> list[tuple[dict[str, float | str], str]]:
    rng = np.random.default_rng(seed)
    return [({"a": float(rng.normal() + shift), "shop": "NS"[i % 2]}, "yn"[i % 3 == 0]) for i in range(n)]


def test_sketches_of_one_distribution_are_near_and_of_others_far() -> None:
    """Distance 0 to itself, little to another sample, and more the further a feature has moved."""
    base = _examples(200, 0.0, 1)
    bins = reference_bins(base)
    losses = [0.0] * 200
    here = sketch(base, losses, bins)
    near, far, beyond = (sketch(_examples(200, shift, 2), losses, bins) for shift in (0.0, 1.0, 3.0))
    assert distance(here, here) == 0.0
    assert distance(here, near) < 0.1 < distance(here, far) < distance(here, beyond) <= 1.0
    assert distance(here, far) == distance(far, here)


def test_a_sketch_holds_moments_shares_and_losses_per_class() -> None:
    """Against numpy: mean and sd of a number, shares of values and classes, mean loss of each class; no NaN."""
    examples: list[tuple[dict[str, float | str], str]] = [
        *_examples(60, 2.0, 4),
        ({"a": float("nan"), "late": float("inf")}, "y"),
    ]
    losses = [float(i % 4) for i in range(61)]
    found = sketch(examples, losses, reference_bins(examples))
    column = [float(x["a"]) for x, _ in examples[:60]]
    assert found["features"]["a"]["mean"] == pytest.approx(np.mean(column))
    assert found["features"]["a"]["sd"] == pytest.approx(np.std(column, ddof=1))
    assert sum(found["features"]["a"]["shares"].values()) == pytest.approx(60 / 61)
    assert found["features"]["shop"]["shares"] == pytest.approx({"N": 30 / 61, "S": 30 / 61})
    wanted = {k: np.mean([v for v, (_, y) in zip(losses, examples, strict=True) if y == k]) for k in "yn"}
    assert found["losses"] == pytest.approx(wanted)
    assert found["classes"] == pytest.approx({"y": 41 / 61, "n": 20 / 61})
