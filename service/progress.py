"""How far the worker is, for an outside observer that may kill it at any moment.

If `ANCHORWATCH_PROGRESS_FILE` names a file, four counters are kept in it through a shared mapping, which outlives a
SIGKILL: messages folded, messages committed, unsent outbox rows, commits. Otherwise nothing happens.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["PROGRESS_BYTES", "Progress", "read_progress"]

_LAYOUT = struct.Struct("<4q")
PROGRESS_BYTES = _LAYOUT.size


class Progress:
    """Counters in a shared file, or nowhere."""

    def __init__(self, mapping: mmap.mmap | None) -> None:
        self._mapping = mapping
        self._values = [0, 0, 0, 0]

    @classmethod
    def from_environment(cls) -> Progress:
        """Open the file that the environment names, if it names one."""
        path = os.environ.get("ANCHORWATCH_PROGRESS_FILE")
        if not path:
            return cls(None)
        with Path(path).open("r+b") as file:
            return cls(mmap.mmap(file.fileno(), PROGRESS_BYTES))

    def claimed(self, owned: Mapping[int, Any]) -> None:
        """Note what was committed before this process began."""
        self._set(1, sum(part.fold_state.messages for part in owned.values()))

    def folded(self, owned: Mapping[int, Any]) -> None:
        """Note what has been folded."""
        self._set(0, sum(part.fold_state.messages for part in owned.values()))

    def committed(self, owned: Mapping[int, Any]) -> None:
        """Note that everything folded has been committed."""
        self._set(1, sum(part.fold_state.messages for part in owned.values()))
        self._set(3, self._values[3] + 1)

    def unsent(self, rows: int) -> None:
        """Note how many outbox rows are due and unsent."""
        self._set(2, rows)

    def _set(self, place: int, value: int) -> None:
        self._values[place] = value
        if self._mapping is not None:
            _LAYOUT.pack_into(self._mapping, 0, *self._values)


def read_progress(data: bytes) -> tuple[int, int, int, int]:
    """(folded, committed, unsent, commits) from the file's bytes."""
    folded, committed, unsent, commits = _LAYOUT.unpack_from(data)
    return folded, committed, unsent, commits
