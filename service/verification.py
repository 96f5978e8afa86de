"""The full check of what a store holds: the audit trail of every partition, and its model versions against the trail.

A newcomer needs one fact: only the trail is signed. A version is as it was written where the trail's entry about it
says the same, so versions are looked at once the trail itself is found whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from service.model_files import ModelFileError, ModelFiles
from service.registry import ROWS_MAX, row_hash
from stream.errors import StoreCorruptError
from stream.store import AuditRow, AuditVerdict, CheckpointStore, VersionRow

__all__ = ["shown", "verify"]


class _ForgedError(Exception):
    """What is not as it was written; `seq` is the entry that says how it was, 0 where none does."""

    def __init__(self, seq: int, detail: str) -> None:
        super().__init__(detail)
        self.seq = seq


def verify(store: CheckpointStore, places: Iterable[tuple[str, int]], models: ModelFiles) -> list[AuditVerdict]:
    """A verdict on each place, from its trail, its versions and every snapshot that is kept; damage of any kind is a
    verdict too.

    Raises
    ------
    StoreUnavailableError
        the store is away.
    """
    return [_verdict(store, place, models) for place in places]


def _verdict(store: CheckpointStore, place: tuple[str, int], models: ModelFiles) -> AuditVerdict:
    verdict = AuditVerdict(place[1], 0, "")
    try:
        verdict = store.verify_audit(*place)
        if verdict.broken_seq is None:
            _check_versions(store, place, models)
    except StoreCorruptError as error:
        return replace(verdict, broken_seq=0, detail=str(error))
    except _ForgedError as error:
        return replace(verdict, broken_seq=error.seq, detail=str(error))
    return verdict


def _check_versions(store: CheckpointStore, place: tuple[str, int], models: ModelFiles) -> None:
    """Compare the rows of versions with what the trail says of them."""
    named: dict[str, dict[int, AuditRow]] = {}
    for row in store.audit_trail(*place):
        monitor, number = row.entry.get("monitor"), row.entry.get("version")
        if row.entry.get("action") == "version" and isinstance(monitor, str) and isinstance(number, int):
            named.setdefault(monitor, {})[number] = row
    rows = store.versions(*place)
    for version in rows:
        _check_version(version, named.get(version.monitor, {}).get(version.number), models)
    present = {(version.monitor, version.number) for version in rows}
    for monitor, entries in named.items():
        # The registry lets older rows go by itself.
        for number in sorted(entries)[-ROWS_MAX:]:
            if (monitor, number) not in present:
                seq = entries[number].seq
                raise _ForgedError(seq, f"{_name(monitor, number)}, which entry {seq} names, is missing")


def _check_version(version: VersionRow, named: AuditRow | None, models: ModelFiles) -> None:
    name = _name(version.monitor, version.number)
    if named is None:
        raise _ForgedError(0, f"{name} is named by no entry of the trail: it was inserted")
    body = _body(version)
    # The hash of all comes last: whatever the entry names by itself is told by its name.
    for field in [*(name for name in named.entry if name not in {"action", "row_sha256"}), "row_sha256"]:
        if field in named.entry and body.get(field) != named.entry[field]:
            raise _ForgedError(named.seq, f"{name} was edited: its {field} is not that of entry {named.seq}")
    if version.blob != (body.get("sha256") if body.get("blob") == "kept" else ""):
        raise _ForgedError(named.seq, f"{name} was edited: its snapshot is not that of entry {named.seq}")
    try:
        if version.blob:
            models.read(str(version.blob))
    except ModelFileError as error:
        raise _ForgedError(named.seq, f"{name}: {error}") from error


def _body(version: VersionRow) -> dict[str, Any]:
    """What a version shows, with the hash of it; nothing where it cannot be read."""
    try:
        body = msgspec.json.decode(version.body or b"")
        return body | {"row_sha256": row_hash(body)} if isinstance(body, dict) else {}
    except (ValueError, OverflowError, RecursionError):
        return {}


def _name(monitor: str, number: int) -> str:
    return f"version {number} of monitor {monitor!r}"


def shown(verdicts: Sequence[AuditVerdict]) -> Mapping[str, Any]:
    """Verdicts as the command line and HTTP give them; without any, nothing was verified and `ok` is false."""
    ok = bool(verdicts) and all(verdict.broken_seq is None for verdict in verdicts)
    return {"ok": ok, "partitions": verdicts}
