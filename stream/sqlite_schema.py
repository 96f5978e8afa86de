"""The tables of the SQLite store, and the way from an older format to this one.

A newcomer needs one fact: a store of format 1 is checked before it is changed, so that damage never gets a valid new
signature; the change is one transaction.
"""

from __future__ import annotations

import hashlib
import sqlite3

from stream.audit_chain import ChainHead, ChainLink, link_hash
from stream.errors import StoreCorruptError
from stream.sqlite_owner import sign_owner
from stream.sqlite_state import read_state

__all__ = ["FORMAT", "create", "migrate"]

FORMAT = 2

_AUDIT = """
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, pipeline TEXT NOT NULL, partition INTEGER NOT NULL, seq INTEGER NOT NULL,
    entry TEXT NOT NULL, prev BLOB NOT NULL, sha256 BLOB NOT NULL
);
CREATE INDEX audit_place ON audit (pipeline, partition, seq)"""
_VERSION = """
CREATE TABLE version (
    pipeline TEXT NOT NULL, partition INTEGER NOT NULL, monitor TEXT NOT NULL, number INTEGER NOT NULL,
    blob TEXT NOT NULL, body BLOB NOT NULL, sha256 BLOB NOT NULL, PRIMARY KEY (pipeline, partition, monitor, number)
) WITHOUT ROWID"""
_TABLES = f"""
CREATE TABLE owner (
    pipeline TEXT NOT NULL, partition INTEGER NOT NULL, epoch INTEGER NOT NULL, positions TEXT NOT NULL,
    sha256 BLOB NOT NULL, audit_seq INTEGER NOT NULL DEFAULT 0, audit_sha256 BLOB NOT NULL DEFAULT x'',
    PRIMARY KEY (pipeline, partition)
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
CREATE TABLE run (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, pipeline TEXT NOT NULL, partition INTEGER NOT NULL, topic TEXT NOT NULL,
    first INTEGER NOT NULL, next INTEGER NOT NULL
);
CREATE INDEX run_place ON run (pipeline, partition, seq);
{_AUDIT};
{_VERSION}
"""


def create(connection: sqlite3.Connection) -> None:
    """Make all tables, inside the transaction that is open."""
    _run(connection, _TABLES)
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def _run(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";"):
        connection.execute(statement)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a store of format 1 to this format, inside the transaction that is open: audit entries are chained in
    their order, and each owner's row signs the head of its chain.

    Raises
    ------
    StoreCorruptError
        The store is not what its last commit signed, or has not the tables of its format.
    """
    try:
        owners = connection.execute("SELECT pipeline, partition, epoch, positions, sha256 FROM owner").fetchall()
        states = {}
        for pipeline, partition, epoch, positions, signature in owners:
            place = (pipeline, partition)
            states[place] = read_state(connection, *place)[0].signature()
            if signature != _sign_owner_1(place, epoch, positions, states[place]):
                raise _corrupt(f"the state of {pipeline}/{partition} is not what its last commit signed")
        heads = _chain(connection)
        _run(
            connection,
            "ALTER TABLE owner ADD COLUMN audit_seq INTEGER NOT NULL DEFAULT 0;"
            "ALTER TABLE owner ADD COLUMN audit_sha256 BLOB NOT NULL DEFAULT x'';" + _VERSION,
        )
        for pipeline, partition, epoch, positions, _ in owners:
            place = (pipeline, partition)
            head = heads.get(place, ChainHead())
            signature = sign_owner(place, epoch, positions, state=states[place], audit=head)
            connection.execute(
                "UPDATE owner SET sha256 = ?, audit_seq = ?, audit_sha256 = ? WHERE pipeline = ? AND partition = ?",
                (signature, head.seq, head.sha256, *place),
            )
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    except sqlite3.OperationalError as error:
        # Only what names a wrong table or column: a full disk or a busy file is no damage.
        if error.sqlite_errorname == "SQLITE_ERROR":
            raise _corrupt(f"its tables are not those of format 1 ({error})") from error
        raise


def _sign_owner_1(place: tuple[str, int], epoch: int, positions: str, state: bytes) -> bytes:
    return hashlib.sha256(repr((place, epoch, positions, state)).encode()).digest()


def _chain(connection: sqlite3.Connection) -> dict[tuple[str, int], ChainHead]:
    """Rebuild the audit table as chains; returns their heads."""
    entries = connection.execute("SELECT pipeline, partition, entry FROM audit ORDER BY seq").fetchall()
    _run(connection, "DROP TABLE audit;" + _AUDIT)
    heads: dict[tuple[str, int], ChainHead] = {}
    for pipeline, partition, entry in entries:
        place = (pipeline, partition)
        head = heads.get(place, ChainHead())
        link = ChainLink(head.seq + 1, entry, head.sha256, link_hash(head.sha256, place, head.seq + 1, entry))
        connection.execute(
            "INSERT INTO audit (pipeline, partition, seq, entry, prev, sha256) VALUES (?, ?, ?, ?, ?, ?)",
            (*place, link.seq, link.entry, link.previous, link.sha256),
        )
        heads[place] = ChainHead(link.seq, link.sha256)
    return heads


def _corrupt(found: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"the store cannot be brought to format {FORMAT}: {found}. Restore the data folder from a backup, or delete it "
        "to start anew"
    )
