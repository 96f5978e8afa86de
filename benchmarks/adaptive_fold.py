"""The fold with a forest of ten that learns from every label: events a second of process CPU, committed state included.

Electricity with 8 features: predictions without an answer, which the forest gives, and their labels 200 predictions
later; every default detector, the frozen probe and the baselines run beside it, and a drift replaces the forest.
`python -m benchmarks.adaptive_fold FOLDER [PREDICTIONS]`, FOLDER with `elec2_full8.csv.gz`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks._learner_streams import Stream, path_of, read
from benchmarks.fold import COMMIT_N, blocks
from service.config import Config, parse
from service.model_files import ModelFiles
from service.outputs import outbox_rows
from service.owned import OwnedPartition
from service.partition import PartitionFold
from stream.events import RawMessage
from stream.sqlite_store import SQLiteStore

STREAM = "elec2_full8"
DELAY_N = 200
PASSES = 3


def configuration(features: int, learners: dict[str, Any]) -> Config:
    """Numbers only; labels are judged after 300 predictions."""
    monitor = {
        "features": {f"x{n}": {"type": "numeric"} for n in range(features)},
        "labels": {"age": "300s"},
        "learners": learners,
    }
    return parse({"monitors": {"bench": monitor}})


def messages(folder: Path, limit: int) -> list[RawMessage]:
    """Predictions and labels in their order, a second between two predictions."""
    rows, labels, _ = read(path_of(folder, STREAM), Stream("class"))
    events: list[dict[str, Any]] = []
    for n, row in enumerate(rows[:limit].tolist()):
        time_ms = 1_760_000_000_000 + 1_000 * n
        features = {f"x{c}": value for c, value in enumerate(row)}
        events.append(
            {"type": "prediction", "id": f"tx-{n}", "monitor": "bench", "time": time_ms, "features": features}
        )
        if n >= DELAY_N:
            late = n - DELAY_N
            said = ("down", "up")[labels[late]]
            events.append({"type": "label", "id": f"tx-{late}", "monitor": "bench", "time": time_ms, "label": said})
    return [RawMessage("events", 0, at, msgspec.json.encode(event), b"bench") for at, event in enumerate(events)]


def run(raw: list[RawMessage], config: Config) -> tuple[float, dict[str, float]]:
    """Fold everything; returns CPU seconds of the process and the accuracy of each member."""
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(Path(folder) / "store.sqlite")
        fold = PartitionFold(config)
        owned = OwnedPartition(store.claim("bench", 0), fold, "events")
        models = ModelFiles(Path(folder) / "models")
        started = time.process_time()
        for block in blocks(raw):
            fold.fold(block)
            if fold.uncommitted >= COMMIT_N:
                owned.commit(store, outbox_rows, 0, models=models)
        owned.commit(store, outbox_rows, 0, models=models)
        seconds = time.process_time() - started
        store.close()
    summaries = fold.folds["bench"].scoreboard.summaries()
    return seconds, {name: figures["accuracy"] for name, figures in summaries.items()}


def main() -> int:
    """Print the figures; without the stream say how to name its folder."""
    from service.warm import warm

    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    if not path_of(folder, STREAM).exists():
        print(f"{folder} holds no {STREAM}.csv.gz: usage: python -m benchmarks.adaptive_fold FOLDER [PREDICTIONS]")
        return 2 if len(sys.argv) > 1 else 0
    warm()
    raw = messages(folder, int(sys.argv[2]) if len(sys.argv) > 2 else 45_312)
    forest = {"forest": {"estimator": "anchorwatch.AdaptiveRandomForest"}}
    for name, learners in (("no learner", {}), ("forest of ten", forest)):
        results = [run(raw, configuration(8, learners)) for _ in range(PASSES)]
        seconds, accuracies = min(results, key=lambda result: result[0])
        said = ", ".join(f"{member} {100 * share:.1f} %" for member, share in accuracies.items())
        print(f"{name}: {len(raw) / seconds:,.0f} events a CPU second ({len(raw)} events, {seconds:.2f} s); {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
