"""The HTTP API over a service of plain data, and over a real server for bodies that are slow, chunked or huge."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from service.api import create_app
from service.api_body import MAX_ITEMS, BodyReader
from service.api_problems import ProblemError
from stream.events import CONTROL_ACTIONS
from tests.service.api_port import DRIFTS, FakePort

NDJSON = {"content-type": "application/x-ndjson"}
JSON = {"content-type": "application/json"}
ASSETS = Path(__file__).parents[2] / "service" / "assets"


class Client:
    """A blocking client of an application; its faults are answers, not exceptions."""

    def __init__(self, app: FastAPI) -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://anchorwatch.test")
        self._runner = asyncio.Runner()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send and wait."""
        return self._runner.run(self._client.request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", path, **options)

    def close(self) -> None:
        """Close client and loop."""
        self._runner.run(self._client.aclose())
        self._runner.close()


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


def prediction(n: int, **more: Any) -> bytes:
    """A valid event."""
    event = {"type": "prediction", "id": f"tx-{n}", "monitor": "fraud", "time": "2026-03-01T10:00:00Z"}
    return json.dumps(event | {"features": {"amount": n, "country": "FR"}} | more).encode()


def problem(reply: Any, status: int, name: str) -> dict[str, Any]:
    """The problem of `reply`, whose form is checked."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = reply.json()
    assert body["type"] == f"urn:anchorwatch:problem:{name}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["what_to_do"]
    return body


# --- reading ------------------------------------------------------------------------------------------------------


def test_monitors_come_without_series_and_with_the_service(client: Client) -> None:
    """The list is light: every monitor by name, no series, the service's own figures beside."""
    body = client.get("/v1/monitors").json()
    assert list(body["monitors"]) == ["fraud", "churn", "fares", "quiet"]
    assert "series" not in body["monitors"]["fraud"]
    assert body["monitors"]["fraud"]["verdict"]["answer"] == "no"
    assert body["service"]["events_total"] == 12_345


def test_one_monitor_comes_whole(client: Client) -> None:
    """With its series and the hash of its state; what is not finite is null."""
    body = client.get("/v1/monitors/fraud").json()
    assert body["state_sha256"] == "ab" * 32
    assert body["series"] == {"accuracy:producer": [[100, 0.9], [200, 0.8], [300, None]]}


def test_a_configured_monitor_without_events_is_waiting(client: Client) -> None:
    """It exists by configuration, so it is no 404."""
    body = client.get("/v1/monitors/quiet").json()
    assert (body["phase"], body["verdict"]["answer"], body["series"]) == ("waiting", "cannot_tell", {})


@pytest.mark.parametrize(
    "path", ["/v1/monitors/nobody", "/v1/series/nobody", "/v1/drifts?monitor=nobody", "/v1/rejects?monitor=nobody"]
)
def test_an_unknown_monitor_is_a_404_that_names_the_known_ones(client: Client, path: str) -> None:
    """Everywhere a monitor is named."""
    assert "churn, fares, fraud, quiet" in problem(client.get(path), 404, "unknown_monitor")["what_to_do"]


def test_series_can_be_asked_for_by_name_and_from_an_event_on(client: Client) -> None:
    """Only what is asked for comes."""
    reply = client.get("/v1/series/fraud", params={"name": "accuracy:producer", "since": 100})
    assert reply.json() == {"monitor": "fraud", "series": {"accuracy:producer": [[200, 0.8], [300, None]]}}
    problem(client.get("/v1/series/fraud?name=x"), 404, "unknown_series")


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["d5", "d4", "d3", "d2", "d1", "d0"]),
        ("monitor=churn", ["d1", "d0"]),
        ("status=resolved", ["d3", "d1"]),
        ("kind=concept", ["d5", "d4"]),
        ("monitor=fraud&kind=data&status=drift", ["d2"]),
        ("limit=2", ["d5", "d4"]),
        ("before=d3", ["d2", "d1", "d0"]),
        ("before=d5&limit=1&kind=data", ["d3"]),
        ("kind=quality", []),
    ],
)
def test_drifts_are_filtered(client: Client, query: str, ids: list[str]) -> None:
    """Newest first; filters combine."""
    assert [d["id"] for d in client.get(f"/v1/drifts?{query}").json()["drifts"]] == ids


def test_pages_of_drifts_join_without_gap_or_repeat(client: Client) -> None:
    """Following `next` gives every record once."""
    found, before = [], None
    for _ in range(10):
        page = client.get("/v1/drifts", params={"limit": 2} | ({"before": before} if before else {})).json()
        found += page["drifts"]
        before = page["next"]
        if before is None:
            break
    assert found == DRIFTS


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("status=open", "bad_parameter"),
        ("kind=drift", "bad_parameter"),
        ("limit=0", "bad_parameter"),
        ("limit=1001", "bad_parameter"),
        ("limit=x", "bad_parameter"),
        ("before=gone", "unknown_cursor"),
    ],
)
def test_a_wrong_filter_is_a_problem(client: Client, query: str, name: str) -> None:
    """Instead of an empty list that looks like good news."""
    problem(client.get(f"/v1/drifts?{query}"), 400, name)


def test_a_drift_is_found_by_its_id_and_by_its_episode(client: Client) -> None:
    """With its episode's records, oldest first."""
    body = client.get("/v1/drifts/d2").json()
    assert body["drift"]["id"] == "d2"
    assert [d["id"] for d in body["history"]] == ["d2", "d3"]
    assert client.get("/v1/drifts/e1").json()["drift"]["id"] == "d3"
    problem(client.get("/v1/drifts/nothing"), 404, "unknown_drift")


def test_rejects_come_with_counts_by_reason(client: Client) -> None:
    """And filtered by monitor and reason."""
    body = client.get("/v1/rejects").json()
    assert body["by_reason"] == {"not_json": 7, "wrong_type": 3}
    assert len(body["rejects"]) == 3
    assert [r["offset"] for r in client.get("/v1/rejects?monitor=churn").json()["rejects"]] == [2]
    assert [r["offset"] for r in client.get("/v1/rejects?reason=wrong_type&limit=1").json()["rejects"]] == [1]


def test_alerts_come_with_the_state_of_their_endpoints(client: Client) -> None:
    """And filtered by status."""
    body = client.get("/v1/alerts?status=done&limit=1").json()
    assert [a["id"] for a in body["alerts"]] == ["a1"]
    assert body["next"] == "a1"
    assert [a["id"] for a in client.get("/v1/alerts?before=a1").json()["alerts"]] == ["a2"]
    assert body["endpoints"]["ops"]["retrying"] == 2


def test_the_schema_of_events_is_published(client: Client) -> None:
    """The JSON Schema that the wire contract is made of."""
    from stream.contract import event_schema

    assert client.get("/v1/schema").json() == event_schema()


def test_metrics_come_as_text_and_as_openmetrics(client: Client) -> None:
    """By the Accept header, with the process's own figures."""
    text = client.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    assert 'anchorwatch_predictions_total{monitor="fraud"} 5000.0' in text.text
    assert "process_resident_memory_bytes" in text.text
    other = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert other.headers["content-type"].startswith("application/openmetrics-text")
    assert other.text.endswith("# EOF\n")


def test_health_and_readiness_differ(client: Client, port: FakePort) -> None:
    """Alive is alive; ready needs every part, and says in words which one is not."""
    assert client.get("/readyz").json() == {"ready": True, "parts": {"store": "ok", "broker": "ok"}}
    port.parts["broker"] = "no answer from localhost:9092 for 12 s"
    body = problem(client.get("/readyz"), 503, "not_ready")
    assert body["detail"] == "broker: no answer from localhost:9092 for 12 s"
    assert (body["ready"], body["parts"]["store"]) == (False, "ok")
    assert client.get("/healthz").status_code == 200


def test_before_the_first_commit_everything_answers(client: Client, port: FakePort) -> None:
    """An empty view is no fault."""
    port.current = {}
    for path in ("/v1/monitors", "/v1/monitors/fraud", "/v1/drifts", "/v1/rejects", "/v1/alerts", "/metrics"):
        assert client.get(path).status_code == 200, path


# --- events -------------------------------------------------------------------------------------------------------


def test_lines_an_array_and_one_object_are_the_same_events(client: Client, port: FakePort) -> None:
    """NDJSON, JSON array and JSON object are cut into the very bytes that were sent."""
    one, two = prediction(1), prediction(2)
    assert client.post("/v1/events", content=one + b"\n\r\n" + two + b"\n", headers=NDJSON).json()["accepted"] == 2
    assert client.post("/v1/events", content=b" [" + one + b" , " + two + b"]", headers=JSON).json()["duplicates"] == 2
    assert client.post("/v1/events", content=b" " + one + b"\n", headers=JSON).json()["duplicates"] == 1
    assert port.log.written == [("fraud", one), ("fraud", two)]


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


# --- predict and control ------------------------------------------------------------------------------------------


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
@pytest.mark.parametrize("content", [b"", b"{", b"NaN", b'{"action":', b"\xff\xfe", b"{} {}"])
def test_a_body_that_is_no_json_is_a_problem(client: Client, path: str, content: bytes) -> None:
    """Cut off, not a number, not UTF-8, or more than one."""
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
    body = problem(client.post("/v1/monitors/fraud/predict", json={"features": {"amount": "x"}}), 422, "bad_features")
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


# --- the frame ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/monitors", "/v1/nothing", "/metrics", "/readyz", "/openapi.json"])
def test_every_answer_is_safe_to_show(client: Client, path: str) -> None:
    """Content security policy, no sniffing, no framing, no permission for other origins; errors too."""
    reply = client.get(path, headers={"origin": "https://elsewhere.example"})
    assert "default-src 'self'" in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
    assert not any(name.startswith("access-control-") for name in reply.headers)


def test_a_preflight_of_another_origin_is_refused(client: Client) -> None:
    """No CORS by default."""
    headers = {"origin": "https://elsewhere.example", "access-control-request-method": "POST"}
    reply = client.request("OPTIONS", "/v1/events", headers=headers)
    assert reply.status_code == 405
    assert "access-control-allow-origin" not in reply.headers


def test_unknown_paths_and_methods_are_problems(client: Client) -> None:
    """404 and 405 with the way to the documentation."""
    assert "/docs" in problem(client.get("/v2/x"), 404, "not_found")["what_to_do"]
    problem(client.request("DELETE", "/v1/monitors"), 405, "method_not_allowed")


def test_a_fault_of_the_service_shows_no_inside(client: Client, port: FakePort) -> None:
    """500 as a problem, without the exception's text, with the safe headers."""
    port.trouble = RuntimeError("secret-canary")
    reply = client.post("/v1/monitors/fraud/predict", json={"features": {}})
    problem(reply, 500, "internal")
    assert "canary" not in reply.text
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_openapi_names_every_path_and_its_body(client: Client) -> None:
    """What `/docs` draws: every path of the API with a summary, and the bodies of those that take one."""
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        "/v1/monitors", "/v1/monitors/{monitor}", "/v1/series/{monitor}", "/v1/drifts", "/v1/drifts/{drift_id}",
        "/v1/rejects", "/v1/alerts", "/v1/schema", "/v1/events", "/v1/monitors/{monitor}/predict",
        "/v1/monitors/{monitor}/control", "/metrics", "/healthz", "/readyz",
    }  # fmt: skip
    assert all(operation["summary"] for methods in paths.values() for operation in methods.values())
    assert all("requestBody" in methods["post"] for methods in paths.values() if "post" in methods)


@pytest.mark.parametrize("page", ["/", "/docs"])
def test_pages_need_nothing_from_elsewhere(client: Client, page: str) -> None:
    """Pages are served, with every asset they name, and none of them names another host or holds inline code."""
    html = client.get(page).text
    assert not re.search(r"https?://|<script>|<style|\sstyle=|\son\w+=", html)
    named = re.findall(r'(?:src|href)="(assets/[^"]+)"', html)
    assert named
    for asset in named:
        reply = client.get(f"/{asset}")
        assert reply.status_code == 200, asset
        assert reply.headers["cache-control"] == "no-cache"
    assert "https://" not in (ASSETS / "docs.js").read_text("utf-8")


@pytest.mark.parametrize(
    "path", ["/assets/../api.py", "/assets/%2e%2e/api.py", "/assets/..%2fapi.py", "/assets//etc/passwd"]
)
def test_assets_hold_nothing_else(client: Client, path: str) -> None:
    """No way out of the folder."""
    assert client.get(path).status_code == 404


# --- a real server ------------------------------------------------------------------------------------------------


@pytest.fixture
def address(port: FakePort) -> Iterator[tuple[str, int]]:
    """The application on a real uvicorn; bodies have half a second of grace."""
    config = uvicorn.Config(create_app(port, body_grace_s=0.5), host="127.0.0.1", port=0, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    host, number = server.servers[0].sockets[0].getsockname()
    yield host, number
    server.should_exit = True
    thread.join(10)


HEAD = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"


def read_all(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    found = b""
    while chunk := connection.recv(65_536):
        found += chunk
    return found


def test_a_chunked_body_without_length_is_taken(address: tuple[str, int], port: FakePort) -> None:
    """Chunks may cut events anywhere."""
    body = prediction(1) + b"\n" + prediction(2)
    with socket.create_connection(address, 5) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for start in range(0, len(body), 50):
            part = body[start : start + 50]
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        connection.sendall(b"0\r\n\r\n")
        assert b'"accepted":2' in read_all(connection)
    assert len(port.log.written) == 2


def test_a_chunked_body_without_end_is_cut_off_at_the_limit(address: tuple[str, int], port: FakePort) -> None:
    """413 as soon as the limit is passed, and the connection closes: memory stays flat."""
    chunk = b"%x\r\n%s\r\n" % (65_536, b"x" * 65_536)
    sent = 0
    with socket.create_connection(address, 5) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        with suppress(OSError):  # reset or broken pipe, by the timing
            while sent < 100_000_000:
                connection.sendall(chunk)
                sent += 65_536
    assert sent < 20_000_000
    assert port.log.written == []


def test_an_announced_length_beyond_the_limit_is_refused_before_the_body(address: tuple[str, int]) -> None:
    """413 without waiting for a byte of it."""
    with socket.create_connection(address, 5) as connection:
        connection.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        reply = read_all(connection)
    assert reply.startswith(b"HTTP/1.1 413")
    assert b"max_body_bytes" in reply


@pytest.mark.parametrize("drip", [b"", b"x"])
def test_a_body_that_does_not_come_is_given_up(address: tuple[str, int], drip: bytes) -> None:
    """408 after the grace, whether nothing comes or a byte now and then."""
    began = time.monotonic()
    with socket.create_connection(address, 5) as connection:
        connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n")
        reader = threading.Thread(target=_drip, args=(connection, drip), daemon=True)
        reader.start()
        reply = read_all(connection)
        reader.join()
    assert reply.startswith(b"HTTP/1.1 408")
    assert 0.3 < time.monotonic() - began < 3.0


def _drip(connection: socket.socket, drip: bytes) -> None:
    for _ in range(8):
        time.sleep(0.1)
        try:
            connection.sendall(drip)
        except OSError:
            return


def test_all_bodies_together_are_bounded(address: tuple[str, int]) -> None:
    """Many half-sent bodies at once: beyond four times the limit the next ones get 429 and are told when to return."""
    half = b"x" * 190_000
    connections = [socket.create_connection(address, 5) for _ in range(8)]
    replies = []
    for connection in connections:
        connection.sendall(HEAD + b"Content-Length: 199999\r\n\r\n" + half)
    for connection in connections:
        with connection:
            replies.append(read_all(connection))
    statuses = sorted(reply[9:12] for reply in replies)
    assert set(statuses) == {b"408", b"429"}
    assert statuses.count(b"408") <= 4
    assert all(b"retry-after: 1" in reply.lower() for reply in replies if reply[9:12] == b"429")


def test_bytes_held_are_given_back() -> None:
    """After a body has been used, or refused, or broken off, it no longer counts."""
    reader = BodyReader(1_000)

    class Body:
        def __init__(self, chunks: list[bytes]) -> None:
            self.headers: dict[str, str] = {}
            self._chunks = chunks

        async def stream(self) -> Any:
            for chunk in self._chunks:
                yield chunk

    async def use(chunks: list[bytes]) -> None:
        async with reader.body(Body(chunks)):  # type: ignore[arg-type]  # as much of a request as is read
            pass

    async def many() -> None:
        for _ in range(20):
            await use([b"x" * 900])
            with pytest.raises(ProblemError):
                await use([b"x" * 900, b"x" * 900])

    asyncio.run(many())
