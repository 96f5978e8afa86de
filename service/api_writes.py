"""Everything that HTTP may cause: events in, predictions out, control events. Each is an append to the log.

A newcomer needs one fact: an answer comes only after the append is durable; folding happens later, in log order.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from service.api_body import JSON_TYPES, NDJSON_TYPES, BodyReader, decode_body, split_items
from service.api_models import ControlBody, NotReadyError, PredictBody
from service.api_problems import ProblemError
from service.api_reads import json_response, known_monitor, port_of
from service.ingest import Verdict
from stream.events import CONTROL_ACTIONS

__all__ = ["append_event", "json_body", "now_ms", "reader_of", "router"]

router = APIRouter()

_EVENT = {"$ref": "/v1/schema"}
_EVENTS_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            NDJSON_TYPES[0]: {"schema": {"type": "string", "description": "One event a line."}},
            JSON_TYPES[0]: {"schema": {"oneOf": [{"type": "array", "items": _EVENT}, _EVENT]}},
        },
    }
}


def json_body(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON body of that shape, for the documentation of the API."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_PREDICT_BODY = json_body(
    {
        "type": "object",
        "required": ["features"],
        "properties": {
            "features": {"type": "object"},
            "id": {"type": ["string", "integer"], "description": "Needed with record=true."},
            "time": {"type": ["string", "integer"], "description": "Of the event; now, if left out."},
            "segment": {"type": "object"},
        },
    }
)
_CONTROL_BODY = json_body(
    {
        "type": "object",
        "required": ["action"],
        "properties": {"action": {"enum": list(CONTROL_ACTIONS)}, "parameters": {"type": "object"}},
    }
)


def now_ms() -> int:
    """The wall clock, for events that HTTP puts together."""
    return time.time_ns() // 1_000_000


def reader_of(request: Request) -> BodyReader:
    """What reads the bodies of requests to this application."""
    reader: BodyReader = request.app.state.reader
    return reader


@router.post("/v1/events", tags=["write"], summary="Take events", openapi_extra=_EVENTS_BODY)
async def _events(request: Request) -> Response:
    """One event a line (NDJSON), a JSON array, or one JSON object. 200 once everything is durable, with a verdict for
    each item in order; refused items are in the log too and will be dead-lettered. Repeats are told and harmless."""
    async with reader_of(request).body(request) as body:
        items = split_items(body, request.headers.get("content-type", ""))
        if not items:
            todo = "Send one event a line, a JSON array, or one JSON object."
            raise ProblemError(400, "no_items", detail="The body holds no event.", what_to_do=todo)
        verdicts = await run_in_threadpool(port_of(request).ingest().append, items)
    return json_response(
        {
            "accepted": sum(v.status == "accepted" for v in verdicts),
            "duplicates": sum(v.status == "duplicate" for v in verdicts),
            "rejected": sum(v.status == "rejected" for v in verdicts),
            "items": verdicts,
        }
    )


@router.post("/v1/monitors/{monitor}/predict", tags=["write"], summary="Ask the champion", openapi_extra=_PREDICT_BODY)
async def _predict(
    request: Request,
    monitor: str,
    record: Annotated[bool, Query(description="Append the prediction as an event; the fold then uses it.")] = False,
) -> Response:
    """Answers from the last committed champion and touches no state. With `record=true` (an `id` is needed) a
    prediction event that carries this answer and version is durable before the answer goes out, under `event`."""
    port = port_of(request)
    known_monitor(port, monitor)
    async with reader_of(request).body(request) as body:
        asked = decode_body(body, PredictBody)
    if record and asked.id is None:
        todo = "Give the id that the label will answer, or leave record out."
        raise ProblemError(422, "id_needed", detail="record=true without an id.", what_to_do=todo)
    # An unrecorded question is held to the same schema; it only needs some id.
    event = _prediction_event(monitor, asked)
    refusal = port.ingest().refusal(msgspec.json.encode(event))
    if refusal is not None:
        raise _refused(*refusal)
    try:
        answer = dict(await run_in_threadpool(port.predict, monitor, asked.features))
    except NotReadyError as error:
        raise ProblemError(
            503,
            "no_champion",
            detail=str(error) or f"Monitor {monitor!r} has no champion yet.",
            what_to_do="Wait until a learner has learnt, or configure learners and a champion.",
            headers={"Retry-After": "10"},
        ) from error
    except ValueError as error:
        todo = "Send the features of the monitor's schema."
        raise ProblemError(422, "bad_features", detail=str(error), what_to_do=todo) from error
    if record:
        said = {name: answer[name] for name in ("prediction", "scores") if answer.get(name) is not None}
        version = answer.get("model_version", answer.get("model"))
        answer["event"] = await append_event(
            request, event | said | ({} if version is None else {"model_version": version})
        )
    return json_response({"monitor": monitor} | answer)


def _prediction_event(monitor: str, asked: PredictBody) -> dict[str, Any]:
    return {
        "type": "prediction",
        "id": "unrecorded" if asked.id is None else asked.id,
        "monitor": monitor,
        "time": now_ms() if asked.time is None else asked.time,
        "features": asked.features,
        "segment": asked.segment,
    }


@router.post(
    "/v1/monitors/{monitor}/control",
    tags=["write"],
    summary="Append a control event",
    status_code=202,
    openapi_extra=_CONTROL_BODY,
)
async def _control(request: Request, monitor: str) -> Response:
    """202 once durable, with the place in the log where the change takes effect; the audit says what came of it."""
    known_monitor(port_of(request), monitor)
    async with reader_of(request).body(request) as body:
        asked = decode_body(body, ControlBody)
    if asked.action not in CONTROL_ACTIONS:
        raise ProblemError(
            422,
            "unknown_action",
            detail=f"action = {asked.action[:100]!r} does not exist.",
            what_to_do=f"Use one of: {', '.join(CONTROL_ACTIONS)}.",
        )
    event = {"type": "control", "monitor": monitor, "time": now_ms()}
    verdict = await append_event(request, event | {"action": asked.action, "parameters": asked.parameters})
    place = {"partition": verdict.partition, "offset": verdict.offset}
    return json_response({"monitor": monitor, "action": asked.action} | place, 202)


async def append_event(request: Request, event: Mapping[str, Any]) -> Verdict:
    """Append one event that HTTP itself has put together; a refusal is the asker's mistake."""
    ingest = port_of(request).ingest()
    (verdict,) = await run_in_threadpool(ingest.append, [msgspec.json.encode(event)])
    if verdict.status == "rejected":
        raise _refused(verdict.reason or "rejected", verdict.detail or "")
    return verdict


def _refused(reason: str, detail: str) -> ProblemError:
    todo = "Correct it and send it again; GET /v1/schema and the monitor's configuration say what is allowed."
    return ProblemError(422, reason, detail=f"The event is refused: {detail}.", what_to_do=todo)
