"""From `anchorwatch serve` to the first page and to readiness, with kernels that had been compiled before.

`python -m benchmarks.startup`: three starts on one data folder, the best of each.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.kills.stream import CONFIGURATION
from tests.service.served import Served

STARTS = 3


def main() -> None:
    """Print the figures."""
    pages, readies = [], []
    with tempfile.TemporaryDirectory() as folder:
        service = Served(Path(folder), CONFIGURATION)
        for _ in range(STARTS + 1):  # the first may still compile
            began = time.monotonic()
            pages.append(service.start())
            while service.ask("/readyz")[0] != 200:
                time.sleep(0.02)
            readies.append(time.monotonic() - began)
            service.stop()
    sys.stdout.write(f"first page after {min(pages[1:]):.1f} s, ready after {min(readies[1:]):.1f} s\n")


if __name__ == "__main__":
    main()
