"""What is installed is what is locked and what is in the repository, and setting up asks for little."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

__all__: list[str] = []

ROOT = Path(__file__).parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES = ("stream", "detectors", "learners", "service")
LOCKS = ("requirements.lock", "requirements-dev.lock")

each_lock = pytest.mark.parametrize("lock", LOCKS)


def _pins(lock: str) -> dict[tuple[str, str], str]:
    """The requirements of a lock file: (name, marker) to version, each followed by its hashes."""
    logical = (ROOT / lock).read_text("utf-8").replace("\\\n", " ")
    pins = {}
    for line in filter(None, logical.splitlines()):
        name, _, rest = line.partition("==")
        version = re.split(r"[ ;]", rest, maxsplit=1)[0]
        marker = rest.partition(";")[2].partition("--hash")[0].strip()
        assert "--hash=sha256:" in rest, f"{lock}: {name} has no hash"
        pins[re.sub(r"\[.*\]", "", name), marker] = version
    return pins


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", requirement, maxsplit=1)[0] for requirement in requirements}


@each_lock
def test_every_requirement_is_locked_by_hash(lock: str) -> None:
    """Each dependency of the project stands in the lock with a hash, and the build back end too."""
    locked = {name for name, _ in _pins(lock)}
    wanted = _names(PYPROJECT["project"]["dependencies"]) | {"setuptools"}
    if lock == "requirements-dev.lock":
        wanted |= _names(PYPROJECT["project"]["optional-dependencies"]["dev"])
    assert wanted <= locked


@each_lock
def test_locks_name_no_place(lock: str) -> None:
    """A lock holds names, versions and hashes: no index, no address, no path."""
    text = (ROOT / lock).read_text("utf-8")
    assert "://" not in text
    assert not re.search(r"^(-i|--index|--find-links|-e|file:|/)", text, re.MULTILINE)


def test_tests_run_on_what_is_shipped() -> None:
    """The development lock holds every requirement of the runtime lock in the same version."""
    development = _pins("requirements-dev.lock")
    assert {
        pin: version for pin, version in _pins("requirements.lock").items() if development.get(pin) != version
    } == {}


def test_tests_are_no_runtime_requirement() -> None:
    """What only tests need is not installed with the service."""
    runtime = {name for name, _ in _pins("requirements.lock")}
    assert not runtime & {"pytest", "dcor", "hypothesis", "mypy", "ruff", "testcontainers"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in the wheel that a copy of the tree builds, without an index."""
    tree = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "."]
    subprocess.run([*command, "--wheel-dir", str(tree / "dist")], cwd=tree, check=True, capture_output=True)
    (built,) = (tree / "dist").glob("anchorwatch-*.whl")
    return zipfile.ZipFile(built).namelist()


def test_wheel_holds_every_module_and_asset(wheel: list[str]) -> None:
    """The installed package has each module, page asset and sample of the repository, and no tests."""
    tracked = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert tracked - set(wheel) == set()
    assert [name for name in wheel if name.startswith(("tests", "tools", "benchmarks"))] == []


def _make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


def test_bare_make_lists_every_target() -> None:
    """Each target that a person may call stands in the list with a line of its own, and nothing runs."""
    phony = set(re.findall(r"^\.PHONY: (\S+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    listed = {line.split()[0]: line.split(maxsplit=1)[1] for line in _make().stdout.splitlines()}
    assert set(listed) == phony
    assert {"run", "test", "test-fast", "check", "fix", "bench", "docs", "lock", "clean"} <= phony


def test_run_installs_the_runtime_lock_only() -> None:
    """Showing the demo installs by hash what the service needs, and nothing that only tests need."""
    plan = _make("--dry-run", "run", "VENV=no-such-environment").stdout
    assert "--require-hashes -r requirements.lock" in plan
    assert "requirements-dev.lock" not in plan
    assert plan.rstrip().splitlines()[-1].startswith("no-such-environment/bin/anchorwatch demo")


def _program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def bare_machine(tmp_path: Path) -> dict[str, str]:
    """A PATH like a fresh Debian's: a Python without ensurepip, apt-get and id that only write down what was asked."""
    log = tmp_path / "asked"
    real = sys.executable
    _program(
        tmp_path, "python3", f'case "$*" in *ensurepip*) exit 1;; "-m venv"*) echo "$@" >>{log};; *) {real} "$@";; esac'
    )
    _program(tmp_path, "apt-get", f'echo "apt-get $*" >>{log}')
    _program(tmp_path, "sudo", "exit 1")
    _program(tmp_path, "id", 'echo "${FAKE_UID:-0}"')
    return {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(log)}


def _make_venv(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    script = [str(ROOT / "tools" / "make_venv.sh"), "somewhere"]
    return subprocess.run(script, env=environment, capture_output=True, text=True, check=False)


def test_root_gets_the_venv_module_installed(bare_machine: dict[str, str]) -> None:
    """On a fresh Debian, as root, the missing venv package is installed and the environment made."""
    assert _make_venv(bare_machine).returncode == 0
    asked = Path(bare_machine["LOG"]).read_text().splitlines()
    assert asked[0].startswith("apt-get update")
    assert re.search(r"apt-get install .*python3\.\d+-venv$", asked[1])
    assert asked[-1] == "-m venv somewhere"


def test_others_are_told_what_to_install(bare_machine: dict[str, str]) -> None:
    """Without root and without sudo the script stops with the sentence that helps, and installs nothing."""
    result = _make_venv({**bare_machine, "FAKE_UID": "1000"})
    assert result.returncode == 1
    assert "apt-get install python3-venv" in result.stderr
    assert not Path(bare_machine["LOG"]).exists()


def test_old_python_is_refused_by_name(bare_machine: dict[str, str]) -> None:
    """A Python that is too old is named with the version that is needed."""
    folder = Path(bare_machine["LOG"]).parent
    _program(folder, "python3", 'case "$*" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    result = _make_venv(bare_machine)
    assert result.returncode == 1
    assert "Python 3.9.2 is too old: Python 3.11" in result.stderr
