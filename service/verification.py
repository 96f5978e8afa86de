"""The full check of what a store holds: the audit trail of every partition of which anything is stored.

A newcomer needs one fact: a check of nothing is no success, since whoever can write the file can also empty it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stream.errors import StoreCorruptError
from stream.store import AuditVerdict, CheckpointStore

__all__ = ["shown", "verify"]


def verify(store: CheckpointStore, places: Iterable[tuple[str, int]]) -> list[AuditVerdict]:
    """A verdict on each place; damage of any kind is a verdict too.

    Raises
    ------
    StoreUnavailableError
        the store is away.
    """
    return [_verdict(store, place) for place in places]


def _verdict(store: CheckpointStore, place: tuple[str, int]) -> AuditVerdict:
    try:
        return store.verify_audit(*place)
    except StoreCorruptError as error:
        return AuditVerdict(place[1], 0, "", 0, str(error))


def shown(verdicts: Sequence[AuditVerdict]) -> Mapping[str, Any]:
    """Verdicts as the command line and HTTP give them; without any, nothing was verified and `ok` is false."""
    ok = bool(verdicts) and all(verdict.broken_seq is None for verdict in verdicts)
    return {"ok": ok, "partitions": verdicts}
