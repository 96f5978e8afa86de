"""A partition's fold: intake counted, outputs held until the commit, monitors apart."""

from __future__ import annotations

from service.config import parse
from service.partition import PartitionFold
from stream.events import RawMessage
from tests.service.fold_rig import MONITOR, configured, control, fold, label, prediction


def messages(events: list[bytes], first: int = 0) -> list[RawMessage]:
    """Events as a transport delivers them."""
    return [RawMessage("t", 0, first + n, event) for n, event in enumerate(events)]


def test_outputs_are_handed_over_once() -> None:
    """What a commit lets out is not let out again; nothing leaves before."""
    partition = PartitionFold(configured())
    partition.fold(messages([prediction("p0", 0), control("erase", 1, id="p0"), b"{"]))
    commit = partition.commit()
    assert ([o.kind for o in commit.outputs], len(commit.rejects), commit.position) == (["audit"], 1, 3)
    again = partition.commit()
    assert (again.outputs, again.rejects, again.components) == ([], [], {})


def test_every_message_is_an_event_or_a_reject() -> None:
    """Messages are counted, refused ones by reason, those that only the state can refuse too, in order of offset."""
    events = [prediction("p0", 0), b"[]", prediction("p0", 1), b"", label("p0", 2, "y"), b"{"]
    folded = fold(events)
    partition = folded.partition
    assert (partition.messages, partition.position) == (6, 6)
    assert partition.rejected == {"not_an_object": 1, "duplicate_id": 1, "empty": 1, "not_json": 1}
    assert [reject.offset for reject in folded.rejects] == [1, 2, 3, 5]


def test_counts_survive_a_restart() -> None:
    """A loaded partition goes on counting where it was."""
    folded = fold([prediction("p0", 0), b"{"])
    after = folded.restarted(configured()).feed([b"{", prediction("p0", 1)])
    assert (after.partition.messages, after.partition.rejected) == (4, {"not_json": 2, "duplicate_id": 1})
    assert after.monitor.rejected == {"duplicate_id": 1}


def test_monitors_do_not_meet() -> None:
    """Two monitors in one partition end in the states that each has alone."""
    one = [prediction(f"p{n}", n) for n in range(60)]
    other = [event.replace(b'"m"', b'"n"') for event in one]
    both = [event for pair in zip(one, other, strict=True) for event in pair]
    settings = {"features": {"a": {"type": "numeric"}}, "labels": {"age": "1s"}, "reference": {"n": 50, "window": 30}}

    def hashes(events: list[bytes]) -> dict[str, str]:
        partition = PartitionFold(parse({"monitors": {MONITOR: settings, "n": settings}}))
        partition.fold(messages(events))
        return partition.commit().hashes

    assert hashes(both) == {MONITOR: hashes(one)[MONITOR], "n": hashes(other)["n"]}


def test_a_partition_folds_only_its_own_monitors() -> None:
    """A monitor that belongs elsewhere has no fold here, and its events are misrouted."""
    partition = PartitionFold(configured(), 0, partition_of=lambda _: 1)
    partition.fold([RawMessage("t", 0, 0, prediction("p0", 0), key=MONITOR.encode())])
    assert (partition.folds, partition.rejected) == ({}, {"misrouted": 1})
