"""Every adaptation policy in a monitor: it reacts to a drift, and neither batches nor restarts change a bit."""

from __future__ import annotations

from typing import Any

import pytest

from service.config import ConfigurationError
from service.deferred import Moment
from service.members import Committee, Lesson
from tests.service.fold_rig import MONITOR, configured, fold
from tests.service.test_compiled_learners import FEATURES, events

__all__: list[str] = []

POLICIES: dict[str, dict[str, Any]] = {
    "warm_replacement": {"min_warm": 20, "cooldown": 50},
    "reset": {"cooldown": 50},
    "periodic": {"period": 80, "min_warm": 20},
    "local_repair": {"min_warm": 20, "cooldown": 50},
    "reweight": {"min_warm": 20, "cooldown": 50, "keep": 0.1},
    "recurring": {"min_warm": 20, "cooldown": 50, "sketch_n": 30, "pool": 2},
}
# Many folds live here at once, and the default budget would be 32 MiB for each learner in each.
SMALL = {"budget_bytes": 1 << 20}
TREE = {"estimator": "anchorwatch.HoeffdingTree", "parameters": SMALL}
BAG = {"estimator": "anchorwatch.OzaBaggingAdwin", "parameters": {"trees": 2, **SMALL}}
ACTIONS = {"local_repair": "repaired", "reweight": "reweighted"}


def settings(policy: str) -> Any:
    """A monitor with a bag and an adaptive tree under the policy."""
    return configured(
        features=FEATURES, learners={"bag": BAG, "tree": TREE},
        reference={"n": 150, "window": 80}, adaptation={"policy": policy, **POLICIES[policy]},
    )  # fmt: skip


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_it_reacts_and_batches_and_restarts_change_nothing(policy: str) -> None:
    """A change of the relation is answered as the policy says, audited, and with the same bits however it is cut."""
    config, stream = settings(policy), events(360, 220)
    whole = fold(stream, config)
    bodies = whole.bodies("audit")
    bag = [body["action"] for body in bodies if body.get("learner") == "bag"]
    assert bag[:1] == [ACTIONS.get(policy, "replaced")]
    assert "replaced" in [b["action"] for b in bodies if b.get("learner") == "tree"] or policy == "reweight"
    assert fold(stream, config, size=170).hashes == whole.hashes
    restarted = fold(stream[:97], config)
    for at in range(97, len(stream), 97):
        restarted = restarted.restarted(config).feed(stream[at : at + 97])
    assert restarted.hashes == whole.hashes


@pytest.mark.parametrize(
    ("adaptation", "words"),
    [
        ({"policy": "reset", "min_warm": 5}, ["adaptation.min_warm = 5", "reset", "warm_replacement"]),
        ({"policy": "none", "cooldown": 5}, ["adaptation.cooldown = 5", "leave it out"]),
        ({"policy": "periodic", "cooldown": 5}, ["adaptation.cooldown = 5", "periodic"]),
        ({"policy": "periodic", "watch": "own_error"}, ["adaptation.watch = 'own_error'", "recurring"]),
        ({"period": 5}, ["adaptation.period = 5", "periodic"]),
        ({"policy": "local_repair", "keep": 0.5}, ["adaptation.keep = 0.5", "reweight"]),
        ({"policy": "reweight", "pool": 3}, ["adaptation.pool = 3", "recurring"]),
        ({"policy": "reweight", "keep": 0.0}, ["adaptation.keep = 0.0", "(0, 1]"]),
        ({"policy": "periodic", "period": 100}, ["adaptation.min_warm = 200", "period = 100"]),
        ({"policy": "periodic", "period": 205}, ["adaptation.min_warm = 200", "period = 205", "alpha"]),
        ({"policy": "reset", "alpha": 0.1}, ["adaptation.alpha = 0.1", "recurring", "periodic"]),
        ({"policy": "recurring", "sketch_n": 3}, ["adaptation.sketch_n = 3", "30 or more"]),
        ({"min_warm": -1}, ["adaptation.min_warm = -1", "0 or more"]),
        ({"policy": "hope"}, ["adaptation.policy = 'hope'"]),
    ],
)
def test_what_a_policy_does_not_use_is_refused(adaptation: dict[str, Any], words: list[str]) -> None:
    """The message names the key, its value, and what to write."""
    with pytest.raises(ConfigurationError) as refused:
        configured(adaptation=adaptation)
    assert [word for word in words if word not in str(refused.value)] == []


def test_a_committee_adapts_and_restarts_exactly() -> None:
    """Learners that hold learners, nested too, replace a member on drift, with the same bits however it is cut."""
    inner = {"estimator": "anchorwatch.BestExpert", "parameters": {"members": [TREE, BAG]}}
    learner = {"estimator": "anchorwatch.WeightedVote", "parameters": {"members": [TREE, BAG, inner]}}
    config = configured(
        features=FEATURES, learners={"vote": learner}, reference={"n": 150, "window": 80},
        adaptation={"policy": "local_repair", "cooldown": 50},
    )  # fmt: skip
    stream = events(360, 220)
    whole = fold(stream, config)
    assert [body["parts"] for body in whole.bodies("audit") if body["action"] == "repaired"][:1] == [1]
    restarted = fold(stream[:97], config)
    for at in range(97, len(stream), 97):
        restarted = restarted.restarted(config).feed(stream[at : at + 97], size=13)
    assert restarted.hashes == whole.hashes


def test_a_repair_is_no_new_generation() -> None:
    """The learner in place stays the same object, and its replacements are not counted up."""
    members = Committee(settings("local_repair").monitors[MONITOR])
    before = members.members["bag"].learner
    for n in range(20):
        lesson = Lesson(Moment(members.order + 1, n, 0), "yes" if n % 3 else "no")
        members.learn(lesson, [float(n % 3)], in_reference=False)
    members.alarm(Moment(members.order, 20, 0), is_drift=True, only="bag")
    done = [entry for _, entry, _ in members.work()]
    assert done == [{"action": "repaired", "learner": "bag", "event": 20, "parts": 1}]
    assert members.members["bag"].learner is before
    assert members.members["bag"].replacements == 0
