"""Faults of the SQLite store: kills, flipped bytes, vanished rows, a full disk, somebody else's file."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.errors import FencedError, StoreCorruptError, StoreUnavailableError
from stream.failpoints import FAILPOINTS
from stream.sqlite_state import CHUNK_BYTES
from stream.sqlite_store import SQLiteStore
from stream.store import Claim, ComponentKey, VersionRow
from tests.stream.test_store import KEY, OTHER, rows

__all__: list[str] = []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a store's file."""
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    """Yield an open store."""
    store = SQLiteStore(path, keep_sent=20)
    yield store
    store.close()


def test_only_changed_chunks_are_written(store: SQLiteStore, path: Path) -> None:
    """A change of one byte in an 8 MB blob writes one chunk, and the same blob again writes none."""
    claim = store.claim("main", 0)
    blob = bytearray(random.Random(1).randbytes(8_000_000))
    store.commit(claim, positions={"e": 1}, components={KEY: bytes(blob)})
    wal = path.with_name(path.name + "-wal")
    store._open_connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    blob[4_000_000] ^= 1
    store.commit(claim, positions={"e": 2}, components={KEY: bytes(blob)})
    assert wal.stat().st_size < 3 * CHUNK_BYTES
    store._open_connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.commit(claim, positions={"e": 3}, components={KEY: bytes(blob)})
    assert wal.stat().st_size < CHUNK_BYTES / 2
    assert store.claim("main", 0).components == {KEY: bytes(blob)}


def test_settings_survive_power_loss(store: SQLiteStore, path: Path) -> None:
    """Commits are durable: write-ahead log, a full sync at each commit, no second connection."""
    connection = store._open_connection()
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    with pytest.raises(StoreUnavailableError, match="locked"):
        SQLiteStore(path)


def test_the_epoch_in_the_file_decides(store: SQLiteStore) -> None:
    """A claim that another process has replaced is fenced by the file itself, and everything is rolled back."""
    claim = store.claim("main", 0)
    store.commit(claim, positions={"e": 1}, components={KEY: b"mine"})
    owner = store._open_connection().execute("SELECT positions, sha256 FROM owner").fetchone()
    store._open_connection().execute("UPDATE owner SET epoch = 2")
    with pytest.raises(FencedError, match="epoch 1"):
        store.commit(claim, positions={"e": 2}, components={KEY: b"zombie"}, outbox=rows("x"), runs=[("e", 0, 2)])
    assert store._open_connection().execute("SELECT positions, sha256 FROM owner").fetchone() == owner
    assert store._open_connection().execute("SELECT bytes FROM chunk").fetchall() == [(b"mine",)]
    assert store.outbox_size("main", 0) == {}
    assert store.runs("main", 0) == []


def test_sent_rows_are_bounded(store: SQLiteStore) -> None:
    """Of each destination the newest sent rows are kept; unsent rows always are."""
    claim = store.claim("main", 0)
    for start in range(0, 60, 10):
        names = [f"{n}" for n in range(start, start + 10)]
        many = store.commit(claim, positions={}, components={}, outbox=rows(*names))
        store.mark("main", 0, done=many)
    alert = store.commit(claim, positions={}, components={}, outbox=rows("alert", "unsent", destination="webhook:w"))
    store.mark("main", 0, done=alert[:1])
    kept = [stored.row.id for stored in store.outbox_done("main", 0, 1000)]
    assert kept == ["alert", *(f"{n}" for n in reversed(range(40, 60)))]
    assert store.outbox_size("main", 0) == {"webhook:w": 1}


def test_a_newer_format_is_refused(path: Path) -> None:
    """A file of a newer version is refused with both versions named, and stays as it is."""
    SQLiteStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreCorruptError, match=r"format 7.*up to 2"):
        SQLiteStore(path)
    assert path.read_bytes() == before


def test_a_foreign_file_is_refused(path: Path) -> None:
    """Somebody else's SQLite file and a file that is none are refused."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreCorruptError, match="no checkpoint store"):
        SQLiteStore(path)
    path.write_bytes(b"not a database, but long enough to be looked at " * 100)
    with pytest.raises(StoreCorruptError, match="not a database"):
        SQLiteStore(path)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    """A file that cannot be made is a store that is unavailable."""
    with pytest.raises(StoreUnavailableError, match="unable to open"):
        SQLiteStore(tmp_path / "nowhere" / "state.db")


def test_a_full_disk(store: SQLiteStore) -> None:
    """When space runs out nothing of the commit is stored, and the same commit succeeds once there is space."""
    claim = store.claim("main", 0)
    store.commit(claim, positions={"e": 1}, components={KEY: b"old"})
    connection = store._open_connection()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    blob = random.Random(2).randbytes(300_000)
    with pytest.raises(StoreUnavailableError, match="full"):
        store.commit(claim, positions={"e": 2}, components={KEY: blob}, outbox=rows("x"))
    assert store.outbox_due("main", 0, 0, 9) == []
    connection.execute("PRAGMA max_page_count = 1000000")
    store.commit(claim, positions={"e": 2}, components={KEY: blob}, outbox=rows("x"))
    assert store.claim("main", 0) == Claim("main", 0, 2, {"e": 2}, {KEY: blob})


def test_flipped_bytes_are_never_used(path: Path, tmp_path: Path) -> None:
    """With any byte of the file flipped a claim returns exactly what was committed or raises StoreCorruptError."""
    store = SQLiteStore(path)
    claim = store.claim("main", 0)
    generator = random.Random(3)
    blobs = {
        KEY: generator.randbytes(90_000),
        **{ComponentKey("fraud", "", f"part {n}"): generator.randbytes(40 * n) for n in range(20)},
    }
    store.commit(claim, positions={"events/0": 123_456}, components=blobs, outbox=rows("a", "b"))
    store.close()
    intact = path.read_bytes()
    copy = tmp_path / "flipped.db"
    refused = 0
    for _ in range(400):
        flipped = bytearray(intact)
        flipped[generator.randrange(len(flipped))] ^= 1 << generator.randrange(8)
        copy.write_bytes(flipped)
        refused += _claims_exactly(copy, blobs)
    assert refused > 200


def _claims_exactly(path: Path, blobs: dict[ComponentKey, bytes]) -> int:
    """Return 1 if the damage was told, 0 if it did not matter; fail if it was served."""
    opened: list[SQLiteStore] = []
    try:
        opened.append(SQLiteStore(path))
        claim = opened[0].claim("main", 0)
        assert claim == Claim("main", 0, claim.epoch, {"events/0": 123_456}, blobs)
        assert claim.epoch == 2
    except StoreCorruptError:
        return 1
    finally:
        for store in opened:
            store._open_connection().close()
        for leftover in path.parent.glob(path.name + "-*"):
            leftover.unlink()
    return 0


def test_a_vanished_row_is_told(store: SQLiteStore) -> None:
    """State that lacks a component, or has one too many, is refused although every row is intact by itself."""
    claim = store.claim("main", 0)
    store.commit(claim, positions={"e": 1}, components={KEY: b"a", OTHER: b"b"})
    connection = store._open_connection()
    connection.execute("DELETE FROM state WHERE segment = 'web'")
    connection.execute("DELETE FROM chunk WHERE segment = 'web'")
    with pytest.raises(StoreCorruptError, match="signed"):
        store.claim("main", 0)
    connection.execute("DELETE FROM owner")
    with pytest.raises(StoreCorruptError, match="no owner"):
        store.claim("main", 0)


def test_a_flipped_outbox_row_is_told(store: SQLiteStore) -> None:
    """A damaged alert is not sent."""
    store.commit(store.claim("main", 0), positions={}, components={}, outbox=rows("a"))
    store._open_connection().execute("UPDATE outbox SET body = x'00'")
    with pytest.raises(StoreCorruptError, match="outbox row 1"):
        store.outbox_due("main", 0, 0, 1)


def test_a_damaged_version_is_told(store: SQLiteStore) -> None:
    """A version whose row was changed is an error that names it."""
    claim = store.claim("main", 0)
    store.commit(claim, positions={}, components={}, versions=[VersionRow("fraud", 7, "ab", b"{}")])
    store._open_connection().execute("UPDATE version SET blob = 'cd'")
    with pytest.raises(StoreCorruptError, match="version 7 of monitor 'fraud'"):
        store.versions("main", 0)


_WRITER = """
import sys
from pathlib import Path
from stream.sqlite_store import SQLiteStore
from stream.store import ComponentKey, OutboxRow, VersionRow
store = SQLiteStore(Path(sys.argv[1]))
claim = store.claim("main", 0)
key = ComponentKey("fraud", "", "detectors")
for n in range(1, 100):
    row = OutboxRow(f"row {n}", "drift", "topic:drifts", b"%d" % n)
    seqs = store.commit(claim, positions={"e": n}, components={key: b"%06d" % n * 30_000}, outbox=[row],
                        audit=[{"n": n}], runs=[("e", n - 1, n)], versions=[VersionRow("fraud", n, "blob", b"%d" % n)])
    print(n, flush=True)
    store.mark("main", 0, done=seqs)
    print(-n, flush=True)
"""


@pytest.mark.parametrize("point", [name for name in FAILPOINTS if name.startswith("store.")])
def test_a_kill_leaves_a_whole_commit(path: Path, point: str) -> None:
    """After SIGKILL at any named point the store holds the old or the new commit, whole."""
    hit = 3
    environment = {
        **os.environ,
        "ANCHORWATCH_FAILPOINT": point,
        "ANCHORWATCH_FAILPOINT_HIT": str(hit),
        "PYTHONPATH": ".",
    }
    writer = subprocess.run(
        [sys.executable, "-c", _WRITER, str(path)], env=environment, capture_output=True, timeout=60, check=False
    )
    assert writer.returncode == -signal.SIGKILL, writer.stderr.decode()
    printed = [int(line) for line in writer.stdout.split()]
    acknowledged, marked = max(printed), -min(printed)
    store = SQLiteStore(path)
    claim = store.claim("main", 0)
    n = claim.positions["e"]
    assert n in {acknowledged, acknowledged + 1}
    if point in {"store.after_commit", "store.before_mark", "store.after_mark"}:
        assert n == hit
    else:
        assert n == hit - 1
    assert claim.components == {KEY: b"%06d" % n * 30_000}
    assert [entry["n"] for entry in store.audit_entries("main", 1000)] == list(range(n, 0, -1))
    assert store.verify_audit("main", 0).broken_seq is None
    assert store.versions("main", 0) == [VersionRow("fraud", i, "blob", b"%d" % i) for i in range(1, n + 1)]
    assert store.runs("main", 0) == [("e", 0, n)]
    due = [stored.row.id for stored in store.outbox_due("main", 0, 0, 1000)]
    done = [stored.row.id for stored in store.outbox_done("main", 0, 1000)]
    assert list(reversed(done)) + due == [f"row {i}" for i in range(1, n + 1)]
    assert len(done) - marked in {0, 1}
    store.close()


def test_random_kills_keep_what_was_acknowledged(path: Path) -> None:
    """A writer killed at random moments, six times in a row on the same file, never loses a printed commit."""
    generator = random.Random(4)
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], env={**os.environ, "PYTHONPATH": "."}, stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        wanted = generator.randrange(1, 30)
        lines = [int(writer.stdout.readline()) for _ in range(wanted)]
        writer.kill()
        lines += [int(line) for line in writer.stdout.read().split(b"\n")[:-1]]
        writer.stdout.close()
        writer.wait()
        store = SQLiteStore(path)
        n = store.claim("main", 0).positions["e"]
        assert n in {max(lines), max(lines) + 1}
        assert store.claim("main", 0).components == {KEY: b"%06d" % n * 30_000}
        store.close()
    shutil.rmtree(path.parent)


def test_an_unknown_failpoint_is_refused(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt failpoint is an error that lists the right ones, instead of a test that waits for ever."""
    claim = store.claim("main", 0)
    monkeypatch.setenv("ANCHORWATCH_FAILPOINT", "store.after_comit")
    with pytest.raises(ValueError, match=r"store\.after_comit.*store\.after_commit"):
        store.commit(claim, positions={}, components={})
