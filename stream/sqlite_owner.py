"""The owner's row of a partition: its epoch, its positions and the head of its audit trail, under one signature.

A newcomer needs one fact: whoever can write the file can write any value of any type there, so a row is read as it
stands and used only where its signature holds.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from typing import Any

from stream.audit_chain import FIRST_PREVIOUS, ChainHead

__all__ = ["Owner", "read_owner", "sign_owner", "stored_places"]

_Place = tuple[str, int]

_TABLES = ("owner", "state", "chunk", "version", "audit", "outbox", "run")


@dataclass(frozen=True, slots=True)
class Owner:
    """The row as it stands; one that was never written has epoch 0 and no signature."""

    epoch: Any = 0
    positions: Any = "{}"
    audit_seq: Any = 0
    audit_sha256: Any = FIRST_PREVIOUS
    signature: Any = None

    @property
    def head(self) -> ChainHead | None:
        """The newest entry of the audit trail; None where the row holds no number or no hash."""
        if type(self.audit_seq) is int and type(self.audit_sha256) is bytes:
            return ChainHead(self.audit_seq, self.audit_sha256)
        return None

    def is_signed(self, place: _Place, state: bytes) -> bool:
        """Tell whether the signature is that of this row together with `state`."""
        head = self.head
        if head is None:
            return False
        return bool(self.signature == sign_owner(place, self.epoch, self.positions, state=state, audit=head))


def read_owner(connection: sqlite3.Connection, place: _Place) -> Owner | None:
    """Return the owner's row of a partition; None: it has none."""
    found = connection.execute(
        "SELECT epoch, positions, audit_seq, audit_sha256, sha256 FROM owner WHERE pipeline = ? AND partition = ?",
        place,
    ).fetchone()
    return None if found is None else Owner(*found)


def stored_places(connection: sqlite3.Connection) -> list[_Place]:
    """Return every pipeline and partition that any table names, in order: an owner's row that is gone hides nothing."""
    named = " UNION ".join(f"SELECT pipeline, partition FROM {table}" for table in _TABLES)  # noqa: S608 constants
    return [(pipeline, partition) for pipeline, partition in connection.execute(f"{named} ORDER BY 1, 2")]


def sign_owner(place: _Place, epoch: int, positions: str, *, state: bytes, audit: ChainHead) -> bytes:
    """Return the checksum of an owner's row together with its state and the head of its audit trail."""
    return hashlib.sha256(repr((place, epoch, positions, state, audit.seq, audit.sha256)).encode()).digest()
