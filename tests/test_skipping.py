"""Where nothing may be skipped, a skip is a failure; elsewhere it is a skip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

__all__: list[str] = []

ROOT = Path(__file__).parents[1]
SKIPPING = """
import pytest

def test_without_its_program():
    pytest.skip("no broker here")

@pytest.mark.skipif(True, reason="no browser here")
def test_marked():
    pass

@pytest.mark.xfail(strict=True, reason="known")
def test_expected_to_fail():
    assert False
"""


@pytest.mark.parametrize(
    ("no_skip", "code", "line"), [("", 0, "2 skipped, 1 xfailed"), ("1", 1, "1 failed, 1 xfailed, 1 error")]
)
def test_skips_fail_where_nothing_may_be_skipped(tmp_path: Path, no_skip: str, code: int, line: str) -> None:
    """`ANCHORWATCH_NO_SKIP=1` turns both kinds of skip into failures that name the reason, and leaves xfail alone."""
    (tmp_path / "test_skipping_sample.py").write_text(SKIPPING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest", str(tmp_path)]
    environment = {**os.environ, "ANCHORWATCH_NO_SKIP": no_skip}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == code, result.stdout
    assert line in result.stdout
    assert ("no broker here" in result.stdout) == (no_skip == "1")
