"""Streams of concepts that change abruptly, for the learners and policies that react; made anew from a seed each."""

from __future__ import annotations

import numpy as np

from learners.base import Features, Label, Learner

__all__ = ["concepts", "errors"]

Example = tuple[dict[str, float | str], Label]


def concepts(order: str, each_n: int, seed: int = 1) -> list[Example]:
    """`each_n` examples of each letter: A and B are opposite, C has half in common with each, D most of A."""
    rng = np.random.default_rng(seed)
    examples: list[Example] = []
    for letter in order:
        for _ in range(each_n):
            a, b, c = rng.normal(size=3).tolist()
            value = {"A": a + b, "B": -a - b, "C": a - b, "D": a + 0.3 * b}[letter]
            label = "yes" if value > 0 else "no"
            if rng.random() < 0.05:
                label = "no" if label == "yes" else "yes"
            examples.append(({"a": a, "b": b, "c": c, "shop": "NSEW"[int(rng.integers(4))]}, label))
    return examples


def errors(learner: Learner, stream: list[tuple[Features, Label]] | list[Example]) -> list[int]:
    """0 or 1 per example, each answered before it is learned."""
    found = []
    for x, y in stream:
        found.append(int(learner.predict_one(x) != y))
        learner.learn_one(x, y)
    return found
