"""Model versions and the audit trail over HTTP: list, show, compare, download, promote, roll back, verify.

A newcomer needs one fact: rows come from the read view, snapshots from files that are checked against their name, and
whatever changes something is a control event; an old version travels inside its event, for the fold reads nothing
from outside.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from service.api_body import decode_body
from service.api_models import PromoteBody
from service.api_problems import ProblemError
from service.api_reads import json_response, known_monitor, port_of
from service.api_writes import append_event, json_body, now_ms, reader_of
from service.model_files import ModelFileError
from service.registry import compare
from service.verification import shown
from stream.errors import UnavailableError
from stream.store import AuditRow

__all__ = ["router"]

router = APIRouter()

Limit = Annotated[int, Query(ge=1, le=1_000, description="How many at most.")]
Reference = Annotated[str, Query(description="A version's number, or `champion` or `challenger`.")]
Version = Mapping[str, Any]

_PROMOTE_BODY = json_body(
    {
        "type": "object",
        "properties": {
            "version": {"type": ["integer", "string"], "description": "Its number, or `champion` or `challenger`."},
            "learner": {"type": "string", "description": "A learner as it is now, instead of a version."},
            "restore": {"type": "boolean", "description": "Put the snapshot back even where its learner still stands."},
        },
    }
)


def _registry(request: Request, monitor: str) -> tuple[Sequence[Version], Mapping[str, int]]:
    """Versions of a monitor, newest first, and its aliases."""
    port = port_of(request)
    known_monitor(port, monitor)
    found = port.view().get("versions", {}).get(monitor, {})
    return found.get("versions", []), found.get("aliases", {})


def _shown(version: Version, aliases: Mapping[str, int]) -> Version:
    return {**version, "aliases": [alias for alias, number in aliases.items() if number == version["version"]]}


def _find(request: Request, monitor: str, reference: str | int) -> Version:
    """A version by number or alias.

    Raises
    ------
    ProblemError
        404 with the newest numbers and the aliases that exist
    """
    versions, aliases = _registry(request, monitor)
    number = aliases.get(str(reference), reference)
    found = next((version for version in versions if str(version["version"]) == str(number)), None)
    if found is None:
        some = ", ".join(str(version["version"]) for version in islice(versions, 10)) or "none yet"
        raise ProblemError(
            404,
            "unknown_version",
            detail=f"Monitor {monitor!r} has no version {str(reference)[:100]!r}.",
            what_to_do=f"Newest versions: {some}; aliases: {', '.join(aliases) or 'none yet'}. A learner becomes its "
            "first version when the monitor's reference ends.",
        )
    return _shown(found, aliases)


@router.get("/v1/monitors/{monitor}/versions", tags=["registry"], summary="Model versions, newest first")
def _versions(
    request: Request,
    monitor: str,
    limit: Limit = 100,
    before: Annotated[int | None, Query(description="Only older than this version.")] = None,
) -> Response:
    """Every version with learner, reason, parent, data range, parameters and figures; `next` is the `before` of the
    next page, null at the end."""
    versions, aliases = _registry(request, monitor)
    older = [version for version in versions if before is None or version["version"] < before]
    page = [_shown(version, aliases) for version in older[:limit]]
    following = page[-1]["version"] if len(older) > limit else None
    return json_response({"monitor": monitor, "aliases": aliases, "versions": page, "next": following})


# Before the path with a version: the first that fits is taken.
@router.get("/v1/monitors/{monitor}/versions/compare", tags=["registry"], summary="Two model versions side by side")
def _compare(request: Request, monitor: str, a: Reference, b: Reference) -> Response:
    """Both versions, and under `differences` every parameter, figure and end of the data range that differs; numbers
    with `b` minus `a`."""
    return json_response({"monitor": monitor} | compare(_find(request, monitor, a), _find(request, monitor, b)))


@router.get("/v1/monitors/{monitor}/versions/{version}", tags=["registry"], summary="One model version")
def _version(request: Request, monitor: str, version: str) -> Response:
    """By number, or by the alias `champion` or `challenger`."""
    return json_response(_find(request, monitor, version))


@router.get(
    "/v1/monitors/{monitor}/versions/{version}/download",
    tags=["registry"],
    summary="The snapshot of a model version",
    response_class=Response,
)
def _download(request: Request, monitor: str, version: str) -> Response:
    """The learner's canonical bytes; `X-Content-SHA256` (hexadecimal) and `Repr-Digest` carry their hash."""
    found = _find(request, monitor, version)
    data = _snapshot(request, found)
    name = f"{found['learner']}-v{found['version']}.snapshot"
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
    digest = base64.b64encode(bytes.fromhex(found["sha256"])).decode()
    headers = {
        "X-Content-SHA256": found["sha256"],
        "Repr-Digest": f"sha-256=:{digest}:",
        "Content-Disposition": f'attachment; filename="{safe}"',
    }
    return Response(data, headers=headers, media_type="application/octet-stream")


def _snapshot(request: Request, version: Version) -> bytes:
    """The snapshot of a version.

    Raises
    ------
    ProblemError
        410 if it is no longer kept, missing or damaged
    """
    if version["blob"] != "kept":
        raise ProblemError(
            410,
            "snapshot_evicted",
            detail=f"The snapshot of version {version['version']} is no longer kept.",
            what_to_do="Choose a newer version; registry.max_versions and registry.max_bytes say how many are kept.",
        )
    try:
        return port_of(request).snapshot(version["sha256"])
    except ModelFileError as error:
        raise ProblemError(
            410,
            "snapshot_unavailable",
            detail=f"Version {version['version']}: {error}.",
            what_to_do="Put the folder models back from a backup, or choose another version.",
        ) from error


@router.post(
    "/v1/monitors/{monitor}/promote",
    tags=["registry"],
    summary="Make a learner or a version the champion",
    status_code=202,
    openapi_extra=_PROMOTE_BODY,
)
async def _promote(request: Request, monitor: str) -> Response:
    """202 once the control event is durable. A learner, or its newest version, is promoted as it is now; an older
    version (or any, with `restore`) is put back in its learner's place first. The audit says what came of it."""
    seen = known_monitor(port_of(request), monitor)
    async with reader_of(request).body(request) as body:
        asked = decode_body(body, PromoteBody)
    if (asked.version is None) == (asked.learner is None):
        todo = 'Send {"version": 3}, {"version": "challenger"} or {"learner": "tree"}.'
        raise ProblemError(422, "bad_body", detail="Give either version or learner.", what_to_do=todo)
    if asked.restore and asked.version is None:
        todo = 'Send {"version": 3, "restore": true}, or leave restore out: a learner is promoted as it is.'
        raise ProblemError(422, "bad_body", detail="Only a version can be restored.", what_to_do=todo)
    version = None if asked.version is None else _find(request, monitor, asked.version)
    learner = str(asked.learner if version is None else version["learner"])
    _check_learner(request, monitor, learner)
    champion = next((n for n, figures in seen["learners"].items() if figures.get("role") == "champion"), None)
    if version is not None and (asked.restore or not _is_newest(request, monitor, version)):
        parameters = await run_in_threadpool(_restoration, request, version)
        parameters["promote"] = learner != champion
        place = await _append(request, monitor, "restore", parameters)
        return json_response(place | {"learner": learner, "version": version["version"]}, 202)
    if learner == champion:
        raise ProblemError(
            409,
            "champion_already",
            detail=f"Learner {learner!r} is the champion.",
            what_to_do="Name another one; to put an old snapshot back, name its version (with restore for the newest).",
        )
    place = await _append(request, monitor, "promote", {"learner": learner})
    return json_response(place | {"learner": learner, "version": None if version is None else version["version"]}, 202)


def _check_learner(request: Request, monitor: str, learner: str) -> None:
    learners = port_of(request).config().monitors[monitor].learners
    if learner not in learners:
        raise ProblemError(
            422,
            "unknown_learner",
            detail=f"Monitor {monitor!r} has no learner {learner[:100]!r}.",
            what_to_do=f"Use one of: {', '.join(learners) or 'none is configured'}.",
        )


def _is_newest(request: Request, monitor: str, version: Version) -> bool:
    versions, _ = _registry(request, monitor)
    newest = next(other for other in versions if other["learner"] == version["learner"])
    return bool(newest["version"] == version["version"])


def _restoration(request: Request, version: Version) -> dict[str, Any]:
    """The parameters of a `restore` event, the snapshot among them.

    Raises
    ------
    ProblemError
        410 without a snapshot, 413 where an event cannot carry it
    """
    snapshot = _snapshot(request, version)
    limit = port_of(request).config().dead_letters.max_bytes
    # The other parameters are short; what they take is left out of the room for the snapshot.
    room = (limit - 4_096) // 4 * 3
    if len(snapshot) > room:
        raise ProblemError(
            413,
            "snapshot_too_large",
            detail=f"The snapshot of version {version['version']} has {len(snapshot)} bytes; an event carries {room}.",
            what_to_do="Raise dead_letters.max_bytes (the longest event that is read), or promote a learner as it is.",
        )
    named = ("learner", "version", "sha256", "estimator", "learned")
    return {name: version[name] for name in named} | {"snapshot": base64.b64encode(snapshot).decode()}


async def _append(request: Request, monitor: str, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    event = {"type": "control", "monitor": monitor, "time": now_ms(), "action": action, "parameters": parameters}
    verdict = await append_event(request, event)
    return {"monitor": monitor, "action": action, "partition": verdict.partition, "offset": verdict.offset}


@router.post(
    "/v1/monitors/{monitor}/roll_back",
    tags=["registry"],
    summary="Return to the champion before the last promotion",
    status_code=202,
)
async def _roll_back(request: Request, monitor: str) -> Response:
    """202 once the control event is durable; the audit says what came of it. It has no body."""
    known_monitor(port_of(request), monitor)
    return json_response(await _append(request, monitor, "roll_back", {}), 202)


@router.get("/v1/audit", tags=["registry"], summary="The audit trail, newest first")
def _audit(
    request: Request,
    limit: Limit = 100,
    partition: Annotated[int | None, Query(description="Only of this partition.")] = None,
    verify: Annotated[bool, Query(description="Check the whole trail first, and the versions against it.")] = False,
) -> Response:
    """Entries with their hashes, the newest 1,000 of each partition; `heads` is what to note elsewhere. `verified` is
    null unless asked for: then what a check of the whole trail and of the versions found, a forged entry by its number;
    without any partition it is not `ok`."""
    port = port_of(request)
    trails: Mapping[str, Sequence[AuditRow]] = port.view().get("audit", {})
    chosen = {name: rows for name, rows in trails.items() if partition is None or name == str(partition)}
    rows = sorted((row for trail in chosen.values() for row in trail), key=lambda row: (-row.seq, row.partition))
    heads = {name: {"seq": r[0].seq, "sha256": r[0].sha256} if r else None for name, r in chosen.items()}
    verified = None
    if verify:
        try:
            verdicts = port.verify_audit()
        except UnavailableError as error:
            todo = "Ask again; /readyz says what is away."
            raise ProblemError(503, "not_verified", detail=f"{error}.", what_to_do=todo) from error
        verified = shown(verdicts)
    return json_response({"entries": rows[:limit], "heads": heads, "verified": verified})
