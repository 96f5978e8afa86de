"""`anchorwatch serve`: worker, HTTP and page in one process; SIGTERM drains, commits and ends it.

The web server answers as soon as it listens; `/readyz` says what is still missing (kernels, partitions, broker,
store). All files of the service lie in its data folder.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.config import Config
from service.ingest import Ingest
from service.model_files import ModelFiles
from stream.errors import StoreUnavailableError

if TYPE_CHECKING:
    from service.worker import Worker
    from stream.store import AuditVerdict
    from stream.transport import Transport

__all__ = ["Service", "build_service", "open_transport", "prepare_environment", "run_service"]

log = logging.getLogger("anchorwatch.serve")

_DRAIN_S = 30.0
_SENDER_STOP_S = 5.0
_BROKER_S = 15.0
_VERIFY_S = 20.0


def prepare_environment(data_dir: Path) -> None:
    """Give numba a writable cache if the packages' own folder is read-only. Must run before numba is imported."""
    own = Path(__file__).resolve().parent.parent / "detectors"
    if "NUMBA_CACHE_DIR" not in os.environ and not os.access(own, os.W_OK):
        os.environ["NUMBA_CACHE_DIR"] = str(data_dir.resolve() / "numba-cache")


@dataclass
class Service:
    """What HTTP sees of a running service: the read view, the log to append to, the committed champions."""

    settings: Config
    transport: Transport
    worker: Worker
    intake: Ingest
    warm: bool = False
    warming: str = "waiting for the worker"

    def view(self) -> Mapping[str, Any]:
        """The read view as of the last commit."""
        return self.worker.view

    def ready(self) -> tuple[bool, Mapping[str, str]]:
        """Verdict, and per part `ok` or what is missing."""
        _, parts = self.worker.ready()
        parts["kernels"] = "ok" if self.warm else self.warming
        return all(part == "ok" for part in parts.values()), parts

    def ingest(self) -> Ingest:
        """Where events are appended."""
        return self.intake

    def predict(self, monitor: str, features: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer by the last committed champion; touches no state of the fold.

        Raises
        ------
        KeyError : no such monitor
        LookupError : it has no champion, or none is committed yet
        """
        from service.answering import answer

        return answer(self.settings, self.worker.champions, monitor, features)

    def snapshot(self, sha256: str) -> bytes:
        """The bytes of a model version's snapshot."""
        return self.worker.models.read(sha256)

    def verify_audit(self) -> Sequence[AuditVerdict]:
        """Have the worker check the whole audit trail.

        Raises
        ------
        UnavailableError : it did not come to it, or the store is away
        """
        wanted = self.worker.verify_audit()
        try:
            return wanted.result(_VERIFY_S)
        except TimeoutError as error:
            wanted.cancel()
            raise StoreUnavailableError(f"the worker did not check the trail within {_VERIFY_S:.0f} s") from error

    def config(self) -> Config:
        """The configuration in force."""
        return self.settings

    def webhook_status(self) -> Mapping[str, Any]:
        """Per endpoint what was sent and what failed."""
        return self.worker.sender.status()


def open_transport(
    config: Config, data_dir: Path, *, timeout_s: float = _BROKER_S
) -> tuple[Transport, Callable[[], None]]:
    """The transport that the configuration names, and what closes the log under it."""
    if config.transport.kind == "kafka":
        from stream.kafka_client import SECURITY_KEYS
        from stream.kafka_transport import KafkaTransport

        kafka = config.transport.kafka
        named = {"sasl_plain_username": "sasl_username", "sasl_plain_password": "sasl_password"}
        wanted = {name: getattr(kafka, named.get(name, name), None) for name in SECURITY_KEYS}
        given = {name: value for name, value in wanted.items() if value is not None}
        outputs = (
            kafka.topic, kafka.drift_topic, kafka.predictions_topic, kafka.review_topic, kafka.dead_letter_topic,
        )  # fmt: skip
        transport = KafkaTransport(
            kafka.bootstrap_servers,
            kafka.topic,
            group=kafka.group,
            security=given,
            create=dict.fromkeys(outputs, 1),
            timeout_s=timeout_s,
        )
        return transport, lambda: None
    from stream.embedded_log import EmbeddedLog
    from stream.embedded_transport import EmbeddedTransport

    embedded = config.transport.embedded
    event_log = EmbeddedLog(data_dir / "log", segment_bytes=embedded.segment_bytes)
    topic = config.transport.kafka.topic
    return EmbeddedTransport(event_log, topic, partitions=embedded.partitions), event_log.close


def build_service(config: Config, data_dir: Path) -> tuple[Service, Callable[[], None]]:
    """Open every part; returns the service and what closes the parts that the worker does not."""
    from service.webhooks import WebhookSender
    from service.worker import Worker
    from stream.codec import Decoder
    from stream.sqlite_store import SQLiteStore

    data_dir.mkdir(parents=True, exist_ok=True)
    transport, close_log = open_transport(config, data_dir)
    sender = WebhookSender(config.webhooks)
    models = ModelFiles(data_dir / "models")
    worker = Worker(config, transport, lambda: SQLiteStore(data_dir / "checkpoints.sqlite"), sender, models=models)
    decoder = Decoder(
        config.schemas(), hash_key=config.pipeline.hash_key.encode(), max_bytes=config.dead_letters.max_bytes
    )
    intake = Ingest(decoder, transport, max_item_bytes=config.dead_letters.max_bytes)
    service = Service(config, transport, worker, intake)

    def close() -> None:
        sender.stop(_SENDER_STOP_S)
        close_log()

    return service, close


def run_service(
    config: Config,
    data_dir: Path,
    host: str,
    port: int,
    *,
    beside: Callable[[Service, threading.Event], None] | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. `beside` runs in a thread of its own, for the demo."""
    import uvicorn

    from service.api import create_app

    service, close = build_service(config, data_dir)
    worker = service.worker
    threads = [threading.Thread(target=_work, args=(service,), name="worker")]
    if beside is not None:
        threads.append(threading.Thread(target=beside, args=(service, worker.stop), name="feeder", daemon=True))
    server = uvicorn.Server(
        uvicorn.Config(create_app(service), host=host, port=port, log_level="warning", timeout_graceful_shutdown=5)
    )
    for thread in threads:
        thread.start()
    watch = threading.Thread(target=_end_with_worker, args=(worker, threads[0], server), daemon=True)
    watch.start()
    log.info("serving at http://%s:%d, data in %s", host, port, data_dir)
    # uvicorn ends on these signals and then raises them again for whoever came before it: that must be nobody, or the
    # process would die before the worker has drained.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        server.run()
    finally:
        worker.stop.set()
        threads[0].join(_DRAIN_S)
        close()
    log.info("stopped; %s", _last_word(worker))
    return 0 if worker.fatal is None and server.started else 1


def _last_word(worker: Worker) -> str:
    if worker.fatal is not None:
        return "an error ended the worker, see above"
    owed = sum(owned.fold_state.uncommitted or owned.pending_commit is not None for owned in worker.owned.values())
    if owed:
        return "the store was away: what is not committed is folded again at the next start"
    return "everything folded is committed"


def _work(service: Service) -> None:
    """Compile or load the kernels first, so that the first event is as fast as the thousandth; then work."""
    from service.warm import slowly, warm

    def say(step: str) -> None:
        service.warming = f"compiling or loading {step}; slow at the first start after an installation only"
        told(step)

    told = slowly(log.info)
    warm(service.settings, say)
    service.warm = True
    service.worker.sender.start()
    service.worker.run()


def _end_with_worker(worker: Worker, thread: threading.Thread, server: Any) -> None:
    thread.join()
    if worker.fatal is not None:
        server.should_exit = True
