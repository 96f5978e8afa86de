"""How many independent values a dependent series is worth: what rank tests may count instead of its length."""

from __future__ import annotations

import math

import numpy as np

from detectors.base import Floats

__all__ = ["effective_n"]

_LAGS_SHARE = 4


def effective_n(values: Floats) -> float:
    """Length divided by the integrated autocorrelation time, in [1, n].

    Sums autocorrelations over pairs of lags while the pair is positive (Geyer's initial positive sequence), at most
    up to a quarter of the length. Independent values give about n, a constant gives n.

    Parameters
    ----------
    values : float64[n], finite, at least one

    Notes
    -----
    O(n · lags) time. Geyer (1992), doi:10.1214/ss/1177011137.

    Examples
    --------
    >>> import numpy as np
    >>> round(effective_n(np.repeat(np.random.default_rng(1).normal(size=200), 10)) / 200, 1) < 1.6
    True
    """
    count = len(values)
    if count == 0:
        raise ValueError("values is empty; give at least one")
    centred = values - math.fsum(values) / count
    variance = math.fsum(centred * centred) / count
    if count < 4 or variance == 0.0:
        return float(count)
    time = 1.0
    for lag in range(1, count // _LAGS_SHARE, 2):
        pair = _correlation(centred, lag, variance) + _correlation(centred, lag + 1, variance)
        if pair <= 0.0:
            break
        time += 2.0 * pair
    return float(min(count, max(1.0, count / time)))


def _correlation(centred: Floats, lag: int, variance: float) -> float:
    products = np.multiply(centred[:-lag], centred[lag:])
    return float(np.add.reduce(products)) / (len(centred) * variance)
