"""The laws of a checkpoint store, held to the SQLite store."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream.errors import FencedError, StoreUnavailableError
from stream.sqlite_state import CHUNK_BYTES
from stream.sqlite_store import SQLiteStore
from stream.store import CheckpointStore, Claim, ComponentKey, OutboxRow, VersionRow

__all__ = ["KEY", "OTHER", "StoreLaws", "rows"]

KEY = ComponentKey("fraud", "", "detectors")
OTHER = ComponentKey("fraud", "web", "learners")


def rows(*names: str, destination: str = "topic:drifts", due_ms: int = 0) -> list[OutboxRow]:
    """Return outbox rows with these ids."""
    return [OutboxRow(name, "drift", destination, b"body of " + name.encode(), due_ms) for name in names]


class StoreLaws:
    """Subclass it with a fixture `open_store` that (re)opens the same store."""

    @pytest.fixture
    def store(self, open_store: Callable[[], CheckpointStore]) -> CheckpointStore:
        """Return the store, opened."""
        return open_store()

    def test_a_fresh_partition_is_empty(self, store: CheckpointStore) -> None:
        """The first claim has epoch 1, no positions and no components."""
        claim = store.claim("main", 0)
        assert claim == Claim("main", 0, 1, {}, {})

    def test_what_is_committed_is_claimed(self, open_store: Callable[[], CheckpointStore]) -> None:
        """After a restart a claim returns exactly what was committed, one epoch later."""
        store = open_store()
        claim = store.claim("main", 3)
        blobs = {KEY: b"\x00\xff" * 50, OTHER: b""}
        store.commit(claim, positions={"events/3": 2**63 - 1, "labels/3": 0}, components=blobs)
        again = open_store().claim("main", 3)
        assert again == Claim("main", 3, 2, {"events/3": 2**63 - 1, "labels/3": 0}, blobs)

    def test_unnamed_components_stay(self, open_store: Callable[[], CheckpointStore]) -> None:
        """A commit changes the components that it names, deletes those that are None and leaves the others."""
        store = open_store()
        claim = store.claim("main", 0)
        third = ComponentKey("churn", "", "join")
        store.commit(claim, positions={"e/0": 1}, components={KEY: b"a", OTHER: b"b", third: b"c"})
        store.commit(claim, positions={"e/0": 2}, components={KEY: b"A", OTHER: None, ComponentKey("x", "", ""): None})
        assert open_store().claim("main", 0).components == {KEY: b"A", third: b"c"}

    @pytest.mark.parametrize("size", [CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES])
    def test_blobs_of_any_size(self, open_store: Callable[[], CheckpointStore], size: int) -> None:
        """Blobs around and above the size of a chunk come back whole, also after they grew, shrank and changed."""
        store = open_store()
        claim = store.claim("main", 0)
        generator = random.Random(size)
        for step, length in enumerate((size, size, 3 * size, size // 2, 0, size)):
            blob = generator.randbytes(length)
            store.commit(claim, positions={"e/0": step}, components={KEY: blob})
            store = open_store()
            claim = store.claim("main", 0)
            assert claim.components == {KEY: blob}

    def test_a_zombie_is_fenced(self, store: CheckpointStore) -> None:
        """An owner that was replaced stores nothing at all, neither state nor outbox nor audit."""
        zombie = store.claim("main", 0)
        owner = store.claim("main", 0)
        store.commit(owner, positions={"e/0": 5}, components={KEY: b"owner"}, outbox=rows("first"))
        with pytest.raises(FencedError, match="epoch 1"):
            store.commit(
                zombie,
                positions={"e/0": 3},
                components={KEY: b"zombie", OTHER: b"zombie"},
                outbox=rows("second"),
                audit=[{"action": "zombie"}],
                runs=[("e", 0, 3)],
                versions=[VersionRow("fraud", 1, "ab", b"zombie")],
            )
        store.commit(owner, positions={"e/0": 6}, components={})
        assert [stored.row.id for stored in store.outbox_due("main", 0, 0, 10)] == ["first"]
        assert store.audit_entries("main", 10) == []
        assert store.runs("main", 0) == []
        assert store.versions("main", 0) == []
        assert store.claim("main", 0) == Claim("main", 0, 3, {"e/0": 6}, {KEY: b"owner"})

    def test_partitions_and_pipelines_are_apart(self, store: CheckpointStore) -> None:
        """Claims, state and outbox of one partition or pipeline never show in another."""
        claims = [store.claim("main", 0), store.claim("main", 1), store.claim("canary", 0)]
        for n, claim in enumerate(claims):
            store.commit(
                claim, positions={"e": n}, components={KEY: b"%d" % n}, outbox=rows(f"row {n}"), audit=[{"n": n}]
            )
        for n, (pipeline, partition) in enumerate([("main", 0), ("main", 1), ("canary", 0)]):
            assert [stored.row.id for stored in store.outbox_due(pipeline, partition, 0, 9)] == [f"row {n}"]
            assert store.claim(pipeline, partition) == Claim(pipeline, partition, 2, {"e": n}, {KEY: b"%d" % n})
        assert store.audit_entries("main", 9) == [{"n": 1}, {"n": 0}]

    def test_a_failed_commit_leaves_nothing(self, store: CheckpointStore) -> None:
        """A commit that fails half way is rolled back whole, and the claim can go on."""
        claim = store.claim("main", 0)
        with pytest.raises(TypeError):
            store.commit(claim, positions={"e": 1}, components={KEY: b"x"}, outbox=rows("x"), audit=[{"bad": object()}])
        assert store.outbox_due("main", 0, 0, 9) == []
        store.commit(claim, positions={"e": 2}, components={OTHER: b"y"})
        assert store.claim("main", 0) == Claim("main", 0, 2, {"e": 2}, {OTHER: b"y"})

    def test_outbox(self, open_store: Callable[[], CheckpointStore]) -> None:
        """Rows come due in order, wait for their time, are retried and end as done, across restarts."""
        store = open_store()
        claim = store.claim("main", 0)
        seqs = store.commit(claim, positions={}, components={}, outbox=rows("a", "b") + rows("later", due_ms=100))
        seqs += store.commit(claim, positions={}, components={}, outbox=rows("hook", destination="webhook:pager"))
        assert seqs == sorted(set(seqs))
        assert store.outbox_size("main", 0) == {"topic:drifts": 3, "webhook:pager": 1}
        assert [s.row.id for s in store.outbox_due("main", 0, 99, 10)] == ["a", "b", "hook"]
        assert [s.row.id for s in store.outbox_due("main", 0, 100, 2)] == ["a", "b"]
        store.mark("main", 0, done=[seqs[0], seqs[2]], retry=[(seqs[3], 4, 500)])
        store = open_store()
        assert [s.row.id for s in store.outbox_due("main", 0, 499, 10)] == ["b"]
        late = store.outbox_due("main", 0, 500, 10)
        assert [(s.row.id, s.tries, s.row.due_ms, s.seq) for s in late] == [
            ("b", 0, 0, seqs[1]),
            ("hook", 4, 500, seqs[3]),
        ]
        assert store.outbox_size("main", 0) == {"topic:drifts": 1, "webhook:pager": 1}
        done = store.outbox_done("main", 0, 10)
        assert [(s.row.id, s.row.body) for s in done] == [("later", b"body of later"), ("a", b"body of a")]
        assert [s.row.id for s in store.outbox_done("main", 0, 1)] == ["later"]

    def test_audit(self, open_store: Callable[[], CheckpointStore]) -> None:
        """Audit entries come back as they were, newest first."""
        store = open_store()
        claim = store.claim("main", 0)
        store.commit(claim, positions={}, components={}, audit=[{"action": "promote", "offset": 7, "to": None}])
        store.commit(claim, positions={}, components={}, audit=[{"action": "roll_back", "who": "zoë"}])
        newest = {"action": "roll_back", "who": "zoë"}
        store = open_store()
        assert store.audit_entries("main", 10) == [newest, {"action": "promote", "offset": 7, "to": None}]
        assert store.audit_entries("main", 1) == [newest]

    def test_the_audit_trail_is_a_chain(self, open_store: Callable[[], CheckpointStore]) -> None:
        """Each partition has a chain of its own, numbered from 1, that goes on after a restart and is verified."""
        store = open_store()
        for _ in range(2):
            for partition in (0, 1):
                claim = store.claim("main", partition)
                store.commit(claim, positions={}, components={}, audit=[{"n": 1}, {"n": 2}])
            store = open_store()
        newest, *_, first = found = store.audit_rows("main", 1, 10)
        assert [(row.partition, row.seq, row.entry) for row in found] == [
            (1, n, {"n": 2 - n % 2}) for n in range(4, 0, -1)
        ]
        assert first.previous == "00" * 32
        assert [row.previous for row in found[:-1]] == [row.sha256 for row in found[1:]]
        assert store.audit_rows("main", 1, 2) == found[:2]
        assert store.places() == [("main", 0), ("main", 1)]
        verdict = store.verify_audit("main", 1)
        assert (verdict.entries, verdict.head, verdict.broken_seq) == (4, newest.sha256, None)
        assert store.verify_audit("main", 7).entries == 0

    def test_versions(self, open_store: Callable[[], CheckpointStore]) -> None:
        """Versions are inserted, replaced and deleted by number with the commit; the blobs they name are listed."""
        store = open_store()
        claim = store.claim("main", 0)
        first = [VersionRow("fraud", n, f"blob{n}", b"version %d" % n) for n in (1, 2, 3)]
        store.commit(claim, positions={}, components={}, versions=first)
        evicted = VersionRow("fraud", 1, "", b"version 1, evicted")
        churn = VersionRow("churn", 1, "blob3", b"another monitor")
        store.commit(claim, positions={}, components={}, versions=[evicted, VersionRow("fraud", 2, "", None), churn])
        other = store.claim("canary", 0)
        store.commit(other, positions={}, components={}, versions=[VersionRow("fraud", 1, "blob9", b"canary")])
        store = open_store()
        assert store.versions("main", 0) == [churn, evicted, first[2]]
        assert store.versions("main", 1) == []
        assert store.version_blobs() == {"blob3", "blob9"}

    def test_runs(self, open_store: Callable[[], CheckpointStore]) -> None:
        """Runs keep the order in which topics were read, joined where one follows the other without a gap."""
        store = open_store()
        claim = store.claim("main", 0)
        store.commit(claim, positions={}, components={}, runs=[("p", 0, 5), ("p", 5, 9), ("l", 0, 2)])
        store.commit(claim, positions={}, components={}, runs=[("l", 2, 3), ("p", 9, 10), ("p", 12, 13)])
        assert open_store().runs("main", 0) == [("p", 0, 9), ("l", 0, 3), ("p", 9, 10), ("p", 12, 13)]

    def test_closed(self, store: CheckpointStore) -> None:
        """A closed store is unavailable, and closing twice does nothing."""
        store.close()
        store.close()
        with pytest.raises(StoreUnavailableError, match="closed"):
            store.claim("main", 0)


class TestSQLite(StoreLaws):
    """The laws on SQLite."""

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[Callable[[], SQLiteStore]]:
        """Close what is open and open the file again."""
        opened: list[SQLiteStore] = []

        def reopen() -> SQLiteStore:
            for store in opened:
                store.close()
            opened.append(SQLiteStore(tmp_path / "state.db"))
            return opened[-1]

        yield reopen
        for store in opened:
            store.close()
