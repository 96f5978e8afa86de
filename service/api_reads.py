"""Everything that HTTP may read: monitors, drifts, rejects, alerts, series, schema, health and metrics.

All of it comes from the read view of the last commit, so an answer costs its encoding and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from prometheus_client.exposition import choose_encoder

from service.api_models import ServicePort
from service.api_problems import ProblemError, problem_response

__all__ = ["json_response", "known_monitor", "port_of", "router"]

router = APIRouter()

_LONG = frozenset({"series", "segments"})

DriftStatus = Literal["warning", "drift", "resolved", "revised", "retracted", "accepted"]
DriftKind = Literal["data", "concept", "performance", "prediction", "quality"]
Limit = Annotated[int, Query(ge=1, le=1_000, description="How many at most.")]
Monitor = Annotated[str | None, Query(description="Only of this monitor.")]
Record = Mapping[str, Any]


def port_of(request: Request) -> ServicePort:
    """The service behind the application that got `request`."""
    port: ServicePort = request.app.state.port
    return port


def json_response(content: Any, status: int = 200) -> Response:
    """Encode `content`; what is not finite becomes null."""
    return Response(msgspec.json.encode(content, enc_hook=_as_dict), status, media_type="application/json")


def _as_dict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"{type(value).__name__} is no part of an answer")


def known_monitor(port: ServicePort, name: str) -> Record:
    """The view of monitor `name`; one that is configured and has seen nothing yet is waiting.

    Raises
    ------
    ProblemError
        404 with the names that exist
    """
    monitors = _all_monitors(port)
    if name not in monitors:
        known = ", ".join(islice(sorted(monitors), 20)) or "none is configured"
        raise ProblemError(
            404,
            "unknown_monitor",
            detail=f"No monitor is named {name[:100]!r}.",
            what_to_do=f"Use one of: {known}. Monitors exist by configuration only.",
        )
    return monitors[name]


def _all_monitors(port: ServicePort) -> dict[str, Record]:
    seen: Mapping[str, Record] = port.view().get("monitors", {})
    waiting = {n: _waiting(n, m.task) for n, m in port.config().monitors.items() if n not in seen}
    return {**seen, **waiting}


def _waiting(name: str, task: str) -> Record:
    return {
        "name": name,
        "task": task,
        "phase": "waiting",
        "phase_detail": "no event has been folded here yet",
        "events_left": None,
        "verdict": {
            "answer": "cannot_tell",
            "since_ms": None,
            "reason": "no event has been folded here yet",
            "what_to_do": "Send predictions to POST /v1/events or to the topic.",
        },
        "counts": {},
        "coverage": {"by_class": {}},
        "bounds": {},
        "signals": [],
        "open": [],
        "incidents": [],
        "producer": {},
        "learners": {},
        "segments": {},
        "rejected": {},
        "series": {},
    }


@router.get("/v1/monitors", tags=["read"], summary="All monitors, in brief")
def _monitors(request: Request) -> Response:
    """Phase, verdict, counts, signals, open episodes and models of every monitor, and the service's own figures.
    Series and segments, of which there may be many, stand with each monitor."""
    port = port_of(request)
    brief = {n: {k: v for k, v in m.items() if k not in _LONG} for n, m in _all_monitors(port).items()}
    return json_response({"service": port.view().get("service", {}), "monitors": brief})


@router.get("/v1/monitors/{monitor}", tags=["read"], summary="One monitor, with its series")
def _monitor_detail(request: Request, monitor: str) -> Response:
    """Everything known of one monitor as of the last commit, `state_sha256` included."""
    return json_response(known_monitor(port_of(request), monitor))


@router.get("/v1/series/{monitor}", tags=["read"], summary="The series of one monitor")
def _series(request: Request, monitor: str, name: str | None = None, since: int = -1) -> Response:
    """Pairs of event and value, by name; `name` chooses one, `since` leaves out events up to it."""
    every: Mapping[str, Sequence[Sequence[float]]] = known_monitor(port_of(request), monitor)["series"]
    if name is not None and name not in every:
        known = ", ".join(islice(every, 50)) or "none yet"
        detail = f"{monitor!r} has no series {name[:100]!r}."
        raise ProblemError(404, "unknown_series", detail=detail, what_to_do=f"Use one of: {known}.")
    chosen = every if name is None else {name: every[name]}
    return json_response({"monitor": monitor, "series": {n: [p for p in s if p[0] > since] for n, s in chosen.items()}})


@router.get("/v1/drifts", tags=["read"], summary="Drift records, newest first")
def _drifts(
    request: Request,
    monitor: Monitor = None,
    *,
    status: DriftStatus | None = None,
    kind: DriftKind | None = None,
    limit: Limit = 100,
    before: Annotated[str | None, Query(description="Only older than the record with this id.")] = None,
) -> Response:
    """The newest 1,000 are kept; `next` is the `before` of the next page, null at the end."""
    port = port_of(request)
    wanted = {"monitor": _existing(port, monitor), "status": status, "kind": kind}
    return json_response(_page(port.view().get("drifts", []), "drifts", _matches(wanted), limit=limit, before=before))


@router.get("/v1/drifts/{drift_id}", tags=["read"], summary="One drift record, and its episode's others")
def _drift(request: Request, drift_id: str) -> Response:
    """By the id of a record or of an episode (then its newest record); `history` is the episode, oldest first."""
    records: Sequence[Record] = port_of(request).view().get("drifts", [])
    found = next((r for r in records if r["id"] == drift_id), None)
    found = found or next((r for r in records if r.get("episode") == drift_id), None)
    if found is None:
        detail = f"No drift record or episode has the id {drift_id[:100]!r} among the newest 1,000."
        todo = "Look in the drift topic for older ones; GET /v1/drifts lists what is here."
        raise ProblemError(404, "unknown_drift", detail=detail, what_to_do=todo)
    episode = found.get("episode")
    history = [r for r in reversed(records) if episode is not None and r.get("episode") == episode]
    return json_response({"drift": found, "history": history or [found]})


@router.get("/v1/rejects", tags=["read"], summary="Refused events: counts by reason, and the newest")
def _rejects(request: Request, monitor: Monitor = None, reason: str | None = None, limit: Limit = 100) -> Response:
    """Payloads are not shown here; the dead-letter topic has them as far as they may be shown."""
    port = port_of(request)
    kept: Mapping[str, Any] = port.view().get("rejects", {})
    matches = _matches({"monitor": _existing(port, monitor), "reason": reason})
    newest = list(islice(filter(matches, kept.get("latest", [])), limit))
    return json_response({"by_reason": kept.get("by_reason", {}), "rejects": newest})


@router.get("/v1/alerts", tags=["read"], summary="Alerts, newest first, and the state of every webhook")
def _alerts(
    request: Request,
    status: str | None = None,
    endpoint: str | None = None,
    limit: Limit = 100,
    before: Annotated[str | None, Query(description="Only older than the alert with this id.")] = None,
) -> Response:
    """What was sent, waits or failed; `endpoints` says per webhook how it is."""
    port = port_of(request)
    matches = _matches({"status": status, "endpoint": endpoint})
    page = _page(port.view().get("alerts", []), "alerts", matches, limit=limit, before=before)
    return json_response(page | {"endpoints": dict(port.webhook_status())})


def _existing(port: ServicePort, monitor: str | None) -> str | None:
    return None if monitor is None else str(known_monitor(port, monitor)["name"])


def _matches(wanted: Mapping[str, str | None]) -> Callable[[Record], bool]:
    asked = [(field, value) for field, value in wanted.items() if value is not None]
    return lambda record: all(record.get(field) == value for field, value in asked)


def _page(
    records: Sequence[Record], name: str, matches: Callable[[Record], bool], *, limit: int, before: str | None
) -> dict[str, Any]:
    start = 0
    if before is not None:
        place = next((n for n, r in enumerate(records) if r["id"] == before), None)
        if place is None:
            detail = f"before = {before[:100]!r} is no id among those kept."
            todo = "Start again without it; older records have been dropped meanwhile."
            raise ProblemError(400, "unknown_cursor", detail=detail, what_to_do=todo)
        start = place + 1
    found = list(islice(filter(matches, islice(records, start, None)), limit + 1))
    page = found[:limit]
    return {name: page, "next": page[-1]["id"] if len(found) > limit else None}


@router.get("/v1/schema", tags=["read"], summary="The JSON Schema of an event")
def _event_schema() -> Response:
    """The contract of what `POST /v1/events` and the topic take."""
    return Response(_schema_bytes(), media_type="application/schema+json")


@cache
def _schema_bytes() -> bytes:
    from stream.contract import event_schema

    return msgspec.json.encode(event_schema())


@router.get("/metrics", tags=["health"], summary="Metrics for Prometheus")
def _metrics(request: Request) -> Response:
    """Text or OpenMetrics, as the Accept header asks; `docs/metrics.md` explains each."""
    encoder, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encoder(request.app.state.registry), media_type=content_type)


@router.get("/healthz", tags=["health"], summary="Alive")
async def _healthz() -> Response:
    """200 as long as the process answers."""
    return json_response({"alive": True})


@router.get("/readyz", tags=["health"], summary="Ready to fold events")
def _readyz(request: Request) -> Response:
    """200 when every part is "ok"; else 503 with the reason of each part that is not."""
    is_ready, parts = port_of(request).ready()
    if is_ready:
        return json_response({"ready": True, "parts": dict(parts)})
    why = "; ".join(f"{part}: {reason}" for part, reason in parts.items() if reason != "ok") or "no part says why"
    problem = ProblemError(
        503,
        "not_ready",
        detail=why,
        what_to_do="Wait if it has just started; else mend the part that is named.",
        headers={"Retry-After": "5"},
        extra={"ready": False, "parts": dict(parts)},
    )
    return problem_response(problem, request.url.path)
