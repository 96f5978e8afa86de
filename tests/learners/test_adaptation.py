"""A learner is replaced by a warmed fresh one on drift, at most once a cooldown, whatever restarts in between."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners import SnapshotError
from learners.adaptation import Replacement, WarmReplacement
from learners.base import Learner
from learners.baselines import Majority

__all__: list[str] = []


def _fresh(generation: int) -> Learner:
    return Majority(classes_cap=generation + 1)


def _policy(*, min_warm: int = 3, cooldown: int = 10) -> WarmReplacement:
    return WarmReplacement(_fresh, min_warm=min_warm, cooldown=cooldown)


def _learn(policy: WarmReplacement, event: int) -> Replacement | None:
    """What the fold does with a label."""
    if policy.background is not None:
        policy.background.learn_one({}, "ok")
    return policy.on_learned(event)


def test_drift_after_a_warning_swaps_in_the_warm_learner_at_once() -> None:
    """The learner that was warmed since the warning takes over with what it has learned."""
    policy = _policy()
    policy.on_warning(5)
    background = policy.background
    for event in range(5, 9):
        assert _learn(policy, event) is None
    replacement = policy.on_drift(9)
    assert replacement is not None
    assert replacement.learner is background
    assert (replacement.generation, replacement.event, replacement.warmed_n) == (1, 9, 4)
    assert policy.background is None


def test_drift_before_it_is_warm_waits_for_the_labels() -> None:
    """A background learner with too few labels takes over with the label that makes it warm."""
    policy = _policy()
    policy.on_warning(5)
    _learn(policy, 5)
    assert policy.on_drift(6) is None
    assert _learn(policy, 7) is None
    replacement = _learn(policy, 8)
    assert replacement is not None
    assert replacement.warmed_n == 3


def test_drift_without_a_warning_warms_first() -> None:
    """With no warning the fresh learner starts at the drift and is swapped in once it is warm."""
    policy = _policy()
    assert policy.on_drift(4) is None
    assert policy.background is not None
    assert [_learn(policy, event) is not None for event in (5, 6, 7)] == [False, False, True]


def test_no_warming_asked_swaps_at_once() -> None:
    """With `min_warm` 0 a drift without warning gives an untrained learner immediately."""
    replacement = _policy(min_warm=0).on_drift(4)
    assert replacement is not None
    assert replacement.learner.predict_one({}) is None


def test_calm_drops_the_background_learner() -> None:
    """A warning that goes away leaves nothing, and a later drift starts from an untrained learner."""
    policy = _policy()
    policy.on_warning(1)
    for event in range(1, 6):
        _learn(policy, event)
    policy.on_calm(6)
    assert policy.background is None
    assert policy.on_drift(7) is None


def test_calm_does_not_call_off_a_decided_replacement() -> None:
    """After the drift the replacement comes, even if the alarm falls silent meanwhile."""
    policy = _policy()
    policy.on_drift(1)
    policy.on_calm(2)
    assert [_learn(policy, event) is not None for event in (3, 4, 5)] == [False, False, True]


def test_a_stale_warning_is_dropped() -> None:
    """Five cooldowns without a further warning drop the background learner; a repeated one keeps it."""
    policy = _policy()
    policy.on_warning(0)
    _learn(policy, 50)
    assert policy.background is not None
    policy.on_warning(50)
    _learn(policy, 100)
    assert policy.background is not None
    _learn(policy, 101)
    assert policy.background is None


def test_cooldown_ignores_alarms() -> None:
    """Within the cooldown after a replacement neither warnings nor drifts do anything; after it they do."""
    policy = _policy(min_warm=0)
    assert policy.on_drift(100) is not None
    policy.on_warning(105)
    assert policy.background is None
    assert policy.on_drift(109) is None
    assert policy.ignored_n == 1
    replacement = policy.on_drift(110)
    assert replacement is not None
    assert replacement.generation == 2


def test_further_warnings_keep_the_background_learner() -> None:
    """A second warning does not throw away what was warmed since the first."""
    policy = _policy()
    policy.on_warning(1)
    first = policy.background
    policy.on_warning(2)
    assert policy.background is first


@given(
    st.lists(st.tuples(st.sampled_from(["label", "warning", "drift"]), st.floats(-1.0, 1.0)), max_size=400),
    st.integers(0, 30), st.sampled_from([1, 5, 40]), st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_nothing_changes_within_what_is_said_to_be_quiet(
    log: list[tuple[str, float]], min_warm: int, cooldown: int, lean: int
) -> None:
    """Wherever it is asked, the learner in the background is the same, and nobody is replaced, up to the last but one
    of what `quiet_n` says, whatever differences come."""
    policy = WarmReplacement(_fresh, min_warm=min_warm, cooldown=cooldown, alpha=0.3)
    coming = [(event, {"label": None, "warning": False, "drift": True}[kind]) for event, (kind, _) in enumerate(log)]
    quiet_until = -1
    for event, (kind, difference) in enumerate(log):
        if policy.background is not None and event > quiet_until:
            quiet_until = event + policy.quiet_n(iter(coming[event:])) - 1
        before, generation = policy.background, policy.generation
        if kind == "warning":
            policy.on_warning(event)
        elif kind == "drift":
            policy.on_drift(event)
        else:
            if policy.background is not None:
                policy.scored(min(1.0, difference + 0.5 * lean))
            policy.on_learned(event)
        if event < quiet_until:
            assert policy.background is before
            assert policy.generation == generation


def test_each_generation_is_fresh() -> None:
    """Generations count up, and each fresh learner is asked for by its number."""
    asked: list[int] = []

    def fresh(generation: int) -> Learner:
        asked.append(generation)
        return _fresh(generation)

    policy = WarmReplacement(fresh, min_warm=0, cooldown=0)
    assert [r.generation for event in range(3) if (r := policy.on_drift(event)) is not None] == [1, 2, 3]
    assert asked == [1, 2, 3]


actions = st.lists(st.sampled_from(["warn", "drift", "calm", "label", "label", "label"]), max_size=60)


def _run(log: list[str], cuts: set[int], **settings_: int) -> list[Any]:
    policy, seen = _policy(**settings_), []
    for event, action in enumerate(log):
        if event in cuts:
            policy = WarmReplacement.from_state(policy.state(), _fresh, **({"min_warm": 3, "cooldown": 10} | settings_))
        replacement = None
        if action == "label":
            replacement = _learn(policy, event)
        elif action == "drift":
            replacement = policy.on_drift(event)
        elif action == "warn":
            policy.on_warning(event)
        else:
            policy.on_calm(event)
        if replacement is not None:
            learner = replacement.learner.snapshot()
            seen.append((event, replacement.generation, replacement.warmed_n, learner))
    return [seen, policy.state()]


@settings(max_examples=150, deadline=None)
@given(actions, st.sets(st.integers(0, 60)), st.integers(0, 4), st.integers(0, 12))
def test_any_restart_changes_nothing(log: list[str], cuts: set[int], min_warm: int, cooldown: int) -> None:
    """Saved and loaded at any events, the policy replaces at the same events with the same learners."""
    straight = _run(log, set(), min_warm=min_warm, cooldown=cooldown)
    assert _run(log, cuts, min_warm=min_warm, cooldown=cooldown) == straight


@settings(max_examples=150, deadline=None)
@given(actions, st.integers(0, 4), st.integers(0, 12))
def test_at_most_one_replacement_a_cooldown(log: list[str], min_warm: int, cooldown: int) -> None:
    """Whatever happens, replacements are a cooldown apart, warm enough, and numbered without a gap."""
    seen, _ = _run(log, set(), min_warm=min_warm, cooldown=cooldown)
    events = [event for event, *_ in seen]
    assert all(later - earlier >= cooldown for earlier, later in pairwise(events))
    assert all(warmed_n >= min_warm for *_, warmed_n, _ in seen)
    assert [generation for _, generation, *_ in seen] == list(range(1, len(seen) + 1))


def test_wrong_settings_and_states_are_refused() -> None:
    """Negative settings name their value; a state that lacks something is a SnapshotError."""
    with pytest.raises(ValueError, match="min_warm = -1"):
        _policy(min_warm=-1)
    with pytest.raises(ValueError, match="cooldown = -1"):
        _policy(cooldown=-1)
    state = _policy().state()
    for key in state:
        with pytest.raises(SnapshotError):
            _policy().load({k: v for k, v in state.items() if k != key})
    with pytest.raises(SnapshotError):
        _policy().load(state | {"background": b"no snapshot"})
