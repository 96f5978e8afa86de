"""Wasserstein distance of a sliding window to a fixed reference: how far the values moved, in their own unit.

Unlike a rank test's its statistic keeps growing with a shift, so it says how much, not only whether.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from detectors._sorted import WASSERSTEIN, Sorted, fold
from detectors._window import WindowRule, effective_shares, reference_parts, window_rule
from detectors._window_laws import bridge_areas, wasserstein_quantile
from detectors.base import Domain, Floats, Ints, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["Wasserstein", "WassersteinBank"]

_NORMAL_IQR = 1.3489795003921634


class WassersteinBank(StreamBank):
    """W1 of F signals' newest values and a reference each: the area between the two distribution functions.

    Parameters
    ----------
    reference : one array a signal, in any order, NaN dropped; an empty one makes its signal untestable
    window_n : values in the window, 2 or more; a test needs a full one
    test_every : test after every so-many-th value of a signal
    alpha : in (0, 0.5), nominal level of one look at independent data
    min_effect : 0 or more, an alarm needs this effect too: W1 in spreads of the reference (interquartile range over
        1.349, which is a normal law's standard deviation; standard deviation, then 1, where that is 0)
    clear_ratio : in (0, 1], an alarm clears where statistic or effect falls to this part of what opened it
    n_effective : [F], each in (0, 1]: the share of a signal's values that count as independent (`effective_n` over
        the count); default 1. The threshold is divided by its root
    clip : values are clipped at this many times half the reference's range from its middle (a constant one's: of its
        size, at least 1), so that one absurd value does not hold an alarm open

    Notes
    -----
    Within the clip W1 equals `scipy.stats.wasserstein_distance`. No one law holds for all data: the threshold is that
    of samples drawn from the reference's values, in the limit of large ones, with the 95 % point from 2,048 seeded
    draws of a Brownian bridge and beyond it a bound by the reference's standard deviation. The same reference gives the
    same threshold. A window too short for its mean to be normal (100 lognormal values, say) exceeds it more often than
    `alpha` says.

    An alarm's direction is the sign of the mean difference (1: the window's mean is the higher one). Its onset interval
    is the window; the point in it is the split after which the ranks among the reference differ most from its own.

    Cost of a value: O(window_n) moves to keep the order, and at a test a scan of O(reference + window_n), about 4 ns
    for each value of both. Construction: about 0.1 s for references of one length, and 5 ms for each signal. Memory: 8
    bytes for each value of the reference, 24 for each of the window.

    References
    ----------
    del Barrio, Giné, Matrán (1999), Central limit theorems for the Wasserstein distance, doi:10.1214/aop/1022677394
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"unit", "real"})
    rule_type = WindowRule
    _empty = staticmethod(Sorted.empty)

    def __init__(  # sizes: the parts of one alarm rule, each with a default, and the clip
        self,
        reference: Sequence[Any],
        window_n: int,
        *,
        test_every: int = 10,
        alpha: float = 1e-6,
        min_effect: float = 0.1,
        clear_ratio: float = 0.8,
        n_effective: Any = None,
        clip: float = 8.0,
    ) -> None:
        require("clip", clip, "1 or more", holds=clip >= 1)
        parts = reference_parts(reference)
        rule = window_rule(
            WASSERSTEIN, window_n, size=max(map(len, parts)),
            alpha=alpha, test_every=test_every, min_effect=min_effect, below=math.inf, clear_ratio=clear_ratio,
        )  # fmt: skip
        super().__init__(len(parts), rule, bounds=tuple(np.transpose([_bounds(part, clip) for part in parts])))
        self._signals.refer(parts)
        shares = effective_shares(n_effective, len(parts))
        for n in {len(part) for part in parts if len(part)}:
            bridges = bridge_areas(n)  # 16 MB: of one length at a time
            for f in (f for f, part in enumerate(parts) if len(part) == n):
                self._signals.spreads[f] = _spread(parts[f])
                scale = math.sqrt((1.0 / n + 1.0 / window_n) / shares[f])
                self._signals.limits[f] = wasserstein_quantile(alpha, parts[f], bridges) * scale

    def warned(self, signal: int) -> bool:
        """Never: a level test has no warning zone of its own."""
        return False

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        return int(
            fold(block, positions, self._signals, self._rule, self._low, self._high, statistic, threshold, *buffers)
        )


class Wasserstein(StreamDetector):
    """W1 of one signal's window and a reference; parameters as for `WassersteinBank`.

    Examples
    --------
    >>> detector = Wasserstein(range(100), 50)
    >>> [i for i in range(400) if detector.update(37 * i % 100 + 60 * (i >= 200)).drift_detected]
    [229]
    """

    def __init__(self, reference: Any, window_n: int, **parameters: Any) -> None:
        super().__init__(WassersteinBank([reference], window_n, **parameters))


def _bounds(ascending: Floats, clip: float) -> tuple[float, float]:
    if not len(ascending):
        return -math.inf, math.inf
    low, high = float(ascending[0]), float(ascending[-1])
    half = (high - low) / 2.0 or max(abs(high), 1.0)
    middle = low + (high - low) / 2.0
    return middle - clip * half, middle + clip * half


def _spread(ascending: Floats) -> float:
    low, high = np.quantile(ascending, [0.25, 0.75])
    return float(high - low) / _NORMAL_IQR or float(np.std(ascending)) or 1.0
