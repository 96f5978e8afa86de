"""Naive Bayes against its definition, river's and scikit-learn's; decay, forgetting, and what absurd values leave."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from learners._bayes_kernels import bayes_answer
from learners.naive_bayes import NaiveBayes

__all__: list[str] = []

CLASSES = 3
NOMINAL = 2


def _stream(n: int, seed: int = 1) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=n)
    codes = (labels + rng.integers(3, size=n)) % 5
    rows = np.column_stack([rng.normal(labels, 1.0), 1e4 + rng.normal(-labels, 2.0), codes])
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows, labels


def _weighted(values: Any, weights: Any) -> tuple[float, float]:
    """Mean and variance by the definition."""
    n = weights.sum()
    mean = float((weights * values).sum() / n)
    squares = float((weights * (values - mean) ** 2).sum())
    return mean, squares / float(n)


def _by_definition(row: Any, rows: Any, labels: Any, weights: Any, smoothing: float = 1.0) -> Any:
    scores = np.array([math.log(weights[labels == k].sum()) for k in range(CLASSES)])
    for c, x in enumerate(row):
        held = ~np.isnan(rows[:, c])
        for k in range(CLASSES):
            mine = held & (labels == k)
            if math.isnan(x):
                continue
            if c == NOMINAL:
                known = rows[held, c].max() + 1
                mass = weights[mine & (rows[:, c] == x)].sum() + smoothing
                scores[k] += math.log(mass / (weights[mine].sum() + smoothing * known))
                continue
            overall = _weighted(rows[held, c], weights[held])[1]
            mean, variance = _weighted(rows[mine, c], weights[mine])
            density = -0.5 * ((x - mean) ** 2 / variance + math.log(2 * math.pi * variance / overall))
            scores[k] += max(density, math.log(1e-9))
    shares = np.exp(scores - scores.max())
    return shares / shares.sum()


@pytest.mark.parametrize(("decay", "n"), [(1.0, 300), (0.97, 300), (0.8, 1_300)])
def test_probabilities_are_those_of_the_definition(decay: float, n: int) -> None:
    """Prior times densities times smoothed shares, each example weighing decay to the power of its age; the last case
    passes several times through the point where all weights are brought down.
    """
    rows, labels = _stream(n)
    learner = NaiveBayes(3, (NOMINAL,), decay=decay)
    learner.learn_many(rows, labels)
    weights = decay ** np.arange(n - 1, -1, -1.0)
    asked, _ = _stream(30, seed=2)
    expected = [_by_definition(row, rows, labels, weights) for row in asked]
    assert learner.predict_many(asked) == pytest.approx(np.array(expected), rel=1e-6)


def test_forgetting_weighs_the_past_less() -> None:
    """After `forget(keep)` what came before counts `keep` of what it did beside what comes after."""
    rows, labels = _stream(400)
    learner = NaiveBayes(3, (NOMINAL,))
    learner.learn_many(rows[:250], labels[:250])
    learner.forget(0.1)
    learner.learn_many(rows[250:], labels[250:])
    weights = np.where(np.arange(400) < 250, 0.1, 1.0)
    asked, _ = _stream(30, seed=2)
    expected = [_by_definition(row, rows, labels, weights) for row in asked]
    assert learner.predict_many(asked) == pytest.approx(np.array(expected), rel=1e-9)


def test_interpreted_kernel_equals_the_compiled_one() -> None:
    """The answer of the kernel as plain Python is that of the compiled one."""
    rows, labels = _stream(200)
    learner = NaiveBayes(3, (NOMINAL,))
    learner.learn_many(rows, labels)
    scores = np.zeros(CLASSES)
    interpreted: Any = bayes_answer
    for row in rows[:20]:
        interpreted.py_func(row, learner._state, 1.0, scores)
        assert scores == pytest.approx(learner.predict_many(row[None, :])[0], rel=1e-12)


def test_equals_rivers_gaussian_naive_bayes() -> None:
    """Without decay and outliers both compute the same, up to river's 1e-9 that it adds to each density."""
    from river.naive_bayes import GaussianNB

    labels = _stream(600)[1]
    rows = np.random.default_rng(5).normal(labels[:, None], 2.0, (600, 2))
    theirs: Any = GaussianNB()  # type: ignore[no-untyped-call] # river ships no types here
    said = NaiveBayes(2).step_many(rows, labels)
    for i, (row, label) in enumerate(zip(rows.tolist(), labels.tolist(), strict=True)):
        x = dict(enumerate(row))
        if i >= 50:
            other = theirs.predict_proba_one(x)
            assert said[i] == pytest.approx([other[k] for k in range(CLASSES)], abs=2e-5)
        theirs.learn_one(x, label)


def test_equals_scikit_learns_categorical_naive_bayes() -> None:
    """Over codes alone both compute the same, whatever the smoothing."""
    module = pytest.importorskip("sklearn.naive_bayes", reason="scikit-learn is an optional extra")
    rng = np.random.default_rng(4)
    labels = rng.integers(CLASSES, size=300)
    rows = np.column_stack([(labels + rng.integers(3, size=300)) % 5, rng.integers(4, size=300)]).astype(float)
    for smoothing in (1.0, 0.2):
        ours = NaiveBayes(2, (0, 1), smoothing=smoothing)
        ours.learn_many(rows, labels)
        theirs = module.CategoricalNB(alpha=smoothing).fit(rows.astype(int), labels)
        assert ours.predict_many(rows) == pytest.approx(theirs.predict_proba(rows.astype(int)), rel=1e-9)


def test_an_absurd_value_leaves_no_lasting_trace() -> None:
    """1e308 in the first block of a column, where nothing is known of its range, is gone after two blocks more."""
    rng = np.random.default_rng(3)
    labels = ["ok" if flag else "fraud" for flag in rng.random(2_000) < 0.5]
    values = rng.normal([2.0 if label == "ok" else 0.0 for label in labels])
    clean, struck = NaiveBayes(), NaiveBayes()
    wrong = [0, 0]
    for i, (label, value) in enumerate(zip(labels, values.tolist(), strict=True)):
        for k, learner in enumerate((clean, struck)):
            wrong[k] += i >= 600 and learner.predict_one({"a": value}) != label
            learner.learn_one({"a": 1e308 if k and i in {40, 41} else value}, label)
    assert wrong[1] <= wrong[0] + 5
    assert wrong[0] < 0.2 * 1_400
    for a in (-1.0, 0.5, 3.0):
        mine, other = struck.predict_proba_one({"a": a}), clean.predict_proba_one({"a": a})
        assert mine["ok"] == pytest.approx(other["ok"], abs=0.05)


def test_decay_follows_a_drift_that_stability_does_not() -> None:
    """After the classes swap, the model that forgets is right again within a few half-lives; the stable one is not."""
    rng = np.random.default_rng(6)
    labels = rng.integers(2, size=3_000)
    flipped = np.where(np.arange(3_000) < 2_000, labels, 1 - labels)
    rows = rng.normal(3.0 * labels, 1.0)[:, None]
    right = {d: (NaiveBayes(1, decay=d).step_many(rows, flipped).argmax(axis=1) == flipped) for d in (1.0, 0.99)}
    assert right[0.99][2_300:].mean() > 0.9
    assert right[1.0][2_300:].mean() < 0.5


def test_a_class_never_seen_again_fades_without_harm() -> None:
    """A class that has decayed to nothing keeps probability 0, and comes back when it does."""
    learner = NaiveBayes(1, decay=0.5)
    learner.learn_many(np.array([[5.0], [5.5]]), np.array([1, 1]))
    learner.learn_many(np.zeros((3_000, 1)) + np.arange(3_000)[:, None] % 2, np.zeros(3_000, dtype=int))
    assert learner.predict_many([[5.0]]).tolist() == [[1.0, 0.0]]
    learner.learn_many(np.array([[5.0], [5.5]]), np.array([1, 1]))
    assert learner.predict_many([[5.2]])[0, 1] > 0.9
