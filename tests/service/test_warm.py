"""What is compiled or loaded before the first event, so that no event waits for it."""

from __future__ import annotations

import subprocess
import sys

from service.config import parse
from service.warm import _own_learners

# In a process of its own: whatever ran before in this one has loaded its kernels.
FOLDED = """
import msgspec
from numba.core import event
from service.config import parse
from service.replay import replay
from service.warm import warm

numeric = {"type": "numeric"}
learners = {"learner": {"estimator": "anchorwatch.ESTIMATOR"}}
monitor = {"task": "TASK", "features": {"a": numeric, "b": numeric, "c": {"type": "categorical"}}, "learners": learners,
           "labels": {"age": "50s"}, "reference": {"n": 100}}
config = parse({"monitors": {"m": monitor}})
said = []
warm(config, said.append)
events = []
for n in range(600):
    common = {"id": str(n), "monitor": "m", "time": 1_700_000_000_000 + 1000 * n}
    features = {"a": n * 0.5, "b": float(n % 7), "c": str(n % 5)}
    events.append({**common, "type": "prediction", "features": features})
    events.append({**common, "type": "label", "label": n % 2 if "TASK" == "regression" else str(n % 2)})
with event.install_recorder("numba:compiler_lock") as recorder:
    fold = replay([msgspec.json.encode(each) for each in events], config, block_n=100).partition.folds["m"]
assert fold.join.counts.joined == 600, fold.join.counts
print("anchorwatch.ESTIMATOR" in said, len(recorder.buffer))
"""


def loaded_while_folding(estimator: str, task: str) -> str:
    """Whether warming named the learner, and how often numba was at work in the fold behind it."""
    program = FOLDED.replace("ESTIMATOR", estimator).replace("TASK", task)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_forest_is_ready_before_the_first_event() -> None:
    """Where a learner's kernels are not there, the first prediction would wait for a compiler for many seconds."""
    assert loaded_while_folding("AdaptiveRandomForest", "classification") == "True 0"


def test_a_regression_tree_is_ready_before_the_first_event() -> None:
    """The same for numbers."""
    assert loaded_while_folding("HoeffdingTreeRegressor", "regression") == "True 0"


def test_each_learner_of_ours_is_warmed_once() -> None:
    """Two monitors with one forest wait for it once; river's learners have nothing to compile."""
    forest = {"estimator": "anchorwatch.AdaptiveRandomForest"}
    bayes = {"estimator": "anchorwatch.NaiveBayes"}
    river = {"estimator": "river.tree.HoeffdingTreeClassifier"}
    config = parse({
        "monitors": {
            "one": {"learners": {"a": forest, "b": river}, "probe": bayes},
            "two": {"learners": {"c": forest}},
        },
    })  # fmt: skip
    assert [estimator for estimator, *_ in _own_learners(config)] == [forest["estimator"], bayes["estimator"]]


def test_an_image_is_filled_with_all_learners() -> None:
    """Without a configuration every learner that stands alone is warmed, for its own task."""
    tasks = {(estimator, task) for estimator, task, _ in _own_learners(None)}
    assert {
        ("anchorwatch.AdaptiveRandomForest", "classification"),
        ("anchorwatch.LinearRegression", "regression"),
    } < tasks
    assert ("anchorwatch.AdaptiveRandomForest", "regression") not in tasks
