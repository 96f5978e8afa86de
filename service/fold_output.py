"""What a monitor's fold lets out: drifts, answers, reviews, rejects, the audit's entries and versions."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import msgspec

__all__ = ["FoldOutput", "in_order"]

_KINDS = ("prediction", "review", "reject", "audit", "version", "drift")
_PLACES = {kind: place for place, kind in enumerate(_KINDS)}
_OFFSET = attrgetter("offset")


class FoldOutput(msgspec.Struct, frozen=True, gc=False):
    """What leaves after the commit. `kind`: drift, prediction, review, reject, audit or version; `offset` names the
    event. A version's body carries the learner's bytes under `snapshot`."""

    offset: int
    kind: str
    body: dict[str, Any]


def in_order(outputs: list[FoldOutput]) -> list[FoldOutput]:
    """By event, and within one event by kind: answers come in blocks, wherever these were cut."""
    # Nearly all are answers, which are first of their event; only the others need a look.
    answers = [output for output in outputs if output.kind == "prediction"]
    others = [output for output in outputs if output.kind != "prediction"]
    others.sort(key=lambda output: _PLACES[output.kind])
    ordered = answers + others
    ordered.sort(key=_OFFSET)
    return ordered
