"""A process that feeds the service over HTTP and keeps the ledger: what was acknowledged, once and for all.

`python -m tests.kills.feeder PORT LEDGER PREDICTIONS BLOCK GATE`: each block is sent again until it is acknowledged, a
little later comes the next, and no more events are sent than the number in the file GATE allows, so that the stream
lasts for all kills.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import time
from pathlib import Path

from tests.kills.stream import events

PAUSE_S = 0.2


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


def main(port: int, ledger: Path, predictions: int, block_n: int, gate: Path) -> None:
    """Feed the whole stream."""
    stream = events(predictions)
    sent = 0
    with ledger.open("ab") as book:
        while block := list(itertools.islice(stream, block_n)):
            body = b"\n".join(block) + b"\n"
            while not send(port, body):
                time.sleep(0.02)
            book.write(body)
            book.flush()
            sent += len(block)
            time.sleep(PAUSE_S)
            while sent >= int(gate.read_text()):
                time.sleep(PAUSE_S)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
