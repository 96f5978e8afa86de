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
        newest = list(self._links(place, "seq > ?", head.seq - _CHECKED_AT_CLAIM))
        before = ChainHead(newest[0].seq - 1, newest[0].previous) if newest and newest[0].seq > 1 else None
        wrong = verify_chain(newest, place, head, before=before)
        if wrong is not None:
            raise StoreCorruptError(
                f"the audit trail of {place[0]}/{place[1]}: {wrong[1]}. Keep the files as evidence and restore the "
                "data folder from a backup"
            )

    def verify(self, place: _Place, head: ChainHead) -> AuditVerdict:
        """Check every entry from the first on."""
        wrong = verify_chain(self._links(place, "seq > ?", -1 << 62), place, head)
        seq, detail = wrong or (None, "")
        return AuditVerdict(place[1], head.seq, head.sha256.hex(), seq, detail)

    def rows(self, pipeline: str, partition: int | None, limit: int) -> list[AuditRow]:
        """Return the newest entries, newest first; of one partition, or of all."""
        where, values = ("", ()) if partition is None else (" AND partition = ?", (partition,))
        rows = self._connection.execute(
            f"SELECT partition, seq, entry, prev, sha256 FROM audit WHERE pipeline = ?{where} "  # noqa: S608 constants
            "ORDER BY id DESC LIMIT ?",
            (pipeline, *values, limit),
        )
        return [_row(row) for row in rows]

    def _links(self, place: _Place, condition: str, value: int) -> Iterator[ChainLink]:
        rows = self._connection.execute(
            f"SELECT seq, entry, prev, sha256 FROM audit WHERE pipeline = ? AND partition = ? AND {condition} "  # noqa: S608 constants
            "ORDER BY seq, id",
            (*place, value),
        )
        for seq, entry, previous, digest in rows:
            # A value of another type is no chain either; as text it fails its hash and is named.
            yield ChainLink(int(seq), str(entry), _bytes(previous), _bytes(digest))


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _row(columns: tuple[Any, ...]) -> AuditRow:
    partition, seq, text, previous, digest = columns
    try:
        entry = json.loads(text)
    except (TypeError, ValueError):
        entry = {"action": "unreadable"}
    content = entry if isinstance(entry, dict) else {"action": "unreadable"}
    return AuditRow(int(partition), int(seq), content, _bytes(previous).hex(), _bytes(digest).hex())
