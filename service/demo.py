"""`anchorwatch demo`: the whole service on a real stream with one planted drift, live or as a scorecard.

The scorecard is honest: it also runs the twin of the stream without the plant, and a drift counts as found only if
a record's onset interval holds the plant's start and the twin has no episode on that signal in that interval.
"""

from __future__ import annotations

import itertools
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from tqdm import tqdm

from service import flights
from service.config import Config, MonitorConfig, load
from service.decay import Decay
from service.demo_receiver import Receiver
from service.replay import replay
from service.serve import Service, build_service, run_service
from service.summary import monitor_summary, summary

__all__ = ["demo_config", "found_plant", "scorecard", "send_to_kafka", "serve_demo"]

log = logging.getLogger("anchorwatch.demo")

_BLOCK_N = 2_000
_LAG_MAX = 20_000
_SETTLE_S = 60.0
_YEAR_N = 225_000


def demo_config() -> Config:
    """The configuration that the demo runs with; `service/samples/flights.toml`, commented."""
    with resources.as_file(resources.files("service") / "samples" / "flights.toml") as path:
        return load(path)


def _with_receiver(config: Config, receiver: Receiver) -> Config:
    import msgspec

    return msgspec.structs.replace(config, webhooks={**config.webhooks, "demo": receiver.webhook()})


def scorecard(limit: int | None = None) -> dict[str, Any]:
    """Run the stream through log, worker, store and webhooks, and its twin through the fold; the design's JSON."""
    with Receiver() as receiver, tempfile.TemporaryDirectory(prefix="anchorwatch-") as folder:
        config = _with_receiver(demo_config(), receiver)
        card, drifts = _run_service(config, Path(folder), limit)
        card["alerts"] = {"sent": receiver.received, "verified": receiver.verified, "distinct": len(receiver.ids)}
    twin = _twin_episodes(demo_config(), limit)
    card["planted"] = [found_plant(drifts, twin)]
    return card


def _run_service(config: Config, folder: Path, limit: int | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    service, close = build_service(config, folder)
    service.worker.sender.start()
    thread = threading.Thread(target=service.worker.run, name="worker")
    thread.start()
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    try:
        decay = _feed(service, flights.stream(limit=limit), limit)
        _settle(service)
        seconds, cpu_seconds = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    finally:
        service.worker.stop.set()
        thread.join()
        close()
    if service.worker.fatal is not None:
        raise service.worker.fatal
    owned = service.worker.owned[0]
    drifts = list(reversed(service.worker.drifts))
    card = summary(owned.fold_state.messages, seconds, cpu_seconds, owned.fold_state.rejected)
    card["monitors"] = {
        name: monitor_summary(fold, [d for d in drifts if d["monitor"] == name], owned.hashes[name])
        for name, fold in owned.fold_state.folds.items()
    }
    card["monitors"][flights.MONITOR]["producer_by_month"] = decay.months()
    return card, drifts


def _feed(service: Service, events: Iterator[bytes], limit: int | None) -> Decay:
    worker, decay = service.worker, Decay()
    with tqdm(total=limit or _YEAR_N, unit="ev", file=sys.stderr, disable=None, desc="flights") as bar:
        while block := list(itertools.islice(events, _BLOCK_N)):
            service.transport.append(flights.MONITOR, block)
            bar.update(len(block))
            for message in block:
                decay.see(message)
            while _lag(service) > _LAG_MAX and worker.fatal is None:
                time.sleep(0.02)
    return decay


def _lag(service: Service) -> int:
    owned = service.worker.owned.get(0)
    return service.transport.end_offset(0) - (0 if owned is None else owned.fold_state.position)


def _settle(service: Service) -> None:
    """Wait until all is folded and committed and every alert has been answered."""
    deadline = time.monotonic() + _SETTLE_S
    while time.monotonic() < deadline and service.worker.fatal is None:
        view = service.worker.view["service"]
        owned = service.worker.owned.get(0)
        idle = owned is not None and not owned.fold_state.uncommitted and _lag(service) == 0
        if idle and not any(view["outbox"].values()):
            return
        if _lag(service):
            deadline = time.monotonic() + _SETTLE_S
        service.worker.refresh.set()
        time.sleep(0.05)


def _twin_episodes(config: Config, limit: int | None) -> list[dict[str, Any]]:
    """Drift records of the stream without the plant; learners cannot change them on features, so none run."""
    import msgspec

    def without_learners(monitor: MonitorConfig) -> MonitorConfig:
        return msgspec.structs.replace(monitor, learners={}, champion=None, probe=None)

    bare = msgspec.structs.replace(config, monitors={n: without_learners(m) for n, m in config.monitors.items()})
    with tqdm(total=limit or _YEAR_N, unit="ev", file=sys.stderr, disable=None, desc="twin") as bar:
        return replay(flights.stream(planted=False, limit=limit), bare, progress=bar.update).drifts


def found_plant(drifts: list[dict[str, Any]], twin: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether the plant was found, by the rule of this module's first lines, with the episodes of both runs."""
    plant = flights.PLANT
    own = [d for d in drifts if d["signal"] == plant.signal and d["status"] == "drift"]
    others = [d for d in twin if d["signal"] == plant.signal and d["status"] == "drift"]
    result: dict[str, Any] = {
        "event": plant.start_event, "until": plant.end_event, "signal": plant.signal, "what": plant.what,
        "found_at": None, "delay": None, "detector": None,
        "episodes": [_brief(d) for d in own], "twin_episodes": [_brief(d) for d in others],
    }  # fmt: skip
    for record in own:
        onset = record["onset"]
        if not onset["low"] <= plant.start_event <= onset["high"]:
            continue
        if any(t["onset"]["low"] <= onset["high"] and onset["low"] <= t["onset"]["high"] for t in others):
            continue
        return result | {
            "found_at": record["event"], "delay": record["event"] - plant.start_event, "detector": record["detector"]
        }  # fmt: skip
    return result


def _brief(record: dict[str, Any]) -> dict[str, Any]:
    return {"event": record["event"], "detector": record["detector"], "onset": record["onset"]}


def serve_demo(data_dir: Path, host: str, port: int, *, speed: float, limit: int | None) -> int:
    """Serve the stream at `speed` events a second, from where the last run stopped; over and over if it ends."""
    with Receiver() as receiver:
        config = _with_receiver(demo_config(), receiver)

        def feed(service: Service, stop: threading.Event) -> None:
            already = service.transport.end_offset(0)
            events = itertools.islice(flights.stream(limit=limit), already, None)
            pause_s = 0.1
            while not stop.is_set() and (block := list(itertools.islice(events, max(1, int(speed * pause_s))))):
                service.transport.append(flights.MONITOR, block)
                stop.wait(pause_s)
            if not stop.is_set():
                log.info("the stream has ended; the page stays up (Ctrl-C ends it)")

        sys.stderr.write(f"anchorwatch demo: http://{host}:{port}  (Ctrl-C ends it; data in {data_dir})\n")
        return run_service(config, data_dir, host, port, beside=feed)


def send_to_kafka(servers: str, topic: str, limit: int | None, speed: float) -> int:
    """Produce the stream to a Kafka topic at `speed` events a second."""
    from stream.kafka_client import ensure_topics
    from stream.kafka_transport import KafkaTransport

    ensure_topics(servers, {topic: 1})
    transport = KafkaTransport(servers, topic, group="anchorwatch-demo-producer")
    events = flights.stream(limit=limit)
    transport.start()
    try:
        with tqdm(total=limit or _YEAR_N, unit="ev", file=sys.stderr, disable=None, desc="to Kafka") as bar:
            while block := list(itertools.islice(events, max(1, int(speed * 0.1)))):
                transport.append(flights.MONITOR, block)
                bar.update(len(block))
                time.sleep(0.1)
    finally:
        transport.close()
    return 0
