"""The outbox of the SQLite store: rows that leave after a commit, in the order of the commits.

A newcomer needs one fact: a sent row stays for a while, for the page of alerts; what is kept is bounded by
number and by bytes for each destination.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from stream.errors import StoreCorruptError
from stream.store import OutboxRow, StoredRow

__all__ = ["OutboxTable"]

# Packed predictions may be large and are on their topic by then.
_KEEP_BYTES = 64 * 1024 * 1024
_COLUMNS = "seq, id, kind, destination, body, crc32, due_ms, tries"

_Place = tuple[str, int]


class OutboxTable:
    """Statements on the outbox; the caller opens transactions and translates errors."""

    def __init__(self, connection: sqlite3.Connection, *, keep_sent: int) -> None:
        self._connection = connection
        self._keep_sent = keep_sent
        self._sent_since_pruning: Counter[_Place] = Counter()

    def add(self, place: _Place, rows: Sequence[OutboxRow]) -> list[int]:
        """Append rows and return their numbers."""
        sequence = []
        for row in rows:
            added = self._connection.execute(
                "INSERT INTO outbox (pipeline, partition, id, kind, destination, body, crc32, due_ms) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*place, row.id, row.kind, row.destination, row.body, _checksum(row), row.due_ms),
            ).lastrowid
            sequence.append(int(added or 0))
        return sequence

    def due(self, place: _Place, now_ms: int, limit: int) -> list[StoredRow]:
        """Return unsent rows that are due, oldest first."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM outbox WHERE pipeline = ? AND partition = ? AND done = 0 AND due_ms <= ? "  # noqa: S608 constant
            "ORDER BY seq LIMIT ?",
            (*place, now_ms, limit),
        )
        return [_stored(row) for row in rows]

    def done(self, place: _Place, limit: int) -> list[StoredRow]:
        """Return sent rows, newest first."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM outbox WHERE pipeline = ? AND partition = ? AND done = 1 "  # noqa: S608 constant
            "ORDER BY seq DESC LIMIT ?",
            (*place, limit),
        )
        return [_stored(row) for row in rows]

    def size(self, place: _Place) -> dict[str, int]:
        """Count unsent rows by destination."""
        rows: Iterable[tuple[str, int]] = self._connection.execute(
            "SELECT destination, count(*) FROM outbox WHERE pipeline = ? AND partition = ? AND done = 0 "
            "GROUP BY destination ORDER BY destination",
            place,
        )
        return dict(rows)

    def mark(self, place: _Place, done: Sequence[int], retry: Sequence[tuple[int, int, int]]) -> None:
        """Mark rows as sent, or as to be tried again; prune from time to time."""
        self._connection.executemany(
            "UPDATE outbox SET done = 1 WHERE seq = ? AND pipeline = ? AND partition = ?",
            [(seq, *place) for seq in done],
        )
        self._connection.executemany(
            "UPDATE outbox SET tries = ?, due_ms = ? WHERE seq = ? AND pipeline = ? AND partition = ?",
            [(tries, due_ms, seq, *place) for seq, tries, due_ms in retry],
        )
        self._sent_since_pruning[place] += len(done)
        # Pruning walks over all that is kept, so it has to wait until a good part of that is new.
        if self._sent_since_pruning[place] > self._keep_sent // 16:
            self._prune(place)
            del self._sent_since_pruning[place]

    def _prune(self, place: _Place) -> None:
        self._connection.execute(
            "DELETE FROM outbox WHERE seq IN (SELECT seq FROM ("
            "SELECT seq, row_number() OVER newest AS rank, sum(length(body)) OVER newest AS size FROM outbox "
            "WHERE pipeline = ? AND partition = ? AND done = 1 "
            "WINDOW newest AS (PARTITION BY destination ORDER BY seq DESC)) WHERE rank > ? OR size > ?)",
            (*place, self._keep_sent, _KEEP_BYTES),
        )


def _checksum(row: OutboxRow) -> int:
    return zlib.crc32(row.body, zlib.crc32(repr((row.id, row.kind, row.destination)).encode()))


def _stored(columns: tuple[Any, ...]) -> StoredRow:
    seq, name, kind, destination, body, crc32, due_ms, tries = columns
    row = OutboxRow(name, kind, destination, body, due_ms)
    if not isinstance(body, bytes) or _checksum(row) != crc32:
        raise StoreCorruptError(
            f"outbox row {seq} does not match its checksum. Restore the data folder from a backup, "
            "or delete it to start anew"
        )
    return StoredRow(seq, row, tries)
