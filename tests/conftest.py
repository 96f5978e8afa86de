"""What holds for every test: where a missing program is a failure.

With `ANCHORWATCH_NO_SKIP=1` (CI) a skipped test fails, so that a forgotten install step cannot hide behind green.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest

__all__: list[str] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Turn a skip into a failure where nothing may be skipped."""
    report = yield
    if os.environ.get("ANCHORWATCH_NO_SKIP") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped where nothing may be skipped: {reason}"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what tests recorded of themselves (`record_property`), whichever worker they ran on."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in getattr(report, "user_properties", []):
                terminalreporter.write_line(f"{name}: {value}")
