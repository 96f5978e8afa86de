"""The stream of the kill tests: drifts, changed concepts, late and corrected labels, bad events, control events.

Deterministic in its seed, so that the feeder and every check see the same events.
"""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Iterator
from typing import Any

MONITOR = "m"
CONCEPT_N = 4_000
START_MS = 1_760_000_000_000
FEATURES = ("a", "b", "c", "d")

CONFIGURATION = """
[commit]
interval = "1s"
events = 2000

[monitors.m]
task = "classification"
metrics_window = 500
cooldown = 500

[monitors.m.features]
a = {type = "numeric"}
b = {type = "numeric"}
c = {type = "numeric", reference = "trailing"}
d = {type = "numeric"}
kind = {type = "categorical"}

[monitors.m.labels]
age = "400s"
correction_window = 3000
max_pending = 10000

[monitors.m.reference]
n = 500
window = 300
step = 100

[monitors.m.learners.bag]
estimator = "river.ensemble.BaggingClassifier"
parameters = {n_models = 3, model = {estimator = "river.linear_model.LogisticRegression"}}

[monitors.m.learners.tree]
estimator = "river.tree.HoeffdingTreeClassifier"

[monitors.m.adaptation]
cooldown = 600
min_warm = 100
"""


def events(total_predictions: int, seed: int = 7) -> Iterator[bytes]:
    """All events in the order in which they are sent."""
    generator = random.Random(seed)
    due: list[tuple[int, int, bytes]] = []
    ticket = 0
    for number in range(total_predictions):
        now_ms = START_MS + number * 1000
        while due and due[0][0] <= now_ms:
            yield heapq.heappop(due)[2]
        yield from _extras(number, now_ms, generator)
        event, label = _prediction(number, now_ms, generator)
        yield event
        for delay_s, value in _labels(label, generator):
            ticket += 1
            when = now_ms + delay_s * 1000
            answer = {"type": "label", "id": f"e{number}", "monitor": MONITOR, "time": when, "label": value}
            heapq.heappush(due, (when, ticket, _bytes(answer)))


def _prediction(number: int, now_ms: int, generator: random.Random) -> tuple[bytes, str]:
    concept = (number // CONCEPT_N) % 2
    shift = 2.0 if (number // (CONCEPT_N // 2)) % 4 == 3 else 0.0
    values = {name: round(generator.gauss(0.0, 1.0), 6) for name in FEATURES}
    values["d"] = round(values["d"] + shift, 6)
    features: dict[str, Any] = dict(values)
    features["kind"] = generator.choice(["x", "y", "z"]) if shift == 0 else generator.choice(["x", "w"])
    if generator.random() < 0.02:
        features["b"] = None
    score = values["a"] + values["b"] * 0.5
    truth = (score > 0) != (concept == 1) if generator.random() > 0.05 else generator.random() < 0.5
    probability = 1 / (1 + 2.718281828 ** (-score))
    event = {
        "type": "prediction", "id": f"e{number}", "monitor": MONITOR, "time": now_ms, "features": features,
        "prediction": "yes" if score > 0 else "no", "scores": {"no": 1 - probability, "yes": probability},
        "model_version": "1" if number % 20_000 < 15_000 else "2",
    }  # fmt: skip
    return _bytes(event), "yes" if truth else "no"


def _labels(label: str, generator: random.Random) -> list[tuple[int, str]]:
    draw = generator.random()
    delay_s = generator.randint(20, 300)
    other = "no" if label == "yes" else "yes"
    if draw < 0.03:
        return []
    if draw < 0.06:
        return [(delay_s + 500, label)]
    if draw < 0.09:
        return [(delay_s, other), (delay_s + 600, label)]
    if draw < 0.12:
        return [(delay_s, label), (delay_s + 5, label)]
    return [(delay_s, label)]


def _extras(number: int, now_ms: int, generator: random.Random) -> Iterator[bytes]:
    if number and number % 997 == 0:
        yield b'{"type":"prediction","id":'
    if number and number % 1501 == 0:
        yield _bytes({"type": "label", "id": f"never{number}", "monitor": MONITOR, "time": now_ms, "label": "yes"})
    if number and number % 9_000 == 0:
        control: dict[str, Any] = {"type": "control", "monitor": MONITOR, "time": now_ms}
        yield _bytes(control | {"action": "accept_reference", "parameters": {}})
        name = "tree" if (number // 9_000) % 2 else "bag"
        yield _bytes(control | {"action": "promote", "parameters": {"learner": name}})


def _bytes(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()
