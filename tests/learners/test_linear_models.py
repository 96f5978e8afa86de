"""Softmax and linear regression against river's descent and a slow twin; losses, schedules, and what stays bounded."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from learners._descent import work_for
from learners._linear_kernels import softmax_block
from learners.linear_regression import LinearRegression
from learners.naive_bayes import NaiveBayes
from learners.softmax_regression import SoftmaxRegression

__all__: list[str] = []

RATE = 0.03
# Until a few rows have given the scale, a row may lie beyond the 10 standard deviations at which we cut.
START = 20


def _rows(n: int = 500, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)) * (1.0, 50.0, 0.1) + (0.0, -200.0, 4.0)


def _classes(rows: Any, n: int) -> Any:
    score = rows[:, 0] + (rows[:, 1] + 200.0) / 50.0 + np.random.default_rng(9).normal(size=len(rows)) * 0.3
    return np.digitize(score, [-0.4, 0.8][: n - 1])


class _Scaled:
    """River's model on what river's own running standardisation makes of a row."""

    def __init__(self, model: Any) -> None:
        from river import preprocessing

        self.scaler: Any = preprocessing.StandardScaler()
        self.model = model

    def inputs(self, row: Any) -> dict[str, float]:
        """The standardised row, and an input that is always 1 for models without an intercept."""
        scaled: dict[str, float] = self.scaler.transform_one(_named(row))
        return scaled | {"one": 1.0}

    def learn(self, row: Any, y: Any) -> None:
        """Scale first, then learn."""
        self.scaler.learn_one(_named(row))
        self.model.learn_one(self.inputs(row), y)


def _named(row: Any) -> dict[str, float]:
    return {str(c): value for c, value in enumerate(row.tolist())}


def _knowing(learner: Any, classes: int) -> Any:
    """The learner with so many classes known beforehand, as river's model is made to know them."""
    learner._grow((0, 0, 0), classes)
    learner._state.clock[2] = classes
    return learner


@pytest.mark.parametrize("schedule", ["constant", "inverse_scaling"])
def test_softmax_equals_rivers(schedule: str) -> None:
    """Same scaling, same steps, same probabilities, with either schedule."""
    from river import linear_model, optim

    optimisers: Any = optim
    rate = RATE if schedule == "constant" else optimisers.schedulers.InverseScaling(RATE, 0.25)
    model: Any = linear_model.SoftmaxRegression(optimisers.SGD(rate))
    for k in range(3):
        model.weights[k]["one"] = 0.0
    theirs, rows = _Scaled(model), _rows()
    labels = _classes(rows, 3)
    ours = _knowing(SoftmaxRegression(3, learning_rate=RATE, schedule=schedule, power=0.25), 3)
    said = ours.step_many(rows, labels)
    for i, row in enumerate(rows):
        other = model.predict_proba_one(theirs.inputs(row))
        assert i < START or said[i] == pytest.approx([other[k] for k in range(3)], rel=1e-9, abs=1e-12)
        theirs.learn(row, int(labels[i]))


def test_two_classes_are_logistic_regression() -> None:
    """Probabilities equal those of river's logistic regression at twice the rate, and half of l2."""
    from river import linear_model, optim

    optimisers: Any = optim
    model: Any = linear_model.LogisticRegression(optimisers.SGD(2 * RATE), l2=0.01, intercept_lr=2 * RATE)
    theirs, rows = _Scaled(model), _rows()
    theirs.inputs = lambda row: theirs.scaler.transform_one(_named(row))  # type: ignore[method-assign] # no input of 1
    labels = _classes(rows, 2)
    said = _knowing(SoftmaxRegression(3, learning_rate=RATE, l2=0.02), 2).step_many(rows, labels)
    for i, row in enumerate(rows):
        assert i < START or said[i, 1] == pytest.approx(model.predict_proba_one(theirs.inputs(row))[True], rel=1e-9)
        theirs.learn(row, bool(labels[i]))


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_linear_regression_equals_rivers(loss: str) -> None:
    """Given the target in standard deviations so far, river's descent takes the same steps."""
    from river import linear_model, optim

    optimisers: Any = optim
    rate = RATE / 2 if loss == "squared" else RATE  # river's squared loss is not halved
    kind = {"squared": optimisers.losses.Squared, "absolute": optimisers.losses.Absolute}[loss]
    model: Any = linear_model.LinearRegression(optimisers.SGD(rate), loss=kind(), intercept_lr=0.0)
    theirs, rows = _Scaled(model), _rows()
    targets = 300.0 + 20.0 * rows[:, 0] + np.random.default_rng(3).normal(size=len(rows))
    said = LinearRegression(3, loss=loss, learning_rate=RATE).step_many(rows, targets)
    for i, row in enumerate(rows):
        if i >= START:
            answer = model.predict_one(theirs.inputs(row))
            assert said[i] == pytest.approx(targets[:i].mean() + targets[:i].std() * answer, rel=1e-9)
        if i == 0:  # the error is 0: we stay, river's absolute loss takes a step
            theirs.scaler.learn_one(_named(row))
            continue
        theirs.learn(row, float((targets[i] - targets[: i + 1].mean()) / targets[: i + 1].std()))


class _SlowSoftmax:
    """The same model by the book, over lists, all moments by their definition."""

    def __init__(self, decay: float, l2: float, categories: int) -> None:
        self.decay, self.l2 = decay, l2
        self.numbers: list[tuple[int, float]] = []
        self.n = 0
        self.weights = np.zeros((3, 2 + categories))

    def inputs(self, row: Any) -> Any:
        """Intercept, the number in standard deviations, the code one-hot."""
        one = np.zeros(self.weights.shape[1])
        one[0] = 1.0
        if self.numbers and not math.isnan(row[0]):
            ages, values = np.array(self.numbers).T
            w = self.decay ** (self.n - ages)
            mean = (w * values).sum() / w.sum()
            deviation = math.sqrt((w * (values - mean) ** 2).sum() / w.sum())
            one[1] = np.clip((row[0] - mean) / deviation, -10, 10) if deviation > 1e-9 else 0.0
        if not math.isnan(row[1]):
            one[2 + int(row[1])] = 1.0
        return one

    def shares(self, row: Any) -> Any:
        """Probabilities."""
        scores = np.exp(self.weights @ self.inputs(row))
        return scores / scores.sum()

    def learn(self, row: Any, label: int) -> None:
        """One step."""
        self.n += 1
        if not math.isnan(row[0]):
            self.numbers.append((self.n, row[0]))
        used = self.inputs(row)
        slope = self.shares(row) - (np.arange(3) == label)
        rate = min(RATE, 1.0 / float(used @ used))
        present = (used != 0) | ((np.arange(len(used)) == 1) & (not math.isnan(row[0])))
        present[0] = False
        self.weights -= rate * (slope[:, None] * used + self.l2 * self.weights * present)


def test_missing_values_codes_and_decay_equal_the_slow_twin() -> None:
    """A missing number is the mean, a code has a weight of its own, moments fade, l2 pulls at the weights in use."""
    rng = np.random.default_rng(4)
    rows = np.column_stack([rng.normal(50.0, 9.0, 400), rng.integers(4, size=400)])
    rows[:, 0] += np.arange(400) / 4.0
    labels = (rows[:, 1] > 1).astype(int) + (rng.random(400) < 0.2)
    rows[rng.random(rows.shape) < 0.15] = np.nan
    rows[100, 0] = 1e5
    labels[:3] = (0, 1, 2)
    ours, twin = SoftmaxRegression(2, (1,), learning_rate=RATE, decay=0.95, l2=0.01), _SlowSoftmax(0.95, 0.01, 4)
    ours.learn_many(rows[:3], np.array([0, 1, 2]))
    ours._state.table[:] = 0.0  # the twin knows all three classes from the start
    for row, label in zip(rows[:3], labels[:3], strict=True):
        twin.learn(row, label)
    twin.weights[:] = 0.0
    for row, label in zip(rows[3:], labels[3:], strict=True):
        assert ours.step_many(row[None, :], [label])[0] == pytest.approx(twin.shares(row), rel=1e-7)
        twin.learn(row, label)


def test_interpreted_kernel_equals_the_compiled_one() -> None:
    """The kernel as plain Python leaves the weights that the compiled one leaves."""
    rows = _rows(60)
    labels = _classes(rows, 3)
    compiled, interpreted = SoftmaxRegression(3), SoftmaxRegression(3)
    said = compiled.step_many(rows, labels)
    interpreted._grow((0, 0, 0), 3)
    out = np.zeros((60, 3))
    kernel: Any = softmax_block
    kernel.py_func(rows, labels, out, interpreted._state, interpreted._rule, work_for(3, 4))
    assert out == pytest.approx(said, rel=1e-9)
    assert interpreted._state.table == pytest.approx(compiled._state.table, rel=1e-9, abs=1e-15)


def test_robust_losses_are_not_drawn_to_outliers() -> None:
    """With a twentieth of the targets far above, squared loss is drawn up, absolute and Huber's hardly."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(6_000, 1))
    targets = 5.0 * rows[:, 0] + rng.normal(size=6_000)
    struck = np.where(rng.random(6_000) < 0.05, targets + 500.0, targets)
    parameters = {"learning_rate": 0.02, "huber_bend": 0.05}
    off = {}
    for loss in ("squared", "absolute", "huber"):
        said = LinearRegression(1, loss=loss, **parameters).step_many(rows, struck)  # type: ignore[arg-type]
        off[loss] = float(np.abs(said - targets)[3_000:].mean())
    assert off["squared"] > 15.0
    assert off["absolute"] < 6.0
    assert off["huber"] < 10.0


def test_many_columns_do_not_explode() -> None:
    """A rate at which plain descent would diverge with 200 columns is shortened to a step that does not overshoot."""
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(3_000, 200))
    targets = rows[:, 0] * 3.0 + 1.0
    said = LinearRegression(200, learning_rate=0.5).step_many(rows, targets)
    assert np.abs(said - targets)[2_000:].mean() < 0.3 * np.abs(targets - targets.mean()).mean()
    softmax = SoftmaxRegression(200, learning_rate=1.0)
    classes = softmax.step_many(rows, (rows[:, 0] > 0).astype(int))
    assert np.isfinite(classes).all()
    assert (classes.argmax(axis=1) == (rows[:, 0] > 0))[2_000:].mean() > 0.7


def test_inverse_scaling_settles_and_forgetting_wakes_it() -> None:
    """Late examples hardly move a settled model; after `forget` its steps are long again."""
    rows = _rows(2_000)
    labels = _classes(rows, 2)
    moved = []
    for keep in (1.0, 0.001):
        learner = SoftmaxRegression(3, learning_rate=0.5, schedule="inverse_scaling", power=1.0)
        learner.learn_many(rows, labels)
        learner.forget(keep)
        before = learner._state.table.copy()
        learner.learn_many(rows[:50], 1 - labels[:50])
        moved.append(float(np.abs(learner._state.table - before).max()))
    assert moved[1] > 10.0 * moved[0]


def test_forgetting_draws_answers_towards_ignorance() -> None:
    """With all but a thousandth forgotten, probabilities are nearly even and the number is nearly the mean."""
    rows = _rows()
    classes, numbers = SoftmaxRegression(3), LinearRegression(3)
    classes.learn_many(rows, _classes(rows, 2))
    numbers.learn_many(rows, rows[:, 0])
    for learner in (classes, numbers):
        learner.forget(0.001)
    assert classes.predict_many(rows) == pytest.approx(0.5, abs=0.01)
    assert numbers.predict_many(rows) == pytest.approx(rows[:, 0].mean(), abs=0.01)


def test_an_absurd_target_and_input_leave_no_lasting_trace() -> None:
    """1e308 early in the stream, in a feature and as a label, no longer shows after three blocks of 256 values."""
    rng = np.random.default_rng(3)
    clean, struck = LinearRegression(learning_rate=0.05), LinearRegression(learning_rate=0.05)
    off = [0.0, 0.0]
    for i, a in enumerate(rng.normal(size=2_500).tolist()):
        for k, learner in enumerate((clean, struck)):
            if i >= 1_500:
                off[k] += abs(float(learner.predict_one({"a": a}) or 0.0) - 7.0 * a - 3.0)
            absurd = k and i in {40, 41, 120}
            learner.learn_one({"a": 1e308 if absurd else a}, -1e308 if absurd else 7.0 * a + 3.0)
    assert off[0] < 0.1 * 1_000
    assert off[1] < off[0] + 0.1 * 1_000


@pytest.mark.parametrize("tiny", [3e-162, 1e-155, 5e-324, -1e-200])
def test_numbers_whose_squares_are_nearly_nothing_stop_nobody(tiny: float) -> None:
    """A feature or a label so small that its variance cannot be told is one that does not vary."""
    for learner in (SoftmaxRegression(), NaiveBayes(), LinearRegression()):
        for i in range(60):
            label = 1e-160 * i if learner.task == "regression" else "yn"[i % 2]
            learner.learn_one({"a": tiny if i % 3 else 0.0, "b": float(i % 2)}, label)
            said = learner.predict_one({"a": tiny, "b": 1.0})
            assert said is None or isinstance(said, str) or math.isfinite(said)
