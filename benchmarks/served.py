"""The served process with a forest of ten that learns from every label: events a second of its CPU, all threads.

All that `anchorwatch serve` does with a log that is full when it starts: reading it, the fold of
`benchmarks.adaptive_fold`, a commit a second, publishing every answer, the page and its reads. Before each pass a plain
Python loop is timed: it says how much the machine's own speed swings meanwhile.
`python -m benchmarks.served FOLDER [PREDICTIONS]`, FOLDER with `elec2_full8.csv.gz`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._learner_streams import path_of
from benchmarks.adaptive_fold import STREAM, messages
from benchmarks.fold import blocks
from service.config import load
from stream.embedded_log import EmbeddedLog
from stream.embedded_transport import EmbeddedTransport
from tests.service.served import Served

PASSES = 5
LOOP_N = 1_000_000
TICKS_S = os.sysconf("SC_CLK_TCK")
HEAD = """
[monitors.bench.labels]
age = "300s"
[monitors.bench.learners.forest]
estimator = "anchorwatch.AdaptiveRandomForest"
"""


def cpu_s(service: Served) -> float:
    """CPU seconds of the process so far."""
    if service.process is None:
        return 0.0
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


def loop_s() -> float:
    """CPU seconds of a plain loop."""
    started, total = time.process_time(), 0
    for i in range(LOOP_N):
        total += i & 7
    return time.process_time() - started


def position(service: Served) -> int:
    """How many messages are folded, committed and published; -1 while anything is unsent."""
    view = service.get("/v1/monitors")["service"]
    unsent = any(view["outbox"].values())
    return -1 if unsent else sum(partition["position"] for partition in view["partitions"].values())


def run(folder: Path, limit: int, *, producer: bool) -> float:
    """Events a second of the process's CPU, from ready to all done."""
    raw, features = messages(folder, limit, producer=producer)
    with tempfile.TemporaryDirectory() as data:
        columns = "".join(f'[monitors.bench.features.x{n}]\ntype = "numeric"\n' for n in range(features))
        service = Served(Path(data), HEAD + columns)
        log = EmbeddedLog(Path(data) / "data" / "log")
        transport = EmbeddedTransport(log, load(service.configuration, {}).transport.kafka.topic, partitions=1)
        for block in blocks(raw):
            transport.append("bench", [message.value or b"" for message in block])
        transport.close()
        log.close()
        try:
            service.start()
            while service.ask("/readyz")[0] != 200:
                time.sleep(0.02)
            before_s, before = cpu_s(service), max(0, position(service))
            while position(service) < len(raw):
                time.sleep(0.2)
            spent_s = cpu_s(service) - before_s
            service.stop()
        finally:
            service.close()
    return (len(raw) - before) / spent_s


def main() -> int:
    """Print the figures; without the stream say how to name its folder."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    if not path_of(folder, STREAM).exists():
        print(f"{folder} holds no {STREAM}.csv.gz: usage: python -m benchmarks.served FOLDER [PREDICTIONS]")
        return 2 if len(sys.argv) > 1 else 0
    limit = int(sys.argv[2]) if len(sys.argv) > 2 else 45_312
    cases = {"forest beside a producer's model": True, "forest that answers": False}
    # In turns: a machine is faster at one time than at another.
    found: list[dict[str, float]] = []
    loops: list[float] = []
    for _ in range(PASSES):
        found.append({})
        for name, producer in cases.items():
            loops.append(loop_s())
            found[-1][name] = run(folder, limit, producer=producer)
    for name in cases:
        rates = sorted(result[name] for result in found)
        print(
            f"{name}: {rates[-1]:,.0f} events a second of the process's CPU, the best of {PASSES} passes "
            f"(median {rates[PASSES // 2]:,.0f}, slowest {rates[0]:,.0f})"
        )
    print(f"a plain loop took {1_000 * min(loops):.0f} to {1_000 * max(loops):.0f} ms of CPU meanwhile")
    return 0


if __name__ == "__main__":
    sys.exit(main())
