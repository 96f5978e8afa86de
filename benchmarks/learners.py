"""Accuracy and speed of the compiled learners on the shared streams, beside MOA's accuracy and river's speed.

Run as `python -m benchmarks.learners FOLDER [SEEDS]`, FOLDER with the streams as `NAME.csv.gz`. Prequential: each row
is answered, then learned. MOA's accuracies were measured with CapyMOA 0.15.1 (ensembles of ten, its defaults).
A speed is events per CPU second of one thread, prediction and learning; the best pass of each part of the stream
counts, as other work only adds.
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

from learners.adaptive_random_forest import AdaptiveRandomForest
from learners.hoeffding_adaptive_tree import HoeffdingAdaptiveTree
from learners.hoeffding_tree import HoeffdingTree
from learners.leveraging_bagging import LeveragingBagging
from learners.oza_bagging import OzaBaggingAdwin
from learners.streaming_random_patches import StreamingRandomPatches

__all__ = ["main"]

Build = Callable[[int, int], Any]
# Stream: name of the label's column, and MOA's accuracies in the order of LEARNERS.
STREAMS: dict[str, tuple[str, list[float]]] = {
    "elec2_full8": ("class", [79.20, 83.39, 84.35, 89.80, 89.33, 88.82]),
    "noaa_weather": ("target", [73.43, 73.53, 75.01, 78.11, 78.24, 78.91]),
    "sea_losing": ("target", [84.94, 86.75, 86.76, 88.31, 88.47, 84.42]),
}
LEARNERS: dict[str, Build] = {
    "Hoeffding tree": lambda columns, _: HoeffdingTree(columns),
    "Hoeffding adaptive tree": lambda columns, seed: HoeffdingAdaptiveTree(columns, seed=seed),
    "online bagging, ADWIN": lambda columns, seed: OzaBaggingAdwin(columns, seed=seed),
    "leveraging bagging": lambda columns, seed: LeveragingBagging(columns, seed=seed),
    "adaptive random forest": lambda columns, seed: AdaptiveRandomForest(columns, seed=seed),
    "random patches": lambda columns, seed: StreamingRandomPatches(columns, seed=seed),
}
PARTS, PASSES = 20, 3
# Rows that river's learners are timed on: the slowest makes a few hundred a second.
RIVER_ROWS = {"Hoeffding tree": 5_000, "Hoeffding adaptive tree": 5_000}
RIVER_ROWS_OF_ENSEMBLES = 3_000


def read(path: Path, target: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Features with NaN for what is missing, and labels as codes in order of appearance."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = list(csv.reader(lines))
    at = rows[0].index(target)
    codes: dict[str, int] = {}
    labels = [codes.setdefault(row[at], len(codes)) for row in rows[1:]]
    features = [[float(v) if v else math.nan for i, v in enumerate(row) if i != at] for row in rows[1:]]
    return np.array(features), np.array(labels)


def kappas(said: NDArray[np.int64], labels: NDArray[np.int64]) -> tuple[float, float, float]:
    """Accuracy, kappa and kappa-temporal in percent: over chance, and over repeating the last label."""
    right = float((said == labels).mean())
    n = int(max(said.max(), labels.max())) + 1
    chance = float(np.bincount(said, minlength=n) @ np.bincount(labels, minlength=n)) / len(labels) ** 2
    last = float((labels[1:] == labels[:-1]).sum()) / len(labels)
    return 100 * right, 100 * (right - chance) / (1 - chance), 100 * (right - last) / (1 - last)


def per_second(build: Callable[[], Any], rows: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Events per CPU second over the whole stream, from the best pass of each of its parts."""
    best = np.full(PARTS, math.inf)
    cuts = np.linspace(0, len(rows), PARTS + 1).astype(int)
    for _ in range(PASSES):
        learner = build()
        for part in range(PARTS):
            block = slice(cuts[part], cuts[part + 1])
            start = time.process_time()
            learner.step_many(rows[block], labels[block])
            best[part] = min(best[part], time.process_time() - start)
    return len(rows) / float(best.sum())


def river_per_second(name: str, rows: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Events per CPU second of river's learner of that name on the first rows."""
    from river import ensemble, forest, tree

    models: dict[str, Callable[[], Any]] = {
        "Hoeffding tree": tree.HoeffdingTreeClassifier,
        "Hoeffding adaptive tree": lambda: tree.HoeffdingAdaptiveTreeClassifier(seed=1),
        "online bagging, ADWIN": lambda: ensemble.ADWINBaggingClassifier(tree.HoeffdingTreeClassifier(), 10, seed=1),
        "leveraging bagging": lambda: ensemble.LeveragingBaggingClassifier(tree.HoeffdingTreeClassifier(), 10, seed=1),
        "adaptive random forest": lambda: forest.ARFClassifier(10, seed=1),
        "random patches": lambda: ensemble.SRPClassifier(tree.HoeffdingTreeClassifier(), 10, seed=1),
    }
    model, n = models[name](), RIVER_ROWS.get(name, RIVER_ROWS_OF_ENSEMBLES)
    examples = [
        (dict(enumerate(row)), label) for row, label in zip(rows[:n].tolist(), labels[:n].tolist(), strict=True)
    ]
    start = time.process_time()
    for x, y in examples:
        model.predict_one(x)
        model.learn_one(x, y)
    return n / (time.process_time() - start)


def line(name: str, stream: str, data: tuple[Any, Any], seeds: int, moa: float) -> str:
    """One row of the table."""
    rows, labels = data
    build = LEARNERS[name]
    figures, sizes = [], []
    for seed in range(1, seeds + 1):
        learner = build(rows.shape[1], seed)
        figures.append(kappas(learner.step_many(rows, labels).argmax(axis=1), labels))
        sizes.append(learner.state_bytes)
    accuracy, kappa, temporal = np.mean(figures, axis=0)
    spread = np.std([figure[0] for figure in figures])
    ours, theirs = per_second(lambda: build(rows.shape[1], 1), rows, labels), river_per_second(name, rows, labels)
    return (
        f"{stream:<13}{name:<25}{accuracy:>7.2f} ±{spread:<5.2f}{moa:>7.2f}{accuracy - moa:>+7.2f}{kappa:>7.1f}"
        f"{temporal:>7.1f}{ours:>12,.0f}{theirs:>9,.0f}{ours / theirs:>7,.0f}x{max(sizes) / 1e6:>9.2f}"
    )


def main() -> int:
    """Print the table; without the streams say how to name their folder, with exit code 2 if one was named."""
    folder, seeds = Path(sys.argv[1] if len(sys.argv) > 1 else "."), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    absent = [name for name in STREAMS if not (folder / f"{name}.csv.gz").exists()]
    if absent:
        print(f"{folder} holds no {absent[0]}.csv.gz: usage: python -m benchmarks.learners FOLDER [SEEDS]")
        return 2 if len(sys.argv) > 1 else 0
    print(
        f"{'stream':<13}{'learner':<25}{'acc. %':>7} {'seeds':<6}{'MOA':>7}{'diff':>7}{'kappa':>7}{'temp.':>7}"
        f"{'events/s':>12}{'river':>9}{'ratio':>8}{'MB':>9}"
    )
    for stream, (target, accuracies) in STREAMS.items():
        data = read(folder / f"{stream}.csv.gz", target)
        for name, moa in zip(LEARNERS, accuracies, strict=True):
            print(line(name, stream, data, seeds, moa), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
