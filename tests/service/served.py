"""A served process over one data folder, and a short stream with drifts to feed it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.kills import stream
from tests.kills.harness import free_port

__all__ = ["ROOT", "Served", "control", "drifting_events", "wait_for"]

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 60.0


def drifting_events(predictions: int, promote_at: int = 500) -> list[bytes]:
    """The kill tests' stream with a change of concept every 1,000 predictions, and a promotion on the way."""
    with patch.object(stream, "CONCEPT_N", 1_000):
        events = list(stream.events(predictions))
    return [*events[:promote_at], control("promote", {"learner": "tree"}), *events[promote_at:]]


def control(action: str, parameters: dict[str, Any]) -> bytes:
    """A control event of the stream's time."""
    event = {"type": "control", "monitor": stream.MONITOR, "time": stream.START_MS + 1, "action": action}
    return json.dumps(event | {"parameters": parameters}).encode()


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = _PATIENCE_S) -> None:
    """Wait until the condition holds; fails with `what` was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s in vain for: {what}"
        time.sleep(0.05)


class Served:
    """`anchorwatch serve` as a process that can be stopped and started again."""

    def __init__(self, folder: Path, configuration: str) -> None:
        self.folder, self.port = folder, free_port()
        self.configuration = folder / "anchorwatch.toml"
        self.configuration.write_text(configuration)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> float:
        """Start it; returns the seconds until its page was there."""
        command = ["serve", "--config", str(self.configuration), "--data-dir", str(self.folder / "data")]
        started_s = time.monotonic()
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", *command, "--port", str(self.port)],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: self._alive() and self.ask("/")[0] == 200, "the page")
        return time.monotonic() - started_s

    def _alive(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log.txt").read_text()[-3000:]
        return True

    def ask(self, path: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, bytes]:
        """Status and content; status 0 where nobody answers."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, {"content-type": kind})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def get(self, path: str) -> Any:
        """The JSON of an answer that must be 200."""
        status, content = self.ask(path)
        assert status == 200, (path, status, content)
        return json.loads(content)

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Post JSON."""
        status, content = self.ask(path, json.dumps(body).encode())
        return status, json.loads(content)

    def send(self, events: list[bytes]) -> None:
        """Post events in blocks of 500; each must be acknowledged."""
        for start in range(0, len(events), 500):
            body = b"\n".join(events[start : start + 500]) + b"\n"
            status, content = self.ask("/v1/events", body, "application/x-ndjson")
            assert status == 200, content
            assert len(json.loads(content)["items"]) == body.count(b"\n")

    def settle(self, messages: int) -> dict[str, Any]:
        """Wait until the view is of exactly so many messages with nothing unsent; returns the monitor's view."""

        def settled() -> bool:
            view = self.get("/v1/monitors")["service"]
            part = view.get("partitions", {}).get("0")
            return part is not None and part["position"] == messages and not any(view["outbox"].values())

        wait_for(settled, f"{messages} messages folded and their outputs sent")
        view: dict[str, Any] = self.get(f"/v1/monitors/{stream.MONITOR}")
        return view

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self) -> None:
        """End it, however it is."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
