"""Ticks: a quiet monitor's predictions mature although no event comes."""

from __future__ import annotations

import tomllib

from service.config import parse
from service.partition import PartitionFold
from service.ticks import QUIET_S, Ticker, tick_message
from stream.events import RawMessage
from tests.kills.stream import CONFIGURATION, MONITOR, START_MS, events


def fold_of(n: int) -> PartitionFold:
    """A partition that has folded the first `n` events."""
    partition = PartitionFold(parse(tomllib.loads(CONFIGURATION)))
    raw = list(events(n))[:n]
    partition.fold([RawMessage("t", 0, offset, value) for offset, value in enumerate(raw)])
    return partition


def test_a_quiet_monitor_is_ticked_once_a_minute() -> None:
    """After a quiet minute with predictions waiting there is one tick, and the next only a minute later."""
    partition, ticker = fold_of(50), Ticker()
    start_s = START_MS / 1000 + 60
    asked = [0.0, QUIET_S - 1, QUIET_S, QUIET_S + 1, 2 * QUIET_S]
    assert [ticker.due(partition.folds, start_s + s) for s in asked] == [[], [], [MONITOR], [], [MONITOR]]


def test_a_replayed_past_is_not_ticked() -> None:
    """A stream whose time is far from ours gets no tick, because one would tear its event time into the present."""
    partition, ticker = fold_of(50), Ticker()
    years_later_s = START_MS / 1000 + 5e8
    assert ticker.due(partition.folds, years_later_s) == []
    assert ticker.due(partition.folds, years_later_s + 10 * QUIET_S) == []


def test_a_tick_lets_predictions_mature() -> None:
    """The appended control moves the watermark, and what is old enough matures."""
    partition = fold_of(50)
    before = partition.folds[MONITOR].join.counts.matured
    late_ms = START_MS + 3_600_000
    partition.fold([RawMessage("t", 0, 60, tick_message(MONITOR, late_ms))])
    assert before == 0
    assert partition.folds[MONITOR].join.counts.matured == partition.folds[MONITOR].join.counts.predictions
