"""The protocol of the checkpoint store: state, input positions and outbox of a partition, in one transaction.

A newcomer needs one fact: a commit holds only if the epoch of its claim is still the newest one, so an owner
that was replaced without noticing (a zombie) can never write over its successor.

The steps of a commit, numbered as in the architecture page:

    1. move the positions, on condition of the epoch: exactly one row, else `FencedError`
    2. write the changed chunks of the changed components, delete those that are None
    3. append to the outbox
    4. append to the chained audit trail, to the model versions and to the runs (which topic was read in which order)
    5. COMMIT; only then may anything of it be seen outside
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from stream.audit_chain import ChainHead

__all__ = [
    "AuditRow",
    "AuditVerdict",
    "CheckpointStore",
    "Claim",
    "ComponentKey",
    "OutboxRow",
    "Run",
    "StoredRow",
    "VersionRow",
]

Run = tuple[str, int, int]


@dataclass(frozen=True, slots=True, order=True)
class ComponentKey:
    """The name of one blob of state: which monitor, which segment, which part of it."""

    monitor: str
    segment: str
    component: str


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """Something that leaves after the commit. `destination` is "topic:NAME" or "webhook:NAME"."""

    id: str
    kind: str
    destination: str
    body: bytes
    due_ms: int = 0


@dataclass(frozen=True, slots=True)
class StoredRow:
    """An outbox row as stored; `seq` orders the rows of a partition and never comes back once used."""

    seq: int
    row: OutboxRow
    tries: int


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An entry of the audit trail with its place in the partition's chain; hashes in hexadecimal."""

    partition: int
    seq: int
    entry: dict[str, Any]
    previous: str
    sha256: str


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """What a full check of one partition found: how many entries were signed, the head's hash, and the number of the
    first entry that is not as it was written, or that names a version that is not (None: all are; 0: no entry in
    particular, `detail` says what)."""

    partition: int
    entries: int
    head: str
    broken_seq: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version of a learner: `blob` names its snapshot ("": no longer kept), `body` describes it (None: delete)."""

    monitor: str
    number: int
    blob: str
    body: bytes | None


@dataclass(slots=True)
class Claim:
    """Ownership of one partition and all that was committed for it."""

    pipeline: str
    partition: int
    epoch: int
    positions: dict[str, int] = field(default_factory=dict)
    components: dict[ComponentKey, bytes] = field(default_factory=dict)


class CheckpointStore(Protocol):
    """Where the state of partitions lives between two commits.

    Used by one thread. Every method raises `StoreUnavailableError` when the store is away (nothing of that
    call has happened then; the same call may be made again) and `StoreCorruptError` when stored bytes
    contradict their checksums.
    """

    def claim(self, pipeline: str, partition: int) -> Claim:
        """Become the owner: raise the epoch by one and read everything, in one transaction."""
        ...

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
        """Store everything or nothing; return the `seq` of each outbox row.

        `positions` replaces all positions; components that are not named stay, None deletes; so do versions.

        Raises
        ------
        FencedError
            A newer claim exists; everything was rolled back.
        """
        ...

    def outbox_due(self, pipeline: str, partition: int, now_ms: int, limit: int) -> list[StoredRow]:
        """Return unsent rows with `due_ms <= now_ms`, oldest first."""
        ...

    def outbox_size(self, pipeline: str, partition: int) -> dict[str, int]:
        """Count the unsent rows of each destination."""
        ...

    def mark(
        self,
        pipeline: str,
        partition: int,
        *,
        done: Sequence[int] = (),
        retry: Sequence[tuple[int, int, int]] = (),
    ) -> None:
        """Note what became of rows: sent, or to be tried again as (seq, tries, due_ms)."""
        ...

    def outbox_done(self, pipeline: str, partition: int, limit: int) -> list[StoredRow]:
        """Return sent rows, newest first, as far as they are still kept."""
        ...

    def audit_entries(self, pipeline: str, limit: int) -> list[dict[str, Any]]:
        """Return audit entries of all partitions, newest first."""
        ...

    def audit_rows(self, pipeline: str, partition: int, limit: int) -> list[AuditRow]:
        """Return the newest audit entries of a partition with their hashes, newest first."""
        ...

    def audit_trail(self, pipeline: str, partition: int) -> Iterator[AuditRow]:
        """Yield every audit entry of a partition, oldest first."""
        ...

    def audit_head(self, pipeline: str, partition: int) -> ChainHead | None:
        """Return the newest audit entry as the last commit signed it, whatever the trail says; None: never claimed."""
        ...

    def verify_audit(self, pipeline: str, partition: int) -> AuditVerdict:
        """Check the whole chain of a partition's audit trail; about 4 µs an entry. `claim` checks its end only."""
        ...

    def versions(self, pipeline: str, partition: int) -> list[VersionRow]:
        """Return the model versions of a partition, by monitor and number."""
        ...

    def version_blobs(self) -> frozenset[str]:
        """Return the names of all snapshots that any version of any pipeline refers to."""
        ...

    def places(self) -> list[tuple[str, int]]:
        """Return every pipeline and partition of which anything is stored, in order."""
        ...

    def runs(self, pipeline: str, partition: int) -> list[Run]:
        """Return the interleaving of the input topics so far: (topic, from, to), in order, joined where adjacent."""
        ...

    def close(self) -> None:
        """Release the store; a second call does nothing."""
        ...
