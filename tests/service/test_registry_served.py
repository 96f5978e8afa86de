"""The registry of a served process: versions, files and audit trail over promotions, restorations, kills and forgery,
by the command line as a person uses it."""

from __future__ import annotations

import hashlib
import json
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learners.registry import restore_learner
from service.cli import main
from service.config import load
from stream.sqlite_store import SQLiteStore
from tests.kills.harness import fold_cleanly
from tests.kills.stream import CONFIGURATION, MONITOR
from tests.service.served import Served, drifting_events, wait_for

__all__: list[str] = []

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PREDICTIONS = 2_600


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that has folded a stream with a promotion and replacements, and still runs."""
    service = Served(tmp_path_factory.mktemp("registry"), CONFIGURATION)
    try:
        service.start()
        events = drifting_events(PREDICTIONS)
        service.send(events)
        service.settle(len(events))
        yield service
    finally:
        service.close()


def url(service: Served) -> str:
    """Where it answers."""
    return f"http://127.0.0.1:{service.port}"


def command(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    output = capsys.readouterr()
    return code, output.out, output.err


def listed(service: Served) -> list[dict[str, Any]]:
    """Versions, oldest first."""
    found: list[dict[str, Any]] = service.get(f"/v1/monitors/{MONITOR}/versions?limit=1000")["versions"]
    return found[::-1]


def test_every_version_has_its_snapshot(run: Served) -> None:
    """Started, promoted, retired and replaced learners are listed; each download is the learner of its hash, and the
    folder holds these files and no other."""
    versions = listed(run)
    assert {"started", "promoted", "retired", "replaced"} <= {v["reason"] for v in versions}
    assert [v["version"] for v in versions] == list(range(1, len(versions) + 1))
    for v in versions:
        status, data = run.ask(f"/v1/monitors/{MONITOR}/versions/{v['version']}/download")
        assert status == 200
        assert hashlib.sha256(data).hexdigest() == v["sha256"]
        assert restore_learner(data).task == "classification"
    files = {path.name for path in (run.folder / "data" / "models").iterdir()}
    assert files == {v["sha256"] for v in versions}
    bounds = run.get(f"/v1/monitors/{MONITOR}")["bounds"]
    assert bounds["snapshots"] == {"value": len(versions), "cap": 100}


def test_the_trail_names_every_version(run: Served) -> None:
    """The chain of hashes holds each version with the hash of its snapshot, and a full check finds it whole."""
    trail = run.get("/v1/audit?limit=1000&verify=true")
    assert trail["verified"]["ok"] is True
    assert trail["heads"]["0"]["sha256"] == trail["verified"]["partitions"][0]["head"]
    named = {e["entry"]["version"]: e["entry"]["sha256"] for e in trail["entries"] if e["entry"]["action"] == "version"}
    assert named == {v["version"]: v["sha256"] for v in listed(run)}


def test_the_command_line_reads_a_running_service(
    run: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`list`, `show`, `compare` and `download` give what HTTP gives; a written file is checked and not overwritten."""
    code, out, _ = command(capsys, "models", "list", MONITOR, "--url", url(run))
    assert code == 0
    assert len(out.splitlines()) == len(listed(run)) + 1
    assert "champion" in out
    code, out, _ = command(capsys, "models", "show", MONITOR, "champion", "--url", url(run))
    assert (code, json.loads(out)["learner"]) == (0, "tree")
    code, out, _ = command(capsys, "models", "compare", MONITOR, "1", "2", "--url", url(run))
    assert code == 0
    assert "estimator" in out
    path = tmp_path / "one.snapshot"
    code, out, _ = command(capsys, "models", "download", MONITOR, "1", "-o", path, "--url", url(run))
    assert (code, hashlib.sha256(path.read_bytes()).hexdigest() in out) == (0, True)
    code, _, err = command(capsys, "models", "download", MONITOR, "1", "-o", path, "--url", url(run))
    assert (code, "--force" in err) == (2, True)


def test_promote_restore_and_roll_back_by_command_line(run: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """A promotion, an old version put back and a roll-back take effect in the log's order, are versions and audited;
    the log folded at once gives the same state."""
    before = len(listed(run))
    first = next(v for v in listed(run) if v["learner"] == "bag")
    for arguments in (("--learner", "bag"), (str(first["version"]), "--restore")):
        code, out, _ = command(capsys, "models", "promote", MONITOR, *arguments, "--url", url(run))
        assert code == 0, out
    code, out, _ = command(capsys, "models", "roll-back", MONITOR, "--url", url(run), "--json")
    assert code == 0
    last = json.loads(out)["offset"]
    view = run.settle(last + 1)
    made = [(v["learner"], v["reason"], v["parent"]) for v in listed(run)[before:]]
    assert made[0][:2] == ("bag", "promoted")
    assert ("bag", "restored", first["version"]) in made
    assert made[-1][:2] == ("tree", "rolled_back")
    restored = next(v for v in listed(run) if v["reason"] == "restored")
    assert (restored["sha256"], restored["learned"]) == (first["sha256"], first["learned"])
    assert view["learners"]["tree"]["role"] == "champion"
    code, out, _ = command(capsys, "audit", "--url", url(run), "--verify")
    assert code == 0
    assert "as they were written" in out
    assert run.get("/v1/audit?limit=1")["heads"]["0"]["sha256"] in out


def test_errors_of_the_command_line(run: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What the service refuses, and an address where nobody answers, end with 1 and what to do; wrong usage with 2."""
    address = ("--url", url(run))
    for arguments, code, words in (
        (("show", MONITOR, "999", *address), 1, "no version '999'"),
        (("list", "nobody", *address), 1, "No monitor is named 'nobody'"),
        (("promote", MONITOR, "--learner", "tree", *address), 1, "is the champion"),
        (("list", MONITOR, "--url", "http://127.0.0.1:9"), 1, "--data-dir"),
        (("list", MONITOR, "--url", "127.0.0.1"), 2, "http://"),
        (("list", MONITOR, "--data-dir", str(tmp_path)), 2, "no checkpoints.sqlite"),
        (("list", MONITOR, "--data-dir", str(run.folder / "data")), 1, "--url"),
        (("show", MONITOR), 2, "one version"),
        (("promote", MONITOR, "1", "--learner", "tree", *address), 2, "either"),
        (("roll-back", MONITOR, "--data-dir", str(run.folder / "data")), 2, "running service"),
        (("list", MONITOR, "--limit", "0"), 2, "1 to 1000"),
    ):
        found, out, err = command(capsys, "models", *arguments)
        assert (found, out) == (code, ""), arguments
        assert words in err, arguments


def test_a_stopped_service_is_read_from_its_folder(run: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """After SIGTERM the same versions, figures and trail are read from the folder; a missing file is told, an edited
    entry is named with exit code 1, and the log folded at once has the state of all that."""
    versions, trail = listed(run), run.get("/v1/audit?limit=1000")
    state = run.get(f"/v1/monitors/{MONITOR}")["state_sha256"]
    assert run.stop() == 0
    data = run.folder / "data"
    assert fold_cleanly(load(run.configuration, {}), run.folder, 997).state_sha256 == state
    code, out, _ = command(capsys, "models", "list", MONITOR, "--data-dir", data, "--json", "--limit", "1000")
    found = json.loads(out)
    assert code == 0
    for v in versions:
        v.pop("aliases")
    assert [{k: x for k, x in v.items() if k != "aliases"} for v in found["versions"]] == versions[::-1]
    assert found["versions"][0]["aliases"] == ["champion"]
    code, out, _ = command(capsys, "audit", "--data-dir", data, "--verify", "--json", "--limit", "1000")
    assert code == 0
    assert json.loads(out)["entries"] == trail["entries"]
    (data / "models" / versions[0]["sha256"]).unlink()
    code, _, err = command(capsys, "models", "download", MONITOR, "1", "--data-dir", data)
    assert (code, "missing" in err) == (1, True)
    with sqlite3.connect(data / "checkpoints.sqlite") as db:
        db.execute("UPDATE audit SET entry = '{}' WHERE seq = 3")
    db.close()
    code, out, _ = command(capsys, "audit", "--data-dir", data, "--verify")
    assert (code, "entry 3 was edited" in out) == (1, True)


def test_a_version_that_was_deleted_is_told_by_the_running_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over a store from which a row was deleted the service starts; the full check names the row, over HTTP and by the
    command line with exit code 1."""
    service = Served(tmp_path, CONFIGURATION)
    events = drifting_events(1_200)
    try:
        service.start()
        service.send(events)
        service.settle(len(events))
        assert service.get("/v1/audit?verify=true")["verified"]["ok"] is True
        assert service.stop() == 0
        with sqlite3.connect(tmp_path / "data" / "checkpoints.sqlite") as db:
            db.execute("DELETE FROM version WHERE number = 1")
        db.close()
        service.start()
        service.settle(len(events))
        verified = service.get("/v1/audit?verify=true")["verified"]
        assert verified["ok"] is False
        assert f"version 1 of monitor '{MONITOR}'" in verified["partitions"][0]["detail"]
        code, out, _ = command(capsys, "audit", "--url", url(service), "--verify")
        assert (code, f"FORGED: version 1 of monitor '{MONITOR}'" in out) == (1, True)
    finally:
        service.close()


@pytest.mark.parametrize("point", ["models.after_write", "store.after_versions"])
def test_a_kill_leaves_no_dangling_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """Killed between the writing of snapshots and the commit: no row names a version then, and after a restart the
    same versions are there, each with its file, and no other file."""
    service = Served(tmp_path, CONFIGURATION)
    events = drifting_events(1_200)
    # The commit that is hit comes after others: in the second run, which begins with the promotion.
    before = 0 if point.startswith("models") else 500
    try:
        if before:
            service.start()
            service.send(events[:before])
            service.settle(before)
            assert service.stop() == 0
        monkeypatch.setenv("ANCHORWATCH_FAILPOINT", point)
        monkeypatch.setenv("ANCHORWATCH_FAILPOINT_HIT", "1")
        service.start()
        service.send(events[before:])
        process = service.process
        assert process is not None
        wait_for(lambda: process.poll() is not None, "the kill")
        assert process.returncode == -signal.SIGKILL
        models = tmp_path / "data" / "models"
        written = {path.name for path in models.iterdir()} if models.is_dir() else set()
        store = SQLiteStore(tmp_path / "data" / "checkpoints.sqlite")
        rows = [row for place in store.places() for row in store.versions(*place)]
        store.close()
        assert {row.blob for row in rows} <= written
        if point == "models.after_write":
            assert written
            assert rows == []
            (models / ("0" * 64)).write_bytes(b"nobody names this one")
        monkeypatch.delenv("ANCHORWATCH_FAILPOINT")
        service.start()
        view = service.settle(len(events))
        versions = listed(service)
        assert versions
        assert {path.name for path in models.iterdir()} == {v["sha256"] for v in versions}
        assert all((models / v["sha256"]).stat().st_size == v["bytes"] for v in versions)
        assert service.stop() == 0
        clean = fold_cleanly(load(service.configuration, {}), tmp_path, 1_733)
        assert view["state_sha256"] == clean.state_sha256
    finally:
        service.close()
