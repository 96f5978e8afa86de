"""What every detector bank promises; adding a bank to the registry adds its tests."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from detectors.base import CLEARED, DRIFT, Floats
from detectors.registry import BANKS, warm
from tests.detectors import (
    cases_backbone,
    cases_charts,
    cases_errors,
    cases_hoeffding,
    cases_joint,
    cases_others,
    cases_windows,
)
from tests.detectors.cases import (
    COLUMNS,
    REFERENCE_N,
    Case,
    Said,
    all_alarms,
    constant,
    eventful,
    fold,
    noise,
    parts,
    same_state,
    shift,
)

__all__: list[str] = []

CASES: dict[str, Case] = {
    **cases_backbone.CASES,
    **cases_others.CASES,
    **cases_charts.CASES,
    **cases_errors.CASES,
    **cases_hoeffding.CASES,
    **cases_joint.CASES,
    **cases_windows.CASES,
}
CHANGE = 1200
BAD = (float("nan"), 1e16, -1e16, 1e308, -1e308)
everywhere = pytest.mark.parametrize("name", sorted(BANKS))


def reference(name: str) -> Floats:
    return noise(REFERENCE_N, 99, CASES[name].stream)


def made(name: str) -> Any:
    return CASES[name].make(reference(name))


def quiet(name: str, rows: int, seed: int = 1) -> Floats:
    return noise(rows, seed, CASES[name].stream)


def shifted(name: str, direction: int) -> Floats:
    values = quiet(name, CHANGE + 800)
    shift(values, CHANGE, direction, CASES[name].stream)
    return values


def outcome(name: str, values: Floats) -> list[Said]:
    """Alarms of a fresh bank over `values`, in one block."""
    return fold(made(name), values, np.array([], dtype=np.int64))[0]


def test_every_bank_has_a_case() -> None:
    """The registry and the cases name the same banks, and each case makes that bank."""
    assert CASES.keys() == BANKS.keys()
    assert {name: type(made(name)) for name in CASES} == BANKS
    assert all(bank.takes for bank in BANKS.values())


@everywhere
def test_fresh_is_quiet(name: str) -> None:
    """A fresh bank says nothing of its first values, and has no statistic yet."""
    result = made(name).update_many(quiet(name, 5), np.arange(5))
    assert all_alarms(result) == []
    assert all(np.isnan(part.statistic).all() and np.isnan(part.threshold).all() for part in parts(result).values())


@everywhere
def test_constant_is_quiet(name: str) -> None:
    """A constant stream that equals its reference raises no alarm."""
    values = constant(2000, CASES[name].stream)
    assert fold(CASES[name].make(values[:REFERENCE_N]), values, np.array([], dtype=np.int64))[0] == []


@everywhere
@pytest.mark.parametrize("direction", [1, -1])
def test_abrupt_change_is_found_in_its_direction_and_not_before(name: str, direction: int) -> None:
    """A change of the stream is found in every signal in time (`Case.within`), none before it."""
    said = outcome(name, shifted(name, direction))
    case = CASES[name]
    drifts = [one.alarm for one in said if one.alarm.status == DRIFT]
    assert min(alarm.row for alarm in drifts) >= CHANGE
    for signal in range(case.signals):
        first = next(alarm for alarm in drifts if alarm.signal == signal)
        assert first.row < CHANGE + case.within
        assert first.direction == (direction if case.signed else 0)
        assert first.statistic > first.threshold
        assert first.effect > 0


@everywhere
@pytest.mark.parametrize("direction", [1, -1])
def test_onset_interval_holds_the_change(name: str, direction: int) -> None:
    """The first alarm's onset lies in its interval, which holds the change; both are values of `index`."""
    said = outcome(name, shifted(name, direction))
    for signal in range(CASES[name].signals):
        first = next(one.alarm for one in said if one.alarm.status == DRIFT and one.alarm.signal == signal)
        assert first.onset_low <= first.onset <= first.onset_high
        assert first.onset_low <= CHANGE + 1000 <= first.onset_high
        assert abs(first.onset - CHANGE - 1000) <= CASES[name].onset_within


@everywhere
@pytest.mark.parametrize("bad", BAD)
def test_absurd_value_leaves_no_trace(name: str, bad: float) -> None:
    """After one NaN, 1e16 or 1e308 in every signal the same shift is found, at most 32 values later than without it."""
    values = shifted(name, 1)
    clean = outcome(name, values)
    values[400] = bad
    said = [one for one in outcome(name, values) if one.alarm.row >= CHANGE - 100]
    for signal in range(CASES[name].signals):
        expected = next(o.alarm.row for o in clean if o.alarm.status == DRIFT and o.alarm.signal == signal)
        found = next(o.alarm.row for o in said if o.alarm.status == DRIFT and o.alarm.signal == signal)
        assert CHANGE <= found <= expected + 32


@everywhere
def test_level_alarm_clears_and_opens_again(name: str) -> None:
    """Level detectors alternate between opened and cleared; the others never clear."""
    values = quiet(name, 3000)
    shift(values[:1600], 1000, 1, CASES[name].stream)
    shift(values, 2200, 1, CASES[name].stream)
    said = outcome(name, values)
    if not CASES[name].level:
        assert all(one.alarm.status != CLEARED for one in said)
        return
    for part, signal in {(one.part, one.alarm.signal) for one in said}:
        statuses = [one.alarm.status for one in said if (one.part, one.alarm.signal) == (part, signal)]
        assert statuses[:3] == [DRIFT, CLEARED, DRIFT]
        assert all(a != b for a, b in itertools.pairwise(statuses))


@everywhere
def test_input_is_not_changed(name: str) -> None:
    """Values and index are only read: read-only arrays give the same as writable ones."""
    values = eventful(1, CASES[name].stream)
    index = np.arange(len(values))
    frozen, frozen_index = values.copy(), index.copy()
    frozen.flags.writeable = frozen_index.flags.writeable = False
    expected = all_alarms(made(name).update_many(values, index))
    assert all_alarms(made(name).update_many(frozen, frozen_index)) == expected
    assert np.array_equal(values, frozen, equal_nan=True)
    assert np.array_equal(index, frozen_index)


@everywhere
def test_same_input_gives_same_alarms(name: str) -> None:
    """Two banks of the same parameters agree, on a stream with `Case.alarms` alarms or more."""
    values = eventful(2, CASES[name].stream)
    assert outcome(name, values) == outcome(name, values)
    assert len(outcome(name, values)) >= CASES[name].alarms


def cuts_of(kind: str, rows: int) -> Any:
    if kind == "random":
        return np.sort(np.random.default_rng(5).choice(np.arange(1, rows), 60, replace=False))
    return np.arange(int(kind), rows, int(kind))


@everywhere
@pytest.mark.parametrize("kind", ["1", "7", "500", "random"])
def test_any_cut_of_batches_gives_the_same_bits(name: str, kind: str) -> None:
    """Batches of 1, 7, 500 or random sizes give bit-identical alarms, statistics and state."""
    values = eventful(3, CASES[name].stream)
    whole, cut = made(name), made(name)
    expected, statistics = fold(whole, values, np.array([], dtype=np.int64))
    said, cut_statistics = fold(cut, values, cuts_of(kind, len(values)))
    assert said == expected
    assert cut_statistics.tobytes() == statistics.tobytes()
    assert same_state(cut.state(), whole.state())


@everywhere
def test_snapshot_anywhere_changes_nothing(name: str) -> None:
    """A bank restored from its state at random places goes on bit for bit, and does not share arrays with the state."""
    values = eventful(4, CASES[name].stream)
    whole = made(name)
    expected, _ = fold(whole, values, np.array([], dtype=np.int64))
    bank = made(name)
    edges = [0, 1, 90, *cuts_of("random", len(values))[::3].tolist(), len(values)]
    said = []
    for start, end in zip(sorted(edges), sorted(edges)[1:], strict=False):
        state = bank.state()
        bank.update_many(quiet(name, 50), np.arange(50))  # must not reach the state that was taken
        bank = type(bank).from_state(state)
        said += all_alarms(bank.update_many(values[start:end], np.arange(start, end) + 1000), start)
    said.sort(key=lambda one: (one.alarm.row, one.alarm.signal, one.part))
    assert said == expected
    assert same_state(bank.state(), whole.state())


@everywhere
def test_memory_is_bounded(name: str) -> None:
    """No array grows with the stream."""
    bank = made(name)
    before = bank.nbytes
    for _ in range(3):
        bank.update_many(eventful(6, CASES[name].stream), np.arange(3000))
    assert bank.nbytes == before
    sizes = [np.asarray(part).nbytes for part in bank.state().values() if isinstance(part, np.ndarray)]
    assert sum(sizes) <= 2 * before


@everywhere
def test_wrong_shape_is_refused(name: str) -> None:
    """Another number of columns, one dimension, or an index of another length is the caller's mistake."""
    bank = made(name)
    with pytest.raises(ValueError, match="values has shape"):
        bank.update_many(np.zeros((5, COLUMNS + 1)), np.arange(5))
    with pytest.raises(ValueError, match="values has shape"):
        bank.update_many(np.zeros(5), np.arange(5))
    with pytest.raises(ValueError, match="index has shape"):
        bank.update_many(np.zeros((5, COLUMNS)), np.arange(4))


@everywhere
def test_infinite_value_is_refused_and_changes_nothing(name: str) -> None:
    """Infinity is an error that names row and column, raised before any state changes."""
    bank = made(name)
    bank.update_many(quiet(name, 300), np.arange(300))
    before = bank.state()
    values = quiet(name, 10)
    values[7, 2] = -np.inf
    with pytest.raises(ValueError, match=r"values\[7, 2\] = -inf"):
        bank.update_many(values, np.arange(10))
    assert same_state(bank.state(), before)


@everywhere
def test_state_of_other_parameters_is_refused(name: str) -> None:
    """A state whose arrays have another shape is an error that names the array."""
    state = made(name).state()
    key = next(k for k in ("total", "real", "values", "rows", "counts") if k in state)
    with pytest.raises(ValueError, match=rf"state\['{key}'\]"):
        BANKS[name].from_state(state | {key: np.zeros((1, 1))})


@everywhere
def test_empty_block_is_no_event(name: str) -> None:
    """A block without rows changes nothing."""
    bank = made(name)
    before = bank.state()
    assert all_alarms(bank.update_many(np.zeros((0, COLUMNS)), np.arange(0))) == []
    assert same_state(bank.state(), before)


def test_warm_compiles_what_streams_need() -> None:
    """After `warm()` a stream and a restart compile nothing."""
    from numba.core import event

    warm()
    with event.install_recorder("numba:compile") as recorder:
        for name in sorted(BANKS):
            bank = made(name)
            bank.update_many(quiet(name, 400), np.arange(400))
            BANKS[name].from_state(bank.state())
    assert [str(e) for _, e in recorder.buffer] == []
