"""The domain classifier: its parts against slow twins, what it must see, and what it must leave alone."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors._boosting import BINS, auc, binned, empty_trees, grow, score
from detectors.base import CLEARED, DRIFT, Floats
from detectors.domain_classifier import DomainClassifierBank

__all__: list[str] = []


def normal_rows(seed: int, rows: int, columns: int = 6) -> Floats:
    return np.random.default_rng(seed).normal(size=(rows, columns))


def judged(window: Floats, seed: int = 0, **parameters: Any) -> tuple[DomainClassifierBank, Any]:
    """A bank over a normal reference of 800 rows after one fit on `window`."""
    reference = normal_rows(10_000 + seed, 800, window.shape[1])
    bank = DomainClassifierBank(reference, len(window), refit_every=len(window), **parameters)
    return bank, bank.update_many(window, np.arange(len(window)))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), min_size=1, max_size=30))
def test_auc_is_the_share_of_pairs_in_order(pairs: list[tuple[int, int]]) -> None:
    """AUC counts pairs (positive, other): 1 where the positive's score is higher, a half where they tie."""
    scores, truth = (np.array(part) for part in zip(*pairs, strict=True))
    ups, downs = scores[truth == 1], scores[truth == 0]
    won = [(up > down) + (up == down) / 2 for up, down in itertools.product(ups.tolist(), downs.tolist())]
    expected = sum(won) / len(won) if won else 0.5
    kernels: tuple[Any, ...] = (auc, auc.py_func)
    for kernel in kernels:
        assert kernel(scores.astype(np.float64), truth) == pytest.approx(expected, abs=1e-15)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.integers(0, 40), st.floats(-1e100, 1e100)), min_size=2, max_size=150))
def test_bins_keep_order(values: list[float]) -> None:
    """A larger value never has a lower bin, equal ones share one, and few enough values have one each."""
    rows = np.array(values, dtype=np.float64)[:, None]
    codes = np.zeros(rows.shape, dtype=np.uint8)
    binned(rows, codes)
    order = np.argsort(rows[:, 0], kind="stable")
    steps = np.diff(codes[order, 0].astype(np.int64))
    gaps = np.diff(rows[order, 0])
    assert codes.max() < BINS
    assert (steps >= 0).all()
    assert (steps[gaps == 0] == 0).all()
    if len(set(values)) <= BINS:
        assert (steps[gaps > 0] == 1).all()


def test_scores_are_sums_of_leaves_of_what_was_left() -> None:
    """Walked by hand, each tree's leaf holds 0.1 times the sum left over there, divided by its rows and five more."""
    generator = np.random.default_rng(1)
    codes = generator.integers(0, BINS, size=(120, 3)).astype(np.uint8)
    target = ((codes[:, 0] > 12) ^ (codes[:, 1] > 20)).astype(np.int64)
    trees, found = empty_trees(5), np.empty(120)
    grow(codes, target, np.arange(120), trees, 7)
    score(codes, trees, found)
    left, total = target - target.mean(), np.zeros(120)
    for column, cut, value in zip(*trees, strict=True):
        leaves = np.zeros(120, dtype=np.int64)
        for i in range(120):
            at = 0
            while at < len(column):
                at = 2 * at + (2 if codes[i, column[at]] > cut[at] else 1)
            leaves[i] = at - len(column)
        for leaf in set(leaves.tolist()):
            members = leaves == leaf
            assert value[leaf] == pytest.approx(0.1 * left[members].sum() / (members.sum() + 5), abs=1e-12)
        total += value[leaves]
        left = left - value[leaves]
    assert found == pytest.approx(total, abs=1e-12)
    assert auc(found, target) > 0.9


def test_first_split_takes_away_most_squares() -> None:
    """With one column the root's cut is the best of all cuts that leave five rows on either side."""
    generator = np.random.default_rng(2)
    codes = generator.integers(0, BINS, size=(80, 1)).astype(np.uint8)
    target = (generator.random(80) < codes[:, 0] / BINS).astype(np.int64)
    trees = empty_trees(1)
    grow(codes, target, np.arange(80), trees, 3)
    left = target - target.mean()

    def gain(cut: int) -> float:
        low = codes[:, 0] <= cut
        if min(low.sum(), (~low).sum()) < 5:
            return -math.inf
        return float(left[low].sum() ** 2 / (low.sum() + 5) + left[~low].sum() ** 2 / ((~low).sum() + 5))

    assert gain(int(trees.cut[0, 0])) == pytest.approx(max(gain(cut) for cut in range(BINS)), rel=1e-12)


@pytest.mark.parametrize("change", ["mean", "spread", "dependence", "sign"])
def test_changes_of_all_kinds_are_found_and_named(change: str) -> None:
    """A shifted mean, a doubled spread, a dependence and a sign rule at unchanged marginals; importances name them."""
    for seed in range(5):
        window = normal_rows(seed, 500)
        if change == "mean":
            window[:, 2] += 1.0
        elif change == "spread":
            window[:, 2] *= 2.0
        elif change == "dependence":
            window[:, 3] = 0.8 * window[:, 2] + 0.6 * window[:, 3]
        else:
            window[:, 3] = np.abs(window[:, 3]) * np.sign(window[:, 2])
        bank, result = judged(window, seed, min_effect=0.05)
        assert [alarm.status for alarm in result.alarms] == [DRIFT]
        expected = {"mean": {2}, "spread": {2}, "dependence": {2, 3}, "sign": {2, 3}}[change]
        ranked = np.argsort(-bank.importances())
        assert set(ranked[: len(expected)].tolist()) == expected


def test_no_change_is_quiet_and_near_a_half() -> None:
    """Over 20 seeds and 4 fits each no alarm, AUC 0.5 on average, and no importance that counts."""
    aucs = []
    for seed in range(20):
        bank = DomainClassifierBank(normal_rows(seed, 600), 300, refit_every=300, min_effect=0.0, rounds=30)
        result = bank.update_many(normal_rows(100 + seed, 1200), np.arange(1200))
        assert result.alarms == []
        assert np.abs(bank.importances()).max() < 0.08
        aucs += result.statistic[299::300, 0].tolist()
    assert len(aucs) == 80
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.015)


def test_threshold_is_the_rank_sums() -> None:
    """0.5 + z sqrt((n + m + 2) / (6 n m share)): the spread of one half's Mann-Whitney AUC, alpha = 0.025 in tables."""
    reference = normal_rows(1, 400)
    expected = 0.5 + 1.959963985 * math.sqrt(602 / (6 * 400 * 200))
    assert DomainClassifierBank(reference, 200, alpha=0.025).threshold == pytest.approx(expected, rel=1e-9)
    widened = DomainClassifierBank(reference, 200, alpha=0.025, effective_share=0.25).threshold
    assert widened - 0.5 == pytest.approx(2 * (expected - 0.5), rel=1e-9)


def test_columns_of_a_group_move_together() -> None:
    """A category that changed is one group: its columns tell the same, yet together they are missed."""
    generator = np.random.default_rng(5)

    def rows(count: int, shares: list[float]) -> Floats:
        one_hot = np.eye(3)[generator.choice(3, count, p=shares)] / math.sqrt(2)
        return np.column_stack([generator.normal(size=count), one_hot, generator.normal(size=count)])

    reference, window = rows(600, [0.6, 0.3, 0.1]), rows(300, [0.1, 0.3, 0.6])
    bank = DomainClassifierBank(reference, 300, groups=[[0], [1, 2, 3]], refit_every=300)
    assert np.isnan(bank.importances()).all()
    bank.update_many(window, np.arange(300))
    numeric, category = bank.importances()
    assert category > 0.1 > 2 * abs(numeric)
    again = DomainClassifierBank.from_state(bank.state())
    assert again.importances().tolist() == [numeric, category]


def test_onset_is_where_scores_rise_and_alarm_clears() -> None:
    """The point is within 40 rows of the change, inside the window; an alarm ends when rows are as before."""
    rows = normal_rows(6, 1500)
    rows[700:1000, 1] += 2.0
    bank = DomainClassifierBank(normal_rows(7, 800), 400, refit_every=50)
    opened, cleared = bank.update_many(rows, np.arange(1500) + 5000).alarms
    assert (opened.status, cleared.status) == (DRIFT, CLEARED)
    assert abs(opened.onset - 5700) <= 40
    assert opened.onset_low == 5000 + opened.row - 399
    assert opened.onset_high == 5000 + opened.row
    assert opened.effect == pytest.approx(opened.statistic - 0.5)


def test_fits_come_every_so_many_rows_taken() -> None:
    """The statistic is NaN until the window is full, then changes at each `refit_every`-th row that was taken."""
    rows = normal_rows(8, 400)
    rows[::2] = np.where(np.arange(200)[:, None] % 2, np.nan, 1e200)
    result = DomainClassifierBank(normal_rows(9, 300), 60, refit_every=40).update_many(rows, np.arange(400))
    taken = result.statistic[1::2, 0]
    assert np.isnan(taken[:79]).all()
    assert (np.flatnonzero(np.diff(taken[79:])) + 81).tolist() == [120, 160, 200]
    assert np.array_equal(result.statistic[2::2, 0], taken[:-1], equal_nan=True)


def test_large_samples_are_thinned_and_the_newest_row_counts() -> None:
    """More rows than `sample_n` change neither the cost nor what is seen; the threshold is that of the rows used."""
    window = normal_rows(10, 1000)
    window[:, 0] += 1.0
    bank, result = judged(window, sample_n=200)
    assert [alarm.status for alarm in result.alarms] == [DRIFT]
    assert bank.threshold == pytest.approx(0.5 + 3.719016485 * math.sqrt(402 / (6 * 200 * 200)), rel=1e-9)
    assert len(bank._work.rows) == 400
    assert np.array_equal(bank._work.rows[-1], window[-1])


def test_neighbours_in_one_half_do_not_give_rows_away() -> None:
    """Where each row comes five times the copies tell; with a half of five rows in sequence they do not."""
    scores = {}
    for fold_rows in (1, 5):
        aucs = []
        for seed in range(6):
            reference, window = (np.repeat(normal_rows(seed + at, 80, 3), 5, axis=0) for at in (0, 50))
            bank = DomainClassifierBank(reference, 400, refit_every=400, fold_rows=fold_rows)
            aucs.append(bank.update_many(window, np.arange(400)).statistic[-1, 0])
        scores[fold_rows] = np.mean(aucs)
    assert scores[1] > 0.7
    assert scores[5] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("window_n", 3), ("refit_every", 0), ("alpha", 0.5), ("min_effect", 0.6), ("rounds", 0), ("sample_n", 3),
     ("fold_rows", 6), ("effective_share", 0.0)],
)  # fmt: skip
def test_parameter_out_of_range_is_named(name: str, value: float) -> None:
    """A parameter out of its range is the caller's mistake; the error names it and its value."""
    parameters: dict[str, Any] = {"window_n": 10, name: value}
    with pytest.raises(ValueError, match=f"{name} = {value}; give"):
        DomainClassifierBank(np.zeros((10, 2)), **parameters)


@pytest.mark.parametrize("groups", [[], [[]], [[0], [0, 1]], [[2]], [[-1]]])
def test_groups_that_do_not_fit_are_refused(groups: list[list[int]]) -> None:
    """Empty groups, a column in two of them, or a column that is not there."""
    with pytest.raises(ValueError, match=r"groups = .*; give lists of columns from 0 to 1"):
        DomainClassifierBank(np.zeros((10, 2)), 10, groups=groups)
