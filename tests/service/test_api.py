"""What the HTTP API lets read, and the frame around every answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.api import create_app
from tests.service.api_client import Client, problem
from tests.service.api_port import DRIFTS, FakePort

ASSETS = Path(__file__).parents[2] / "service" / "assets"


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
        "/v1/monitors/{monitor}/versions", "/v1/monitors/{monitor}/versions/compare",
        "/v1/monitors/{monitor}/versions/{version}", "/v1/monitors/{monitor}/versions/{version}/download",
        "/v1/monitors/{monitor}/promote", "/v1/monitors/{monitor}/roll_back", "/v1/audit",
    }  # fmt: skip
    assert all(operation["summary"] for methods in paths.values() for operation in methods.values())
    posts = {path: methods["post"] for path, methods in paths.items() if "post" in methods}
    assert {path for path, post in posts.items() if "requestBody" not in post} == {"/v1/monitors/{monitor}/roll_back"}


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
