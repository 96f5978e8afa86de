"""Members that disagree: counted exactly, told from a drift; and baselines that a model does not beat, named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config import Config
from service.disagreement import Disagreement, reading
from service.members import Committee
from service.standing import loses_to
from service.view import MonitorHistory, monitor_view
from tests.service.fold_rig import MONITOR, Folded, configured, control, fold, label, prediction

BAYES = {"estimator": "river.naive_bayes.GaussianNB"}
LAST = {"estimator": "river.dummy.NoChangeClassifier"}
SUM = {"estimator": "river.dummy.StatisticRegressor", "parameters": {"statistic": "sum"}}


def three(**settings: Any) -> Config:
    """A champion and two challengers, one of which says the last label."""
    learners = {"one": BAYES, "two": BAYES, "last": LAST}
    default: dict[str, Any] = {"learners": learners, "metrics_window": 30}
    return configured(**default | settings)


def events(n: int, first: int = 0) -> list[bytes]:
    """Labelled predictions: whether `a` is above 5 decides, so that the last label says little."""
    found = []
    for i in range(first, first + n):
        a = (i * 7 % 100) / 10
        found += [prediction(f"p{i}", 10 * i, features={"a": a}), label(f"p{i}", 10 * i + 1, "y" if a > 5 else "n")]
    return found


def view(folded: Folded) -> dict[str, Any]:
    """The read view."""
    return monitor_view(folded.monitor, MonitorHistory(), "")


def test_disagreement_is_counted_on_the_same_predictions() -> None:
    """Of each learner it is the share of the newest window that it answered otherwise than the champion."""
    folded = fold(events(100), three())
    join = folded.monitor.join
    answers = [join.row(n).answers for n in range(70, 100)]
    expected = {name: sum(a[name][0] != a["one"][0] for a in answers) / 30 for name in ("two", "last")}
    shown = view(folded)["agreement"]
    assert shown["by_learner"] == expected
    assert expected["two"] == 0.0
    assert expected["last"] > 0.0
    assert shown["between"] == expected["last"] / 2


def test_numbers_differ_by_more_than_the_spread() -> None:
    """Of numbers those count that lie further from the champion's than `review.spread`; without it nothing does."""
    config = configured(
        task="regression", learners={"one": SUM, "two": SUM}, review={"spread": 1.0}, metrics_window=4
    ).monitors[MONITOR]
    disagreement = Disagreement(config)
    for other in (1.0, 2.0, 2.5, -3.0, None):
        disagreement.see({"one": [1.0, None], "two": [other, None]}, "one")
    assert disagreement.shares() == {"two": 0.5}
    without = configured(task="regression", learners={"one": SUM, "two": SUM}).monitors[MONITOR]
    assert not Disagreement(without).wanted


def test_a_new_champion_begins_anew() -> None:
    """After a promotion the shares are against the new champion alone."""
    folded = fold([*events(60), control("promote", 900, learner="last")], three())
    folded.feed(events(5, 60))
    disagreement = folded.monitor.disagreement
    assert {name: recent.n for name, recent in disagreement.others.items()} == {"one": 5, "two": 5}
    assert disagreement.shares()["one"] == disagreement.shares()["two"]


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_neither_batches_nor_restarts_matter(size: int) -> None:
    """Any batch cut and a restart at any commit give the same state, bit for bit."""
    raw = [*events(60), control("promote", 900, learner="last"), *events(40, 60)]
    straight = fold(raw, three(), size=100)
    cut = fold(raw[:150], three(), size).restarted(three()).feed(raw[150:], size)
    assert cut.hashes == straight.hashes
    assert view(cut)["agreement"] == view(straight)["agreement"]


def test_one_learner_has_nobody_to_disagree_with() -> None:
    """With one learner nothing is kept, and nothing is said."""
    folded = fold(events(10), configured(learners={"one": BAYES}))
    assert {key.component for key in folded.stored} & {"disagreement"} == set()
    assert view(folded)["agreement"]["says"] is None


class _Trees:
    """A learner that tells how far its trees disagree."""

    def __init__(self, spread: float | None) -> None:
        self._spread = spread

    def spread(self) -> float | None:
        """The share."""
        return self._spread


@pytest.mark.parametrize(
    ("within", "features_drift", "says"),
    [(0.1, False, "agreement"), (0.2, False, "instability"), (0.2, True, "drift"), (None, True, None)],
)
def test_instability_is_told_from_drift(within: float | None, features_drift: bool, says: str | None) -> None:
    """Parts that disagree are instability while no feature drifts; a learner that cannot tell says nothing."""
    config = configured(learners={"one": BAYES}).monitors[MONITOR]
    committee = Committee(config)
    committee.members["one"].learner = _Trees(within)
    found = reading(Disagreement(config), committee, features_drift=features_drift)
    assert (found["within"], found["says"]) == (within, says)
    assert found["own"] == ({} if within is None else {"one": within})


def test_a_forest_tells_its_spread_and_is_not_called_unstable_for_it() -> None:
    """Its trees are made to differ: where labels are noise they do, and only the figure is shown."""
    forest = {"estimator": "anchorwatch.AdaptiveRandomForest", "parameters": {"trees": 5, "budget_bytes": 1 << 20}}
    rng = np.random.default_rng(5)
    noise = []
    for i, a in enumerate(rng.random(200).tolist()):
        noise += [prediction(f"p{i}", 10 * i, features={"a": a}), label(f"p{i}", 10 * i + 1, "ny"[rng.integers(2)])]
    folded = fold(noise, configured(learners={"forest": forest}))
    agreement = view(folded)["agreement"]
    assert agreement["own"]["forest"] == agreement["within"] > 0.05
    member = folded.monitor.committee.members["forest"]
    member.learner = _Trees(0.5)
    assert view(folded)["agreement"]["says"] == "instability"
    member.learner.parts_differ_by_design = True
    assert view(folded)["agreement"]["says"] is None


def test_an_open_drift_of_a_feature_is_seen() -> None:
    """While a feature's episode is open, members that disagree are said to do so because of the drift."""
    config = three(reference={"n": 50, "window": 30}, learners={"one": BAYES, "last": LAST})
    calm = fold(events(100), config)
    assert view(calm)["agreement"]["says"] == "agreement"
    shifted = [prediction(f"s{i}", 2_000 + i, features={"a": 1_000.0 + i % 7}, prediction="n") for i in range(40)]
    assert view(calm.feed(shifted))["agreement"]["says"] == "drift"


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_a_model_that_does_not_beat_a_baseline_loses_to_it(own: int, last: int, majority: int) -> None:
    """To the last label exactly where kappa-temporal is 0 or less, or the last label is always right; to the most
    frequent class where its share is as high."""
    window = {"accuracy": own / 20, "no_change_accuracy": last / 20, "majority_accuracy": majority / 20}
    found = loses_to({"window": window})
    kappa_temporal = None if last == 20 else (own - last) / (20 - last)
    assert ("no_change" in found) == (kappa_temporal is None or kappa_temporal <= 0)
    assert ("majority" in found) == (own <= majority)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ({"mae": 1.0, "r2": 0.5, "mae_relative": 0.5, "no_change_mae": 2.0}, []),
        ({"mae": 3.0, "r2": 0.0, "mae_relative": 1.0, "no_change_mae": 3.0}, ["no_change", "mean"]),
        ({"mae": 1.0, "r2": 0.1, "mae_relative": None, "no_change_mae": 0.0}, ["no_change"]),
        ({"mae": 1.0, "r2": None, "mae_relative": None, "no_change_mae": 0.0}, ["no_change", "mean"]),
        ({"mae": None, "r2": None, "mae_relative": None, "no_change_mae": None}, []),
        ({}, []),
    ],
)
def test_numbers_have_baselines_too(window: dict[str, Any], expected: list[str]) -> None:
    """A regression is held against the last label and the mean; what is not known loses to nobody."""
    assert loses_to({"window": window}) == expected


def test_a_version_is_held_against_the_labels_of_its_own_predictions() -> None:
    """Two versions take turns, one on events of one class, the other on events of two: the second, right on three
    quarters of them, does not lose to the class that is frequent among the others' events."""
    stream = []
    for n in range(400):
        hard = n % 2 == 1
        truth = "y" if not hard or n % 4 == 1 else "n"
        said = truth if not hard or n % 16 not in {1, 3, 5} else "ny"[truth == "n"]
        stream.append(prediction(f"p{n}", 10 * n, prediction=said, model_version="hard" if hard else "easy"))
        stream.append(label(f"p{n}", 10 * n + 1, truth))
    shown = view(fold([*stream, control("tick", 20_000)], configured(learners={})))
    assert shown["producer"]["hard"]["window"]["accuracy"] < shown["learners"]["majority"]["window"]["accuracy"] + 0.01
    assert "majority" not in shown["producer"]["hard"]["loses_to"]
    assert shown["producer"]["hard"]["window"]["majority_accuracy"] == pytest.approx(0.5, abs=0.05)


def test_a_regression_has_the_mean_and_the_last_label_as_baselines() -> None:
    """Both answer under their own names, and what does no better than they do is said to lose to them."""
    generator = np.random.default_rng(3)
    stream = []
    for n, value in enumerate(generator.normal(size=200).tolist()):
        at = n * 10
        stream += [prediction(f"p{n}", at, prediction=3.0, features={"a": value}), label(f"p{n}", at + 1, value)]
    line = {"estimator": "anchorwatch.LinearRegression"}
    folded = fold([*stream, control("tick", 20_000)], configured(task="regression", learners={"line": line}))
    shown = view(folded)
    assert {"mean", "no_change", "line"} <= set(shown["learners"])
    assert "majority" not in shown["learners"]
    assert shown["learners"]["mean"]["mae"] == pytest.approx(0.8, abs=0.1)
    assert shown["producer"][""]["loses_to"] == ["no_change", "mean"]
    assert shown["learners"]["line"]["loses_to"] == []


def test_the_view_names_who_beats_a_model() -> None:
    """Each model that is no baseline has its list."""
    shown = view(fold([*events(100), control("tick", 9_000)], three()))
    assert shown["learners"]["last"]["loses_to"][0] == "no_change"
    assert shown["learners"]["one"]["loses_to"] == []
    assert "no_change" in shown["producer"][""]["loses_to"]
    assert "loses_to" not in shown["learners"]["majority"]
