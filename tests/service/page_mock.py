"""A stand-in for the service: its answers about made-up monitors that move on, and the page's own files."""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["DRIFT_EVENT", "HOSTILE", "MockService", "monitor", "serving"]

ASSETS = Path(__file__).parents[2] / "service" / "assets"
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
DRIFT_EVENT = 48_213
_START_MS = 1_772_359_200_000  # 2026-03-01T10:00:00Z
_EVENT_MS = 700
_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_DETECTORS = ("adwin", "page_hinkley", "ks", "cvm")
_FEATURES = (
    "amount", "country", "hour_since_last", "merchant_risk", "basket_size", "distance_km", "card_age_days",
    "device", "attempts", "session_seconds", "typing_speed", "refunds_30d", "balance", "velocity_1h", "locale_match",
)  # fmt: skip


def _wave(event: int, salt: int, size: float = 1.0) -> float:
    return (
        size * (math.sin(event / 900 + salt) + 0.6 * math.sin(event / 311 + 2 * salt) + 0.4 * math.sin(event / 97)) / 2
    )


def _series(upto: int, value: Any) -> list[list[float]]:
    first = max(1_000, upto - 12_000)
    return [[event, round(value(event), 4)] for event in range(first, upto + 1, 60)]


def _fall(event: int, depth: float) -> float:
    return depth / (1 + math.exp(-(event - DRIFT_EVENT + 100) / 150))


def _performance(upto: int, depth: float) -> dict[str, list[list[float]]]:
    return {
        "accuracy:producer@7": _series(upto, lambda e: 0.883 + _wave(e, 1, 0.012) - _fall(e, depth)),
        "accuracy:hoeffding": _series(upto, lambda e: 0.871 + _wave(e, 2, 0.012) - 0.3 * _fall(e, depth)),
        "accuracy:logistic": _series(upto, lambda e: 0.858 + _wave(e, 3, 0.013) - 0.6 * _fall(e, depth)),
        "accuracy:majority": _series(upto, lambda e: 0.742 + _wave(e, 4, 0.010)),
        "accuracy:no_change": _series(upto, lambda e: 0.655 + _wave(e, 5, 0.012)),
        "coverage": _series(upto, lambda e: 0.93 + _wave(e, 6, 0.02)),
        "pending": _series(upto, lambda e: 3_310 + _wave(e, 7, 400)),
    }


def _signal(name: str, kind: str, upto: int, *, peak: float = 0.0, salt: int = 0, **more: Any) -> dict[str, Any]:
    detectors = ("energy",) if name == "joint" else _DETECTORS[: 2 if name.startswith("error") else 4]
    last = {d: 0.35 + _wave(upto, salt + i, 0.25) + _fall(upto, peak) for i, d in enumerate(detectors)}
    read = [{"detector": d, "statistic": round(12 * x, 3), "threshold": 12.0, "over": x >= 1} for d, x in last.items()]
    base = {"name": name, "kind": kind, "phase": "watching", "phase_detail": "", "value": 12.5, "detectors": read}
    return base | more


def _signals(upto: int, depth: float) -> list[dict[str, Any]]:
    found = [_signal(f"feature:{f}", "data", upto, salt=i) for i, f in enumerate(_FEATURES)]
    found[0] = _signal("feature:amount", "data", upto, peak=3 * depth)
    found[4] |= {"phase": "blind", "phase_detail": "97 % of the values are missing", "detectors": []}
    found[7] |= {"phase": "learning_reference", "phase_detail": "312 predictions left"}
    found.append(_signal("joint", "data", upto, peak=2 * depth, salt=20))
    found.append(_signal("error:producer@7", "performance", upto, peak=5 * depth, salt=21))
    found.append(_signal("error:probe", "concept", upto, peak=3.4 * depth, salt=22))
    found.extend(_signal(name, "quality", upto, salt=30) for name in ("delay", "missing:balance"))
    return found


def _statistics(signals: list[dict[str, Any]], upto: int, depth: float) -> dict[str, list[list[float]]]:
    peaks = {"feature:amount": 3.0, "joint": 2.0, "error:producer@7": 5.0, "error:probe": 3.4}
    found = {}
    for salt, signal in enumerate(signals):
        peak = peaks.get(signal["name"], 0.0) * depth
        for i, d in enumerate(signal["detectors"]):
            key = f"statistic:{signal['name']}/{d['detector']}"
            found[key] = _series(upto, lambda e, s=salt + i, p=peak: 0.35 + _wave(e, s, 0.25) + _fall(e, p))
    return found


def _drift(signal: str, kind: str, detector: str, **more: Any) -> dict[str, Any]:
    severity = "page" if kind in {"performance", "concept"} else "ticket"
    base = {
        "id": f"{signal}-{detector}", "episode": f"ep-{signal}-{detector}", "seq": 1, "monitor": "fraud", "kind": kind,
        "status": "drift", "incident": "inc-1", "severity": severity, "signal": signal, "detector": detector,
        "direction": "up", "event": DRIFT_EVENT, "time": "2026-03-01T19:22:29Z", "statistic": 3.1, "threshold": 2.4,
        "onset": {"event": 47_950, "low": 47_800, "high": 48_100}, "effect": 0.81, "n": 500, "n_effective": 410,
        "suspects": [{"feature": "amount", "score": 0.91}, {"feature": "velocity_1h", "score": 0.34}],
    }  # fmt: skip
    return base | more


def _drifts(depth: float) -> list[dict[str, Any]]:
    earlier = _drift(
        "feature:device", "data", "ks", episode="ep-0", incident="inc-0", status="resolved", seq=2, event=40_110,
        onset={"event": 40_000, "low": 39_900, "high": 40_060}, time="2026-03-01T17:48:00Z", resolution="back",
        suspects=[],
    )  # fmt: skip
    now = [
        _drift("error:producer@7", "performance", "adwin"),
        _drift("error:probe", "concept", "page_hinkley", event=48_340),
        _drift("feature:amount", "data", "ks", event=48_102), _drift("feature:amount", "data", "cvm", event=48_110),
        _drift("joint", "data", "energy", event=48_150, direction="both"),
    ]  # fmt: skip
    return [*(now if depth else []), earlier]


def _scores(accuracy: float, window: float, **more: Any) -> dict[str, Any]:
    def part(a: float) -> dict[str, Any]:
        kappa = round(2 * a - 1, 3)
        return {
            "accuracy": a,
            "kappa": kappa,
            "kappa_temporal": round(kappa - 0.09, 3),
            "f1": round(a - 0.05, 3),
            "log_loss": round(1 - a, 3),
        }

    return {"n": 44_812, **part(accuracy), "window": {"n": 1_000, **part(window)}} | more


def _models(depth: float) -> dict[str, Any]:
    return {
        "producer": {"7": _scores(0.881, round(0.884 - depth, 3))},
        "learners": {
            "hoeffding": _scores(0.869, round(0.872 - 0.3 * depth, 3), role="champion", generation=2, replacements=1),
            "logistic": _scores(0.857, round(0.859 - 0.6 * depth, 3), role="challenger", generation=0, replacements=0),
            "probe": _scores(0.842, round(0.840 - depth, 3), role="probe", generation=0, replacements=0),
            "majority": _scores(0.741, 0.744, role="baseline", generation=0, replacements=0),
            "no_change": _scores(0.652, 0.659, role="baseline", generation=0, replacements=0),
        },
        "segments": {
            f"channel={channel}": {
                "producer": {"7": _scores(0.881, round(0.884 - at * depth, 3))},
                "champion": _scores(0.869, 0.872, name="hoeffding"), "challengers": {},
                "coverage": {"matured": 1_000, "labelled": 930},
            }
            for at, channel in enumerate(("app", "web"), start=1)
        },
        "review": {"of": "champion", "margin": 0.2, "spread": None, "auto": 900, "review": 100,
                   "window": {"n": 500, "share": 0.14}},
        "agreement": {"between": 0.23, "within": None, "by_learner": {"logistic": 0.23}, "own": {},
                      "says": "drift" if depth else "instability"},
    }  # fmt: skip


_VERDICTS = {
    "fine": ("yes", "No performance, concept or quality drift is open; 93 % of due labels came.", "Nothing."),
    "drift": (
        "no", "Performance fell: the error of your model rose by 0.17 around event 47,950 while amount moved.",
        "Look at the source of amount (unit or sender), then switch to the champion hoeffding or roll version 7 back.",
    ),
    "learning": ("cannot_tell", "The reference is being learnt: 312 of 1,000 predictions are still to come.", "Wait."),
}  # fmt: skip
_HEADLINE = "Your model is wrong more often: accuracy fell from 0.88 to 0.71"


def _incidents(depth: float) -> list[dict[str, Any]]:
    if not depth:
        return []
    signals = ["error:producer@7", "error:probe", "feature:amount", "joint"]
    return [
        {
            "id": "inc-1", "severity": "page", "status": "open", "kind": "performance", "first_event": DRIFT_EVENT,
            "onset_low": 47_800, "onset_high": 48_100, "time_ms": _START_MS + DRIFT_EVENT * _EVENT_MS,
            "episodes": [], "signals": signals, "headline": _HEADLINE,
        }
    ]  # fmt: skip


def monitor(name: str, story: str, upto: int) -> dict[str, Any]:
    """Everything that the service says of one monitor: `fine`, `drift` or `learning`, at event `upto`."""
    depth = 0.17 if story == "drift" else 0.0
    answer, reason, todo = _VERDICTS[story]
    signals = _signals(upto, depth)
    learning = story == "learning"
    counts = {
        "predictions": upto + 1, "labels": max(0, upto - 3_000), "joined": max(0, upto - 3_050), "pending": 3_310,
        "late": 12, "duplicates": 4, "corrections": 31, "early": 2, "orphans": 1, "evicted": 0, "unlabelled": 271,
        "unknown_features": 0, "too_late": 0, "matured": upto - 3_000,
    }  # fmt: skip
    since_ms = _START_MS + (DRIFT_EVENT if depth else 1_000) * _EVENT_MS
    classes = {"ok": {"matured": 41_000, "labelled": 38_540}, "fraud": {"matured": 1_310, "labelled": 1_022}}
    base = {
        "name": name, "task": "classification", "phase": "learning_reference" if learning else "watching",
        "phase_detail": "", "events_left": 312 if learning else 0, "counts": counts, "signals": signals,
        "verdict": {"answer": answer, "since_ms": since_ms, "reason": reason, "what_to_do": todo},
        "coverage": {"by_class": classes}, "watermark_ms": _START_MS + upto * _EVENT_MS, "age_ms": 10_800_000,
        "bounds": {"pending": {"value": 13_310, "cap": 50_000}},
        "open": [d for d in _drifts(depth) if d["status"] != "resolved"], "incidents": _incidents(depth),
        "rejected": {"not_json": 7, "bad_type": 3, "time_without_offset": 1}, "event": upto, "model_version": "7",
        "state_sha256": f"{upto:064x}",
    }  # fmt: skip
    if learning:
        for signal in signals:
            signal |= {
                "phase": "learning_reference",
                "phase_detail": "312 predictions left",
                "detectors": [],
            }
        return base | {"producer": {}, "learners": {}, "series": {}, "coverage": {"by_class": {}}}
    return base | _models(depth) | {"series": _performance(upto, depth) | _statistics(signals, upto, depth)}


class MockService:
    """What the mock tells: stories by monitor name; every look moves the stream on by 40 events."""

    def __init__(self, stories: dict[str, str]) -> None:
        self.stories = stories
        self.upto = 49_000
        self.away = False
        self.unready = ""
        self.moving = True
        self.extra: dict[str, Any] = {}

    def _monitor(self, name: str) -> dict[str, Any]:
        story = self.stories[name]
        return monitor(name, story, 688 if story == "learning" else self.upto) | self.extra

    def answer(self, path: str, query: str) -> Any:
        """The JSON of one address, None where the service would say 404."""
        if path == "/v1/monitors":
            self.upto += 40 if self.moving else 0
            long = ("series", "segments")
            brief = {n: {k: v for k, v in self._monitor(n).items() if k not in long} for n in self.stories}
            return {"monitors": brief, "service": self._service()}
        if path.startswith("/v1/monitors/"):
            return self._monitor(unquote(path.removeprefix("/v1/monitors/")))
        if path == "/v1/drifts":
            story = self.stories[parse_qs(query)["monitor"][0]]
            return {"drifts": [] if story == "learning" else _drifts(0.17 if story == "drift" else 0.0)}
        return {"/v1/rejects": self._rejects(), "/v1/alerts": self._alerts(), "/readyz": {"ready": True}}.get(path)

    def _service(self) -> dict[str, Any]:
        parts = {
            str(p): {"position": self.upto // 2, "end": self.upto // 2 + 9, "lag": 9, "epoch": 3} for p in range(2)
        }
        return {
            "version": "0.1.0", "started_ms": _START_MS - 60_000, "ready": True, "transport": "embedded",
            "commit": {"count": 812, "last_seconds": 0.043, "last_ms": None}, "partitions": parts,
            "outbox": {"webhook:oncall": 1, "drifts": 0}, "events_total": 2 * self.upto, "events_per_second": 1_204.2,
        }  # fmt: skip

    def _rejects(self) -> dict[str, Any]:
        one = {"topic": "events", "partition": 0, "offset": 48_811, "time_ms": _START_MS, "reason": "not_json",
               "detail": "the message is not JSON: line 1 ends inside a text", "monitor": None}  # fmt: skip
        two = one | {"offset": 47_002, "reason": "unknown_monitor", "detail": f"no monitor is named {HOSTILE}"}
        return {"by_reason": {"not_json": 7, "unknown_monitor": 3}, "rejects": [one, two]}

    def _alerts(self) -> dict[str, Any]:
        alert = {"id": "a1", "endpoint": "oncall", "destination": "webhook:oncall", "time_ms": _START_MS,
                 "status": "done", "tries": 1, "detail": "HTTP 204", "due_ms": None}  # fmt: skip
        waits = alert | {"id": "a2", "status": "retry", "tries": 3, "detail": "HTTP 503"}
        state = {
            "sent": 1,
            "failed": 2,
            "retrying": 1,
            "disabled": False,
            "last_error": "HTTP 503",
            "last_success_ms": _START_MS,
        }
        return {"alerts": [waits, alert], "next": None, "endpoints": {"oncall": state}}


def _handler(service: MockService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if service.away:
                self.close_connection = True
                return
            url = urlsplit(self.path)
            if url.path == "/" or url.path.startswith("/assets/"):
                file = ASSETS / ("index.html" if url.path == "/" else url.path.removeprefix("/assets/"))
                self._reply(file.read_bytes() if file.is_file() else None, _TYPES.get(file.suffix, "text/plain"))
                return
            if url.path == "/readyz" and service.unready:
                problem = {"status": 503, "detail": service.unready, "ready": False}
                self._reply(json.dumps(problem).encode(), "application/problem+json", 503)
                return
            answer = service.answer(url.path, url.query)
            self._reply(None if answer is None else json.dumps(answer).encode(), "application/json")

        def _reply(self, body: bytes | None, content_type: str, status: int = 200) -> None:
            self.send_response(404 if body is None else status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body or b"")))
            self.send_header("Content-Security-Policy", "default-src 'self'")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing: a test has no access log."""

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(timestamp, usegmt=True)

    return Handler


@contextlib.contextmanager
def serving(service: MockService) -> Iterator[str]:
    """Serve on a free port of loopback; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(service))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
