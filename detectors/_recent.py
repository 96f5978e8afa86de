"""The newest values of a signal, kept so that an alarm can say where its change most likely began.

Kept in a ring of fixed length: one store a value, and a scan of it only when a detector raises an alarm.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["RECENT_N", "keep", "locate"]

# Long enough for the delay of a detector that is of any use; a power of two, so that a place is a mask.
RECENT_N = 256
# 95 % point of the likelihood-ratio statistic of a change point (Hansen 2000, Econometrica 68, table 1).
_ONSET_SET = 7.35


@njit(cache=True, nogil=True)
def keep(ring, ring_at, seen, x, position):  # type: ignore[no-untyped-def]
    """Store a signal's value in its ring; `seen` counts the values since the restart, this one not included."""
    place = seen & (RECENT_N - 1)
    ring[place] = x
    ring_at[place] = position


@njit(cache=True, nogil=True)
def locate(ring, ring_at, seen, first, sign):  # type: ignore[no-untyped-def]
    """The most likely change of mean among the values kept.

    Parameters
    ----------
    ring, ring_at : one signal's values and their positions, as `keep` left them
    seen : values since the restart
    first : position of the first value after the restart
    sign : 1 or -1: only splits after which the mean is higher, or lower; 0: any

    Returns
    -------
    onset, low, high : positions: the first value after the likeliest split, and the ends of the 95 %
        likelihood-ratio set. Where that set reaches the oldest value kept, `low` is `first`: it may be older
    effect : difference of the means there in standard deviations of all values kept; 0 where these have none
    newer : values after the split
    """
    n = min(seen, RECENT_N)
    total, squares = 0.0, 0.0
    for k in range(seen - n, seen):
        total += ring[k & (RECENT_N - 1)]
    mean = total / max(n, 1)
    for k in range(seen - n, seen):
        squares += (ring[k & (RECENT_N - 1)] - mean) ** 2
    gains = np.zeros(max(n, 1))
    best, at, before = -1.0, n - 1, 0.0
    for k in range(1, n):
        before += ring[(seen - n + k - 1) & (RECENT_N - 1)] - mean
        # The newer part's mean is above the older one's where the sum before the split lies below.
        gains[k] = before * before * n / (k * float(n - k)) if before * sign <= 0.0 else 0.0
        if gains[k] > best:
            best, at = gains[k], k
    within = max(squares - best, 0.0) / max(n, 1)
    least = best - _ONSET_SET * within
    low, high = at, at
    for k in range(1, n):
        if gains[k] >= least:
            low, high = min(low, k), max(high, k)
    onset = ring_at[(seen - n + at) & (RECENT_N - 1)]
    # A split lies between two values: the change may have begun right after the one before it.
    earliest = ring_at[(seen - n + max(low - 1, 0)) & (RECENT_N - 1)] if low > 1 else first
    latest = ring_at[(seen - n + high) & (RECENT_N - 1)]
    effect = 0.0
    if best > 0.0:
        effect = np.sqrt(best * n / (at * float(n - at)) / (squares / n))
    return onset, earliest, latest, effect, n - at
