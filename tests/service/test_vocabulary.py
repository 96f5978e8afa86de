"""Categories as numbers: by frequency in the reference, bounded, the unseen after the last."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from service.vocabulary import Vocabulary

TEXTS = st.lists(st.sampled_from("abcdefgh"), max_size=60)


@given(TEXTS)
def test_codes_are_ranks_by_frequency(values: list[str]) -> None:
    """After freezing, the most frequent category is 0; ties keep the order in which they were first seen."""
    vocabulary = Vocabulary(100)
    for value in values:
        vocabulary.learn(value)
    vocabulary.freeze()
    first_seen = list(dict.fromkeys(values))
    counts = Counter(values)
    expected = sorted(first_seen, key=lambda value: (-counts[value], first_seen.index(value)))
    assert [vocabulary.code(value) for value in expected] == list(range(len(expected)))
    assert vocabulary.code("never seen") == len(expected)


@given(TEXTS)
def test_freezing_says_where_each_code_went(values: list[str]) -> None:
    """`freeze` gives, for each code that was handed out before, the new one."""
    vocabulary = Vocabulary(100)
    before = {value: vocabulary.learn(value) for value in values}
    moved = vocabulary.freeze()
    assert {value: moved[code] for value, code in before.items()} == vocabulary.codes


@given(TEXTS, st.integers(1, 5))
def test_it_is_bounded(values: list[str], cap: int) -> None:
    """At most `cap` categories are kept; what came later is counted and shares the code of the unseen."""
    vocabulary = Vocabulary(cap)
    codes = [vocabulary.learn(value) for value in values]
    kept = list(dict.fromkeys(values))[:cap]
    assert len(vocabulary) == len(kept)
    assert vocabulary.overflow == sum(value not in kept for value in values)
    assert all((code == cap) == (value not in kept) for code, value in zip(codes, values, strict=True))


@given(TEXTS)
def test_a_restart_changes_nothing(values: list[str]) -> None:
    """A loaded vocabulary gives the same codes and numbers the next category alike."""
    one, other = Vocabulary(5), Vocabulary(5)
    for value in values:
        one.learn(value)
    other.load(one.state())
    assert [one.learn(v) for v in "zab"] == [other.learn(v) for v in "zab"]
    assert one.freeze() == other.freeze()
    assert one.state() == other.state()
