"""The checkpoint store in one SQLite file: for one process, with one connection.

A newcomer needs one fact: every stored byte that a claim reads is under a checksum, and the owner's row signs
the list of all components, so that a flipped bit or a vanished row is an error and never an older or mixed state.

Write-ahead log with synchronous=FULL: a commit is one fsync of the log, so it survives kill -9 and power loss.
Exclusive locking keeps every other connection out. SQLite before 3.51.3 can corrupt a file in WAL mode when
several connections write and checkpoint; with a single one that cannot happen, and no shared memory is needed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from stream.audit_chain import ChainHead
from stream.durable_files import sync_folder
from stream.errors import FencedError, StoreCorruptError, StoreUnavailableError
from stream.failpoints import failpoint
from stream.sqlite_audit import AuditTable
from stream.sqlite_outbox import OutboxTable
from stream.sqlite_owner import Owner, read_owner, sign_owner, stored_places
from stream.sqlite_schema import FORMAT, create, migrate
from stream.sqlite_state import KnownState, plan_changes, read_state, write_changes
from stream.sqlite_versions import VersionTable
from stream.store import AuditRow, AuditVerdict, Claim, ComponentKey, OutboxRow, Run, StoredRow, VersionRow

__all__ = ["SQLiteStore"]

_APPLICATION_ID = 0x416E5761

# The write-ahead log is cut back to this size after a checkpoint; one large commit would keep it large for ever.
_WAL_BYTES = 64 * 1024 * 1024

# How long to wait for another process that is just closing the file.
_BUSY_S = 2.0

_UNAVAILABLE = ("BUSY", "LOCKED", "FULL", "IOERR", "CANTOPEN", "READONLY", "PERM", "NOMEM", "PROTOCOL", "AUTH")
_CORRUPT = ("CORRUPT", "NOTADB", "FORMAT")

_OWNER_MISSING = "the owner's row, which signs the head, is missing: nothing that is stored can be trusted"
_OWNER_EDITED = "the owner's row, which signs the head, was edited"
_RESTORE = "Restore the data folder from a backup, or delete it to start anew"


class SQLiteStore:
    """A `CheckpointStore` in one file; used by the thread that made it.

    Parameters
    ----------
    path : the file; made if it is missing, in a folder that exists
    keep_sent : how many sent outbox rows of each destination are kept (at least 0)

    Raises
    ------
    StoreUnavailableError
        The file cannot be opened or written, or another process has it open.
    StoreCorruptError
        It is no store of ours, is damaged, or was written by a newer version.
    """

    def __init__(self, path: Path, *, keep_sent: int = 10_000) -> None:
        if keep_sent < 0:
            raise ValueError(f"keep_sent={keep_sent}: must be at least 0")
        self._path = path
        self._known: dict[tuple[str, int], KnownState] = {}
        self._connection: sqlite3.Connection | None = None
        with self._translated():
            # isolation_level=None: the driver opens no transactions of its own, every BEGIN stands in this module.
            connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        self._outbox = OutboxTable(connection, keep_sent=keep_sent)
        self._audit, self._versions = AuditTable(connection), VersionTable(connection)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Looked at before anything is changed: the file may be somebody else's.
        self._is_new(connection)
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            f"journal_size_limit = {_WAL_BYTES}",
            "trusted_schema = OFF",
        ):
            connection.execute(f"PRAGMA {pragma}")
        # The first write takes the exclusive lock and keeps it; whoever comes second is told here.
        connection.execute("BEGIN IMMEDIATE")
        if self._is_new(connection):
            create(connection)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        elif connection.execute("PRAGMA user_version").fetchone()[0] < FORMAT:
            migrate(connection)
        connection.execute("COMMIT")
        sync_folder(self._path.absolute().parent)

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        """Tell an empty file from a store, and refuse everything else."""
        if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            return True
        if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise StoreCorruptError(f"{self._path} is an SQLite file, but no checkpoint store: choose another path")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > FORMAT:
            raise StoreCorruptError(
                f"{self._path} has format {version}, this program knows up to {FORMAT}: upgrade the program"
            )
        if version < 1:
            raise StoreCorruptError(f"{self._path} has format {version}, which never was. {_RESTORE}")
        return False

    def claim(self, pipeline: str, partition: int) -> Claim:
        """Become the owner: raise the epoch by one and read everything, in one transaction."""
        place = (pipeline, partition)
        with self._transaction() as connection:
            found = read_owner(connection, place)
            known, components = read_state(connection, pipeline, partition)
            if found is None and components:
                raise StoreCorruptError(f"{self._path}: {pipeline}/{partition} has state, but no owner. {_RESTORE}")
            owner = found or Owner()
            state = known.signature()
            if found is not None and not owner.is_signed(place, state):
                raise StoreCorruptError(
                    f"{self._path}: the state of {pipeline}/{partition} is not what its last commit signed. {_RESTORE}"
                )
            known.audit = owner.head or ChainHead()
            epoch, positions = owner.epoch, owner.positions
            self._audit.check_end(place, known.audit)
            signed = sign_owner(place, epoch + 1, positions, state=state, audit=known.audit)
            connection.execute(
                "INSERT OR REPLACE INTO owner VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*place, epoch + 1, positions, signed, known.audit.seq, known.audit.sha256),
            )
        known.epoch = epoch + 1
        self._known[place] = known
        return Claim(pipeline, partition, epoch + 1, json.loads(positions), components)

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
        """Store everything or nothing, in the numbered steps of `stream.store`."""
        place = (claim.pipeline, claim.partition)
        known = self._known.get(place)
        if known is None or known.epoch != claim.epoch:
            raise _fenced(claim)
        changes = plan_changes(known, components)
        links, head = self._audit.plan(place, known.audit, audit)
        text = json.dumps(dict(positions), sort_keys=True)
        with self._transaction() as connection:
            failpoint("store.after_begin")
            signature = sign_owner(place, claim.epoch, text, state=known.signature_after(changes), audit=head)
            moved = connection.execute(
                "UPDATE owner SET positions = ?, sha256 = ?, audit_seq = ?, audit_sha256 = ? "
                "WHERE pipeline = ? AND partition = ? AND epoch = ?",
                (text, signature, head.seq, head.sha256, *place, claim.epoch),
            ).rowcount
            if moved != 1:
                raise _fenced(claim)
            failpoint("store.after_positions")
            write_changes(connection, place, changes)
            failpoint("store.after_state")
            sequence = self._outbox.add(place, outbox)
            failpoint("store.after_outbox")
            self._audit.add(place, links)
            failpoint("store.after_audit")
            self._versions.write(place, versions)
            failpoint("store.after_versions")
            for run in runs:
                _add_run(connection, place, run)
            failpoint("store.before_commit")
        failpoint("store.after_commit")
        known.adopt(changes)
        known.audit = head
        return sequence

    def outbox_due(self, pipeline: str, partition: int, now_ms: int, limit: int) -> list[StoredRow]:
        """Return unsent rows with `due_ms <= now_ms`, oldest first."""
        with self._translated():
            return self._outbox.due((pipeline, partition), now_ms, limit)

    def outbox_size(self, pipeline: str, partition: int) -> dict[str, int]:
        """Count the unsent rows of each destination."""
        with self._translated():
            return self._outbox.size((pipeline, partition))

    def mark(
        self,
        pipeline: str,
        partition: int,
        *,
        done: Sequence[int] = (),
        retry: Sequence[tuple[int, int, int]] = (),
    ) -> None:
        """Note what became of rows, and forget sent rows beyond what is kept."""
        failpoint("store.before_mark")
        with self._transaction():
            self._outbox.mark((pipeline, partition), done, retry)
        failpoint("store.after_mark")

    def outbox_done(self, pipeline: str, partition: int, limit: int) -> list[StoredRow]:
        """Return sent rows, newest first, as far as they are still kept."""
        with self._translated():
            return self._outbox.done((pipeline, partition), limit)

    def audit_entries(self, pipeline: str, limit: int) -> list[dict[str, Any]]:
        """Return audit entries of all partitions, newest first."""
        with self._translated():
            self._open_connection()
            return [row.entry for row in self._audit.rows(pipeline, None, limit)]

    def audit_rows(self, pipeline: str, partition: int, limit: int) -> list[AuditRow]:
        """Return the newest audit entries of a partition with their hashes, newest first."""
        with self._translated():
            self._open_connection()
            return self._audit.rows(pipeline, partition, limit)

    def audit_trail(self, pipeline: str, partition: int) -> Iterator[AuditRow]:
        """Yield every audit entry of a partition, oldest first."""
        with self._translated():
            self._open_connection()
            yield from self._audit.trail((pipeline, partition))

    def audit_head(self, pipeline: str, partition: int) -> ChainHead | None:
        """Return the newest audit entry as the last commit signed it; None where there is no owner's row."""
        with self._translated():
            owner = read_owner(self._open_connection(), (pipeline, partition))
            return None if owner is None else owner.head

    def verify_audit(self, pipeline: str, partition: int) -> AuditVerdict:
        """Check the whole chain of a partition's audit trail, and the signature of its head."""
        place = (pipeline, partition)
        with self._translated():
            connection = self._open_connection()
            found = read_owner(connection, place)
            if found is None and place in stored_places(connection):
                return AuditVerdict(partition, 0, "", 0, _OWNER_MISSING)
            owner = found or Owner()
            head = owner.head
            if head is None:
                return AuditVerdict(partition, 0, "", 0, _OWNER_EDITED)
            verdict = self._audit.verify(place, head)
            if verdict.broken_seq is None and found is not None:
                known = self._known.get(place) or read_state(connection, *place)[0]
                if not owner.is_signed(place, known.signature()):
                    return replace(verdict, broken_seq=head.seq, detail=_OWNER_EDITED)
            return verdict

    def versions(self, pipeline: str, partition: int) -> list[VersionRow]:
        """Return the model versions of a partition, by monitor and number."""
        with self._translated():
            self._open_connection()
            return self._versions.read((pipeline, partition))

    def version_blobs(self) -> frozenset[str]:
        """Return the names of all snapshots that any version of any pipeline refers to."""
        with self._translated():
            self._open_connection()
            return self._versions.blobs()

    def places(self) -> list[tuple[str, int]]:
        """Return every pipeline and partition of which anything is stored, in order."""
        with self._translated():
            return stored_places(self._open_connection())

    def runs(self, pipeline: str, partition: int) -> list[Run]:
        """Return the interleaving of the input topics so far, joined where adjacent."""
        with self._translated():
            rows = self._open_connection().execute(
                "SELECT topic, first, next FROM run WHERE pipeline = ? AND partition = ? ORDER BY seq",
                (pipeline, partition),
            )
            return [(topic, first, following) for topic, first, following in rows]

    def close(self) -> None:
        """Write the log back into the file and release it; a second call does nothing."""
        if self._connection is None:
            return
        with self._translated():
            self._connection.close()
        self._connection = None
        self._known.clear()

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreUnavailableError(f"the checkpoint store {self._path} is closed")
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block does, or roll all of it back."""
        connection = self._open_connection()
        with self._translated():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # On a full disk SQLite has rolled back by itself already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            meaning = _meaning(error)
            if meaning is None:
                raise
            raise meaning(f"the checkpoint store {self._path}: {error}") from error
        except UnicodeDecodeError as error:
            # SQLite quotes damaged bytes of its schema in the message of its error, which the driver cannot read then.
            raise StoreCorruptError(f"the checkpoint store {self._path}: its schema is damaged. {_RESTORE}") from error


def _meaning(error: sqlite3.DatabaseError) -> type[StoreUnavailableError | StoreCorruptError] | None:
    """Return which of our errors an SQLite error is; None for a mistake of this program."""
    name = getattr(error, "sqlite_errorname", "").removeprefix("SQLITE_")
    if name.startswith(_UNAVAILABLE):
        return StoreUnavailableError
    # The driver itself, not SQLite, refuses text that is no UTF-8: nobody ever wrote such text here.
    if name.startswith(_CORRUPT) or "decode to UTF-8" in str(error):
        return StoreCorruptError
    return None


def _fenced(claim: Claim) -> FencedError:
    return FencedError(
        f"{claim.pipeline}/{claim.partition}: epoch {claim.epoch} was replaced by a newer claim; nothing was stored"
    )


def _add_run(connection: sqlite3.Connection, place: tuple[str, int], run: Run) -> None:
    """Add a run, or lengthen the last one where the new one follows it without a gap."""
    topic, first, following = run
    last = connection.execute(
        "SELECT seq, topic, next FROM run WHERE pipeline = ? AND partition = ? ORDER BY seq DESC LIMIT 1", place
    ).fetchone()
    if last is not None and (last[1], last[2]) == (topic, first):
        connection.execute("UPDATE run SET next = ? WHERE seq = ?", (following, last[0]))
    else:
        connection.execute(
            "INSERT INTO run (pipeline, partition, topic, first, next) VALUES (?, ?, ?, ?, ?)",
            (*place, topic, first, following),
        )
