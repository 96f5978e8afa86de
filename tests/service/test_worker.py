"""The worker when store, ownership or broker fail under it: the same state and the same outputs as without."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service import worker as worker_module
from service.config import Config, parse
from service.model_files import ModelFiles
from service.replay import Replayed, replay
from service.verification import verify
from service.webhooks import WebhookSender
from service.worker import Worker
from stream.embedded_log import EmbeddedLog
from stream.embedded_transport import EmbeddedTransport
from stream.errors import BrokerUnavailableError, StoreUnavailableError
from stream.events import RawMessage
from stream.sqlite_store import SQLiteStore
from stream.store import Claim, ComponentKey, OutboxRow, Run, VersionRow
from stream.transport import Outgoing
from tests.kills.stream import CONFIGURATION, MONITOR
from tests.service.served import drifting_events, wait_for

__all__: list[str] = []

PREDICTIONS = 2_600


class FlakyStore(SQLiteStore):
    """A store that does to the next commits what stands in `faults`, and notes every commit that is offered."""

    def __init__(self, path: Path, faults: Mapping[int, str]) -> None:
        super().__init__(path)
        self.faults = dict(faults)
        self.offered: list[tuple[Mapping[str, int], dict[ComponentKey, bytes | None], list[str], str]] = []
        self.polls_at_claim: list[int] = []
        self.polls: Callable[[], int] = lambda: 0

    def claim(self, pipeline: str, partition: int) -> Claim:
        """Note when."""
        self.polls_at_claim.append(self.polls())
        return super().claim(pipeline, partition)

    def commit(
        self,
        claim: Claim,
        *,
        positions: Mapping[str, int],
        components: Mapping[ComponentKey, bytes | None],
        outbox: Sequence[OutboxRow] = (),
        audit: Sequence[Mapping[str, object]] = (),
        runs: Sequence[Run] = (),
        versions: Sequence[VersionRow] = (),
    ) -> list[int]:
        """Commit, be away, or let another owner come first."""
        fault = self.faults.pop(len(self.offered), "")
        self.offered.append((dict(positions), dict(components), [row.id for row in outbox], fault))
        if fault == "away":
            raise StoreUnavailableError("disk full")
        if fault == "fenced":
            super().claim(claim.pipeline, claim.partition)
        return super().commit(
            claim,
            positions=positions,
            components=components,
            outbox=outbox,
            audit=audit,
            runs=runs,
            versions=versions,
        )


class FlakyTransport(EmbeddedTransport):
    """A transport whose `publish` fails as often as `refusals` says, and that counts its polls."""

    refusals = 0
    polls = 0

    def poll(self, timeout_s: float, max_messages: int) -> list[RawMessage]:
        """Count."""
        messages = super().poll(min(timeout_s, 0.01), max_messages)
        self.polls += 1
        return messages

    def publish(self, topic: str, messages: Sequence[Outgoing]) -> None:
        """Fail, or publish."""
        if self.refusals:
            self.refusals -= 1
            raise BrokerUnavailableError("broker 127.0.0.1:9092 does not answer")
        super().publish(topic, messages)


class MovingTransport(FlakyTransport):
    """Rebalances on demand as Kafka does: parks everything, though the partition stays ours."""

    rebalances = 0

    def generation(self) -> int:
        """Started, and moved so often."""
        return super().generation() + self.rebalances

    def poll(self, timeout_s: float, max_messages: int) -> list[RawMessage]:
        """At some polls the group comes to a new agreement, and nothing is delivered until the next seek."""
        if self.polls in (6, 9):
            self.polls += 1
            self.rebalances += 1
            self._readers.clear()
            return []
        return super().poll(timeout_s, max_messages)


class Rig:
    """A worker in a thread of its own over a fresh folder."""

    def __init__(self, folder: Path, events: list[bytes], transport: type[FlakyTransport] = FlakyTransport) -> None:
        self.config: Config = parse(tomllib.loads(CONFIGURATION) | {"commit": {"interval": "100ms", "events": 400}})
        self.folder, self.faults = folder, dict[int, str]()
        self.log = EmbeddedLog(folder / "log")
        self.transport = transport(self.log, self.config.transport.kafka.topic, partitions=1)
        self.transport.start()
        self.transport.append(MONITOR, events)
        self.total = len(events)
        self.stores: list[FlakyStore] = []
        models = ModelFiles(folder / "models")
        self.worker = Worker(self.config, self.transport, self._open, WebhookSender({}), models=models)
        self._thread = threading.Thread(target=self.worker.run)

    def _open(self) -> FlakyStore:
        store = FlakyStore(self.folder / "checkpoints.sqlite", self.faults)
        store.polls = lambda: self.transport.polls
        self.stores.append(store)
        return store

    def start(self) -> None:
        """Let it work."""
        self._thread.start()

    def run(self) -> FlakyStore:
        """Fold, commit and publish everything, then stop; returns the store."""
        self.start()
        wait_for(self._done, "everything committed and published")
        self.close()
        assert self.worker.fatal is None
        return self.stores[0]

    def _done(self) -> bool:
        if self.worker.fatal is not None:
            raise self.worker.fatal
        service = self.worker.view.get("service", {})
        part = service.get("partitions", {}).get("0", {"position": -1})
        owned = self.worker.owned.get(0)
        idle = owned is not None and not owned.fold_state.uncommitted and owned.pending_commit is None
        return idle and part["position"] == self.total and not any(service["outbox"].values())

    def hash(self) -> str:
        """The committed state's hash, as the view shows it."""
        found: str = self.worker.view["monitors"][MONITOR]["state_sha256"]
        return found

    def published(self, topic: str) -> list[dict[str, Any]]:
        """What was published to a topic of the log."""
        log = EmbeddedLog(self.folder / "log")
        reader = EmbeddedTransport(log, topic, partitions=1)
        reader.start()
        reader.seek(0, 0)
        found = [msgspec.json.decode(message.value or b"") for message in reader.poll(0.1, 100_000)]
        reader.close()
        log.close()
        return found

    def close(self) -> None:
        """Stop the worker and close the log."""
        self.worker.stop.set()
        if self._thread.ident is not None:
            self._thread.join(30)
        self.log.close()


@pytest.fixture(scope="module")
def events() -> list[bytes]:
    """A stream with drifts, bad events and a promotion."""
    return drifting_events(PREDICTIONS)


@pytest.fixture(scope="module")
def expected(events: list[bytes]) -> Replayed:
    """What a replay makes of it."""
    replayed = replay(events, parse(tomllib.loads(CONFIGURATION)), keep_outputs=True)
    assert len(replayed.drifts) >= 3, "the stream must have drifts to lose"
    return replayed


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses and small polls, so that each fault has work on both sides."""
    monkeypatch.setattr(worker_module, "_RETRY_S", 0.02)
    monkeypatch.setattr(worker_module, "_POLL_MESSAGES", 300)


@pytest.fixture
def rig(tmp_path: Path, events: list[bytes], short_pauses: None) -> Iterator[Rig]:
    """A rig on a transport that can refuse."""
    rig = Rig(tmp_path, events)
    yield rig
    rig.close()


@pytest.fixture
def moving(tmp_path: Path, events: list[bytes], short_pauses: None) -> Iterator[Rig]:
    """A rig on a transport that rebalances."""
    rig = Rig(tmp_path, events, MovingTransport)
    yield rig
    rig.close()


def check(rig: Rig, expected: Replayed) -> None:
    """State, records, versions and snapshots are those of the replay, each record published once, the trail whole."""
    assert rig.hash() == expected.summary["monitors"][MONITOR]["state_sha256"]
    drifts = rig.published(rig.config.transport.kafka.drift_topic)
    assert drifts == msgspec.json.decode(msgspec.json.encode(expected.drifts))
    letters = rig.published(rig.config.transport.kafka.dead_letter_topic)
    assert [letter["offset"] for letter in letters] == [reject.offset for reject in expected.rejects]
    made = [output.body for output in expected.outputs if output.kind == "version"]
    assert len(made) >= 3
    shown = rig.worker.view["versions"][MONITOR]["versions"][::-1]
    assert [v | {"snapshot": None} for v in shown] == [v | {"snapshot": None, "blob": "kept"} for v in made]
    files = {path.name: path.read_bytes() for path in (rig.folder / "models").iterdir()}
    assert files == {v["sha256"]: v["snapshot"] for v in made}
    store = SQLiteStore(rig.folder / "checkpoints.sqlite")
    verdicts = verify(store, store.places(), ModelFiles(rig.folder / "models"))
    assert [(verdict.broken_seq, verdict.detail) for verdict in verdicts] == [(None, "")]
    entries = store.audit_entries(rig.config.pipeline.name, 1_000)
    store.close()
    assert [e["version"] for e in reversed(entries) if e["action"] == "version"] == [v["version"] for v in made]


def test_a_store_that_is_away_gets_the_very_same_commit_again(rig: Rig, expected: Replayed) -> None:
    """Each refused commit is offered again with equal positions, state and outbox ids; nothing is lost or doubled."""
    rig.faults.update(dict.fromkeys((1, 2, 5, 6, 7), "away"))
    store = rig.run()
    for number, (positions, components, rows, fault) in enumerate(store.offered):
        if fault == "away":
            assert store.offered[number + 1][:3] == (positions, components, rows)
    assert [fault for *_, fault in store.offered].count("away") == 5
    assert rig.worker.ready()[0]
    check(rig, expected)


def test_no_commit_is_of_twice_as_many_events_as_are_configured(tmp_path: Path, events: list[bytes]) -> None:
    """However much waits, a poll brings no more than `commit.events`, so a crash undoes less than twice that."""
    rig = Rig(tmp_path, events)
    store = rig.run()
    ends = [0, *(next(iter(positions.values())) for positions, *_ in store.offered)]
    assert max(end - start for start, end in itertools.pairwise(ends)) < 2 * rig.config.commit.events


def test_a_full_check_covers_places_that_nobody_owns(rig: Rig) -> None:
    """Entries that were moved to a partition without an owner's row are told, beside the owned partition's verdict."""
    SQLiteStore(rig.folder / "checkpoints.sqlite").close()
    with sqlite3.connect(rig.folder / "checkpoints.sqlite") as db:
        db.execute(
            "INSERT INTO audit (pipeline, partition, seq, entry, prev, sha256) VALUES (?, 7, 1, '{}', x'00', x'00')",
            (rig.config.pipeline.name,),
        )
    db.close()
    rig.start()
    wait_for(lambda: 0 in rig.worker.owned, "the claim")
    owned, stray = rig.worker.verify_audit().result(30)
    assert (owned.partition, owned.broken_seq) == (0, None)
    assert (stray.partition, stray.broken_seq) == (7, 0)
    assert "owner's row" in stray.detail


def test_the_problem_is_named_while_the_store_is_away(rig: Rig) -> None:
    """While the store refuses, readiness names it with the reason; nothing of the owed commit is seen outside."""
    rig.faults.update(dict.fromkeys(range(1, 40), "away"))
    rig.start()
    wait_for(lambda: "disk full" in rig.worker.ready()[1]["store"], "the store's problem")
    assert not rig.worker.ready()[0]
    committed = rig.stores[0].offered[0][0][rig.transport.topic]
    assert rig.worker.view["monitors"][MONITOR]["counts"]["predictions"] <= committed
    wait_for(lambda: rig.worker.ready()[0], "ready again")


def test_a_fenced_partition_is_released_and_claimed_after_a_poll(rig: Rig, expected: Replayed) -> None:
    """Another owner's claim rolls the commit back; memory is dropped, the partition claimed again after another poll
    and read again from the committed position: same state, every record once."""
    rig.faults.update({2: "fenced", 6: "fenced"})
    store = rig.run()
    fences = [number for number, (*_, fault) in enumerate(store.offered) if fault == "fenced"]
    assert fences == [2, 6]
    # The worker's first claim, and one after each fence: each with a poll of its own before it.
    own = store.polls_at_claim
    assert len(own) == 3, own
    assert own[0] < own[1] < own[2]
    check(rig, expected)


def test_a_broker_that_is_away_delays_publication_only(rig: Rig, expected: Replayed) -> None:
    """While publishing fails the rows stay in the outbox and readiness names the broker; later each is published."""
    rig.transport.refusals = 1_000_000
    rig.start()
    wait_for(lambda: "does not answer" in rig.worker.ready()[1]["broker"], "the broker's problem")
    wait_for(lambda: rig.worker.view["service"]["partitions"]["0"]["position"] == rig.total, "all folded meanwhile")
    assert sum(rig.worker.view["service"]["outbox"].values()) >= len(expected.drifts)
    assert not rig.worker.ready()[0]
    rig.transport.refusals = 0
    wait_for(rig._done, "everything published")
    wait_for(lambda: rig.worker.ready()[0], "ready again")
    rig.close()
    check(rig, expected)


def test_a_rebalance_that_changes_nothing_does_not_stop_the_worker(moving: Rig, expected: Replayed) -> None:
    """A partition that stays ours through a rebalance is parked by the transport: the worker seeks it anew."""
    moving.run()
    assert moving.transport.generation() >= 2
    assert len(moving.stores[0].polls_at_claim) == 1
    check(moving, expected)


def test_a_broker_that_is_away_at_the_start_is_waited_for(
    rig: Rig, expected: Replayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker tries to connect until it can, says so meanwhile, and then works as ever."""
    refusals = iter([True, True, True])
    begin = rig.transport.start

    def start() -> None:
        if next(refusals, False):
            raise BrokerUnavailableError("nobody answers")
        begin()

    monkeypatch.setattr(rig.transport, "start", start)
    rig.start()
    wait_for(lambda: rig.worker.problems["broker"] == "nobody answers", "the problem to be named")
    wait_for(rig._done, "everything committed and published")
    rig.close()
    check(rig, expected)
