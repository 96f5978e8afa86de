"""Every query of the dashboard and every recorded rule has data, from the running service through a real Prometheus."""

from __future__ import annotations

import json
import math
import random
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
import yaml

from tests.grafana.programs import PROMETHEUS_FOLDER, ROOT, free_port, prometheus, query, running, wait_until

__all__: list[str] = []

pytestmark = [pytest.mark.integration, pytest.mark.slow]

START = "import sys; from service.cli import main; sys.exit(main(sys.argv[1:]))"
# A first start compiles the kernels, on a loaded machine.
COLD_START_S = 240.0
PREDICTIONS = 1_500
SHIFT_AT = 900
CONFIG = """
[monitors.shop]
champion = "tree"
metrics_window = 200
[monitors.shop.reference]
n = 300
window = 300
[monitors.shop.labels]
age = "60s"
[monitors.shop.features.amount]
type = "numeric"
[monitors.shop.features.country]
type = "categorical"
[monitors.shop.learners.tree]
estimator = "river.tree.HoeffdingTreeClassifier"
"""


def _events() -> list[dict[str, Any]]:
    """Predictions each followed by its label; in the middle amounts move far and the model's answers go wrong."""
    draw = random.Random(1)
    events: list[dict[str, Any]] = []
    for number in range(PREDICTIONS):
        time_ms = 1_700_000_000_000 + number * 1_000
        truth = draw.random() < 0.5
        drifted = number >= SHIFT_AT
        right = draw.random() < (0.5 if drifted else 0.9)
        events.append({
            "type": "prediction", "id": f"e{number}", "monitor": "shop", "time": time_ms,
            "features": {"amount": draw.gauss(2.0 * truth + 9.0 * drifted, 1.0), "country": draw.choice(["FR", "NL"])},
            "prediction": "bad" if truth is right else "good", "model_version": "7",
        })  # fmt: skip
        label = "bad" if truth else "good"
        events.append({"type": "label", "id": f"e{number}", "monitor": "shop", "time": time_ms + 500, "label": label})
    return events


def _post(address: str, events: list[dict[str, Any]]) -> None:
    body = "\n".join(json.dumps(event) for event in events).encode()
    request = urllib.request.Request(
        f"{address}/v1/events", data=body, headers={"Content-Type": "application/x-ndjson"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert 200 <= answer.status < 300


def _has_data(address: str, expression: str) -> bool:
    return query(address, expression) != []


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus that has scraped a service which saw a drift."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "anchorwatch.toml").write_text(CONFIG)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    serve = ["serve", "--config", str(folder / "anchorwatch.toml"), "--data-dir", str(folder / "data")]
    config = yaml.safe_load((PROMETHEUS_FOLDER / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{port}"]
    del config["alerting"]
    rules = (PROMETHEUS_FOLDER / "rules.yml").read_text("utf-8").replace("interval: 15s", "interval: 1s")
    command = [sys.executable, "-c", START, *serve, "--port", str(port)]
    with ExitStack() as stack:
        stack.enter_context(running(command, folder / "serve.log", f"{address}/readyz", within_s=COLD_START_S))
        events = _events()
        _post(address, [*events[:1000], {"type": "no such type", "monitor": "shop"}])
        scraper = stack.enter_context(prometheus(folder, yaml.safe_dump(config), rules))
        wait_until(lambda: bool(query(scraper, "anchorwatch_predictions_total > 0")), "the first scrape", 60)
        _post(address, events[1000:])
        everything = f"anchorwatch_events_total == {len(events) + 1}"
        wait_until(lambda: bool(query(scraper, everything)), "the last scrape", 60)
        # A rate needs two samples, and a rule that builds on another comes one evaluation later.
        for rule in ("anchorwatch:label_coverage:ratio1h", "anchorwatch:rejects:ratio5m"):
            wait_until(partial(_has_data, scraper, rule), rule, 60)
        yield scraper


def _queries() -> list[tuple[str, str]]:
    dashboard = json.loads((ROOT / "grafana" / "dashboards" / "anchorwatch.json").read_text("utf-8"))
    panels = [
        (f"{panel['title']} {target['refId']}", target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]
    groups = yaml.safe_load((PROMETHEUS_FOLDER / "rules.yml").read_text("utf-8"))["groups"]
    return panels + [(r["record"], r["record"]) for group in groups for r in group["rules"] if "record" in r]


@pytest.mark.parametrize(("title", "expression"), _queries())
def test_query_returns_data(asked: str, title: str, expression: str) -> None:
    """The query, with Grafana's variables filled in, has at least one sample and no sample that is no number."""
    filled = expression.replace("$monitor", ".+").replace("$__rate_interval", "1m")
    samples = query(asked, filled)
    assert samples != [], f"{title}: {filled}"
    assert all(math.isfinite(float(sample["value"][1])) for sample in samples)


def test_the_monitor_variable_has_its_values(asked: str) -> None:
    """Grafana's list of monitors holds the one that is there."""
    assert {sample["metric"]["monitor"] for sample in query(asked, "anchorwatch_monitor_phase")} == {"shop"}


def test_the_planted_drift_is_seen(asked: str) -> None:
    """The drift of the stream stands in the metrics: open episodes, drift records, a statistic over its threshold."""
    assert query(asked, 'anchorwatch_open_episodes{monitor="shop"} > 0') != []
    assert query(asked, "sum(anchorwatch_drift_records_total) > 0") != []
    assert query(asked, "sum(anchorwatch_rejects_total) == 1") != []
