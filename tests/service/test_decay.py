"""The decay of a producer's model, month by month."""

from __future__ import annotations

import json

from service.decay import Decay


def event(kind: str, identity: str, time: str, **rest: object) -> bytes:
    """One message."""
    return json.dumps({"type": kind, "id": identity, "monitor": "m", "time": time, **rest}).encode()


def test_a_prediction_counts_in_its_own_month_however_late_its_label_is() -> None:
    """A label that comes in March scores the February prediction in February."""
    decay = Decay()
    scores = {"a": 0.8, "b": 0.2}
    decay.see(event("prediction", "1", "2013-02-27T10:00:00Z", features={}, prediction="a", scores=scores))
    decay.see(event("prediction", "2", "2013-03-01T10:00:00Z", features={}, prediction="a", scores=scores))
    decay.see(event("label", "1", "2013-03-02T10:00:00Z", label="a"))
    decay.see(event("label", "2", "2013-03-02T11:00:00Z", label="b"))
    found = decay.months()
    assert {month: figures["accuracy"] for month, figures in found.items()} == {"2013-02": 1.0, "2013-03": 0.0}
    assert found["2013-02"]["n"] == 1


def test_bad_messages_and_repeats_count_nothing() -> None:
    """What is no event, has no id, or comes twice changes no figure."""
    decay = Decay()
    for message in (b"{", b"[]", b'{"type":"label"}', event("label", "unknown", "2013-02-01T00:00:00Z", label="a")):
        decay.see(message)
    twice = event("prediction", "1", "2013-02-01T00:00:00Z", features={}, prediction="a")
    decay.see(twice)
    decay.see(twice.replace(b'"a"', b'"b"'))
    decay.see(event("label", "1", "2013-02-02T00:00:00Z", label="a"))
    decay.see(event("label", "1", "2013-02-03T00:00:00Z", label="b"))
    assert decay.months()["2013-02"]["n"] == 1
    assert decay.months()["2013-02"]["accuracy"] == 1.0
