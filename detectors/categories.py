"""Chi-square and G test of the categories in a sliding window against those of a fixed reference.

Categories come as codes 0 to K - 1; any code from K on is one category more, the unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from detectors._cells import CHI_SQUARE, G_TEST, Cells, fold
from detectors._window import WindowRule, effective_shares, reference_parts, window_rule
from detectors._window_laws import chi_square_quantiles
from detectors.base import Domain, Floats, Ints, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["CategoryBank", "CategoryStatistic", "ChiSquare", "GTest"]

CategoryStatistic = Literal["chi_square", "g"]
_KINDS: dict[str, int] = {"chi_square": CHI_SQUARE, "g": G_TEST}


class CategoryBank(StreamBank):
    """Test of homogeneity of F signals' newest category codes and a reference each.

    Parameters
    ----------
    reference : one array of codes a signal, in any order, NaN dropped; an empty one makes its signal untestable
    window_n : codes in the window, 2 or more; a test needs a full one
    statistic : `chi_square` (Pearson's) or `g` (twice the log-likelihood ratio)
    n_categories : K of all signals or [F], 1 or more; default: one more than a reference's largest code
    test_every : test after every so-many-th code of a signal
    alpha : in (0, 0.5), nominal level of one look at independent data
    min_effect : in [0, 1), an alarm needs this effect too: Cramér's V, the root of chi-square over the count of both
        samples, for both statistics
    clear_ratio : in (0, 1], an alarm clears where statistic or effect falls to this part of what opened it
    n_effective : [F], each in (0, 1]: the share of a signal's values that count as independent (`effective_n` over
        the count); default 1. The threshold is divided by it

    Notes
    -----
    The statistics equal `scipy.stats.chi2_contingency(..., correction=False)` of the two samples' counts, G with
    `lambda_="log-likelihood"`, categories in neither left out. The threshold is the quantile of chi-square with one
    degree less than categories that occur in either, so it moves with the window. Its law needs about 5 expected values
    a category in the smaller sample: codes rarer than that, the unseen above all, alarm more often than `alpha` says,
    most with chi-square; they belong in a rate detector of their own. A negative or broken number counts as missing.

    Alarms have no direction. The onset interval is the window; the point in it is the likeliest split
    between the reference's shares and others.

    Cost of a code: O(log K); a test O(K), about 20 ns each. Memory: 16 bytes for each code of the window, 32 for each
    category.

    Examples
    --------
    >>> bank = CategoryBank([[0, 0, 0, 1, 1, 2] * 50], 60)
    >>> result = bank.update_many([[i % 3 if i < 90 else 2] for i in range(180)], range(180))
    >>> [(alarm.row, alarm.status, alarm.onset) for alarm in result.alarms]
    [(102, 2, 89)]

    References
    ----------
    Agresti (2013), Categorical Data Analysis, third edition, section 3.2; Wilks (1938), doi:10.1214/aoms/1177732360
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"codes"})
    rule_type = WindowRule
    _empty = staticmethod(Cells.empty)

    def __init__(  # sizes: the parts of one alarm rule, each with a default, the statistic and the categories
        self,
        reference: Sequence[Any],
        window_n: int,
        *,
        statistic: CategoryStatistic = "chi_square",
        n_categories: Any = None,
        test_every: int = 1,
        alpha: float = 1e-6,
        min_effect: float = 0.1,
        clear_ratio: float = 0.8,
        n_effective: Any = None,
    ) -> None:
        if statistic not in _KINDS:
            raise ValueError(f"statistic = {statistic!r}; give 'chi_square' or 'g'")
        parts = reference_parts(reference)
        for signal, part in enumerate(parts):
            if (part < 0).any() or (part != np.floor(part)).any():
                raise ValueError(f"reference of signal {signal}: give whole category codes, 0 or more")
        known = [int(part[-1]) + 1 if len(part) else 1 for part in parts]
        numbers = np.broadcast_to(np.asarray(known if n_categories is None else n_categories), (len(parts),)).tolist()
        require("n_categories", min(numbers), "1 or more", holds=min(numbers) >= 1)
        rule = window_rule(
            _KINDS[statistic], window_n, size=1 + max(numbers),
            alpha=alpha, test_every=test_every, min_effect=min_effect, below=1, clear_ratio=clear_ratio,
        )  # fmt: skip
        super().__init__(len(parts), rule)
        edges = [np.arange(number) + 0.5 for number in numbers]
        scales = 1.0 / effective_shares(n_effective, len(parts))
        self._signals.refer(parts, edges, quantiles=chi_square_quantiles(alpha, rule.size), scales=scales)

    def warned(self, signal: int) -> bool:
        """Never: a level test has no warning zone of its own."""
        return False

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        return int(fold(block, positions, self._signals, self._rule, statistic, threshold, *buffers))


class ChiSquare(StreamDetector):
    """Pearson's chi-square of one signal's window of category codes; parameters as for `CategoryBank`.

    Examples
    --------
    >>> detector = ChiSquare([0, 1, 2] * 30, 60)
    >>> [i for i in range(300) if detector.update(i % 3 if i < 150 else 2).drift_detected]
    [189]
    """

    def __init__(self, reference: Any, window_n: int, **parameters: Any) -> None:
        super().__init__(CategoryBank([reference], window_n, statistic="chi_square", **parameters))


class GTest(StreamDetector):
    """G of one signal's window of category codes; parameters as for `CategoryBank`.

    Examples
    --------
    >>> detector = GTest([0, 1, 2] * 30, 60)
    >>> [i for i in range(300) if detector.update(i % 3 if i < 150 else 2).drift_detected]
    [187]
    """

    def __init__(self, reference: Any, window_n: int, **parameters: Any) -> None:
        super().__init__(CategoryBank([reference], window_n, statistic="g", **parameters))
