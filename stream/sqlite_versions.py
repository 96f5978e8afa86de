"""The rows of model versions in the SQLite store; their snapshots lie in files beside it.

A newcomer needs one fact: each row is under a checksum of its own, and a damaged one is an error, never an answer.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence

from stream.errors import StoreCorruptError
from stream.store import VersionRow

__all__ = ["VersionTable"]

_Place = tuple[str, int]


class VersionTable:
    """Statements on versions; the caller opens transactions and translates errors."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def write(self, place: _Place, rows: Sequence[VersionRow]) -> None:
        """Insert or replace rows; those without a body are deleted."""
        for row in rows:
            name = (*place, row.monitor, row.number)
            if row.body is None:
                self._connection.execute(
                    "DELETE FROM version WHERE pipeline = ? AND partition = ? AND monitor = ? AND number = ?", name
                )
            else:
                self._connection.execute(
                    "INSERT OR REPLACE INTO version VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*name, row.blob, row.body, _checksum(place, row)),
                )

    def read(self, place: _Place) -> list[VersionRow]:
        """Return the rows of a partition by monitor and number."""
        found = self._connection.execute(
            "SELECT monitor, number, blob, body, sha256 FROM version WHERE pipeline = ? AND partition = ? "
            "ORDER BY monitor, number",
            place,
        )
        rows = []
        for monitor, number, blob, body, digest in found:
            row = VersionRow(monitor, number, blob, body)
            if not isinstance(body, bytes) or _checksum(place, row) != digest:
                raise StoreCorruptError(
                    f"version {number} of monitor {monitor!r} does not match its checksum. Restore the data folder "
                    "from a backup, or delete it to start anew"
                )
            rows.append(row)
        return rows

    def blobs(self) -> frozenset[str]:
        """Return the names of all snapshots that any version of any pipeline refers to."""
        rows = self._connection.execute("SELECT DISTINCT blob FROM version WHERE blob <> ''")
        return frozenset(str(row[0]) for row in rows)


def _checksum(place: _Place, row: VersionRow) -> bytes:
    named = repr((place, row.monitor, row.number, row.blob)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(named + (row.body or b"")).digest()
