"""Population stability index and Jensen-Shannon divergence of a sliding window from a fixed reference, over bins.

Both see the counts in the bins and nothing else: what moves inside a bin does not show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from detectors._cells import JENSEN_SHANNON, Cells, fold
from detectors._cells import PSI as _PSI
from detectors._window import WindowRule, effective_shares, reference_parts, window_rule
from detectors._window_laws import chi_square_quantiles
from detectors.base import Domain, Floats, Ints, require
from detectors.stream_bank import StreamBank, StreamDetector

__all__ = ["PSI", "BinnedBank", "BinnedStatistic", "JensenShannon"]

BinnedStatistic = Literal["psi", "js"]
_KINDS: dict[str, int] = {"psi": _PSI, "js": JENSEN_SHANNON}


class BinnedBank(StreamBank):
    """PSI or Jensen-Shannon divergence of F signals' newest values from a reference each.

    Parameters
    ----------
    reference : one array a signal, in any order, NaN dropped; an empty one makes its signal untestable
    window_n : values in the window, 2 or more; a test needs a full one
    statistic : `psi`, the sum of (q - p) ln(q / p) over bins with reference share p and window share q; or `js`, the
        Jensen-Shannon divergence of p and q in nats, 0 to ln 2
    bins : 2 or more quantile bins of the reference; fewer where its quantiles coincide; three, below, at and above
        the value, for a constant one
    edges : in place of `bins`: inner edges, ascending, one array for all signals or one a signal. A bin holds its lower
        edge and not its upper; the outermost ones are open
    test_every : test after every so-many-th value of a signal
    alpha : in (0, 0.5), nominal level of one look at independent data
    min_effect : an alarm needs this effect too: PSI itself, 0 or more (the industry reads .1 as moderate, .25 as
        major); for `js` the distance sqrt(JS / ln 2), in [0, 1)
    clear_ratio : in (0, 1], an alarm clears where statistic or effect falls to this part of what opened it
    n_effective : [F], each in (0, 1]: the share of a signal's values that count as independent (`effective_n` over
        the count); default 1. The threshold is divided by it
    empty : in (0, 1], the count that PSI puts in place of 0 where a bin is empty in one of the two samples, the others
        unchanged; a bin empty in both adds nothing. Jensen-Shannon needs none

    Notes
    -----
    The threshold is (1/n + 1/m) times, for `js` an eighth of that times, the quantile of chi-square with one degree
    less than there are bins that hold anything. It needs some values in each bin: windows of 5 values a bin or more.

    Frouros' PSI has ten bins of equal width over both samples together and 2.2e-308 in place of an empty share: it is
    ours with those `edges` and `empty` = 2.2e-308 window_n. There one empty bin adds about 700 times the other's share,
    so 1/2 is the default here. Frouros' JS is the root of the divergence, and of shares that it interpolates in each
    sample's own histogram: no edges give the same.

    Alarms have no direction. The onset interval is the window; the point in it is the likeliest split
    between bins filled as the reference's and otherwise.

    Cost of a value: O(log bins); a test O(bins), about 20 ns each. Memory: 16 bytes for each value of the window; the
    reference itself is not kept.

    References
    ----------
    Yurdakul, Naranjo (2020), Statistical properties of the population stability index, doi:10.21314/JRMV.2020.227
    Lin (1991), Divergence measures based on the Shannon entropy, doi:10.1109/18.61115
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"unit", "real"})
    rule_type = WindowRule
    _empty = staticmethod(Cells.empty)

    def __init__(  # sizes: the parts of the bins, of the statistic and of one alarm rule, each with a default
        self,
        reference: Sequence[Any],
        window_n: int,
        *,
        statistic: BinnedStatistic = "psi",
        bins: int = 10,
        edges: Sequence[Any] | None = None,
        test_every: int = 1,
        alpha: float = 1e-6,
        min_effect: float = 0.1,
        clear_ratio: float = 0.8,
        n_effective: Any = None,
        empty: float = 0.5,
    ) -> None:
        if statistic not in _KINDS:
            raise ValueError(f"statistic = {statistic!r}; give 'psi' or 'js'")
        require("bins", bins, "2 or more", holds=bins >= 2)
        parts = reference_parts(reference)
        cuts = [_quantile_edges(part, bins) for part in parts] if edges is None else _given_edges(edges, len(parts))
        rule = window_rule(
            _KINDS[statistic], window_n, size=1 + max(map(len, cuts)),
            alpha=alpha, test_every=test_every, min_effect=min_effect, below=math.inf if statistic == "psi" else 1,
            clear_ratio=clear_ratio, empty=empty,
        )  # fmt: skip
        super().__init__(len(parts), rule)
        counts = np.array([max(1, len(part)) for part in parts])
        scales = (1.0 / counts + 1.0 / window_n) / effective_shares(n_effective, len(parts))
        scales = scales / 8.0 if statistic == "js" else scales
        self._signals.refer(parts, cuts, quantiles=chi_square_quantiles(alpha, rule.size), scales=scales)

    def warned(self, signal: int) -> bool:
        """Never: a level test has no warning zone of its own."""
        return False

    def _fold(self, block: Floats, positions: Ints, statistic: Floats, threshold: Floats, *buffers: Any) -> int:
        return int(fold(block, positions, self._signals, self._rule, statistic, threshold, *buffers))


class PSI(StreamDetector):
    """Population stability index of one signal's window; parameters as for `BinnedBank`.

    Examples
    --------
    >>> detector = PSI(range(100), 50)
    >>> [i for i in range(400) if detector.update(37 * i % 100 + 60 * (i >= 200)).drift_detected]
    [236]
    """

    def __init__(self, reference: Any, window_n: int, **parameters: Any) -> None:
        super().__init__(BinnedBank([reference], window_n, statistic="psi", **parameters))


class JensenShannon(StreamDetector):
    """Jensen-Shannon divergence of one signal's window; parameters as for `BinnedBank`.

    Examples
    --------
    >>> detector = JensenShannon(range(100), 50)
    >>> [i for i in range(400) if detector.update(37 * i % 100 + 60 * (i >= 200)).drift_detected]
    [238]
    """

    def __init__(self, reference: Any, window_n: int, **parameters: Any) -> None:
        super().__init__(BinnedBank([reference], window_n, statistic="js", **parameters))


def _quantile_edges(ascending: Floats, bins: int) -> Floats:
    if not len(ascending):
        return np.zeros(0)
    if ascending[0] == ascending[-1]:
        return np.array([ascending[0], np.nextafter(ascending[0], np.inf)])
    return np.unique(np.quantile(ascending, np.arange(1, bins) / bins))


def _given_edges(edges: Sequence[Any], n_signals: int) -> list[Floats]:
    each = [edges] * n_signals if np.ndim(edges[0]) == 0 else list(edges)
    require("len(edges)", len(each), f"{n_signals} arrays, one a signal", holds=len(each) == n_signals)
    cuts = [np.asarray(one, dtype=np.float64) for one in each]
    for signal, one in enumerate(cuts):
        if one.ndim != 1 or not len(one) or not np.isfinite(one).all() or not (np.diff(one) > 0).all():
            raise ValueError(f"edges of signal {signal}: give 1 or more finite numbers, each above the one before")
    return cuts
