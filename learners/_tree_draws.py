"""Random numbers of the trees: where the generator of each begins, and what its Poisson weights are drawn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["poisson_places", "stream_of"]

_MASK = (1 << 64) - 1
_POISSON_PLACES = 64


def stream_of(seed: int, t: int) -> int:
    """Where stream `t` of `seed` begins: SplitMix64's finalizer twice, so that neighbours have nothing in common."""
    z = 0
    for part in (seed, t):
        z = (z + part + 0x9E3779B97F4A7C15) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        z ^= z >> 31
    return z


def poisson_places(mean: float) -> NDArray[np.float64]:
    """Distribution function of a Poisson number; empty for a weight that is always 1."""
    if mean == 0.0:
        return np.zeros(0)
    parts = np.cumsum([0.0, *np.log(np.arange(1, _POISSON_PLACES))])
    return np.cumsum(np.exp(np.arange(_POISSON_PLACES) * np.log(mean) - mean - parts))
