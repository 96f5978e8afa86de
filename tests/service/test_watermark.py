"""The watermark: event time moves by agreement of events, never by one wrong clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.watermark import Watermark
from tests.service.fold_rig import START_MS, configured, fold, prediction

SKEW_MS = 1_000
DAY_MS = 86_400_000


def settled(time_ms: int = START_MS) -> Watermark:
    """A watermark that three events have agreed on."""
    watermark = Watermark(SKEW_MS)
    for _ in range(3):
        watermark.observe(time_ms)
    return watermark


def test_the_first_three_events_must_agree() -> None:
    """There is no watermark before three consecutive events agree, the first included."""
    watermark = Watermark(SKEW_MS)
    seen = []
    for time_ms in (START_MS, START_MS + 5, START_MS + 3):
        watermark.observe(time_ms)
        seen.append(watermark.value_ms)
    assert seen == [None, None, START_MS + 5]


def test_a_jump_waits_for_three_events() -> None:
    """A jump beyond the skew moves nothing until the third consecutive event agrees, the first one counted."""
    watermark = settled()
    far = START_MS + DAY_MS
    assert [watermark.observe(far + n) for n in range(3)] == [START_MS, START_MS, far + 2]
    assert watermark.held == 3 + 3


def test_an_ordinary_event_breaks_the_agreement() -> None:
    """Two far events, an ordinary or a late one, two far events: never three in a row, so nothing moves."""
    far = START_MS + DAY_MS
    for between in (START_MS + 10, START_MS - 50):
        watermark = settled()
        for time_ms in (far, far, between, far, far):
            watermark.observe(time_ms)
        assert watermark.value_ms == max(START_MS, between)


def test_far_events_that_disagree_do_not_move_it() -> None:
    """Three far events that lie further apart than the skew are no agreement."""
    watermark = settled()
    for days in (1, 2, 3, 4, 5):
        watermark.observe(START_MS + days * DAY_MS)
    assert watermark.value_ms == START_MS


def test_a_step_of_exactly_the_skew_is_no_jump() -> None:
    """The skew itself is allowed at once, one millisecond more is held."""
    assert settled().observe(START_MS + SKEW_MS) == START_MS + SKEW_MS
    assert settled().observe(START_MS + SKEW_MS + 1) == START_MS


@given(st.lists(st.integers(0, 20_000), max_size=60))
def test_it_never_goes_back_and_never_runs_ahead(steps: list[int]) -> None:
    """It only grows, and is always the time of some event."""
    watermark = settled()
    before = START_MS
    for step in steps:
        now = watermark.observe(START_MS + step)
        assert now >= before
        assert now == before or now - START_MS in steps
        before = now


@given(st.lists(st.integers(-3_000, 9_000), max_size=40), st.integers(0, 40))
def test_a_restart_changes_nothing(steps: list[int], cut: int) -> None:
    """State that was stored and loaded at any event goes on alike."""
    whole, part = Watermark(SKEW_MS), Watermark(SKEW_MS)
    for number, step in enumerate(steps):
        if number == cut:
            state, part = part.state(), Watermark(SKEW_MS)
            part.load(state)
        assert whole.observe(START_MS + step) == part.observe(START_MS + step)


@pytest.mark.parametrize("factor", [1_000, 1_000_000], ids=["microseconds", "nanoseconds"])
def test_a_clock_in_smaller_units_cannot_move_it(factor: int) -> None:
    """Even many consecutive events in µs or ns are refused and leave the watermark, while ms events move it."""
    good = [prediction(f"g{n}", n) for n in range(5)]
    wrong = [prediction(f"w{n}", 0, time=(START_MS + n) * factor) for n in range(10)]
    folded = fold([*good, *wrong, prediction("last", 9)], configured())
    assert [reject.reason for reject in folded.rejects] == ["time_out_of_range"] * 10
    assert folded.monitor.watermark.value_ms == START_MS + 9
