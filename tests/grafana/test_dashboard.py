"""The dashboard and the rules ask only for what is exported, and say what they show."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from service.metrics import AnchorwatchCollector
from tests.grafana.programs import PROMETHEUS_FOLDER, ROOT

__all__: list[str] = []

DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
# From prometheus_client's own collector of the process, which the service registers beside its own.
PROCESS = {"process_resident_memory_bytes"}
_SUFFIX = {"counter": "_total", "info": "_info"}

each_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


class _Nothing:
    """A service that has not begun: every family is declared, none has a series."""

    def view(self) -> Mapping[str, Any]:
        return {}

    def ready(self) -> tuple[bool, Mapping[str, str]]:
        return False, {}

    def ingest(self) -> _Nothing:
        return self

    def counts(self) -> Mapping[str, int]:
        return {}

    def webhook_status(self) -> Mapping[str, Any]:
        return {}


def _exported() -> set[str]:
    port: Any = _Nothing()
    return {family.name + _SUFFIX.get(family.type, "") for family in AnchorwatchCollector(port).collect()}


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS_FOLDER / "rules.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _names(expression: str) -> set[str]:
    bare = re.sub(r'"[^"]*"', '""', expression)
    return set(re.findall(r"\b(?:anchorwatch|process)[_:][\w:]*", bare))


def _panels(path: Any) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["panels"]
    return [panel for panel in panels if panel["type"] != "row"]


def _expressions() -> Iterator[tuple[str, str]]:
    for path in DASHBOARDS:
        for panel in _panels(path):
            yield from ((panel["title"], target["expr"]) for target in panel["targets"])
        for variable in json.loads(path.read_text("utf-8"))["templating"]["list"]:
            yield variable["name"], str(variable.get("definition", ""))
    for rule in _rules():
        yield str(rule.get("alert", rule.get("record"))), str(rule["expr"])


@pytest.mark.parametrize(("where", "expression"), sorted(set(_expressions())))
def test_every_metric_asked_for_is_exported(where: str, expression: str) -> None:
    """A panel, a variable or a rule names only metrics that the service exports or that a rule records."""
    known = _exported() | PROCESS | {rule["record"] for rule in _rules() if "record" in rule}
    assert _names(expression) - known == set(), where


@each_dashboard
def test_every_panel_says_what_it_shows(path: Any) -> None:
    """Each panel has a title, a description, a unit and a query with a legend or a table."""
    for panel in _panels(path):
        assert panel["title"]
        assert len(panel["description"]) > 30, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["type"] == "table" or all(target["legendFormat"] for target in panel["targets"]), panel["title"]


@each_dashboard
def test_panels_do_not_overlap(path: Any) -> None:
    """No two panels cover the same place, none leaves the grid, no two share an id."""
    panels = json.loads(path.read_text("utf-8"))["panels"]
    covered: set[tuple[int, int]] = set()
    for panel in panels:
        box = panel["gridPos"]
        cells = {(x, y) for x in range(box["x"], box["x"] + box["w"]) for y in range(box["y"], box["y"] + box["h"])}
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & covered, panel["title"]
        covered |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


@each_dashboard
def test_dashboard_is_no_machines(path: Any) -> None:
    """The data source is a variable, so that the file works in any Grafana; every query follows the monitor chosen."""
    text = path.read_text("utf-8")
    assert set(re.findall(r'"uid": "([^"]+)"', text)) == {"${datasource}", "anchorwatch"}
    for panel in _panels(path):
        for target in panel["targets"]:
            assert "monitor" not in target["legendFormat"] or "$monitor" in target["expr"], panel["title"]


def test_the_questions_are_answered() -> None:
    """The dashboard shows the verdict, models side by side, detectors, labels, intake, commits and the outbox."""
    shown = {name for _, expression in _expressions() for name in _names(expression)}
    wanted = {
        "anchorwatch_monitor_verdict",
        "anchorwatch_model_accuracy_ratio",
        "anchorwatch_detector_statistic",
        "anchorwatch_detector_threshold",
        "anchorwatch_open_episodes",
        "anchorwatch_label_coverage_ratio",
        "anchorwatch_rejects_total",
        "anchorwatch_partition_lag_events",
        "anchorwatch_commit_last_duration_seconds",
        "anchorwatch_outbox_unsent",
    }
    assert wanted <= shown
