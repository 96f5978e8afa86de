"""The service runs where it may write nothing but its data folder and numba's cache, without root."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grafana.programs import free_port

__all__: list[str] = []

ROOT = Path(__file__).parents[1]
PACKAGES = ("stream", "detectors", "learners", "service")
START = "import sys; from service.cli import main; sys.exit(main(sys.argv[1:]))"
# Compiling every kernel anew, on a loaded machine.
COLD_START_S = 240.0
CONFIG = """
[monitors.shop]
task = "classification"
[monitors.shop.features.amount]
type = "numeric"
"""

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def _unprivileged() -> list[str]:
    """What to put before a command so that the modes of files bind it: another user, or root without capabilities."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is not installed")
    bare = [setpriv, "--bounding-set=-all", "--inh-caps=-all"]
    nobody = [*bare, "--reuid=65534", "--regid=65534", "--clear-groups"]
    # Python starts for anybody; its packages are out of reach where a folder above them is closed to others.
    reaches = subprocess.run([*nobody, sys.executable, "-c", "import numpy"], capture_output=True, check=False)
    return nobody if reaches.returncode == 0 else bare


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that another user can reach, which pytest's own are not; made writable again to be removed."""
    folder = Path(tempfile.mkdtemp(prefix="anchorwatch-readonly-"))
    folder.chmod(0o755)
    yield folder
    for path in (folder, *(p for p in folder.rglob("*") if p.is_dir() and not p.is_symlink())):
        path.chmod(0o755)
    shutil.rmtree(folder)


def _read_only_copy(folder: Path) -> Path:
    tree = folder / "tree"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "home").mkdir()
    for path in (tree, *tree.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return tree


def _writable(folder: Path) -> Path:
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def _wait_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + COLD_START_S
    answer = (0, "")
    while time.monotonic() < deadline:
        assert process.poll() is None, f"ended with {process.returncode}: {log.read_text()[-3000:]}"
        answer = _get(f"{address}/readyz")
        if answer[0] == 200:
            return
        time.sleep(0.2)
    raise AssertionError(f"not ready: {answer}; {log.read_text()[-3000:]}")


def test_service_runs_on_a_read_only_tree(place: Path) -> None:
    """With packages and home read-only, as an unprivileged user, it starts, takes an event, writes nowhere else."""
    tree = _read_only_copy(place)
    data, cache, log = _writable(place / "data"), _writable(place / "cache"), place / "log"
    (place / "anchorwatch.toml").write_text(CONFIG)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tree / "home"),
        "PYTHONPATH": str(tree),
        "NUMBA_CACHE_DIR": str(cache),
    }
    serve = ["serve", "--config", str(place / "anchorwatch.toml"), "--data-dir", str(data), "--port", str(port)]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*_unprivileged(), sys.executable, "-c", START, *serve],
            cwd=tree,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            _wait_ready(process, address, log)
            assert _get(f"{address}/healthz")[0] == 200
            assert _get(f"{address}/")[0] == 200
            _post_event(address)
        finally:
            process.terminate()
            code = process.wait(60)
    assert code == 0, log.read_text()[-3000:]
    assert list(tree.rglob("__pycache__")) == []
    assert list((tree / "home").iterdir()) == []
    assert any(path.suffix == ".nbi" for path in cache.rglob("*")), "the kernels' cache went elsewhere"
    assert any(data.iterdir())
    assert not stat.S_IMODE((tree / "service").stat().st_mode) & stat.S_IWUSR


def _post_event(address: str) -> None:
    event = {"type": "prediction", "id": "a", "monitor": "shop", "time": 1_700_000_000_000, "features": {"amount": 1.5}}
    request = urllib.request.Request(
        f"{address}/v1/events", data=json.dumps(event).encode(), headers={"Content-Type": "application/x-ndjson"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert 200 <= answer.status < 300
