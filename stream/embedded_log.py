"""A durable log in a folder: topics, partitions, segment files; the broker of an installation without Kafka.

A newcomer needs one fact: an append returns after an fsync, concurrent callers share one, and a reader never
sees a record before it is durable.

    FOLDER/lock                                     one process at a time
    FOLDER/TOPIC/topic.json                         format, number of partitions
    FOLDER/TOPIC/00000/00000000000000000000.log     frames (see log_segment), named by their first offset
    FOLDER/TOPIC/00000/end                          an offset known to be durable: never ends before it
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading
from pathlib import Path

from stream.durable_files import sync_folder, write_durably
from stream.errors import BrokerUnavailableError, LogCorruptError
from stream.log_partition import LogPartition

__all__ = ["EmbeddedLog"]

_FORMAT = 1
_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
# Small enough to be scanned within half a second after a crash, large enough that segments stay few.
_SEGMENT_BYTES = 64 * 1024 * 1024


class EmbeddedLog:
    """All topics of one folder; every method may be called by any thread.

    Parameters
    ----------
    folder : where the log lives; made if it is missing
    segment_bytes : a segment that would grow beyond this is closed and the next one begun (at least 1)

    Attributes
    ----------
    grown : threading.Condition
        Notified after every append, and when the log is closed.

    Raises
    ------
    BrokerUnavailableError
        Another process has the folder open.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = _SEGMENT_BYTES) -> None:
        if segment_bytes < 1:
            raise ValueError(f"segment_bytes={segment_bytes}: must be at least 1")
        self.folder = folder
        self.grown = threading.Condition()
        self._segment_bytes = segment_bytes
        self._guard = threading.Lock()
        self._open: dict[tuple[str, int], LogPartition] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._lock: int | None = _lock_folder(folder)

    def create_topic(self, topic: str, partitions: int) -> None:
        """Make a topic, or check that it has this many partitions already."""
        if partitions < 1:
            raise ValueError(f"partitions={partitions}: a topic has at least 1")
        if not _TOPIC_NAME.fullmatch(topic) or topic in {".", ".."}:
            raise ValueError(f"topic={topic!r}: 1 to 249 of the characters A-Z a-z 0-9 . _ -")
        with self._guard:
            self._check_open()
            present = self._read_partitions(topic)
            if present is None:
                (self.folder / topic).mkdir(exist_ok=True)
                sync_folder(self.folder)
                write_durably(self.folder / topic / "topic.json", {"format": _FORMAT, "partitions": partitions})
            elif present != partitions:
                raise ValueError(f"partitions={partitions}: topic {topic!r} was made with {present}; use {present}")

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has, 0 if it does not exist."""
        with self._guard:
            return self._read_partitions(topic) or 0

    def partition(self, topic: str, number: int) -> LogPartition:
        """Open a partition; a damaged one raises `LogCorruptError` here and leaves the others alone."""
        with self._guard:
            self._check_open()
            found = self._open.get((topic, number))
            if found is None:
                count = self._read_partitions(topic) or 0
                if not 0 <= number < count:
                    raise ValueError(f"partition={number}: topic {topic!r} has {count} partitions, counted from 0")
                found = LogPartition(
                    self.folder / topic / f"{number:05d}",
                    (topic, number),
                    segment_bytes=self._segment_bytes,
                    on_growth=self._announce,
                )
                self._open[topic, number] = found
            return found

    def torn_bytes(self) -> dict[tuple[str, int], int]:
        """Return what was cut off the partitions that are open: (topic, partition) -> bytes, where any."""
        with self._guard:
            return {place: opened.torn_bytes for place, opened in self._open.items() if opened.torn_bytes}

    def close(self) -> None:
        """Release the files and the lock; a second call does nothing."""
        with self._guard:
            if self._lock is None:
                return
            for opened in self._open.values():
                opened.close()
            self._open.clear()
            os.close(self._lock)
            self._lock = None
        self._announce()

    def _announce(self) -> None:
        with self.grown:
            self.grown.notify_all()

    def _check_open(self) -> None:
        if self._lock is None:
            raise BrokerUnavailableError(f"the log in {self.folder} is closed")

    def _read_partitions(self, topic: str) -> int | None:
        path = self.folder / topic / "topic.json"
        if not path.exists():
            return None
        try:
            described = json.loads(path.read_bytes())
            version, partitions = int(described["format"]), int(described["partitions"])
        except (ValueError, KeyError, TypeError) as error:
            raise LogCorruptError(f"{path} is damaged: restore the log's files from a backup") from error
        if version > _FORMAT:
            raise LogCorruptError(f"{path} has format {version}, this program knows up to {_FORMAT}: upgrade it")
        return partitions


def _lock_folder(folder: Path) -> int:
    """Take the folder for this process; the kernel gives it back when the process ends, however it ends."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise BrokerUnavailableError(
            f"the log folder {folder} is in use by process {owner}: stop that one, or choose another data folder"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
