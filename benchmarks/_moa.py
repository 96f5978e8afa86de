"""MOA's learners on the streams of the table, through CapyMOA's fastest path: its loop in Java over an ARFF file.

Optional: `pip install -e .[benchmark]` and Java 17 or newer; without them, figures that were measured once are shown.
"""

from __future__ import annotations

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
# Measured by this module with CapyMOA 0.15.1 (moa.jar; MOA's defaults, ensembles of ten) on the same rows and kinds of
# columns, in the order of LEARNERS. Accuracy: the mean of the seeds 1 to 5.
_ACCURACIES: dict[str, tuple[float, ...]] = {
    "elec2_full8": (79.20, 83.39, 84.36, 89.89, 89.51, 88.65),
    "noaa_weather": (73.43, 73.53, 74.75, 78.06, 78.73, 79.03),
    "sea_losing": (84.94, 86.75, 86.84, 88.25, 88.52, 84.10),
    "covtype": (82.38, 84.13, 85.66, 91.59, 93.02, 93.84),
    "agrawal_drift": (74.20, 85.86, 86.19, 84.23, 80.22, 86.88),
    "rbf_drift": (52.16, 58.49, 57.40, 81.77, 84.51, 82.86),
}
# Events a second, warmed, the fastest of five: on electricity on a quiet machine, elsewhere in part beside other work.
_SPEEDS: dict[str, tuple[float, ...]] = {
    "elec2_full8": (124_400, 104_500, 45_600, 17_100, 8_200, 4_900),
    "noaa_weather": (210_700, 112_000, 53_600, 27_400, 8_100, 8_900),
    "sea_losing": (207_500, 152_100, 73_100, 37_600, 13_000, 9_600),
    "covtype": (100_100, 58_300, 16_500, 9_700, 4_200, 2_900),
    "agrawal_drift": (98_600, 84_400, 32_500, 12_700, 5_600, 4_100),
    "rbf_drift": (242_900, 122_300, 26_600, 12_600, 6_300, 5_000),
}


class Figure(NamedTuple):
    """Mean accuracy over the seeds in percent, and events a second of the fastest."""

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
    """What was measured once."""
    at = LEARNERS.index(name)
    return Figure(_ACCURACIES[stream][at], _SPEEDS[stream][at])


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
