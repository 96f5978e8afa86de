"""`anchorwatch audit --data-dir` over a stopped store in which somebody has written with plain SQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from service.cli import main
from stream.sqlite_store import SQLiteStore
from stream.store import ComponentKey

__all__: list[str] = []

PLACE = ("main", 0)
ENTRIES = 28
Audit = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of a stopped service with a trail of 28 entries."""
    store = SQLiteStore(tmp_path / "checkpoints.sqlite")
    claim = store.claim(*PLACE)
    audit = [{"action": "promote", "n": n} for n in range(1, ENTRIES + 1)]
    store.commit(claim, positions={"e": 9}, components={ComponentKey("m", "", "core"): b"x"}, audit=audit)
    store.close()
    return tmp_path


@pytest.fixture
def audit(folder: Path, capsys: pytest.CaptureFixture[str]) -> Audit:
    """Runs `anchorwatch audit` on the folder; gives exit code and standard output."""

    def run(*arguments: str) -> tuple[int, str]:
        code = main(["audit", "--data-dir", str(folder), *arguments])
        return code, capsys.readouterr().out

    return run


def change(folder: Path, *statements: str) -> None:
    """Write into the closed store."""
    with sqlite3.connect(folder / "checkpoints.sqlite") as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def signed_head(folder: Path) -> str:
    """The hash of the newest entry as the owner's row has it."""
    with sqlite3.connect(folder / "checkpoints.sqlite") as db:
        (digest,) = db.execute("SELECT audit_sha256 FROM owner").fetchone()
    db.close()
    return str(digest.hex())


def test_an_intact_trail_ends_with_0(folder: Path, audit: Audit) -> None:
    """The head is printed, and every entry is as it was written."""
    code, out = audit("--verify")
    assert code == 0
    assert f"head of main/0: entry {ENTRIES}, sha256 {signed_head(folder)}\n" in out
    assert f"partition 0: all {ENTRIES} entries are as they were written\n" in out
    assert len(audit("--limit", "3")[1].splitlines()) == 4


@pytest.mark.parametrize("seq", ["-9223372036854775807", "29", "'x'"])
def test_an_inserted_entry_is_named_and_no_head(folder: Path, audit: Audit, seq: str) -> None:
    """Whatever its number: the exit code is 1, and the head is that of the owner's row."""
    change(
        folder,
        "INSERT INTO audit (pipeline, partition, seq, entry, prev, sha256) "  # noqa: S608 a constant
        f"VALUES ('main', 0, {seq}, '{{\"by\":\"forged\"}}', x'00', x'00')",
    )
    code, out = audit("--verify")
    assert code == 1
    assert f"head of main/0: entry {ENTRIES}, sha256 {signed_head(folder)}" in out
    assert "partition 0: FORGED: entry " in out
    code, out = audit("--verify", "--json")
    assert (code, json.loads(out)["verified"]["ok"]) == (1, False)


@pytest.mark.parametrize(
    ("statement", "end"),
    [
        ("DELETE FROM audit WHERE seq = 28", 27),
        ("INSERT INTO audit SELECT 99, pipeline, partition, 29, entry, prev, sha256 FROM audit WHERE seq = 28", 29),
        ("UPDATE audit SET sha256 = x'00' WHERE seq = 28", 28),
    ],
)
def test_another_end_than_was_signed_is_told_without_verify_too(
    folder: Path, audit: Audit, statement: str, end: int
) -> None:
    """The head that was signed stands beside what the trail ends with, and the exit code is 1."""
    change(folder, statement)
    code, out = audit()
    assert code == 1
    assert f"sha256 {signed_head(folder)} was signed, but the trail ends with entry {end}: FORGED" in out


def test_row_ids_hide_no_entry(folder: Path, audit: Audit) -> None:
    """Which entry is the newest depends on the numbers alone, which the chain covers."""
    change(folder, "UPDATE audit SET id = -1 WHERE seq = 28")
    code, out = audit("--limit", "1", "--verify")
    assert code == 0
    assert out.startswith("0/28 ")
    assert f"entry {ENTRIES}, sha256 {signed_head(folder)}" in out


@pytest.mark.parametrize("more", ["", "UPDATE audit SET entry = '{}'", "DELETE FROM audit", "DELETE FROM state"])
def test_an_owner_row_that_is_gone_is_told(folder: Path, audit: Audit, more: str) -> None:
    """Whatever is left of the partition, in any table, tells that there was one."""
    change(folder, "DELETE FROM owner", *([more] if more else []))
    code, out = audit("--verify")
    assert code == 1
    assert "partition 0: FORGED: the owner's row, which signs the head, is missing" in out
    if more != "DELETE FROM audit":
        assert f"head of main/0: no entry was signed, but the trail ends with entry {ENTRIES}: FORGED" in out
        assert audit()[0] == 1


@pytest.mark.parametrize("place", ["'main', 1", "'main', 'x'", "'other', 0", "x'00', 1.5"])
def test_a_place_without_an_owner_row_is_told(folder: Path, audit: Audit, place: str) -> None:
    """Entries that belong to no partition that was ever claimed are forged."""
    change(
        folder,
        f"INSERT INTO audit (pipeline, partition, seq, entry, prev, sha256) VALUES ({place}, 28, '{{}}', x'', x'')",  # noqa: S608
    )
    code, out = audit("--verify")
    assert code == 1
    assert f"partition 0: all {ENTRIES} entries are as they were written" in out
    assert "FORGED: the owner's row, which signs the head, is missing" in out
    assert audit("--verify", "--json")[0] == 1


def test_a_check_of_nothing_is_no_success(folder: Path, audit: Audit) -> None:
    """An emptied store has nothing that could be verified: exit code 1, and it is said."""
    change(folder, *(f"DELETE FROM {table}" for table in ("owner", "state", "chunk", "audit")))  # noqa: S608
    code, out = audit("--verify")
    assert code == 1
    assert "nothing was verified" in out
    assert audit()[0] == 0


def test_damaged_state_is_a_verdict(folder: Path, audit: Audit) -> None:
    """Where the state does not match its checksum the trail is printed all the same, and the verdict names it."""
    change(folder, "UPDATE chunk SET bytes = x'00'")
    code, out = audit("--verify")
    assert code == 1
    assert "0/28 " in out
    assert "partition 0: FORGED: state 'core' of monitor 'm'" in out
