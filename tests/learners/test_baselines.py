"""The baselines are what their names say, exactly."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learners import SnapshotError
from learners.baselines import Majority, Mean, NoChange
from learners.frozen import FrozenProbe

__all__: list[str] = []


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=40))
def test_majority_is_the_most_frequent_label(labels: list[str]) -> None:
    """The majority is the most frequent label, of equals the first in order of text; shares are its probabilities."""
    baseline = Majority()
    for label in labels:
        baseline.learn_one({}, label)
    counts = Counter(labels)
    assert baseline.predict_one({}) == min(counts, key=lambda label: (-counts[label], label))
    assert baseline.predict_proba_one({}) == {label: counts[label] / len(labels) for label in sorted(counts)}


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40))
def test_mean_is_exact(labels: list[float]) -> None:
    """The mean is the exact mean of the labels, rounded once."""
    baseline = Mean()
    for label in labels:
        baseline.learn_one({}, label)
    exact = sum((Fraction(label) for label in labels), Fraction()) / len(labels)
    assert baseline.predict_one({}) == pytest.approx(float(exact), rel=1e-15, abs=1e-35)


def test_no_change_repeats_the_newest_label() -> None:
    """No-change says what arrived last, for text and for numbers."""
    text, numbers = NoChange(), NoChange("regression")
    for i in range(5):
        text.learn_one({}, f"label {i}")
        numbers.learn_one({}, i)
        assert (text.predict_one({}), numbers.predict_one({})) == (f"label {i}", float(i))
    assert text.predict_proba_one({}) == {"label 4": 1.0}


def test_majority_counts_classes_beyond_its_cap_together() -> None:
    """Labels beyond the cap are never predicted, and known ones go on being counted."""
    baseline = Majority(classes_cap=2)
    for label in ["a", "b", "c", "c", "c", "b"]:
        baseline.learn_one({}, label)
    assert baseline.predict_one({}) == "b"
    assert set(baseline.predict_proba_one({})) == {"a", "b"}


def test_wrong_settings_name_their_value() -> None:
    """A cap of nothing and an unknown task are errors that say so."""
    with pytest.raises(ValueError, match="classes_cap = 0"):
        Majority(0)
    with pytest.raises(ValueError, match="task = 'ranking'"):
        NoChange("ranking")  # type: ignore[arg-type] # the point of the test


def test_a_probe_learns_until_it_is_frozen() -> None:
    """Before the freeze a probe learns and carries what it learned; freezing twice is freezing once."""
    probe = FrozenProbe(Majority())
    probe.learn_one({}, "a")
    restored = FrozenProbe.restore(probe.snapshot())
    assert (restored.frozen, restored.learned_n, restored.predict_one({})) == (False, 1, "a")
    restored.freeze()
    frozen = restored.snapshot()
    restored.freeze()
    restored.learn_one({}, "b")
    assert restored.snapshot() == frozen
    with pytest.raises(SnapshotError):
        FrozenProbe.restore(Majority().snapshot())
