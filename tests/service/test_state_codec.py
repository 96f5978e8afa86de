"""Canonical bytes of a state: equal states are equal bytes; damage and foreign parameters are told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from service import state_codec
from service.state_codec import StateMismatchError, decode, encode, fingerprint
from stream.errors import StoreCorruptError

LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text() | st.binary()
TREES = st.recursive(
    LEAVES, lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(), part, max_size=4), max_leaves=12
)
TREE: dict[str, Any] = {"b": [1, 2.5, None], "a": {"y": np.arange(4.0), "x": b"raw"}}


@given(TREES)
def test_a_tree_comes_back(tree: Any) -> None:
    """What was encoded is decoded alike."""
    assert decode(encode(tree)) == tree


@given(st.dictionaries(st.text(), TREES, max_size=6))
def test_the_order_of_keys_does_not_matter(tree: dict[str, Any]) -> None:
    """Dicts that are equal have equal bytes, in whatever order they were filled."""
    assert encode(dict(reversed(tree.items()))) == encode(tree)


@given(
    arrays(
        st.sampled_from([np.dtype(kind) for kind in ("f8", "f4", "i8", "i1", "u4", "?", ">i4")]),
        array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=70),
        elements={"allow_nan": True},
        fill=st.just(0),
    )
)
def test_arrays_come_back_bit_by_bit(values: np.ndarray[Any, Any]) -> None:
    """Type, shape and bytes of an array survive, also of empty ones, and the copy can be written to."""
    back = decode(encode([values]))[0]
    assert (back.dtype, back.shape, back.tobytes()) == (values.dtype, values.shape, values.tobytes())
    assert back.flags.writeable


def test_the_layout_in_memory_does_not_matter() -> None:
    """A transposed or strided array has the bytes of its plain copy."""
    values = np.arange(12.0).reshape(3, 4)
    assert encode([values.T]) == encode([values.T.copy()])
    assert encode([values[:, ::2]]) == encode([values[:, ::2].copy()])


def test_every_flipped_byte_is_noticed() -> None:
    """Whichever byte is damaged, header included, the component is corrupt; so is one that was cut short."""
    good = encode(TREE)
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 0x11
        with pytest.raises(StoreCorruptError, match="backup"):
            decode(bytes(bad))
    with pytest.raises(StoreCorruptError):
        decode(good[:-1])
    with pytest.raises(StoreCorruptError):
        decode(b"")


def test_a_newer_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sound bytes of a later program say: run the newer program."""
    monkeypatch.setattr(state_codec, "FORMAT_VERSION", state_codec.FORMAT_VERSION + 1)
    newer = encode(TREE)
    monkeypatch.undo()
    with pytest.raises(StateMismatchError, match="newer program"):
        decode(newer)


def test_other_parameters_are_refused() -> None:
    """A component is read only with the fingerprint that it was written with; without one it is always read."""
    mine, other = fingerprint({"window": 5}), fingerprint({"window": 6})
    data = encode([1], mine)
    assert mine != other
    assert decode(data, mine) == decode(data) == [1]
    with pytest.raises(StateMismatchError, match="other parameters"):
        decode(data, other)


@pytest.mark.parametrize("value", [object(), np.array(["text"]), np.array([None]), lambda: 0])
def test_what_is_no_state_is_refused(value: Any) -> None:
    """Objects, texts in arrays and code are no state."""
    with pytest.raises(TypeError):
        encode([value])
