"""Errors over HTTP as problem details (RFC 9457): each says what is wrong with this very request and what to do.

`type` is a URN that programs may compare; `detail` and `what_to_do` are for a person.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from stream.errors import UnavailableError

__all__ = ["SAFE_HEADERS", "ProblemError", "install_problems", "problem_response"]

log = logging.getLogger("anchorwatch.api")

SAFE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every answer: nothing from elsewhere, no sniffing, no frame, no other origin."""

_URN = "urn:anchorwatch:problem:"


class ProblemError(Exception):
    """A request that cannot be answered as asked.

    Parameters
    ----------
    status : the HTTP status, 400 to 599
    name : what programs compare, in lower case with underscores
    detail : what is wrong, with the value
    what_to_do : the next step of a person
    headers : more headers of the answer
    extra : more members of the body
    """

    def __init__(
        self,
        status: int,
        name: str,
        *,
        detail: str,
        what_to_do: str,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.detail = detail
        self.what_to_do = what_to_do
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


def problem_response(problem: ProblemError, path: str) -> Response:
    """Write `problem` as the answer to a request for `path`."""
    body = {
        **problem.extra,
        "type": _URN + problem.name,
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "what_to_do": problem.what_to_do,
        "instance": path,
    }
    return Response(
        msgspec.json.encode(body), problem.status, headers=problem.headers, media_type="application/problem+json"
    )


def install_problems(app: FastAPI) -> None:
    """Let every error of `app` be answered as a problem."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(UnavailableError, _on_unavailable)
    app.add_exception_handler(Exception, _on_unexpected)


def _on_problem(request: Request, error: Any) -> Response:
    return problem_response(error, request.url.path)


def _on_validation(request: Request, error: Any) -> Response:
    found = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    todo = "Correct the parameter; /docs lists all of them."
    return problem_response(ProblemError(400, "bad_parameter", detail=found, what_to_do=todo), request.url.path)


def _on_http(request: Request, error: Any) -> Response:
    name = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    detail = f"{request.method} {request.url.path}: {error.detail}"
    problem = ProblemError(
        error.status_code, name, detail=detail, what_to_do="See /docs for every path and method.", headers=error.headers
    )
    return problem_response(problem, request.url.path)


def _on_unavailable(request: Request, error: Exception) -> Response:
    problem = ProblemError(
        503,
        "log_unavailable",
        detail=f"The log of events cannot be written now: {error}",
        what_to_do="Send the same request again later; ids make repeats harmless. /readyz says what is away.",
        headers={"Retry-After": "5"},
    )
    return problem_response(problem, request.url.path)


def _on_unexpected(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    problem = ProblemError(
        500,
        "internal",
        detail=f"A fault of the service ({type(error).__name__}); its log has the details.",
        what_to_do="Try again; if it stays, report it with the lines of the log.",
        # Starlette answers this one outside of all middleware.
        headers=SAFE_HEADERS,
    )
    return problem_response(problem, request.url.path)
