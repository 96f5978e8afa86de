"""Small labelled streams that several tests learn from; made anew from a seed each time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from learners.base import Features, Label, Learner, Task

__all__ = ["answer", "labelled", "separable", "step"]

Example = tuple[dict[str, float | str], Label]


def separable(task: Task, n: int, seed: int = 1) -> list[Example]:
    """Labels that `a` decides (with some help of `shop`), beside noise; numbers and text."""
    return list(_separable(task, n, np.random.default_rng(seed)))


def _separable(task: Task, n: int, rng: np.random.Generator) -> Iterator[Example]:
    for _ in range(n):
        a, b = rng.normal(size=2).tolist()
        shop = "NSEW"[int(rng.integers(4))]
        x: dict[str, float | str] = {"a": a, "b": b, "shop": shop}
        value = a + 0.5 * (shop == "N")
        yield x, (2.0 * value if task == "regression" else ("ok" if value > -0.3 else "fraud"))


def labelled(task: Task, n: int, seed: int = 2) -> list[Example]:
    """A rougher stream: gaps, a feature that comes and one that goes, and for classes a third one later on."""
    rng = np.random.default_rng(seed)
    examples: list[Example] = []
    for i, (x, y) in enumerate(separable(task, n, seed)):
        if i % 5 == 2:
            del x["b"]
        if i % 9 == 4:
            del x["shop"]
        if i > n // 2:
            x["late"] = float(rng.normal())
            x.pop("a", None) if i % 3 == 0 else None
        if task == "classification" and i > n // 2 and rng.random() < 0.2:
            examples.append((x, "refund"))
        else:
            examples.append((x, y))
    return examples


def answer(learner: Learner, x: Features) -> tuple[Label | None, dict[str, float]]:
    """Both answers of a learner."""
    return learner.predict_one(x), learner.predict_proba_one(x)


def step(learner: Learner, x: Features, y: Label) -> tuple[Label | None, dict[str, float]]:
    """Predict, then learn."""
    said = answer(learner, x)
    learner.learn_one(x, y)
    return said
