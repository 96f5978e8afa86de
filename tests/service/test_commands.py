"""The command line as a user meets it: help, exit codes, what goes to standard output and what does not."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import IO, Any

import msgspec
import pytest

from service.cli import main
from service.config import parse
from service.infer import infer
from service.replay import replay
from stream.sqlite_store import SQLiteStore
from stream.store import VersionRow
from tests.kills.harness import free_port
from tests.kills.stream import CONFIGURATION, MONITOR
from tests.service.served import ROOT, drifting_events

__all__: list[str] = []

COMMANDS = ("init", "serve", "replay", "demo", "check", "models", "audit")
WEBHOOK = '\n[webhooks.pager]\nurl = "http://127.0.0.1:{port}/"\nsecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"\n'


def run(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def exit_code(*arguments: str | Path) -> int:
    """Run the command line in this process."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)


@pytest.fixture(scope="module")
def events() -> list[bytes]:
    """The wire format with bad events, labels, a control and drifts."""
    return drifting_events(2_600)


@pytest.fixture
def recorded(tmp_path: Path, events: list[bytes]) -> Path:
    """The events as a file."""
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\n".join(events) + b"\n")
    return path


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """The configuration of these events."""
    path = tmp_path / "m.toml"
    path.write_text(CONFIGURATION)
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`COMMAND --help` ends with 0, and each of its options says what it does."""
    assert exit_code(command, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(f"usage: anchorwatch {command}")
    assert exit_code("--help") == 0
    assert command in capsys.readouterr().out


def test_the_help_names_the_exit_codes_and_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    """`anchorwatch --help` tells the exit codes and how the environment overrides the configuration."""
    assert exit_code("--help") == 0
    text = capsys.readouterr().out
    assert "0 all right; 1 something failed; 2 wrong usage" in text
    assert "ANCHORWATCH__SECTION__KEY" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["promote", "fraud", "--learner", "tree", "--restore"], "models promote fraud VERSION --restore"),
        (["list", "fraud", "--restore"], "belongs to models promote"),
    ],
)
def test_restore_without_a_version_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option would do nothing: exit code 2, and what to write instead."""
    assert exit_code("models", *arguments, "--url", "http://127.0.0.1:9") == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert words in output.err


def written_to(output: IO[Any] | int, *arguments: str, folder: Path, unbuffered: bool) -> tuple[int, str]:
    """Exit code and standard error of a command with that standard output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, *(["-u"] if unbuffered else []), "-m", "service.cli", *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT)},
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stderr


def stored(folder: Path) -> Path:
    """The data folder of a stopped service with an entry and a version."""
    store = SQLiteStore(folder / "checkpoints.sqlite")
    body = msgspec.json.encode(
        {
            "version": 1, "monitor": "m", "learner": "tree", "reason": "started", "parent": None, "event": 9,
            "learned": {"labels": 9}, "metrics": {}, "bytes": 7, "blob": "evicted", "champion": "tree",
        }
    )  # fmt: skip
    store.commit(
        store.claim("main", 0), positions={}, components={}, audit=[{"action": "promote"}],
        versions=[VersionRow("m", 1, "", body)],
    )  # fmt: skip
    store.close()
    return folder


@pytest.mark.parametrize("unbuffered", [False, True], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "--data-dir", "."],
        ["models", "list", "m", "--data-dir", "."],
        ["models", "show", "m", "1", "--data-dir", "."],
        ["check", "--data-dir", "data"],
    ],
)
def test_a_reader_that_goes_away_ends_a_command_quietly(tmp_path: Path, arguments: list[str], unbuffered: bool) -> None:
    """As with `| head`: nothing on standard error, not at the interpreter's end either, and the code of SIGPIPE."""
    stored(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        code, errors = written_to(writing, *arguments, folder=tmp_path, unbuffered=unbuffered)
    finally:
        os.close(writing)
    assert (code, errors) == (141, "")


def test_help_that_nobody_reads_is_quiet(tmp_path: Path) -> None:
    """The parser's own output too ends without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        code, errors = written_to(writing, "--help", folder=tmp_path, unbuffered=False)
    finally:
        os.close(writing)
    assert (code, errors) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("unbuffered", [False, True], ids=["buffered", "unbuffered"])
def test_output_that_cannot_be_written_is_told(tmp_path: Path, unbuffered: bool) -> None:
    """A full disk behind standard output is one line on standard error and exit code 1."""
    arguments = ("audit", "--data-dir", ".")
    with Path("/dev/full").open("w") as full:
        code, errors = written_to(full, *arguments, folder=stored(tmp_path), unbuffered=unbuffered)
    assert code == 1
    assert len(errors.splitlines()) == 1
    assert "No space left" in errors


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["replay"], ["serve", "--port", "many"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage ends with 2, speaks on standard error and leaves standard output empty."""
    assert exit_code(*arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "usage: anchorwatch" in output.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[monitors.m]\nmetrics_windw = 5\n", ("monitors.m.metrics_windw", "5", "metrics_window")),
        ("[monitors.m]\nmetrics_window = -5\n", ("monitors.m.metrics_window", "-5", "1 or more")),
        ('[commit]\ninterval = "soon"\n', ("commit.interval", "soon")),
        ('[commit]\nevents = "many"\n', ("commit.events", "many")),
        ('[monitors.m.features.a]\ntype = "number"\n', ("monitors.m.features.a.type", "number")),
        ("[monitors.m\n", ("m.toml", "not TOML")),
    ],
)
def test_a_wrong_configuration_is_exit_code_2(
    text: str, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the key, the value and what is right, or the nearest key; nothing goes to standard output."""
    path = tmp_path / "m.toml"
    path.write_text(text)
    assert exit_code("check", "--config", path, "--data-dir", tmp_path / "data") == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert [word for word in words if word not in output.err] == [], output.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay", "missing.ndjson"],
        ["replay", "missing.csv"],
        ["init", "missing.csv"],
        ["check", "--config", "missing.toml"],
        ["serve", "--config", "missing.toml"],
    ],
)
def test_a_missing_file_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there ends with 2 and its name, not with a traceback."""
    assert exit_code(*arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert arguments[-1] in output.err


def untouched_table(path: Path, rows: int = 4_000) -> None:
    """A table that nobody prepared: ids, dates, codes with zeros, a constant, gaps, text, a label; no drift."""
    draw = random.Random(3)
    lines = ["order_id,day,hhmm,country_code,amount,weight,channel,returned"]
    for number in range(rows):
        day = f"2026-{1 + number // 400:02d}-{1 + number % 28:02d}"
        clock = f"{draw.randrange(24):02d}{draw.randrange(60):02d}"
        amount = "" if draw.random() < 0.05 else f"{draw.lognormvariate(3, 1):.2f}"
        weight = f"{draw.gauss(10, 2):.3f}"
        returned = "yes" if draw.random() < 0.3 else "no"
        channel = draw.choice(["web", "shop", "phone"])
        lines.append(f"{100_000 + number},{day},{clock},FR,{amount},{weight},{channel},{returned}")
    path.write_text("\n".join(lines) + "\n", "utf-8")


def test_a_table_that_nobody_prepared_is_inferred_and_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`init` on a raw CSV marks ids, dates and constants; `replay` with its unedited result opens no episode on a
    marked column and joins every label."""
    table, written = tmp_path / "orders.csv", tmp_path / "orders.toml"
    untouched_table(table)
    assert exit_code("init", table, "--label", "returned", "-o", written) == 0
    made = capsys.readouterr()
    assert made.out == ""
    config = parse(tomllib.loads(written.read_text()))
    features = config.monitors["orders"].features
    marked = {name for name, feature in features.items() if not feature.watch}
    assert {"order_id", "day", "country_code"} <= marked | ({"order_id", "day"} - set(features)), marked
    assert {"amount", "weight", "channel"} <= set(features) - marked
    for name in marked:
        assert f"orders.{name}: not watched" in made.err
    done = run("replay", table, "--label", "returned", "--config", written, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    monitor = json.loads(done.stdout)["monitors"]["orders"]
    assert (monitor["predictions"], monitor["labels"], monitor["joined"]) == (4_000, 4_000, 4_000)
    signals = {record["signal"] for record in monitor["drifts"]}
    assert not signals & {f"feature:{name}" for name in marked}
    assert exit_code("init", table, "-o", written) == 2
    assert "--force" in capsys.readouterr().err


def test_replay_prints_exactly_one_object(
    recorded: Path, configured: Path, events: list[bytes], tmp_path: Path
) -> None:
    """Standard output of `replay` is one JSON object on one line with the keys of the contract, the same as another
    process computes it; `--out` writes every drift record and every reject."""
    out = tmp_path / "results" / "deep"
    done = run("replay", recorded, "--config", configured, "--out", out, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    summary = json.loads(done.stdout)
    assert set(summary) == {"events", "seconds", "cpu_seconds", "events_per_second", "rejected", "monitors"}
    monitor = summary["monitors"][MONITOR]
    wanted = {"predictions", "labels", "joined", "late", "pending", "drifts", "producer", "learners", "state_sha256"}
    assert wanted <= set(monitor)
    assert {"accuracy", "kappa"} <= set(monitor["producer"])
    assert {"champion", "no_change"} <= set(monitor["learners"])
    assert {"name", "accuracy", "kappa", "kappa_temporal", "log_loss"} <= set(monitor["learners"]["champion"])
    drifts = [json.loads(line) for line in (out / "drifts.jsonl").read_text().splitlines()]
    assert drifts == monitor["drifts"]
    assert len(drifts) >= 3
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert len(rejects) == sum(summary["rejected"].values()) == 2
    here = replay(events, parse(tomllib.loads(CONFIGURATION))).summary["monitors"]
    assert json.loads(json.dumps(here)) == summary["monitors"]


def test_without_configuration_the_first_1000_events_decide(
    recorded: Path, events: list[bytes], tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """`replay` without --config infers from exactly the first 1,000 events: a feature that appears later is unknown,
    and the state is that of a replay with the configuration inferred from them."""
    late = [event.replace(b'"features":{', b'"features":{"late":1,', 1) for event in events[1_000:]]
    recorded.write_bytes(b"\n".join([*events[:1_000], *late]) + b"\n")
    assert exit_code("replay", recorded) == 0
    monitor = json.loads(capsysbinary.readouterr().out)["monitors"][MONITOR]
    expected = replay([*events[:1_000], *late], infer(events[:1_000]).config)
    assert monitor["state_sha256"] == expected.summary["monitors"][MONITOR]["state_sha256"]
    nearly = replay([*events[:1_000], *late], infer([*events[:1_000], *late[:1]]).config)
    assert nearly.summary["monitors"][MONITOR]["state_sha256"] != monitor["state_sha256"]


def test_a_label_delay_hides_no_labels_from_the_inference(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Without --config a table whose labels come 2,000 rows later still gets its task and a learner."""
    table = tmp_path / "orders.csv"
    untouched_table(table)
    assert exit_code("replay", table, "--label", "returned", "--label-delay", "2000") == 0
    monitor = json.loads(capsysbinary.readouterr().out)["monitors"]["orders"]
    assert (monitor["predictions"], monitor["joined"]) == (4_000, 2_000)
    assert "champion" in monitor["learners"]


def check_lines(output: str) -> dict[str, bool]:
    """Part -> whether it is all right."""
    return {line[5:].split(":")[0].split()[0]: line.startswith("ok") for line in output.splitlines()}


def test_check_passes_what_is_right(configured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With everything reachable every verdict is ok and the exit code 0."""
    assert exit_code("check", "--config", configured, "--data-dir", tmp_path / "data") == 0
    verdicts = check_lines(capsys.readouterr().out)
    assert {"configuration", "store", "embedded", "monitor"} <= set(verdicts)
    assert all(verdicts.values())


def test_check_names_what_does_not_answer(
    configured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook and a broker where nobody listens each get a verdict of their own; the others stay ok; exit code 1."""
    webhook, broker = free_port(), free_port()
    configured.write_text(CONFIGURATION + WEBHOOK.format(port=webhook))
    assert exit_code("check", "--config", configured, "--data-dir", tmp_path / "data") == 1
    output = capsys.readouterr().out
    assert check_lines(output)["webhook"] is False
    assert f"127.0.0.1:{webhook} does not take connections" in output
    assert [part for part, ok in check_lines(output).items() if not ok] == ["webhook"]
    monkeypatch.setenv("ANCHORWATCH__TRANSPORT__KIND", "kafka")
    monkeypatch.setenv("ANCHORWATCH__TRANSPORT__KAFKA__BOOTSTRAP_SERVERS", f"127.0.0.1:{broker}")
    configured.write_text(CONFIGURATION)
    done = run("check", "--config", configured, "--data-dir", tmp_path / "data", folder=tmp_path)
    assert done.returncode == 1, done.stderr
    assert [part for part, ok in check_lines(done.stdout).items() if not ok] == ["kafka"]
    assert f"127.0.0.1:{broker}" in done.stdout
    assert "Traceback" not in done.stderr


def test_check_refuses_a_data_folder_that_cannot_be(
    configured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the data folder's name is a file, store and log are named; exit code 1."""
    (tmp_path / "data").write_text("a file")
    assert exit_code("check", "--config", configured, "--data-dir", tmp_path / "data") == 1
    assert [part for part, ok in check_lines(capsys.readouterr().out).items() if not ok] == ["store", "embedded"]


@pytest.mark.integration
def test_the_demo_once_prints_its_scorecard(tmp_path: Path) -> None:
    """`demo --once` prints one JSON object with the planted drift and the alerts, all of them verified."""
    done = run("demo", "--once", "--events", "6000", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    card: dict[str, Any] = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert card["events"] == 6_000
    (planted,) = card["planted"]
    assert {"event", "signal", "found_at", "delay", "detector"} <= set(planted)
    assert card["alerts"]["sent"] == card["alerts"]["verified"]
    assert list(tmp_path.rglob("*.sqlite")) == []
