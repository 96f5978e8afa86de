"""The rank tests against a trailing reference: the values that end some way before the window, renewed at fixed counts.

For signals with seasons or slow trends, where the first values are no fair reference for later ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from detectors._rank_fold import fold
from detectors._rank_layout import empty_places, empty_prefixes, empty_ring
from detectors._rank_places import SEEN, places_of, plant, prefixes_of, resume, ring_of
from detectors.base import Domain, Floats, Ints, State, checked_block, require, restored
from detectors.rank_tests import (
    RING_STATE,
    RankResult,
    RankTest,
    rank_result,
    rank_rule,
    rank_thresholds,
)

__all__ = ["TrailingRankBank"]


class TrailingRankBank:
    """KS and CvM of F signals' newest values against values of their own past.

    Parameters
    ----------
    n_signals : number of signals, 1 or more
    reference_n, gap_n, window_n : the reference is the `reference_n` values that end `gap_n` before the newest
        `window_n`, at the time of its renewal
    step_n : values of a signal between renewals; meanwhile the window moves on and the gap grows by up to `step_n`
    tests, test_every, alpha, min_effect, clear_ratio, n_effective : as for `RankBank`

    Notes
    -----
    All counts are a signal's own values, missing ones left out, so that neither the cut of batches nor another
    signal's gaps matter. Until reference, gap and window are full once, statistics are NaN and there is no alarm. An
    open alarm outlives a renewal and clears by the usual rule: a drift that lasts becomes the reference in time, and
    its alarm then clears. Cost: as for `RankBank`, and a sort of the reference per renewal.
    """

    takes: ClassVar[frozenset[Domain]] = frozenset({"unit", "real"})

    def __init__(  # sizes: the plan of the reference and the alarm rule, each with its own name
        self,
        n_signals: int,
        *,
        reference_n: int,
        gap_n: int,
        window_n: int,
        step_n: int,
        tests: Sequence[RankTest] = ("ks", "cvm"),
        test_every: int = 1,
        alpha: float = 1e-6,
        min_effect: float = 0.1,
        clear_ratio: float = 0.8,
        n_effective: Any = None,
    ) -> None:
        require("n_signals", n_signals, "1 or more", holds=n_signals >= 1)
        require("reference_n", reference_n, "2 or more", holds=reference_n >= 2)
        require("gap_n", gap_n, "0 or more", holds=gap_n >= 0)
        require("step_n", step_n, "1 or more", holds=step_n >= 1)
        self._rule = rank_rule(tests, test_every, min_effect=min_effect, clear_ratio=clear_ratio)
        counts = np.full(n_signals, reference_n)
        self.thresholds = rank_thresholds(counts, window_n, alpha=alpha, n_effective=n_effective)
        self.n_signals, self.window_n = n_signals, window_n
        self.gap_n, self.step_n = gap_n, step_n
        self._ring = empty_ring(n_signals, window_n)
        self._places = empty_places(n_signals, reference_n)
        self._prefixes = empty_prefixes(n_signals, reference_n)
        self._reference = np.zeros((n_signals, reference_n))
        self._history = np.zeros((n_signals, reference_n + gap_n + window_n))

    def update_many(self, values: Floats, index: Ints) -> RankResult:
        """Fold rows [n, F] (NaN: that signal skips the row); `index` [n] gives their positions."""
        block, positions = checked_block(values, index, self.n_signals)
        columns = np.ascontiguousarray(block.T)
        statistic = np.empty((3, *columns.shape))
        whole, real = np.empty((2 * block.size, 9), dtype=np.int64), np.empty((2 * block.size, 3))
        count = fold(
            columns, positions, self._places, self._prefixes, self._ring, self._rule, self.thresholds,
            self._history, self._reference, self.step_n, statistic, whole, real,
        )  # fmt: skip
        return rank_result(self._rule, self.thresholds, statistic, whole[:count], real[:count])

    def _arrays(self) -> dict[str, Any]:
        ring = {name: getattr(self._ring, name) for name in RING_STATE}
        return {**ring, "reference": self._reference, "history": self._history, "thresholds": self.thresholds}

    def state(self) -> State:
        """Plan, rule, references, history and windows, copied; sums are rebuilt from them."""
        sizes = {
            "n_signals": self.n_signals,
            "reference_n": self._reference.shape[1],
            "gap_n": self.gap_n,
            "window_n": self.window_n,
            "step_n": self.step_n,
        }
        return {**sizes, **self._rule._asdict(), **{name: array.copy() for name, array in self._arrays().items()}}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TrailingRankBank:
        """The bank that gave `state`."""
        both: tuple[RankTest, RankTest] = ("ks", "cvm")
        tests = [test for test in both if state[test]]
        bank = cls(
            int(state["n_signals"]), reference_n=int(state["reference_n"]), gap_n=int(state["gap_n"]),
            window_n=int(state["window_n"]), step_n=int(state["step_n"]), tests=tests,
            test_every=int(state["test_every"]), min_effect=float(state["min_effect"]),
            clear_ratio=float(state["clear_ratio"]),
        )  # fmt: skip
        restored(state, bank._arrays())
        for f in range(bank.n_signals):
            places, ring = places_of(bank._places, f), ring_of(bank._ring, f)
            if ring.flags[SEEN] >= bank._history.shape[1]:
                plant(places, bank._reference[f], bank.window_n)
                resume(places, prefixes_of(bank._prefixes, f), ring)
        return bank

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held; constant."""
        arrays = (*self._places, *self._prefixes, *self._ring, self._reference, self._history, self.thresholds)
        return sum(array.nbytes for array in arrays)
