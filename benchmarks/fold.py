"""The fold end to end: from the raw bytes of the messages to committed state, in events a second of process CPU.

20 numeric features with continuous values, all five detector kinds on every feature or jointly, labels joined,
predictions and labels one to one, reference 1,000, window 1,000, no learner. Windows are updated at every event and
tested at every k-th. `python -m benchmarks.fold`
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from service.config import Config, parse
from service.model_files import ModelFiles
from service.outputs import outbox_rows
from service.owned import OwnedPartition
from service.partition import PartitionFold
from stream.events import RawMessage
from stream.sqlite_store import SQLiteStore

FEATURES_N = 20
PAIRS_N = 60_000
DELAY_N = 200
BLOCK_N = 4_000  # what the worker polls
COMMIT_N = 20_000
KS = (10, 1)


def configuration(test_every: int) -> Config:
    """Twenty features, everything on."""
    tests = {name: {"test_every": test_every} for name in ("ks", "cvm", "energy")}
    monitor = {
        "features": {f"x{n}": {"type": "numeric"} for n in range(FEATURES_N)},
        "reference": {"n": 1_000, "window": 1_000},
        "labels": {"age": "300s"},
        "detectors": tests,
    }
    return parse({"monitors": {"bench": monitor}})


def messages() -> list[RawMessage]:
    """Predictions and their labels, one to one, a label `DELAY_N` predictions later."""
    generator = np.random.default_rng(5)
    rows = generator.normal(size=(PAIRS_N, FEATURES_N)).round(6).tolist()
    chance = generator.uniform(0.02, 0.98, PAIRS_N).round(4).tolist()
    wrong = generator.uniform(size=PAIRS_N) < 0.1
    events: list[dict[str, Any]] = []
    for n in range(PAIRS_N):
        time_ms = 1_760_000_000_000 + 1_000 * n
        said = "yes" if chance[n] > 0.5 else "no"
        events.append({
            "type": "prediction", "id": f"tx-{n}", "monitor": "bench", "time": time_ms,
            "features": {f"x{c}": v for c, v in enumerate(rows[n])}, "prediction": said,
            "scores": {"no": round(1 - chance[n], 4), "yes": chance[n]}, "model_version": "7",
        })  # fmt: skip
        if n >= DELAY_N:
            answered = n - DELAY_N
            truth = ("yes" if chance[answered] > 0.5 else "no") if not wrong[answered] else "maybe"
            events.append(
                {"type": "label", "id": f"tx-{answered}", "monitor": "bench", "time": time_ms, "label": truth}
            )
    return [
        RawMessage("events", 0, offset, msgspec.json.encode(event), b"bench") for offset, event in enumerate(events)
    ]


def blocks(raw: list[RawMessage]) -> Iterator[list[RawMessage]]:
    """As a poll delivers them."""
    for start in range(0, len(raw), BLOCK_N):
        yield raw[start : start + BLOCK_N]


def run(raw: list[RawMessage], test_every: int) -> tuple[float, dict[str, float]]:
    """Fold everything; returns CPU seconds of the process and those of each stage."""
    config = configuration(test_every)
    stages: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(Path(folder) / "store.sqlite")
        fold = PartitionFold(config)
        owned = OwnedPartition(store.claim("bench", 0), fold, "events")
        commit = partial(owned.commit, models=ModelFiles(Path(folder) / "models"))
        _time_stages(fold, stages)
        started = time.process_time()
        for block in blocks(raw):
            fold.fold(block)
            if fold.uncommitted >= COMMIT_N:
                _timed(stages, "commit", commit, store, outbox_rows, 0)
        _timed(stages, "commit", commit, store, outbox_rows, 0)
        seconds = time.process_time() - started
        store.close()
    stages["join, scores, answers, episodes"] = seconds - sum(stages.values())
    return seconds, stages


def _timed(stages: dict[str, float], name: str, call: Any, *arguments: Any) -> Any:
    started = time.process_time()
    result = call(*arguments)
    stages[name] = stages.get(name, 0.0) + time.process_time() - started
    return result


def _time_stages(fold: PartitionFold, stages: dict[str, float]) -> None:
    """Put a stop watch around the parts of the fold."""
    monitor = fold.folds["bench"]
    signals = monitor.signals
    watched: list[tuple[Any, str, str]] = [
        (fold.decoder, "decode", "decode and validate"),
        (signals.means, "update", "ADWIN and Page-Hinkley"),
        (signals.quality, "update", "missing and unseen"),
        (signals.joint, "update", "energy distance"),
        (monitor.errors, "flush", "error signals"),
        *[(ranks, "update", "KS and CvM") for ranks in signals.ranks],
    ]
    for owner, method, name in watched:
        original = getattr(owner, method)
        setattr(owner, method, lambda *a, _call=original, _name=name: _timed(stages, _name, _call, *a))


def main() -> None:
    """Print the figures."""
    from service.warm import warm

    warm()
    raw = messages()
    out = sys.stdout
    out.write(
        f"{len(raw)} events ({PAIRS_N} predictions), {sum(len(m.value or b'') for m in raw) / 1e6:.0f} MB of JSON\n"
    )
    for k in KS:
        seconds, stages = min((run(raw, k) for _ in range(2)), key=lambda result: result[0])
        out.write(f"\nk = {k}: {len(raw) / seconds:,.0f} events per second of process CPU ({seconds:.2f} s)\n")
        out.write("| stage | µs an event |\n|---|---:|\n")
        for name, spent in sorted(stages.items(), key=lambda item: -item[1]):
            out.write(f"| {name} | {spent / len(raw) * 1e6:.2f} |\n")


if __name__ == "__main__":
    main()
