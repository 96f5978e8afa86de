"""Blocks of examples become rows exactly as one example after the other does."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners import codec
from learners.base import Features
from learners.clipping import BLOCK_N, RangeClip
from learners.dense import DenseEncoder, News

__all__: list[str] = []

_VALUES = st.one_of(
    st.floats(), st.integers(-5, 5), st.booleans(), st.sampled_from(["N", "S", "1.5", ""]),
    st.floats(-3, 3).map(np.float64),
)  # fmt: skip
_EXAMPLES: Any = st.dictionaries(st.sampled_from("abcd"), _VALUES)


def _by_one(encoder: DenseEncoder, examples: list[Features], learned: list[bool]) -> Any:
    rows = []
    for x, is_learned in zip(examples, learned, strict=True):
        if is_learned:
            encoder.learn(x, News((), ()))
        rows.append(encoder.row(x)[0])
    return np.array(rows).reshape(len(rows), len(encoder.names))


def _both(first: Features, cap: int = 64) -> tuple[DenseEncoder, DenseEncoder]:
    encoders = DenseEncoder(categories_cap=cap), DenseEncoder(categories_cap=cap)
    for encoder in encoders:
        encoder.learn(first, encoder.news(first))
    return encoders


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(_EXAMPLES, st.booleans()), max_size=12), st.integers(2, 3))
def test_a_block_is_encoded_as_one_by_one(ops: list[tuple[Features, bool]], cap: int) -> None:
    """Numbers of any kind and size, text, gaps, other orders and unknown names: the same rows and the same state."""
    single, block = _both({"a": 1.0, "shop": "N", "b": 2, "c": "S"}, cap)
    ops = [(x, learned and block.is_known(x)) for x, learned in ops]
    examples, learned = [x for x, _ in ops], [flag for _, flag in ops]
    wanted = _by_one(single, examples, learned)
    found = block.rows(examples, np.array(learned, dtype=np.bool_))
    np.testing.assert_array_equal(found, wanted)  # a gap is a gap, whatever its bits
    assert block.state() == single.state()


def test_limits_move_within_a_block() -> None:
    """Over many values that grow and shrink, each is clipped by the limits of its own moment."""
    rng = np.random.default_rng(1)
    scale = np.exp(np.linspace(0.0, 12.0, 5 * BLOCK_N)) * (1.0 + 40.0 * (rng.random(5 * BLOCK_N) < 0.05))
    numbers = (rng.normal(size=5 * BLOCK_N) * np.concatenate([scale, scale[::-1]])[::2]).tolist()
    single, block = _both({"a": 0.0, "b": 0.0})
    examples: list[Features] = [{"a": v, "b": -v} if i % 3 else {"b": 2.0 * v} for i, v in enumerate(numbers)]
    learned = (rng.random(len(examples)) < 0.7).tolist()
    wanted = _by_one(single, examples, learned)
    cuts = [0, 100, 100, 101, 700, len(examples)]
    found = [block.rows(examples[a:b], np.array(learned[a:b], dtype=np.bool_)) for a, b in pairwise(cuts)]
    assert np.concatenate(found).tobytes() == wanted.tobytes()
    assert block.state() == single.state()
    asked = np.array([[x.get("a", np.nan), x.get("b", np.nan)] for x in examples], dtype=np.float64)
    assert (np.abs(wanted) < np.abs(asked)).sum() > 10


def test_columns_of_the_clip_start_where_nothing_was_seen() -> None:
    """A name without values has the state that its first value would find."""
    clip, other = RangeClip(), RangeClip()
    clip.learn("a", 3.0)
    other.load_columns(["a"], clip.columns(["a", "b"])[:1])
    assert other.state() == clip.state()
    assert clip.columns(["b"])[0][1:] == [0.0, 0.0, 0]


@given(_EXAMPLES)
def test_known_examples_bring_no_news(x: Features) -> None:
    """What is called known brings neither a column nor a category; what brings one is never called known."""
    encoder, _ = _both({"a": 1.0, "shop": "N", "b": 2, "c": "S"}, 3)
    if encoder.is_known(x):
        assert not any(encoder.news(x))


@pytest.mark.parametrize("length", [1, 30, 400])
def test_names_and_categories_have_a_share_of_the_budget(length: int) -> None:
    """Whatever comes, what is kept of texts fits a quarter of the budget, and a restored one keeps the same."""
    encoder, again = DenseEncoder(budget_bytes=40_000), DenseEncoder(budget_bytes=40_000)
    for i in range(400):
        x: Features = {f"{i}".zfill(length): 1.0, "shop": f"{i}".zfill(length), f"t{i}".zfill(length): f"{i}"}
        encoder.learn(x, encoder.news(x))
        if i == 20:
            again.load(codec.decode(codec.encode(encoder.state())))
        elif i > 20:
            again.learn(x, again.news(x))
    assert again.state() == encoder.state()
    assert 5 < len(encoder.names) < 200
    assert 2_500 < len(codec.encode(encoder.state())) <= 10_000
