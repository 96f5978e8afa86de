"""A confidence sequence for the mean of bounded differences: true at every look at once, however often one looks.

A newcomer needs one fact: it covers the running average of the differences' conditional means, so neither independence
nor a constant mean is assumed.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = ["ConfidenceSequence"]

# Bets from 0.03 to 0.7, in geometric steps. A bet is right for a variance sum of about 2 ln(1 / alpha) / bet², so
# these serve from some tens to some ten thousand differences; those in the middle get more weight.
_N = 12
_BETS: list[float] = [0.03 * (0.7 / 0.03) ** (i / (_N - 1)) for i in range(_N)]
_RAW = [math.exp(-0.5 * ((i - 6.5) / 3.0) ** 2) for i in range(_N)]
_LOG_WEIGHTS = [math.log(raw / sum(_RAW)) for raw in _RAW]
_COSTS: list[float] = [-math.log1p(-bet) - bet for bet in _BETS]
_BISECTIONS = 60
_SLACK = 1e-6  # far more than rounding can take from a bound


class ConfidenceSequence:
    """Bounds on the mean of differences in [-1, 1], one at a time.

    Notes
    -----
    With halved differences y in [-1/2, 1/2], guesses g (the mean of those before, shrunk to 0), S the sum of y and V
    that of (y - g)², for every bet b in [0, 1) exp(b (S - sum of conditional means) - (-ln(1 - b) - b) V) is a
    supermartingale that begins at 1, whatever the dependence; so is a mixture over bets, and by Ville's inequality
    it passes 1/alpha with probability alpha at most, ever. Bounds are where the mixture is 1/alpha. The paper mixes
    over all bets; this mixes over twelve, so that a step costs a few additions and the evidence a few exponentials.

    References
    ----------
    Howard, Ramdas, McAuliffe & Sekhon, *Time-uniform, nonparametric, nonasymptotic confidence sequences*, Annals of
    Statistics 49 (2021), doi:10.1214/20-AOS1991, theorem 4; for differences of forecasters: Choe & Ramdas, *Comparing
    sequential forecasters*, Operations Research 72 (2024), doi:10.1287/opre.2021.0792.

    Examples
    --------
    >>> sequence = ConfidenceSequence()
    >>> for n in range(1_000):
    ...     sequence.add(1.0 if n % 4 == 0 else 0.0)
    >>> low, high = sequence.bounds(0.05)
    >>> 0.15 < low < 0.25 < high < 0.35
    True
    """

    __slots__ = ("_sum", "_variance", "n")

    def __init__(self) -> None:
        self.n = 0
        self._sum = 0.0
        self._variance = 0.0

    def add(self, difference: float) -> None:
        """Take one difference.

        Raises
        ------
        ValueError
            it is not in [-1, 1].
        """
        if not -1.0 <= difference <= 1.0:
            raise ValueError(f"difference = {difference}: must be from -1 to 1")
        value = 0.5 * difference
        error = value - self._sum / (self.n + 1)
        self._variance += error * error
        self._sum += value
        self.n += 1

    @property
    def mean(self) -> float:
        """The mean of the differences; 0 before the first."""
        return 2.0 * self._sum / self.n if self.n else 0.0

    def log_evidence(self, least: float = 0.0) -> float:
        """Logarithm of the evidence that the mean is above `least`; at ln(1 / alpha) the lower bound is there."""
        return self._log_mixture(self._sum - 0.5 * least * self.n)

    def log_evidence_below(self, most: float = 0.0) -> float:
        """Logarithm of the evidence that the mean is below `most`."""
        return self._log_mixture(0.5 * most * self.n - self._sum)

    def soonest(self, log_evidence: float, step: int = 1) -> int:
        """How many more differences, a multiple of `step`, it takes at least until the evidence can be `log_evidence`.

        Found as if each of them were 1 and the variance stayed as it is, so it is never too many.
        """
        wanted, n = log_evidence - _SLACK, step
        while self._log_mixture(self._sum + 0.5 * n) < wanted:
            n *= 2
        low, high = n // 2 // step, n // step
        while high - low > 1:
            middle = (low + high) // 2
            if self._log_mixture(self._sum + 0.5 * middle * step) < wanted:
                low = middle
            else:
                high = middle
        return high * step

    def _log_mixture(self, excess: float) -> float:
        logs: list[float] = [
            w + b * excess - c * self._variance for w, b, c in zip(_LOG_WEIGHTS, _BETS, _COSTS, strict=True)
        ]
        top = max(logs)
        return top + math.log(sum(math.exp(value - top) for value in logs))

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Lower and upper bound of the mean, each at level `alpha`; (-1, 1) before the first difference."""
        if not self.n:
            return -1.0, 1.0
        # The mixture grows with the excess, so one distance serves both sides.
        low, high = 0.0, float(self.n)
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            if self._log_mixture(middle) < -math.log(alpha):
                low = middle
            else:
                high = middle
        distance = 2.0 * high / self.n
        return max(-1.0, self.mean - distance), min(1.0, self.mean + distance)

    def state(self) -> list[Any]:
        """Plain tree for a checkpoint."""
        return [self.n, self._sum, self._variance]

    @classmethod
    def from_state(cls, state: list[Any]) -> ConfidenceSequence:
        """The sequence that `state` was taken of."""
        sequence = cls()
        sequence.n, sequence._sum, sequence._variance = int(state[0]), float(state[1]), float(state[2])
        return sequence
