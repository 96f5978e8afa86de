"""Small files and names that are still there after a power cut.

A newcomer needs one fact: fsync of a file does not make its name durable; its folder needs one too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

__all__ = ["sync_folder", "write_durably"]


def write_durably(path: Path, content: dict[str, int]) -> None:
    """Replace a small JSON file so that a crash leaves the old or the new one."""
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(json.dumps(content).encode())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
