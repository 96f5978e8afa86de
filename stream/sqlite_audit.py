"""The audit trail of the SQLite store: entries in a chain of hashes, one chain for each partition.

A newcomer needs one fact: the chain's head stands in the owner's row, whose checksum covers it, so that entries cut
off at the end are missed too.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stream.audit_chain import ChainHead, ChainLink, link_hash, verify_chain
from stream.errors import StoreCorruptError
from stream.store import AuditRow, AuditVerdict

__all__ = ["AuditTable"]

_CHECKED_AT_CLAIM = 200

_Place = tuple[str, int]


class AuditTable:
    """Statements on the audit trail; the caller opens transactions and translates errors."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, place: _Place, links: Sequence[ChainLink]) -> None:
        """Append entries that `plan` has chained."""
        self._connection.executemany(
            "INSERT INTO audit (pipeline, partition, seq, entry, prev, sha256) VALUES (?, ?, ?, ?, ?, ?)",
            [(*place, link.seq, link.entry, link.previous, link.sha256) for link in links],
        )

    @staticmethod
    def plan(
        place: _Place, head: ChainHead, entries: Sequence[Mapping[str, object]]
    ) -> tuple[list[ChainLink], ChainHead]:
        """Chain new entries to `head`; returns them and the new head."""
        links = []
        for entry in entries:
            text = json.dumps(dict(entry), sort_keys=True)
            digest = link_hash(head.sha256, place, head.seq + 1, text)
            links.append(ChainLink(head.seq + 1, text, head.sha256, digest))
            head = ChainHead(head.seq + 1, digest)
        return links, head

    def check_end(self, place: _Place, head: ChainHead) -> None:
        """Check the newest entries against the signed head.

        Raises
        ------
        StoreCorruptError
            one of them is not as it was written; it is named.
        """
        # What stands before entry 1 was forged; each condition is a search in the index, all in one would be a scan.
        stray = [*self._links(place, "AND seq IS NULL"), *self._links(place, "AND seq < 1")]
        newest = [*stray, *self._links(place, "AND seq > ?", max(0, head.seq - _CHECKED_AT_CLAIM))]
        first = newest[0] if newest else None
        before = None if first is None or first.seq <= 1 else ChainHead(first.seq - 1, first.previous)
        wrong = verify_chain(newest, place, head, before=before)
        if wrong is not None:
            raise StoreCorruptError(
                f"the audit trail of {place[0]}/{place[1]}: {wrong[1]}. Keep the files as evidence and restore the "
                "data folder from a backup"
            )

    def verify(self, place: _Place, head: ChainHead) -> AuditVerdict:
        """Check every entry, whatever stands as its number."""
        wrong = verify_chain(self._links(place), place, head)
        seq, detail = wrong or (None, "")
        return AuditVerdict(place[1], head.seq, head.sha256.hex(), seq, detail)

    def rows(self, pipeline: str, partition: int | None, limit: int) -> list[AuditRow]:
        """Return the newest entries, newest first; of one partition by their numbers, or of all as they were stored."""
        where, values = ("", ()) if partition is None else (" AND partition = ?", (partition,))
        order = "id DESC" if partition is None else "seq DESC, id DESC"
        rows = self._connection.execute(
            "SELECT partition, seq, CAST(entry AS BLOB), prev, sha256 FROM audit "  # noqa: S608 constants
            f"WHERE pipeline = ?{where} AND typeof(partition) = 'integer' AND typeof(seq) = 'integer' "
            f"ORDER BY {order} LIMIT ?",
            (pipeline, *values, limit),
        )
        return [_row(row) for row in rows]

    def trail(self, place: _Place) -> Iterator[AuditRow]:
        """Yield every entry, oldest first."""
        rows = self._connection.execute(
            "SELECT partition, seq, CAST(entry AS BLOB), prev, sha256 FROM audit "
            "WHERE pipeline = ? AND partition = ? AND typeof(seq) = 'integer' ORDER BY seq, id",
            place,
        )
        return map(_row, rows)

    def _links(self, place: _Place, condition: str = "", *values: int) -> Iterator[ChainLink | None]:
        rows = self._connection.execute(
            "SELECT seq, CAST(entry AS BLOB), prev, sha256 FROM audit "  # noqa: S608 constants
            f"WHERE pipeline = ? AND partition = ? {condition} ORDER BY seq, id",
            (*place, *values),
        )
        for seq, entry, previous, digest in rows:
            yield ChainLink(seq, _text(entry), _bytes(previous), _bytes(digest)) if type(seq) is int else None


def _text(value: bytes | None) -> str:
    """The text of an entry; what is no UTF-8 fails its hash and is named."""
    return (value or b"").decode("utf-8", "replace")


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _row(columns: tuple[Any, ...]) -> AuditRow:
    partition, seq, text, previous, digest = columns
    try:
        entry = json.loads(_text(text))
    except (ValueError, RecursionError):
        entry = {"action": "unreadable"}
    content = entry if isinstance(entry, dict) else {"action": "unreadable"}
    return AuditRow(partition, seq, content, _bytes(previous).hex(), _bytes(digest).hex())
