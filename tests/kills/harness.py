"""Kill -9 from outside, and what must hold afterwards.

Feeder, receiver and ledger are processes or files outside of the service; the killer watches its progress through a
shared mapping that outlives a SIGKILL, so it knows what was folded and uncommitted at that very moment.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from service.config import Config, load
from service.outputs import outbox_rows
from service.partition import PartitionFold
from service.progress import PROGRESS_BYTES, read_progress
from stream.embedded_log import EmbeddedLog
from stream.embedded_transport import EmbeddedTransport
from stream.events import RawMessage
from stream.transport import partition_for
from tests.kills.stream import CONFIGURATION, MONITOR

ROOT = Path(__file__).resolve().parents[2]
START_S = 90.0
FEED_S = 600.0
IDLE_S = 3.0  # with nothing left to feed or to fold there is no better moment to wait for


class ServiceEndedError(Exception):
    """The service noticed by itself that something is wrong, and stopped."""


@dataclass
class Tally:
    """What the kills hit."""

    kills: int = 0
    with_uncommitted: int = 0
    with_unsent: int = 0
    faults: list[str] = field(default_factory=list)


class Harness:
    """One service that is killed again and again over one data folder."""

    def __init__(self, folder: Path, predictions: int, *, source: Path = ROOT, kills: int, block_n: int = 200) -> None:
        self.folder, self.source = folder, source
        self.port, hook_port = free_port(), free_port()
        self.progress, self.ledger = folder / "progress", folder / "ledger.ndjson"
        self.received = folder / "received.txt"
        self.progress.write_bytes(b"\0" * PROGRESS_BYTES)
        self.inside = self.progress.with_name(self.progress.name + ".inside")
        self.gate, self._per_life, self._allowed = folder / "gate", 2 * predictions // kills, 0
        self.gate.write_text("0")
        self.ledger.touch()
        self.received.touch()
        self.configuration = folder / "anchorwatch.toml"
        self.configuration.write_text(CONFIGURATION + _WEBHOOK.format(port=hook_port))
        self.tally = Tally()
        self.service: subprocess.Popen[bytes] | None = None
        self._random = random.Random(1)
        self._tools = [
            self._python("-m", "tests.kills.receiver", str(hook_port), str(self.received), source=ROOT),
            self._python(
                "-m",
                "tests.kills.feeder",
                str(self.port),
                str(self.ledger),
                str(predictions),
                str(block_n),
                str(self.gate),
                source=ROOT,
            ),
        ]

    @property
    def feeder(self) -> subprocess.Popen[bytes]:
        """The feeding process."""
        return self._tools[1]

    def _python(self, *arguments: str, source: Path) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "PYTHONPATH": str(source), "ANCHORWATCH_PROGRESS_FILE": str(self.progress), "PYTHONHASHSEED": "random",
        }  # fmt: skip
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen([sys.executable, *arguments], cwd=source, env=environment, stderr=log, stdout=log)

    def start(self) -> None:
        """Start the service on the data folder, with its share of the stream to come."""
        self._allowed += self._per_life
        self._allow(self._allowed)
        self.inside.unlink(missing_ok=True)
        self.service = self._python(
            "-m", "service.cli", "serve", "--config", str(self.configuration), "--data-dir", str(self.folder / "data"),
            "--port", str(self.port), source=self.source,
        )  # fmt: skip

    def _allow(self, events: int) -> None:
        fresh = self.gate.with_suffix(".new")
        fresh.write_text(str(events))
        fresh.replace(self.gate)

    def state(self) -> tuple[int, int, int, int]:
        """Folded, committed, unsent, commits, as the service last noted them."""
        return read_progress(self.progress.read_bytes())

    def kill(self, aim: str) -> None:
        """SIGKILL the service at a moment of the wanted kind: `uncommitted`, `unsent`, `anywhere`, or `inside` the gap
        of a planted bug, which says so by a file."""
        assert self.service is not None
        self._wait_for(aim)
        self.service.send_signal(signal.SIGKILL)
        self.service.wait()
        folded, committed, unsent, _ = self.state()
        self.tally.kills += 1
        self.tally.with_uncommitted += folded > committed
        self.tally.with_unsent += unsent > 0
        self.progress.write_bytes(b"\0" * PROGRESS_BYTES)

    def _wait_for(self, aim: str) -> None:
        deadline = time.monotonic() + START_S
        least = self._random.randint(1, 400)  # anywhere in the fold, not always at its first batch
        idle_since = time.monotonic()
        while time.monotonic() < deadline:
            if self.service is not None and self.service.poll() is not None:
                raise ServiceEndedError(f"the service ended by itself: {(self.folder / 'log.txt').read_text()[-3000:]}")
            folded, committed, unsent, done = self.state()
            if aim == "inside" and self.inside.exists():
                return
            if aim != "inside" and done >= 1 and (unsent > 0 if aim == "unsent" else folded - committed >= least):
                break
            if folded > committed or done < 1:
                idle_since = time.monotonic()
            if time.monotonic() - idle_since > IDLE_S:
                return
            time.sleep(0 if aim == "unsent" else 0.001)
        if aim == "anywhere":
            time.sleep(self._random.random() * 2.0)  # longer than a commit interval: in the midst of commits too

    def finish(self) -> dict[str, Any]:
        """Let the feed end, wait until all is folded, committed and sent; stop by SIGTERM; returns the view."""
        self._allow(1 << 40)
        self.feeder.wait(FEED_S)
        deadline = time.monotonic() + FEED_S
        view: dict[str, Any] = {}
        while time.monotonic() < deadline:
            view = self._view()
            partition = view.get("service", {}).get("partitions", {}).get("0", {"lag": 1})
            if partition["lag"] == 0 and not any(view["service"]["outbox"].values()) and self._all_committed():
                break
            time.sleep(0.3)
        assert self.service is not None
        self.service.send_signal(signal.SIGTERM)
        if self.service.wait(60) != 0:
            self.tally.faults.append(f"SIGTERM ended the service with {self.service.returncode}")
        return view

    def _all_committed(self) -> bool:
        folded, committed, _, _ = self.state()
        return folded == committed

    def _view(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/monitors", timeout=5) as answer:
                content: dict[str, Any] = msgspec.json.decode(answer.read())
                return content
        except OSError:
            return {}

    def close(self) -> None:
        """End every process."""
        for process in [*self._tools, self.service]:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


_WEBHOOK = """
[webhooks.kills]
url = "http://127.0.0.1:{port}/"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
allow_private = true
"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Clean:
    """The same log folded once, without a kill."""

    state_sha256: str
    rows: list[tuple[str, str, str, bytes]]
    predictions: int
    messages: int


def fold_cleanly(config: Config, folder: Path, block_n: int) -> Clean:
    """Fold the log of a data folder from nothing in blocks of `block_n`, with the code of this tree."""
    log = EmbeddedLog(folder / "data" / "log")
    try:
        transport = EmbeddedTransport(log, config.transport.kafka.topic, partitions=1)
        transport.start()
        transport.seek(0, 0)
        fold = PartitionFold(config, partition_of=lambda key: partition_for(key.encode(), 1))
        rows: list[tuple[str, str, str, bytes]] = []
        while block := _read(transport, block_n):
            fold.fold(block)
            rows += [_plain(row) for row in outbox_rows(fold.release(), config, 0) if row.kind in ("drift", "alert")]
        transport.close()
    finally:
        log.close()
    hashes = fold.commit().hashes
    return Clean(hashes[MONITOR], rows, fold.folds[MONITOR].join.counts.predictions, fold.messages)


def _read(transport: EmbeddedTransport, block_n: int) -> list[RawMessage]:
    return transport.poll(0.05, block_n)


def _plain(row: Any) -> tuple[str, str, str, bytes]:
    return row.id, row.kind, row.destination, row.body


def stored_rows(folder: Path) -> list[tuple[str, str, str, bytes]]:
    """Drift and alert rows of the outbox as the killed service left them, in their order."""
    store = sqlite3.connect(folder / "data" / "checkpoints.sqlite")
    try:
        rows = store.execute("SELECT id, kind, destination, body FROM outbox ORDER BY seq").fetchall()
    finally:
        store.close()
    return [(i, k, d, bytes(b)) for i, k, d, b in rows if k in ("drift", "alert")]


def faults(harness: Harness, view: dict[str, Any]) -> list[str]:
    """Everything that is not as it must be; empty when the promise held."""
    config = load(harness.configuration, {})
    clean = fold_cleanly(config, harness.folder, 1_733)
    found = list(harness.tally.faults)
    monitor = view.get("monitors", {}).get(MONITOR, {})
    ids = {event["id"] for line in harness.ledger.read_bytes().splitlines() if (event := _event(line))}
    if monitor.get("state_sha256") != clean.state_sha256:
        found.append("the state differs from the run without kills")
    if monitor.get("counts", {}).get("predictions") != len(ids):
        found.append(f"{monitor.get('counts', {}).get('predictions')} predictions counted, {len(ids)} acknowledged")
    if clean.predictions != len(ids):
        found.append(f"the log holds {clean.predictions} predictions, {len(ids)} were acknowledged")
    if stored_rows(harness.folder) != clean.rows:
        found.append("the outbox differs from the run without kills")
    alerts = {row[0] for row in clean.rows if row[1] == "alert"}
    received = set(harness.received.read_text().split())
    if received != alerts:
        found.append(f"{len(alerts - received)} alerts never arrived, {len(received - alerts)} should not have")
    return found


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event: dict[str, Any] = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    return event if event.get("type") == "prediction" else None
