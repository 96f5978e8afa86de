"""Raw messages to columns: every message becomes exactly one row of one monitor's batch or exactly one reject.

Each message is decoded alone, whatever the bytes are, first by the typed `fast_path`, then, where that is not sure, by
the strict slow path that explains. So results do not depend on how messages are cut into calls.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.cloudevents import Transfer, from_binary, from_structured, is_structured, transfer_of
from stream.columns import CONTROL, LABEL, PREDICTION, Decoded, MonitorBatch
from stream.dead_letters import raw_payload, redact
from stream.events import RawMessage, Reason, Reject
from stream.fast_path import EventTuple, FastPath
from stream.refusal import RefusalError, nearest, show, type_name
from stream.schema import MonitorSchema
from stream.validate import Rules, identify
from stream.wire import is_msgpack_map, parse_json, parse_msgpack

__all__ = ["Decoder"]

_UNSURE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, RefusalError)
_PLAIN = Transfer()


class Decoder:
    """Decodes the messages of one partition.

    Parameters
    ----------
    schemas : the monitors that exist, by name
    hash_key : secret of the keyed hash that replaces sensitive categories; needed if there are any
    partition_of : the partition that a monitor's key belongs to; None skips that check
    max_bytes : longest message that is parsed, 1 or more
    raw_dead_letters : keep the bytes of refused messages instead of their redacted outline

    Raises
    ------
    ValueError
        a schema cannot be applied, or `max_bytes` is below 1

    Notes
    -----
    CPU time (`python -m benchmarks.decode`): about 5 µs for a prediction of 400 bytes with 20 numeric features and 2 µs
    for a label; JSON with unknown fields, escapes or many colons in texts costs about 8 µs more, the slow path
    (CloudEvents, controls) about 35 µs and a reject about 65 µs, its outline included.
    """

    def __init__(
        self,
        schemas: Mapping[str, MonitorSchema],
        *,
        hash_key: bytes = b"",
        partition_of: Callable[[str], int] | None = None,
        max_bytes: int = 1_000_000,
        raw_dead_letters: bool = False,
    ) -> None:
        if max_bytes < 1:
            raise ValueError(f"max_bytes = {max_bytes} must be 1 or more")
        self._rules = {name: Rules(schema, hash_key) for name, schema in schemas.items()}
        self._fast = FastPath(self._rules)
        self._partition_of = None if partition_of is None else lru_cache(maxsize=4_096)(partition_of)
        self._nearest = lru_cache(maxsize=1_024)(lambda name: nearest(name, self._rules))
        self._max_bytes = max_bytes
        self._describe = raw_payload if raw_dead_letters else redact

    def decode(self, messages: Sequence[RawMessage]) -> Decoded:
        """Decode messages of one partition, in offset order."""
        rows = {name: _Rows(rules) for name, rules in self._rules.items()}
        decoded = Decoded()
        for message in messages:
            try:
                event = self._fast_event(message) or self._slow_event(message)
            except RefusalError as refusal:
                decoded.rejects.append(self._reject(message, refusal))
            except Exception as error:  # noqa: BLE001  one message's failure must stay its own; the detail reports it
                decoded.rejects.append(self._reject(message, _unexpected(error)))
            else:
                rows[event[1]].append(event, message.offset)
        decoded.batches = {name: one.batch() for name, one in rows.items() if one.heads}
        if messages:
            decoded.next_offset = messages[-1].offset + 1
        return decoded

    def _fast_event(self, message: RawMessage) -> EventTuple | None:
        value = message.value
        if not value or len(value) > self._max_bytes:
            return None
        packed = value[0] >= 0x80
        try:
            if message.headers and not _is_plain(transfer_of(message.headers), packed=packed):
                return None
            event = self._fast.msgpack(value) if packed else self._fast.json(value, message.key)
        except _UNSURE:
            return None
        if event is not None and (self._partition_of is not None or message.key != self._rules[event[1]].key):
            self._check_route(message, self._rules[event[1]])
        return event

    def _slow_event(self, message: RawMessage) -> EventTuple:
        value = message.value
        if value is not None and len(value) > self._max_bytes:
            raise RefusalError(Reason.TOO_LARGE, f"{len(value)} bytes; at most {self._max_bytes} are read")
        if value is None or not value.strip():
            raise RefusalError(Reason.EMPTY, "the message has no value")
        transfer = transfer_of(message.headers) if message.headers else _PLAIN
        event = _unwrap(transfer, _parse(transfer, value))
        kind, monitor = identify(event)
        rules = self._rules.get(monitor)
        if rules is None:
            detail = f"monitor {show(monitor)} is not configured{self._nearest(monitor)}"
            raise RefusalError(Reason.UNKNOWN_MONITOR, detail)
        self._check_route(message, rules)
        return rules.check(kind, event)

    def _check_route(self, message: RawMessage, rules: Rules) -> None:
        if message.key is not None and message.key != rules.key:
            detail = f"the message key is {show(message.key)}, the monitor {show(rules.name)}; key events by monitor"
        elif self._partition_of is not None and self._partition_of(rules.name) != message.partition:
            there = self._partition_of(rules.name)
            detail = f"found in partition {message.partition}; monitor {show(rules.name)} belongs to partition {there}"
        else:
            return
        refusal = RefusalError(Reason.MISROUTED, detail)
        refusal.monitor = rules.name
        raise refusal

    def _reject(self, message: RawMessage, refusal: RefusalError) -> Reject:
        return Reject(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            reason=refusal.reason,
            detail=refusal.detail,
            monitor=refusal.monitor,
            payload=None if message.value is None else self._describe(message.value),
        )


def _is_plain(transfer: Transfer, *, packed: bool) -> bool:
    """Whether the headers announce no CloudEvent and nothing that the first byte contradicts."""
    if transfer.attributes is not None or transfer.is_structured:
        return False
    return not (transfer.is_json if packed else transfer.is_msgpack)


def _parse(transfer: Transfer, value: bytes) -> Any:
    if transfer.is_msgpack or (not transfer.is_json and is_msgpack_map(value)):
        return parse_msgpack(value)
    return parse_json(value)


def _unwrap(transfer: Transfer, parsed: Any) -> dict[str, Any]:
    if parsed is None:
        raise RefusalError(Reason.EMPTY, "the message's value is null")
    if not isinstance(parsed, dict):
        raise RefusalError(Reason.NOT_AN_OBJECT, f"the message is {type_name(parsed)}; send one object a message")
    if transfer.is_structured or (transfer.attributes is None and is_structured(parsed)):
        return from_structured(parsed)
    if transfer.attributes is not None:
        return from_binary(transfer.attributes, parsed)
    return parsed


def _unexpected(error: Exception) -> RefusalError:
    """Name the fault and its place, not its text, which may quote the message."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{place.name}, line {place.lineno}"
    detail = f"unexpected {type(error).__name__} in {where}: a fault of the decoder, not of the event; please report it"
    return RefusalError(Reason.QUARANTINED, detail)


class _Rows:
    """Accepted events of one monitor while a block is decoded; `heads` holds kind, offset, time and id of each."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.heads: list[tuple[int, int, int, str]] = []
        self._payloads: tuple[list[Any], list[Any], list[Any]] = ([], [], [])

    def append(self, event: EventTuple, offset: int) -> None:
        kind, _, time_ms, event_id, payload = event
        self.heads.append((kind, offset, time_ms, event_id))
        self._payloads[kind].append(payload)

    def batch(self) -> MonitorBatch:
        kinds, offsets, times, ids = zip(*self.heads, strict=True)
        kind = np.array(kinds, dtype=np.int8)
        row = np.empty(len(kind), dtype=np.int64)
        for one in (PREDICTION, LABEL, CONTROL):
            row[kind == one] = np.arange(len(self._payloads[one]))
        columns: Any = list(zip(*self._payloads[PREDICTION], strict=True)) or [()] * 8
        return MonitorBatch(
            monitor=self._rules.name,
            kind=kind,
            offset=np.array(offsets, dtype=np.int64),
            time_ms=np.array(times, dtype=np.int64),
            ids=list(ids),
            row=row,
            numeric=self._matrix(columns[0]),
            categorical=columns[1],
            prediction=columns[2],
            scores=columns[3],
            model_version=columns[4],
            segment=columns[5],
            backfill=np.array(columns[6], dtype=np.bool_),
            unknown=np.array(columns[7], dtype=np.int64),
            label=self._payloads[LABEL],
            control=self._payloads[CONTROL],
        )

    def _matrix(self, rows: Sequence[tuple[float | None, ...]]) -> NDArray[np.float64]:
        width = len(self._rules.numbers)
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.float64, count=len(rows) * width)
        matrix = flat.reshape(len(rows), width)
        matrix += 0.0  # -0.0 becomes 0.0: one value, one bit pattern
        for j, feature in enumerate(self._rules.numbers.values()):
            if feature.sensitive:
                column = matrix[:, j]
                bins = np.searchsorted(np.array(feature.bins), column, side="right")
                matrix[:, j] = np.where(np.isnan(column), column, bins)
        return matrix
