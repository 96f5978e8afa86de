"""Real programs for one test: Prometheus and Alertmanager on free ports of the loopback, stopped at its end."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = [
    "PROMETHEUS_FOLDER",
    "ROOT",
    "alertmanager",
    "free_port",
    "get_json",
    "program",
    "prometheus",
    "query",
    "running",
    "wait_until",
]

ROOT = Path(__file__).parents[2]
PROMETHEUS_FOLDER = ROOT / "grafana" / "prometheus"


def program(name: str) -> str:
    """Find `name` on the PATH, or skip the test with the package that brings it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; .ci/install_programs brings it")
    return found


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def get_json(url: str) -> Any:
    """Return the decoded answer of a GET."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def wait_until(holds: Callable[[], bool], what: str, within_s: float) -> None:
    """Ask until `holds`, at most `within_s` seconds; a connection refused counts as not yet."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {within_s} s")


@contextmanager
def running(command: list[str], log: Path, ready_url: str, *, within_s: float = 30.0) -> Iterator[None]:
    """Run `command` in the repository's root until the block ends; enter once `ready_url` answers.

    Its output is in `log`.
    """
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            wait_until(lambda: _answers(process, log, ready_url), f"{command[0]} ready", within_s)
            yield
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(process: subprocess.Popen[bytes], log: Path, url: str) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"ended with {process.returncode}: {log.read_text('utf-8', 'replace')[-2000:]}")
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bool(answer.status == 200)


@contextmanager
def prometheus(folder: Path, config: str, rules: str) -> Iterator[str]:
    """Run Prometheus with these files' texts; yields its address."""
    (folder / "prometheus.yml").write_text(config)
    (folder / "rules.yml").write_text(rules)
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command, folder / "prometheus.log", f"http://127.0.0.1:{port}/-/ready"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def alertmanager(folder: Path, config: str) -> Iterator[str]:
    """Run Alertmanager with this text as configuration; yields its address."""
    (folder / "alertmanager.yml").write_text(config)
    port = free_port()
    command = [
        program("prometheus-alertmanager"),
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with running(command, folder / "alertmanager.log", f"http://127.0.0.1:{port}/-/ready"):
        yield f"http://127.0.0.1:{port}"


def query(address: str, expression: str) -> list[dict[str, Any]]:
    """Return the samples that `expression` has now."""
    try:
        answer = get_json(f"{address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{expression}: {error.read().decode()}") from error
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result
