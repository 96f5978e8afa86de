"""The worker: poll, fold, commit, publish; the one thread that owns the store, the transport and every fold.

The steps of a commit are numbered in `docs/architecture.md`: 1 to 5 are the store's one transaction; then the read view
is replaced (6), the outbox published (7) and what was published marked (8).
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import msgspec

from service.config import Config, parse_duration_ms
from service.fold_state import configuration_version
from service.model_files import ModelFiles
from service.outputs import messages_of, outbox_rows
from service.owned import OwnedPartition
from service.progress import Progress
from service.ticks import Ticker, tick_message
from service.verification import verify
from service.view import MonitorHistory
from service.view_assembly import assemble_view
from service.webhooks import Attempt, Outcome, WebhookSender
from stream.errors import FencedError, StreamError, UnavailableError
from stream.store import AuditVerdict, CheckpointStore, StoredRow
from stream.transport import Transport

__all__ = ["Worker"]

log = logging.getLogger("anchorwatch.worker")

_POLL_S = 0.1
_POLL_MESSAGES = 4_000
_RETRY_S = 1.0
_OUTBOX_BATCH = 500
_DRIFTS_SHOWN = 1_000
_RECALLED = 5_000
_GONE_MS = 12 * 3_600_000
_ALL_DUE_MS = 1 << 62
_LOOK_S = 5.0


class Worker:
    """Runs until `stop` is set; then drains: folds what was polled, commits, publishes what can be published.

    Parameters
    ----------
    transport, sender : opened parts; the worker starts and closes the transport, the caller the sender
    open_store : opens the store in the worker's thread, which alone may use it and closes it
    models : where snapshots of model versions are written
    clock_s : wall clock, for commit intervals and due times only
    """

    def __init__(
        self,
        config: Config,
        transport: Transport,
        open_store: Callable[[], CheckpointStore],
        sender: WebhookSender,
        *,
        models: ModelFiles,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self.config, self.transport, self.sender = config, transport, sender
        self.store: CheckpointStore
        self._open_store = open_store
        self.models = models
        self._verifications: queue.SimpleQueue[Future[list[AuditVerdict]]] = queue.SimpleQueue()
        self.stop = threading.Event()
        self.refresh = threading.Event()
        self.problems: dict[str, str] = {"partitions": "not owned yet", "store": "ok", "broker": "ok"}
        self.view: Mapping[str, Any] = {}
        self.champions: dict[str, tuple[str, bytes]] = {}
        self.owned: dict[int, OwnedPartition] = {}
        self.histories: dict[str, MonitorHistory] = {}
        self.fatal: BaseException | None = None
        self._clock_s = clock_s
        self._interval_s = parse_duration_ms(config.commit.interval) / 1000
        self._poll_n = min(_POLL_MESSAGES, config.commit.events)  # so that no commit is of twice as many
        self._started = False
        self._generation = -1
        self._parked: set[int] = set()
        self._ticker = Ticker()
        self._looked_s = clock_s()
        self._last_commit_s = clock_s()
        self._progress = Progress.from_environment()
        self.started_ms = int(clock_s() * 1000)
        self.commits = 0
        self.commit_seconds = 0.0
        self.drifts: list[dict[str, Any]] = []
        self.rejects: list[dict[str, Any]] = []
        self.configuration = configuration_version(config)
        self._rate: list[tuple[float, int]] = []

    def run(self) -> None:
        """Work until `stop`; an error that cannot be mended by waiting ends the run and stands in `fatal`."""
        try:
            self.store = self._open_store()
            self.publish_view()
            while not self.stop.is_set():
                self._verify()
                self._patiently(self._turn if self._started else self._start)
            if self._started:
                self._patiently(self._drain)
        except BaseException as error:  # the thread's last word: `serve` exits non-zero with it
            self.fatal = error
            self.problems["worker"] = f"{type(error).__name__}: {error}"
            log.exception("worker stopped")
        finally:
            self.transport.close()
            if hasattr(self, "store"):
                self.store.close()

    def verify_audit(self) -> Future[list[AuditVerdict]]:
        """From any thread: have the audit trail of every partition that is owned, or of which this pipeline's store
        holds anything, checked in full by the worker's thread."""
        wanted: Future[list[AuditVerdict]] = Future()
        self._verifications.put(wanted)
        return wanted

    def _verify(self) -> None:
        while not self._verifications.empty():
            wanted = self._verifications.get()
            if not wanted.set_running_or_notify_cancel():
                continue  # whoever asked has gone away
            try:
                pipeline = self.config.pipeline.name
                owned = [(pipeline, partition) for partition in sorted(self.owned)]
                stored = [place for place in self.store.places() if place[0] == pipeline]
                wanted.set_result(verify(self.store, dict.fromkeys([*owned, *stored]), self.models))
            except StreamError as error:
                wanted.set_exception(error)

    def _start(self) -> None:
        self.models.sweep(self.store.version_blobs())
        self.transport.start()
        self._started = True

    def _patiently(self, step: Callable[[], None]) -> None:
        try:
            step()
        except UnavailableError as error:
            part = "store" if "Store" in type(error).__name__ else "broker"
            self.problems[part] = str(error)
            self.refresh.set()
            log.warning("%s away, retrying: %s", part, error)
            self.stop.wait(_RETRY_S)
        else:
            # A view that is still owed has not been asked for since something was away.
            if not self.refresh.is_set():
                self.problems["store"] = self.problems["broker"] = "ok"

    def _turn(self) -> None:
        if any(owned.pending_commit is not None for owned in self.owned.values()):
            self._commit_all()
        messages = self.transport.poll(_POLL_S, self._poll_n)
        try:
            unfit = self._follow_assignment() | self._parked
        except UnavailableError:
            # What was just polled is dropped: everything is sought anew before anything is folded.
            self._parked |= set(self.owned)
            raise
        by_partition: dict[int, list[Any]] = {}
        for message in messages:
            by_partition.setdefault(message.partition, []).append(message)
        for partition, polled in by_partition.items():
            # What was polled before a seek lies at another position; it is delivered again from the right one.
            if partition in self.owned and partition not in unfit:
                self.owned[partition].fold(polled)
        self._progress.folded(self.owned)
        if self._commit_is_due():
            self._commit_all()
        # Now and then even where nothing happens: asking for the lag is what finds a broker that is away.
        if self._dispatch() or self._clock_s() - self._looked_s >= _LOOK_S:
            self.refresh.set()
        self._tick()
        # Between two commits the folds are ahead of their hashes; the next commit publishes anyway.
        if self.refresh.is_set() and not self._uncommitted():
            self.refresh.clear()
            self.publish_view()

    def _tick(self) -> None:
        """Append a tick for each monitor that has been quiet while predictions wait to mature."""
        now_s = self._clock_s()
        for owned in self.owned.values():
            for name in self._ticker.due(owned.fold_state.folds, now_s):
                self.transport.append(name, [tick_message(name, int(now_s * 1000))])

    def _follow_assignment(self) -> set[int]:
        """Claim what is newly ours and drop what is no longer, once membership stands still after a poll.

        Returns the partitions that were sought: a rebalance parks even those that stay ours.
        """
        if self.transport.generation() != self._generation:
            self._generation, self._parked = self.transport.generation(), set(self.owned)
            return set()
        assigned = self.transport.assignment()
        sought = set(assigned & self._parked & set(self.owned))
        for partition in sought:
            self.transport.seek(partition, self.owned[partition].fold_state.position)
        self._parked.clear()
        for partition in [p for p in self.owned if p not in assigned]:
            del self.owned[partition]
        for partition in sorted(assigned - set(self.owned)):
            claimed = OwnedPartition.claim(self.config, self.store, self.transport, partition)
            self.transport.seek(partition, claimed.fold_state.position)
            self.owned[partition] = claimed
            self._progress.claimed(self.owned)
            sought.add(partition)
            self._recall(partition)
            log.info("partition %d: owned from offset %d", partition, claimed.fold_state.position)
            for remark in claimed.fold_state.remarks():
                log.warning("%s", remark)
            self.refresh.set()
        if assigned:
            self.problems["partitions"] = "ok"
        return sought

    def _recall(self, partition: int) -> None:
        """Put the newest drift records of earlier runs back into the view; the store keeps them in the outbox."""
        rows = self.store.outbox_done(self.config.pipeline.name, partition, _RECALLED)
        known = {record["id"] for record in self.drifts}
        records = [msgspec.json.decode(row.row.body) for row in rows if row.row.kind == "drift"]
        self.drifts += [record for record in records if record["id"] not in known]
        del self.drifts[_DRIFTS_SHOWN:]

    def _uncommitted(self) -> int:
        return sum(owned.fold_state.uncommitted for owned in self.owned.values())

    def _commit_is_due(self) -> bool:
        uncommitted = self._uncommitted()
        if uncommitted >= self.config.commit.events:
            return True
        return uncommitted > 0 and self._clock_s() - self._last_commit_s >= self._interval_s

    def _commit_all(self) -> None:
        started = time.perf_counter()
        for partition, owned in list(self.owned.items()):
            if not owned.fold_state.uncommitted and owned.pending_commit is None:
                continue
            try:
                commit = owned.commit(self.store, outbox_rows, int(self._clock_s() * 1000), models=self.models)
            except FencedError:
                log.warning("partition %d: another owner has it; released", partition)
                del self.owned[partition]
                continue
            self._remember(commit)
            self.transport.show_position(partition, commit.position)
        self._last_commit_s = self._clock_s()
        self.commits += 1
        self.commit_seconds = time.perf_counter() - started
        self._progress.committed(self.owned)
        self.publish_view()

    def _remember(self, commit: Any) -> None:
        now_ms = int(self._clock_s() * 1000)
        for output in commit.outputs:
            if output.kind == "drift":
                self.drifts.insert(0, output.body)
        del self.drifts[_DRIFTS_SHOWN:]
        for reject in commit.rejects:
            self.rejects.insert(0, {
                "topic": reject.topic, "partition": reject.partition, "offset": reject.offset,
                "reason": str(reject.reason), "detail": reject.detail, "monitor": reject.monitor, "time_ms": now_ms,
            })  # fmt: skip
        del self.rejects[200:]

    def _dispatch(self) -> bool:
        """Note what became of alerts, publish what is due, hand due alerts on; whether a row was settled."""
        settled = False
        outcomes = self.sender.outcomes()
        recovered = {f"webhook:{name}" for name in self.sender.recovered()}
        for partition in self.owned:
            settled |= self._note(partition, outcomes)
            pipeline = self.config.pipeline.name
            if recovered:
                self._wake(partition, recovered)
            rows = self.store.outbox_due(pipeline, partition, int(self._clock_s() * 1000), _OUTBOX_BATCH)
            if not rows:
                continue
            self._progress.unsent(len(rows))
            for row in rows:
                if row.row.destination.startswith("webhook:"):
                    self.sender.offer(_attempt(row, partition))
            done = self._publish([row for row in rows if row.row.destination.startswith("topic:")])
            if done:
                self.store.mark(pipeline, partition, done=done)
                settled = True
            self._progress.unsent(len(rows) - len(done))
        return settled

    def _note(self, partition: int, outcomes: list[Outcome]) -> bool:
        own = [outcome for outcome in outcomes if outcome.partition == partition]
        ended = [o for o in own if o.status in ("done", "rejected")]
        retry = [(o.seq, o.tries, o.due_ms) for o in own if o.status == "retry"]
        # An endpoint that said "gone" may come back with another start: its alerts are kept, and asked about rarely.
        asleep_until_ms = int(self._clock_s() * 1000) + _GONE_MS
        retry += [(o.seq, o.tries, asleep_until_ms) for o in own if o.status == "disabled"]
        if ended or retry:
            self.store.mark(self.config.pipeline.name, partition, done=[o.seq for o in ended], retry=retry)
            self._progress.unsent(0)
        return bool(ended or retry)

    def _wake(self, partition: int, destinations: set[str]) -> None:
        """Make alerts that wait for their next try due now: their endpoint answers again."""
        pipeline, now_ms = self.config.pipeline.name, int(self._clock_s() * 1000)
        waiting = self.store.outbox_due(pipeline, partition, _ALL_DUE_MS, _OUTBOX_BATCH)
        again = [(row.seq, row.tries, now_ms) for row in waiting if row.row.destination in destinations]
        if again:
            self.store.mark(pipeline, partition, retry=again)

    def _publish(self, rows: list[StoredRow]) -> list[int]:
        by_topic: dict[str, list[StoredRow]] = {}
        for row in rows:
            by_topic.setdefault(row.row.destination.removeprefix("topic:"), []).append(row)
        done: list[int] = []
        for topic, group in by_topic.items():
            self.transport.publish(topic, [message for row in group for message in messages_of(row)])
            done += [row.seq for row in group]
        return done

    def _drain(self) -> None:
        self._commit_all()
        self._dispatch()

    def publish_view(self) -> None:
        """Replace the read view by the state as of now, which is a committed one."""
        self._looked_s = self._clock_s()
        self.view = assemble_view(self)
        for owned in self.owned.values():
            self.champions.update(owned.champions())

    def rate(self, total: int) -> float:
        """Messages per second over the last commits."""
        now_s = self._clock_s()
        self._rate = [*self._rate[-9:], (now_s, total)]
        then_s, before = self._rate[0]
        span_s = now_s - then_s
        return (total - before) / span_s if span_s > 0 else 0.0

    def ready(self) -> tuple[bool, dict[str, str]]:
        """Whether everything that serving needs is there, and per part `ok` or why not."""
        problems = dict(self.problems)
        return all(value == "ok" for value in problems.values()), problems


def _attempt(row: StoredRow, partition: int) -> Attempt:
    return Attempt(
        seq=row.seq, endpoint=row.row.destination.removeprefix("webhook:"), id=row.row.id, body=row.row.body,
        tries=row.tries,
        partition=partition,
    )  # fmt: skip
