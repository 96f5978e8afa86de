"""The label join: one documented result for every order of arrival."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.join import CHUNK_N, LabelJoin, LabelResult, PendingPrediction

HOUR_MS = 3_600_000


def prediction(identity: str, time_ms: int = 0) -> PendingPrediction:
    """A prediction as the fold hands it to the join."""
    return PendingPrediction(
        id=identity, time_ms=time_ms, version="1", prediction="a", scores=None, no_change=None, backfill=False,
        features=[1.0, None], answers={},
    )  # fmt: skip


def a_join(**parameters: Any) -> LabelJoin:
    """A join that judges at an age of ten hours."""
    return LabelJoin(**({"age_ms": 10 * HOUR_MS} | parameters))


def test_a_label_is_joined_to_its_prediction() -> None:
    """The first label of a known prediction is joined and waits for maturity."""
    join = a_join()
    number = join.add(prediction("x"))
    assert join.label("x", HOUR_MS, "a") == (LabelResult.JOINED, number)
    assert join.counts.open == 0


def test_a_label_before_its_prediction_waits() -> None:
    """A label that comes first is joined when its prediction comes."""
    join = a_join()
    assert join.label("x", 5, "a") == (LabelResult.EARLY, -1)
    number = join.add(prediction("x"))
    assert join.take_early(number) == (LabelResult.JOINED, number)
    assert join.early == {}


def test_early_labels_are_capped() -> None:
    """Beyond the cap the oldest early label is dropped and counted as an orphan."""
    join = a_join(max_early=2)
    for identity in "abc":
        join.label(identity, 0, "a")
    assert (list(join.early), join.counts.orphans) == (["b", "c"], 1)


def test_the_same_label_twice_is_a_duplicate_and_another_a_correction() -> None:
    """A repeat changes nothing; another value replaces the label."""
    join = a_join()
    join.add(prediction("x"))
    results = [join.label("x", 1, label)[0] for label in ("a", "a", "b")]
    assert results == [LabelResult.JOINED, LabelResult.DUPLICATE, LabelResult.CORRECTION]
    assert (join.row(0).label, join.counts.joined) == ("b", 1)


def test_maturity_comes_once_in_order_at_the_fixed_age() -> None:
    """Each prediction matures once, in order of arrival, even if a later one is older by its clock."""
    join = a_join()
    join.add(prediction("x", 5 * HOUR_MS))
    join.add(prediction("y", 0))
    assert list(join.due(14 * HOUR_MS)) == []
    assert [row.id for _, row in join.due(15 * HOUR_MS)] == ["x", "y"]
    assert list(join.due(99 * HOUR_MS)) == []


def test_a_label_after_maturity_is_late() -> None:
    """A first label inside the correction window but after maturity is late; detectors never see it."""
    join = a_join()
    join.add(prediction("x"))
    assert [row.label for _, row in join.due(10 * HOUR_MS)] == [None]
    assert join.label("x", 11 * HOUR_MS, "a")[0] is LabelResult.LATE
    assert (join.counts.late, join.counts.unlabelled) == (1, 1)


def test_a_label_after_the_timeout_is_too_late() -> None:
    """With on_timeout = unlabelled a label after the timeout is counted and ignored."""
    join = a_join(timeout_ms=HOUR_MS)
    join.add(prediction("x"))
    assert join.label("x", 2 * HOUR_MS, "a")[0] is LabelResult.TOO_LATE
    assert join.row(0).label is None


def test_on_timeout_the_configured_value_is_the_label() -> None:
    """With a value on time-out the prediction matures with it, and a later real label is a correction."""
    join = a_join(timeout_ms=HOUR_MS, timeout_value="no")
    join.add(prediction("x"))
    assert [row.label for _, row in join.due(10 * HOUR_MS)] == ["no"]
    assert join.label("x", 11 * HOUR_MS, "yes")[0] is LabelResult.CORRECTION
    assert join.counts.joined == 1


def test_the_age_is_learned_from_the_first_delays() -> None:
    """Without a configured age it becomes the 95th percentile of the first delays."""
    join = LabelJoin(age_ms=None, age_n=100)
    for n in range(100):
        join.add(prediction(str(n)))
        join.label(str(n), n + 1, "a")
    assert join.age_ms == 96


def test_a_crowd_of_unlabelled_predictions_is_bounded() -> None:
    """Beyond max_pending the oldest matures at once, unlabelled, and is counted as evicted."""
    join = a_join(max_pending=3, correction_window=2)
    for n in range(10):
        join.add(prediction(str(n)))
        list(join.due(0))
    assert (len(join) <= 3, join.counts.evicted) == (True, 7)


events = st.lists(
    st.tuples(st.sampled_from("pl"), st.integers(0, 6), st.sampled_from("ab"), st.integers(0, 40)), max_size=60
)


def run(join: LabelJoin, steps: list[tuple[str, int, str, int]]) -> list[Any]:
    """Take the steps; all that the join says on the way."""
    trace: list[Any] = []
    for kind, identity, label, hours in steps:
        if kind == "p":
            if not join.knows(str(identity)):
                number = join.add(prediction(str(identity), hours * HOUR_MS))
                trace.append(join.take_early(number))
        else:
            trace.append(join.label(str(identity), hours * HOUR_MS, label))
        trace.append([(number, row.label) for number, row in join.due(hours * HOUR_MS)])
    return trace


@settings(max_examples=150, deadline=None)
@given(events)
def test_every_order_keeps_the_books(steps: list[tuple[str, int, str, int]]) -> None:
    """In any order: each prediction matures at most once, and every label has exactly one result."""
    join = a_join(correction_window=4, max_pending=8, max_early=3)
    trace = run(join, steps)
    matured = [number for item in trace if isinstance(item, list) for number, _ in item]
    assert matured == list(range(len(matured)))
    counts = join.counts
    corrections = counts.corrections + counts.duplicates + counts.too_late
    assert counts.labels == counts.joined + corrections + counts.orphans + len(join.early)


@settings(max_examples=100, deadline=None)
@given(events, st.integers(0, 60))
def test_a_restart_anywhere_changes_nothing(steps: list[tuple[str, int, str, int]], cut: int) -> None:
    """State and chunks restored at any cut continue as if nothing had happened."""
    parameters: dict[str, Any] = {"correction_window": 4, "max_pending": 8, "max_early": 3}
    whole = a_join(**parameters)
    expected = run(whole, steps)
    first = a_join(**parameters)
    trace = run(first, steps[:cut])
    chunks = {n: data for n, data in first.dirty_chunks().items() if data is not None}
    second = a_join(**parameters)
    second.load(first.state(), chunks)
    trace += run(second, steps[cut:])
    chunks |= {n: data for n, data in second.dirty_chunks().items() if data is not None}
    assert trace == expected
    assert second.state() == whole.state()


def test_a_join_that_begins_anew_keeps_its_numbers_and_its_books() -> None:
    """Nothing waits any longer, here and after a restart; what had no label is evicted and unlabelled, early labels are
    orphans, and the next prediction has the next number."""
    join = a_join(age_ms=10)
    for n in range(CHUNK_N + 3):
        join.add(prediction(f"p{n}", n))
    for n in range(0, CHUNK_N, 2):
        join.label(f"p{n}", n, "a")
    join.label("early", 1, "a")
    join.due(20)
    stored = join.dirty_chunks()
    join.begin_anew()
    counts = join.counts
    assert (len(join), join.early, counts.open, counts.matured, counts.orphans) == (0, {}, 0, CHUNK_N + 3, 1)
    assert counts.unlabelled == CHUNK_N + 3 - CHUNK_N // 2
    stored |= join.dirty_chunks()
    other = a_join(age_ms=10)
    other.load(join.state(), {number: data for number, data in stored.items() if data is not None})
    assert len(other) == 0
    assert (other.add(prediction("p0")), other.due(5_000)[0][0]) == (CHUNK_N + 3, CHUNK_N + 3)


def test_chunks_are_the_same_whatever_the_commits_were() -> None:
    """The rows' bytes depend on the rows alone, not on when they were written before."""

    def fold(every: int) -> dict[int, bytes]:
        join = a_join(age_ms=1, correction_window=100)
        stored: dict[int, bytes] = {}
        for n in range(3 * CHUNK_N):
            join.add(prediction(str(n), n))
            list(join.due(n))
            if n % every == 0 or n == 3 * CHUNK_N - 1:
                for chunk, data in join.dirty_chunks().items():
                    stored.pop(chunk, None) if data is None else stored.update({chunk: data})
        return stored

    assert fold(7) == fold(500)


@pytest.mark.parametrize("n", [0, 1])
def test_finding_what_is_not_there(n: int) -> None:
    """An unknown id is not found."""
    assert a_join().find(str(n)) == -1
