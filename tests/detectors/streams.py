"""The five streams of 2,000 values on which river and MOA were run; numpy's legacy seeding."""

from __future__ import annotations

import numpy as np

from detectors.base import Floats

__all__ = ["STREAMS"]


def _streams() -> dict[str, Floats]:
    legacy = np.random.RandomState(12345)
    s1 = np.concatenate([legacy.randint(2, size=1000), legacy.randint(8, size=1000)])
    legacy = np.random.RandomState(12345)
    s2 = np.concatenate([legacy.binomial(1, 0.2, 1000), legacy.binomial(1, 0.8, 1000)])
    legacy = np.random.RandomState(12345)
    s3 = np.concatenate([legacy.normal(mean, 0.1, 500) > 0 for mean in (0, 0.25, 0, 0.25)])
    legacy = np.random.RandomState(0)
    s5 = legacy.randint(2, size=2000)
    for i in range(999, 2000):
        s5[i] = legacy.randint(4, 8)
    parts = {"s1": s1, "s2": s2, "s3": s3, "s4": np.repeat([0, 1], 1000), "s5": s5}
    return {name: part.astype(np.float64) for name, part in parts.items()}


STREAMS = _streams()
