"""Blobs of state in SQLite, in chunks: a commit writes only the chunks whose hash has changed.

A newcomer needs one fact: the hashes of what is stored are kept in memory from the claim on, so that a commit
reads nothing back, and the signature of all components is a sum that changes by what a commit changes.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stream.audit_chain import ChainHead
from stream.errors import StoreCorruptError
from stream.store import ComponentKey

__all__ = ["CHUNK_BYTES", "Change", "KnownState", "plan_changes", "read_state", "write_changes"]

CHUNK_BYTES = 64 * 1024
_SIGNATURE_SPACE = 1 << 256

_Place = tuple[str, int]


@dataclass(slots=True)
class Change:
    """What a commit does to one component: new chunks by number, or its removal (`root` None)."""

    key: ComponentKey
    size: int = 0
    root: bytes | None = None
    digests: tuple[bytes, ...] = ()
    written: list[tuple[int, memoryview]] = field(default_factory=list)
    chunks_before: int = 0


@dataclass(slots=True)
class KnownState:
    """The hashes of everything that is stored for one claim."""

    epoch: int = 0
    audit: ChainHead = field(default_factory=ChainHead)
    digests: dict[ComponentKey, tuple[bytes, ...]] = field(default_factory=dict)
    roots: dict[ComponentKey, bytes] = field(default_factory=dict)
    _sum: int = 0

    def signature(self) -> bytes:
        """Return a checksum over all components, independent of their order."""
        return self._sum.to_bytes(32, "big")

    def signature_after(self, changes: Sequence[Change]) -> bytes:
        """Return what the signature will be with these changes."""
        return (self._sum_after(changes) % _SIGNATURE_SPACE).to_bytes(32, "big")

    def adopt(self, changes: Sequence[Change]) -> None:
        """Take over changes that are committed."""
        self._sum = self._sum_after(changes) % _SIGNATURE_SPACE
        for change in changes:
            if change.root is None:
                self.digests.pop(change.key, None)
                self.roots.pop(change.key, None)
            else:
                self.digests[change.key] = change.digests
                self.roots[change.key] = change.root

    def _sum_after(self, changes: Sequence[Change]) -> int:
        total = self._sum
        for change in changes:
            before = self.roots.get(change.key)
            total -= int.from_bytes(before, "big") if before is not None else 0
            total += int.from_bytes(change.root, "big") if change.root is not None else 0
        return total


def plan_changes(known: KnownState, components: Mapping[ComponentKey, bytes | None]) -> list[Change]:
    """Compare blobs with what is stored; components that are the same are left out."""
    changes = []
    for key, blob in components.items():
        before = known.digests.get(key, ())
        if blob is None:
            if key in known.roots:
                changes.append(Change(key, chunks_before=len(before)))
            continue
        view = memoryview(blob)
        pieces = [view[start : start + CHUNK_BYTES] for start in range(0, len(view), CHUNK_BYTES)]
        digests = tuple(hashlib.sha256(piece).digest() for piece in pieces)
        root = _root(key, len(view), digests)
        if known.roots.get(key) == root:
            continue
        written = [(n, piece) for n, piece in enumerate(pieces) if n >= len(before) or before[n] != digests[n]]
        changes.append(Change(key, len(view), root, digests, written, len(before)))
    return changes


def write_changes(connection: sqlite3.Connection, place: _Place, changes: Sequence[Change]) -> None:
    """Write planned changes inside the transaction that is open."""
    for change in changes:
        name = (*place, change.key.monitor, change.key.segment, change.key.component)
        if len(change.digests) < change.chunks_before:
            connection.execute(
                "DELETE FROM chunk WHERE pipeline = ? AND partition = ? AND monitor = ? AND segment = ? "
                "AND component = ? AND number >= ?",
                (*name, len(change.digests)),
            )
        if change.root is None:
            connection.execute(
                "DELETE FROM state WHERE pipeline = ? AND partition = ? AND monitor = ? AND segment = ? "
                "AND component = ?",
                name,
            )
            continue
        connection.executemany(
            "INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET sha256 = excluded.sha256, bytes = excluded.bytes",
            [(*name, number, change.digests[number], piece) for number, piece in change.written],
        )
        connection.execute(
            "INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?, ?, ?, ?)", (*name, change.size, change.root)
        )


def read_state(
    connection: sqlite3.Connection, pipeline: str, partition: int
) -> tuple[KnownState, dict[ComponentKey, bytes]]:
    """Read all components of a partition and check every chunk.

    Raises
    ------
    StoreCorruptError
        A chunk does not match its hash, or the chunks do not make up what the component's row names.
    """
    chunks = _read_chunks(connection, (pipeline, partition))
    known = KnownState()
    components: dict[ComponentKey, bytes] = {}
    found = []
    rows = connection.execute(
        "SELECT monitor, segment, component, size, sha256 FROM state WHERE pipeline = ? AND partition = ?",
        (pipeline, partition),
    )
    for monitor, segment, component, size, root in rows:
        key = ComponentKey(monitor, segment, component)
        pieces = chunks.pop(key, [])
        digests = tuple(digest for digest, _ in pieces)
        blob = b"".join(content for _, content in pieces)
        if len(blob) != size or _root(key, len(blob), digests) != root:
            raise _corrupt(key)
        components[key] = blob
        found.append(Change(key, size, root, digests))
    if chunks:
        raise _corrupt(next(iter(chunks)))
    known.adopt(found)
    return known, components


def _read_chunks(connection: sqlite3.Connection, place: _Place) -> dict[ComponentKey, list[tuple[bytes, bytes]]]:
    chunks: dict[ComponentKey, list[tuple[bytes, bytes]]] = {}
    rows = connection.execute(
        "SELECT monitor, segment, component, number, sha256, bytes FROM chunk WHERE pipeline = ? AND partition = ? "
        "ORDER BY monitor, segment, component, number",
        place,
    )
    for monitor, segment, component, number, digest, content in rows:
        key = ComponentKey(monitor, segment, component)
        pieces = chunks.setdefault(key, [])
        intact = isinstance(content, bytes) and hashlib.sha256(content).digest() == digest
        if not intact or number != len(pieces):
            raise _corrupt(key)
        pieces.append((digest, content))
    return chunks


def _root(key: ComponentKey, size: int, digests: Sequence[bytes]) -> bytes:
    named = repr((key.monitor, key.segment, key.component, size)).encode()
    return hashlib.sha256(named + b"".join(digests)).digest()


def _corrupt(key: ComponentKey) -> StoreCorruptError:
    return StoreCorruptError(
        f"state {key.component!r} of monitor {key.monitor!r}, segment {key.segment!r}, does not match its checksum. "
        "Restore the data folder from a backup, or delete it to start anew"
    )
