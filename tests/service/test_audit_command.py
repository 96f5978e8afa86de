"""`anchorwatch audit --data-dir` over a stopped store in which somebody has written with plain SQL."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.cli import main
from service.config import RegistryConfig
from service.fold_output import FoldOutput
from service.model_files import ModelFiles
from service.registry import ROWS_MAX, Registry, audit_entry
from stream.sqlite_store import SQLiteStore
from stream.sqlite_versions import VersionTable
from stream.store import ComponentKey, VersionRow

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


def version(number: int, monitor: str = "m", **more: Any) -> FoldOutput:
    """A version as the fold gives it."""
    data = f"{monitor}, snapshot {number}".encode()
    body = {
        "monitor": monitor, "version": number, "learner": "tree", "reason": "promoted", "parent": number - 1 or None,
        "generation": 0, "champion": "tree", "event": 100 * number, "time_ms": 7, "estimator": "e",
        "parameters": {"delta": 1e-7}, "metrics": {"accuracy": 0.75}, "learned": {"labels": 90 * number},
        "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "snapshot": data,
    }  # fmt: skip
    return FoldOutput(number, "version", body | more)


def store_versions(folder: Path, commits: Iterable[Sequence[FoldOutput]], **caps: int) -> None:
    """Store versions as the worker does: snapshots, rows and entries."""
    store, models = SQLiteStore(folder / "checkpoints.sqlite"), ModelFiles(folder / "models")
    claim, registry = store.claim(*PLACE), Registry(RegistryConfig(**caps), {"m": ["tree"]})
    for outputs in commits:
        plan = registry.plan(outputs)
        models.write(plan.snapshots)
        audit = [audit_entry(output.body) for output in outputs]
        store.commit(claim, positions={"e": 9}, components={}, audit=audit, versions=plan.rows)
        registry.adopt(plan)
        models.delete(plan.evicted)
    store.close()


@pytest.fixture
def versioned(folder: Path) -> Path:
    """The folder with versions 1 to 4 of monitor m, the first two evicted; entries 29 to 32 name them."""
    store_versions(folder, [[version(n)] for n in range(1, 5)], max_versions=2)
    return folder


@pytest.mark.parametrize(
    "fields", [{"learned": {"labels": 1}}, {"metrics": {"accuracy": 0.99}}, {"parameters": {}}, {"more": 1}]
)
def test_what_a_version_shows_is_covered(versioned: Path, audit: Audit, fields: dict[str, Any]) -> None:
    """Learned range, figures and parameters stand in no entry by themselves, but under a hash that does."""
    rewrite(versioned, 1, **fields)
    code, out = audit("--verify")
    assert code == 1
    assert "FORGED: version 1 of monitor 'm' was edited: its row_sha256 is not that of entry 29" in out


def test_entries_of_older_programs_are_held_to_what_they_say(folder: Path, audit: Audit) -> None:
    """An entry without the row's hash covers the fields that it names, and no others."""
    store, models = SQLiteStore(folder / "checkpoints.sqlite"), ModelFiles(folder / "models")
    plan = Registry(RegistryConfig(), {"m": ["tree"]}).plan([version(1)])
    models.write(plan.snapshots)
    entry = audit_entry(version(1).body)
    del entry["row_sha256"]
    store.commit(store.claim(*PLACE), positions={}, components={}, audit=[entry], versions=plan.rows)
    store.close()
    rewrite(folder, 1, metrics={"accuracy": 0.99})
    assert audit("--verify")[0] == 0
    rewrite(folder, 1, parent=7)
    assert audit("--verify")[0] == 1


def stored_version(folder: Path, number: int) -> VersionRow:
    """The row of a version."""
    store = SQLiteStore(folder / "checkpoints.sqlite")
    row = next(row for row in store.versions(*PLACE) if row.number == number)
    store.close()
    return row


def rewrite(folder: Path, number: int, **fields: Any) -> None:
    """Edit what a version shows, with a right checksum."""
    row = stored_version(folder, number)
    put(folder, replace(row, body=msgspec.json.encode(msgspec.json.decode(row.body or b"") | fields)))


def put(folder: Path, row: VersionRow) -> None:
    """Write a row of a version with a right checksum."""
    with sqlite3.connect(folder / "checkpoints.sqlite") as db:
        VersionTable(db).write(PLACE, [row])
    db.close()


def test_versions_are_as_the_trail_names_them(versioned: Path, audit: Audit) -> None:
    """Kept and evicted ones pass."""
    code, out = audit("--verify")
    assert code == 0, out
    assert "all 32 entries are as they were written" in out


@pytest.mark.parametrize("number", [1, 3, 4])
def test_a_version_that_was_deleted_is_told(versioned: Path, audit: Audit, number: int) -> None:
    """With its snapshot or without, newest or not: the entry that names it is told."""
    change(versioned, f"DELETE FROM version WHERE number = {number}")  # noqa: S608 a constant
    code, out = audit("--verify")
    assert code == 1
    assert f"FORGED: version {number} of monitor 'm', which entry {28 + number} names, is missing" in out


@pytest.mark.parametrize(
    "fields", [{"reason": "started"}, {"parent": 1}, {"learner": "bag"}, {"event": 7}, {"sha256": "0" * 64}]
)
def test_a_version_that_was_edited_is_told(versioned: Path, audit: Audit, fields: dict[str, Any]) -> None:
    """Every field that the trail's entry names is compared, also where the row's checksum was made to match."""
    rewrite(versioned, 3, **fields)
    code, out = audit("--verify")
    assert code == 1
    assert f"FORGED: version 3 of monitor 'm' was edited: its {next(iter(fields))} is not that of entry 31" in out


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (VersionRow("m", 5, "", b"{}"), "version 5 of monitor 'm' is named by no entry"),
        (VersionRow("other", 1, "", b"{}"), "version 1 of monitor 'other' is named by no entry"),
        (VersionRow("m", 3, "", b"["), "version 3 of monitor 'm' was edited"),
        (VersionRow("m", 3, "", b"[]"), "version 3 of monitor 'm' was edited"),
    ],
)
def test_a_row_that_no_entry_names_is_told(versioned: Path, audit: Audit, row: VersionRow, words: str) -> None:
    """There are never more versions than entries, and a row that cannot be read is an edited one."""
    put(versioned, row)
    code, out = audit("--verify")
    assert (code, f"FORGED: {words}" in out) == (1, True)


def test_another_snapshot_for_a_version_is_told(versioned: Path, audit: Audit) -> None:
    """A file that was edited, one that is missing, and a row that names another file than its entry."""
    (name, *_) = sorted(path.name for path in (versioned / "models").iterdir())
    original = (versioned / "models" / name).read_bytes()
    (versioned / "models" / name).write_bytes(b"another")
    code, out = audit("--verify")
    assert (code, f"the snapshot {name} is damaged" in out) == (1, True)
    (versioned / "models" / name).unlink()
    code, out = audit("--verify")
    assert (code, f"the snapshot {name} is missing" in out) == (1, True)
    (versioned / "models" / name).write_bytes(original)
    third = stored_version(versioned, 3)
    put(versioned, replace(third, blob=stored_version(versioned, 4).blob))
    code, out = audit("--verify")
    assert (code, "version 3 of monitor 'm' was edited: its snapshot is not that of entry 31" in out) == (1, True)
    change(versioned, "UPDATE version SET blob = '' WHERE number = 3")
    code, out = audit("--verify")
    assert (code, "version 3 of monitor 'm' does not match its checksum" in out) == (1, True)


def test_rows_that_the_registry_let_go_are_not_missed(folder: Path, audit: Audit) -> None:
    """Of more than a thousand versions the oldest rows go by themselves; the newest thousand are all there."""
    outputs = [version(n) for n in range(1, ROWS_MAX + 21)]
    store_versions(folder, [outputs[start : start + 60] for start in range(0, len(outputs), 60)], max_versions=2)
    code, out = audit("--verify")
    assert code == 0, out
    change(folder, "DELETE FROM version WHERE number = 21")
    code, out = audit("--verify")
    assert (code, "version 21 of monitor 'm', which entry 49 names, is missing" in out) == (1, True)
