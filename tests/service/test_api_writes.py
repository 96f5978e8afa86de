"""What the HTTP API takes: events, questions to the champion, control events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from service.api import create_app
from service.api_body import MAX_ITEMS
from stream.codec import Decoder
from stream.events import CONTROL_ACTIONS, RawMessage
from tests.service.api_client import JSON, NDJSON, Client, prediction, problem
from tests.service.api_port import FakePort


@pytest.fixture
def port() -> FakePort:
    """A service of plain data."""
    return FakePort()


@pytest.fixture
def client(port: FakePort) -> Iterator[Client]:
    """A client of the application."""
    client = Client(create_app(port))
    yield client
    client.close()


def test_lines_an_array_and_one_object_are_the_same_events(client: Client, port: FakePort) -> None:
    """NDJSON, JSON array and JSON object are cut into the very bytes that were sent."""
    one, two = prediction(1), prediction(2)
    assert client.post("/v1/events", content=one + b"\n\r\n" + two + b"\n", headers=NDJSON).json()["accepted"] == 2
    assert client.post("/v1/events", content=b" [" + one + b" , " + two + b"]", headers=JSON).json()["duplicates"] == 2
    assert client.post("/v1/events", content=b" " + one + b"\n", headers=JSON).json()["duplicates"] == 1
    assert port.log.written == [("fraud", one), ("fraud", two)]


def test_cloudevents_are_taken_in_structured_mode(client: Client, port: FakePort) -> None:
    """One, or a batch; the event inside is what counts."""
    inner = json.loads(prediction(1))
    cloud = {"specversion": "1.0", "id": "ce-1", "source": "/shop", "type": "anchorwatch.prediction", "data": inner}
    one = client.post("/v1/events", content=json.dumps(cloud), headers={"content-type": "application/cloudevents+json"})
    assert one.json()["items"][0]["id"] == "tx-1"
    batch = {"content-type": "application/cloudevents-batch+json; charset=utf-8"}
    assert client.post("/v1/events", content=json.dumps([cloud]), headers=batch).json()["duplicates"] == 1


def test_each_item_gets_its_verdict(client: Client, port: FakePort) -> None:
    """In order, with place, reason and sentence; a refused item fails no other one."""
    reply = client.post("/v1/events", content=b"\n".join([prediction(1), b"{oops", prediction(1)]), headers=NDJSON)
    assert reply.status_code == 200
    body = reply.json()
    assert (body["accepted"], body["duplicates"], body["rejected"]) == (1, 1, 1)
    assert [i["status"] for i in body["items"]] == ["accepted", "rejected", "duplicate"]
    assert body["items"][0] == {
        "id": "tx-1", "status": "accepted", "reason": None, "detail": None, "partition": 3, "offset": 0,
    }  # fmt: skip
    assert body["items"][1]["reason"] == "not_json"
    assert [value for _, value in port.log.written] == [prediction(1), b"{oops"]


def test_a_log_that_cannot_be_written_is_a_503_to_be_repeated(client: Client, port: FakePort) -> None:
    """Nothing is acknowledged; the answer says when to try again, and the repeat is taken."""
    port.log.down = True
    reply = client.post("/v1/events", content=prediction(1), headers=NDJSON)
    problem(reply, 503, "log_unavailable")
    assert reply.headers["retry-after"] == "5"
    port.log.down = False
    assert client.post("/v1/events", content=prediction(1), headers=NDJSON).json()["accepted"] == 1


@pytest.mark.parametrize(
    ("content", "headers", "status", "name"),
    [
        (b"{}", {"content-type": "text/plain"}, 415, "content_type"),
        (b"{}", {"content-type": "application/x-www-form-urlencoded"}, 415, "content_type"),
        (b"{}", {}, 415, "content_type"),
        (b"{}", NDJSON | {"content-encoding": "gzip"}, 415, "compressed"),
        (b"", NDJSON, 400, "no_items"),
        (b"\n \n", NDJSON, 400, "no_items"),
        (b"[]", JSON, 400, "no_items"),
        (b'[{"a":1},]', JSON, 400, "not_json"),
        (b'[{"a":1}', JSON, 400, "not_json"),
        (b"[{}] []", JSON, 400, "not_json"),
        (b"[NaN]", JSON, 400, "not_json"),
        (b"[" * 150_000, JSON, 400, "not_json"),
        (b"[" * 90_000 + b"]" * 90_000, JSON, 400, "not_json"),
        (b"x" * 200_001, NDJSON, 413, "body_too_large"),
        (b"1\n" * (MAX_ITEMS + 1), NDJSON, 413, "too_many_items"),
    ],
)
def test_a_body_that_cannot_be_cut_is_refused_whole(
    client: Client, port: FakePort, content: bytes, headers: dict[str, str], status: int, name: str
) -> None:
    """Nothing of it is written, and the answer says what to send instead."""
    problem(client.post("/v1/events", content=content, headers=headers), status, name)
    assert port.log.written == []


def test_fragments_of_bad_items_do_not_forge_a_good_one(client: Client, port: FakePort) -> None:
    """Two broken lines that would join to a valid event stay two refused items."""
    whole = prediction(1)
    reply = client.post("/v1/events", content=whole[:40] + b"\n" + whole[40:], headers=NDJSON)
    assert (reply.json()["accepted"], reply.json()["rejected"]) == (0, 2)


def test_a_deep_item_is_refused_alone(client: Client) -> None:
    """Nesting 100,000 deep in one line leaves its neighbours accepted."""
    deep = b'{"a":' * 30_000 + b"1" + b"}" * 30_000
    body = client.post("/v1/events", content=b"\n".join([prediction(1), deep, prediction(2)]), headers=NDJSON).json()
    assert [i["status"] for i in body["items"]] == ["accepted", "rejected", "accepted"]


def test_predict_answers_and_writes_nothing(client: Client, port: FakePort) -> None:
    """Without `record` the champion's answer comes and the log stays as it is."""
    reply = client.post("/v1/monitors/fraud/predict", json={"features": {"amount": 3, "country": None}})
    assert reply.json() == {
        "monitor": "fraud", "prediction": "ok", "scores": {"ok": 0.75, "fraud": 0.25}, "model_version": "hoeffding@7",
    }  # fmt: skip
    assert port.asked == [("fraud", {"amount": 3, "country": None})]
    assert port.log.written == []


def test_predict_with_record_writes_the_answer_as_an_event(client: Client, port: FakePort) -> None:
    """The event carries this very answer and version, and its place comes back."""
    asked = {"id": "tx-9", "features": {"amount": 3, "country": "FR"}, "segment": {"channel": "web"}}
    before = time.time_ns() // 1_000_000
    body = client.post("/v1/monitors/fraud/predict?record=true", json=asked).json()
    assert (body["event"]["status"], body["event"]["id"], body["event"]["partition"]) == ("accepted", "tx-9", 3)
    ((key, value),) = port.log.written
    event = json.loads(value)
    assert key == "fraud"
    assert before <= event.pop("time") <= time.time_ns() // 1_000_000
    assert event == asked | {
        "type": "prediction", "monitor": "fraud", "prediction": "ok", "scores": {"ok": 0.75, "fraud": 0.25},
        "model_version": "hoeffding@7",
    }  # fmt: skip
    assert Decoder(port.config().schemas()).decode([RawMessage("events", 0, 0, value)]).rejects == []


def test_predict_keeps_the_given_time(client: Client, port: FakePort) -> None:
    """The event's time is the caller's where it is given."""
    asked = {"id": 7, "time": "2026-03-01T10:00:00Z", "features": {}}
    assert client.post("/v1/monitors/fraud/predict?record=true", json=asked).status_code == 200
    assert json.loads(port.log.written[0][1])["time"] == "2026-03-01T10:00:00Z"


@pytest.mark.parametrize(
    ("path", "body", "status", "name"),
    [
        ("fraud/predict?record=true", {"features": {}}, 422, "id_needed"),
        ("fraud/predict", {"feature": {}}, 422, "bad_body"),
        ("fraud/predict", {"features": {"amount": [1]}}, 422, "bad_body"),
        ("fraud/predict", [], 422, "bad_body"),
        ("fraud/predict", {"features": {"amount": "much"}}, 422, "wrong_type"),
        ("fraud/predict", {"features": {"country": True}}, 422, "wrong_type"),
        ("fraud/predict", {"features": {}, "time": "2026-03-01T10:00:00"}, 422, "time_without_offset"),
        ("nobody/predict", {"features": {}}, 404, "unknown_monitor"),
        ("churn/predict", {"features": {}}, 503, "no_champion"),
        ("fraud/predict?record=true", {"id": "a", "time": "yesterday", "features": {}}, 422, "bad_time"),
        ("fraud/predict?record=maybe", {"id": "a", "features": {}}, 400, "bad_parameter"),
        ("fraud/control", {"action": "explode"}, 422, "unknown_action"),
        ("fraud/control", {}, 422, "bad_body"),
        ("nobody/control", {"action": "tick"}, 404, "unknown_monitor"),
    ],
)
def test_a_wrong_question_is_a_problem(client: Client, path: str, body: Any, status: int, name: str) -> None:
    """With its own status and name."""
    problem(client.post(f"/v1/monitors/{path}", json=body), status, name)


@pytest.mark.parametrize("path", ["predict", "control"])
@pytest.mark.parametrize("content", [b"", b"{", b"NaN", b"\xff\xfe", b"nul"])
def test_a_body_that_is_no_json_is_a_problem(client: Client, path: str, content: bytes) -> None:
    """Empty, cut off, not a number, not UTF-8."""
    problem(client.post(f"/v1/monitors/fraud/{path}", content=content, headers=JSON), 400, "not_json")


@pytest.mark.parametrize(("depth", "status", "name"), [(30_000, 400, "not_json"), (500, 422, "too_deep")])
def test_a_deep_parameter_is_a_problem(client: Client, *, depth: int, status: int, name: str) -> None:
    """What no parser can hold is no JSON; what the contract forbids is refused by its reason."""
    deep = '{"a":' * depth + "1" + "}" * depth
    content = f'{{"action":"promote","parameters":{deep}}}'
    problem(client.post("/v1/monitors/fraud/control", content=content, headers=JSON), status, name)


def test_features_that_the_champion_refuses_are_the_caller_s_mistake(client: Client, port: FakePort) -> None:
    """A ValueError of the champion is a 422 with its sentence."""
    port.trouble = ValueError("features.amount is text; write a number")
    body = problem(client.post("/v1/monitors/fraud/predict", json={"features": {"amount": 1}}), 422, "bad_features")
    assert body["detail"] == "features.amount is text; write a number"


@pytest.mark.parametrize("action", CONTROL_ACTIONS)
def test_a_control_event_is_appended(client: Client, port: FakePort, action: str) -> None:
    """202 with the place in the log; the event is one that the decoder accepts."""
    reply = client.post("/v1/monitors/fraud/control", json={"action": action, "parameters": {"learner": "x"}})
    assert reply.status_code == 202
    assert reply.json() == {"monitor": "fraud", "action": action, "partition": 3, "offset": 0}
    ((key, value),) = port.log.written
    event = json.loads(value)
    assert key == "fraud"
    assert (event["type"], event["monitor"], event["action"]) == ("control", "fraud", action)
    assert event["parameters"] == {"learner": "x"}


def test_an_unknown_action_names_those_that_exist(client: Client) -> None:
    """All of them."""
    body = problem(client.post("/v1/monitors/fraud/control", json={"action": "x"}), 422, "unknown_action")
    assert all(action in body["what_to_do"] for action in CONTROL_ACTIONS)
