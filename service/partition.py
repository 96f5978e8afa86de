"""The fold of one partition: raw messages in, per-monitor folds, outputs kept until the commit.

Live running, recovery and replay all go through this class, so that they cannot differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from service.config import Config
from service.fold import MonitorFold
from service.fold_output import FoldOutput
from service.fold_state import FoldState
from service.state_codec import decode, encode
from stream.codec import Decoder
from stream.dead_letters import raw_payload, redact
from stream.events import RawMessage, Reason, Reject
from stream.store import ComponentKey

__all__ = ["Commit", "PartitionFold"]

_OFFSET = attrgetter("offset")
_INTAKE = ComponentKey("", "", "intake")


@dataclass(slots=True)
class Commit:
    """What one commit stores and then lets out."""

    position: int
    components: dict[ComponentKey, bytes | None]
    outputs: list[FoldOutput] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)


class PartitionFold:
    """State of all monitors of one partition.

    Parameters
    ----------
    components : what the last commit stored; empty at the start
    position : the next offset
    partition_of : where a monitor's key belongs; None: not checked
    """

    def __init__(
        self,
        config: Config,
        partition: int = 0,
        *,
        position: int = 0,
        components: Mapping[ComponentKey, bytes] | None = None,
        partition_of: Callable[[str], int] | None = None,
    ) -> None:
        self.config, self.partition, self.position = config, partition, position
        self.decoder = Decoder(
            config.schemas(),
            hash_key=config.pipeline.hash_key.encode(),
            partition_of=partition_of,
            max_bytes=config.dead_letters.max_bytes,
            raw_dead_letters=config.dead_letters.raw,
        )
        self.folds = {
            name: MonitorFold(name, monitor, pipeline=config.pipeline.name)
            for name, monitor in config.monitors.items()
            if partition_of is None or partition_of(name) == partition
        }
        self.states = {name: FoldState(fold) for name, fold in self.folds.items()}
        self.messages = 0
        self.rejected: dict[str, int] = {}
        self.restarted: list[str] = []
        self.uncommitted = 0
        self._outputs: list[FoldOutput] = []
        self._rejects: list[Reject] = []
        self._intake_digest = b""
        if components:
            self._load(components)

    def _load(self, components: Mapping[ComponentKey, bytes]) -> None:
        if _INTAKE in components:
            intake = decode(components[_INTAKE])
            self.messages, self.rejected = intake["messages"], dict(intake["rejected"])
        for name, state in self.states.items():
            own = {key.component: data for key, data in components.items() if key.monitor == name}
            self.restarted += [f"{name}/{part}" for part in state.load(own)]

    def remarks(self) -> list[str]:
        """What a person who changed the configuration should know of what was loaded."""
        told = [f"{name} begins anew: its settings are not those that it was stored with" for name in self.restarted]
        for name, fold in self.folds.items():
            wanted, champion = fold.config.champion, fold.committee.champion
            if wanted is not None and wanted != champion:
                told.append(
                    f"{name}: champion is {champion!r} by promotion, not {wanted!r} as configured; to change that: "
                    f"anchorwatch models promote {name} --learner {wanted}"
                )
        return told

    def fold(self, messages: Sequence[RawMessage]) -> None:
        """Take messages of this partition in order of offset."""
        if not messages:
            return
        decoded = self.decoder.decode(messages)
        self._rejects += decoded.rejects
        for reject in decoded.rejects:
            self.rejected[reject.reason] = self.rejected.get(reject.reason, 0) + 1
        outputs: list[FoldOutput] = []
        for name, batch in decoded.batches.items():
            outputs += self.folds[name].fold(batch)
        if any(output.kind == "reject" for output in outputs):
            self._refuse(outputs, messages)
        outputs.sort(key=_OFFSET)
        self._outputs += [output for output in outputs if output.kind != "reject"]
        self.messages += len(messages)
        self.uncommitted += len(messages)
        self.position = messages[-1].offset + 1

    def _refuse(self, outputs: list[FoldOutput], messages: Sequence[RawMessage]) -> None:
        by_offset = {message.offset: message for message in messages}
        for output in outputs:
            if output.kind != "reject":
                continue
            message = by_offset[output.offset]
            reason = Reason(output.body["reason"])
            self.rejected[reason] = self.rejected.get(reason, 0) + 1
            value = message.value or b""
            payload = raw_payload(value) if self.config.dead_letters.raw else redact(value)
            monitor = output.body.get("monitor")
            place = (message.topic, message.partition, message.offset)
            self._rejects.append(Reject(*place, reason, output.body["detail"], monitor, payload))

    def release(self) -> Commit:
        """Hand over outputs and rejects without taking a snapshot, for a run that stores nothing."""
        commit = Commit(self.position, {}, self._outputs, sorted(self._rejects, key=lambda reject: reject.offset))
        self._outputs, self._rejects, self.uncommitted = [], [], 0
        return commit

    def commit(self) -> Commit:
        """What has changed since the last call; the outputs are handed over."""
        components: dict[ComponentKey, bytes | None] = {}
        for name, state in self.states.items():
            for part, data in state.changed().items():
                components[ComponentKey(name, "", part)] = data
        intake = encode({"messages": self.messages, "rejected": self.rejected})
        digest = hashlib.sha256(intake).digest()
        if digest != self._intake_digest:
            components[_INTAKE] = intake
            self._intake_digest = digest
        commit = self.release()
        commit.components = components
        commit.hashes = {name: state.sha256() for name, state in self.states.items()}
        return commit
