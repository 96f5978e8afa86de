"""A partition that this instance owns: its claim, its fold, and a commit that can be tried again.

If the store is away during a commit, the very same commit is offered again: nothing is folded meanwhile, so state,
positions and outbox stay one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from service.config import Config
from service.partition import Commit, PartitionFold
from stream.errors import StoreUnavailableError
from stream.events import RawMessage
from stream.store import CheckpointStore, Claim, OutboxRow
from stream.transport import Transport, partition_for

__all__ = ["OwnedPartition"]


class OwnedPartition:
    """Claim and fold of one partition."""

    def __init__(self, claim: Claim, fold: PartitionFold, topic: str) -> None:
        self.claim_held, self.fold_state, self.topic = claim, fold, topic
        self.pending_commit: Commit | None = None
        self.hashes: dict[str, str] = {name: state.sha256() for name, state in fold.states.items()}
        self._snapshots = {
            (key.monitor, key.component): data
            for key, data in claim.components.items()
            if key.component.startswith("learner/")
        }
        claim.components = {}

    @classmethod
    def claim(cls, config: Config, store: CheckpointStore, transport: Transport, partition: int) -> OwnedPartition:
        """Become the owner and restore what was committed."""
        claim = store.claim(config.pipeline.name, partition)
        partitions = transport.partitions()
        embedded = config.transport.kind == "embedded"
        fold = PartitionFold(
            config,
            partition,
            position=claim.positions.get(transport.topic, transport.begin_offset(partition)),
            components=claim.components,
            partition_of=(lambda key: partition_for(key.encode(), partitions)) if embedded else None,
        )
        return cls(claim, fold, transport.topic)

    def fold(self, messages: Sequence[RawMessage]) -> None:
        """Fold messages, after a commit that is still owed."""
        if self.pending_commit is not None:
            raise StoreUnavailableError("a commit is still owed to the store: nothing is folded before it")
        self.fold_state.fold(messages)

    def commit(
        self, store: CheckpointStore, rows: Callable[[Commit, Config, int], list[OutboxRow]], now_ms: int
    ) -> Commit:
        """Store state, position and outbox; on `StoreUnavailableError` the same commit is owed and tried again."""
        if self.pending_commit is None:
            self.pending_commit = self.fold_state.commit()
        commit = self.pending_commit
        audit: list[dict[str, Any]] = [output.body for output in commit.outputs if output.kind == "audit"]
        audit += [{"action": "restarted", "component": name} for name in self.fold_state.restarted]
        store.commit(
            self.claim_held,
            positions={self.topic: commit.position},
            components=commit.components,
            outbox=rows(commit, self.fold_state.config, now_ms),
            audit=audit,
        )
        self.fold_state.restarted = []
        self.pending_commit = None
        self.hashes = commit.hashes
        for key, data in commit.components.items():
            if key.component.startswith("learner/") and data is not None:
                self._snapshots[key.monitor, key.component] = data
        return commit

    def snapshot(self, monitor: str, component: str) -> bytes | None:
        """The committed bytes of a learner."""
        return self._snapshots.get((monitor, component))

    def champions(self) -> dict[str, tuple[str, bytes]]:
        """Per monitor whose champion is committed: its name and its committed bytes."""
        found = {}
        for monitor, fold in self.fold_state.folds.items():
            name = fold.committee.champion
            snapshot = None if name is None else self.snapshot(monitor, f"learner/{name}")
            if name is not None and snapshot is not None:
                found[monitor] = (name, snapshot)
        return found
