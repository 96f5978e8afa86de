"""Accuracy and speed of the compiled learners on real and generated streams, beside MOA's and river's.

Run as `python -m benchmarks.learners FOLDER [SEEDS]`, FOLDER with the streams as `NAME.csv.gz`. Prequential: each row
is answered, then learned. A speed is events per CPU second of one thread, prediction and learning; the best pass of
each part of the stream counts, as other work only adds. river is timed on electricity, on a prefix (it takes minutes a
stream), and compared on the same rows.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import _moa
from benchmarks._learner_streams import STREAMS, Data, path_of, read
from learners.adaptive_random_forest import AdaptiveRandomForest
from learners.hoeffding_adaptive_tree import HoeffdingAdaptiveTree
from learners.hoeffding_tree import HoeffdingTree
from learners.leveraging_bagging import LeveragingBagging
from learners.oza_bagging import OzaBaggingAdwin
from learners.streaming_random_patches import StreamingRandomPatches

__all__ = ["main"]

Build = Callable[[int, tuple[int, ...], int], Any]
LEARNERS: dict[str, Build] = {
    "Hoeffding tree": lambda columns, nominal, _: HoeffdingTree(columns, nominal),
    "Hoeffding adaptive tree": lambda columns, nominal, seed: HoeffdingAdaptiveTree(columns, nominal, seed=seed),
    "online bagging, ADWIN": lambda columns, nominal, seed: OzaBaggingAdwin(columns, nominal, seed=seed),
    "leveraging bagging": lambda columns, nominal, seed: LeveragingBagging(columns, nominal, seed=seed),
    "adaptive random forest": lambda columns, nominal, seed: AdaptiveRandomForest(columns, nominal, seed=seed),
    "random patches": lambda columns, nominal, seed: StreamingRandomPatches(columns, nominal, seed=seed),
}
PARTS, PASSES = 20, 3
# Where river is timed, and on how many rows: enough for its trees to be grown.
RIVER_STREAM, RIVER_ROWS = "elec2_full8", 10_000


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
    """Events per CPU second of river's learner of that name."""
    from river import ensemble, forest, tree

    models: dict[str, Callable[[], Any]] = {
        "Hoeffding tree": tree.HoeffdingTreeClassifier,
        "Hoeffding adaptive tree": lambda: tree.HoeffdingAdaptiveTreeClassifier(seed=1),
        "online bagging, ADWIN": lambda: ensemble.ADWINBaggingClassifier(tree.HoeffdingTreeClassifier(), 10, seed=1),
        "leveraging bagging": lambda: ensemble.LeveragingBaggingClassifier(tree.HoeffdingTreeClassifier(), 10, seed=1),
        "adaptive random forest": lambda: forest.ARFClassifier(10, seed=1),
        "random patches": lambda: ensemble.SRPClassifier(tree.HoeffdingTreeClassifier(), 10, seed=1),
    }
    model = models[name]()
    examples = [(dict(enumerate(row)), label) for row, label in zip(rows.tolist(), labels.tolist(), strict=True)]
    start = time.process_time()
    for x, y in examples:
        model.predict_one(x)
        model.learn_one(x, y)
    return len(rows) / (time.process_time() - start)


def line(name: str, stream: str, data: Data, seeds: int, moa: _moa.Figure) -> str:
    """One row of the table."""
    rows, labels, nominal = data

    def build(seed: int = 1) -> Any:
        return LEARNERS[name](rows.shape[1], tuple(nominal), seed)

    figures, sizes = [], []
    for seed in range(1, seeds + 1):
        learner = build(seed)
        figures.append(kappas(learner.step_many(rows, labels).argmax(axis=1), labels))
        sizes.append(learner.state_bytes)
    accuracy, kappa, temporal = np.mean(figures, axis=0)
    spread = np.std([figure[0] for figure in figures])
    ours, theirs, ratio = per_second(build, rows, labels), math.nan, math.nan
    if stream == RIVER_STREAM:
        first = rows[:RIVER_ROWS], labels[:RIVER_ROWS]
        theirs = river_per_second(name, *first)
        ratio = per_second(build, *first) / theirs
    return (
        f"{stream:<14}{name:<24}{accuracy:>6.2f} ±{spread:<5.2f}{_cell(moa.accuracy, '6.2f')}"
        f"{_cell(accuracy - moa.accuracy, '+7.2f')}{kappa:>6.1f}{temporal:>7.1f}{ours:>11,.0f}"
        f"{_cell(moa.per_second, '9,.0f')}{_cell(ours / moa.per_second, '6.1f')}{_cell(theirs, '8,.0f')}"
        f"{_cell(ratio, '6.0f')}{max(sizes) / 1e6:>7.2f}"
    )


def _cell(value: float, form: str) -> str:
    """The number, or a dash of the same width for one that there is not."""
    return "-".rjust(len(format(0.0, form))) if math.isnan(value) else format(value, form)


def main() -> int:
    """Print the table; without the streams say how to name their folder, with exit code 2 if one was named."""
    folder, seeds = Path(sys.argv[1] if len(sys.argv) > 1 else "."), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    absent = [name for name, stream in STREAMS.items() if not stream.generate and not path_of(folder, name).exists()]
    if absent:
        print(f"{folder} holds no {absent[0]}.csv.gz: usage: python -m benchmarks.learners FOLDER [SEEDS]")
        return 2 if len(sys.argv) > 1 else 0
    has_moa = _moa.is_available()
    if not has_moa:
        print("MOA: as recorded once; to run it here: Java 17 or newer, and pip install -e .[benchmark]")
    print(
        f"{'stream':<14}{'learner':<24}{'acc. %':>6} {'seeds':<6}{'MOA':>6}{'diff':>7}{'kappa':>6}{'temp.':>7}"
        f"{'events/s':>11}{'MOA':>9}{'ratio':>6}{'river':>8}{'ratio':>6}{'MB':>7}"
    )
    for stream, source in STREAMS.items():
        data = read(path_of(folder, stream), source)
        for name in LEARNERS:
            moa = _moa.run(name, data, seeds) if has_moa else _moa.recorded(name, stream)
            print(line(name, stream, data, seeds, moa), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
