"""The embedded log under SIGKILL: what was acknowledged is there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stream.embedded_log import EmbeddedLog
from stream.log_partition import LogReader

__all__: list[str] = []


def contents(log: EmbeddedLog) -> list[bytes | None]:
    """Return the payloads of partition 0."""
    return [message.value for message in LogReader(log.partition("events", 0), 0).read(1_000_000)]


_WRITER = """
import os, sys, threading
from pathlib import Path
from stream.embedded_log import EmbeddedLog
from stream.transport import Outgoing
log = EmbeddedLog(Path(sys.argv[1]), segment_bytes=20_000)
log.create_topic("events", 1)
partition = log.partition("events", 0)
def write(thread):
    n = 0
    while True:
        offset = partition.append([Outgoing(None, b"%d %d %d" % (thread, n, i) + b"x" * 200) for i in range(3)])
        os.write(1, b"%d %d %d\\n" % (offset, thread, n))
        n += 1
threads = [threading.Thread(target=write, args=(k,)) for k in range(3)]
[thread.start() for thread in threads]
"""


def test_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    """A writer with three threads, killed six times at random moments: every acknowledged record is at its offset."""
    folder = tmp_path / "log"
    generator = random.Random(5)
    acknowledged: dict[int, bytes] = {}
    for _ in range(6):
        acknowledged |= _run_and_kill([sys.executable, "-c", _WRITER, str(folder)], generator.randrange(5, 200))
        log = EmbeddedLog(folder, segment_bytes=20_000)
        held = dict(enumerate(contents(log)))
        for offset, start in acknowledged.items():
            for i in range(3):
                value = held[offset + i]
                assert value is not None
                assert value.startswith(b"%b %d" % (start, i))
        log.close()
    assert len(acknowledged) > 100


def _run_and_kill(command: list[str], lines: int) -> dict[int, bytes]:
    """Return what the writer acknowledged: offset -> the beginning of the record's value."""
    writer = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": "."}, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    printed = [writer.stdout.readline() for _ in range(lines)]
    writer.kill()
    printed += writer.stdout.read().splitlines(keepends=True)
    writer.stdout.close()
    writer.wait()
    whole = [line.split() for line in printed if line.endswith(b"\n") and len(line.split()) == 3]
    return {int(offset): b"%b %b" % (thread, n) for offset, thread, n in whole}


@pytest.mark.parametrize(
    ("point", "survives"), [("log.before_write", 2), ("log.after_write", 3), ("log.after_sync", 3)]
)
def test_kill_at_every_failpoint(tmp_path: Path, point: str, survives: int) -> None:
    """A kill around a write leaves the earlier groups, and the new one as soon as the kernel has it."""
    script = _WRITER.replace("range(3)]\n[", "range(1)]\n[")
    environment = {**os.environ, "ANCHORWATCH_FAILPOINT": point, "ANCHORWATCH_FAILPOINT_HIT": "3", "PYTHONPATH": "."}
    command = [sys.executable, "-c", script, str(tmp_path / "log")]
    ended = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert len(ended.stdout.splitlines()) == 2
    log = EmbeddedLog(tmp_path / "log")
    assert len(contents(log)) == 3 * survives
    log.close()
