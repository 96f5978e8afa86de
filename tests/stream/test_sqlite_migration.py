"""A store of format 1, made by hand, opens, is chained and signed, and goes on; a damaged one is refused as it is."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from stream.errors import StoreCorruptError
from stream.sqlite_store import SQLiteStore
from stream.store import Claim
from tests.stream.test_store import KEY, OTHER, rows

__all__: list[str] = []

_FORMAT_1 = """
CREATE TABLE owner (
    pipeline TEXT NOT NULL, partition INTEGER NOT NULL, epoch INTEGER NOT NULL, positions TEXT NOT NULL,
    sha256 BLOB NOT NULL, PRIMARY KEY (pipeline, partition)
) WITHOUT ROWID;
CREATE TABLE state (
    pipeline TEXT NOT NULL, partition INTEGER NOT NULL, monitor TEXT NOT NULL, segment TEXT NOT NULL,
    component TEXT NOT NULL, size INTEGER NOT NULL, sha256 BLOB NOT NULL,
    PRIMARY KEY (pipeline, partition, monitor, segment, component)
) WITHOUT ROWID;
CREATE TABLE chunk (
    pipeline TEXT NOT NULL, partition INTEGER NOT NULL, monitor TEXT NOT NULL, segment TEXT NOT NULL,
    component TEXT NOT NULL, number INTEGER NOT NULL, sha256 BLOB NOT NULL, bytes BLOB NOT NULL,
    UNIQUE (pipeline, partition, monitor, segment, component, number)
);
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, pipeline TEXT NOT NULL, partition INTEGER NOT NULL, id TEXT NOT NULL,
    kind TEXT NOT NULL, destination TEXT NOT NULL, body BLOB NOT NULL, crc32 INTEGER NOT NULL, due_ms INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX outbox_unsent ON outbox (pipeline, partition, due_ms) WHERE done = 0;
CREATE INDEX outbox_sent ON outbox (pipeline, partition, destination, seq) WHERE done = 1;
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, pipeline TEXT NOT NULL, partition INTEGER NOT NULL, entry TEXT NOT NULL
);
CREATE TABLE run (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, pipeline TEXT NOT NULL, partition INTEGER NOT NULL, topic TEXT NOT NULL,
    first INTEGER NOT NULL, next INTEGER NOT NULL
);
CREATE INDEX run_place ON run (pipeline, partition, seq);
PRAGMA application_id = 1097750369;
PRAGMA user_version = 1;
"""


def _digest(text: str, more: bytes = b"") -> bytes:
    return hashlib.sha256(text.encode() + more).digest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """One partition with a component of one chunk and two audit entries, another with one entry; as format 1 was."""
    file = tmp_path / "state.db"
    db = sqlite3.connect(file)
    db.executescript(_FORMAT_1)
    blob, key = b"the state", ("fraud", "", "detectors")
    chunk = hashlib.sha256(blob).digest()
    root = _digest(repr((*key, len(blob))), chunk)
    db.execute("INSERT INTO state VALUES ('main', 0, ?, ?, ?, ?, ?)", (*key, len(blob), root))
    db.execute("INSERT INTO chunk VALUES ('main', 0, ?, ?, ?, 0, ?, ?)", (*key, chunk, blob))
    for partition, state in ((0, root), (1, bytes(32))):
        signature = _digest(repr((("main", partition), 4, '{"e/0": 9}', state)))
        db.execute("INSERT INTO owner VALUES ('main', ?, 4, '{\"e/0\": 9}', ?)", (partition, signature))
    for partition, n in ((0, 1), (1, 2), (0, 3)):
        entry = json.dumps({"action": "promote", "n": n}, sort_keys=True)
        db.execute("INSERT INTO audit (pipeline, partition, entry) VALUES ('main', ?, ?)", (partition, entry))
    db.commit()
    db.close()
    return file


def test_a_store_of_format_1_goes_on(path: Path) -> None:
    """State, positions and entries are kept, the entries are chained, and commits go on in the new format."""
    store = SQLiteStore(path)
    claim = store.claim("main", 0)
    assert claim == Claim("main", 0, 5, {"e/0": 9}, {KEY: b"the state"})
    assert [entry["n"] for entry in store.audit_entries("main", 9)] == [3, 2, 1]
    assert [(row.seq, row.entry["n"]) for row in store.audit_rows("main", 0, 9)] == [(2, 3), (1, 1)]
    assert store.audit_rows("main", 1, 9)[0].previous == "00" * 32
    assert store.versions("main", 0) == []
    store.commit(claim, positions={"e/0": 10}, components={OTHER: b"y"}, audit=[{"n": 4}], outbox=rows("a"))
    store.close()
    store = SQLiteStore(path)
    assert [store.verify_audit(*place).broken_seq for place in store.places()] == [None, None]
    assert store.verify_audit("main", 0).entries == 3
    assert store.claim("main", 0) == Claim("main", 0, 6, {"e/0": 10}, {KEY: b"the state", OTHER: b"y"})
    store.close()


def test_damage_is_not_signed_anew(path: Path) -> None:
    """A store of format 1 that is not what its last commit signed is refused and stays of format 1."""
    with sqlite3.connect(path) as db:
        db.execute("UPDATE owner SET positions = '{}' WHERE partition = 1")
    db.close()
    with pytest.raises(StoreCorruptError, match="main/1 is not what its last commit signed"):
        SQLiteStore(path)
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM audit").fetchone() == (3,)
    db.close()


def test_other_tables_are_told(path: Path) -> None:
    """A file that says format 1 and has not its tables is refused."""
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE audit")
    db.close()
    with pytest.raises(StoreCorruptError, match="not those of format 1"):
        SQLiteStore(path)
