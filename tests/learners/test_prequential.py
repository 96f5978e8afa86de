"""Prequential figures equal their definitions recomputed from lists, in total and in the window, after revisions."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners import SnapshotError
from learners.fixed_point import ONE, fixed
from learners.prequential import ClassificationScore, RegressionScore

__all__: list[str] = []

labels = st.sampled_from(["a", "b", "c"])
known = st.none() | labels
probabilities = st.none() | st.floats(0, 1)
scored = st.tuples(labels, known, probabilities, known)
numbers = st.floats(-1e6, 1e6)
answers = st.tuples(numbers, st.none() | numbers, st.none() | numbers)
revisions = st.lists(st.tuples(st.integers(0, 10**6), labels, probabilities), max_size=12)


def naive_classification(rows: list[Any]) -> dict[str, float | None]:
    """Each figure by its definition, from the list of (truth, predicted, probability, no-change)."""
    n = len(rows)
    if n == 0:
        return dict.fromkeys(("accuracy", "kappa", "kappa_temporal", "f1", "f1_minority", "log_loss"))
    right = sum(t == p for t, p, _, _ in rows) / n
    luck = sum(t == c for t, _, _, c in rows) / n
    classes = sorted({t for t, *_ in rows} | {p for _, p, *_ in rows if p is not None})
    chance = sum(sum(r[0] == k for r in rows) / n * sum(r[1] == k for r in rows) / n for k in classes)
    f1 = {k: 2 * sum(t == p == k for t, p, *_ in rows) / sum((t == k) + (p == k) for t, p, *_ in rows) for k in classes}
    losses = [-math.log(max(p, 1e-15)) for _, _, p, _ in rows if p is not None]
    truths = sorted({t for t, *_ in rows}, key=lambda k: (-sum(r[0] == k for r in rows), k))
    return {
        "accuracy": right,
        "kappa": None if math.isclose(chance, 1.0) else (right - chance) / (1 - chance),
        "kappa_temporal": None if luck == 1.0 else (right - luck) / (1 - luck),
        "f1": sum(f1.values()) / len(f1),
        "f1_minority": f1[truths[-1]] if len(truths) == 2 else None,
        "log_loss": sum(losses) / len(losses) if losses else None,
    }


def _agrees(figures: dict[str, Any], naive: dict[str, float | None]) -> None:
    for name, value in naive.items():
        if value is None:
            assert figures[name] is None, name
        else:
            assert figures[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name


@settings(max_examples=150, deadline=None)
@given(st.lists(scored, max_size=40), st.integers(1, 12), revisions)
def test_classification_equals_its_definitions(rows: list[Any], window_n: int, changes: list[Any]) -> None:
    """After any additions and corrections every figure is what its definition gives, in total and in the window."""
    score = ClassificationScore(window_n)
    assert [score.add(*row) for row in rows] == list(range(len(rows)))
    kept = list(rows)
    for number, truth, probability in changes if kept else ():
        ticket = number % len(kept)
        old_truth, predicted, old_probability, no_change = kept[ticket]
        new_probability = None if old_probability is None else probability
        score.revise(
            ticket, old_truth, truth, predicted=predicted, old_probability=old_probability,
            new_probability=new_probability, no_change=no_change,
        )  # fmt: skip
        kept[ticket] = (truth, predicted, new_probability, no_change)
    _agrees(score.summary(), naive_classification(kept))
    _agrees(score.window_summary(), naive_classification(kept[-window_n:]))
    assert score.summary()["n"] == len(kept)
    assert score.window_summary()["n"] == min(window_n, len(kept))


def naive_regression(rows: list[Any]) -> dict[str, float | None]:
    """Each figure by its definition, from the list of (truth, predicted, no-change)."""
    told = [(t, p) for t, p, _ in rows if p is not None]
    pairs = [(t, p, c) for t, p, c in rows if p is not None and c is not None]
    if not told:
        return dict.fromkeys(("mae", "rmse", "r2", "no_change_mae", "mae_relative"))
    mean = math.fsum(t for t, _ in told) / len(told)
    spread = math.fsum((t - mean) ** 2 for t, _ in told)
    repeated = math.fsum(abs(t - c) for t, _, c in pairs)
    return {
        "mae": math.fsum(abs(t - p) for t, p in told) / len(told),
        "rmse": math.sqrt(math.fsum((t - p) ** 2 for t, p in told) / len(told)),
        "r2": 1 - math.fsum((t - p) ** 2 for t, p in told) / spread if spread > 0 else None,
        "no_change_mae": repeated / len(pairs) if pairs else None,
        "mae_relative": math.fsum(abs(t - p) for t, p, _ in pairs) / repeated if repeated else None,
    }


halves = st.integers(-1000, 1000).map(lambda i: i / 2)
half_answers = st.tuples(halves, st.none() | halves, st.none() | halves)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(half_answers, max_size=40),
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 10**6), halves), max_size=9),
)
def test_regression_equals_its_definitions(rows: list[Any], window_n: int, changes: list[Any]) -> None:
    """After any additions and corrections every figure is what its definition gives, in total and in the window."""
    score = RegressionScore(window_n)
    assert [score.add(*row) for row in rows] == list(range(len(rows)))
    kept = list(rows)
    for number, truth in changes if kept else ():
        ticket = number % len(kept)
        old_truth, predicted, no_change = kept[ticket]
        score.revise(ticket, old_truth, truth, predicted=predicted, no_change=no_change)
        kept[ticket] = (truth, predicted, no_change)
    _agrees(score.summary(), naive_regression(kept))
    _agrees(score.window_summary(), naive_regression(kept[-window_n:]))
    assert score.summary()["n"] == len(kept)


@settings(max_examples=60, deadline=None)
@given(st.lists(answers, min_size=1, max_size=30), st.integers(1, 8))
def test_what_left_the_window_leaves_no_residue(rows: list[Any], window_n: int) -> None:
    """The window's figures are bit for bit those of a score that never saw what came before, 1e308 included."""
    score, alone = RegressionScore(window_n), RegressionScore(window_n)
    for row in [(1e308, -1e308, 0.0), (1e16, 1e-300, 1e308), *rows][: len(rows) + 2]:
        score.add(*row)
    for row in rows[-window_n:]:
        alone.add(*row)
    if len(rows) >= window_n:
        assert score.window_summary() == alone.window_summary()


def test_absurd_values_give_finite_figures() -> None:
    """Errors beyond 1e30 count as 1e30; nothing becomes infinite."""
    score = RegressionScore(3)
    score.add(1e308, -1e308, 1e308)
    assert score.summary()["mae"] == 1e30
    assert all(value is None or math.isfinite(value) for value in score.summary().values())


def test_kappa_of_the_classic_two_by_two_table() -> None:
    """Cohen's kappa of the table 20/5/10/15 is 0.4 (observed .7, by chance .5)."""
    score = ClassificationScore(100)
    for truth, predicted, n in (("yes", "yes", 20), ("yes", "no", 5), ("no", "yes", 10), ("no", "no", 15)):
        for _ in range(n):
            score.add(truth, predicted, None, None)
    assert score.summary()["accuracy"] == 0.7
    assert score.summary()["kappa"] == pytest.approx(0.4)


def test_kappa_temporal_is_negative_for_less_than_repeating() -> None:
    """Žliobaitė et al.: a classifier that is worse than the newest label is below 0, an equal one at 0."""
    worse, equal = ClassificationScore(100), ClassificationScore(100)
    truths = ["up", "up", "up", "down", "down", "down", "up", "up"]
    newest = None
    for truth in truths:
        worse.add(truth, "up", None, newest)
        equal.add(truth, newest, None, newest)
        newest = truth
    assert equal.summary()["kappa_temporal"] == 0.0
    assert worse.summary()["kappa_temporal"] == pytest.approx((5 / 8 - 5 / 8) / (1 - 5 / 8))
    worse.add("down", "up", None, "down")
    assert worse.summary()["kappa_temporal"] < 0


def test_undefined_figures_are_none() -> None:
    """Without predictions nothing is defined; with one class there is no kappa; without probabilities no log loss."""
    score = ClassificationScore(5)
    assert {v for k, v in score.summary().items() if k != "n"} == {None}
    score.add("a", "a", None, "a")
    figures = score.summary()
    assert (figures["accuracy"], figures["kappa"], figures["kappa_temporal"], figures["log_loss"]) == (
        1.0,
        None,
        None,
        None,
    )


def test_unknown_counts_as_wrong() -> None:
    """A classifier that could not tell was wrong; a regressor that could not tell is counted as unanswered."""
    score, sums = ClassificationScore(5), RegressionScore(5)
    score.add("a", None, None, None)
    sums.add(1.0, None, 2.0)
    assert score.summary()["accuracy"] == 0.0
    assert (sums.summary()["n"], sums.summary()["answered"], sums.summary()["mae"]) == (1, 0, None)


def test_log_loss_is_clipped_at_both_ends() -> None:
    """A probability of 0 costs -ln 1e-15, one above 1 costs nothing, and NaN counts as 0."""
    for probability, loss in (
        (0.0, -math.log(1e-15)),
        (1.5, 0.0),
        (float("nan"), -math.log(1e-15)),
        (0.5, math.log(2)),
    ):
        score = ClassificationScore(2)
        score.add("a", "a", probability, None)
        assert score.summary()["log_loss"] == pytest.approx(loss, abs=1e-11)


def test_classes_beyond_the_cap_share_one_count() -> None:
    """Memory is bounded by `max_classes`; whether a prediction was right is still decided by the texts."""
    score = ClassificationScore(10, max_classes=2)
    for i in range(1_000):
        score.add(f"class {i}", f"class {i if i % 2 else i + 1}", None, None)
    assert score.summary()["accuracy"] == 0.5
    assert len(score.state()["labels"]) == 2
    assert len(score.state()["classes"][0]) == 4


def test_memory_follows_what_was_seen() -> None:
    """A wide window and many allowed classes cost nothing before predictions and classes come."""
    tracemalloc.start()
    score = ClassificationScore(100_000, max_classes=10_000)
    score.add("a", "b", 0.5, None)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 10_000
    assert score.window_summary()["n"] == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(scored, max_size=30), st.lists(answers, max_size=30), st.integers(1, 9), st.integers(0, 30))
def test_any_cut_changes_nothing(rows: list[Any], values: list[Any], window_n: int, cut: int) -> None:
    """State and restore at any point gives the same figures and the same state as no restart."""
    for straight, stream in ((ClassificationScore(window_n), rows), (RegressionScore(window_n), values)):
        restarted: Any = type(straight)(window_n)
        for i, row in enumerate(stream):
            if i == cut:
                restarted = type(straight).from_state(restarted.state())
            assert restarted.add(*row) == straight.add(*row)
        restarted = type(straight).from_state(restarted.state())
        assert restarted.state() == straight.state()
        assert restarted.summary() == straight.summary()
        assert restarted.window_summary() == straight.window_summary()


texts = st.sampled_from(["a", "b", "c", "d"])
chances = st.none() | st.floats(0, 1) | st.sampled_from([0.0, 1.0, 1.5, -1.0, 1e-300, math.nan])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(texts, st.none() | texts, chances, st.none() | texts), max_size=60),
    st.integers(1, 12),
    st.lists(st.integers(0, 60), max_size=3),
    st.integers(1, 5),
)
def test_many_at_once_leave_the_same_bits(rows: list[Any], window_n: int, cuts: list[int], max_classes: int) -> None:
    """Blocks, shorter and longer than the window and with classes beyond the cap, score as one by one do."""
    one, many = (ClassificationScore(window_n, max_classes) for _ in range(2))
    tickets = [one.add(*row) for row in rows]
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    for start, end in itertools.pairwise(edges):
        assert many.add_many(*zip(*rows[start:end], strict=True)) == tickets[start]
    assert many.state() == one.state()


def test_damaged_states_are_refused() -> None:
    """A state whose parts do not fit together is a SnapshotError."""
    score, sums = ClassificationScore(3), RegressionScore(3)
    score.add("a", "b", 0.5, None)
    sums.add(1.0, 2.0, None)
    for kind, state in ((ClassificationScore, score.state()), (RegressionScore, sums.state())):
        for key in state:
            with pytest.raises(SnapshotError):
                kind.from_state({k: v for k, v in state.items() if k != key})
        with pytest.raises(SnapshotError):
            kind.from_state(state | {"ring": b""})


def test_wrong_calls_name_the_value() -> None:
    """A window of nothing, a ticket never given out and a truth never scored are errors that say so."""
    with pytest.raises(ValueError, match="window_n = 0"):
        ClassificationScore(0)
    with pytest.raises(ValueError, match="window_n = 0"):
        RegressionScore(0)
    with pytest.raises(ValueError, match="max_classes = 0"):
        ClassificationScore(1, 0)
    score, sums = ClassificationScore(5), RegressionScore(5)
    score.add("a", "b", None, None)
    sums.add(1.0, 2.0, None)
    unknown: dict[str, Any] = {"old_probability": None, "new_probability": None, "no_change": None}
    with pytest.raises(ValueError, match="ticket = 1"):
        score.revise(1, "a", "b", predicted="b", **unknown)
    with pytest.raises(ValueError, match="not scored with truth 'b'"):
        score.revise(0, "b", "a", predicted="b", **unknown)
    with pytest.raises(ValueError, match="ticket = -1"):
        sums.revise(-1, 1.0, 2.0, predicted=2.0, no_change=None)
    with pytest.raises(ValueError, match=r"not scored with truth 3\.0"):
        sums.revise(0, 3.0, 2.0, predicted=2.0, no_change=None)


@given(st.floats(1e-15, 1e30))
def test_fixed_point_is_exact(value: float) -> None:
    """A float of ordinary size becomes a whole number without losing a bit, either sign."""
    assert fixed(value) / ONE == value
    assert fixed(-value) == -fixed(value)
