"""Events per CPU second of decoding alone: raw bytes to columns, beside plain `json.loads` of the same bytes.

Run as `python -m benchmarks.decode`; the best of several rounds is printed, as other work only adds.
"""

from __future__ import annotations

import gc
import json
import random
import time
from collections.abc import Callable, Sequence

import msgspec

from stream.codec import Decoder
from stream.events import RawMessage
from stream.schema import FeatureSchema, MonitorSchema

EVENTS = 20_000
POLL = 500
ROUNDS = 7


def predictions(n: int, *, features: int = 20) -> list[dict[str, object]]:
    """Make predictions of about 400 bytes with continuous values and distinct times."""
    draw = random.Random(7)
    return [
        {
            "type": "prediction",
            "id": f"tx-{i}",
            "monitor": "fraud",
            "time": f"2026-03-01T{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}Z",
            "features": {f"f{j}": round(draw.uniform(0, 100), 4) for j in range(features)},
            "prediction": "ok",
            "scores": {"ok": 0.97, "fraud": 0.03},
            "model_version": "7",
        }
        for i in range(n)
    ]


def labels(n: int) -> list[dict[str, object]]:
    """Make one label for each prediction."""
    keep = ("id", "monitor", "time")
    return [{"type": "label", **{k: p[k] for k in keep}, "label": "ok"} for p in predictions(n, features=0)]


def cpu_us(work: Callable[[Sequence[RawMessage]], object], messages: Sequence[RawMessage]) -> float:
    """Measure process CPU microseconds per message, in polls of 500, best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        start = time.process_time()
        for i in range(0, len(messages), POLL):
            work(messages[i : i + POLL])
        best = min(best, time.process_time() - start)
    return best / len(messages) * 1e6


def compact(event: object) -> bytes:
    """Write JSON without spaces."""
    return json.dumps(event, separators=(",", ":")).encode()


def cases() -> dict[str, list[bytes]]:
    """Bytes of each shape that is measured."""
    made, answers = predictions(EVENTS), labels(EVENTS)
    wide = [{**p, "features": {**p["features"], "extra": 1.5}} for p in made]  # type: ignore[dict-item]
    gaps = [{**p, "features": {**p["features"], "f3": None, "f7": None}} for p in made]  # type: ignore[dict-item]
    wrapped = [
        {"specversion": "1.0", "type": "anchorwatch.prediction", "source": "b", "id": str(i), "data": p}
        for i, p in enumerate(made)
    ]
    return {
        "prediction, JSON": [compact(p) for p in made],
        "prediction, JSON with spaces": [json.dumps(p).encode() for p in made],
        "prediction, JSON, two nulls": [compact(p) for p in gaps],
        "prediction, JSON, unknown feature": [compact(p) for p in wide],
        "prediction, MessagePack": [msgspec.msgpack.encode(p) for p in made],
        "prediction, CloudEvents": [compact(p) for p in wrapped],
        "prediction, refused (no id)": [compact({k: v for k, v in p.items() if k != "id"}) for p in made],
        "label, JSON": [compact(a) for a in answers],
        "label, MessagePack": [msgspec.msgpack.encode(a) for a in answers],
    }


def main() -> None:
    """Print a line a shape: bytes, microseconds and events per CPU second, and json.loads of the same."""
    schema = MonitorSchema(
        name="fraud", task="classification", features={f"f{j}": FeatureSchema(type="numeric") for j in range(20)}
    )
    decoder = Decoder({"fraud": schema})
    print(f"{'':36}{'bytes':>6}{'µs':>8}{'events/s':>11}{'json.loads µs':>15}")
    for name, values in cases().items():
        messages = [RawMessage("events", 0, i, value, b"fraud") for i, value in enumerate(values)]
        spent = cpu_us(decoder.decode, messages)
        plain = 0.0
        if "MessagePack" not in name:
            plain = cpu_us(lambda block: [json.loads(m.value or b"") for m in block], messages)
        print(f"{name:36}{len(values[0]):>6}{spent:>8.2f}{1e6 / spent:>11,.0f}{f'{plain:.2f}' if plain else '':>15}")


if __name__ == "__main__":
    main()
