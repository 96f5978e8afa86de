"""The whole read view: the service's own figures and the views of all monitors that this instance owns."""

from __future__ import annotations

import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from service.registry import aliases_of, best_challenger
from service.view import MonitorHistory, monitor_view

if TYPE_CHECKING:
    from service.worker import Worker

__all__ = ["assemble_view"]


def assemble_view(worker: Worker) -> dict[str, Any]:
    """Build the view that HTTP, metrics and the page read until the next commit."""
    ready, _ = worker.ready()
    monitors, registries = _monitors(worker)
    return {
        "service": _service(worker, ready=ready),
        "monitors": monitors,
        "versions": registries,
        "audit": {str(p): list(owned.audit) for p, owned in worker.owned.items()},
        "drifts": list(worker.drifts),
        "rejects": {"by_reason": _rejected(worker), "latest": list(worker.rejects)},
        "alerts": worker.sender.recent(),
    }


def _service(worker: Worker, *, ready: bool) -> dict[str, Any]:
    total = sum(owned.fold_state.messages for owned in worker.owned.values())
    return {
        "version": metadata.version("anchorwatch"),
        "started_ms": worker.started_ms,
        "ready": ready,
        "transport": worker.config.transport.kind,
        "partitions": {str(p): _partition(worker, p) for p in worker.owned},
        "commit": {
            "count": worker.commits,
            "last_seconds": worker.commit_seconds,
            "last_ms": int(time.time() * 1000),
        },
        "outbox": {name: n for p in worker.owned for name, n in _unsent(worker, p).items()},
        "events_total": total,
        "events_per_second": worker.rate(total),
        "configuration": worker.configuration,
    }


def _partition(worker: Worker, partition: int) -> dict[str, int]:
    owned = worker.owned[partition]
    position, end = owned.fold_state.position, worker.transport.end_offset(partition)
    return {"position": position, "end": end, "lag": max(0, end - position), "epoch": owned.claim_held.epoch}


def _unsent(worker: Worker, partition: int) -> dict[str, int]:
    return worker.store.outbox_size(worker.config.pipeline.name, partition)


def _rejected(worker: Worker) -> dict[str, int]:
    totals: dict[str, int] = {}
    for owned in worker.owned.values():
        for reason, count in owned.fold_state.rejected.items():
            totals[str(reason)] = totals.get(str(reason), 0) + count
    return dict(sorted(totals.items()))


def _monitors(worker: Worker) -> tuple[dict[str, Any], dict[str, Any]]:
    """Views of all monitors, and of their registries."""
    views: dict[str, Any] = {}
    registries: dict[str, Any] = {}
    for owned in worker.owned.values():
        for name, fold in owned.fold_state.folds.items():
            if name in views and fold.join.next_number <= views[name]["counts"]["predictions"]:
                continue
            history = worker.histories.setdefault(name, MonitorHistory())
            views[name] = monitor_view(fold, history, owned.hashes[name])
            count, size = owned.registry.kept(name)
            caps = worker.config.registry
            views[name]["bounds"] |= {
                "snapshots": {"value": count, "cap": caps.max_versions},
                "snapshot_bytes": {"value": size, "cap": caps.max_bytes},
            }
            versions = owned.registry.newest_first(name)
            champion, challenger = fold.committee.champion, best_challenger(views[name])
            registries[name] = {"aliases": aliases_of(versions, champion, challenger), "versions": versions}
    return views, registries
