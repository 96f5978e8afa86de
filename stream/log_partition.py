"""One partition of the embedded log: appended to with group commit, read forward by offset.

A newcomer needs one fact: whoever holds the write lock commits everything that is queued, so callers that
wait for it find their own records durable already and share one fsync.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stream.durable_files import sync_folder, write_durably
from stream.errors import BrokerUnavailableError, LogCorruptError, PositionLostError
from stream.events import RawMessage
from stream.failpoints import failpoint
from stream.log_segment import decode_frame, encode_group, encode_record, frames_in, scan_segment
from stream.transport import Outgoing

__all__ = ["LogPartition", "LogReader"]


@dataclass(slots=True)
class _Ticket:
    """One caller's records on their way through a group commit."""

    records: list[bytes]
    base_offset: int = -1
    error: Exception | None = None
    settled: bool = False


class LogPartition:
    """The segment files of one partition.

    Parameters
    ----------
    folder : the partition's own folder
    name : how messages and errors call it, as (topic, partition)
    segment_bytes : a segment that would grow beyond this is closed and the next one begun
    on_growth : called after every commit, by the thread that wrote it

    Attributes
    ----------
    torn_bytes : int
        Length of the torn tail that was cut off when the partition was opened.
    """

    def __init__(
        self, folder: Path, name: tuple[str, int], *, segment_bytes: int, on_growth: Callable[[], None]
    ) -> None:
        self.name = name
        self._folder, self._segment_bytes, self._on_growth = folder, segment_bytes, on_growth
        self._queue: list[_Ticket] = []
        self._queue_guard = threading.Lock()
        self._writing = threading.Lock()
        self._files_guard = threading.Lock()
        self._descriptors: dict[int, int] = {}
        self._closed = False
        self._untidy = False
        if not folder.exists():
            folder.mkdir()
            sync_folder(folder.parent)
        self._bases = sorted(int(path.stem) for path in folder.glob("*.log")) or [0]
        self._open_last()

    def _open_last(self) -> None:
        base = self._bases[-1]
        path, descriptor = self._path(base), self.descriptor(base)
        scan = scan_segment(path, descriptor, base)
        promised = self._promised_end()
        if scan.next_offset < promised:
            raise LogCorruptError(
                f"{path}: ends at offset {scan.next_offset}, but {promised} was reached before. "
                "Restore the log's files from a backup"
            )
        if scan.torn_bytes:
            os.ftruncate(descriptor, scan.intact_bytes)
            os.fsync(descriptor)
        self.torn_bytes = scan.torn_bytes
        # One tuple, replaced in one step, so that a reader in another thread never sees half a commit.
        self._durable = (base, scan.intact_bytes, scan.next_offset)

    def append(self, messages: Sequence[Outgoing]) -> int:
        """Write records durably and return the offset of the first. Any thread may call it.

        Raises
        ------
        ValueError
            A record is larger than `MAX_RECORD_BYTES`; nothing was written.
        BrokerUnavailableError
            The disk refuses; nothing was written.
        """
        ticket = _Ticket([encode_record(message) for message in messages])
        with self._queue_guard:
            self._queue.append(ticket)
        with self._writing:
            if not ticket.settled:
                self._commit_queue()
        if ticket.error is not None:
            raise ticket.error
        return ticket.base_offset

    def begin_offset(self) -> int:
        """Return the oldest offset that is still held."""
        return self._bases[0]

    def end_offset(self) -> int:
        """Return the offset that the next record will get."""
        return self._durable[2]

    def durable_end(self, base: int) -> int:
        """Return up to which byte a segment may be read."""
        last, size, _ = self._durable
        return size if base == last else os.fstat(self.descriptor(base)).st_size

    def segment_of(self, offset: int) -> int:
        """Return the base of the segment that holds an offset, or would hold it next."""
        return max((base for base in list(self._bases) if base <= offset), default=self._bases[0])

    def segment_after(self, base: int) -> int | None:
        """Return the base of the following segment, if there is one."""
        return min((other for other in list(self._bases) if other > base), default=None)

    def descriptor(self, base: int) -> int:
        """Open a segment's file, once."""
        with self._files_guard:
            if self._closed:
                raise BrokerUnavailableError(f"the log in {self._folder} is closed")
            if base not in self._descriptors:
                path = self._path(base)
                is_new = not path.exists()
                self._descriptors[base] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                if is_new:
                    sync_folder(self._folder)
            return self._descriptors[base]

    def trim(self, before_offset: int) -> None:
        """Delete whole segments that hold nothing from `before_offset` on; the newest segment stays."""
        with self._writing:
            while len(self._bases) > 1 and self._bases[1] <= before_offset:
                base = self._bases.pop(0)
                os.close(self.descriptor(base))
                del self._descriptors[base]
                self._path(base).unlink()
            sync_folder(self._folder)

    def close(self) -> None:
        """Note how far the log is durable and release the files."""
        with self._writing, self._files_guard:
            self._closed = True
            self._promise_end()
            for descriptor in self._descriptors.values():
                os.close(descriptor)
            self._descriptors.clear()

    def _commit_queue(self) -> None:
        with self._queue_guard:
            tickets, self._queue = self._queue, []
        error: Exception | None = None
        base_offset = -1
        try:
            base_offset = self._write([record for ticket in tickets for record in ticket.records])
        except BrokerUnavailableError as refused:
            error = refused
        except OSError as refused:
            error = BrokerUnavailableError(f"the log in {self._folder} cannot be written: {refused}")
            error.__cause__ = refused
        for ticket in tickets:
            ticket.base_offset, ticket.error, ticket.settled = base_offset, error, True
            base_offset += len(ticket.records)
        if error is None:
            self._on_growth()

    def _write(self, records: list[bytes]) -> int:
        """Make one group durable and return the offset of its first record."""
        failpoint("log.before_write")
        base, size, offset = self._durable
        group = encode_group(records, offset)
        if self._untidy:
            os.ftruncate(self.descriptor(base), size)
            self._untidy = False
        if size and size + len(group) > self._segment_bytes:
            base, size = self._roll(offset), 0
        descriptor = self.descriptor(base)
        # What a failed write or fsync left on the disk is unknown: it is cut off before the next group starts there.
        self._untidy = True
        written = 0
        while written < len(group):
            written += os.pwrite(descriptor, memoryview(group)[written:], size + written)
        failpoint("log.after_write")
        os.fdatasync(descriptor)
        failpoint("log.after_sync")
        self._untidy = False
        self._durable = (base, size + len(group), offset + len(records))
        return offset

    def _roll(self, offset: int) -> int:
        self._promise_end()
        self.descriptor(offset)
        self._bases.append(offset)
        self._durable = (offset, 0, offset)
        return offset

    def _promise_end(self) -> None:
        write_durably(self._folder / "end", {"offset": self._durable[2]})

    def _promised_end(self) -> int:
        path = self._folder / "end"
        try:
            return int(json.loads(path.read_bytes())["offset"]) if path.exists() else 0
        except (ValueError, KeyError, TypeError) as error:
            raise LogCorruptError(f"{path} is damaged: restore the log's files from a backup") from error

    def _path(self, base: int) -> Path:
        return self._folder / f"{base:020d}.log"


@dataclass(slots=True)
class LogReader:
    """A place in a partition, moving forward; used by one thread."""

    partition: LogPartition
    next_offset: int
    _base: int = -1
    _position: int = 0
    _decoded: list[RawMessage] = field(default_factory=list)
    # The offset behind the last decoded record; `next_offset` stands behind the last one that was returned.
    _ahead: int = 0

    def __post_init__(self) -> None:
        """Find the place, or say that the log does not hold it."""
        begin, end = self.partition.begin_offset(), self.partition.end_offset()
        if not begin <= self.next_offset <= end:
            raise PositionLostError(
                f"offset {self.next_offset} of {self._where} is not in the log, which holds {begin} to {end}: "
                "restore the log or start anew"
            )
        self._base, self._ahead = self.partition.segment_of(self.next_offset), self.next_offset

    def read(self, limit: int) -> list[RawMessage]:
        """Return up to `limit` durable records from here on, and move behind them."""
        messages: list[RawMessage] = []
        while len(messages) < limit and (self._decoded or self._try_load(limit, messages)):
            taken = self._decoded[: limit - len(messages)]
            del self._decoded[: len(taken)]
            messages += taken
        if messages:
            self.next_offset = messages[-1].offset + 1
        return messages

    def _try_load(self, limit: int, messages: list[RawMessage]) -> bool:
        """Load more; damage behind intact records is left for the next call, so that these are delivered first."""
        try:
            return self._load(limit - len(messages))
        except LogCorruptError:
            if messages:
                return False
            raise

    def _load(self, wanted: int) -> bool:
        """Decode frames from the current position on; False when the durable end is reached."""
        end = self.partition.durable_end(self._base)
        following = self.partition.segment_after(self._base)
        if self._position >= end and following is not None:
            # Asked once more, in this order: a segment that has a follower does not grow any longer.
            end = self.partition.durable_end(self._base)
        if self._position < end:
            self._decode(end, wanted)
            return bool(self._decoded) or self._load(wanted)
        if following is None:
            return False
        self._enter(following)
        return self._load(wanted)

    def _enter(self, base: int) -> None:
        if base != self._ahead:
            raise LogCorruptError(
                f"{self._where}: offsets {self._ahead} to {base - 1} are missing. Restore the log's files from a backup"
            )
        self._base, self._position = base, 0

    def _decode(self, end: int, wanted: int) -> None:
        """Decode at least `wanted` records, or up to byte `end`; skip what lies before the next offset."""
        topic, number = self.partition.name
        for frame in frames_in(self.partition.descriptor(self._base), self._position, end):
            if frame.base_offset > self._ahead:
                break
            self._position += frame.length
            if frame.base_offset + frame.count > self._ahead:
                self._decoded += decode_frame(frame, topic, number)[self._ahead - frame.base_offset :]
                self._ahead = frame.base_offset + frame.count
            if len(self._decoded) >= wanted:
                return
        if self._position != end and not self._decoded:
            raise LogCorruptError(
                f"{self._where}: segment {self._base} is damaged at byte {self._position}, near offset {self._ahead}. "
                "Restore the log's files from a backup"
            )

    @property
    def _where(self) -> str:
        return "partition {1} of topic {0!r}".format(*self.partition.name)
