"""What leaves after a commit, what the view shows, and what the summary says: one thing in three forms."""

from __future__ import annotations

from typing import Any

import msgspec

from service.config import WebhookConfig
from service.outputs import messages_of, outbox_rows
from service.partition import PartitionFold
from service.replay import replay
from service.view import MonitorHistory, monitor_view
from stream.events import RawMessage
from stream.store import OutboxRow, StoredRow
from tests.service.fold_rig import MONITOR, configured, fold, label, prediction

BAYES = {"estimator": "river.naive_bayes.GaussianNB"}
HOOKS = {
    "all": {"url": "http://a.example/", "secret": "whsec_MTIz"},
    "pages": {"url": "http://b.example/", "secret": "whsec_MTIz", "severities": ["page"], "statuses": ["drift"]},
}


def events() -> list[bytes]:
    """Right predictions, then wrong ones; a bad event; some that the champion answers."""
    sent = [b"{bad"]
    for n in range(800):
        said = None if n % 100 == 99 else "y"
        sent += [prediction(f"p{n}", n * 10, prediction=said), label(f"p{n}", n * 10 + 1, "y" if n < 400 else "n")]
    return sent


def rows(size: int = 2_000) -> list[OutboxRow]:
    """The outbox rows of these events, in commits of `size` messages."""
    hooks = msgspec.convert(HOOKS, dict[str, WebhookConfig])
    config = msgspec.structs.replace(configured(learners={"one": BAYES}), webhooks=hooks)
    partition = PartitionFold(config)
    found: list[OutboxRow] = []
    messages = [RawMessage("t", 0, n, event) for n, event in enumerate(events())]
    for start in range(0, len(messages), size):
        partition.fold(messages[start : start + size])
        found += outbox_rows(partition.commit(), config, 7)
    return found


def of_kind(found: list[OutboxRow], kind: str) -> list[OutboxRow]:
    """The rows of one kind."""
    return [row for row in found if row.kind == kind]


def test_drifts_and_alerts_do_not_depend_on_commits() -> None:
    """Drift records and alerts are rows of their own, with the same ids and bytes for any cut into commits."""
    whole, cut = rows(), rows(97)
    for kind in ("drift", "alert"):
        assert of_kind(whole, kind) == of_kind(cut, kind)
        assert of_kind(whole, kind)
    ids = [row.id for row in of_kind(whole, "drift")]
    assert len(set(ids)) == len(ids)


def test_alerts_go_where_they_are_wanted() -> None:
    """One alert for each notification and endpoint that wants its status and severity; none for silent records."""
    found = rows()
    records = [msgspec.json.decode(row.body) for row in of_kind(found, "drift")]
    told = [record for record in records if record["notification"]]
    assert len(told) < len(records)
    pages = [record["id"] for record in told if record["severity"] == "page" and record["status"] == "drift"]
    sent = {name: [r.id for r in of_kind(found, "alert") if r.destination == f"webhook:{name}"] for name in HOOKS}
    assert sent == {"all": [record["id"] for record in told], "pages": pages}
    assert pages
    payload = msgspec.json.decode(of_kind(found, "alert")[0].body)
    assert (payload["type"], payload["data"]) == ("incident.opened", told[0])


def test_packs_come_apart_again() -> None:
    """Predictions and dead letters are one row a commit; as messages they are single, keyed and named again."""
    found = rows()
    (pack,), (letters,) = of_kind(found, "predictions"), of_kind(found, "dead_letters")
    messages = messages_of(StoredRow(1, pack, 0))
    assert [msgspec.json.decode(message.value or b"")["id"] for message in messages] == [
        f"p{n}" for n in range(99, 800, 100)
    ]
    assert {message.key for message in messages} == {MONITOR.encode()}
    assert len({dict(message.headers)["id"] for message in messages}) == len(messages)
    (letter,) = messages_of(StoredRow(2, letters, 0))
    assert msgspec.json.decode(letter.value or b"")["reason"] == "not_json"


def test_summary_and_view_agree() -> None:
    """What `replay` prints and what the page shows are read off the same state."""
    config = configured(learners={"one": BAYES})
    result = replay(events(), config).summary
    folded = fold(events(), config)
    view: dict[str, Any] = monitor_view(folded.monitor, MonitorHistory(), folded.hashes[MONITOR])
    printed = result["monitors"][MONITOR]
    assert (result["events"], result["rejected"]) == (1_601, {"not_json": 1})
    assert printed["state_sha256"] == view["state_sha256"]
    assert {k: printed[k] for k in ("predictions", "labels", "joined", "pending")} == {
        k: view["counts"][k] for k in ("predictions", "labels", "joined", "pending")
    }
    assert printed["producer"]["accuracy"] == view["producer"][""]["accuracy"]
    assert printed["learners"]["champion"]["accuracy"] == view["learners"]["one"]["accuracy"]
    assert {record["id"] for record in printed["drifts"]} >= {record["id"] for record in view["open"]}
    msgspec.json.encode([result, view])


def test_charts_are_bounded() -> None:
    """However often a monitor is sampled, no chart has more than 600 points, and the newest is among them."""
    folded = fold([])
    history = MonitorHistory()
    for n in range(1_500):
        folded.partition.fold([RawMessage("t", 0, n, prediction(f"p{n}", n))])
        history.sample(folded.monitor, {})
    points = history.series()["pending"]
    assert 300 <= len(points) <= 600
    assert points[-1][0] >= 1_497
