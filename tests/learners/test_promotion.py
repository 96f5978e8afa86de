"""The confidence sequence covers; promotion and roll-back happen on evidence only, at the event that completes it."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.confidence_sequence import ConfidenceSequence
from learners.promotion import Decision, LossName, Promotion, loss_of

DIFFERENCES = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), max_size=80)


def slow_log_evidence(differences: list[float], least: float, bets: list[tuple[float, float]]) -> float:
    """The mixture from all differences, by its definition: the sum over bets of weight times a product."""
    total = 0.0
    for bet, weight in bets:
        product = 1.0
        for n, difference in enumerate(differences):
            guess = sum(d / 2 for d in differences[:n]) / (n + 1)
            y = difference / 2
            cost = -math.log(1 - bet) - bet
            product *= math.exp(bet * (y - least / 2) - cost * (y - guess) ** 2)
        total += weight * product
    return math.log(total)


@settings(deadline=None)
@given(DIFFERENCES, st.floats(-0.5, 0.5))
def test_the_evidence_is_that_of_the_definition(differences: list[float], least: float) -> None:
    """Kept up to date it equals the mixture of products over all differences."""
    bets = [0.03 * (0.7 / 0.03) ** (i / 11) for i in range(12)]
    raw = [math.exp(-(((i - 6.5) / 3) ** 2) / 2) for i in range(12)]
    sequence = ConfidenceSequence()
    for difference in differences:
        sequence.add(difference)
    weights = [(bet, weight / sum(raw)) for bet, weight in zip(bets, raw, strict=True)]
    assert sequence.log_evidence(least) == pytest.approx(slow_log_evidence(differences, least, weights), abs=1e-9)


@settings(deadline=None)
@given(DIFFERENCES)
def test_bounds_hold_the_mean_and_agree_with_the_evidence(differences: list[float]) -> None:
    """The mean lies between the bounds, and the lower bound passes a value just where the evidence does."""
    sequence = ConfidenceSequence()
    for difference in differences:
        sequence.add(difference)
    low, high = sequence.bounds(0.05)
    assert low <= sequence.mean <= high
    for least in (-0.3, 0.0, 0.3):
        if abs(low - least) > 1e-9 and low > -1.0:
            assert (low > least) == (sequence.log_evidence(least) > math.log(20))


@given(st.lists(st.floats(-1.0, 1.0), max_size=300), st.floats(0.001, 0.5), st.sampled_from([1, 3, 10]))
@settings(max_examples=60, deadline=None)
def test_the_soonest_evidence_is_not_said_too_late(differences: list[float], alpha: float, step: int) -> None:
    """However the stream goes on, the evidence is not there before `soonest`; that is a multiple of the step."""
    sequence, wanted = ConfidenceSequence(), -math.log(alpha)
    for difference in differences:
        sequence.add(difference)
    n = sequence.soonest(wanted, step)
    assert n % step == 0 < n
    for further in (1.0, 0.6):
        twin = ConfidenceSequence.from_state(sequence.state())
        for _ in range(n - step):
            twin.add(further)
        assert n == step or twin.log_evidence() < wanted


def test_coverage_at_every_look() -> None:
    """Over 400 dependent streams of 1,500 differences, looked at after each, the lower bound passes the running average
    of the conditional means at level 0.1 in no more than a binomial 0.1 allows (expected: far fewer)."""
    rng = np.random.default_rng(7)
    passed = 0
    for _ in range(400):
        sequence, drift, owed = ConfidenceSequence(), 0.0, 0.0
        for n in range(1_500):
            drift = 0.95 * drift + 0.05 * rng.normal()  # the conditional mean depends on the past
            mean = float(np.clip(drift, -0.4, 0.4))
            sequence.add(1.0 if rng.uniform() < (0.5 + mean) / 2 else -1.0 if rng.uniform() < 0.5 else 0.0)
            # P(+1) = (0.5 + m) / 2, P(-1) = half of the rest.
            chance = (0.5 + mean) / 2
            owed += chance - 0.5 * (1 - chance)
            if n % 10 == 0 and sequence.log_evidence(owed / (n + 1)) > -math.log(0.1):
                passed += 1
                break
    assert passed <= 54  # 40 + 2.33 standard deviations


@pytest.mark.parametrize("difference", [1.5, -1.01, math.nan, math.inf])
def test_a_difference_beyond_one_is_refused(difference: float) -> None:
    """What is no difference of two losses is refused, and changes nothing."""
    sequence = ConfidenceSequence()
    with pytest.raises(ValueError, match="difference"):
        sequence.add(difference)
    assert sequence.state() == [0, 0.0, 0.0]


def decisions_of(promotion: Promotion, losses: list[dict[str, float]], first: int = 0) -> list[Decision]:
    """All decisions over predictions that are judged as soon as they are made."""
    scored = (promotion.score(first + n + 1, first + n, loss) for n, loss in enumerate(losses))
    return [decision for decision in scored if decision is not None]


def pair(n: int, gap: float, seed: int) -> list[dict[str, float]]:
    """Losses of two learners that disagree on 15 % and of which `new` errs less by `gap`."""
    draws = random.Random(seed)
    losses = []
    for _ in range(n):
        u = draws.random()
        better, worse = u < (0.15 + gap) / 2, (0.15 + gap) / 2 <= u < 0.15
        both = float(draws.random() < 0.2)
        losses.append(
            {"old": 1.0 if better else 0.0 if worse else both, "new": 0.0 if better else 1.0 if worse else both}
        )
    return losses


def test_no_better_challenger_is_rarely_promoted() -> None:
    """Of 150 challengers that are no better, over 3,000 labels no more than a binomial at alpha = .05 allows win."""
    won = sum(bool(decisions_of(Promotion("old", ["new"]), pair(3_000, 0.0, seed))) for seed in range(150))
    assert won <= 14


def test_a_challenger_three_points_better_wins_in_time() -> None:
    """Of 60 challengers that err 3 points less often, at least 54 are promoted within 5,000 labels."""
    won = sum(bool(decisions_of(Promotion("old", ["new"]), pair(5_000, 0.03, seed))) for seed in range(60))
    assert won >= 54


def test_a_switch_restarts_the_tests_and_at_most_one_comes_a_cooldown() -> None:
    """Where every champion errs more than the others at once, promotions still lie a cooldown apart, each with its
    evidence and a level of its own."""
    promotion = Promotion("a", ["b", "c"], cooldown=700, min_n=50)
    draws, decisions = random.Random(3), list[Decision]()
    for n in range(20_000):
        losses = {name: float(draws.random() < (0.5 if name == promotion.champion else 0.1)) for name in "abc"}
        decisions += decisions_of(promotion, [losses], first=n)
    promoted = [decision for decision in decisions if decision.action == "promoted"]
    assert len(promoted) >= 5
    assert {decision.action for decision in decisions} == {"promoted", "rolled_back"}
    switches = [decision.event for decision in decisions]
    for decision in promoted:
        assert decision.bound >= 0.0
        assert decision.n >= 50
        assert all(not 0 < decision.event - event < 700 for event in switches)
    levels = [6 * 0.05 / (math.pi**2 * decision.test**2) for decision in decisions]
    assert [decision.alpha for decision in decisions] == levels
    assert len({decision.test for decision in decisions}) == len(decisions)


def test_a_winner_that_turns_worse_is_rolled_back_at_the_label_that_completes_the_evidence() -> None:
    """The mirrored evidence passes its level with exactly that label, cooldown or not."""
    promotion = Promotion("old", ["new"], cooldown=1_000_000)
    (won,) = decisions_of(promotion, [{"old": 1.0, "new": 0.0}] * 200)
    later = [{"old": 0.0, "new": float(n % 2)} for n in range(400)]
    mirrored, wanted = ConfidenceSequence(), 0
    level = -math.log(6 * 0.05 / (math.pi**2 * 3**2))  # the third test: after the first, that of `old` and this one
    while mirrored.log_evidence() < level:
        mirrored.add(later[wanted]["new"] - later[wanted]["old"])
        wanted += 1
    (back,) = decisions_of(promotion, later, first=won.event)
    assert (back.action, back.winner, back.event, back.n) == ("rolled_back", "old", won.event + wanted, wanted)
    assert promotion.champion == "old"


def test_a_lead_of_long_ago_does_not_hide_that_it_is_lost() -> None:
    """A champion that was better for 30,000 predictions and then is worse gives way within 3,000, not after as many
    again; without renewal it would stay."""
    draws = random.Random(1)
    losses = []
    for n in range(33_000):
        chances = {"old": 0.1, "new": 0.3} if n < 30_000 else {"old": 0.3, "new": 0.1}
        losses.append({name: float(draws.random() < chance) for name, chance in chances.items()})
    (won,) = decisions_of(Promotion("old", ["new"]), losses)
    assert (won.action, won.winner) == ("promoted", "new")
    assert decisions_of(Promotion("old", ["new"], renew_n=1_000_000), losses) == []


def test_predictions_of_before_the_test_do_not_count() -> None:
    """After a switch only predictions made since then are compared, however late their labels come."""
    promotion = Promotion("old", ["new"], cooldown=0)
    promotion.promote("new", 500)
    for made in range(500):
        promotion.score(600, made, {"old": 0.0, "new": 1.0})
    assert promotion.evidence()["old"]["n"] == 0
    promotion.score(600, 500, {"old": 0.0, "new": 1.0})
    assert promotion.evidence()["old"]["n"] == 1


def test_who_gives_no_answer_is_not_compared() -> None:
    """Without the champion's loss nothing is compared; without a challenger's, only that one is not."""
    promotion = Promotion("a", ["b", "c"])
    promotion.score(1, 0, {"b": 0.0, "c": 0.0})
    promotion.score(2, 1, {"a": 1.0, "c": 0.0})
    assert {name: told["n"] for name, told in promotion.evidence().items()} == {"b": 0, "c": 1}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1_000), st.integers(0, 2_999))
def test_a_restart_at_any_point_changes_nothing(seed: int, cut: int) -> None:
    """Loaded from its state it decides the same, bit for bit."""
    losses = pair(1_500, 0.1, seed) + [{"old": x["new"], "new": x["old"]} for x in pair(1_500, 0.1, seed + 1)]
    whole, first, second = (Promotion("old", ["new"], cooldown=300) for _ in range(3))
    expected = decisions_of(whole, losses)
    decided = decisions_of(first, losses[:cut])
    second.load(first.state())
    assert decided + decisions_of(second, losses[cut:], first=cut) == expected
    assert second.state() == whole.state()


@pytest.mark.parametrize(
    ("loss", "label", "predicted", "scores", "expected"),
    [
        ("zero_one", "a", "a", None, 0.0),
        ("zero_one", "a", "b", {"b": 1.0}, 1.0),
        ("zero_one", "a", None, None, None),
        ("brier", "a", "b", {"b": 1.0}, 1.0),
        ("brier", "a", "a", {"a": 0.5, "b": 0.5}, 0.25),
        ("brier", "a", "b", None, 1.0),
        ("absolute", 3.0, 1.0, None, 0.5),
        ("absolute", 1e308, -1e308, None, 1.0),
        ("squared", 3.0, 1.0, None, 0.25),
    ],
)
def test_losses(
    loss: LossName, label: str | float, predicted: str | float | None, scores: dict[str, float] | None,
    expected: float | None,
) -> None:  # fmt: skip
    """Each loss as defined, within [0, 1], and None without an answer."""
    assert loss_of(loss, label, predicted, scores, 4.0) == expected
