"""Features reach an estimator clipped, with bounded vocabularies, and text in the form that its family needs."""

from __future__ import annotations

from typing import Any

import pytest
from river import compose, ensemble, feature_extraction, forest, linear_model, naive_bayes, preprocessing, tree

from learners.base import Features
from learners.clipping import BLOCK_N, FACTOR, FIRST_LIMIT, RangeClip
from learners.inputs import OTHER, Inputs, text_mode

__all__: list[str] = []

_UNTYPED: Any = naive_bayes
_EXTRACTION: Any = feature_extraction


def _learned(mode: Any, *examples: Features, cap: int = 10) -> Inputs:
    inputs = Inputs(mode, cap)
    for x in examples:
        inputs.learn(x)
    return inputs


def test_sparse_names_the_value_at_hand() -> None:
    """Sparse text is one number, for known and unknown values alike."""
    inputs = _learned("sparse", {"city": "A"}, {"city": "B"})
    assert inputs.encode({"city": "B", "n": 2.0}) == {"city=B": 1.0, "n": 2.0}
    assert inputs.encode({"city": "Z"}) == {"city=Z": 1.0}


def test_dense_gives_every_known_value() -> None:
    """Dense text is a number for each known value; an unknown one is none of them, a missing one is absent."""
    inputs = _learned("dense", {"city": "A"}, {"city": "B"})
    assert inputs.encode({"city": "B"}) == {"city=A": 0.0, "city=B": 1.0}
    assert inputs.encode({"city": "Z"}) == {"city=A": 0.0, "city=B": 0.0}
    assert inputs.encode({}) == {}


def test_native_passes_text_on() -> None:
    """Trees get the text itself."""
    assert _learned("native").encode({"city": "A", "n": 1.0}) == {"city": "A", "n": 1.0}


@pytest.mark.parametrize(("mode", "other"), [("native", {"c": OTHER}), ("sparse", {f"c={OTHER}": 1.0})])
def test_categories_beyond_the_cap_are_one(mode: Any, other: dict[str, Any]) -> None:
    """Memory is bounded: values that come after the cap share one name, known ones keep theirs."""
    inputs = _learned(mode, *({"c": f"value {i}"} for i in range(50)), cap=3)
    assert inputs.encode({"c": "value 40"}) == other
    assert "value 2" in str(inputs.encode({"c": "value 2"}))
    assert len(inputs.state()["values"]["c"]) == 4


def test_dense_vocabularies_stop_at_a_hundred() -> None:
    """A dense feature is never more than a hundred values and "other"."""
    inputs = _learned("dense", *({"c": str(i)} for i in range(300)), cap=1_000)
    assert len(inputs.encode({"c": "299"})) == 101
    assert inputs.encode({"c": "299"})[f"c={OTHER}"] == 1.0


def test_state_is_carried() -> None:
    """Mode, ranges and vocabularies come back from the state."""
    example: Features = {"c": "x", "n": 5.0}
    inputs = _learned("dense", *[example] * 300)
    restored = Inputs.from_state(inputs.state())
    later: tuple[Features, ...] = ({"c": "x", "n": 1e9}, {"c": "y"})
    for x in later:
        assert restored.encode(x) == inputs.encode(x)
    assert restored.state() == inputs.state()


def test_clip_follows_what_is_seen() -> None:
    """Until a block is full only 1e12 is a limit; then 5 times the largest magnitude; NaN is missing."""
    clip = RangeClip()
    assert clip.clip("n", 1e308) == FIRST_LIMIT
    for _ in range(BLOCK_N):
        clip.learn("n", -7.0)
    assert clip.clip("n", 1e16) == 7.0 * FACTOR
    assert clip.clip("n", -1e16) == -7.0 * FACTOR
    assert clip.clip("n", 34.9) == 34.9
    assert clip.clip("other", 1e9) == 1e9
    assert clip.clip("n", float("nan")) is None


def test_an_outlier_is_forgotten_and_a_new_unit_gets_through() -> None:
    """One absurd value widens the range by 5 for two blocks at most; a change of unit passes after few blocks."""
    clip = RangeClip()
    for i in range(BLOCK_N):
        clip.learn("n", 1.0 if i != 5 else 2.0)
    clip.learn("n", 1e308)
    for _ in range(BLOCK_N - 1):
        clip.learn("n", 1.0)
    assert clip.clip("n", 1e308) == 2.0 * FACTOR * FACTOR
    for _ in range(2 * BLOCK_N):
        clip.learn("n", 1.0)
    assert clip.clip("n", 1e308) == FACTOR
    for _ in range(5 * BLOCK_N):
        clip.learn("n", 1e3)
    assert clip.clip("n", 1e3) == 1e3


def test_a_feature_that_was_constantly_zero_may_begin_to_move() -> None:
    """Zeros have no scale: what comes after them is not clipped to nothing, and small scales are scales."""
    clip = RangeClip()
    for _ in range(BLOCK_N):
        clip.learn("zero", 0.0)
        clip.learn("small", 1e-6)
    assert clip.clip("zero", 99.0) == 99.0
    assert clip.clip("small", 1.0) == 1e-6 * FACTOR


@pytest.mark.parametrize(
    ("estimator", "mode"),
    [
        (tree.HoeffdingTreeClassifier(), "native"),
        (tree.HoeffdingTreeRegressor(), "dense"),
        (tree.HoeffdingTreeRegressor(leaf_prediction="mean"), "native"),
        (forest.ARFClassifier(), "native"),
        (forest.AMFClassifier(), "dense"),
        (linear_model.LogisticRegression(), "sparse"),
        (_UNTYPED.GaussianNB(), "dense"),
        (ensemble.BaggingClassifier(tree.HoeffdingTreeClassifier()), "native"),
        (ensemble.BaggingClassifier(linear_model.LogisticRegression()), "sparse"),
        (ensemble.VotingClassifier([tree.HoeffdingTreeClassifier(), linear_model.LogisticRegression()]), "dense"),
        (compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()), "dense"),
        (compose.Pipeline(preprocessing.StandardScaler(), tree.HoeffdingTreeClassifier()), "dense"),
        (compose.Pipeline(preprocessing.OneHotEncoder(), linear_model.LogisticRegression()), "native"),
        (compose.Pipeline(_EXTRACTION.PolynomialExtender(), linear_model.LinearRegression()), "dense"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_family_decides_how_text_is_passed(estimator: Any, mode: str) -> None:
    """Trees take text; linear models the value at hand; what scales or estimates densities every known value."""
    assert text_mode(estimator) == mode
