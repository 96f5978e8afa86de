"""The reference's location and spread of each signal: what detectors of a mean need to see values on one scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST", "Scaling"]

_CLIP_SPREADS = 8.0
LARGEST = 1e150  # squares and differences of such values are finite still
_NORMAL_IQR = 1.3489795003921634


class Scaling:
    """Per signal: `centre`, `spread` (IQR of a normal = 1), and the reference's range, widened once on each side.

    `unit` maps the widened range to [0, 1], which bounds what ADWIN sees; `spreads` counts in units of spread from
    the centre, clipped at 8, which bounds what Page-Hinkley sees. Both keep NaN.
    """

    def __init__(self, low: NDArray[Any], width: NDArray[Any], centre: NDArray[Any], spread: NDArray[Any]) -> None:
        self.low, self.width, self.centre, self.spread = low, width, centre, spread

    @classmethod
    def bounded(cls, signals: int, low: float, high: float) -> Scaling:
        """For signals that lie in [low, high] by definition: no reference is needed, the spread is the largest."""
        ones = np.ones(signals)
        return cls(low * ones, (high - low) * ones, (low + high) / 2 * ones, (high - low) / 2 * ones)

    @classmethod
    def of(cls, reference: NDArray[np.float64]) -> Scaling:
        """From the columns of a reference; columns without values get the unit scale."""
        signals = reference.shape[1]
        low, width, centre, spread = np.zeros(signals), np.ones(signals), np.zeros(signals), np.ones(signals)
        for column in range(signals):
            seen = reference[:, column]
            seen = np.clip(seen[~np.isnan(seen)], -LARGEST, LARGEST)
            if not len(seen):
                continue
            least, q1, middle, q3, most = np.quantile(seen, [0, 0.25, 0.5, 0.75, 1])
            span = (most - least) or max(abs(float(middle)), 1.0)
            low[column], width[column], centre[column] = least - span, 3 * span, middle
            spread[column] = (q3 - q1) / _NORMAL_IQR or float(np.std(seen)) or span
        return cls(low, width, centre, spread)

    def unit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """`values` on the widened range, in [0, 1]."""
        with np.errstate(over="ignore"):  # beyond any float is beyond the clip
            scaled: NDArray[np.float64] = np.clip((values - self.low) / self.width, 0.0, 1.0)
        return scaled

    def spreads(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """`values` in spreads from the centre, in [-8, 8]."""
        with np.errstate(over="ignore"):
            scaled: NDArray[np.float64] = np.clip((values - self.centre) / self.spread, -_CLIP_SPREADS, _CLIP_SPREADS)
        return scaled

    def state(self) -> list[NDArray[Any]]:
        """Arrays for a checkpoint."""
        return [self.low, self.width, self.centre, self.spread]
