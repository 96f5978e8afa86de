"""The registry and the audit trail over HTTP: what is listed, compared, downloaded, appended, and refused."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from service.api import create_app
from service.config import parse
from stream.errors import StoreUnavailableError
from stream.store import AuditRow, AuditVerdict
from tests.service.api_client import Client, problem
from tests.service.api_port import CONFIG, FakePort

__all__: list[str] = []

ALIASES = {"champion": 4, "challenger": 3}


def version(number: int, learner: str, reason: str, **more: Any) -> dict[str, Any]:
    """A row of the registry."""
    data = snapshot(number)
    row = {
        "monitor": "fraud", "version": number, "learner": learner, "reason": reason, "parent": None, "generation": 0,
        "champion": "tree", "event": 1_000 * number, "time_ms": 7, "estimator": "anchorwatch.HoeffdingTree",
        "parameters": {"grace_period": 200}, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data),
        "learned": {"labels": 900 * number, "first_event": 0, "last_event": 999, "first_ms": 1, "last_ms": 6},
        "metrics": {"n": 900 * number, "accuracy": 0.5 + number / 10, "window": {"n": 500, "accuracy": None}},
        "blob": "kept",
    }  # fmt: skip
    return row | more


def snapshot(number: int) -> bytes:
    """The bytes of a version."""
    return b"snapshot %d" % number


VERSIONS = [
    version(4, "tree", "promoted", parent=2),
    version(3, "bayes", "started", parameters={}),
    version(2, "tree", "started"),
    version(1, "tree", "started", blob="evicted"),
]


@pytest.fixture
def port() -> FakePort:
    """A port with four versions of two learners, and a short trail."""
    port = FakePort()
    config = dict(CONFIG)
    learner = {"estimator": "anchorwatch.HoeffdingTree"}
    fraud = config["monitors"]["fraud"] | {"learners": {"tree": learner, "bayes": learner}}
    port._config = parse(config | {"monitors": config["monitors"] | {"fraud": fraud}})
    port.current["monitors"]["fraud"]["learners"] = {
        "tree": {"role": "champion"}, "bayes": {"role": "challenger"}, "majority": {"role": "baseline"},
    }  # fmt: skip
    port.current["versions"] = {"fraud": {"aliases": ALIASES, "versions": VERSIONS}}
    rows = [AuditRow(0, seq, {"action": "promote", "n": seq}, "0" * 64, f"{seq:064x}") for seq in (3, 2, 1)]
    port.current["audit"] = {"0": rows, "1": [AuditRow(1, 2, {"action": "tick"}, "0" * 64, "f" * 64)], "2": []}
    port.snapshots = {row["sha256"]: snapshot(row["version"]) for row in VERSIONS if row["version"] != 3}
    return port


@pytest.fixture
def client(port: FakePort) -> Iterator[Client]:
    """A client of the application over the port."""
    client = Client(create_app(port))
    yield client
    client.close()


def appended(port: FakePort) -> list[dict[str, Any]]:
    """Control events that were written."""
    return [json.loads(value) for _, value in port.log.written]


def test_versions_are_listed_newest_first(client: Client) -> None:
    """With the aliases, which stand at their versions too; pages follow `next`."""
    body = client.get("/v1/monitors/fraud/versions").json()
    assert [(v["version"], v["aliases"]) for v in body["versions"]] == [
        (4, ["champion"]), (3, ["challenger"]), (2, []), (1, []),
    ]  # fmt: skip
    assert (body["aliases"], body["next"]) == (ALIASES, None)
    page = client.get("/v1/monitors/fraud/versions?limit=3").json()
    assert page["next"] == 2
    rest = client.get(f"/v1/monitors/fraud/versions?limit=3&before={page['next']}").json()
    assert ([v["version"] for v in rest["versions"]], rest["next"]) == ([1], None)


def test_a_monitor_without_versions_has_an_empty_list(client: Client) -> None:
    """Waiting is no error; an unknown monitor is."""
    body = client.get("/v1/monitors/quiet/versions").json()
    assert (body["versions"], body["aliases"]) == ([], {})
    problem(client.get("/v1/monitors/nobody/versions"), 404, "unknown_monitor")


@pytest.mark.parametrize(("reference", "number"), [("3", 3), ("challenger", 3), ("champion", 4)])
def test_one_version_by_number_or_alias(client: Client, reference: str, number: int) -> None:
    """The whole row."""
    body = client.get(f"/v1/monitors/fraud/versions/{reference}").json()
    assert body["version"] == number
    assert body["learned"]["labels"] == 900 * number


def test_an_unknown_version_names_those_that_exist(client: Client) -> None:
    """404 with numbers and aliases."""
    body = problem(client.get("/v1/monitors/fraud/versions/77"), 404, "unknown_version")
    assert "4, 3, 2, 1" in body["what_to_do"]
    assert "champion" in body["what_to_do"]
    problem(client.get("/v1/monitors/quiet/versions/champion"), 404, "unknown_version")


def test_compare_puts_two_versions_side_by_side(client: Client) -> None:
    """What differs in parameters, figures and range, numbers with their difference; equal values are left out."""
    body = client.get("/v1/monitors/fraud/versions/compare?a=2&b=challenger").json()
    assert (body["a"]["version"], body["b"]["version"], body["same_snapshot"]) == (2, 3, False)
    differences = body["differences"]
    assert differences["parameters"] == {"grace_period": {"a": 200, "b": None}}
    assert differences["learned"]["labels"] == {"a": 1_800, "b": 2_700, "difference": 900}
    assert differences["metrics"]["accuracy"]["difference"] == pytest.approx(0.1)
    assert "window" not in differences["metrics"]
    problem(client.get("/v1/monitors/fraud/versions/compare?a=2"), 400, "bad_parameter")


def test_download(client: Client) -> None:
    """The bytes, with their hash in two headers, a name, and nothing a browser would run."""
    reply = client.get("/v1/monitors/fraud/versions/2/download")
    assert (reply.status_code, reply.content) == (200, b"snapshot 2")
    digest = hashlib.sha256(b"snapshot 2")
    assert reply.headers["x-content-sha256"] == digest.hexdigest()
    assert reply.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-disposition"] == 'attachment; filename="tree-v2.snapshot"'
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("number", "name"), [(1, "snapshot_evicted"), (3, "snapshot_unavailable")])
def test_a_snapshot_that_is_gone_is_told(client: Client, number: int, name: str) -> None:
    """410 for one that is no longer kept and one whose file is missing or damaged, for download and restoration."""
    problem(client.get(f"/v1/monitors/fraud/versions/{number}/download"), 410, name)
    asked = {"version": number, "restore": True}
    problem(client.post("/v1/monitors/fraud/promote", json=asked), 410, name)


@pytest.mark.parametrize("asked", [{"learner": "bayes"}, {"version": 3}, {"version": "challenger"}])
def test_a_learner_or_its_newest_version_is_promoted_as_it_is(
    client: Client, port: FakePort, asked: dict[str, Any]
) -> None:
    """A plain `promote` event; its place in the log is the answer."""
    reply = client.post("/v1/monitors/fraud/promote", json=asked)
    assert reply.status_code == 202
    body = reply.json()
    assert (body["action"], body["learner"], body["partition"], body["offset"]) == ("promote", "bayes", 3, 0)
    (event,) = appended(port)
    assert (event["type"], event["action"], event["parameters"]) == ("control", "promote", {"learner": "bayes"})


@pytest.mark.parametrize("asked", [{"version": 2}, {"version": 4, "restore": True}])
def test_an_old_version_travels_in_its_event(client: Client, port: FakePort, asked: dict[str, Any]) -> None:
    """A `restore` event carries the snapshot, its hash and its range, since the fold may read nothing from outside."""
    reply = client.post("/v1/monitors/fraud/promote", json=asked)
    assert (reply.status_code, reply.json()["action"]) == (202, "restore")
    (event,) = appended(port)
    parameters = event["parameters"]
    data = base64.b64decode(parameters["snapshot"])
    assert data == snapshot(asked["version"])
    assert parameters["sha256"] == hashlib.sha256(data).hexdigest()
    assert (parameters["learner"], parameters["version"], parameters["promote"]) == ("tree", asked["version"], False)
    assert parameters["learned"]["labels"] == 900 * asked["version"]


def test_a_restored_challenger_is_promoted_in_the_same_event(client: Client, port: FakePort) -> None:
    """Whoever restores a version of a learner that is not champion wants that version to serve."""
    port.snapshots[VERSIONS[1]["sha256"]] = snapshot(3)
    client.post("/v1/monitors/fraud/promote", json={"version": 3, "restore": True})
    assert appended(port)[0]["parameters"]["promote"] is True


def test_a_snapshot_that_no_event_can_carry_is_refused(client: Client, port: FakePort) -> None:
    """413 with both sizes and the key that decides; nothing is written."""
    port.snapshots[VERSIONS[2]["sha256"]] = b"x" * 800_000
    body = problem(client.post("/v1/monitors/fraud/promote", json={"version": 2}), 413, "snapshot_too_large")
    assert "800000" in body["detail"]
    assert "dead_letters.max_bytes" in body["what_to_do"]
    assert appended(port) == []


def test_what_an_event_can_carry_is_accepted_by_the_log(client: Client, port: FakePort) -> None:
    """The largest snapshot that is not refused really fits into an event."""
    data = b"\xff" * ((1_000_000 - 4_096) // 4 * 3)
    row = version(2, "tree", "started", sha256=hashlib.sha256(data).hexdigest())
    port.current["versions"]["fraud"]["versions"] = [VERSIONS[0], row]
    port.snapshots[row["sha256"]] = data
    assert client.post("/v1/monitors/fraud/promote", json={"version": 2}).status_code == 202
    assert len(port.log.written[0][1]) <= port.config().dead_letters.max_bytes


@pytest.mark.parametrize(
    ("asked", "status", "name"),
    [
        ({}, 422, "bad_body"),
        ({"version": 2, "learner": "tree"}, 422, "bad_body"),
        ({"learner": "bayes", "restore": True}, 422, "bad_body"),
        ({"learner": "forest"}, 422, "unknown_learner"),
        ({"learner": "tree"}, 409, "champion_already"),
        ({"version": 4}, 409, "champion_already"),
        ({"version": 99}, 404, "unknown_version"),
        ({"version": 2.5}, 422, "bad_body"),
        ({"version": 2, "now": True}, 422, "bad_body"),
    ],
)
def test_a_promotion_that_cannot_be_is_refused(
    client: Client, port: FakePort, asked: dict[str, Any], status: int, name: str
) -> None:
    """With the reason, and nothing is written."""
    problem(client.post("/v1/monitors/fraud/promote", json=asked), status, name)
    assert appended(port) == []


def test_roll_back(client: Client, port: FakePort) -> None:
    """A plain `roll_back` event, with or without a body."""
    assert client.post("/v1/monitors/fraud/roll_back").status_code == 202
    assert client.post("/v1/monitors/fraud/roll_back", json={}).status_code == 202
    assert [(event["action"], event["parameters"]) for event in appended(port)] == [("roll_back", {})] * 2
    problem(client.post("/v1/monitors/nobody/roll_back"), 404, "unknown_monitor")


def test_the_trail_is_shown_with_its_hashes(client: Client) -> None:
    """Newest first, with the head of each partition; nothing is claimed to be verified that was not."""
    body = client.get("/v1/audit").json()
    assert [(row["partition"], row["seq"]) for row in body["entries"]] == [(0, 3), (0, 2), (1, 2), (0, 1)]
    assert body["entries"][0]["entry"] == {"action": "promote", "n": 3}
    assert body["heads"]["0"] == {"seq": 3, "sha256": f"{3:064x}"}
    assert body["heads"]["2"] is None
    assert body["verified"] is None
    assert len(client.get("/v1/audit?limit=2").json()["entries"]) == 2
    assert {row["partition"] for row in client.get("/v1/audit?partition=1").json()["entries"]} == {1}


def test_a_forged_entry_is_named(client: Client, port: FakePort) -> None:
    """A full check says whether all is well, and where it is not; a check of nothing is not well, and a worker that
    cannot answer is a 503."""
    assert client.get("/v1/audit?verify=true").json()["verified"]["ok"] is True
    port.verdicts.append(AuditVerdict(1, 9, "cd" * 32, 7, "entry 7 was edited"))
    verified = client.get("/v1/audit?verify=true").json()["verified"]
    assert verified["ok"] is False
    assert (verified["partitions"][1]["broken_seq"], verified["partitions"][1]["detail"]) == (7, "entry 7 was edited")
    port.verdicts.clear()
    assert client.get("/v1/audit?verify=true").json()["verified"] == {"ok": False, "partitions": []}
    port.trouble = StoreUnavailableError("disk full")
    problem(client.get("/v1/audit?verify=true"), 503, "not_verified")
