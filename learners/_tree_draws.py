"""Random numbers of the trees: where the generator of each begins, and what its Poisson weights are drawn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learners.splitmix import scrambled

__all__ = ["poisson_places", "stream_of"]

_POISSON_PLACES = 64


def stream_of(seed: int, t: int) -> int:
    """Where stream `t` of `seed` begins."""
    return scrambled(scrambled(seed) + t)


def poisson_places(mean: float) -> NDArray[np.float64]:
    """Distribution function of a Poisson number; empty for a weight that is always 1."""
    if mean == 0.0:
        return np.zeros(0)
    parts = np.cumsum([0.0, *np.log(np.arange(1, _POISSON_PLACES))])
    return np.cumsum(np.exp(np.arange(_POISSON_PLACES) * np.log(mean) - mean - parts))
