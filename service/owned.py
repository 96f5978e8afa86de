"""A partition that this instance owns: its claim, its fold, and a commit that can be tried again.

If the store is away during a commit, the very same commit is offered again: nothing is folded meanwhile, so state,
positions and outbox stay one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from service.config import Config
from service.model_files import ModelFiles
from service.partition import Commit, PartitionFold
from service.registry import Plan, Registry, audit_entry
from stream.errors import StoreUnavailableError
from stream.events import RawMessage
from stream.store import AuditRow, CheckpointStore, Claim, OutboxRow
from stream.transport import Transport, partition_for

__all__ = ["AUDIT_SHOWN", "OwnedPartition"]

AUDIT_SHOWN = 1_000


_AUDITED = ("audit", "version")


def _audit_entry(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    return body if kind == "audit" else audit_entry(body)


class OwnedPartition:
    """Claim and fold of one partition."""

    def __init__(self, claim: Claim, fold: PartitionFold, topic: str, registry: Registry | None = None) -> None:
        self.claim_held, self.fold_state, self.topic = claim, fold, topic
        self.registry = Registry(fold.config.registry, {}) if registry is None else registry
        self.audit: list[AuditRow] = []
        self._audit_owed = 0
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
        learners = {name: monitor.learners for name, monitor in config.monitors.items()}
        registry = Registry(config.registry, learners, store.versions(config.pipeline.name, partition))
        owned = cls(claim, fold, transport.topic, registry)
        owned.audit = store.audit_rows(config.pipeline.name, partition, AUDIT_SHOWN)
        return owned

    def fold(self, messages: Sequence[RawMessage]) -> None:
        """Fold messages, after a commit that is still owed."""
        if self.pending_commit is not None:
            raise StoreUnavailableError("a commit is still owed to the store: nothing is folded before it")
        self.fold_state.fold(messages)

    def commit(
        self,
        store: CheckpointStore,
        rows: Callable[[Commit, Config, int], list[OutboxRow]],
        now_ms: int,
        *,
        models: ModelFiles,
    ) -> Commit:
        """Store state, position and outbox; on `StoreUnavailableError` the same commit is owed and tried again."""
        if self.pending_commit is None:
            self.pending_commit = self.fold_state.commit()
        commit = self.pending_commit
        plan = self.registry.plan(commit.outputs)
        # Before the commit that names them: a crash in between leaves a file that nobody names, never a name alone.
        models.write(plan.snapshots)
        audit = [_audit_entry(output.kind, output.body) for output in commit.outputs if output.kind in _AUDITED]
        audit += [{"action": "restarted", "component": name} for name in self.fold_state.restarted]
        store.commit(
            self.claim_held,
            positions={self.topic: commit.position},
            components=commit.components,
            outbox=rows(commit, self.fold_state.config, now_ms),
            audit=audit,
            versions=plan.rows,
        )
        self.fold_state.restarted = []
        self.pending_commit = None
        self.hashes = commit.hashes
        for key, data in commit.components.items():
            if key.component.startswith("learner/") and data is not None:
                self._snapshots[key.monitor, key.component] = data
        self._committed(store, models, plan, len(audit))
        return commit

    def _committed(self, store: CheckpointStore, models: ModelFiles, plan: Plan, audited: int) -> None:
        """Follow the store with what the registry and the page of the trail show."""
        self.registry.adopt(plan)
        self._audit_owed += audited
        try:
            if plan.evicted:
                models.delete(plan.evicted - store.version_blobs())
            if self._audit_owed:
                claim = self.claim_held
                newest = store.audit_rows(claim.pipeline, claim.partition, min(self._audit_owed, AUDIT_SHOWN))
                self.audit = (newest + self.audit)[:AUDIT_SHOWN]
                self._audit_owed = 0
        except StoreUnavailableError:
            return  # what was committed stays so; the next commit makes up for it, the next start sweeps

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
