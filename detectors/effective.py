"""How many independent values a series is worth.

Neighbours that resemble each other carry less evidence than their number says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["effective_n"]


def effective_n(values: Any) -> float:
    """The number of values over their integrated autocorrelation time, within [1, n].

    The time is 1 + 2 (rho_1 + rho_2 + …), summed in pairs of lags while a pair is positive (the initial positive
    sequence). NaN are left out first. A constant series has no autocorrelation: all its values count.

    Parameters
    ----------
    values : series in its order, 1 value or more

    References
    ----------
    Geyer (1992), Practical Markov chain Monte Carlo, doi:10.1214/ss/1177011137

    Examples
    --------
    >>> effective_n([0.0, 1.0] * 50)
    100.0
    >>> round(effective_n([float(i // 10 % 2) for i in range(1000)]))
    199
    """
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1 or np.isinf(series).any():
        raise ValueError("values: give a list of finite numbers (NaN is left out)")
    series = np.ascontiguousarray(series[~np.isnan(series)])
    if len(series) == 0:
        raise ValueError("values holds no number; give 1 or more")
    if series.min() == series.max():
        return float(len(series))
    return float(min(len(series), max(1.0, len(series) / _autocorrelation_time(series))))


@njit(cache=True, nogil=True)
def _autocorrelation_time(series):  # type: ignore[no-untyped-def]
    n = series.shape[0]
    mean = 0.0
    for i in range(n):
        mean += series[i] / n
    variance = _autocovariance(series, mean, 0)
    time = -1.0
    for lag in range(0, n - 1, 2):
        pair = (_autocovariance(series, mean, lag) + _autocovariance(series, mean, lag + 1)) / variance
        if pair <= 0.0:
            break
        time += 2.0 * pair
    return max(time, 1.0 / n)


@njit(cache=True, nogil=True)
def _autocovariance(series, mean, lag):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(series.shape[0] - lag):
        total += (series[i] - mean) * (series[i + lag] - mean)
    return total
