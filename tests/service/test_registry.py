"""The registry of one partition: caps, what is protected, commits that are tried again; and its snapshot files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.config import RegistryConfig
from service.fold_output import FoldOutput
from service.model_files import ModelFileError, ModelFiles
from service.registry import ROWS_MAX, Plan, Registry, aliases_of, best_challenger, compare
from stream.errors import StoreCorruptError, StoreUnavailableError
from stream.store import VersionRow

__all__: list[str] = []

LEARNERS = {"m": ["one", "two"]}


def version(number: int, learner: str = "one", snapshot: bytes = b"", **more: Any) -> FoldOutput:
    """A version as the fold gives it; its snapshot is ten bytes of its own unless given."""
    data = snapshot or b"%010d" % number
    body = {
        "monitor": "m", "version": number, "learner": learner, "reason": "promoted", "parent": None, "snapshot": data,
        "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "champion": "one", "estimator": "e",
        "parameters": {}, "metrics": {}, "learned": {}, "event": number,
    }  # fmt: skip
    return FoldOutput(number, "version", body | more)


def committed(registry: Registry, outputs: Sequence[FoldOutput]) -> Plan:
    """Plan and adopt."""
    plan = registry.plan(outputs)
    registry.adopt(plan)
    return plan


def kept(registry: Registry) -> list[int]:
    """Numbers of versions that have their snapshot, oldest first."""
    return [v["version"] for v in reversed(registry.newest_first("m")) if v["blob"] == "kept"]


def registry(rows: Sequence[VersionRow] = (), **caps: int) -> Registry:
    """A registry with two learners."""
    return Registry(RegistryConfig(**caps), LEARNERS, rows)


def test_the_oldest_snapshots_go_and_rows_stay() -> None:
    """Beyond `max_versions` the oldest lose their snapshot and say so; a plan names what was evicted."""
    versions = registry(max_versions=3)
    for number in range(1, 5):
        committed(versions, [version(number)])
    plan = committed(versions, [version(5)])
    assert kept(versions) == [3, 4, 5]
    assert [v["blob"] for v in versions.newest_first("m")] == ["kept"] * 3 + ["evicted"] * 2
    assert plan.evicted == {hashlib.sha256(b"%010d" % 2).hexdigest()}
    assert [(row.number, row.blob == "") for row in plan.rows] == [(2, True), (5, False)]


def test_bytes_are_capped_and_equal_contents_count_once() -> None:
    """`max_bytes` holds over distinct contents."""
    versions = registry(max_bytes=30)
    committed(versions, [version(n, snapshot=b"the same x") for n in range(1, 6)])
    assert versions.kept("m") == (5, 10)
    committed(versions, [version(6), version(7)])
    assert versions.kept("m") == (7, 30)
    committed(versions, [version(8)])
    # The shared content goes only with the last version that has it.
    assert kept(versions) == [6, 7, 8]


def test_heads_and_their_parents_are_protected() -> None:
    """The newest version of each configured learner and its parent keep their snapshots, whatever the caps say."""
    versions = registry(max_versions=1, max_bytes=1)
    committed(versions, [version(1, "two"), version(2, "two", parent=1), version(3), version(4), version(5, parent=3)])
    assert kept(versions) == [1, 2, 3, 5]
    committed(versions, [version(n, "gone", parent=n - 1) for n in range(6, 9)])
    assert kept(versions) == [1, 2, 3, 5]


def test_rows_are_bounded() -> None:
    """Beyond a thousand rows the oldest that nothing protects are deleted."""
    versions = registry(max_versions=2)
    committed(versions, [version(1, "two")])
    committed(versions, [version(n) for n in range(2, ROWS_MAX + 1)])
    plan = committed(versions, [version(n) for n in range(ROWS_MAX + 1, ROWS_MAX + 4)])
    assert [row.number for row in plan.rows if row.body is None] == [2, 3]
    numbers = [v["version"] for v in versions.newest_first("m")]
    assert (numbers[0], numbers[-1]) == (ROWS_MAX + 3, 1)


def test_a_plan_may_be_made_again() -> None:
    """Planning changes nothing: the same outputs plan the same until they are adopted."""
    versions = registry(max_versions=2)
    committed(versions, [version(1), version(2)])
    outputs = [version(3), version(4)]
    assert versions.plan(outputs) == versions.plan(outputs)
    assert kept(versions) == [1, 2]


def test_what_comes_and_goes_within_a_commit_is_never_written() -> None:
    """Of more versions than the cap only those that stay have their snapshots written."""
    plan = committed(registry(max_versions=2), [version(n) for n in range(1, 9)])
    assert sorted(plan.snapshots.values()) == [b"%010d" % 7, b"%010d" % 8]
    assert len(plan.rows) == 8


def test_stored_rows_come_back() -> None:
    """A registry made from the rows of another shows the same; bodies hold no snapshot."""
    versions = registry()
    plan = committed(versions, [version(1), version(2, "two")])
    assert all(b"snapshot" not in (row.body or b"") for row in plan.rows)
    assert registry(plan.rows).newest_first("m") == versions.newest_first("m")
    assert msgspec.json.decode(plan.rows[0].body or b"")["blob"] == "kept"


@pytest.mark.parametrize("body", [b"", b"?", b"[3]", b"{}", b'{"version": 4, "monitor": "m"}', b'{"version": 1e999}'])
def test_a_row_that_was_changed_from_outside_is_named(body: bytes) -> None:
    """The error says which version it is and what to do; nothing is shown in its place."""
    with pytest.raises(StoreCorruptError, match=r"version 3 of monitor 'm' was changed .*: restore .* audit --verify"):
        registry([VersionRow("m", 3, "", body)])


def test_aliases() -> None:
    """An alias is the newest version of its learner; a learner without version has none."""
    versions = registry()
    committed(versions, [version(1), version(2, "two"), version(3)])
    newest = versions.newest_first("m")
    assert aliases_of(newest, "one", "two") == {"champion": 3, "challenger": 2}
    assert aliases_of(newest, "three", None) == {}


@pytest.mark.parametrize(("task", "best"), [("classification", "c"), ("regression", "b")])
def test_the_challenger_is_the_best_other_learner(task: str, best: str) -> None:
    """By windowed accuracy, or by windowed MAE where labels are numbers; who has no figure yet comes last."""
    figures = {"a": None, "b": 0.1, "c": 0.9}
    learners: dict[str, Any] = {
        n: {"role": "challenger", "window": {"accuracy": x, "mae": x}} for n, x in figures.items()
    }
    monitor = {"task": task, "learners": learners | {"one": {"role": "champion", "window": {"accuracy": 1.0}}}}
    assert best_challenger(monitor) == best
    assert best_challenger({"task": task, "learners": {}}) is None


def test_compare_names_what_differs() -> None:
    """Values side by side, nested ones too, with the difference of numbers; what is equal is left out."""
    a = version(1, metrics={"accuracy": 0.5, "n": 9, "window": {"n": 5}}, parameters={"x": 1, "y": "a"}).body
    b = version(2, metrics={"accuracy": 0.75, "n": 9, "window": {"n": 7}}, parameters={"x": 1, "z": None}).body
    assert compare(a, b)["differences"] == {
        "learned": {},
        "metrics": {
            "accuracy": {"a": 0.5, "b": 0.75, "difference": 0.25},
            "window": {"n": {"a": 5, "b": 7, "difference": 2}},
        },
        "parameters": {"y": {"a": "a", "b": None}},
    }  # fmt: skip


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_files_are_checked_against_their_names(tmp_path: Path) -> None:
    """What was written is read back; a missing, a damaged and an impossible name are told apart, none crashes."""
    files = ModelFiles(tmp_path / "models")
    files.write({_name(b"a"): b"a", _name(b"b"): b"b"})
    assert files.read(_name(b"a")) == b"a"
    (files.folder / _name(b"b")).write_bytes(b"x")
    for name, why in ((_name(b"b"), "damaged"), (_name(b"c"), "missing"), ("../checkpoints.sqlite", "names no")):
        with pytest.raises(ModelFileError, match=why):
            files.read(name)
    files.write({_name(b"b"): b"b"})
    assert files.read(_name(b"b")) == b"b"


def test_sweeping_keeps_what_is_wanted_and_what_is_not_ours(tmp_path: Path) -> None:
    """Unnamed snapshots and half-written ones go; other files stay; a folder that is not there is fine."""
    files = ModelFiles(tmp_path / "models")
    assert files.sweep(()) == 0
    files.write({_name(data): data for data in (b"a", b"b")})
    (files.folder / f"{_name(b'a')}.new").write_bytes(b"half")
    (files.folder / "README").write_text("mine")
    assert files.sweep({_name(b"a")}) == 2
    assert sorted(path.name for path in files.folder.iterdir()) == sorted(["README", _name(b"a")])
    files.delete([_name(b"a"), _name(b"b")])
    assert [path.name for path in files.folder.iterdir()] == ["README"]


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    """The commit is owed then, as when the store is away."""
    (tmp_path / "models").write_text("a file")
    with pytest.raises(StoreUnavailableError, match="cannot be written"):
        ModelFiles(tmp_path / "models").write({_name(b"a"): b"a"})
