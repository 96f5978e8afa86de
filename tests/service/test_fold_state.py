"""Components of a fold's state: one whose parameters changed restarts alone; no plain sensitive value in any."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from service.fold_state import configuration_version
from service.outputs import encode_body
from service.state_codec import StateMismatchError, decode, encode, fingerprint
from service.view import MonitorHistory, monitor_view
from stream.errors import StoreCorruptError
from stream.store import ComponentKey
from tests.service.fold_rig import MONITOR, Folded, configured, control, fold, label, prediction

LEARNERS = {"one": {"estimator": "river.naive_bayes.GaussianNB"}}


def events(first: int, until: int) -> list[bytes]:
    """Predictions with their labels, ten milliseconds each."""
    return [
        event
        for n in range(first, until)
        for event in (prediction(f"p{n}", n * 10, features={"a": n % 7}), label(f"p{n}", n * 10 + 1, "yn"[n % 2]))
    ]


CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({}, []),
    "what is not in a component's parameters": ({"cooldown": 21}, []),
    "a detector": ({"detectors": {"adwin": {"delta": 0.01}}}, ["m/signals", "m/errors"]),
    "the averaging of errors": ({"error_block": 3}, ["m/errors"]),
    "the window of figures": ({"metrics_window": 51}, ["m/scores"]),
    "a learner": ({"learners": {"two": LEARNERS["one"]}}, ["m/learner/two", "m/champion"]),
    "a learner more": (
        {"learners": LEARNERS | {"two": LEARNERS["one"]}},
        ["m/disagreement", "m/contest", "m/learner/two"],
    ),
    "adaptation": ({"adaptation": {"cooldown": 5}}, ["m/policies"]),
    "the cap of categories": ({"max_categories": 9}, ["m/signals"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_component_whose_parameters_changed_restarts_alone(change: str) -> None:
    """Loading names what restarts; everything else keeps its state, and the fold goes on, corrections included."""
    settings, wanted = CHANGES[change]
    before = fold(events(0, 200), configured(learners=LEARNERS))
    after = before.restarted(configured(**{"learners": LEARNERS} | settings))
    assert after.partition.restarted == wanted
    trees, others = (folded.partition.states[MONITOR]._trees() for folded in (before, after))
    # Versions are numbered on, but those of learners that are gone are nobody's newest.
    gone = {"m/core"} if wanted else set()
    if {"m/learner/two", "m/policies"} & set(wanted):
        gone |= {"m/committee", "m/versions", "m/scores"}
    kept = [name for name in trees if f"m/{name}" not in gone.union(wanted)]
    assert all(encode_tree(trees[name]) == encode_tree(others[name]) for name in kept)
    after.feed([label("p199", 2_000, "y"), label("p10", 2_001, "y"), label("p11", 2_002, "y"), *events(200, 320)])
    assert after.monitor.join.counts.predictions == 320


def encode_tree(tree: Any) -> bytes:
    """The bytes of a component."""
    from service.state_codec import encode

    return encode(tree)


def test_a_store_in_which_members_have_no_forms_goes_on() -> None:
    """Of before each member had one: of the same configuration all go on, of another all begin anew."""
    config = configured(learners=LEARNERS)
    before = fold(events(0, 200), config)
    monitor = config.monitors[MONITOR]
    key = ComponentKey(MONITOR, "", "committee")
    tree = decode(before.stored[key])
    del tree["forms"], tree["adaptation"]
    parts = (monitor.learners, monitor.probe, monitor.adaptation, monitor.seed, monitor.task)
    old = dataclasses.replace(before, stored=before.stored | {key: encode(tree, fingerprint(parts))})
    after = old.restarted(config)
    assert after.partition.restarted == []
    assert after.feed(events(200, 260)).hashes == before.restarted(config).feed(events(200, 260)).hashes
    other = old.restarted(configured(learners={"one": LEARNERS["one"] | {"parameters": {}}}, seed=3))
    assert {"m/learner/one", "m/learner/probe", "m/learner/majority"} <= set(other.partition.restarted)


def test_a_probe_that_restarts_learns_again() -> None:
    """After a change of learners the new probe learns from the predictions to come, freezes, and answers."""
    before = fold(events(0, 200), configured(learners=LEARNERS))
    tree = {"estimator": "anchorwatch.HoeffdingTree", "parameters": {"budget_bytes": 1 << 20}}
    after = before.restarted(configured(learners={"two": tree})).feed(events(200, 420))
    assert after.monitor.committee.members["probe"].learner.frozen
    assert "probe" in after.monitor.join.row(419).answers


def test_a_learner_that_is_gone_leaves_no_component() -> None:
    """The stored learner of a name that is configured no more goes with the next commit."""
    before = fold(events(0, 20), configured(learners=LEARNERS))
    after = before.restarted(configured(learners={"two": LEARNERS["one"]})).feed(events(20, 21))
    names = {key.component for key in after.stored if key.component.startswith("learner/")}
    assert names == {"learner/two", "learner/probe", "learner/majority"}


def test_damage_and_newer_formats_stop_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flipped byte is corruption; state of a newer program is refused whole, not begun anew."""
    good = fold(events(0, 60))
    for name in ("core", "signals", "episodes"):
        key = ComponentKey(MONITOR, "", name)
        bad = bytearray(good.stored[key])
        bad[-1] ^= 1
        damaged = dataclasses.replace(good, stored=good.stored | {key: bytes(bad)})
        with pytest.raises(StoreCorruptError):
            damaged.restarted(configured())
    monkeypatch.setattr("service.state_codec.FORMAT_VERSION", 2)
    newer = fold(events(0, 60))
    monkeypatch.undo()
    with pytest.raises(StateMismatchError, match="newer program"):
        newer.restarted(configured())


def test_unchanged_components_are_not_written_again() -> None:
    """A commit writes what changed: after nothing, nothing."""
    folded = fold(events(0, 60))
    assert folded.partition.commit().components == {}


def test_configurations_have_names() -> None:
    """Equal configurations share a version; a changed one has another."""
    one, other = configuration_version(configured()), configuration_version(configured(cooldown=21))
    assert one == configuration_version(configured())
    assert one != other


def _everything(folded: Folded) -> bytes:
    view = monitor_view(folded.monitor, MonitorHistory(), "")
    return b"\n".join(
        [
            *folded.stored.values(),
            *(encode_body(output.body) for output in folded.outputs),
            *(repr(reject).encode() for reject in folded.rejects),
            msgspec.json.encode(view),
        ]
    )


def test_a_sensitive_value_is_nowhere_in_plain() -> None:
    """Categories and numbers that are sensitive occur in no component, record, reject, served prediction or view."""
    features = {
        "a": {"type": "numeric", "sensitive": True, "bins": [0, 1000, 70_000]},
        "who": {"type": "categorical", "sensitive": True, "allowed": [f"person-{n}" for n in range(40)]},
        "plain": {"type": "categorical"},
    }
    config = configured("key", features=features, learners=LEARNERS)
    sent = []
    for n in range(200):
        values = {"a": 54_321.5 + n, "who": f"person-{n % (4 if n < 100 else 40)}", "plain": "visible-text"}
        sent += [prediction(f"p{n}", n * 10, features=values, prediction=None), label(f"p{n}", n * 10 + 1, "y")]
    sent += [
        prediction("r0", 3_000, features={"who": "person-99"}),
        prediction("p1", 3_001, features={"who": "person-1"}),
    ]
    sent += [prediction("r1", 3_002, features={"a": "54321.5"}), control("accept_reference", 3_003)]
    folded = fold(sent, config)
    everything = _everything(folded)
    assert len(folded.rejects) == 3
    assert b"visible-text" in everything
    assert b"person-" not in everything
    assert b"54321" not in everything
    plain_numbers = {msgspec.msgpack.encode(54_321.5 + n) for n in range(200)}
    assert not [number for number in plain_numbers if number in everything]


def test_answers_keep_the_committee_s_order() -> None:
    """What waits has its answers in the same order after a restart: the first of them counts as what was predicted."""
    config = configured(learners=LEARNERS)
    asked = [prediction(f"q{n}", 200 + n, prediction=None, features={"a": 5.5}) for n in range(3)]
    judged = [label(f"q{n}", 300 + n, "n") for n in range(3)] + [control("tick", 5_000)]
    straight = fold([*events(0, 15), *asked, *judged], config)
    before = fold([*events(0, 15), *asked], config)
    assert before.restarted(config).feed(judged).hashes == straight.hashes
