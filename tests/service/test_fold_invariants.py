"""Invariants of the fold: any batch cut, any restart, absurd values, unchanged input, bounded memory."""

from __future__ import annotations

import copy
import functools
import random
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from service.config import Config, parse
from service.fold_output import FoldOutput
from service.outputs import encode_body
from service.partition import PartitionFold
from service.replay import replay
from stream.events import RawMessage
from stream.store import ComponentKey
from tests.kills.stream import CONFIGURATION, MONITOR, events

PREDICTIONS = 20_000


def config() -> Config:
    """The configuration of the kill tests."""
    return parse(tomllib.loads(CONFIGURATION))


@functools.cache
def stream() -> tuple[bytes, ...]:
    """Some 39,000 events with drifts, changed concepts, promotions and renewed references."""
    return tuple(events(PREDICTIONS))


def messages(raw: Sequence[bytes], first: int = 0) -> list[RawMessage]:
    """Events as a transport delivers them."""
    return [RawMessage("t", 0, first + n, value) for n, value in enumerate(raw)]


def cuts(total: int, size: int | None, seed: int = 0) -> Iterator[tuple[int, int]]:
    """Batches of `size`, or of random sizes."""
    generator = random.Random(seed)
    start = 0
    while start < total:
        step = size or generator.choice([1, 2, 3, 50, 400, 3_000])
        yield start, min(total, start + step)
        start += step


def told(outputs: list[FoldOutput]) -> list[tuple[int, str, bytes]]:
    """Outputs in a form that can be compared bit by bit."""
    return [(o.offset, o.kind, encode_body(o.body)) for o in outputs]


def fold(raw: Sequence[bytes], size: int | None, *, restart_at: Sequence[int] = (), seed: int = 0) -> tuple[Any, str]:
    """Fold in batches, restarting from stored components at some of the cuts."""
    partition = PartitionFold(config())
    stored: dict[ComponentKey, bytes] = {}
    outputs: list[tuple[int, str, bytes]] = []
    wanted = sorted(restart_at)
    everything = messages(raw)
    for start, until in cuts(len(raw), size, seed):
        partition.fold(everything[start:until])
        if wanted and until >= wanted[0]:
            wanted.pop(0)
            commit = partition.commit()
            outputs += told(commit.outputs)
            _store(stored, commit.components)
            partition = PartitionFold(config(), position=commit.position, components=stored)
    commit = partition.commit()
    return outputs + told(commit.outputs), commit.hashes[MONITOR]


def _store(stored: dict[ComponentKey, bytes], components: dict[ComponentKey, bytes | None]) -> None:
    for key, data in components.items():
        if data is None:
            stored.pop(key, None)
        else:
            stored[key] = data


@functools.cache
def reference() -> tuple[Any, str]:
    """Outputs and hash in batches of 500."""
    return fold(stream(), 500)


def test_the_stream_of_these_tests_is_eventful() -> None:
    """At least 20 alarms, with replacements, promotions and renewed references among the outputs."""
    outputs, _ = reference()
    bodies = [(kind, msgspec.json.decode(body)) for _, kind, body in outputs]
    drifts = [body for kind, body in bodies if kind == "drift" and body["status"] == "drift"]
    actions = [body["action"] for kind, body in bodies if kind == "audit" and "refused" not in body]
    assert len(drifts) >= 20
    assert {"replaced", "promote", "accept_reference"} <= set(actions)


@pytest.mark.parametrize("size", [7, None], ids=["sevens", "random cuts"])
def test_batches_do_not_matter(size: int | None) -> None:
    """Other batches of the same events give the same outputs and the same state, bit by bit."""
    assert fold(stream(), size) == reference()


@pytest.mark.slow
def test_single_events_are_batches_too() -> None:
    """Batches of one event give what batches of 500 give, over the whole stream."""
    assert fold(stream(), 1) == reference()


def test_a_restart_from_any_commit_changes_nothing() -> None:
    """State stored at random commits and restored into fresh objects goes on as if nothing had happened."""
    generator = random.Random(3)
    restarts = [generator.randrange(len(stream())) for _ in range(12)]
    assert fold(stream(), None, restart_at=restarts, seed=5) == reference()


def _with_feature(raw: bytes, name: str, text: str) -> bytes:
    event = msgspec.json.decode(raw)
    event["features"][name] = "MARK"
    return msgspec.json.encode(event).replace(b'"MARK"', text.encode())


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999"])
def test_a_value_that_is_not_finite_changes_only_counters(text: str) -> None:
    """An event with such a value is refused; state is what it is without that event."""
    raw = list(stream()[:6_000])
    at = next(n for n in range(3_000, 6_000) if b'"prediction"' in raw[n][:30])
    twice = [*raw[: at + 1], _with_feature(raw[at], "a", text), *raw[at + 1 :]]
    outputs, state = fold(raw, 500)
    others, other_state = fold(twice, 500)
    assert state == other_state
    assert [body for _, _, body in others] == [body for _, _, body in outputs]


@pytest.mark.parametrize("text", ["1e16", "-1e308", "1e308"])
def test_an_absurd_value_leaves_no_trace(text: str) -> None:
    """Once such values have left the windows, later drifts of features are found at the same events."""
    raw = list(stream()[:24_000])
    places = [n for n in range(5_000, 5_400) if raw[n].startswith(b'{"type":"prediction"')][:3]
    absurd = [_with_feature(value, "b", text) if n in places else value for n, value in enumerate(raw)]

    def later(events_: list[bytes]) -> list[tuple[Any, ...]]:
        drifts = replay(events_, config()).drifts
        wanted = {"ks", "cvm", "energy"}
        return [
            (d["event"], d["signal"], d["detector"], d["status"])
            for d in drifts
            if d["detector"] in wanted and d["event"] > 3_600 and d["signal"].startswith(("feature", "joint"))
        ]

    assert later(absurd) == later(raw)
    assert later(raw)


def test_input_is_not_changed() -> None:
    """The fold leaves the columns that it was given as they were."""
    partition = PartitionFold(config())
    batch = partition.decoder.decode(messages(stream()[:3_000])).batches[MONITOR]
    before = copy.deepcopy(batch)
    partition.folds[MONITOR].fold(batch)
    for name in batch.__slots__:
        ours, theirs = getattr(batch, name), getattr(before, name)
        same = np.array_equal(ours, theirs, equal_nan=True) if isinstance(ours, np.ndarray) else ours == theirs
        assert same, name


def test_memory_is_bounded() -> None:
    """Stored state stops growing once windows, pending predictions and references are full."""
    raw = stream()

    def size(until: int) -> int:
        partition = PartitionFold(config())
        partition.fold(messages(raw[:until]))
        return sum(
            len(data or b"") for key, data in partition.commit().components.items() if "learner" not in key.component
        )

    half, whole = size(len(raw) // 2), size(len(raw))
    assert whole < 1.3 * half
