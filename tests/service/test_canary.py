"""The canary: an old model's disagreement with the served answers, seen before any label comes."""

from __future__ import annotations

from typing import Any

import pytest

from service.config import Config, ConfigurationError
from service.view import MonitorHistory, monitor_view
from tests.service.fold_rig import Folded, configured, fold, label, prediction

TREE = {"estimator": "river.tree.HoeffdingTreeClassifier", "parameters": {"grace_period": 10}}
REFERENCE_N, TURN = 200, 400


def watched(**settings: Any) -> Config:
    """A monitor whose frozen probe is the canary."""
    default: dict[str, Any] = {"learners": {"tree": TREE}, "canary": {}, "reference": {"n": REFERENCE_N, "window": 100}}
    return configured(**default | settings)


def served(n: int, *, turned: bool) -> bytes:
    """What the producer says of one row: of a > 5, and from its turn on the contrary."""
    a = (n * 7 % 100) / 10
    said = "y" if (a > 5) != turned else "n"
    return prediction(f"p{n}", 10 * n, features={"a": a}, prediction=said)


def learned(n: int) -> bytes:
    """Its true label."""
    return label(f"p{n}", 10 * n, "y" if (n * 7 % 100) / 10 > 5 else "n")


def stream() -> list[bytes]:
    """Labels for the first predictions only; the producer turns round later, while no label comes any more."""
    early = [event for n in range(250) for event in (served(n, turned=False), learned(n))]
    return early + [served(n, turned=n >= TURN) for n in range(250, 1_000)]


def shown(folded: Folded) -> Any:
    """What the read view says of the canary."""
    return monitor_view(folded.monitor, MonitorHistory(), "")["canary"]


def test_disagreement_is_a_signal_without_labels() -> None:
    """When the producer turns round, the canary's signal opens an episode of kind prediction, after the turn and not
    before it, though not one label came since; nothing is said of errors."""
    folded = fold(stream(), watched())
    drifts = [body for body in folded.bodies("drift") if body["status"] == "drift"]
    canary = [body for body in drifts if body["signal"] == "canary"]
    assert canary
    assert {body["kind"] for body in canary} == {"prediction"}
    assert TURN <= canary[0]["event"] < TURN + 200
    assert not [body for body in drifts if body["kind"] in ("performance", "concept")]
    assert shown(folded)["model"] == "probe"
    assert shown(folded)["disagreement"] > 0.6


def test_batches_and_restarts_change_nothing() -> None:
    """Any cut into batches, and a restart, give the same records and the same state."""
    events = stream()
    whole, pieces = fold(events, watched()), fold(events[:300], watched(), 7)
    later = pieces.restarted(watched())
    later.feed(events[300:], 137)
    assert pieces.bodies("drift") + later.bodies("drift") == whole.bodies("drift")
    assert shown(later) == shown(whole)
    assert later.hashes == whole.hashes


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"canary": {"model": "nobody"}}, "names no member; there are: probe, tree"),
        ({"canary": {"apart": 1.0}}, "is for regression"),
        ({"canary": {}, "task": "regression", "learners": {}}, "names no member"),
        ({"promotion": {"loss": "absolute"}}, "write zero_one or brier"),
        ({"promotion": {"min_lead": 1.0}}, "from 0 to below 1"),
    ],
)
def test_what_cannot_work_is_refused(settings: dict[str, Any], says: str) -> None:
    """A canary that is no member, a distance between classes, a loss of another task: each is named."""
    with pytest.raises(ConfigurationError, match=says):
        watched(**settings)
