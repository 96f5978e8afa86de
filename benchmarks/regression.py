"""Error and speed of the compiled regression learners on two streams, beside river's on the same rows in the same run.

Run as `python -m benchmarks.regression FOLDER [SEEDS]`, FOLDER with the streams as `NAME.csv.gz`. Prequential: each row
is answered, then learned. A speed is events per CPU second of one thread, prediction and learning; of ours the best of
three passes counts, river's is the mean over its seeds, as one pass takes long enough.
"""

from __future__ import annotations

import csv
import gzip
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.adaptive_random_forest_regressor import AdaptiveRandomForestRegressor
from learners.hoeffding_tree_regressor import HoeffdingTreeRegressor

__all__ = ["main"]

Floats = NDArray[np.float64]
# Stream: its target, what is left out (the two parts that sum to the target, row number and date), and how many rows
# are used, because river's forest is slow.
STREAMS: dict[str, tuple[str, set[str], int]] = {
    "bike_sharing_hour": ("cnt", {"casual", "registered", "instant", "dteday"}, 17_379),
    "fried": ("target", set(), 10_000),
}
OURS: dict[str, Callable[[int, int], Any]] = {
    "Hoeffding tree": lambda columns, seed: HoeffdingTreeRegressor(columns, seed=seed),
    "adaptive random forest": lambda columns, seed: AdaptiveRandomForestRegressor(columns, seed=seed),
}
# River's with randomness; each of the others would give the same figures for every seed.
SEEDED = {"river HoeffdingAdaptiveTree", "river ARFRegressor(10)"}
PASSES = 3


def read(path: Path, target: str, left_out: set[str], n: int) -> tuple[list[str], Floats, Floats]:
    """Names, features and targets of the first `n` rows."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [row for row, _ in zip(csv.DictReader(lines), range(n), strict=False)]
    names = [name for name in rows[0] if name not in left_out and name != target]
    features = [[float(row[name]) if row[name] else math.nan for name in names] for row in rows]
    return names, np.array(features), np.array([float(row[target]) for row in rows])


def errors(said: Floats, targets: Floats) -> tuple[float, float]:
    """MAE and RMSE; nothing known counts as 0, which is what river answers."""
    gaps = np.nan_to_num(said) - targets
    return float(np.abs(gaps).mean()), float(np.sqrt((gaps**2).mean()))


def river_models() -> dict[str, Callable[[int], Any]]:
    """River's learners with its defaults, and the tree with ours where they have the same name."""
    from river import compose, forest, preprocessing, tree

    return {
        "river HoeffdingTree": lambda _: tree.HoeffdingTreeRegressor(),
        "river scaled HoeffdingTree": lambda _: compose.Pipeline(
            preprocessing.StandardScaler(), tree.HoeffdingTreeRegressor()
        ),
        "river HoeffdingTree(100, .01)": lambda _: tree.HoeffdingTreeRegressor(grace_period=100, delta=0.01),
        "river HoeffdingAdaptiveTree": lambda seed: tree.HoeffdingAdaptiveTreeRegressor(seed=seed),
        "river ARFRegressor(10)": lambda seed: forest.ARFRegressor(10, seed=seed),
    }


def run_river(model: Any, names: list[str], rows: Floats, targets: Floats) -> tuple[Floats, float]:
    """Answers, and events per CPU second."""
    examples = [(dict(zip(names, row, strict=True)), y) for row, y in zip(rows.tolist(), targets.tolist(), strict=True)]
    said = []
    start = time.process_time()
    for x, y in examples:
        said.append(model.predict_one(x))
        model.learn_one(x, y)
    return np.array(said), len(rows) / (time.process_time() - start)


def run_ours(build: Callable[[int, int], Any], seed: int, rows: Floats, targets: Floats) -> tuple[Floats, float, float]:
    """Answers, events per CPU second, and megabytes of state."""
    best, learner, said = math.inf, build(rows.shape[1], seed), np.empty(0)
    for _ in range(PASSES):
        learner = build(rows.shape[1], seed)
        start = time.process_time()
        said = learner.step_many(rows, targets)
        best = min(best, time.process_time() - start)
    return said, len(rows) / best, learner.state_bytes / 1e6


def line(stream: str, name: str, figures: list[tuple[float, float]], rest: str = "") -> str:
    """One row of the table."""
    (mae, rmse), (mae_sd, rmse_sd) = np.mean(figures, axis=0), np.std(figures, axis=0)
    return f"{stream:<18}{name:<31}{mae:>8.3f} ±{mae_sd:<6.3f}{rmse:>9.3f} ±{rmse_sd:<6.3f}{rest}"


def table(stream: str, data: tuple[list[str], Floats, Floats], seeds: int) -> None:
    """Print the rows of one stream: baselines, river's, ours."""
    names, rows, targets = data
    means = np.concatenate([[0.0], np.cumsum(targets)[:-1] / np.arange(1, len(targets))])
    print(line(stream, "running mean", [errors(means, targets)]))
    print(line(stream, "last label", [errors(np.concatenate([[0.0], targets[:-1]]), targets)]))
    speeds: dict[str, float] = {}
    for name, model in river_models().items():
        runs = [run_river(model(seed), names, rows, targets) for seed in range(1, (seeds if name in SEEDED else 1) + 1)]
        speeds[name] = float(np.mean([speed for _, speed in runs]))
        print(line(stream, name, [errors(said, targets) for said, _ in runs], f"{speeds[name]:>12,.0f}"), flush=True)
    beside = {"Hoeffding tree": "river HoeffdingTree", "adaptive random forest": "river ARFRegressor(10)"}
    for name, build in OURS.items():
        build(rows.shape[1], 1).step_many(rows[:500], targets[:500])
        ours = [run_ours(build, seed, rows, targets) for seed in range(1, seeds + 1)]
        speed, size = max(speed for _, speed, _ in ours), max(size for *_, size in ours)
        rest = f"{speed:>12,.0f}{speed / speeds[beside[name]]:>7,.0f}x{size:>8.2f}"
        print(line(stream, name, [errors(said, targets) for said, *_ in ours], rest), flush=True)


def main() -> int:
    """Print the table; without the streams say how to name their folder, with exit code 2 if one was named."""
    folder, seeds = Path(sys.argv[1] if len(sys.argv) > 1 else "."), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    absent = [name for name in STREAMS if not (folder / f"{name}.csv.gz").exists()]
    if absent:
        print(f"{folder} holds no {absent[0]}.csv.gz: usage: python -m benchmarks.regression FOLDER [SEEDS]")
        return 2 if len(sys.argv) > 1 else 0
    head = f"{'stream':<18}{'learner':<31}{'MAE':>8} {'seeds':<7}{'RMSE':>9} {'seeds':<7}"
    print(f"{head}{'events/s':>12}{'ratio':>8}{'MB':>8}")
    for stream, (target, left_out, n) in STREAMS.items():
        data = read(folder / f"{stream}.csv.gz", target, left_out, n)
        print(f"{stream}: the first {len(data[1]):,} rows, {len(data[0])} columns")
        table(stream, data, seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
