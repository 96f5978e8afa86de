"""Accuracy and speed of naive Bayes and the linear models on the shared streams, beside river's on the same rows.

Run as `python -m benchmarks.linear FOLDER`, FOLDER with the streams as `NAME.csv.gz`. Prequential: each row is
answered, then learned. A speed is events per CPU second of one thread, prediction and learning; of ours the best pass
of each part of the stream counts, as other work only adds. Memory policies are timed example by example, with names.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._learner_streams import Stream, path_of, read
from benchmarks.learners import kappas, per_second
from learners.build import build_learner
from learners.naive_bayes import NaiveBayes
from learners.softmax_regression import SoftmaxRegression

__all__ = ["main"]

STREAMS = {"elec2_full8": "class", "noaa_weather": "target", "sea_losing": "target"}
RIVER_ROWS = 10_000
POLICY_ROWS = 20_000
COMPILED: dict[str, Callable[[int], Any]] = {
    "naive Bayes": NaiveBayes,
    "naive Bayes, decay 0.999": lambda columns: NaiveBayes(columns, decay=0.999),
    "softmax, rate 0.01": lambda columns: SoftmaxRegression(columns, learning_rate=0.01),
    "softmax, rate 0.05": lambda columns: SoftmaxRegression(columns, learning_rate=0.05),
}
POLICIES: dict[str, tuple[str, dict[str, Any]]] = {
    "naive Bayes by name": ("anchorwatch.NaiveBayes", {}),
    "sliding window of it": ("anchorwatch.SlidingWindow", {"estimator": "anchorwatch.NaiveBayes"}),
    "adaptive window of it": ("anchorwatch.AdaptiveWindow", {"estimator": "anchorwatch.NaiveBayes"}),
    "decay of it": ("anchorwatch.Decay", {"estimator": "anchorwatch.NaiveBayes", "half_life_n": 500}),
}


def river_model(name: str) -> Any:
    """River's learner of the same kind; its softmax regression has no intercept, and its naive Bayes no decay."""
    from river import compose, linear_model, naive_bayes, optim, preprocessing

    if name.startswith("naive Bayes"):
        return naive_bayes.GaussianNB()  # type: ignore[no-untyped-call] # river ships no types here
    optimisers: Any = optim
    softmax = linear_model.SoftmaxRegression(optimisers.SGD(float(name.rsplit(" ", 1)[1])))
    return compose.Pipeline(preprocessing.StandardScaler(), softmax)


def of_rivers(name: str, rows: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Accuracy in percent and events per CPU second of river's learner on the rows."""
    model, right = river_model(name), 0
    examples = [(dict(enumerate(row)), label) for row, label in zip(rows.tolist(), labels.tolist(), strict=True)]
    start = time.process_time()
    for x, y in examples:
        right += model.predict_one(x) == y
        model.learn_one(x, y)
    return 100.0 * right / len(rows), len(rows) / (time.process_time() - start)


def of_policy(name: str, rows: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """The same of a memory policy, by named examples."""
    estimator, parameters = POLICIES[name]
    learner, right = build_learner(estimator, parameters, task="classification", seed=1), 0
    examples = [({str(c): v for c, v in enumerate(row)}, str(y)) for row, y in zip(rows.tolist(), labels, strict=True)]
    learner.learn_one(*examples[0])
    start = time.process_time()
    for x, y in examples[1:]:
        right += learner.predict_one(x) == y
        learner.learn_one(x, y)
    return 100.0 * right / (len(rows) - 1), (len(rows) - 1) / (time.process_time() - start)


def report(stream: str, rows: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
    """Print the table of one stream."""
    some, few = slice(0, RIVER_ROWS), slice(0, POLICY_ROWS)
    for name, build in COMPILED.items():
        accuracy, kappa, temporal = kappas(build(rows.shape[1]).step_many(rows, labels).argmax(axis=1), labels)
        on_some = kappas(build(rows.shape[1]).step_many(rows[some], labels[some]).argmax(axis=1), labels[some])[0]
        ours = per_second(lambda build=build: build(rows.shape[1]), rows, labels)  # type: ignore[misc]
        right, theirs = of_rivers(name, rows[some], labels[some])
        print(
            f"{stream:<13}{name:<26}{accuracy:>7.2f}{kappa:>7.1f}{temporal:>8.1f}{ours:>12,.0f}"
            f"{on_some:>9.2f}{right:>9.2f}{theirs:>10,.0f}{ours / theirs:>7,.0f}x",
            flush=True,
        )
    for name in POLICIES:
        right, speed = of_policy(name, rows[few], labels[few])
        print(f"{stream:<13}{name:<26}{right:>7.2f}{'':>15}{speed:>12,.0f}   (first {POLICY_ROWS:,} rows)", flush=True)


def main() -> int:
    """Print the tables; without the streams say how to name their folder, with exit code 2 if one was named."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    absent = [name for name in STREAMS if not path_of(folder, name).exists()]
    if absent:
        print(f"{folder} holds no {absent[0]}.csv.gz: usage: python -m benchmarks.linear FOLDER")
        return 2 if len(sys.argv) > 1 else 0
    print(
        f"{'stream':<13}{'learner':<26}{'acc. %':>7}{'kappa':>7}{'temp.':>8}{'events/s':>12}"
        f"{'10,000':>9}{'river':>9}{'events/s':>10}{'ratio':>8}"
    )
    for stream, target in STREAMS.items():
        rows, labels, _ = read(path_of(folder, stream), Stream(target))
        report(stream, rows, labels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
