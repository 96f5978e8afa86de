"""MOA's learners on the streams of the table, through CapyMOA's fastest path: its loop in Java over an ARFF file.

Optional: `pip install -e .[benchmark]` and Java 17 or newer; without them, figures that were measured once are shown.
"""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks._learner_streams import Data

__all__ = ["LEARNERS", "Figure", "is_available", "recorded", "run"]

_TREES_N, _WARM_N = 10, 10_000
LEARNERS = (
    "Hoeffding tree",
    "Hoeffding adaptive tree",
    "online bagging, ADWIN",
    "leveraging bagging",
    "adaptive random forest",
    "random patches",
)
# Measured with CapyMOA 0.15.1 (moa.jar; MOA's defaults, ensembles of ten) on the same rows and kinds of columns, in the
# order of LEARNERS. Accuracy: seed 1 on the first three streams, the mean of the seeds 1 to 3 on the others.
_ACCURACIES: dict[str, tuple[float, ...]] = {
    "elec2_full8": (79.20, 83.39, 84.35, 89.80, 89.33, 88.82),
    "noaa_weather": (73.43, 73.53, 75.01, 78.11, 78.24, 78.91),
    "sea_losing": (84.94, 86.75, 86.76, 88.31, 88.47, 84.42),
    "covtype": (82.38, 84.13, 85.68, 91.60, 93.02, 93.87),
    "agrawal_drift": (74.20, 85.86, 86.19, 84.24, 81.35, 86.40),
    "rbf_drift": (52.16, 58.49, 57.43, 81.71, 84.52, 82.85),
}
# Events a second, warmed: on electricity on a quiet machine, elsewhere the fastest of three passes beside other work.
_UNKNOWN = math.nan
_SPEEDS: dict[str, tuple[float, ...]] = {
    "elec2_full8": (48_000, 42_000, _UNKNOWN, 19_400, 6_400, 3_800),
    "covtype": (78_900, 55_300, 15_800, 8_100, 4_500, 3_000),
    "agrawal_drift": (31_500, 58_500, 27_800, 12_400, 5_500, 4_200),
    "rbf_drift": (84_000, 142_000, 33_500, 13_800, 7_900, 5_800),
}


class Figure(NamedTuple):
    """Mean accuracy over the seeds in percent, and events a second of the fastest; NaN: not measured."""

    accuracy: float
    per_second: float


def is_available() -> bool:
    """Whether CapyMOA and its Java are there."""
    try:
        import capymoa.evaluation  # noqa: F401 # starts Java
    except Exception:  # noqa: BLE001 # whatever is missing: the package, Java, or what either needs
        return False
    return True


def recorded(name: str, stream: str) -> Figure:
    """What was measured once; NaN for what was not."""
    at, unknown = LEARNERS.index(name), (_UNKNOWN,) * len(LEARNERS)
    return Figure(_ACCURACIES.get(stream, unknown)[at], _SPEEDS.get(stream, unknown)[at])


def write_arff(path: Path, data: Data) -> None:
    """The stream as ARFF, numbers in the shortest form that reads back as the same."""
    columns = data.rows.shape[1]
    kinds = [_codes(data.nominal[c]) if c in data.nominal else "numeric" for c in range(columns)]
    head = ["@relation stream", *(f"@attribute a{c} {kind}" for c, kind in enumerate(kinds))]
    head += [f"@attribute class {_codes(int(data.labels.max()) + 1)}", "@data"]
    whole = [c in data.nominal for c in range(columns)]
    with path.open("w", encoding="ascii") as file:
        file.write("\n".join(head) + "\n")
        for row, label in zip(data.rows.tolist(), data.labels.tolist(), strict=True):
            cells = [("?" if v != v else str(int(v)) if w else repr(v)) for v, w in zip(row, whole, strict=True)]  # noqa: PLR0124 # NaN
            file.write(",".join([*cells, str(label)]) + "\n")


def _codes(n: int) -> str:
    return "{" + ",".join(map(str, range(n))) + "}"


def run(name: str, data: Data, seeds: int) -> Figure:
    """Mean accuracy and best speed of one learner; rows that do not count warm Java up."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.arff"
        write_arff(path, data)
        _pass(name, path, 1, _WARM_N)
        passes = [_pass(name, path, seed) for seed in range(1, seeds + 1)]
    return Figure(float(np.mean([p[0] for p in passes])), len(data.labels) / min(p[1] for p in passes))


def _pass(name: str, path: Path, seed: int, rows_n: int | None = None) -> tuple[float, float]:
    """Accuracy in percent and seconds, of the clock or of the processor, whichever is less."""
    from capymoa.evaluation import prequential_evaluation
    from capymoa.stream import ARFFStream

    stream: Any = ARFFStream(path=str(path))
    learner = _learner(name, stream.get_schema(), seed)
    start, start_cpu = time.perf_counter(), time.process_time()
    result = prequential_evaluation(stream, learner, max_instances=rows_n, optimise=True)
    spent = min(time.perf_counter() - start, time.process_time() - start_cpu)
    return float(result.cumulative.accuracy()), spent


def _learner(name: str, schema: Any, seed: int) -> Any:
    """MOA's own class with MOA's own defaults (some of CapyMOA's wrappers have others)."""
    from capymoa.base import MOAClassifier
    from moa.classifiers import meta, trees

    kinds = (
        trees.HoeffdingTree, trees.HoeffdingAdaptiveTree, meta.OzaBagAdwin, meta.LeveragingBag,
        meta.AdaptiveRandomForest, meta.StreamingRandomPatches,
    )  # fmt: skip
    kind = kinds[LEARNERS.index(name)]
    options = "" if name.endswith(" tree") else f"-s {_TREES_N}"
    return MOAClassifier(moa_learner=kind(), schema=schema, CLI=options, random_seed=seed)
