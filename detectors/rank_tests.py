"""Kolmogorov-Smirnov and Cramér-von Mises tests of a sliding window against a fixed reference, exact at every event.

A value changes sums over the places between it and the one that leaves, which are kept in blocks (`_rank_fold`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from detectors._rank_fold import fold
from detectors._rank_layout import Rule, empty_places, empty_prefixes, empty_ring
from detectors._rank_places import places_of, plant, prefixes_of, resume, ring_of
from detectors.base import (
    DRIFT,
    Alarm,
    BlockResult,
    Domain,
    Floats,
    Ints,
    State,
    alarms_from,
    checked_block,
    require,
    restored,
)
from detectors.null_laws import cvm_critical, ks_critical

__all__ = [
    "RING_STATE",
    "CramerVonMises",
    "KolmogorovSmirnov",
    "RankBank",
    "RankResult",
    "RankTest",
    "rank_result",
    "rank_rule",
    "rank_thresholds",
]

RankTest = Literal["ks", "cvm"]
_TESTS: tuple[RankTest, ...] = ("ks", "cvm")
# What the ring is rebuilt from; places and sums follow from it and the reference.
RING_STATE = ("values", "positions", "flags", "newest")


@dataclass(frozen=True, slots=True)
class RankResult:
    """The results of both tests; None where a test is not run."""

    ks: BlockResult | None
    cvm: BlockResult | None


class RankBank:
    """KS and CvM of F signals' newest values against a reference each.

    Parameters
    ----------
    reference : one array a signal, in any order, NaN dropped; an empty one makes its signal untestable
    window_n : values in the window, 2 or more; a test needs a full one
    tests : which of `ks`, `cvm` to run
    test_every : test after every so-many-th value of a signal; the window slides at each
    alpha : in (0, 1), nominal level of one look at independent data
    min_effect : in [0, 1), an alarm needs this effect too: D for KS; for CvM sqrt(T (n + m) / (n m)), the root mean
        square difference of the two distribution functions
    clear_ratio : in (0, 1], an alarm clears where statistic or effect falls under this part of what opened it
    n_effective : [F], each in (0, 1]: the share of a signal's values that count as independent (`effective_n` over
        the count); default 1. It enters both sample sizes of the thresholds

    Notes
    -----
    D equals `scipy.stats.ks_2samp(...).statistic`, T `scipy.stats.cramervonmises_2samp(...).statistic`, ties
    included: both are one division of exact integers. T with ties grows with the samples even where they agree, so the
    part that ties alone make is added to its threshold (0 without ties, which leaves `cvm_critical`) and taken out of
    its effect: the alarm rule judges the criterion over mid-distribution functions.

    An alarm's direction is the sign of the largest difference (1: the window's values are the higher ones). Its onset
    interval is the window; the point in it is the split after which the ranks differ most from the reference's.

    Cost of a value: a search for its place, a walk over two blocks of 64 places and over the n / 32 blocks, all of it
    as vectors, once for KS and twice for CvM; for CvM also a scan of the window where the hash of the value or of the
    leaving one is not its alone, to count ties. Memory: about 75 bytes for each value of reference and window.

    References
    ----------
    Anderson (1962), On the distribution of the two-sample Cramér-von Mises criterion, doi:10.1214/aoms/1177704477
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"unit", "real"})

    def __init__(  # sizes: all are parts of one alarm rule, each with a default
        self,
        reference: Sequence[Any],
        window_n: int,
        *,
        tests: Sequence[RankTest] = _TESTS,
        test_every: int = 1,
        alpha: float = 1e-6,
        min_effect: float = 0.1,
        clear_ratio: float = 0.8,
        n_effective: Any = None,
    ) -> None:
        self._rule = rank_rule(tests, test_every, min_effect=min_effect, clear_ratio=clear_ratio)
        self._reference = [_ascending(part, f) for f, part in enumerate(reference)]
        require("len(reference)", len(self._reference), "1 array or more", holds=len(self._reference) >= 1)
        counts = np.array([len(part) for part in self._reference])
        self.thresholds = rank_thresholds(counts, window_n, alpha=alpha, n_effective=n_effective)
        self.n_signals, self.window_n = len(self._reference), window_n
        self._ring = empty_ring(self.n_signals, window_n)
        self._places = empty_places(self.n_signals, int(counts.max()))
        self._prefixes = empty_prefixes(self.n_signals, int(counts.max()))
        self._none = np.zeros((self.n_signals, 0))  # no history, no reference to renew
        for f, part in enumerate(self._reference):
            plant(places_of(self._places, f), part, self.window_n)

    def update_many(self, values: Floats, index: Ints) -> RankResult:
        """Fold rows [n, F] (NaN: that signal skips the row); `index` [n] gives their positions."""
        block, positions = checked_block(values, index, self.n_signals)
        columns = np.ascontiguousarray(block.T)
        statistic = np.empty((3, *columns.shape))
        whole, real = np.empty((2 * block.size, 9), dtype=np.int64), np.empty((2 * block.size, 3))
        count = fold(
            columns, positions, self._places, self._prefixes, self._ring, self._rule, self.thresholds,
            self._none, self._none, 0, statistic, whole, real,
        )  # fmt: skip
        return rank_result(self._rule, self.thresholds, statistic, whole[:count], real[:count])

    def state(self) -> State:
        """Rule, thresholds, reference and window, copied; sums are rebuilt from them."""
        ring = {name: getattr(self._ring, name).copy() for name in RING_STATE}
        lengths = np.array([len(part) for part in self._reference], dtype=np.int64)
        return {
            "window_n": self.window_n,
            "lengths": lengths,
            "reference": np.concatenate(self._reference),
            "thresholds": self.thresholds.copy(),
            **self._rule._asdict(),
            **ring,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RankBank:
        """The bank that gave `state`."""
        parts = np.split(np.asarray(state["reference"], dtype=np.float64), np.cumsum(state["lengths"])[:-1])
        bank = cls(
            parts, int(state["window_n"]), tests=[test for test in _TESTS if state[test]],
            test_every=int(state["test_every"]), min_effect=float(state["min_effect"]),
            clear_ratio=float(state["clear_ratio"]),
        )  # fmt: skip
        restored(state, {name: getattr(bank._ring, name) for name in RING_STATE} | {"thresholds": bank.thresholds})
        for f in range(bank.n_signals):
            resume(places_of(bank._places, f), prefixes_of(bank._prefixes, f), ring_of(bank._ring, f))
        return bank

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held; constant."""
        held = (self._places, self._prefixes, self._ring, self._reference, (self.thresholds,))
        return sum(array.nbytes for arrays in held for array in arrays)


class _SingleRankTest:
    """One signal, one test, river's interface."""

    _test: RankTest

    def __init__(self, reference: Any, window_n: int, **parameters: Any) -> None:
        self.bank = RankBank([reference], window_n, tests=(self._test,), **parameters)
        self.drift_detected = False
        self.alarms: list[Alarm] = []
        self.statistic = float("nan")
        self._seen = 0

    def update(self, x: float) -> Any:
        """Take one value; NaN counts as missing."""
        result = self.bank.update_many(np.array([[x]]), np.array([self._seen]))
        self._seen += 1
        for part in (result.ks, result.cvm):
            if part is not None:
                self.alarms = part.alarms
                self.statistic = float(part.statistic[0, 0])
        self.drift_detected = any(alarm.status == DRIFT for alarm in self.alarms)
        return self

    @property
    def warning_detected(self) -> bool:
        """Never: a level test has no warning zone of its own."""
        return False

    @property
    def threshold(self) -> float:
        """What `statistic` is compared with."""
        return float(self.bank.thresholds[0, _TESTS.index(self._test)])


class KolmogorovSmirnov(_SingleRankTest):
    """Kolmogorov-Smirnov distance of one signal's window to a reference; parameters as for `RankBank`.

    Examples
    --------
    >>> detector = KolmogorovSmirnov(range(100), 50)
    >>> [i for i in range(400) if detector.update(37 * i % 100 + 60 * (i >= 200)).drift_detected]
    [236]
    """

    _test = "ks"


class CramerVonMises(_SingleRankTest):
    """Cramér-von Mises criterion of one signal's window against a reference; parameters as for `RankBank`."""

    _test = "cvm"


def rank_rule(tests: Sequence[RankTest], test_every: int, *, min_effect: float, clear_ratio: float) -> Rule:
    """The checked rule of a rank test."""
    if not tests or set(tests) - set(_TESTS):
        raise ValueError(f"tests = {tuple(tests)!r}; give one or both of 'ks', 'cvm'")
    require("test_every", test_every, "1 or more", holds=test_every >= 1)
    require("min_effect", min_effect, "a number in [0, 1)", holds=0 <= min_effect < 1)
    require("clear_ratio", clear_ratio, "a number in (0, 1]", holds=0 < clear_ratio <= 1)
    return Rule(test_every, min_effect, clear_ratio, int("ks" in tests), int("cvm" in tests))


def rank_thresholds(counts: NDArray[Any], window_n: int, *, alpha: float, n_effective: Any) -> Floats:
    """Critical values [F, 2] of KS and CvM for references of `counts` values; infinite where there are none.

    A share of independent values below 1 makes both samples that much smaller, which scales D by its root and T by it.
    """
    require("window_n", window_n, "2 or more", holds=window_n >= 2)
    require("alpha", alpha, "a number in (0, 1)", holds=0 < alpha < 1)
    share = np.broadcast_to(np.asarray(1.0 if n_effective is None else n_effective, dtype=np.float64), counts.shape)
    usable = bool(((share > 0) & (share <= 1)).all())
    require("n_effective", float(np.min(share)), "shares in (0, 1], effective number over count", holds=usable)
    for n in map(int, counts):
        # The largest integer in either statistic: see `cvm_ratio`.
        largest = 24 * n**2 * window_n**2 + n**4 + window_n**4
        require("len(reference)", n, f"fewer values: exact sums with window_n = {window_n} would pass 2^63",
                holds=largest < 2**63)  # fmt: skip
    known = {n: (ks_critical(alpha, n, window_n), cvm_critical(alpha, n, window_n)) for n in set(counts.tolist()) if n}
    none = (np.inf, np.inf)
    return np.array(
        [
            (known.get(n, none)[0] / s**0.5, known.get(n, none)[1] / s)
            for n, s in zip(counts.tolist(), share, strict=True)
        ]
    )


def rank_result(rule: Rule, thresholds: Floats, statistic: Floats, whole: Ints, real: Floats) -> RankResult:
    """Sort a kernel's alarms by test."""
    parts: list[BlockResult | None] = []
    for test in range(2):
        mine = whole[:, 8] == test
        # Where there is no statistic yet the part of ties is NaN too, and so becomes the threshold.
        threshold = thresholds[:, test, None] + (statistic[2] if test else 0.0 * statistic[0])
        parts.append(BlockResult(alarms_from(whole[mine], real[mine]), statistic[test].T, threshold.T))
    return RankResult(parts[0] if rule.ks else None, parts[1] if rule.cvm else None)


def _ascending(values: Any, signal: int) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or np.isinf(array).any():
        raise ValueError(f"reference of signal {signal}: give a list of finite numbers (NaN is dropped)")
    return np.sort(array[~np.isnan(array)] + 0.0)  # one zero only, as in the kernel
