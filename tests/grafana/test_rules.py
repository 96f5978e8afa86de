"""The rules are right by promtool's own judgement, and each alert is shown firing and staying quiet."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.grafana.programs import PROMETHEUS_FOLDER, ROOT, program

__all__: list[str] = []

RULES: dict[str, Any] = yaml.safe_load((PROMETHEUS_FOLDER / "rules.yml").read_text("utf-8"))
TESTS: dict[str, Any] = yaml.safe_load((PROMETHEUS_FOLDER / "rules_test.yml").read_text("utf-8"))
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule}
CASES = [case for test in TESTS["tests"] for case in test.get("alert_rule_test", [])]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program(command[0]), *command[1:]], cwd=PROMETHEUS_FOLDER, capture_output=True, text=True, check=False
    )


def test_rules_and_their_tests_pass() -> None:
    """`promtool test rules` finds each alert firing when it should, with its labels and words, and not else."""
    result = _run("promtool", "test", "rules", "rules_test.yml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_configurations_are_valid() -> None:
    """Prometheus and Alertmanager take the shipped files as they are."""
    alertmanager = ROOT / "grafana" / "alertmanager" / "alertmanager.yml"
    for command in (("promtool", "check", "config", "prometheus.yml"), ("amtool", "check-config", str(alertmanager))):
        result = _run(*command)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_is_shown_firing(name: str) -> None:
    """Each alert has a case in which it fires, with labels and annotations written out."""
    assert [case for case in CASES if case["alertname"] == name and case["exp_alerts"]] != []


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_has_its_quiet_case(name: str) -> None:
    """Each alert has a case of silence: an earlier moment, or series beside that must not fire."""
    for test in TESTS["tests"]:
        cases = [case for case in test.get("alert_rule_test", []) if case["alertname"] == name]
        fired = max((len(case["exp_alerts"]) for case in cases), default=0)
        if any(not case["exp_alerts"] for case in cases) or (cases and fired < _subjects(test)):
            return
    raise AssertionError(f"{name}: no test shows it quiet")


def _subjects(test: dict[str, Any]) -> int:
    """How many different things (monitors, jobs, receivers, …) the series of a test speak of."""
    return len({frozenset(re.findall(r'\w+="[^"]*"', s["series"])) for s in test["input_series"]})


@pytest.mark.parametrize("change", ["for: 1m", "> 0.01", "> 0.9", "< 0.5", '{severity="ticket"}', "[15m])) == 0"])
def test_a_changed_rule_fails_its_test(change: str, tmp_path: Any) -> None:
    """The tests hold the rules: a changed wait, limit or selection is noticed."""
    other = {
        "for: 1m": "for: 4m",
        "> 0.01": "> 0.03",
        "> 0.9": "> 0.999",
        "< 0.5": "< 0.01",
        '{severity="ticket"}': "{}",
        "[15m])) == 0": "[15m])) == 1",
    }[change]
    text = (PROMETHEUS_FOLDER / "rules.yml").read_text("utf-8")
    assert change in text
    (tmp_path / "rules.yml").write_text(text.replace(change, other))
    (tmp_path / "rules_test.yml").write_text((PROMETHEUS_FOLDER / "rules_test.yml").read_text("utf-8"))
    assert _run("promtool", "test", "rules", str(tmp_path / "rules_test.yml")).returncode != 0
