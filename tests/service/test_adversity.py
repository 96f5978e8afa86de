"""Under adversity what is served stays near a model that was frozen before it, and champions do not flap."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest

from service.config import Config
from tests.service.fold_rig import Folded, configured, fold, label, prediction

N, DELAY_N, COOLDOWN = 6_000, 20, 500
HARD = range(2_000, 4_000)
# Of the served accuracy over the frozen probe's, in points of all predictions from the beginning of the adversity on.
MARGIN = 0.02
LEARNERS = {
    "bayes": {"estimator": "anchorwatch.NaiveBayes"},
    "forgetful": {"estimator": "anchorwatch.NaiveBayes", "parameters": {"decay": 0.99}},
    "tree": {"estimator": "anchorwatch.HoeffdingAdaptiveTree"},
}


def contested(**settings: Any) -> Config:
    """Three learners, the probe frozen on the first 1,000; labels judged after 50 predictions."""
    default: dict[str, Any] = {
        "features": {"a": {"type": "numeric"}, "b": {"type": "numeric"}},
        "labels": {"age": "50s"},
        "reference": {"n": 1_000, "window": 200},
        "learners": LEARNERS,
        "promotion": {"cooldown": COOLDOWN},
    }
    return configured(**default | settings)


def truth(n: int, a: float, b: float, *, drifts: bool) -> str:
    """The class of a row; with `drifts` the concept turns round every 1,000 predictions."""
    return "y" if (a + b > 10) != (drifts and n // 1_000 % 2 == 1) else "n"


def stream(*, flipped: float = 0.0, silent: bool = False, drifts: bool = False) -> tuple[list[bytes], list[str]]:
    """Predictions for the champion to answer, a second apart, with late labels; also the true classes.

    While it is hard a share of labels is wrong, or none comes.
    """
    draws = random.Random(11)
    events, classes = list[bytes](), list[str]()
    for n in range(N):
        a, b = draws.uniform(0, 10), draws.uniform(0, 10)
        classes.append(truth(n, a, b, drifts=drifts))
        events.append(prediction(f"p{n}", 1_000 * n, prediction=None, features={"a": a, "b": b}))
        late = n - DELAY_N
        if late < 0 or (silent and late in HARD):
            continue
        wrong = late in HARD and draws.random() < flipped
        said = classes[late] if not wrong else ("n" if classes[late] == "y" else "y")
        events.append(label(f"p{late}", 1_000 * n, said))
    return events, classes


def served_right(folded: Folded, classes: list[str]) -> list[bool]:
    """Per prediction whether the true class was served."""
    said = {body["event"]: body["prediction"] for body in folded.bodies("prediction")}
    return [said[n] == classes[n] for n in range(N)]


def frozen_right(events: list[bytes], classes: list[str]) -> list[bool]:
    """The same of the champion's twin that stops to learn when the adversity begins."""
    only = contested(learners={"bayes": LEARNERS["bayes"]}, adaptation={"policy": "none"})
    asked = [event for event in events if b'"prediction"' in event[:30]]
    folded = fold([e for e in events if _before_adversity(e)], only)
    rest = [event for event in asked if not _before_adversity(event)]
    folded.feed(rest)
    said = {body["event"]: body["prediction"] for body in folded.bodies("prediction")}
    return [said[n] == classes[n] for n in range(N)]


def _before_adversity(event: bytes) -> bool:
    return int(event.split(b'"id":"p')[1].split(b'"')[0]) < HARD.start


def switches(folded: Folded) -> list[dict[str, Any]]:
    """Promotions and roll-backs, in order."""
    return [body for body in folded.bodies("audit") if body["action"] in ("promoted", "rolled_back")]


@pytest.mark.parametrize(
    "adversity",
    [{"flipped": 0.05}, {"flipped": 0.2}, {"flipped": 0.5}, {"silent": True}, {"drifts": True}],
    ids=["5 % flipped", "20 % flipped", "50 % flipped", "no labels", "a drift every 1,000"],
)
def test_served_loss_stays_near_the_frozen_champion(adversity: dict[str, Any]) -> None:
    """From the beginning of the adversity to the end, what is served is right as often as the champion that stopped to
    learn then, less the stated margin; and there is at most one promotion a cooldown, each with its evidence."""
    events, classes = stream(**adversity)
    folded = fold(events, contested())
    right, frozen = served_right(folded, classes)[HARD.start :], frozen_right(events, classes)[HARD.start :]
    assert sum(right) / len(right) >= sum(frozen) / len(frozen) - MARGIN
    promoted = [body["event"] for body in switches(folded) if body["action"] == "promoted"]
    assert all(later - earlier >= COOLDOWN for earlier, later in pairwise(promoted))
    assert all(body["bound"] >= 0 for body in switches(folded) if body["action"] == "promoted")


def test_without_labels_nobody_is_promoted() -> None:
    """While no label comes nothing is compared, so nobody is promoted or rolled back."""
    events, _ = stream(silent=True)
    during = [body for body in switches(fold(events, contested())) if HARD.start + 100 <= body["event"] < HARD.stop]
    assert during == []


def test_a_better_challenger_takes_over_and_batches_change_nothing() -> None:
    """When the concept turns round for good the learner that forgets is promoted, at the same event in any batches and
    over a restart; the records say on what evidence."""
    draws = random.Random(5)
    events = []
    for n in range(5_000):
        a = draws.uniform(0, 10)
        events.append(prediction(f"p{n}", 1_000 * n, prediction=None, features={"a": a, "b": 0.0}))
        events.append(label(f"p{n}", 1_000 * n + 1, "y" if (a > 5) != (n >= 2_000) else "n"))
    config = contested(adaptation={"policy": "none"}, learners={k: LEARNERS[k] for k in ("bayes", "forgetful")})
    whole = fold(events, config)
    (won,) = switches(whole)
    assert (won["action"], won["winner"], won["loser"]) == ("promoted", "forgetful", "bayes")
    assert 2_000 < won["event"] < 3_000
    assert won["bound"] >= 0 < won["mean_difference"]
    assert whole.monitor.committee.champion == "forgetful"
    half = fold(events[:4_733], config, 61)
    later = half.restarted(config)
    later.feed(events[4_733:], 7)
    assert half.bodies("audit") + later.bodies("audit") == whole.bodies("audit")
    assert half.bodies("prediction") + later.bodies("prediction") == whole.bodies("prediction")
    assert later.hashes == whole.hashes


@pytest.mark.parametrize("policy", ["warm_replacement", "recurring"])
@pytest.mark.parametrize("adversity", [{"drifts": True}, {"flipped": 0.5}], ids=["drifts", "flips"])
def test_adaptation_does_not_depend_on_batches(policy: str, adversity: dict[str, Any]) -> None:
    """While learners are compared, replaced and recalled: answers, audit and state are the same in any batches and over
    a restart in the middle of it."""
    events, _ = stream(**adversity)
    events = events[:9_000]
    config = contested(adaptation={"policy": policy, "cooldown": 300, "min_warm": 50})
    whole = fold(events, config, 2_000)
    assert [body for body in whole.bodies("audit") if body["action"] == "replaced"] or "flipped" in adversity
    first = fold(events[:4_400], config, 37)
    later = first.restarted(config)
    later.feed(events[4_400:4_700], 1)
    later.feed(events[4_700:], 613)
    assert first.bodies("audit") + later.bodies("audit") == whole.bodies("audit")
    assert first.bodies("prediction") + later.bodies("prediction") == whole.bodies("prediction")
    assert later.hashes == whole.hashes


def test_noise_in_labels_replaces_nobody() -> None:
    """Half of the labels flipped look like drift to the probe; fresh learners are no better, so none takes over."""
    events, _ = stream(flipped=0.5)
    folded = fold(events, contested())
    assert [body for body in folded.bodies("drift") if body["signal"] == "error:probe"]
    replaced = [body["event"] for body in folded.bodies("audit") if body["action"] == "replaced"]
    assert [event for event in replaced if event in HARD] == []


def test_promotion_can_be_left_to_people() -> None:
    """With mode = "off" nothing is tested and nobody is promoted."""
    events, _ = stream(drifts=True)
    folded = fold(events, contested(promotion={"mode": "off"}))
    assert switches(folded) == []
    assert folded.monitor.contest.view() is None
