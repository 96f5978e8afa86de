"""The fold with a forest of ten that learns from every label: events a second of process CPU.

Decoding, joins, detectors and learners; and once more with the commits of state and outbox to SQLite.

Electricity with 8 features and labels 200 predictions later; every default detector, the frozen probe and the baselines
run beside the forest. It is measured beside a producer's model, as a challenger, and where predictions come without an
answer, which the forest gives then; and once more with `warm_replacement`, which trains a second forest beside it.
`python -m benchmarks.adaptive_fold FOLDER [PREDICTIONS]`, FOLDER with `elec2_full8.csv.gz`.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks._learner_streams import STREAMS, path_of, read
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
PASSES = 5


def configuration(features: int, learners: dict[str, Any], policy: str = "auto") -> Config:
    """Numbers only; labels are judged after 300 predictions."""
    monitor = {
        "features": {f"x{n}": {"type": "numeric"} for n in range(features)},
        "labels": {"age": "300s"},
        "learners": learners,
        "adaptation": {"policy": policy},
    }
    return parse({"monitors": {"bench": monitor}})


def messages(folder: Path, limit: int, name: str = STREAM, *, producer: bool = False) -> tuple[list[RawMessage], int]:
    """Predictions and labels of a stream in their order, a second between two predictions; and how many features.

    A producer's model says what the label before was.
    """
    rows, labels, _ = read(path_of(folder, name), STREAMS[name])
    events: list[dict[str, Any]] = []
    for n, row in enumerate(rows[:limit].tolist()):
        time_ms = 1_760_000_000_000 + 1_000 * n
        features = {f"x{c}": value for c, value in enumerate(row) if not math.isnan(value)}
        event = {"type": "prediction", "id": f"tx-{n}", "monitor": "bench", "time": time_ms, "features": features}
        if producer:
            event |= {"prediction": f"class {labels[n - 1]}", "model_version": "1"}
        events.append(event)
        if n >= DELAY_N:
            late = n - DELAY_N
            label = f"class {labels[late]}"
            events.append({"type": "label", "id": f"tx-{late}", "monitor": "bench", "time": time_ms, "label": label})
    raw = [RawMessage("events", 0, at, msgspec.json.encode(event), b"bench") for at, event in enumerate(events)]
    return raw, rows.shape[1]


class Run(NamedTuple):
    """CPU seconds of the process, all and of the fold alone, and the accuracy of each member."""

    seconds: float
    folding: float
    accuracies: dict[str, float]


def run(raw: list[RawMessage], config: Config) -> Run:
    """Decode, join and fold everything; commit it as the service does."""
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(Path(folder) / "store.sqlite")
        fold = PartitionFold(config)
        owned = OwnedPartition(store.claim("bench", 0), fold, "events")
        models = ModelFiles(Path(folder) / "models")
        committing = 0.0
        started = time.process_time()
        for at, block in enumerate(parts := list(blocks(raw)), 1):
            fold.fold(block)
            if fold.uncommitted >= COMMIT_N or at == len(parts):
                before = time.process_time()
                owned.commit(store, outbox_rows, 0, models=models)
                committing += time.process_time() - before
        seconds = time.process_time() - started
        store.close()
    summaries = fold.folds["bench"].scoreboard.summaries()
    return Run(seconds, seconds - committing, {name: figures["accuracy"] for name, figures in summaries.items()})


def main() -> int:
    """Print the figures; without the stream say how to name its folder."""
    from service.warm import warm

    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    if not path_of(folder, STREAM).exists():
        print(f"{folder} holds no {STREAM}.csv.gz: usage: python -m benchmarks.adaptive_fold FOLDER [PREDICTIONS]")
        return 2 if len(sys.argv) > 1 else 0
    warm()
    limit = int(sys.argv[2]) if len(sys.argv) > 2 else 45_312
    (served, width), (beside, _) = messages(folder, limit), messages(folder, limit, producer=True)
    forest = {"forest": {"estimator": "anchorwatch.AdaptiveRandomForest"}}
    cases = {
        "no learner": (beside, configuration(width, {})),
        "forest beside a producer's model": (beside, configuration(width, forest)),
        "forest that answers": (served, configuration(width, forest)),
        "the same, replaced as a whole": (served, configuration(width, forest, "warm_replacement")),
    }
    # In turns: a machine is faster at one time than at another.
    results = [{name: run(*case) for name, case in cases.items()} for _ in range(PASSES)]
    for name, (raw, _) in cases.items():
        best = min((result[name] for result in results), key=lambda found: found.seconds)
        said = ", ".join(f"{member} {100 * share:.1f} %" for member, share in best.accuracies.items())
        print(
            f"{name}: {len(raw) / best.folding:,.0f} events a CPU second, {len(raw) / best.seconds:,.0f} with commits "
            f"({len(raw)} events, {best.seconds:.2f} s); {said}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
