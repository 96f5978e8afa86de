"""A blocking client of the HTTP application, and what tests of its answers share."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
from fastapi import FastAPI

__all__ = ["JSON", "NDJSON", "Client", "prediction", "problem"]

NDJSON = {"content-type": "application/x-ndjson"}
JSON = {"content-type": "application/json"}


class Client:
    """A blocking client of an application; its faults are answers, not exceptions."""

    def __init__(self, app: FastAPI) -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://anchorwatch.test")
        self._runner = asyncio.Runner()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send and wait."""
        return self._runner.run(self._client.request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", path, **options)

    def close(self) -> None:
        """Close client and loop."""
        self._runner.run(self._client.aclose())
        self._runner.close()


def prediction(n: int, **more: Any) -> bytes:
    """A valid event."""
    event = {"type": "prediction", "id": f"tx-{n}", "monitor": "fraud", "time": "2026-03-01T10:00:00Z"}
    return json.dumps(event | {"features": {"amount": n, "country": "FR"}} | more).encode()


def problem(reply: Any, status: int, name: str) -> dict[str, Any]:
    """The problem of `reply`, whose form is checked."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = reply.json()
    assert body["type"] == f"urn:anchorwatch:problem:{name}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["what_to_do"]
    return body
