"""The codec carries river's state exactly, in the same bytes everywhere, and builds nothing that is not allowed."""

from __future__ import annotations

import collections
import functools
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import (
    compose,
    drift,
    dummy,
    ensemble,
    forest,
    linear_model,
    naive_bayes,
    neighbors,
    optim,
    preprocessing,
    tree,
)
from river import stats as river_stats

from learners import EstimatorRefusedError, codec
from learners.sorted_set import SortedSet, sort_river_sets

__all__: list[str] = []

ROOT = Path(__file__).parents[2]

ESTIMATORS: dict[str, Any] = {
    "hoeffding_tree": lambda: tree.HoeffdingTreeClassifier(grace_period=50),
    "hoeffding_adaptive_tree": lambda: tree.HoeffdingAdaptiveTreeClassifier(grace_period=50, seed=1),
    "hoeffding_tree_regressor": lambda: tree.HoeffdingTreeRegressor(grace_period=50),
    "gaussian_nb": naive_bayes.GaussianNB,
    "logistic_regression": lambda: linear_model.LogisticRegression(optimizer=optim.Adam(0.01), l2=0.001),
    "linear_regression": linear_model.LinearRegression,
    "adaptive_random_forest": lambda: forest.ARFClassifier(n_models=3, grace_period=30, seed=1),
    "scaled_pipeline": lambda: compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()),
    "leveraging_bagging": lambda: ensemble.LeveragingBaggingClassifier(
        tree.HoeffdingTreeClassifier(grace_period=50), n_models=3, seed=1
    ),
    "nearest_neighbours": lambda: neighbors.KNNClassifier(engine=neighbors.LazySearch(window_size=100)),
    "no_change": dummy.NoChangeClassifier,
    "adwin_bagging": lambda: ensemble.ADWINBaggingClassifier(linear_model.LogisticRegression(), n_models=3, seed=1),
}
REGRESSORS = {"hoeffding_tree_regressor", "linear_regression"}


def _events(name: str, n: int) -> list[tuple[dict[str, float], Any]]:
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(n, 3)).tolist()
    if name in REGRESSORS:
        return [({"a": a, "b": b, "c": c}, a - b) for a, b, c in rows]
    # The concept turns over half way, so that adaptive estimators replace parts of themselves.
    return [({"a": a, "b": b, "c": c}, (a + 0.2 * b > 0) != (i > n // 2)) for i, (a, b, c) in enumerate(rows)]


def _say(model: Any, x: dict[str, float]) -> str:
    return repr((model.predict_one(x), model.predict_proba_one(x) if hasattr(model, "predict_proba_one") else None))


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
@pytest.mark.parametrize("cut", [0, 1, 333])
def test_restored_mid_stream_it_goes_on_bit_for_bit(name: str, cut: int) -> None:
    """Snapshot, restore, continue gives river's own answers as if there had been no snapshot."""
    events = _events(name, 450)
    straight, restarted = ESTIMATORS[name](), ESTIMATORS[name]()
    said: dict[str, list[str]] = {"straight": [], "restarted": []}
    for i, (x, y) in enumerate(events):
        if i == cut:
            restarted = codec.decode(codec.encode(restarted))
        for key, model in (("straight", straight), ("restarted", restarted)):
            said[key].append(_say(model, x))
            model.learn_one(x, y)
    assert said["restarted"] == said["straight"]
    assert codec.encode(restarted) == codec.encode(straight)


@pytest.mark.parametrize(
    "make",
    [
        river_stats.IQR, river_stats.EWMean, river_stats.EWVar, river_stats.Kurtosis, river_stats.Skew,
        river_stats.PeakToPeak, lambda: river_stats.Quantile(0.9), lambda: river_stats.RollingQuantile(0.5, 10),
        lambda: river_stats.RollingIQR(10),
    ],
)  # fmt: skip
def test_compiled_statistics_keep_their_state(make: Any) -> None:
    """What river computes in compiled code is carried by its own state bytes."""
    straight = make()
    values = np.random.default_rng(3).normal(size=80).tolist()
    for value in values[:50]:
        straight.update(value)
    restored = codec.decode(codec.encode(straight))
    for value in values[50:]:
        straight.update(value)
        restored.update(value)
        assert restored.get() == straight.get()


def test_compiled_adwin_detects_at_the_same_event_after_a_restore() -> None:
    """ADWIN's buckets survive: the drift is found where it would have been found."""
    rng = np.random.default_rng(1)
    values = [*rng.normal(0, 1, 600).tolist(), *rng.normal(3, 1, 200).tolist()]
    make: Any = drift.ADWIN
    straight, restored = make(), make()
    found: dict[str, list[int]] = {"straight": [], "restored": []}
    for i, value in enumerate(values):
        if i % 100 == 50:
            restored = codec.decode(codec.encode(restored))
        for key, detector in (("straight", straight), ("restored", restored)):
            detector.update(value)
            if detector.drift_detected:
                found[key].append(i)
    assert found["straight"]
    assert found["restored"] == found["straight"]


scalars = (
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats() | st.text() | st.binary()
    | st.sampled_from(["\ud800", np.float64(0.1), np.int64(-3), np.bool_(True)])
)  # fmt: skip
graphs = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
        | st.tuples(inner, inner)
        | st.sets(st.text(max_size=3) | st.integers() | st.booleans(), max_size=5)
        | st.frozensets(st.text(max_size=3), max_size=4)
        | st.builds(collections.deque, st.lists(inner, max_size=3), maxlen=st.integers(0, 4) | st.none())
        | st.builds(lambda d: collections.defaultdict(int, d), st.dictionaries(st.text(max_size=2), inner, max_size=3))
        | st.builds(collections.Counter, st.text(max_size=5))
        | st.builds(SortedSet, st.sets(st.text(max_size=3), max_size=4))
    ),
    max_leaves=12,
)


def _typed(value: Any) -> Any:
    """A value with the type of every part, so that 1, 1.0 and True differ and NaN equals itself."""
    if isinstance(value, dict):
        return type(value), [(_typed(k), _typed(v)) for k, v in value.items()]
    if isinstance(value, set | frozenset):
        return type(value), sorted(map(repr, map(_typed, value)))
    if isinstance(value, list | tuple | collections.deque):
        return type(value), getattr(value, "maxlen", None), [_typed(v) for v in value]
    return type(value), repr(value)


@settings(max_examples=150, deadline=None)
@given(graphs)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    """Types, order, NaN, -0.0, whole numbers of any size and broken text survive; the bytes are the same again."""
    data = codec.encode(value)
    back = codec.decode(data)
    assert _typed(back) == _typed(value)
    assert codec.encode(back) == data


def test_shared_references_and_cycles_are_kept() -> None:
    """What was one object stays one object, and a list may hold itself."""
    shared: list[Any] = [1]
    cycle: list[Any] = [shared, {"again": shared}]
    cycle.append(cycle)
    back = codec.decode(codec.encode(cycle))
    assert back[0] is back[1]["again"]
    assert back[2] is back
    twins = codec.decode(codec.encode([[1], [1]]))
    assert twins[0] is not twins[1]


def test_a_long_chain_is_no_deep_recursion() -> None:
    """Ten thousand objects, each inside the one before, are carried."""
    chain: dict[str, Any] = {}
    for _ in range(10_000):
        chain = {"next": chain}
    back, n = codec.decode(codec.encode(chain)), 0
    while back:
        back, n = back["next"], n + 1
    assert n == 10_000


def test_generators_go_on_where_they_were() -> None:
    """random.Random, numpy's generators and RandomState draw the same numbers after a restore."""
    sources: list[Any] = [random.Random(3), np.random.default_rng(3), np.random.RandomState(3)]
    sources[0].gauss(0, 1)
    sources[2].normal()
    sources.append(np.random.Generator(np.random.MT19937(3)))
    restored = codec.decode(codec.encode(sources))
    assert [restored[0].gauss(0, 1) for _ in range(900)] == [sources[0].gauss(0, 1) for _ in range(900)]
    for i in (1, 2, 3):
        assert restored[i].normal(size=900).tolist() == sources[i].normal(size=900).tolist()


def test_arrays_functions_and_classes_are_carried() -> None:
    """Arrays keep dtype, shape and layout; functions and classes go by name; partials and methods are rebuilt."""
    array = np.asfortranarray(np.arange(6, dtype="<i4").reshape(2, 3))
    model = linear_model.LogisticRegression()
    back = codec.decode(
        codec.encode(
            [array, max, tree.HoeffdingTreeClassifier, functools.partial(max, 3, key=abs), model.learn_one, model]
        )
    )
    assert back[0].dtype == array.dtype
    assert back[0].flags.f_contiguous
    assert back[0].tolist() == array.tolist()
    assert back[1] is max
    assert back[2] is tree.HoeffdingTreeClassifier
    assert back[3](-5) == -5
    assert back[4].__self__ is back[5]


class _Foreign:
    pass


@pytest.mark.parametrize(
    "value",
    [
        lambda x: x, _Foreign(), _Foreign, open, os.system, subprocess.run, object(), iter([1]), Path("x"),
        np.array([object()]), {"deep": [_Foreign()]}, eval, getattr, np.random.default_rng, random.random, print,
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_with_its_name(value: Any) -> None:
    """Anything outside the allow list is refused while it is written, and the message says what it is."""
    with pytest.raises(EstimatorRefusedError, match="cannot be stored"):
        codec.encode(value)


def test_sets_of_objects_and_shared_memory_are_refused() -> None:
    """What has no order or no identity of its own is refused rather than stored wrongly."""
    with pytest.raises(EstimatorRefusedError, match="order is not defined"):
        codec.encode({linear_model.LinearRegression()})
    array = np.arange(4.0)
    with pytest.raises(EstimatorRefusedError, match="share memory"):
        codec.encode([array, array[1:]])


def test_sorted_sets_iterate_by_value() -> None:
    """A SortedSet is walked in the order of its members, however they came in, mixed types included."""
    assert list(SortedSet(["b", "c", "a"])) == ["a", "b", "c"]
    assert list(SortedSet([2, "b", 1, "a"])) == [1, 2, "a", "b"]


def test_sorting_rivers_sets_twice_changes_nothing() -> None:
    """The replacement in river is made once."""
    from river.tree.splitter.nominal_splitter_classif import NominalSplitterClassif

    sort_river_sets()
    once = NominalSplitterClassif.__init__
    sort_river_sets()
    assert NominalSplitterClassif.__init__ is once
    make: Any = NominalSplitterClassif
    assert isinstance(make()._att_values, SortedSet)


def test_asking_a_nominal_observer_changes_nothing() -> None:
    """A question about a class that a leaf never saw is answered with 0 and leaves no trace; seen ones are answered."""
    from river.tree.splitter.nominal_splitter_classif import NominalSplitterClassif

    sort_river_sets()
    make: Any = NominalSplitterClassif
    splitter = make()
    for value in ("x", "x", "y"):
        splitter.update(value, 0, 1.0)
    before = codec.encode(splitter)
    assert splitter.cond_proba("x", 1) == 0.0
    assert splitter.cond_proba("x", 0) == 2 / 3
    assert codec.encode(splitter) == before


SEEDED = """
import hashlib, sys
from learners.registry import LEARNERS
from learners.river_adapter import RiverLearner
from tests.learners.streams import labelled, step
from learners import LearnerError

RiverLearner.prove = lambda self: None
for name, entry in LEARNERS.items():
    learner = entry.build(3)
    said = hashlib.sha256()
    for x, y in labelled(entry.task, 3000 if name == "hoeffding_tree" else 220):
        try:
            said.update(repr(step(learner, x, y)).encode())
        except LearnerError:
            pass
    print(name, said.hexdigest(), hashlib.sha256(learner.snapshot()).hexdigest())
"""


def test_bytes_do_not_depend_on_the_hash_seed() -> None:
    """Every registered learner gives the same answers and bytes in processes that hash text differently."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", SEEDED], cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE
        )
        for seed in ("0", "1", "20260301")
    ]
    outputs = [run.communicate(timeout=120)[0].decode() for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    lines = [output.splitlines() for output in outputs]
    assert len(lines[0]) >= 15
    assert lines[1] == lines[0]
    assert lines[2] == lines[0]
