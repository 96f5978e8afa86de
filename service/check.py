"""`anchorwatch check`: every connection that the configuration names, each with a clear verdict."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from service.config import Config
from stream.errors import StreamError

__all__ = ["Verdict", "check"]

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the check."""

    part: str
    ok: bool
    detail: str


def check(config: Config, data_dir: Path) -> list[Verdict]:
    """Look at everything that serving would need; a data folder and topics that are missing are made."""
    verdicts = [Verdict("configuration", True, f"{len(config.monitors)} monitor(s): {', '.join(config.monitors)}")]
    if not config.monitors:
        verdicts[0] = Verdict("configuration", False, "no monitor; `anchorwatch init SAMPLE` writes one")
    verdicts.append(_check_store(data_dir))
    verdicts.append(_check_kafka(config) if config.transport.kind == "kafka" else _check_log(config, data_dir))
    verdicts += [_check_webhook(name, hook.url) for name, hook in config.webhooks.items()]
    verdicts += [_check_learners(name, config) for name in config.monitors]
    return verdicts


def _check_store(data_dir: Path) -> Verdict:
    from stream.sqlite_store import SQLiteStore

    path = data_dir / "checkpoints.sqlite"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        SQLiteStore(path).close()
    except (StreamError, OSError) as error:
        return Verdict("store", False, f"{path}: {error}")
    return Verdict("store", True, f"{path} can be read and written")


def _check_log(config: Config, data_dir: Path) -> Verdict:
    from stream.embedded_log import EmbeddedLog

    try:
        log = EmbeddedLog(data_dir / "log", segment_bytes=config.transport.embedded.segment_bytes)
        log.close()
    except (StreamError, OSError) as error:
        return Verdict("embedded log", False, f"{data_dir / 'log'}: {error}")
    return Verdict("embedded log", True, f"{data_dir / 'log'} is free and whole")


def _check_kafka(config: Config) -> Verdict:
    from service.serve import open_transport

    kafka = config.transport.kafka
    name = f"kafka {kafka.bootstrap_servers}"
    try:
        transport, close = open_transport(config, Path(), timeout_s=_TIMEOUT_S)
        transport.start()
        partitions = transport.partitions()
        transport.close()
        close()
    except (StreamError, OSError) as error:
        return Verdict(name, False, str(error))
    return Verdict(name, True, f"topic {kafka.topic} has {partitions} partition(s)")


def _check_webhook(name: str, url: str) -> Verdict:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=_TIMEOUT_S).close()
    except OSError as error:
        return Verdict(f"webhook {name}", False, f"{parts.hostname}:{port} does not take connections: {error}")
    return Verdict(f"webhook {name}", True, f"{parts.hostname}:{port} takes connections (nothing was sent)")


def _check_learners(name: str, config: Config) -> Verdict:
    from learners import LearnerError
    from service.members import Committee

    try:
        committee = Committee(config.monitors[name])
    except LearnerError as error:
        return Verdict(f"monitor {name}", False, str(error))
    return Verdict(f"monitor {name}", True, f"members: {', '.join(committee.members)}")
