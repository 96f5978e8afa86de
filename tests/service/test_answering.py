"""An answer on request is the fold's; and three small parts: learner input, the demo's receiver, progress."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from learners.blocks import present
from service.answering import answer
from service.api_models import NotReadyError
from service.demo_receiver import Receiver
from service.learner_input import feature_names
from service.progress import PROGRESS_BYTES, Progress, read_progress
from stream.store import ComponentKey
from tests.service.fold_rig import MONITOR, configured, fold, label, prediction

TREE = {"estimator": "river.tree.HoeffdingTreeClassifier", "parameters": {"grace_period": 10}}
FEATURES = {
    "a": {"type": "numeric"},
    "who": {"type": "categorical", "sensitive": True},
    "flag": {"type": "boolean"},
    "age": {"type": "numeric", "sensitive": True, "bins": [10, 20, 30]},
    "hidden": {"type": "numeric", "learn": False},
}
COMPILED = {"estimator": "anchorwatch.HoeffdingTree", "parameters": {"grace_n": 10}}


@pytest.mark.parametrize("tree", [TREE, COMPILED], ids=["river", "compiled"])
def test_an_answer_is_what_the_fold_would_say(tree: dict[str, Any]) -> None:
    """For the same features an answer on request equals the prediction that the fold then serves: sensitive values
    hashed and binned, booleans as texts, features that learners may not see left out."""
    config = configured("key", features=FEATURES, learners={"tree": tree})
    rows: list[dict[str, Any]] = [
        {"a": n % 5, "who": f"w{n % 3}", "flag": n % 2 == 0, "age": 10 + n % 15, "hidden": n} for n in range(300)
    ]
    sent = []
    for n, row in enumerate(rows):
        sent += [prediction(f"p{n}", n, features=row), label(f"p{n}", n, "yn"[(n % 3 == 0) != (n % 2 == 0)])]
    folded = fold(sent, config)
    snapshot = folded.stored[ComponentKey(MONITOR, "", "learner/tree")]
    for n, row in enumerate([*rows[:6], {"a": None, "who": "new"}, {}]):
        got = answer(config, {MONITOR: ("tree", snapshot)}, MONITOR, row)
        folded.outputs.clear()
        folded.feed([prediction(f"q{n}", 400, features=row, prediction=None)])
        (served,) = folded.bodies("prediction")
        assert (got["prediction"], got["scores"], got["model"]) == (served["prediction"], served["scores"], "tree")


def test_an_answer_needs_a_champion_and_good_features() -> None:
    """Without a committed champion it says so; a wrong type is named."""
    config = configured(learners={"tree": TREE})
    with pytest.raises(NotReadyError, match="no committed champion"):
        answer(config, {}, MONITOR, {})
    snapshot = fold([prediction("p0", 0)], config).stored[ComponentKey(MONITOR, "", "learner/tree")]
    with pytest.raises(ValueError, match=r"features\.a"):
        answer(config, {MONITOR: ("tree", snapshot)}, MONITOR, {"a": "text"})


def test_learners_see_numbers_first_and_nothing_missing() -> None:
    """Names: numeric, then the others, each as configured, without those they may not see; None is left out."""
    names = feature_names(configured("key", features=FEATURES).monitors[MONITOR].features)
    assert names == ["a", "age", "who", "flag"]
    assert present(names, [1.0, None, "x", None]) == {"a": 1.0, "who": "x"}


def test_the_receiver_checks_signatures() -> None:
    """A delivery counts as verified only under the key that was configured, for this id, time and body."""
    receiver = Receiver()
    key = base64.b64decode(receiver.webhook().secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(key, b"id1.7.body", hashlib.sha256).digest()).decode()
    headers = {"Webhook-Id": "id1", "Webhook-Timestamp": "7", "Webhook-Signature": f"v1,AAAA v1,{signature}"}
    assert receiver.take(headers, b"body")
    for wrong in ({"Webhook-Id": "id2"}, {"Webhook-Timestamp": "8"}, {"Webhook-Signature": "v1,AAAA"}):
        assert not receiver.take(headers | wrong, b"body")
    assert not receiver.take(headers, b"other")
    assert not receiver.take({}, b"body")
    assert (receiver.received, receiver.verified) == (6, 1)
    receiver._server.server_close()


def test_progress_is_seen_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counters in the file are what was folded, committed, unsent and how often; without a file nothing happens."""
    path = tmp_path / "progress"
    path.write_bytes(bytes(PROGRESS_BYTES))
    monkeypatch.setenv("ANCHORWATCH_PROGRESS_FILE", str(path))
    owned = {n: SimpleNamespace(fold_state=SimpleNamespace(messages=5 + n)) for n in range(2)}
    progress = Progress.from_environment()
    progress.folded(owned)
    progress.unsent(3)
    assert read_progress(path.read_bytes()) == (11, 0, 3, 0)
    progress.committed(owned)
    assert read_progress(path.read_bytes()) == (11, 11, 3, 1)
    monkeypatch.delenv("ANCHORWATCH_PROGRESS_FILE")
    Progress.from_environment().folded(owned)
    assert read_progress(path.read_bytes()) == (11, 11, 3, 1)
