"""Run every kernel once on a few rows, so that compiling and loading is over before real events come.

`python -m service.warm` fills numba's cache and exits, for images and installations.
"""

from __future__ import annotations

import gc
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learners.base import Task
    from service.config import Config

__all__ = ["slowly", "warm"]

_ROWS = 64
# A fold makes many small objects that live until their correction window passes; with the default thresholds the
# collector walks all of them again and again (measured: a tenth of all CPU).
_COLLECT_AFTER = (50_000, 20, 50)
# Loading from numba's cache is over by then; whoever waits longer is told what for.
_PATIENCE_S = 1.0
# The tests that one bank runs together, in one tree.
_BANKS = {"ks": ("rank_tests", "trailing"), "cvm": ("rank_tests", "trailing")}


def slowly(say: Callable[[str], None]) -> Callable[[str], None]:
    """`say`, silent as long as kernels come out of the cache: it speaks once the first second is over."""
    started_s = time.perf_counter()

    def told(step: str) -> None:
        if time.perf_counter() - started_s > _PATIENCE_S:
            say(f"compiling kernels, once for this installation: {step}")

    return told


def _registered(config: Config) -> list[str]:
    """The banks, by their names in `detectors.registry`, that a configuration's monitors may run."""
    from service.pairing import DETECTORS

    wanted: set[str] = set()
    for monitor in config.monitors.values():
        wanted |= {name for name in DETECTORS if getattr(monitor.detectors, name).enabled}
        named = [feature.detectors for feature in monitor.features.values()]
        named += [signal.detectors for signal in monitor.signals.values()]
        wanted.update(*(detectors or () for detectors in named))
    return [bank for name in DETECTORS if name in wanted for bank in _BANKS.get(name, (name,))]


def _warm_detectors(names: Iterable[str] | None, say: Callable[[str], None]) -> None:
    """Compile or load the kernels of the banks `names` (None: all); `say` gets "NAME (k of n)" before each."""
    from detectors.registry import REGISTRY
    from detectors.registry import warm as warm_banks

    banks = list(dict.fromkeys(REGISTRY if names is None else names))
    place = {name: at for at, name in enumerate(banks, 1)}
    warm_banks(banks, lambda name: say(f"{name} ({place[name]} of {len(banks)})"))


def _warm_learners(config: Config | None, say: Callable[[str], None]) -> None:
    """Compile or load the kernels of a configuration's own learners (None: of all); `say` gets each one's name."""
    from learners.blocks import Rows, run_examples
    from learners.build import build_learner

    values: list[Sequence[float | str | None]] = [(row * 0.5, str(row % 3)) for row in range(_ROWS)]
    for estimator, task, parameters in _own_learners(config):
        say(estimator)
        labels = [None if row % 2 else str(row % 3) if task == "classification" else float(row) for row in range(_ROWS)]
        learner = build_learner(estimator, parameters, task=task, seed=1)
        for _ in range(2):  # the first block brings news: columns, categories, classes
            run_examples(learner, Rows(("a", "b"), values, labels, texts=frozenset("b")))


def _own_learners(config: Config | None) -> list[tuple[str, Task, dict[str, Any]]]:
    """Estimator, task and parameters of each learner of ours, once."""
    from learners.build import COMPILED, build_learner
    from learners.errors import EstimatorRefusedError

    if config is not None:
        named = [
            (learner.estimator, monitor.task, learner.parameters)
            for monitor in config.monitors.values()
            for learner in (*monitor.learners.values(), *([] if monitor.probe is None else [monitor.probe]))
            if learner.estimator.startswith("anchorwatch.")
        ]
        return [each for at, each in enumerate(named) if each not in named[:at]]
    found: list[tuple[str, Task, dict[str, Any]]] = []
    tasks: tuple[Task, ...] = ("classification", "regression")
    for estimator, task in itertools.product(COMPILED, tasks):
        try:
            build_learner(f"anchorwatch.{estimator}", {}, task=task, seed=1)
        except EstimatorRefusedError:
            continue  # not of this task, or made of other learners
        found.append((f"anchorwatch.{estimator}", task, {}))
    return found


def warm(config: Config | None = None, say: Callable[[str], None] = lambda _: None) -> float:
    """Compile or load all kernels that the monitors of `config` need (None: all there are); returns the seconds.

    `say` gets what is being done before each step.
    """
    started_s = time.perf_counter()
    _warm_detectors(None if config is None else _registered(config), say)
    _warm_learners(config, say)
    say("the fold")
    _fold_once()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    return time.perf_counter() - started_s


def _fold_once() -> None:
    from service.config import parse
    from service.replay import replay

    feature = {"type": "numeric"}
    monitor = {
        "features": {"a": feature, "b": feature | {"reference": "trailing"}, "c": {"type": "categorical"}},
        "reference": {"n": 32, "window": 8, "step": 8},
        "labels": {"age": "1s", "age_n": 8},
    }
    replay(_events(), parse({"monitors": {"warm": monitor}}), block_n=16)


def _events() -> list[bytes]:
    import msgspec

    events = []
    for row in range(4 * _ROWS):
        common = {"id": str(row), "monitor": "warm", "time": 1_700_000_000_000 + 1000 * row}
        answer = "yes" if row % 3 else "no"
        features = {"a": row * 0.5, "b": float(row % 7), "c": answer}
        scores = {"yes": 0.75, "no": 0.25}
        prediction = common | {"type": "prediction", "features": features, "prediction": answer, "scores": scores}
        events += [prediction, common | {"type": "label", "label": "yes" if row < 2 * _ROWS else "no"}]
    return [msgspec.json.encode(event) for event in events]


def _say(step: str) -> None:
    sys.stderr.write(f"kernels: {step}\n")


if __name__ == "__main__":
    took_s = warm(say=_say)
    sys.stderr.write(f"kernels ready in {took_s:.1f} s\n")
