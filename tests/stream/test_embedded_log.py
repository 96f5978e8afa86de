"""Faults of the embedded log: torn writes, flipped bits, a full disk, a second process."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream.embedded_log import EmbeddedLog
from stream.embedded_transport import EmbeddedTransport
from stream.errors import BrokerUnavailableError, LogCorruptError, PositionLostError
from stream.events import RawMessage
from stream.log_partition import LogReader
from stream.log_segment import MAX_RECORD_BYTES
from stream.transport import Outgoing

__all__: list[str] = []


@pytest.fixture
def open_log(tmp_path: Path) -> Iterator[Callable[..., EmbeddedLog]]:
    """Open logs that are closed after the test."""
    opened: list[EmbeddedLog] = []

    def open_one(folder: Path = tmp_path / "log", **settings: int) -> EmbeddedLog:
        log = EmbeddedLog(folder, **settings)
        opened.append(log)
        log.create_topic("events", 1)
        return log

    yield open_one
    for log in opened:
        log.close()


def outgoing(*values: bytes) -> list[Outgoing]:
    """Return messages with a key and a header."""
    return [Outgoing(b"fraud", value, (("h", b"1"),)) for value in values]


def contents(log: EmbeddedLog, start: int = 0) -> list[bytes | None]:
    """Return the payloads of partition 0 from an offset on."""
    return [message.value for message in LogReader(log.partition("events", 0), start).read(1_000_000)]


def crashed_copy(folder: Path, to: Path) -> Path:
    """Return what a crash at this moment would leave."""
    shutil.copytree(folder, to)
    (to / "lock").unlink()
    return to


def newest_segment(folder: Path) -> Path:
    """Return the file that was written last."""
    return max((folder / "events" / "00000").glob("*.log"))


def test_truncation_at_every_byte(open_log: Callable[..., EmbeddedLog], tmp_path: Path) -> None:
    """Wherever a crash cuts the last write, earlier records are whole, the cut is reported, appending goes on."""
    log = open_log()
    partition = log.partition("events", 0)
    partition.append(outgoing(b"first", b"second"))
    whole = newest_segment(tmp_path / "log").stat().st_size
    partition.append(outgoing(b"the last record"))
    copy = crashed_copy(tmp_path / "log", tmp_path / "copy")
    segment = newest_segment(copy)
    written = segment.read_bytes()
    for size in range(whole, len(written)):
        segment.write_bytes(written[:size])
        reopened = EmbeddedLog(copy)
        assert contents(reopened) == [b"first", b"second"]
        assert reopened.torn_bytes() == ({("events", 0): size - whole} if size > whole else {})
        assert reopened.partition("events", 0).append(outgoing(b"next")) == 2
        assert contents(reopened, 2) == [b"next"]
        reopened.close()
        (copy / "events" / "00000" / "end").unlink()


@pytest.mark.parametrize("zeros", [1, 12, 100, 4096])
def test_zero_filled_tail(open_log: Callable[..., EmbeddedLog], tmp_path: Path, zeros: int) -> None:
    """A tail of zeros, as a file system leaves it after a power cut, is cut off."""
    open_log().partition("events", 0).append(outgoing(b"kept"))
    copy = crashed_copy(tmp_path / "log", tmp_path / "copy")
    with newest_segment(copy).open("ab") as file:
        file.write(bytes(zeros))
    reopened = open_log(copy)
    assert contents(reopened) == [b"kept"]
    assert reopened.torn_bytes() == {("events", 0): zeros}


def test_every_flipped_bit_before_later_records_is_corruption(
    open_log: Callable[..., EmbeddedLog], tmp_path: Path
) -> None:
    """A bit flipped in any byte of a record that later writes follow is corruption, never a torn tail."""
    partition = open_log().partition("events", 0)
    first_end = 0
    for value in (b"first", b"second", b"third"):
        partition.append(outgoing(value))
        first_end = first_end or newest_segment(tmp_path / "log").stat().st_size
    copy = crashed_copy(tmp_path / "log", tmp_path / "copy")
    segment = newest_segment(copy)
    written = segment.read_bytes()
    for at in range(first_end):
        flipped = bytearray(written)
        flipped[at] ^= 1 << (at % 8)
        segment.write_bytes(flipped)
        damaged = EmbeddedLog(copy)
        with pytest.raises(LogCorruptError, match="byte 0"):
            damaged.partition("events", 0)
        damaged.close()
        assert segment.read_bytes() == bytes(flipped), "a corrupt file is kept as it is"


def test_damage_inside_the_last_group_is_torn(open_log: Callable[..., EmbeddedLog], tmp_path: Path) -> None:
    """Pages of one write may reach the disk in any order: an intact frame behind damage in its group proves nothing."""
    partition = open_log().partition("events", 0)
    partition.append(outgoing(b"kept"))
    start = newest_segment(tmp_path / "log").stat().st_size
    partition.append(outgoing(*[b"x" * 200_000] * 4))
    copy = crashed_copy(tmp_path / "log", tmp_path / "copy")
    segment = newest_segment(copy)
    flipped = bytearray(segment.read_bytes())
    flipped[start + 50] ^= 1
    segment.write_bytes(flipped)
    assert contents(open_log(copy)) == [b"kept"]


def test_a_clean_close_promises_its_end(open_log: Callable[..., EmbeddedLog], tmp_path: Path) -> None:
    """After a clean close even damage to the very last record is told, since it was durable."""
    log = open_log()
    log.partition("events", 0).append(outgoing(b"first"))
    log.partition("events", 0).append(outgoing(b"last"))
    log.close()
    segment = newest_segment(tmp_path / "log")
    segment.write_bytes(segment.read_bytes()[:-1])
    reopened = EmbeddedLog(tmp_path / "log")
    with pytest.raises(LogCorruptError, match="ends at offset 1, but 2"):
        reopened.partition("events", 0)
    reopened.close()


def test_damage_in_a_closed_segment(open_log: Callable[..., EmbeddedLog], tmp_path: Path) -> None:
    """Damage in an old segment is told when it is read; what lies before it is delivered first."""
    log = open_log(segment_bytes=100)
    partition = log.partition("events", 0)
    for n in range(6):
        partition.append(outgoing(b"%d" % n * 30))
    segments = sorted((tmp_path / "log" / "events" / "00000").glob("*.log"))
    assert len(segments) == 6
    flipped = bytearray(segments[3].read_bytes())
    flipped[-1] ^= 128
    segments[3].write_bytes(flipped)
    reader = LogReader(partition, 0)
    assert [message.offset for message in reader.read(100)] == [0, 1, 2]
    with pytest.raises(LogCorruptError, match="offset 3"):
        reader.read(100)
    assert [message.offset for message in LogReader(partition, 4).read(100)] == [4, 5]


def test_a_missing_segment(open_log: Callable[..., EmbeddedLog], tmp_path: Path) -> None:
    """A segment that is gone is a gap, not silence."""
    log = open_log(segment_bytes=100)
    for n in range(4):
        log.partition("events", 0).append(outgoing(b"%d" % n * 30))
    log.close()
    sorted((tmp_path / "log" / "events" / "00000").glob("*.log"))[1].unlink()
    reader = LogReader(open_log(segment_bytes=100).partition("events", 0), 0)
    assert [message.offset for message in reader.read(100)] == [0]
    with pytest.raises(LogCorruptError, match="offsets 1 to 1 are missing"):
        reader.read(100)


def test_one_damaged_partition_leaves_the_others(tmp_path: Path) -> None:
    """A damaged partition stops alone: poll names it once, then delivers the others."""
    log = EmbeddedLog(tmp_path / "log", segment_bytes=100)
    transport = EmbeddedTransport(log, "events", partitions=2)
    transport.start()
    keys = {transport.append(key, [b"x" * 90] * 2)[0][0]: key for key in ("a", "b", "c", "d", "e")}
    path = min((tmp_path / "log" / "events" / "00000").glob("*.log"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    transport.seek(0, 0)
    transport.seek(1, 0)
    got: list[RawMessage] = []
    errors = 0
    for _ in range(20):
        try:
            got += transport.poll(0.0, 3)
        except LogCorruptError:
            errors += 1
    assert errors == 1
    assert {message.partition for message in got} == {1}
    assert [message.offset for message in got] == list(range(transport.end_offset(1)))
    transport.append(keys[1], [b"later"])
    assert [message.value for message in transport.poll(1.0, 10)] == [b"later"]
    transport.close()
    log.close()


def test_reading_from_every_offset_across_segments(open_log: Callable[..., EmbeddedLog]) -> None:
    """From every offset the reader returns exactly the rest, in any portion, while segments roll."""
    log = open_log(segment_bytes=300)
    partition = log.partition("events", 0)
    generator = random.Random(1)
    written: list[bytes] = []
    while len(written) < 60:
        group = [b"%d" % (len(written) + i) for i in range(generator.randrange(1, 6))]
        assert partition.append(outgoing(*group)) == len(written)
        written += group
    for start in range(len(written) + 1):
        reader = LogReader(partition, start)
        got: list[RawMessage] = []
        while part := reader.read(generator.randrange(1, 9)):
            got += part
        assert [message.value for message in got] == written[start:]
        assert [message.offset for message in got] == list(range(start, len(written)))


def test_trim(open_log: Callable[..., EmbeddedLog]) -> None:
    """Trimming deletes whole old segments; a position before what is left is lost."""
    log = open_log(segment_bytes=100)
    partition = log.partition("events", 0)
    for n in range(5):
        partition.append(outgoing(b"%d" % n * 30))
    partition.trim(3)
    assert (partition.begin_offset(), partition.end_offset()) == (3, 5)
    with pytest.raises(PositionLostError, match=r"offset 2 .* holds 3 to 5"):
        LogReader(partition, 2)
    assert contents(log, 3) == [b"3" * 30, b"4" * 30]
    partition.trim(100)
    assert partition.begin_offset() == 4


def test_readers_see_only_durable_records(
    open_log: Callable[..., EmbeddedLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the write and the end of its fsync a record is invisible."""
    partition = open_log().partition("events", 0)
    partition.append(outgoing(b"before"))
    entered, released = threading.Event(), threading.Event()
    fdatasync = os.fdatasync

    def slow(descriptor: int) -> None:
        entered.set()
        assert released.wait(10)
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    writer = threading.Thread(target=partition.append, args=(outgoing(b"after"),))
    writer.start()
    assert entered.wait(10)
    reader = LogReader(partition, 0)
    assert [message.value for message in reader.read(10)] == [b"before"]
    assert partition.end_offset() == 1
    released.set()
    writer.join()
    assert [message.value for message in reader.read(10)] == [b"after"]


def test_concurrent_appenders_share_fsyncs(
    open_log: Callable[..., EmbeddedLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers that wait for a running fsync are committed together by the next one."""
    partition = open_log().partition("events", 0)
    syncs: list[int] = []
    fdatasync = os.fdatasync

    def slow(descriptor: int) -> None:
        time.sleep(0.02)
        syncs.append(descriptor)
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    threads = [threading.Thread(target=partition.append, args=(outgoing(b"%d" % n),)) for n in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert partition.end_offset() == 30
    assert len(syncs) <= 10


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_a_disk_that_refuses(
    open_log: Callable[..., EmbeddedLog], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str
) -> None:
    """After a failed write or fsync nothing of it is visible, and appending works again once the disk does."""
    log = open_log()
    partition = log.partition("events", 0)
    partition.append(outgoing(b"before"))
    real = getattr(os, call)

    def refuse(descriptor: int, *rest: object) -> int:
        if call == "pwrite" and len(rest) == 2:
            real(descriptor, bytes(rest[0])[:7], rest[1])  # type: ignore[call-overload]
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, refuse)
        with pytest.raises(BrokerUnavailableError, match="No space left"):
            partition.append(outgoing(b"refused, and rather long"))
    assert contents(log) == [b"before"]
    assert partition.append(outgoing(b"after")) == 1
    copy = open_log(crashed_copy(tmp_path / "log", tmp_path / "copy"))
    assert contents(copy) == [b"before", b"after"]
    assert copy.torn_bytes() == {}


def test_a_record_that_is_too_large(open_log: Callable[..., EmbeddedLog]) -> None:
    """A record beyond the limit is refused to its caller alone."""
    partition = open_log().partition("events", 0)
    with pytest.raises(ValueError, match=str(MAX_RECORD_BYTES)):
        partition.append(outgoing(bytes(MAX_RECORD_BYTES)))
    assert partition.append(outgoing(b"small")) == 0


def test_a_second_process_is_refused(open_log: Callable[..., EmbeddedLog], tmp_path: Path) -> None:
    """The folder belongs to one process; the other one is told who has it, and gets it when that has ended."""
    log = open_log()
    script = "import sys, pathlib, stream.embedded_log as log; log.EmbeddedLog(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", script, str(tmp_path / "log")]
    environment = {**os.environ, "PYTHONPATH": "."}
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 1
    assert f"in use by process {os.getpid()}" in refused.stderr
    with pytest.raises(BrokerUnavailableError, match="in use"):
        EmbeddedLog(tmp_path / "log")
    log.close()
    assert subprocess.run(command, env=environment, check=False, timeout=60).returncode == 0


def test_topics_are_checked(open_log: Callable[..., EmbeddedLog], tmp_path: Path) -> None:
    """Another number of partitions, a name that is a path, a newer format and a closed log are refused by name."""
    log = open_log()
    with pytest.raises(ValueError, match="partitions=2: topic 'events' was made with 1"):
        log.create_topic("events", 2)
    for name in ("../escape", "", "..", "a/b"):
        with pytest.raises(ValueError, match="topic="):
            log.create_topic(name, 1)
    with pytest.raises(ValueError, match="partition=1"):
        log.partition("events", 1)
    with pytest.raises(ValueError, match="segment_bytes=0"):
        EmbeddedLog(tmp_path / "other", segment_bytes=0)
    described = tmp_path / "log" / "events" / "topic.json"
    described.write_text(json.dumps({"format": 2, "partitions": 1}))
    with pytest.raises(LogCorruptError, match="format 2"):
        log.partitions("events")
    described.write_text("{")
    with pytest.raises(LogCorruptError, match="damaged"):
        log.partitions("events")
    log.close()
    with pytest.raises(BrokerUnavailableError, match="closed"):
        log.partition("events", 0)
