"""A small monitor and its events, for tests of the fold's parts; times are milliseconds after `START_MS`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from service.config import Config, parse
from service.fold import MonitorFold
from service.fold_output import FoldOutput
from service.partition import Commit, PartitionFold
from stream.events import RawMessage, Reject
from stream.store import ComponentKey

__all__ = ["MONITOR", "START_MS", "Folded", "configured", "control", "fold", "label", "prediction"]

START_MS = 1_760_000_000_000
MONITOR = "m"


def configured(hash_key: str = "", **settings: Any) -> Config:
    """One monitor with one number, judged after a second, on a short reference; `settings` replace parts of it."""
    monitor: dict[str, Any] = {
        "features": {"a": {"type": "numeric"}},
        "labels": {"age": "1s"},
        "reference": {"n": 50, "window": 30},
        "cooldown": 20,
        "metrics_window": 50,
    }
    return parse({"pipeline": {"hash_key": hash_key}, "monitors": {MONITOR: monitor | settings}})


def prediction(name: str, at_ms: int, **fields: Any) -> bytes:
    """A prediction event; fields that are None are left out."""
    event: dict[str, Any] = {
        "type": "prediction", "id": name, "monitor": MONITOR, "time": START_MS + at_ms, "features": {"a": 0.5},
        "prediction": "y",
    }  # fmt: skip
    return msgspec.json.encode({k: v for k, v in (event | fields).items() if v is not None})


def label(name: str, at_ms: int, value: Any) -> bytes:
    """A label event."""
    return msgspec.json.encode(
        {"type": "label", "id": name, "monitor": MONITOR, "time": START_MS + at_ms, "label": value}
    )


def control(action: str, at_ms: int, **parameters: Any) -> bytes:
    """A control event."""
    event = {"type": "control", "monitor": MONITOR, "time": START_MS + at_ms}
    return msgspec.json.encode(event | {"action": action, "parameters": parameters})


@dataclass
class Folded:
    """What came of some events."""

    partition: PartitionFold
    outputs: list[FoldOutput] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    stored: dict[ComponentKey, bytes] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def monitor(self) -> MonitorFold:
        """The fold of the monitor."""
        return self.partition.folds[MONITOR]

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        """Bodies of the outputs of one kind, in order."""
        return [output.body for output in self.outputs if output.kind == kind]

    def feed(self, events: list[bytes], size: int = 500) -> Folded:
        """Fold more events, in batches of `size`, and commit."""
        first = self.partition.position
        messages = [RawMessage("t", 0, first + n, event) for n, event in enumerate(events)]
        for start in range(0, len(messages), size):
            self.partition.fold(messages[start : start + size])
        self._take(self.partition.commit())
        return self

    def _take(self, commit: Commit) -> None:
        self.outputs += commit.outputs
        self.rejects += commit.rejects
        self.hashes = commit.hashes
        for key, data in commit.components.items():
            if data is None:
                self.stored.pop(key, None)
            else:
                self.stored[key] = data

    def restarted(self, config: Config) -> Folded:
        """A fresh process that loads what was stored."""
        partition = PartitionFold(config, position=self.partition.position, components=self.stored)
        return Folded(partition, stored=dict(self.stored))


def fold(events: list[bytes], config: Config | None = None, size: int = 500) -> Folded:
    """Fold `events` from nothing."""
    return Folded(PartitionFold(config or configured())).feed(events, size)
