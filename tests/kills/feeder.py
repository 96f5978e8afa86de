"""A process that feeds the service over HTTP and keeps the ledger: what was acknowledged, once and for all.

`python -m tests.kills.feeder PORT LEDGER PREDICTIONS BLOCK PAUSE`: each block is sent again until it is acknowledged,
and PAUSE seconds after it comes the next, so that the stream lasts for all kills.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import time
from pathlib import Path

from tests.kills.stream import events


def send(port: int, body: bytes) -> bool:
    """Post one block; True once it is acknowledged."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/v1/events", body, {"content-type": "application/x-ndjson"})
        answer = connection.getresponse()
        content = answer.read()
        return answer.status == 200 and len(json.loads(content)["items"]) == body.count(b"\n")
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


def main(port: int, ledger: Path, predictions: int, block_n: int, pause_s: float) -> None:
    """Feed the whole stream."""
    stream = events(predictions)
    with ledger.open("ab") as book:
        while block := list(itertools.islice(stream, block_n)):
            body = b"\n".join(block) + b"\n"
            while not send(port, body):
                time.sleep(0.02)
            book.write(body)
            book.flush()
            time.sleep(pause_s)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
