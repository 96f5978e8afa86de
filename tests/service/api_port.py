"""A service behind the HTTP API made of plain data: a rich view, an ingest on a log in memory, switches for trouble."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from service.api import NotReadyError
from service.config import Config, parse
from service.ingest import Ingest
from service.model_files import ModelFileError
from stream.codec import Decoder
from stream.errors import BrokerUnavailableError
from stream.store import AuditVerdict

__all__ = ["DRIFTS", "FakePort", "MemoryLog", "monitor_view"]


class MemoryLog:
    """A log in memory; `down` makes it refuse."""

    def __init__(self) -> None:
        self.written: list[tuple[str, bytes]] = []
        self.down = False

    def append(self, key: str, values: Sequence[bytes]) -> list[tuple[int, int]]:
        """Write `values` to partition 3."""
        if self.down:
            raise BrokerUnavailableError("no space left")
        first = len(self.written)
        self.written += [(key, value) for value in values]
        return [(3, first + n) for n in range(len(values))]


def _drift(n: int, **more: Any) -> dict[str, Any]:
    base = {
        "id": f"d{n}", "episode": f"e{n // 2}", "seq": n % 2 + 1, "monitor": "fraud", "kind": "data",
        "status": "drift", "incident": "i1", "severity": "ticket", "signal": "feature:amount", "detector": "ks",
        "direction": "up", "event": 40_000 + n, "time": "2026-03-01T10:00:00Z", "statistic": 3.1, "threshold": 2.4,
    }  # fmt: skip
    return base | more


DRIFTS = [
    _drift(5, kind="concept", signal="error:probe", detector="adwin", severity="page"),
    _drift(4, kind="concept", signal="error:probe", detector="adwin", severity="page", status="warning"),
    _drift(3, status="resolved"),
    _drift(2),
    _drift(1, monitor="churn", status="resolved"),
    _drift(0, monitor="churn"),
]  # newest first


def _figures(accuracy: float, **more: Any) -> dict[str, Any]:
    part = {"n": 4_000, "accuracy": accuracy, "kappa": 0.5, "kappa_temporal": 0.4, "f1": 0.6, "log_loss": 0.3}
    window = part | {"n": 1_000, "accuracy": accuracy - 0.1, "log_loss": None}
    return part | {"mae": None, "rmse": None, "window": window} | more


def monitor_view(name: str, **more: Any) -> dict[str, Any]:
    """The view of a monitor that has seen much."""
    view = {
        "name": name, "task": "classification", "phase": "watching", "phase_detail": "", "events_left": 0,
        "verdict": {"answer": "no", "since_ms": 1_772_359_200_000, "reason": "errors rose", "what_to_do": "look"},
        "counts": {"predictions": 5_000, "labels": 4_100, "joined": 4_050, "pending": 900, "late": 12,
                   "duplicates": 4, "corrections": 31, "early": 2, "orphans": 1, "evicted": 6, "unlabelled": 271,
                   "unknown_features": 8, "too_late": 9, "matured": 4_100, "duplicate_predictions": 3, "held_times": 5},
        "coverage": {"by_class": {"ok": {"matured": 4_000, "labelled": 3_000}, "never": {"matured": 0, "labelled": 0}}},
        "watermark_ms": 1_772_362_800_500, "age_ms": 10_800_000,
        "bounds": {"pending": {"value": 900, "cap": 50_000}, "early": {"value": 2, "cap": 10_000}},
        "signals": [
            {"name": "feature:amount", "kind": "data", "phase": "watching", "phase_detail": "", "value": 12.5,
             "detectors": [{"detector": "ks", "statistic": 3.5, "threshold": 2.5, "over": True},
                           {"detector": "adwin", "statistic": None, "threshold": 2.0, "over": False}]},
            {"name": "feature:country", "kind": "data", "phase": "blind", "phase_detail": "all missing", "value": None,
             "detectors": []},
        ],
        "open": [_drift(5, kind="concept", severity="page"), _drift(2)],
        "incidents": [{"id": "i1", "severity": "page", "status": "open"},
                      {"id": "i0", "severity": "page", "status": "resolved"}],
        "producer": {"7": _figures(0.9, coverage={"matured": 4_100, "labelled": 3_829})},
        "agreement": {"between": 0.1, "within": 0.25, "by_learner": {"logistic": 0.1}, "own": {"hoeffding": 0.25},
                      "says": "instability"},
        "promotion": {"loss": "zero_one", "alpha": 0.05, "challengers": {
            "logistic": {"n": 500, "lead": 0.01, "low": -0.02, "high": 0.04, "alpha": 0.03, "test": 1}}},
        "canary": {"model": "probe", "n": 1_000, "disagreement": 0.125},
        "review": {"of": "champion", "margin": 0.2, "spread": None, "auto": 75, "review": 25,
                   "window": {"n": 100, "share": 0.25}},
        "segments": {
            "channel=web": {"producer": {"7": _figures(0.8)}, "champion": _figures(0.7, name="hoeffding"),
                            "challengers": {"logistic": _figures(0.6)}, "coverage": {"matured": 90, "labelled": 60}},
        },
        "learners": {"hoeffding": _figures(0.88, role="champion", generation=2, replacements=3,
                                  failures=4, last_failure="a class too many"),
                     "majority": _figures(0.57, role="baseline", generation=0, replacements=0)},
        "rejected": {"wrong_type": 3}, "series": {"accuracy:producer": [[100, 0.9], [200, 0.8], [300, float("nan")]]},
        "state_sha256": "ab" * 32, "event": 4_999, "model_version": "7",
    }  # fmt: skip
    return view | more


def _regression() -> dict[str, Any]:
    figures = {"n": 400, "mae": 2.0, "rmse": 3.0}
    producer = {"": figures | {"window": figures}}
    segments = {"other": {"producer": producer, "champion": None, "challengers": {}, "coverage": {}}}
    return monitor_view("fares", task="regression", producer=producer, learners={}, coverage={}, segments=segments)


def _view() -> dict[str, Any]:
    rejects = [
        {"topic": "events", "partition": 0, "offset": n, "reason": reason, "detail": "…", "monitor": monitor,
         "time_ms": 1_772_359_200_000}
        for n, (reason, monitor) in enumerate([("not_json", None), ("wrong_type", "fraud"), ("wrong_type", "churn")])
    ]  # fmt: skip
    return {
        "service": {
            "version": "1.2.3", "started_ms": 1_772_359_200_000, "ready": True, "transport": "embedded",
            "partitions": {"0": {"position": 90, "end": 100, "lag": 10, "epoch": 4}},
            "commit": {"count": 812, "last_seconds": 0.25, "last_ms": 1_772_359_260_000},
            "outbox": {"webhook:ops": 2, "topic:drifts": 0}, "events_total": 12_345, "events_per_second": 1_204.5,
        },
        "monitors": {
            "fraud": monitor_view("fraud"),
            "churn": monitor_view("churn", phase="learning_reference"),
            "fares": _regression(),
        },
        "drifts": DRIFTS,
        "rejects": {"by_reason": {"not_json": 7, "wrong_type": 3}, "latest": rejects},
        "alerts": [
            {"id": f"a{n}", "endpoint": "ops", "status": status, "tries": n, "detail": ""}
            for n, status in enumerate(["retry", "done", "done"])
        ],
    }  # fmt: skip


CONFIG: dict[str, Any] = {
    "http": {"max_body_bytes": 200_000},
    "monitors": {
        name: {"features": {"amount": {"type": "numeric"}, "country": {"type": "categorical"}}}
        for name in ("fraud", "churn", "fares", "quiet")
    },
}


class FakePort:
    """A `ServicePort` whose parts a test may replace."""

    def __init__(self) -> None:
        self.current: Any = copy.deepcopy(_view())
        self.parts = {"store": "ok", "broker": "ok"}
        self.log = MemoryLog()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.trouble: Exception | None = None
        self.snapshots: dict[str, bytes] = {}
        self.verdicts = [AuditVerdict(0, 2, "ab" * 32)]
        self._config = parse(copy.deepcopy(CONFIG))
        self._ingest = Ingest(Decoder(self._config.schemas()), self.log)

    def view(self) -> Mapping[str, Any]:
        """The view."""
        view: Mapping[str, Any] = self.current
        return view

    def ready(self) -> tuple[bool, Mapping[str, str]]:
        """Ready if every part is."""
        return all(v == "ok" for v in self.parts.values()), self.parts

    def ingest(self) -> Ingest:
        """Real ingestion."""
        return self._ingest

    def predict(self, monitor: str, features: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer "ok", or the trouble of the test."""
        self.asked.append((monitor, dict(features)))
        if self.trouble is not None:
            raise self.trouble
        if monitor == "churn":
            raise NotReadyError("no learner has learnt yet")
        return {"prediction": "ok", "scores": {"ok": 0.75, "fraud": 0.25}, "model_version": "hoeffding@7"}

    def snapshot(self, sha256: str) -> bytes:
        """What the test has put there."""
        if sha256 not in self.snapshots:
            raise ModelFileError(f"the snapshot {sha256} is missing from models")
        return self.snapshots[sha256]

    def verify_audit(self) -> list[AuditVerdict]:
        """What the test has put there, or the trouble of the test."""
        if self.trouble is not None:
            raise self.trouble
        return self.verdicts

    def config(self) -> Config:
        """The configuration."""
        return self._config

    def webhook_status(self) -> Mapping[str, Any]:
        """One endpoint that retries."""
        return {
            "ops": {
                "sent": 5, "failed": 7, "retrying": 2, "disabled": False, "last_error": "HTTP 503",
                "last_success_ms": 1_772_359_230_000,
            }
        }  # fmt: skip
