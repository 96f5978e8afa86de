"""Updates per CPU second of each detector beside river, scipy and dcor on the same work, in one run.

Run as `python -m benchmarks.detectors`. An update is one value of one signal (energy: one row) with the statistic taken
at every event; ours come in blocks of 500 rows. The best of several rounds counts, as other work only adds.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from detectors.adwin import AdwinBank
from detectors.base import Floats
from detectors.energy import EnergyBank
from detectors.page_hinkley import PageHinkleyBank
from detectors.rank_tests import RankBank
from detectors.trailing import TrailingRankBank

__all__ = ["main"]

SIGNALS = 20
BLOCK = 500
BLOCKS = 20
ROUNDS = 5
N = 1_000


def best_us(work: Callable[[], int]) -> float:
    """CPU microseconds an update, of the best round; `work` returns how many updates it made."""
    best = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        start = time.process_time()
        updates = work()
        best = min(best, (time.process_time() - start) / updates * 1e6)
    return best


def bank_us(bank: Any, values: Floats) -> float:
    """A bank over `values` [n, F] in blocks, after a first pass that fills its windows."""
    index = np.arange(BLOCK)
    updates = len(values) * (1 if isinstance(bank, EnergyBank) else values.shape[1])

    def work() -> int:
        for start in range(0, len(values), BLOCK):
            bank.update_many(values[start : start + BLOCK], index)
        return updates

    work()
    return best_us(work)


def river_us(make: Callable[[], Any], values: Floats) -> float:
    """One river detector, value by value."""
    numbers = values[:, 0].tolist()

    def work() -> int:
        detector = make()
        for x in numbers:
            detector.update(x)
        return len(numbers)

    return best_us(work)


def recomputed_us(test: Callable[[Floats, Floats], Any], reference: Floats, values: Floats, times: int) -> float:
    """A two-sample function called anew for each event's window."""

    def work() -> int:
        for end in range(N, N + times):
            test(reference, values[end - N : end])
        return times

    work()
    return best_us(work)


def rows() -> list[tuple[str, str, float, float]]:
    """(ours, theirs, our microseconds an update, theirs)."""
    import dcor
    from river import drift
    from scipy import stats

    generator = np.random.default_rng(1)
    values = generator.random((BLOCK * BLOCKS, SIGNALS))
    reference = list(generator.random((SIGNALS, N)))
    both = bank_us(RankBank(reference, N), values)
    only_ks = bank_us(RankBank(reference, N, tests=("ks",)), values)
    trailing = bank_us(TrailingRankBank(SIGNALS, reference_n=N, gap_n=0, window_n=N, step_n=BLOCK), values)
    first, column = reference[0], values[:, 0]
    ks = recomputed_us(lambda x, y: stats.ks_2samp(x, y, method="asymp"), first, column, 100)
    cvm = recomputed_us(lambda x, y: stats.cramervonmises_2samp(x, y, method="asymptotic"), first, column, 100)
    found = [
        ("ADWIN, clock 32", "river ADWIN", bank_us(AdwinBank(SIGNALS), values), river_us(drift.ADWIN, values)),
        (
            "ADWIN, clock 1",
            "river ADWIN, clock 1",
            bank_us(AdwinBank(SIGNALS, clock=1), values),
            river_us(partial(drift.ADWIN, clock=1), values),
        ),
        (
            "Page-Hinkley",
            "river PageHinkley",
            bank_us(PageHinkleyBank(SIGNALS), values),
            river_us(drift.PageHinkley, values),
        ),
        ("KS 1000:1000", "river KSWIN(100, 30)", only_ks, river_us(partial(drift.KSWIN, seed=1), values[:2000])),
        ("KS 1000:1000", "scipy ks_2samp", only_ks, ks),
        ("KS + CvM 1000:1000", "scipy, both", both, ks + cvm),
        ("KS + CvM, trailing", "scipy, both", trailing, ks + cvm),
    ]
    for dims in (10, 20):
        points, stream = generator.normal(size=(N, dims)), generator.normal(size=(BLOCK * 6, dims))
        theirs = recomputed_us(dcor.energy_distance, points, stream, 3)
        ours = bank_us(EnergyBank(points, N), stream)
        found.append((f"energy 1000:1000, {dims} dimensions", "dcor energy_distance", ours, theirs))
    return found


def main() -> int:
    """Print the table."""
    line = "{:<34}{:>14}{:>10}   {:<24}{:>14}{:>10}{:>9}"
    print(line.format("ours", "updates/s", "us", "theirs", "updates/s", "us", "ratio"))
    for ours, theirs, our_us, their_us in rows():
        figures = f"{1e6 / our_us:,.0f}", f"{our_us:.3f}", theirs, f"{1e6 / their_us:,.0f}", f"{their_us:.2f}"
        print(line.format(ours, *figures, f"{their_us / our_us:,.1f}x"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
