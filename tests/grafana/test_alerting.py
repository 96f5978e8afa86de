"""A rule that fires reaches the person it is meant for, through a real Prometheus and a real Alertmanager."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.grafana.exporter import Receiver, exporter
from tests.grafana.programs import PROMETHEUS_FOLDER, ROOT, alertmanager, free_port, prometheus, wait_until

__all__: list[str] = []

pytestmark = [pytest.mark.integration]

ALERTMANAGER = ROOT / "grafana" / "alertmanager" / "alertmanager.yml"
DRIFTING = b"""\
# TYPE anchorwatch_ready gauge
anchorwatch_ready 1
# TYPE anchorwatch_open_episodes gauge
anchorwatch_open_episodes{monitor="shop",kind="performance",severity="page"} 1
anchorwatch_open_episodes{monitor="shop",kind="concept",severity="page"} 1
anchorwatch_open_episodes{monitor="shop",kind="data",severity="ticket"} 2
anchorwatch_open_episodes{monitor="shop",kind="data",severity="note"} 0
"""


def _hurried_rules() -> str:
    """The shipped rules, evaluated at once: waiting for minutes would show nothing more."""
    text = (PROMETHEUS_FOLDER / "rules.yml").read_text("utf-8")
    return re.sub(r"\binterval: \w+", "interval: 1s", re.sub(r"\bfor: \w+", "for: 1s", text))


def _prometheus_config(target: int, alertmanager_address: str) -> str:
    """The shipped configuration, pointed at this test's ports and hurried."""
    config = yaml.safe_load((PROMETHEUS_FOLDER / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{target}"]
    host = alertmanager_address.removeprefix("http://")
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [host]
    return str(yaml.safe_dump(config))


def _alertmanager_config(receiver: int) -> str:
    """The shipped routes, each receiver a path of this test's server."""
    config: dict[str, Any] = yaml.safe_load(ALERTMANAGER.read_text("utf-8"))
    for one in config["receivers"]:
        one["webhook_configs"] = [{"url": f"http://127.0.0.1:{receiver}/{one['name']}"}]
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    return str(yaml.safe_dump(config))


@pytest.fixture
def received(tmp_path: Path) -> Iterator[tuple[Receiver, str]]:
    """A receiver and an Alertmanager that notifies it."""
    receiver = Receiver()
    with receiver.served() as port, alertmanager(tmp_path, _alertmanager_config(port)) as address:
        yield receiver, address


def test_a_dead_service_pages(received: tuple[Receiver, str], tmp_path: Path) -> None:
    """When nothing answers at the service's address, the pager hears AnchorwatchDown, with what to do."""
    receiver, address = received
    with prometheus(tmp_path, _prometheus_config(free_port(), address), _hurried_rules()):
        wait_until(lambda: "AnchorwatchDown" in receiver.alerts("/page"), "the page", 60)
    alert = receiver.alerts("/page")["AnchorwatchDown"]
    assert alert["labels"]["severity"] == "page"
    assert alert["annotations"]["runbook"] == "docs/operations.md#anchorwatchdown"


def test_drift_goes_where_its_severity_says(received: tuple[Receiver, str], tmp_path: Path) -> None:
    """An open performance episode pages, data drift alone is a ticket, and neither goes to the other."""
    receiver, address = received
    with (
        exporter(lambda: DRIFTING) as target,
        prometheus(tmp_path, _prometheus_config(target, address), _hurried_rules()),
    ):
        wait_until(lambda: len(receiver.alerts("/page")) == 2 and bool(receiver.alerts("/ticket")), "all three", 60)
    assert receiver.alerts("/page")["AnchorwatchPerformanceDrift"]["labels"]["monitor"] == "shop"
    assert set(receiver.alerts("/page")) == {"AnchorwatchPerformanceDrift", "AnchorwatchDriftPage"}
    assert set(receiver.alerts("/ticket")) == {"AnchorwatchDriftTicket"}
