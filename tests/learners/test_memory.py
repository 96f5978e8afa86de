"""Memory policies: what is forgotten when, against learners trained by hand on what should be left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from learners import codec
from learners._examples import Examples
from learners.adaptive_window import AdaptiveWindow
from learners.build import build_learner
from learners.decay import Decay
from learners.errors import EstimatorRefusedError, LearnerError, SnapshotError
from learners.naive_bayes import NaiveBayes
from learners.registry import restore_learner
from learners.sliding_window import SlidingWindow
from tests.learners.streams import labelled, separable

__all__: list[str] = []

BAYES = "anchorwatch.NaiveBayes"
TREE = "river.tree.HoeffdingTreeClassifier"  # cannot forget
LINEAR = "anchorwatch.LinearRegression"


def _trained(learner: Any, examples: Any) -> Any:
    for x, y in examples:
        learner.learn_one(x, y)
    return learner


def test_sliding_window_knows_the_newest_examples_only() -> None:
    """The learner inside is always the one that learned the newest `window_n` at the last rebuilding, and the rest."""
    stream = separable("classification", 500)
    policy = SlidingWindow(BAYES, {"decay": 0.99}, window_n=120, refit_every=50)
    for i, (x, y) in enumerate(stream, 1):
        policy.learn_one(x, y)
        if i in {49, 100, 170, 200, 430}:
            rebuilt = i - i % 50
            start = max(0, rebuilt - 120) if rebuilt else 0
            assert policy.inner.snapshot() == _trained(NaiveBayes(decay=0.99), stream[start:i]).snapshot()
    assert policy.rebuilt_n == 10
    assert policy.window_n == 120


def test_sliding_window_follows_what_its_learner_alone_does_not() -> None:
    """A stable learner in a window is right again soon after the classes swap; alone it stays wrong."""
    alone: Any = NaiveBayes()
    inside = SlidingWindow(BAYES, window_n=200, refit_every=50)
    wrong = [0, 0]
    for i, (x, y) in enumerate(separable("classification", 1_500)):
        label = y if i < 1_000 else ("fraud" if y == "ok" else "ok")
        for k, learner in enumerate((alone, inside)):
            wrong[k] += i >= 1_250 and learner.predict_one(x) != label
            learner.learn_one(x, label)
    assert wrong[0] > 125
    assert wrong[1] < 50


@pytest.mark.parametrize("name", [BAYES, TREE])
def test_adaptive_window_cuts_after_a_drift(name: str) -> None:
    """The window grows while errors are steady, is cut soon after the classes swap, and the learner is rebuilt."""
    policy = AdaptiveWindow(name, max_n=3_000)
    for x, y in separable("classification", 1_500):
        policy.learn_one(x, y)
    assert (policy.rebuilt_n, policy.window_n) == (0, 1_500)
    wrong = 0
    for i, (x, y) in enumerate(separable("classification", 600, seed=8)):
        label = "fraud" if y == "ok" else "ok"
        wrong += i >= 400 and policy.predict_one(x) != label
        policy.learn_one(x, label)
    assert policy.rebuilt_n >= 1
    assert policy.window_n < 650
    assert wrong < 60


def test_adaptive_window_cuts_for_numbers_too() -> None:
    """The errors of a regression rise when its relation changes: cut soon after."""
    policy = AdaptiveWindow(LINEAR, {"learning_rate": 0.05}, task="regression")
    for x, y in separable("regression", 1_500):
        policy.learn_one(x, y)
    assert policy.rebuilt_n == 0
    for x, y in separable("regression", 600, seed=8):
        policy.learn_one(x, 30.0 - 8.0 * float(y))
    assert policy.rebuilt_n >= 1
    assert policy.window_n < 650


@pytest.mark.parametrize("policy", [AdaptiveWindow, SlidingWindow])
def test_a_learner_rebuilt_from_an_absurd_value_recovers(policy: Any) -> None:
    """Kept numbers and targets are within reach of the others: 1e308 among them does not ruin a rebuilt learner."""
    off = [0.0, 0.0]
    learners = [policy(LINEAR, {"learning_rate": 0.05, "loss": "huber"}, task="regression") for _ in off]
    for i, (x, y) in enumerate(separable("regression", 1_500)):
        for k, learner in enumerate(learners):
            off[k] += abs(float(learner.predict_one(x) or 0.0) - float(y)) if i >= 1_200 else 0.0
            absurd = k and i == 700
            learner.learn_one({**x, "a": -1e308} if absurd else x, 1e308 if absurd else y)
    assert off[0] < 0.1 * 300
    assert off[1] < 0.5 * 300


def test_adaptive_window_does_not_forget_because_it_gets_better() -> None:
    """Errors that fall, as a learner matures, cut nothing."""
    policy = AdaptiveWindow(LINEAR, {"learning_rate": 0.003}, task="regression")
    for x, y in separable("regression", 2_500):
        policy.learn_one(x, y)
    assert (policy.rebuilt_n, policy.window_n) == (0, 2_500)


def test_decay_tells_a_learner_that_can_to_forget() -> None:
    """A learner with `forget` is told the share that the half-life gives, at fixed counts, and nothing is kept."""
    stream = separable("classification", 200)
    policy = _trained(Decay(BAYES, half_life_n=80, refit_every=20), stream)
    by_hand = NaiveBayes()
    for i, (x, y) in enumerate(stream, 1):
        by_hand.learn_one(x, y)
        if i % 20 == 0:
            by_hand.forget(2.0 ** (-20 / 80))
    assert policy.inner.snapshot() == by_hand.snapshot()
    assert (policy.window_n, policy.rebuilt_n) == (0, 0)


def test_decay_rebuilds_a_learner_that_cannot() -> None:
    """A learner without `forget` is, at fixed counts, the one that learned the reservoir in order."""
    policy = Decay(TREE, half_life_n=60, refit_every=25)
    for i, (x, y) in enumerate(separable("classification", 300), 1):
        policy.learn_one(x, y)
        if i % 25 == 0:
            fresh = build_learner(TREE, {}, task="classification", seed=1)
            assert policy.inner.snapshot() == _trained(fresh, policy._kept).snapshot()
    assert policy.rebuilt_n == 12


@pytest.mark.parametrize("max_n", [10_000, 20])
def test_reservoir_halves_with_each_half_life(max_n: int) -> None:
    """An example remains with a probability that halves every `half_life_n`, whether or not the places suffice."""
    half_life, n, seeds = 50, 800, 150
    kept = np.zeros(n)
    places = min(max_n, round(half_life / np.log(2)))
    for seed in range(seeds):
        policy = Decay(TREE, half_life_n=half_life, max_n=max_n, seed=seed)
        for i in range(n):
            policy._learned({"i": float(i)}, "ok")
        assert policy.window_n <= places
        for x, _ in policy._kept:
            kept[int(x["i"])] += 1
    ages = np.arange(n)[::-1]
    expected = places * np.log(2) / half_life * 2.0 ** (-ages / half_life)
    for low in (0, 25, 50, 100, 150):
        mass = seeds * expected[(ages >= low) & (ages < low + 25)].sum()
        assert abs(kept[(ages >= low) & (ages < low + 25)].sum() - mass) < 5.0 * np.sqrt(mass) + 0.05 * mass


POLICIES: dict[str, Any] = {
    "sliding": lambda: SlidingWindow(BAYES, {"classes_cap": 2}, window_n=40, refit_every=16),
    "sliding, a learner of single examples": lambda: SlidingWindow("river.naive_bayes.GaussianNB", window_n=40),
    "adaptive": lambda: AdaptiveWindow(BAYES, {"classes_cap": 2}, max_n=50, delta=0.3),
    "decay, told": lambda: Decay(BAYES, {"classes_cap": 2}, half_life_n=30, refit_every=7),
    "decay, rebuilt": lambda: Decay(TREE, {}, half_life_n=30, refit_every=7),
    "nested": lambda: Decay("anchorwatch.SlidingWindow", {"estimator": BAYES, "window_n": 30}, half_life_n=20),
}


@pytest.mark.parametrize("name", POLICIES)
def test_blocks_equal_one_by_one(name: str) -> None:
    """`run_examples` in any cuts, answers in between, refused labels and restarts give what single calls give."""
    stream: list[Any] = [(x, None if i % 3 == 1 else y) for i, (x, y) in enumerate(labelled("classification", 150))]
    stream += [(x, None) for x, _ in stream[:40]]
    single, block = POLICIES[name](), POLICIES[name]()
    expected: list[Any] = []
    for x, y in stream:
        if y is None:
            expected.append(single.predict_proba_one(x))
            continue
        try:
            single.learn_one(x, y)
            expected.append(None)
        except LearnerError as error:
            expected.append(str(error))
    got: list[Any] = []
    for start, end in ((0, 1), (1, 48), (48, 49), (49, 120), (120, 190)):
        got += block.run_examples(stream[start:end])
        block = restore_learner(block.snapshot())
    assert [str(one) if isinstance(one, LearnerError) else one for one in got] == expected
    assert block.snapshot() == single.snapshot()
    asked = [x for x, _ in stream]
    assert block.predict_proba_examples(asked) == [single.predict_proba_one(x) for x in asked]


def test_forgetting_keeps_the_newest() -> None:
    """`forget(keep)` leaves the newest share of the window, and a learner that knows no more."""
    stream = separable("classification", 100)
    policy = _trained(SlidingWindow(BAYES, window_n=80), stream)
    policy.forget(0.25)
    assert policy.window_n == 20
    assert policy.inner.snapshot() == _trained(NaiveBayes(), stream[80:]).snapshot()
    with pytest.raises(ValueError, match="keep"):
        policy.forget(0.0)


def test_kept_examples_stay_within_their_bytes() -> None:
    """Long texts push out the oldest examples; one that is larger than the budget alone is not kept and pushes none."""
    kept = Examples(1_000, 20_000)
    for i in range(300):
        kept.append({"text": "x" * (50 * (i % 5)), "a": float(i)}, "ok")
        assert kept.used_bytes <= 20_000
    assert 20 < len(kept) < 60
    assert [x["a"] for x, _ in kept] == [float(i) for i in range(300 - len(kept), 300)]
    assert len(kept.stored()) < 20_000
    before = (len(kept), kept.used_bytes)
    kept.append({"text": "x" * 30_000}, "ok")
    assert (len(kept), kept.used_bytes) == before


def test_a_copy_is_kept() -> None:
    """What the caller does to an example afterwards changes nothing."""
    x: dict[str, float | str] = {"a": 1.0}
    policy = SlidingWindow(BAYES)
    policy.learn_one(x, "ok")
    before = policy.snapshot()
    x["a"] = 2.0
    assert policy.snapshot() == before


def test_forged_snapshots_are_refused() -> None:
    """A learner of another task inside, more examples than may be kept, or bytes that are none: SnapshotError."""
    policy = _trained(AdaptiveWindow(BAYES, max_n=30), separable("classification", 60))
    other = _trained(AdaptiveWindow(BAYES, max_n=90), separable("classification", 60))
    number = build_learner(LINEAR, {}, task="regression", seed=1)

    def forged(**changes: Any) -> bytes:
        return codec.encode(codec.decode(policy.snapshot()) | changes)

    assert AdaptiveWindow.restore(forged()).snapshot() == policy.snapshot()
    wrong: list[dict[str, Any]] = [
        {"inner": number.snapshot()}, {"inner": b"?"}, {"kept": b"?"}, {"kept": codec.decode(other.snapshot())["kept"]},
        {"policy": {}}, {"policy": {"adwin": {}, "errors_n": 0, "mean_error": 0.0}}, {"config": {}}, {"kind": "decay"},
    ]  # fmt: skip
    for changes in wrong:
        with pytest.raises(SnapshotError):
            AdaptiveWindow.restore(forged(**changes))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "estimator"),
        ({"estimator": 3}, "estimator = 3: must be a name such as 'anchorwatch.NaiveBayes'"),
        ({"estimator": "anchorwatch.NaiveBays"}, "did you mean anchorwatch.NaiveBayes"),
        ({"estimator": "NaiveBayes"}, "anchorwatch.NaiveBayes"),
        ({"estimator": LINEAR}, "learns regression, not classification"),
        ({"estimator": BAYES, "parameters": {"deca": 1.0}}, "no parameter 'deca'"),
        ({"estimator": BAYES, "window_n": 0}, "window_n = 0: must be 1 or more"),
        ({"estimator": BAYES, "refit_every": 0}, "refit_every = 0"),
        ({"estimator": BAYES, "budget_bytes": 1}, "budget_bytes = 1"),
    ],
)
def test_what_cannot_be_built_is_refused(parameters: dict[str, Any], words: str) -> None:
    """The message says what to write, for the policy and for the learner inside."""
    with pytest.raises(EstimatorRefusedError) as refused:
        build_learner("anchorwatch.SlidingWindow", parameters, task="classification", seed=1)
    assert words in str(refused.value)


def test_nesting_ends() -> None:
    """Three policies may stand in each other, a fourth is refused."""
    parameters: dict[str, Any] = {"estimator": BAYES}
    for _ in range(2):
        parameters = {"estimator": "anchorwatch.SlidingWindow", "parameters": parameters}
    build_learner("anchorwatch.Decay", parameters, task="classification", seed=1)
    deeper = {"estimator": "anchorwatch.SlidingWindow", "parameters": parameters}
    with pytest.raises(EstimatorRefusedError, match="at most 3 into each other"):
        build_learner("anchorwatch.Decay", deeper, task="classification", seed=1)


def test_names_of_features_are_bounded() -> None:
    """A window that sees a new feature with each example stays small, and restores."""
    window = SlidingWindow("anchorwatch.NaiveBayes", {"budget_bytes": 20_000}, window_n=10, budget_bytes=4_096)
    for i in range(20_000):
        window.learn_one({"a": 1.0, f"f{i}": float(i)}, "xy"[i % 2])
    data = window.snapshot()
    assert len(data) < 250_000
    assert SlidingWindow.restore(data).snapshot() == data


def test_an_example_that_is_too_large_alone_costs_no_other() -> None:
    """It is not kept, and what the window holds stays."""
    window = SlidingWindow("anchorwatch.NaiveBayes", window_n=50, refit_every=20, budget_bytes=20_000)
    for i in range(39):
        window.learn_one({"a": float(i % 2)}, str(i % 2))
    window.learn_one({"a": 1.0, "text": "x" * 30_000}, "1")
    assert window.window_n == 39
    assert window.predict_one({"a": 1.0}) == "1"
    assert window.predict_one({"a": 0.0}) == "0"
