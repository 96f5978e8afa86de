"""Slow, obvious twins of the detectors: every value is kept and every sum is taken anew from the definition."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["SlowAdwin", "slow_cvm", "slow_energy", "slow_ks", "slow_page_hinkley"]


class SlowAdwin:
    """ADWIN2 over a list of all values of the window; the bucket sizes say which splits are tried."""

    def __init__(self, delta: float = 0.002, clock: int = 32, max_buckets: int = 5, least: int = 5, grace: int = 10):
        self.delta, self.clock, self.max_buckets, self.least, self.grace = delta, clock, max_buckets, least, grace
        self.window: list[float] = []
        self.sizes: list[int] = []
        self.seen = 0

    def update(self, x: float) -> bool:
        """Take a value; whether the window was cut."""
        self.window.append(x)
        self.sizes.append(1)
        self.merge()
        self.seen += 1
        if self.seen % self.clock or len(self.window) <= self.grace:
            return False
        cut = False
        while self.differs():
            cut = True
            del self.window[: self.sizes.pop(0)]
        return cut

    def merge(self) -> None:
        """Where more than `max_buckets` have one size, the two oldest become one."""
        for size in (2**level for level in range(64)):
            same = [place for place, held in enumerate(self.sizes) if held == size]
            if len(same) <= self.max_buckets:
                return
            self.sizes[same[0] : same[0] + 2] = [2 * size]

    def differs(self) -> bool:
        """Whether any split between buckets passes the test of the paper."""
        n = len(self.window)
        mean = math.fsum(self.window) / n
        variance = math.fsum((x - mean) ** 2 for x in self.window) / n
        confidence = math.log(2 * math.log(n) / self.delta)
        older = 0
        for size in self.sizes[:-1]:
            older += size
            newer = n - older
            if older < self.least or newer < self.least:
                continue
            m = 1 / (older - self.least + 1) + 1 / (newer - self.least + 1)
            epsilon = math.sqrt(2 * m * variance * confidence) + 2 / 3 * confidence * m
            gap = math.fsum(self.window[:older]) / older - math.fsum(self.window[older:]) / newer
            if abs(gap) > epsilon:
                return True
        return False


def slow_page_hinkley(
    values: Sequence[float], *, threshold: float, delta: float, alpha: float, least: int
) -> list[int]:
    """Alarm positions of the two-sided test; the mean is taken anew from all values since the last alarm."""
    found: list[int] = []
    start = 0
    while start < len(values):
        up, down, ups, downs = 0.0, 0.0, [math.inf], [-math.inf]
        for at in range(start, len(values)):
            part = values[start : at + 1]
            gap = values[at] - math.fsum(part) / len(part)
            up, down = alpha * up + gap - delta, alpha * down + gap + delta
            ups.append(up)
            downs.append(down)
            if len(part) >= least and (up - min(ups) > threshold or max(downs) - down > threshold):
                found.append(at)
                start = at + 1
                break
        else:
            break
    return found


def slow_ks(x: Sequence[float], y: Sequence[float]) -> float:
    """Largest difference of the two empirical distribution functions."""
    return max(abs(sum(v <= t for v in x) * len(y) - sum(v <= t for v in y) * len(x)) for t in (*x, *y)) / (
        len(x) * len(y)
    )


def slow_cvm(x: Sequence[float], y: Sequence[float]) -> float:
    """Cramér-von Mises criterion by Anderson's (1962) sum over mid-ranks in the joint sample."""
    n, m = len(x), len(y)
    both = (*x, *y)

    def squares(part: Sequence[float]) -> float:
        ranks = sorted(sum(v < t for v in both) + (sum(v == t for v in both) + 1) / 2 for t in part)
        return math.fsum((rank - place) ** 2 for place, rank in enumerate(ranks, 1))

    return (n * squares(x) + m * squares(y)) / (n * m * (n + m)) - (4 * n * m - 1) / (6 * (n + m))


def slow_energy(x: Sequence[Sequence[float]], y: Sequence[Sequence[float]]) -> float:
    """2 E|X-Y| - E|X-X'| - E|Y-Y'| over all pairs."""

    def mean(one: Sequence[Sequence[float]], two: Sequence[Sequence[float]]) -> float:
        return math.fsum(math.dist(a, b) for a in one for b in two) / (len(one) * len(two))

    return 2 * mean(x, y) - mean(x, x) - mean(y, y)
