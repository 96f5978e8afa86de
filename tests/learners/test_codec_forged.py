"""Damaged, forged and foreign snapshots build nothing: they end in SnapshotError."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import compose, preprocessing, tree

from learners import SnapshotError, codec

__all__: list[str] = []


def _sealed(payload: bytes) -> bytes:
    head = b"AWLC" + codec.FORMAT_VERSION.to_bytes(2, "big")
    return head + hashlib.sha256(head + payload).digest() + payload


def _forged(*graph: Any) -> bytes:
    return _sealed(msgspec.msgpack.encode([None, *graph]))


@pytest.mark.parametrize(
    "graph",
    [
        ([["instance", "os:_wrap_close"]], [[0]], [0]),
        ([["instance", "subprocess:Popen", "args"]], [[0, "true"]], [0]),
        ([["instance", "river.datasets.elec2:Elec2"]], [[0]], [0]),
        ([["instance", "river.tree.nothing:Nothing"]], [[0]], [0]),
        ([["instance", "river.base.base:sys"]], [[0]], [0]),
        ([["native", "river.tree.hoeffding_tree:HoeffdingTree"]], [[0, b""]], [0]),
        ([], [], [6, "os:system"]),
        ([], [], [6, "builtins:eval"]),
        ([], [], [6, "builtins:getattr"]),
        ([], [], [6, "river.stream.iter_csv:iter_csv"]),
        ([], [], [6, "river.base.base:Base.__init__"]),
        ([], [], [5, "builtins:type"]),
        ([], [], [5, "river.base.base:types.FunctionType"]),
        ([], [], [5]),
        ([], [], [-1]),
        ([], [], [99]),
        ([["array"]], [[0, "|O", "C", [1], b"12345678"]], [0]),
        ([["array"]], [[0, "<f8", "C", [2**40], b""]], [0]),
        ([["bit_generator", "default_rng"]], [[0, {}]], [0]),
        ([["random"]], [[0, 3, b"", None]], [0]),
        ([["partial"]], [[0, "text", [2, []], [2, []]]], [0]),
        ([["dict"]], [[0, [0], 1]], [0]),
        ([["no such kind"]], [[0]], [0]),
        ([], [[7]], [0]),
        (1, 2, 3),
        (),
    ],
)
def test_forged_graphs_build_nothing(graph: Any) -> None:
    """Bytes with a right checksum but other names, kinds or numbers end in SnapshotError."""
    with pytest.raises(SnapshotError):
        codec.decode(_forged(*graph))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_value_or_a_snapshot_error(data: bytes, sealed: bool) -> None:
    """Random bytes, sealed with a right checksum or not, do nothing but raise SnapshotError."""
    try:
        codec.decode(_sealed(data) if sealed else data)
    except SnapshotError:
        return
    assert sealed


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_and_sealed_again_it_is_a_value_or_a_snapshot_error(data: st.DataObject) -> None:
    """A real snapshot with bytes changed and a new checksum is rebuilt or refused, never anything else."""
    payload = bytearray(_real_payload())
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SnapshotError):
        codec.decode(_sealed(bytes(payload)))


@functools.cache
def _real_payload() -> bytes:
    model = compose.Pipeline(preprocessing.StandardScaler(), tree.HoeffdingTreeClassifier(grace_period=20))
    for a, b in np.random.default_rng(5).normal(size=(60, 2)).tolist():
        model.learn_one({"a": a, "b": b}, a + b > 0)
    # Without compiled parts: their panics are caught, but print to stderr.
    return codec.encode(model)[38:]


def test_a_panic_of_compiled_code_is_a_snapshot_error() -> None:
    """A compiled class that cannot read its state does not take the process down."""
    name = "river._river_rust.stats:RsQuantile"
    with pytest.raises(SnapshotError, match="refuses its state"):
        codec.decode(_forged([["native", name]], [[0, b"x"]], [0]))


def test_another_river_or_format_is_named() -> None:
    """A snapshot of another version of river, or of a newer format, says so and is not guessed at."""
    with pytest.raises(SnapshotError, match=r"river 0\.1"):
        codec.decode(_sealed(msgspec.msgpack.encode(["0.1", [], [], None])))
    head = b"AWLC" + (codec.FORMAT_VERSION + 1).to_bytes(2, "big")
    with pytest.raises(SnapshotError, match="format"):
        codec.decode(head + hashlib.sha256(head).digest())


def test_kind_is_read_without_building() -> None:
    """The kind of a snapshot is known before anything is rebuilt; other values have none."""
    assert codec.kind_of(codec.encode({"n": 1, "kind": "mean"})) == "mean"
    assert codec.kind_of(codec.encode({"n": 1})) is None
    with pytest.raises(SnapshotError):
        codec.kind_of(b"nothing")
