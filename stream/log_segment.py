"""The bytes of the embedded log: frames of records, how they are written, read, and checked when a file is opened.

A newcomer needs one fact: every frame says where its commit group began. Groups are made durable one after
the other, so damage before the group of any intact later frame cannot be a torn write: it is corruption.

    frame:  magic 4s | length u32 | crc32 u32 | back u32 | base offset u64 | count u32 | records
    record: value length u32 | key length i32 (-1 = none) | headers length u32 | key | headers | value

Little endian. `length` counts the whole frame, the CRC covers what follows it, `back` is the distance in bytes to
the first frame of the commit group.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream.errors import LogCorruptError
from stream.events import RawMessage
from stream.transport import Headers, Outgoing

__all__ = [
    "MAX_RECORD_BYTES",
    "Frame",
    "Scan",
    "decode_frame",
    "encode_group",
    "encode_record",
    "frames_in",
    "scan_segment",
]

# One record has to fit a frame, a frame a read; Kafka's default limit is 1 MB.
MAX_RECORD_BYTES = 16 * 1024 * 1024
# A frame is decoded as a whole, also by a reader that wants one record of it: keep that below a millisecond or so.
_FRAME_BYTES = 256 * 1024
_READ_BYTES = 1024 * 1024

_MAGIC = b"AWf1"
_FRAME = struct.Struct("<4sIIIQI")
_RECORD = struct.Struct("<IiI")
_HEADER = struct.Struct("<HI")
_CRC_FROM = 12


@dataclass(frozen=True, slots=True)
class Frame:
    """One checked frame: where it stands in the file and which records it holds."""

    position: int
    length: int
    group_start: int
    base_offset: int
    count: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Scan:
    """What opening a segment found: its intact length, the next offset, and how many bytes of torn tail follow."""

    intact_bytes: int
    next_offset: int
    torn_bytes: int


def encode_group(encoded: Sequence[bytes], base_offset: int) -> bytes:
    """Return the frames of one commit group of encoded records; the first gets `base_offset`."""
    group = bytearray()
    records: list[bytes] = []
    size = 0
    for record in encoded:
        if records and size + len(record) > _FRAME_BYTES:
            group += _encode_frame(records, base_offset, back=len(group))
            base_offset += len(records)
            records, size = [], 0
        records.append(record)
        size += len(record)
    if records:
        group += _encode_frame(records, base_offset, back=len(group))
    return bytes(group)


def encode_record(message: Outgoing) -> bytes:
    """Return the bytes of one record, or refuse one that is too large with `ValueError`."""
    key = message.key
    headers = _encode_headers(message.headers) if message.headers else b""
    head = _RECORD.pack(len(message.value), -1 if key is None else len(key), len(headers))
    record = b"".join((head, key or b"", headers, message.value))
    if len(record) > MAX_RECORD_BYTES:
        raise ValueError(f"value of {len(message.value)} bytes: a record holds at most {MAX_RECORD_BYTES}")
    return record


def _encode_headers(headers: Headers) -> bytes:
    parts = []
    for name, value in headers:
        encoded = name.encode()
        parts += [_HEADER.pack(len(encoded), len(value)), encoded, value]
    return b"".join(parts)


def _encode_frame(records: list[bytes], base_offset: int, *, back: int) -> bytes:
    body = b"".join(records)
    length = _FRAME.size + len(body)
    head = _FRAME.pack(_MAGIC, length, 0, back, base_offset, len(records))
    crc = zlib.crc32(body, zlib.crc32(head[_CRC_FROM:]))
    return _FRAME.pack(_MAGIC, length, crc, back, base_offset, len(records)) + body


def decode_frame(frame: Frame, topic: str, partition: int) -> list[RawMessage]:
    """Return the records of a checked frame as messages."""
    body, at, offset = frame.body, 0, frame.base_offset
    messages: list[RawMessage] = []
    add, unpack, head = messages.append, _RECORD.unpack_from, _RECORD.size
    for _ in range(frame.count):
        value_size, key_size, headers_size = unpack(body, at)
        at += head
        key = None
        if key_size >= 0:
            key = body[at : at + key_size]
            at += key_size
        headers: Headers = ()
        if headers_size:
            headers = _decode_headers(body[at : at + headers_size])
            at += headers_size
        end = at + value_size
        add(RawMessage(topic, partition, offset, body[at:end], key, headers))
        at = end
        offset += 1
    return messages


def _decode_headers(data: bytes) -> Headers:
    headers, at = [], 0
    while at < len(data):
        name_size, value_size = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        headers.append((data[at : at + name_size].decode(), data[at + name_size : at + name_size + value_size]))
        at += name_size + value_size
    return tuple(headers)


def frames_in(descriptor: int, start: int, end: int) -> Iterator[Frame]:
    """Yield the intact frames of a file from `start` on, until `end` or the first that is damaged or cut off.

    The file is read in blocks; a caller that sees the last frame end before `end` has found damage.
    """
    block, block_at = b"", start
    position = start
    while position < end:
        frame = _frame_at(block, position - block_at, position)
        if frame is None:
            wanted = _wanted_bytes(block, position - block_at)
            block, block_at = os.pread(descriptor, min(wanted, end - position), position), position
            frame = _frame_at(block, 0, position)
        if frame is None:
            return
        yield frame
        position += frame.length


def _wanted_bytes(block: bytes, at: int) -> int:
    """Return how much to read so that the frame at `at` is whole: its own length where that is legible."""
    if len(block) - at < _FRAME.size:
        return _READ_BYTES
    magic, length = _FRAME.unpack_from(block, at)[:2]
    return max(_READ_BYTES, length) if magic == _MAGIC and length <= 2 * MAX_RECORD_BYTES else _READ_BYTES


def _frame_at(block: bytes, at: int, position: int) -> Frame | None:
    if len(block) - at < _FRAME.size:
        return None
    magic, length, crc, back, base_offset, count = _FRAME.unpack_from(block, at)
    if magic != _MAGIC or length < _FRAME.size or at + length > len(block):
        return None
    if zlib.crc32(memoryview(block)[at + _CRC_FROM : at + length]) != crc:
        return None
    body = block[at + _FRAME.size : at + length]
    return Frame(position, length, position - back, base_offset, count, body)


def scan_segment(path: Path, descriptor: int, base_offset: int) -> Scan:
    """Check the segment that a crash may have torn, and say where its intact part ends.

    Raises
    ------
    LogCorruptError
        The damage lies before records that were written after it had been made durable.
    """
    size = os.fstat(descriptor).st_size
    position, next_offset = 0, base_offset
    for frame in frames_in(descriptor, 0, size):
        if frame.base_offset != next_offset:
            break
        position += frame.length
        next_offset += frame.count
    later = _later_group(descriptor, position, size)
    if later is not None:
        raise LogCorruptError(
            f"{path}: damaged at byte {position} (offset {next_offset}), but byte {later} holds an intact record that "
            "was written later: not a torn write. Restore the log's files from a backup"
        )
    return Scan(position, next_offset, size - position)


def _later_group(descriptor: int, damage: int, size: int) -> int | None:
    """Find an intact frame after the damage whose commit group began after it, so that the damage was durable."""
    if damage == size:
        return None
    tail = os.pread(descriptor, size - damage, damage)
    at = tail.find(_MAGIC, 1)
    while at >= 0:
        frame = _frame_at(tail, at, damage + at)
        if frame is not None and frame.group_start > damage:
            return frame.position
        at = tail.find(_MAGIC, at + 1)
    return None
