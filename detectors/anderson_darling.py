"""Anderson-Darling test of a sliding window against a fixed reference: the rank test that looks into the tails.

It weighs a difference of the distribution functions by how surely it is known there, so a change of spread or of a
tail shows sooner than in Kolmogorov-Smirnov's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from detectors._sorted import ANDERSON_DARLING, Sorted, fold
from detectors._window import WindowRule, effective_shares, reference_parts, window_rule
from detectors._window_laws import anderson_darling_deviation, anderson_darling_quantile
from detectors.base import Domain, Floats, Ints
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["AndersonDarling", "AndersonDarlingBank"]


class AndersonDarlingBank(StreamBank):
    """A² of F signals' newest values and a reference each.

    Parameters
    ----------
    reference : one array a signal, in any order, NaN dropped; an empty one makes its signal untestable
    window_n : values in the window, 2 or more; a test needs a full one
    test_every : test after every so-many-th value of a signal
    alpha : in (0, 0.5), nominal level of one look at independent data
    min_effect : in [0, 1), an alarm needs this Kolmogorov-Smirnov distance too, the largest difference of the two
        distribution functions: 0 where they agree, 1 where they are apart
    clear_ratio : in (0, 1], an alarm clears where statistic or effect falls to this part of what opened it
    n_effective : [F], each in (0, 1]: the share of a signal's values that count as independent (`effective_n` over
        the count); default 1. The threshold is divided by it

    Notes
    -----
    The statistic is A²_akN of Scholz and Stephens (1987, equation 7), over mid-ranks, for two samples: what
    `scipy.stats.anderson_ksamp` computes before it subtracts 1 and divides by the standard deviation (so it is that
    statistic times sigma, plus 1). 0 where all values are equal, which scipy refuses. The threshold is the quantile of
    the limit law, its distance from the mean scaled by the finite samples' standard deviation, as there, but by the law
    itself at any `alpha` down to 1e-9 and beyond, where scipy interpolates a table that ends at 0.001. For a reference
    with ties it is the law of data that are tied alike.

    An alarm's direction is the sign of the mean difference of ranks (1: the window's values are the higher ones, 0: as
    high). Its onset interval is the window; the point in it is the split after which the ranks among the reference
    differ most from its own.

    Cost of a value: O(window_n) moves to keep the order, and at a test a scan of O(reference + window_n), about 10 ns
    for each value of both. Memory: 8 bytes for each value of the reference, 24 for each of the window.

    References
    ----------
    Scholz, Stephens (1987), K-sample Anderson-Darling tests, doi:10.1080/01621459.1987.10478517
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"unit", "real"})
    rule_type = WindowRule
    _empty = staticmethod(Sorted.empty)

    def __init__(
        self,
        reference: Sequence[Any],
        window_n: int,
        *,
        test_every: int = 10,
        alpha: float = 1e-6,
        min_effect: float = 0.1,
        clear_ratio: float = 0.8,
        n_effective: Any = None,
    ) -> None:
        parts = reference_parts(reference)
        rule = window_rule(
            ANDERSON_DARLING, window_n, size=max(map(len, parts)),
            alpha=alpha, test_every=test_every, min_effect=min_effect, below=1, clear_ratio=clear_ratio,
        )  # fmt: skip
        super().__init__(len(parts), rule)
        self._signals.refer(parts)
        shares = effective_shares(n_effective, len(parts))
        for f, part in enumerate(parts):
            if len(part):
                deviation = anderson_darling_deviation(len(part), window_n)
                limit = 1.0 + (anderson_darling_quantile(alpha, part) - 1.0) * deviation
                self._signals.limits[f] = limit / shares[f]

    def warned(self, signal: int) -> bool:
        """Never: a level test has no warning zone of its own."""
        return False

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        return int(
            fold(block, positions, self._signals, self._rule, self._low, self._high, statistic, threshold, *buffers)
        )


class AndersonDarling(StreamDetector):
    """A² of one signal's window and a reference; parameters as for `AndersonDarlingBank`.

    Examples
    --------
    >>> detector = AndersonDarling(range(100), 50)
    >>> [i for i in range(400) if detector.update(37 * i % 100 + 60 * (i >= 200)).drift_detected]
    [229]
    """

    def __init__(self, reference: Any, window_n: int, **parameters: Any) -> None:
        super().__init__(AndersonDarlingBank([reference], window_n, **parameters))
