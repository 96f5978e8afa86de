"""Updates per CPU second of each detector beside river, scipy and dcor on the same work, in one run.

Run as `python -m benchmarks.detectors`. An update is one value of one signal (energy: one row) with the statistic taken
at every event; ours come in blocks of 500 rows, or of as many as the line says. The best of several rounds counts, as
other work only adds.
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
from detectors.ddm import DDMBank
from detectors.eddm import EDDMBank
from detectors.energy import EnergyBank
from detectors.hddm_a import HddmABank
from detectors.hddm_w import HddmWBank
from detectors.kswin import KswinBank
from detectors.page_hinkley import PageHinkleyBank
from detectors.rank_tests import RankBank
from detectors.registry import REGISTRY
from detectors.sliced_energy import SlicedEnergyBank
from detectors.trailing import TrailingRankBank

__all__ = ["main"]

SIGNALS = 20
BLOCK = 500
BLOCKS = 20
ROUNDS = 5
N = 1_000
TURNS = 15

Row = tuple[str, str, float, float]


def best_us(work: Callable[[], int]) -> float:
    """CPU microseconds an update, of the best round; `work` returns how many updates it made."""
    best = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        start = time.process_time()
        updates = work()
        best = min(best, (time.process_time() - start) / updates * 1e6)
    return best


def in_turns_us(works: list[Callable[[], int]]) -> list[float]:
    """The same of several works that take turns, so that what else the machine does meets all of them."""
    best = [float("inf")] * len(works)
    for work in works:
        work()
    for _ in range(TURNS):
        gc.collect()
        for at, work in enumerate(works):
            start = time.process_time()
            updates = work()
            best[at] = min(best[at], (time.process_time() - start) / updates * 1e6)
    return best


def folding(bank: Any, values: Floats, block: int) -> Callable[[], int]:
    """Work: a bank takes `values` [n, F] in blocks of rows, through the method that the service calls."""
    index = np.arange(block)

    def work() -> int:
        for start in range(0, len(values), block):
            bank.update_many(values[start : start + block], index)
        return values.size

    return work


def adwin(values: Floats) -> list[Row]:
    """ADWIN in blocks of several lengths beside river's, in turns; all windows grow alike from turn to turn."""
    from river import drift

    make: Callable[[], Any] = drift.ADWIN
    theirs, numbers = make(), values[:, 0].tolist()

    def one_by_one() -> int:
        for x in numbers:
            theirs.update(x)
        return len(numbers)

    blocks = (BLOCK, 4 * BLOCK, 20 * BLOCK)
    their_us, *our_us = in_turns_us([one_by_one, *(folding(AdwinBank(SIGNALS), values, block) for block in blocks)])
    return [
        (f"ADWIN, clock 32, {block:,} rows", "river ADWIN", us, their_us)
        for block, us in zip(blocks, our_us, strict=True)
    ]


def bank_us(bank: Any, values: Floats) -> float:
    """A bank over `values` [n, F] in blocks of rows, after a first pass that fills its windows."""
    fold = folding(bank, values, BLOCK)
    updates = len(values) if isinstance(bank, EnergyBank | SlicedEnergyBank) else values.size

    def work() -> int:
        fold()
        return updates

    work()
    return best_us(work)


def river_us(make: Callable[[], Any], values: Floats, skip: int = 0) -> float:
    """One river detector, value by value; the first `skip` values fill its window and are not timed."""
    numbers = values[:, 0].tolist()
    if skip:
        return river_filled_us(make, numbers, skip)

    def work() -> int:
        detector = make()
        for x in numbers:
            detector.update(x)
        return len(numbers)

    return best_us(work)


def river_filled_us(make: Callable[[], Any], numbers: list[float], skip: int) -> float:
    """The same with a window that is full already."""
    detector = make()
    for x in numbers[:skip]:
        detector.update(x)

    def work() -> int:
        for x in numbers[skip:]:
            detector.update(x)
        return len(numbers) - skip

    return best_us(work)


def recomputed_us(test: Callable[[Floats, Floats], Any], reference: Floats, values: Floats, times: int) -> float:
    """A two-sample function called anew for each event's window."""

    def work() -> int:
        for end in range(N, N + times):
            test(reference, values[end - N : end])
        return times

    work()
    return best_us(work)


def one_by_one(values: Floats, bits: Floats) -> list[Row]:
    """Detectors of one value after the other beside river's, on uniform values or bits of which 20 % are ones."""
    from river import drift
    from river.drift import binary

    pairs: list[tuple[str, Any, str, Callable[[], Any], Floats]] = [
        (
            "ADWIN, clock 1",
            AdwinBank(SIGNALS, clock=1),
            "river ADWIN, clock 1",
            partial(drift.ADWIN, clock=1),
            values,
        ),
        ("Page-Hinkley", PageHinkleyBank(SIGNALS), "river PageHinkley", drift.PageHinkley, values),
        ("KSWIN(100, 30)", KswinBank(SIGNALS), "river KSWIN(100, 30)", partial(drift.KSWIN, seed=1), values),
        ("DDM", DDMBank(SIGNALS), "river DDM", binary.DDM, bits),
        ("EDDM", EDDMBank(SIGNALS), "river EDDM", binary.EDDM, bits),
        ("HDDM-A", HddmABank(SIGNALS, direction="up"), "river HDDM_A", binary.HDDMA, bits),
        ("HDDM-W", HddmWBank(SIGNALS, direction="up"), "river HDDM_W", binary.HDDMW, bits),
    ]
    found = [
        (ours, theirs, bank_us(bank, stream), river_us(make, stream[: 2000 if "KSWIN" in theirs else None]))
        for ours, bank, theirs, make, stream in pairs
    ]
    return [*adwin(values), *found]


def windows(values: Floats, reference: list[Floats]) -> list[Row]:
    """A window of 1,000 against a reference of 1,000, tested at every event, beside scipy and river's KSWIN."""
    from river import drift
    from scipy import stats

    both = bank_us(RankBank(reference, N), values)
    only_ks = bank_us(RankBank(reference, N, tests=("ks",)), values)
    plan: dict[str, Any] = {"reference_n": N, "gap_n": 0, "window_n": N, "step_n": BLOCK}
    trailing = bank_us(TrailingRankBank(SIGNALS, **plan), values)
    trailing_ks = bank_us(TrailingRankBank(SIGNALS, **plan, tests=("ks",)), values)
    first, column = reference[0], values[:, 0]
    ks = recomputed_us(lambda x, y: stats.ks_2samp(x, y, method="asymp"), first, column, 100)
    cvm = recomputed_us(lambda x, y: stats.cramervonmises_2samp(x, y, method="asymptotic"), first, column, 100)
    default = river_us(partial(drift.KSWIN, seed=1), values[:2000])
    same = river_us(partial(drift.KSWIN, window_size=2 * N, stat_size=N, seed=1), values[: 2 * N + 200], skip=2 * N)
    return [
        ("KS 1000:1000", "scipy ks_2samp", only_ks, ks),
        ("KS 1000:1000", "river KSWIN(2000, 1000)", only_ks, same),
        ("KS 1000:1000", "river KSWIN(100, 30)", only_ks, default),
        ("KS + CvM 1000:1000", "scipy, both", both, ks + cvm),
        ("KS + CvM 1000:1000", "river KSWIN(2000, 1000)", both, same),
        ("KS + CvM, trailing", "scipy, both", trailing, ks + cvm),
        ("KS, trailing", "scipy ks_2samp", trailing_ks, ks),
    ]


def joint(generator: np.random.Generator) -> list[Row]:
    """Energy distance of a window of 1,000 rows from 1,000, at every event, beside dcor."""
    import dcor

    found: list[Row] = []
    for dims in (10, 20):
        points, stream = generator.normal(size=(N, dims)), generator.normal(size=(BLOCK * 6, dims))
        theirs = recomputed_us(dcor.energy_distance, points, stream, 3)
        name = f"1000:1000, {dims} dimensions"
        found.append((f"energy {name}", "dcor energy_distance", bank_us(EnergyBank(points, N), stream), theirs))
        sliced = bank_us(SlicedEnergyBank(points, N), stream)
        found.append((f"sliced energy {name}", "dcor energy_distance", sliced, theirs))
    return found


def lengths() -> list[tuple[str, float, float]]:
    """(bank, microseconds a row early in a stream, the same a million rows later; 100,000 where a row costs more)."""
    found = []
    for name, entry in REGISTRY.items():
        bank = entry.sample()
        columns = entry.columns
        rows = np.random.default_rng(3).integers(0, 2, (20 * BLOCK, columns)).astype(np.float64)
        early = bank_us(bank, rows)
        for _ in range((100 if early < 1.0 else 10) * 10_000 // len(rows)):
            for start in range(0, len(rows), BLOCK):
                bank.update_many(rows[start : start + BLOCK], np.arange(BLOCK))
        found.append((name, early, bank_us(bank, rows)))
    return found


def main() -> int:
    """Print the tables."""
    generator = np.random.default_rng(1)
    values = generator.random((BLOCK * BLOCKS, SIGNALS))
    bits = (generator.random(values.shape) < 0.2).astype(np.float64)
    reference = list(generator.random((SIGNALS, N)))
    line = "{:<34}{:>14}{:>10}   {:<24}{:>14}{:>10}{:>9}"
    print(line.format("ours", "updates/s", "us", "theirs", "updates/s", "us", "ratio"))
    for ours, theirs, our_us, their_us in one_by_one(values, bits) + windows(values, reference) + joint(generator):
        figures = f"{1e6 / our_us:,.0f}", f"{our_us:.3f}", theirs, f"{1e6 / their_us:,.0f}", f"{their_us:.2f}"
        print(line.format(ours, *figures, f"{their_us / our_us:,.1f}x"))
    print("\nmicroseconds a row, of small banks: early in a stream, and a million rows later (100,000 from 1 us on)")
    for name, early, late in lengths():
        print(f"{name:<34}{early:>10.3f}{late:>10.3f}{late / early:>9.2f}x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
