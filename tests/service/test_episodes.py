"""Episodes and incidents: one cause, one notification; severities; ids that do not depend on batches."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from service.episodes import Alarm, Episodes, Moment, rfc3339
from tests.service.fold_rig import START_MS

DRIFT, WARNING, CLEARED = 2, 1, -2
ALARM = Alarm(
    signal="feature:a", kind="data", detector="ks", status=DRIFT, direction=0, statistic=0.5, threshold=0.2, effect=0.5,
    onset=90, onset_low=80, onset_high=100, n=30, level=True,
)  # fmt: skip
ERRORS = replace(ALARM, signal="error:producer", kind="performance", detector="adwin", direction=1, level=False)


def moment(event: int, *, backfill: bool = False) -> Moment:
    """The moment of prediction `event`, a second each."""
    return Moment(event + 1, 0, START_MS + event * 1000, backfill)


class Watch:
    """Episodes with the records that they gave."""

    def __init__(self, cooldown: int = 50) -> None:
        self.episodes = Episodes("p", "m", cooldown=cooldown)
        self.records: list[dict[str, Any]] = []

    def take(self, event: int, alarm: Alarm, *, backfill: bool = False) -> dict[str, Any]:
        """Take an alarm; gives its record, or nothing."""
        records = self.episodes.take(alarm, moment(event, backfill=backfill), version="", maturity=None)
        self.records += records
        return records[0] if records else {}

    def told(self) -> list[tuple[str, str]]:
        """Notifications with their severity."""
        return [(r["notification"], r["severity"]) for r in self.records if r["notification"]]


def cleared(alarm: Alarm) -> Alarm:
    """The same detector, back at its reference."""
    return replace(alarm, status=CLEARED)


def test_one_cause_is_one_incident() -> None:
    """25 alarms with overlapping onsets: one incident, told once opened, once escalated, once resolved."""
    watch = Watch()
    alarms = [replace(ALARM, signal=f"feature:{n}") for n in range(24)]
    for alarm in alarms:
        watch.take(100, alarm)
    watch.take(101, replace(ERRORS, level=True))
    for alarm in [*alarms, ERRORS]:
        watch.take(120, cleared(alarm))
    assert len({record["incident"] for record in watch.records}) == 1
    assert watch.told() == [("opened", "ticket"), ("escalated", "page"), ("resolved", "page")]


def test_other_onsets_are_other_incidents() -> None:
    """Onset intervals that do not meet are two causes; that touch in one event, one."""
    watch = Watch()
    first = watch.take(100, ALARM)["incident"]
    apart = replace(ALARM, signal="feature:b", onset_low=101, onset_high=120)
    touching = replace(ALARM, signal="feature:c", onset_low=100, onset_high=100)
    assert watch.take(130, apart)["incident"] != first
    assert watch.take(130, touching)["incident"] == first


@pytest.mark.parametrize(
    ("kind", "direction", "severity"),
    [
        ("performance", 1, "page"), ("performance", -1, "ticket"), ("concept", 1, "page"), ("concept", 0, "page"),
        ("concept", -1, "ticket"), ("data", 1, "ticket"), ("prediction", 1, "ticket"), ("quality", 1, "ticket"),
    ],
)  # fmt: skip
def test_severities(kind: str, direction: int, severity: str) -> None:
    """Errors that rise page; falling errors, data, prediction and quality are tickets."""
    assert Watch().take(100, replace(ALARM, kind=kind, direction=direction))["severity"] == severity


def test_backfill_and_planned_changes_never_page() -> None:
    """What a backfill shows, or what happens within a planned change, is a note; after its end errors page again."""
    watch = Watch()
    assert watch.take(100, ERRORS, backfill=True)["severity"] == "note"
    watch = Watch()
    watch.episodes.planned_until_ms = moment(200).time_ms
    assert watch.take(199, ERRORS)["severity"] == "note"
    assert watch.take(200, replace(ERRORS, signal="error:probe", kind="concept"))["severity"] == "page"


def test_warnings_and_repeats_are_silent() -> None:
    """A warning gives no record; neither does an alarm of an episode that is open."""
    watch = Watch()
    assert watch.take(99, replace(ALARM, status=WARNING)) == {}
    watch.take(100, ALARM)
    assert watch.take(101, ALARM) == {}
    assert watch.take(102, cleared(replace(ALARM, detector="cvm"))) == {}


def test_reopening_within_the_cooldown_keeps_the_episode() -> None:
    """An alarm soon after resolution is the same episode with the next sequence number; a later one is new."""
    watch = Watch(cooldown=50)
    first = watch.take(100, ALARM)
    watch.take(110, cleared(ALARM))
    again = watch.take(159, ALARM)
    watch.take(160, cleared(ALARM))
    later = watch.take(210, ALARM)
    assert (again["episode"], again["seq"]) == (first["episode"], 3)
    assert (later["episode"] != first["episode"], later["seq"]) == (True, 1)
    assert watch.episodes.opened == 2
    assert len({record["id"] for record in watch.records}) == len(watch.records)


def test_a_change_of_mean_resolves_when_it_is_undone() -> None:
    """Further rises keep a change of mean open; falls that undo half of it resolve it."""
    watch = Watch()
    watch.take(100, ERRORS)
    assert watch.take(110, replace(ERRORS, effect=0.2)) == {}
    assert watch.take(120, replace(ERRORS, effect=0.3, direction=-1)) == {}
    record = watch.take(130, replace(ERRORS, effect=0.1, direction=-1))
    assert (record["status"], record["resolution"]) == ("resolved", "back")


def test_accepting_is_not_recovering() -> None:
    """`accept` closes every open episode with the resolution `accepted`, and the incident is told as resolved."""
    watch = Watch()
    watch.take(100, ALARM)
    watch.take(100, ERRORS)
    records = watch.episodes.accept(moment(150))
    assert [(r["status"], r["resolution"], r["notification"]) for r in records] == [
        ("resolved", "accepted", None),
        ("resolved", "accepted", "resolved"),
    ]
    assert watch.episodes.accept(moment(151)) == []


def test_ids_name_content() -> None:
    """The same fold gives the same ids; another monitor, pipeline or moment gives others."""
    ids = {
        Episodes(pipeline, monitor, cooldown=5).take(ALARM, moment(event), version="", maturity=None)[0]["id"]
        for pipeline, monitor, event in (("p", "m", 1), ("q", "m", 1), ("p", "n", 1), ("p", "m", 2), ("p", "m", 1))
    }
    assert len(ids) == 4


def test_a_restart_changes_nothing() -> None:
    """Episodes stored and loaded go on alike, their order included."""
    watch, other = Watch(), Watch()
    for event, signal in enumerate(("z", "a", "m")):
        watch.take(100 + event, replace(ALARM, signal=signal))
    other.episodes.load(watch.episodes.state())
    assert other.episodes.state() == watch.episodes.state()
    assert other.episodes.accept(moment(120)) == watch.episodes.accept(moment(120))


def test_closed_episodes_are_forgotten() -> None:
    """Once the cooldown has passed nothing is kept of what is closed; what is open stays."""
    watch = Watch(cooldown=10)
    watch.take(100, ALARM)
    watch.take(100, ERRORS)
    watch.take(101, cleared(ALARM))
    watch.episodes.forget_old(111)
    assert len(watch.episodes.episodes) == 2
    watch.episodes.forget_old(112)
    assert [episode.signal for episode in watch.episodes.episodes.values()] == ["error:producer"]
    assert len(watch.episodes.incidents) == 1


def test_times_are_rfc_3339() -> None:
    """Times leave in UTC with milliseconds."""
    assert rfc3339(1_760_000_000_007) == "2025-10-09T08:53:20.007Z"
