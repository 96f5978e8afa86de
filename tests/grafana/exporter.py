"""Two small servers for the tests: one that Prometheus scrapes, one that receives Alertmanager's notifications."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Receiver", "exporter"]


class _Quiet(BaseHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the base class names it so
        """Say nothing: the tests read answers, not logs."""


@contextmanager
def _served(answering: type[_Quiet]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), answering)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def exporter(text: Callable[[], bytes]) -> Iterator[int]:
    """Serve what `text` returns at each scrape; yields the port."""

    class Answering(_Quiet):
        def do_GET(self) -> None:
            body = text()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with _served(Answering) as port:
        yield port


class Receiver:
    """Keeps each notification with the path that it was sent to."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, Any]]] = []

    def alerts(self, path: str) -> dict[str, dict[str, Any]]:
        """The firing alerts that came to `path`, by name."""
        groups = [body for to, body in list(self.received) if to == path]
        return {a["labels"]["alertname"]: a for group in groups for a in group["alerts"] if a["status"] == "firing"}

    @contextmanager
    def served(self) -> Iterator[int]:
        """Receive until the block ends; yields the port."""
        received = self.received

        class Answering(_Quiet):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append((self.path, json.loads(body)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        with _served(Answering) as port:
            yield port
