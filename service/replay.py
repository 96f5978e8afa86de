"""`anchorwatch replay`: the same fold over recorded events, without broker, store or clock."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.config import Config
from service.fold_output import FoldOutput
from service.outputs import encode_body
from service.partition import PartitionFold
from service.summary import monitor_summary, summary
from stream.dead_letters import dead_letter_body
from stream.events import RawMessage, Reject

__all__ = ["Replayed", "replay", "write_results"]

_BLOCK_N = 2_000
_TOPIC = "replay"


@dataclass(slots=True)
class Replayed:
    """What a replay gave."""

    summary: dict[str, Any]
    drifts: list[dict[str, Any]]
    rejects: list[Reject]
    outputs: list[FoldOutput] = field(default_factory=list)
    partition: PartitionFold | None = None


def replay(
    events: Iterable[bytes],
    config: Config,
    *,
    block_n: int = _BLOCK_N,
    keep_outputs: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Replayed:
    """Fold `events` (messages in the wire format) from nothing; returns the summary and all records.

    Parameters
    ----------
    block_n : events folded at once; changes the speed and nothing else
    progress : called with the number of events after each block
    """
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    partition = PartitionFold(config)
    drifts: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    outputs: list[FoldOutput] = []
    for block in _blocks(events, block_n):
        partition.fold(block)
        commit = partition.release()
        drifts += [output.body for output in commit.outputs if output.kind == "drift"]
        rejects += commit.rejects
        if keep_outputs:
            outputs += commit.outputs
        if progress is not None:
            progress(len(block))
    hashes = partition.commit().hashes
    result = summary(
        partition.messages, time.perf_counter() - started_s, time.process_time() - started_cpu_s, partition.rejected
    )
    result["monitors"] = {
        name: monitor_summary(fold, [d for d in drifts if d["monitor"] == name], hashes[name])
        for name, fold in partition.folds.items()
    }
    return Replayed(result, drifts, rejects, outputs, partition)


def _blocks(events: Iterable[bytes], block_n: int) -> Iterator[list[RawMessage]]:
    offset = 0
    iterator = iter(events)
    while block := list(itertools.islice(iterator, block_n)):
        yield [RawMessage(_TOPIC, 0, offset + n, value) for n, value in enumerate(block)]
        offset += len(block)


def write_results(replayed: Replayed, folder: Path) -> None:
    """Write `drifts.jsonl` and `rejects.jsonl` into `folder`, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    drifts = b"".join(encode_body(record) + b"\n" for record in replayed.drifts)
    (folder / "drifts.jsonl").write_bytes(drifts)
    (folder / "rejects.jsonl").write_bytes(b"".join(dead_letter_body(r) + b"\n" for r in replayed.rejects))
