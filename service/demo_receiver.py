"""A local receiver of the demo's webhooks that checks every signature itself and counts what it got."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from service.config import WebhookConfig

__all__ = ["Receiver"]


class Receiver:
    """Listens on a free loopback port while it is entered."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(24)
        self.received = 0
        self.verified = 0
        self.ids: set[str] = set()
        self._guard = threading.Lock()
        receiver = self

        class Endpoint(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                good = receiver.take(dict(self.headers.items()), body)
                self.send_response(204 if good else 401)
                self.end_headers()

            def log_message(self, *_: object) -> None:  # silence: the counts say it
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        self._thread = threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True)

    def webhook(self) -> WebhookConfig:
        """The configuration that sends here."""
        secret = "whsec_" + base64.b64encode(self._key).decode()
        return WebhookConfig(
            url=f"http://127.0.0.1:{self._server.server_port}/alerts", secret=secret, allow_private=True
        )

    def take(self, headers: dict[str, str], body: bytes) -> bool:
        """Check one delivery by Standard Webhooks; counts it."""
        lowered = {name.lower(): value for name, value in headers.items()}
        message_id = lowered.get("webhook-id", "")
        signed = f"{message_id}.{lowered.get('webhook-timestamp', '')}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()
        given = lowered.get("webhook-signature", "").split(" ")
        good = any(hmac.compare_digest(expected, signature) for signature in given)
        with self._guard:
            self.received += 1
            self.verified += good
            self.ids.add(message_id)
        return good

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
