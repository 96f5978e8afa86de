"""The HTTP application: JSON paths under /v1, health, metrics, the page and the documentation of the API.

A newcomer needs one fact: every answer is safe to show in a browser (content security policy, no sniffing, no other
origin), and nothing that it needs comes from elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry, ProcessCollector
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import api_reads, api_registry, api_writes
from service.api_body import BodyReader
from service.api_models import NotReadyError, ServicePort
from service.api_problems import SAFE_HEADERS, ProblemError, install_problems
from service.metrics import AnchorwatchCollector

__all__ = ["NotReadyError", "ServicePort", "create_app"]

_ASSETS = Path(__file__).parent / "assets"
_DESCRIPTION = (
    "Anchorwatch reads the stream of a model's predictions and the labels that come later, says when, where and how "
    "data or concept drifted, and keeps adaptive learners running beside the model. Errors are problem details "
    "(RFC 9457) that say what to do."
)


def create_app(port: ServicePort, *, registry: CollectorRegistry | None = None, body_grace_s: float = 10.0) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    port : the service behind it
    registry : what `/metrics` shows; by default a new one with the service's collector and the process's figures
    body_grace_s : how long a request's body may take before its speed counts
    """
    app = FastAPI(
        title="Anchorwatch",
        version=str(port.view().get("service", {}).get("version", "")) or "0",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
    )
    app.state.port = port
    app.state.registry = _registry(port) if registry is None else registry
    app.state.reader = BodyReader(port.config().http.max_body_bytes, grace_s=body_grace_s)
    install_problems(app)
    app.include_router(api_reads.router)
    app.include_router(api_writes.router)
    app.include_router(api_registry.router)
    app.add_api_route("/", _page, include_in_schema=False)
    app.add_api_route("/docs", _docs, include_in_schema=False)
    app.mount("/assets", StaticFiles(directory=_ASSETS, check_dir=False))
    app.add_middleware(_SafeHeaders)
    return app


def _registry(port: ServicePort) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(AnchorwatchCollector(port))
    ProcessCollector(registry=registry)
    return registry


async def _page() -> Response:
    return _asset("index.html")


async def _docs() -> Response:
    return _asset("docs.html")


def _asset(name: str) -> Response:
    path = _ASSETS / name
    if not path.is_file():
        todo = "Install the package anew; the JSON paths under /v1 work all the same."
        raise ProblemError(404, "no_page", detail=f"{name} is not installed.", what_to_do=todo)
    return FileResponse(path)


class _SafeHeaders:
    """Adds the safe headers to every answer, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Assets are asked for again by their ETag; everything else is another answer each time.
        is_asset = scope["path"].startswith("/assets/")

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SAFE_HEADERS)
                headers.setdefault("Cache-Control", "no-cache" if is_asset else "no-store")
            await send(message)

        await self._app(scope, receive, send_safely)
