"""A process that receives webhooks and writes the ids to a file: `python -m tests.kills.receiver PORT FILE`.

Every fifth delivery is refused, so that retries happen too.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

_numbers = count(1)


class Endpoint(BaseHTTPRequestHandler):
    """Takes a delivery, or refuses it."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        if next(_numbers) % 5 == 0:
            self.send_response(503)
            self.send_header("retry-after", "1")
            self.end_headers()
            return
        with Path(sys.argv[2]).open("a", encoding="utf-8") as file:
            file.write(self.headers["webhook-id"] + "\n")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Endpoint).serve_forever()
