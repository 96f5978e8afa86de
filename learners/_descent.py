"""How the linear models descend: rate, schedule, regularisation, loss; loads no compiler."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners._checks import in_range

__all__ = ["LOSSES", "SCHEDULES", "Rule", "Work", "rule_of", "work_for"]

LOSSES = ("squared", "absolute", "huber")  # in the order of the kernels' codes
SCHEDULES = ("constant", "inverse_scaling")


class Rule(NamedTuple):
    """What a kernel of descent goes by; `power` 0 is a constant rate."""

    growth: float
    rate: float
    power: float
    l2: float
    cap: float
    loss: int
    bend: float


class Work(NamedTuple):
    """Room for one row: which weights it uses, with what input, and the shares of the classes."""

    places: NDArray[np.int64]
    values: NDArray[np.float64]
    shares: NDArray[np.float64]


def work_for(columns: int, classes: int) -> Work:
    """Room for rows of that width."""
    return Work(np.zeros(columns + 1, dtype=np.int64), np.zeros(columns + 1), np.zeros(classes))


def rule_of(config: dict[str, Any]) -> Rule:
    """The rule that the parameters of a learner give.

    Raises
    ------
    ValueError
        one of them is out of range.
    """
    rate, power, l2 = config["learning_rate"], config["power"], config["l2"]
    cap, schedule = config["gradient_cap"], config["schedule"]
    loss, bend = config.get("loss", LOSSES[0]), config.get("huber_bend", 1.0)
    in_range("learning_rate", rate, "in (0, 1]", holds=0.0 < rate <= 1.0)
    in_range("schedule", schedule, " or ".join(map(repr, SCHEDULES)), holds=schedule in SCHEDULES)
    in_range("power", power, "in (0, 1]", holds=0.0 < power <= 1.0)
    in_range("l2", l2, "in [0, 1]", holds=0.0 <= l2 <= 1.0)
    in_range("gradient_cap", cap, "a finite number above 0", holds=0.0 < cap < math.inf)
    in_range("loss", loss, " or ".join(map(repr, LOSSES)), holds=loss in LOSSES)
    in_range("huber_bend", bend, "a finite number above 0", holds=0.0 < bend < math.inf)
    return Rule(
        growth=1.0 / config["decay"], rate=float(rate), power=float(power) if schedule == "inverse_scaling" else 0.0,
        l2=float(l2), cap=float(cap), loss=LOSSES.index(loss), bend=float(bend),
    )  # fmt: skip
