"""Each adaptation policy reacts as its name says, falls back where it must, and goes on exactly after a restart."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pytest

from learners.adaptation import AdaptationPolicy, Repaired, Replacement, WarmReplacement
from learners.base import Learner
from learners.baselines import Majority
from learners.build import build_learner
from learners.errors import LearnerError, SnapshotError
from learners.leveraging_bagging import LeveragingBagging
from learners.policies import PARAMETERS, build_policy
from learners.registry import restore_learner

__all__: list[str] = []

SETTINGS = {"min_warm": 3, "cooldown": 10, "period": 7, "keep": 0.5, "pool": 2, "sketch_n": 30, "pool_bytes": 1 << 20}
NAMES = sorted(PARAMETERS.keys() - {"none"})


class _Repairable(Majority):
    """Counts what it is asked for; `parts` is what `repair` says, below 0 it fails."""

    def __init__(self, parts: int = 1) -> None:
        super().__init__()
        self.parts = parts
        self.asked: list[float] = []

    def repair(self) -> int:
        """One more repair."""
        if self.parts < 0:
            raise LearnerError("nothing works")
        self.asked.append(self.parts)
        return self.parts

    def forget(self, keep: float) -> None:
        """One more memory gone."""
        self.asked.append(keep)


def _fresh(generation: int) -> Learner:
    return Majority(classes_cap=generation + 1)


def _policy(name: str, learner: Learner | None = None, **settings: Any) -> AdaptationPolicy:
    current = learner or Majority()
    policy = build_policy(name, _fresh, lambda: current, SETTINGS | settings)
    assert policy is not None
    return policy


def _learn(policy: AdaptationPolicy, event: int) -> Replacement | Repaired | None:
    """What the fold does with a label, on which the fresh learner is far better."""
    if policy.background is not None:
        policy.scored(1.0)
        policy.background.learn_one({}, "ok")
    policy.observe({"a": float(event)}, "ok")
    return policy.on_learned(event)


def test_none_is_no_policy() -> None:
    """`none` has nothing that could react."""
    assert build_policy("none", _fresh, Majority, SETTINGS) is None


def test_auto_leaves_forests_to_themselves() -> None:
    """A forest, ours or river's, has no policy; everything else is replaced warm, a bag and a single tree too."""
    forests = [
        build_learner("anchorwatch.AdaptiveRandomForest", {"trees": 2}, task="classification", seed=1),
        build_learner("anchorwatch.StreamingRandomPatches", {"trees": 2}, task="classification", seed=1),
        build_learner("anchorwatch.AdaptiveRandomForestRegressor", {"trees": 2}, task="regression", seed=1),
        build_learner("river.forest.ARFClassifier", {"n_models": 2}, task="classification", seed=1),
    ]
    assert [build_policy("auto", _fresh, partial(restore_learner, f.snapshot()), SETTINGS) for f in forests] == [
        None
    ] * 4
    for other in (Majority(), LeveragingBagging(trees=2)):
        assert isinstance(_policy("auto", other), WarmReplacement)


def test_an_unknown_policy_is_refused() -> None:
    """The message names those that there are."""
    with pytest.raises(ValueError, match="warm_replacement"):
        build_policy("hope", _fresh, Majority, {})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("reset", {"cooldown": -1}), ("periodic", {"period": 0}), ("periodic", {"min_warm": 8}),
        ("local_repair", {"min_warm": -1}), ("reweight", {"keep": 0.0}), ("reweight", {"keep": 1.1}),
        ("periodic", {"alpha": 1.1}), ("recurring", {"alpha": 0.0}), ("recurring", {"cooldown": -1}),
        ("recurring", {"pool": 0}), ("recurring", {"sketch_n": 29}), ("recurring", {"pool_bytes": 0}),
    ],
)  # fmt: skip
def test_a_parameter_out_of_range_is_refused(name: str, wrong: dict[str, Any]) -> None:
    """The message names the parameter and its value."""
    ((key, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{key} = {value}: must"):
        _policy(name, **wrong)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("more", [{}, {"alpha": 0.05, "period": 27}], ids=["at once", "with evidence"])
def test_a_restart_at_any_event_changes_nothing(name: str, more: dict[str, Any]) -> None:
    """Packed and unpacked after each event, a policy reacts like one that ran through."""

    def run(*, restart: bool) -> list[Any]:
        policy = _policy(name, **more)
        seen: list[tuple[int, int]] = []
        for event in range(90):
            if event % 31 == 7:
                policy.on_warning(event)
            reaction = policy.on_drift(event) if event % 31 == 12 else None
            seen.append((reaction is not None, policy.background is not None))
            reaction = _learn(policy, event)
            seen.append((reaction is not None, policy.generation))
            if event % 31 == 29:
                policy.on_calm(event)
            if restart:
                state = msgspec.msgpack.decode(msgspec.msgpack.encode(policy.state(), order="deterministic"))
                policy = _policy(name, **more)
                policy.load(state)
                assert msgspec.msgpack.encode(policy.state(), order="deterministic") == msgspec.msgpack.encode(
                    state, order="deterministic"
                )
        seen.append((policy.generation, policy.ignored_n))
        return seen

    straight = run(restart=False)
    assert run(restart=True) == straight
    assert straight[-1][0] > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_state_is_a_snapshot_error(name: str) -> None:
    """A state that lacks a part is named as such."""
    policy = _policy(name)
    with pytest.raises(SnapshotError):
        policy.load({})


def test_reset_replaces_at_once_by_an_untrained_learner() -> None:
    """Neither a warning nor labels prepare anything, and a cooldown holds."""
    policy = _policy("reset")
    policy.on_warning(1)
    assert policy.background is None
    _learn(policy, 2)
    replacement = policy.on_drift(3)
    assert isinstance(replacement, Replacement)
    assert (replacement.generation, replacement.warmed_n) == (1, 0)
    assert replacement.learner.predict_one({}) is None
    assert policy.on_drift(12) is None
    assert policy.ignored_n == 1
    assert policy.on_drift(13) is not None


def test_periodic_hears_labels_and_nothing_else() -> None:
    """Every 7 labels a learner takes over that has learned exactly the last 3, whatever alarms there are."""
    policy = _policy("periodic")
    taken = []
    for event in range(21):
        policy.on_warning(event)
        assert policy.on_drift(event) is None
        reaction = _learn(policy, event)
        policy.on_calm(event)
        if isinstance(reaction, Replacement):
            taken.append((event, reaction.generation, sum(reaction.learner._counts.values())))  # type: ignore[attr-defined]
    assert taken == [(6, 1, 3), (13, 2, 3), (20, 3, 3)]


def _periodic(leads: list[float]) -> list[tuple[int, int, int]]:
    """Replacements by a policy with evidence: event, generation, and what the fresh learner had learned."""
    policy, taken = _policy("periodic", period=107, min_warm=20, alpha=0.05), []
    for event, lead in enumerate(leads):
        if policy.background is not None:
            policy.scored(lead)
            policy.background.learn_one({}, "ok")
        before, quiet_n = policy.background, policy.quiet_n((event + i, None) for i in range(200))
        reaction = policy.on_learned(event)
        if before is not None and quiet_n > 1:
            assert (reaction, policy.background) == (None, before)
        if isinstance(reaction, Replacement):
            taken.append((event, reaction.generation, sum(reaction.learner._counts.values())))  # type: ignore[attr-defined]
    return taken


def test_periodic_waits_for_evidence_until_the_next_one_begins() -> None:
    """A fresh learner that is better takes over with the label that makes it warm or later in the next period, when it
    is shown; one that is no better is called off, and the next begins at its time."""
    assert _periodic([0.0] * 500) == []
    assert _periodic([0.9] * 300) == [(116, 1, 30), (223, 2, 30)]
    assert _periodic([0.0] * 150 + [0.9] * 30) == [(176, 1, 90)]
    assert _periodic([0.0] * 188 + [0.9] * 40) == [(223, 1, 30)]


def test_periodic_leaves_labels_for_its_evidence() -> None:
    """A fresh learner that is warmed until the next one begins could never be shown better."""
    assert _policy("periodic", period=40, min_warm=30, alpha=0.05) is not None
    with pytest.raises(ValueError, match="min_warm = 31: must be 10 or more below period = 40"):
        _policy("periodic", period=40, min_warm=31, alpha=0.05)


def test_periodic_may_warm_all_the_time() -> None:
    """With `min_warm` as long as the period a successor is always learning."""
    policy = _policy("periodic", min_warm=7)
    assert policy.background is not None
    assert [_learn(policy, event) is not None for event in range(7)] == [False] * 6 + [True]
    assert policy.background is not None


@pytest.mark.parametrize(
    ("name", "asked", "action"), [("local_repair", 1, "repaired"), ("reweight", 0.5, "reweighted")]
)
def test_the_learner_stays_and_changes(name: str, asked: float, action: str) -> None:
    """A drift acts on the learner in place, at most once a cooldown; no generation passes."""
    learner = _Repairable()
    policy = _policy(name, learner)
    policy.on_warning(1)
    assert policy.background is None
    done = policy.on_drift(2)
    assert isinstance(done, Repaired)
    assert (done.action, done.event) == (action, 2)
    assert learner.asked == [asked]
    assert policy.on_drift(11) is None
    assert policy.on_drift(12) is not None
    assert (policy.generation, policy.ignored_n) == (0, 1)


@pytest.mark.parametrize("name", ["local_repair", "reweight"])
def test_without_the_method_it_is_warm_replacement(name: str) -> None:
    """A learner that can neither repair nor forget is warmed for from the warning on, and replaced."""
    policy, twin = _policy(name), _policy("warm_replacement")
    for one in (policy, twin):
        one.on_warning(0)
    for event in range(4):
        assert (_learn(policy, event), _learn(twin, event)) == (None, None)
    got, wanted = policy.on_drift(4), twin.on_drift(4)
    assert isinstance(got, Replacement)
    assert isinstance(wanted, Replacement)
    assert (got.generation, got.warmed_n) == (wanted.generation, wanted.warmed_n) == (1, 4)
    assert policy.on_drift(5) is None
    assert policy.ignored_n == 1


@pytest.mark.parametrize("parts", [0, -1])
def test_no_part_to_replace_means_warm_replacement(parts: int) -> None:
    """Where the repair finds nothing, or fails, a successor is warmed from the drift on."""
    policy = _policy("local_repair", _Repairable(parts))
    assert policy.on_drift(0) is None
    assert [isinstance(_learn(policy, event), Replacement) for event in (1, 2, 3)] == [False, False, True]
    assert policy.on_drift(9) is None


def test_a_forest_is_repaired_in_place() -> None:
    """The compiled ensembles have a part to replace."""
    learner = LeveragingBagging(trees=3)
    for i in range(50):
        learner.learn_one({"a": float(i % 7)}, "yes" if i % 7 > 3 else "no")
    done = _policy("local_repair", learner).on_drift(50)
    assert isinstance(done, Repaired)
    assert (done.parts_n, learner.replaced_n) == (1, 1)
