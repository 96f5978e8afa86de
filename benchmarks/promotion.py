"""How often the promotion test promotes who is no better, and how soon who is three points better.

`python -m benchmarks.promotion [PAIRS]`. Null pairs: both err with the same chance given a feature that depends on its
past, independently of each other; labels of one class come ten times later than those of the other, those later than
the fixed age never count, and 5 % are lost. A promotion is looked for at every fifth label; the evidence of the first
pair is held against `learners.confidence_sequence`.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.confidence_sequence import _BETS, _COSTS, _LOG_WEIGHTS, ConfidenceSequence

Floats = NDArray[np.float64]

ALPHA = 0.05
FIRST = 6 * ALPHA / math.pi**2
NULL_N, BETTER_N, LEAD = 20_000, 5_000, 0.03
MIN_N, EVERY = 200, 5
DISAGREEMENTS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)


def won_at(differences: Floats) -> NDArray[np.int64]:
    """Per pair the labels after which the challenger is promoted, -1 if it never is; differences [labels, pairs], NaN
    where there is no label."""
    pairs = differences.shape[1]
    total, variance, n = np.zeros(pairs), np.zeros(pairs), np.zeros(pairs, dtype=np.int64)
    won, evidence = np.full(pairs, -1), np.zeros(pairs)
    weights, bets, costs = (np.array(part)[:, None] for part in (_LOG_WEIGHTS, _BETS, _COSTS))
    for at, row in enumerate(differences):
        known = ~np.isnan(row)
        half = np.where(known, 0.5 * row, 0.0)
        error = np.where(known, half - total / (n + 1), 0.0)
        variance += error * error
        total += half
        n += known
        if at % EVERY == EVERY - 1:
            logs = weights + bets * total - costs * variance
            top = logs.max(axis=0)
            evidence = top + np.log(np.exp(logs - top).sum(axis=0))
            won = np.where((won < 0) & (n >= MIN_N) & (evidence >= -math.log(FIRST)), n, won)
    _agrees(differences[:, 0], float(evidence[0]))
    return won


def _agrees(differences: Floats, evidence: float) -> None:
    sequence = ConfidenceSequence()
    for difference in differences[~np.isnan(differences)].tolist():
        sequence.add(difference)
    if abs(sequence.log_evidence() - evidence) > 1e-6 * max(1.0, abs(evidence)):
        raise AssertionError(f"the benchmark's evidence {evidence} is not the learner's {sequence.log_evidence()}")


def null_pairs(pairs: int, rng: Any) -> Floats:
    """Differences of zero-one losses of pairs that are equally good."""
    feature = np.zeros((NULL_N, pairs))
    noise = rng.normal(size=(NULL_N, pairs))
    for at in range(1, NULL_N):
        feature[at] = 0.95 * feature[at - 1] + 0.3 * noise[at]
    chance = 0.05 + 0.3 / (1 + np.exp(-2 * feature))
    wrong = [rng.uniform(size=feature.shape) < chance for _ in range(2)]
    late = rng.uniform(size=feature.shape) < 1 / (1 + np.exp(-feature))
    delay = rng.exponential(np.where(late, 2_000.0, 200.0))
    unknown = (delay > np.quantile(delay, 0.95)) | (rng.uniform(size=feature.shape) < 0.05)
    return np.where(unknown, np.nan, wrong[0].astype(float) - wrong[1])


def better_pairs(pairs: int, disagreement: float, rng: Any) -> Floats:
    """Differences of pairs that disagree that often and of which one errs three points less."""
    draw = rng.uniform(size=(BETTER_N, pairs))
    won = (disagreement + LEAD) / 2
    return np.where(draw < won, 1.0, np.where(draw < disagreement, -1.0, 0.0))


def main() -> None:
    """Print the figures."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    rng = np.random.default_rng(2026)
    n = int((won_at(null_pairs(pairs, rng)) >= 0).sum())
    print(f"{pairs} pairs equally good, {NULL_N:,} predictions: {n} ever promoted (alpha {ALPHA})")
    for disagreement in DISAGREEMENTS:
        won = won_at(better_pairs(pairs, disagreement, rng))
        share, median = (won >= 0).mean(), np.median(won[won >= 0])
        what = f"3 points better, disagreeing on {disagreement:.0%}"
        print(f"{what}: {share:.1%} promoted within {BETTER_N:,} labels, median {median:,.0f}")


if __name__ == "__main__":
    main()
