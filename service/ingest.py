"""Events that arrive over HTTP: judged one by one, written to the log, acknowledged only once durable.

A newcomer needs one fact: refused items are written too, so that the one fold dead-letters and counts them; a verdict
tells the sender at once what the fold will find.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from itertools import islice
from typing import Literal, Protocol

import msgspec

from stream.columns import Decoded
from stream.events import RawMessage

__all__ = ["Ingest", "IngestDecoder", "IngestLog", "Verdict"]

UNREADABLE_KEY = "unreadable"
"""Key of items whose monitor cannot be told: one key, so that all of them share one partition."""

_EventKey = tuple[str, int, str, bytes]
_Position = tuple[int, int]


class IngestDecoder(Protocol):
    """What ingestion needs of `stream.codec.Decoder` (without its check of partitions: nothing is routed yet)."""

    def decode(self, messages: Sequence[RawMessage]) -> Decoded:
        """Decode each message alone; refused ones carry their `offset`."""
        ...


class IngestLog(Protocol):
    """What ingestion needs of a `stream.transport.Transport`."""

    def append(self, key: str, values: Sequence[bytes]) -> list[tuple[int, int]]:
        """Write durably, from any thread; return (partition, offset) of each."""
        ...


class Verdict(msgspec.Struct, frozen=True):
    """What became of one item. `id` is null for refused items and controls, `reason` and `detail` for all others."""

    id: str | None
    status: Literal["accepted", "duplicate", "rejected"]
    reason: str | None
    detail: str | None
    partition: int
    offset: int


class _Item(msgspec.Struct):
    value: bytes
    key: str = UNREADABLE_KEY
    event: _EventKey | None = None
    id: str | None = None
    reason: str | None = None
    detail: str | None = None
    position: _Position | None = None
    is_repeat: bool = False


class Ingest:
    """Appends items to the input topic; any thread may call it.

    Parameters
    ----------
    decoder : judges items as the fold will
    transport : the log
    max_item_bytes : the decoder's own limit; longer items are refused and only their first bytes are written
    memory_n : how many acknowledged events are remembered. A repeat of one of them (same monitor, type, id and bytes)
        is not written again. Beyond it the fold, which ignores duplicates too, is the only judge.

    Notes
    -----
    One decoding an item, about 5 µs for a prediction with 20 features, and one durable write a key and call.
    """

    def __init__(
        self,
        decoder: IngestDecoder,
        transport: IngestLog,
        *,
        max_item_bytes: int = 1_000_000,
        memory_n: int = 200_000,
    ) -> None:
        if max_item_bytes < 1:
            raise ValueError(f"max_item_bytes = {max_item_bytes} must be 1 or more")
        if memory_n < 0:
            raise ValueError(f"memory_n = {memory_n} must be 0 or more")
        self._decoder = decoder
        self._transport = transport
        self._max_item_bytes = max_item_bytes
        self._memory_n = memory_n
        self._memory: dict[_EventKey, _Position] = {}
        self._counts = {"accepted": 0, "duplicate": 0, "rejected": 0}
        self._lock = threading.Lock()
        # The decoder promises nothing about threads; decoding holds the GIL anyway.
        self._decoding = threading.Lock()

    def append(self, items: Sequence[bytes]) -> list[Verdict]:
        """Write `items` to the log; return one verdict for each, in their order.

        Raises
        ------
        BrokerUnavailableError
            the log cannot be written now. Some items may have been; to send all of them again is harmless.
        """
        judged = self._judge(items)
        self._recall(judged)
        for key in dict.fromkeys(item.key for item in judged if item.position is None and not item.is_repeat):
            fresh = [item for item in judged if item.key == key and item.position is None and not item.is_repeat]
            positions = self._transport.append(key, [item.value for item in fresh])
            for item, position in zip(fresh, positions, strict=True):
                item.position = position
            self._remember(fresh)
        return self._verdicts(judged)

    def refusal(self, item: bytes) -> tuple[str, str] | None:
        """Say why the fold would refuse `item`, as reason and sentence, without writing it; None: it would not."""
        (judged,) = self._judge([item])
        return None if judged.reason is None else (judged.reason, judged.detail or "")

    def counts(self) -> dict[str, int]:
        """Items by status since the start of this process."""
        with self._lock:
            return dict(self._counts)

    def _judge(self, items: Sequence[bytes]) -> list[_Item]:
        # One byte more than the limit: the fold must find the item too long, not cut off.
        judged = [_Item(bytes(value[: self._max_item_bytes + 1])) for value in items]
        messages = [RawMessage("", 0, place, item.value) for place, item in enumerate(judged)]
        with self._decoding:
            decoded = self._decoder.decode(messages)
        for reject in decoded.rejects:
            item = judged[reject.offset]
            item.key = reject.monitor or UNREADABLE_KEY
            item.reason, item.detail = reject.reason.value, reject.detail
        for monitor, batch in decoded.batches.items():
            for place, kind, event_id in zip(batch.offset.tolist(), batch.kind.tolist(), batch.ids, strict=True):
                item = judged[place]
                item.key = monitor
                if event_id:
                    digest = hashlib.blake2b(item.value, digest_size=16).digest()
                    item.id, item.event = event_id, (monitor, kind, event_id, digest)
        return judged

    def _recall(self, judged: Sequence[_Item]) -> None:
        """Mark items that are remembered, and those that stand twice in one call."""
        seen: set[_EventKey] = set()
        with self._lock:
            for item in judged:
                if item.event is None:
                    continue
                item.position = self._memory.get(item.event)
                item.is_repeat = item.position is not None or item.event in seen
                seen.add(item.event)

    def _remember(self, fresh: Sequence[_Item]) -> None:
        with self._lock:
            for item in fresh:
                if item.event is not None and item.position is not None:
                    self._memory[item.event] = item.position
            surplus = max(0, len(self._memory) - self._memory_n)
            for oldest in list(islice(self._memory, surplus)):
                del self._memory[oldest]

    def _verdicts(self, judged: Sequence[_Item]) -> list[Verdict]:
        written = {item.event: item.position for item in judged if not item.is_repeat}
        verdicts = []
        for item in judged:
            partition, offset = item.position or written[item.event] or (-1, -1)
            status: Literal["accepted", "duplicate", "rejected"] = "duplicate" if item.is_repeat else "accepted"
            if item.reason is not None:
                status = "rejected"
            verdicts.append(Verdict(item.id, status, item.reason, item.detail, partition, offset))
        with self._lock:
            for verdict in verdicts:
                self._counts[verdict.status] += 1
        return verdicts
