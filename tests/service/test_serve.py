"""A served process from outside: every path, control events, SIGTERM and restart, and the same state as a replay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.config import load
from tests.kills.harness import fold_cleanly
from tests.kills.stream import CONFIGURATION, MONITOR
from tests.service.served import Served, drifting_events

__all__: list[str] = []

pytestmark = pytest.mark.integration

PREDICTIONS = 2_600
FIRST_N = 2_000
FEATURES = {"a": 0.4, "b": -0.1, "c": 0.0, "d": 0.2, "kind": "x"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """One served life: events and controls, SIGTERM, restart, more events and a recorded prediction, SIGTERM."""
    service = Served(tmp_path_factory.mktemp("served"), CONFIGURATION)
    events = drifting_events(PREDICTIONS)
    seen: dict[str, Any] = {"service": service}
    try:
        service.start()
        seen["before"] = service.post(f"/v1/monitors/{MONITOR}/predict", {"features": FEATURES})
        service.send(events[:FIRST_N])
        seen["controls"] = [
            service.post(f"/v1/monitors/{MONITOR}/control", {"action": action, "parameters": parameters})
            for action, parameters in (
                ("accept_reference", {}),
                ("promote", {"learner": "bag"}),
                ("planned_change", {"reason": "release"}),
            )
        ]
        seen["first"] = service.settle(FIRST_N + 3)
        seen["first_exit"] = service.stop()
        service.start()
        seen["restarted"] = service.settle(FIRST_N + 3)
        service.send(events[FIRST_N:])
        total = len(events) + 3
        service.settle(total)
        asked = {"features": FEATURES, "id": "asked-1", "time": 1_760_000_000_000 + PREDICTIONS * 1000}
        seen["unrecorded"] = service.post(f"/v1/monitors/{MONITOR}/predict", {"features": FEATURES})
        seen["recorded"] = service.post(f"/v1/monitors/{MONITOR}/predict?record=true", asked)
        seen["last"] = service.settle(total + 1)
        seen["drifts"] = service.get("/v1/drifts?limit=1000")
        seen["paths"] = ask_every_path(service)
        seen["second_exit"] = service.stop()
        yield seen
    finally:
        service.close()


def ask_every_path(service: Served) -> dict[str, int]:
    """The status of every path that the OpenAPI document names, of the page and of its files."""
    drifts = service.get("/v1/drifts?limit=1")["drifts"] if service.ask("/v1/drifts")[0] == 200 else []
    paths: dict[str, int] = {}
    for path, methods in service.get("/openapi.json")["paths"].items():
        # A roll-back needs no body to be one: asked of a monitor that is not there, it changes nothing.
        known = path.replace("{monitor}", "nobody" if path.endswith("/roll_back") else MONITOR)
        known = known.replace("{drift_id}", drifts[0]["id"] if drifts else "none").replace("{version}", "champion")
        known += "?a=1&b=champion" if path.endswith("/compare") else ""
        for method in methods:
            paths[f"{method} {path}"] = service.ask(known, b"{}" if method == "post" else None)[0]
    for path in ("/", "/docs", "/metrics", "/healthz", "/readyz", "/nowhere", "/v1/monitors/nobody"):
        paths[path] = service.ask(path)[0]
    return paths


def test_sigterm_ends_it_with_exit_code_0(run: dict[str, Any]) -> None:
    """SIGTERM drains, commits and ends the process with 0, the first time and after a restart."""
    assert (run["first_exit"], run["second_exit"]) == (0, 0)


def test_a_restart_goes_on_from_the_committed_state(run: dict[str, Any]) -> None:
    """After the restart the view has the state and the counts of before, without any new event."""
    for part in ("state_sha256", "counts", "rejected", "open", "event"):
        assert run["restarted"][part] == run["first"][part], part


def test_the_served_state_is_that_of_a_replay_of_the_log(run: dict[str, Any]) -> None:
    """Served in pieces over a restart, with controls and a recorded prediction: the log folded at once gives the same
    state and the same drift records."""
    service: Served = run["service"]
    clean = fold_cleanly(load(service.configuration, {}), service.folder, 1_733)
    assert run["last"]["state_sha256"] == clean.state_sha256
    assert run["last"]["counts"]["predictions"] == clean.predictions == PREDICTIONS + 1
    expected = [json.loads(body)["id"] for _, kind, _, body in clean.rows if kind == "drift"]
    assert len(expected) >= 3
    # The newest first, those of before the restart included.
    assert [record["id"] for record in run["drifts"]["drifts"]] == expected[::-1]


def test_controls_are_acknowledged_and_take_effect(run: dict[str, Any]) -> None:
    """Each control event is answered by 202 with its place; the promoted learner is champion after a restart too."""
    assert [status for status, _ in run["controls"]] == [202, 202, 202]
    assert [answer["offset"] for _, answer in run["controls"]] == [FIRST_N, FIRST_N + 1, FIRST_N + 2]
    assert run["first"]["learners"]["bag"]["role"] == "champion"
    assert run["restarted"]["learners"]["bag"]["role"] == "champion"


def test_every_path_answers(run: dict[str, Any]) -> None:
    """No path of the OpenAPI document answers with a fault of the service; reading ones with 200, unknown with 404."""
    paths: dict[str, int] = run["paths"]
    assert len(paths) >= 15, paths
    assert {path: status for path, status in paths.items() if status >= 500 or status == 0} == {}
    assert {path: status for path, status in paths.items() if path.startswith("get ") and status != 200} == {}
    assert (paths["/"], paths["/docs"], paths["/readyz"], paths["/metrics"]) == (200, 200, 200, 200)
    assert (paths["/nowhere"], paths["/v1/monitors/nobody"]) == (404, 404)


def test_predict_answers_once_there_is_a_champion(run: dict[str, Any]) -> None:
    """Without a champion 503 that says so; with one a class and scores; record=true appends the event."""
    status, problem = run["before"]
    assert status == 503
    assert "champion" in problem["detail"]
    (status, answer), (recorded_status, recorded) = run["unrecorded"], run["recorded"]
    assert (status, recorded_status) == (200, 200)
    assert answer["prediction"] in ("yes", "no")
    assert answer["model_version"].startswith("champion:")
    assert recorded["event"]["status"] == "accepted"
    assert {k: v for k, v in recorded.items() if k != "event"} == answer
    assert run["last"]["model_version"] == recorded["model_version"]


def test_the_page_is_there_before_the_kernels(tmp_path: Path) -> None:
    """With nothing compiled yet the page answers all the same, and /readyz says that kernels are being compiled."""
    service = Served(tmp_path, CONFIGURATION)
    try:
        service.start(NUMBA_CACHE_DIR=str(tmp_path / "nothing-compiled"))
        status, content = service.ask("/readyz")
        assert status == 503
        assert "compil" in json.loads(content)["parts"]["kernels"], content
    finally:
        service.close()


def test_serving_nothing_is_refused(tmp_path: Path) -> None:
    """A start without any monitor is refused with exit code 2 before anything is opened."""
    lonely = Served(tmp_path, "[http]\nport = 8000\n")
    with pytest.raises(AssertionError, match="no monitor is configured"):
        lonely.start()
    assert lonely.process is not None
    assert lonely.process.returncode == 2
    assert not (tmp_path / "data").exists()
