"""Event times are exact integer milliseconds, or refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.event_time import EARLIEST_MS, LATEST_MS, common_utc_ms, event_time_ms
from stream.refusal import RefusalError

NEW_YORK = ZoneInfo("America/New_York")
NOON = 1_772_366_400_000  # date -u -d 2026-03-01T12:00:00Z +%s000


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (NOON, NOON),
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01t12:00:00z", NOON),
        ("2026-03-01 12:00:00Z", NOON),
        ("2026-03-01T13:30:00+01:30", NOON),
        ("2026-03-01T00:00:00-12:00", NOON),
        ("2026-03-01T12:00:00-00:00", NOON),
        ("2026-03-01T12:00:00.1Z", NOON + 100),
        ("2026-03-01T12:00:00.001Z", NOON + 1),
        ("2026-03-01T12:00:00.0019999Z", NOON + 1),
        ("2026-03-01T12:00:00.999999999999Z", NOON + 999),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("2016-12-31T18:59:60.5-05:00", 1_483_228_800_000),
        ("2000-01-01T00:00:00Z", EARLIEST_MS),
        ("2099-12-31T23:59:59.999Z", LATEST_MS - 1),
    ],
)
def test_times_are_exact(given: Any, wanted: int) -> None:
    """Text and integers give exact milliseconds; finer digits are cut off."""
    assert event_time_ms(given) == wanted


@pytest.mark.parametrize(
    ("given", "reason", "word"),
    [
        (True, "wrong_type", "boolean"),
        (1.5e12, "wrong_type", "number"),
        (None, "wrong_type", "null"),
        ([], "wrong_type", "array"),
        ("", "bad_time", "RFC 3339"),
        ("yesterday", "bad_time", "RFC 3339"),
        ("1772366400000", "bad_time", "RFC 3339"),
        ("2026-03-01", "bad_time", "RFC 3339"),
        ("2026-03-01T12:00Z", "bad_time", "RFC 3339"),
        ("20260301T120000Z", "bad_time", "RFC 3339"),
        ("2026-W09-7T10:00:00Z", "bad_time", "RFC 3339"),
        ("2026-03-01T12:00:00,5Z", "bad_time", "RFC 3339"),
        ("2026-03-01T12:00:00+0100", "bad_time", "RFC 3339"),
        ("2026-03-01T12:00:00Z ", "bad_time", "RFC 3339"),
        ("٢٠٢٦-03-01T12:00:00Z", "bad_time", "RFC 3339"),
        ("2026-02-29T12:00:00Z", "bad_time", "does not exist"),
        ("2026-03-01T25:00:00Z", "bad_time", "does not exist"),
        ("2026-03-01T12:00:61Z", "bad_time", "does not exist"),
        ("2026-03-01T12:00:00+24:00", "bad_time", "does not exist"),
        ("2026-03-01T12:00:60Z", "bad_time", "23:59 UTC"),
        ("0000-01-01T00:00:00Z", "bad_time", "does not exist"),
        ("2026-03-01T12:00:00", "time_without_offset", "timezone"),
        (2**63, "bad_time", "64 bits"),
        (-(2**63) - 1, "bad_time", "64 bits"),
        (0, "time_out_of_range", "2000-01-01"),
        (-NOON, "time_out_of_range", "2000-01-01"),
        (EARLIEST_MS - 1, "time_out_of_range", "2000-01-01"),
        (LATEST_MS, "time_out_of_range", "2100-01-01"),
        ("2100-01-01T00:00:00Z", "time_out_of_range", "2100-01-01"),
        ("0001-01-01T00:00:00+23:59", "time_out_of_range", "2000-01-01"),
        (NOON // 1000, "time_out_of_range", "like seconds"),
        (NOON * 1000, "time_out_of_range", "like microseconds"),
        (NOON * 1_000_000, "time_out_of_range", "like nanoseconds"),
    ],
)
def test_other_times_are_refused(given: Any, reason: str, word: str) -> None:
    """Each unusable time has its reason, and out-of-range numbers say which unit they look like."""
    with pytest.raises(RefusalError, match=word) as refusal:
        event_time_ms(given)
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("wall", "utc"),
    [
        ("2026-01-15T12:00:00", "2026-01-15T17:00:00Z"),
        ("2026-07-15T12:00:00", "2026-07-15T16:00:00Z"),
        ("2026-11-01T01:30:00", "2026-11-01T05:30:00Z"),  # occurs twice: the first, still on daylight time
        ("2026-03-08T02:30:00", "2026-03-08T07:30:00Z"),  # is skipped: read on standard time
        ("2026-07-15T12:00:00+02:00", "2026-07-15T10:00:00Z"),  # its own offset wins
    ],
)
def test_wall_times_are_read_in_the_zone(wall: str, utc: str) -> None:
    """A time without offset is read in the monitor's zone, by the documented rules at clock changes."""
    assert event_time_ms(wall, NEW_YORK) == event_time_ms(utc)


@settings(max_examples=300, deadline=None)
@given(st.integers(EARLIEST_MS, LATEST_MS - 1), st.sampled_from([0, 3, 6]))
def test_the_common_shape_reads_as_the_general_one(time_ms: int, decimals: int) -> None:
    """The short cut for common texts gives the same exact milliseconds as integer arithmetic does."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    fraction = {0: "", 3: f".{time_ms % 1000:03}", 6: f".{time_ms % 1000:03}999"}[decimals]
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"
    wanted = time_ms if decimals else time_ms // 1000 * 1000
    assert common_utc_ms(text) == event_time_ms(text) == wanted


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet="0123456789-:TtZz.,+W ", min_size=18, max_size=28)
    | st.from_regex(r"20\d\d.\d\d.\d\d.\d\d.\d\d.\d\d(.\d{3})?Z")
)
def test_the_short_cut_reads_nothing_else(text: str) -> None:
    """Whatever the short cut accepts is a time in general, with the same value."""
    short = common_utc_ms(text)
    if short is not None:
        assert event_time_ms(text) == short


@pytest.mark.parametrize(
    "text",
    [
        "2026-W09-7T10:00:00Z",
        "20260301T10:00:00.5Z",
        "2026-03-01T100000.5Z",
        "2026-03-01T10:00:00z",
        "2026-03-01 10:00:00Z",
    ],
)
def test_other_iso_forms_are_not_for_the_short_cut(text: str) -> None:
    """ISO 8601 has forms of the same length that RFC 3339 has not."""
    assert common_utc_ms(text) is None
