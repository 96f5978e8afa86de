"""Adaptation policies by the name that a configuration gives, and the parameters that each of them uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from learners.adaptation import AdaptationPolicy, WarmReplacement
from learners.base import Learner
from learners.local_repair import LocalRepair, Reweight
from learners.periodic import Periodic
from learners.recurring import RecurringConcepts
from learners.reset import Reset

__all__ = ["PARAMETERS", "build_policy"]

_WARM = frozenset({"alpha", "cooldown", "min_warm"})
PARAMETERS: dict[str, frozenset[str]] = {
    "auto": _WARM,
    "none": frozenset(),
    "warm_replacement": _WARM,
    "reset": frozenset({"cooldown"}),
    "periodic": frozenset({"alpha", "period", "min_warm"}),
    "local_repair": _WARM,
    "reweight": _WARM | {"keep"},
    "recurring": _WARM | {"pool", "pool_bytes", "sketch_n"},
}
_MADE_OF_FRESH: dict[str, Callable[..., AdaptationPolicy]] = {
    "auto": WarmReplacement,
    "warm_replacement": WarmReplacement,
    "reset": Reset,
    "periodic": Periodic,
}
_MADE_OF_BOTH: dict[str, Callable[..., AdaptationPolicy]] = {
    "local_repair": LocalRepair,
    "reweight": Reweight,
    "recurring": RecurringConcepts,
}


def build_policy(
    name: str, fresh: Callable[[int], Learner], current: Callable[[], Learner], parameters: Mapping[str, Any], *,
    known: Callable[[], Any] | None = None,
) -> AdaptationPolicy | None:  # fmt: skip
    """The policy of that name, None for none; of `parameters` it gets only what it uses.

    `auto` is none for a learner that `adapts_itself`, a forest whose trees have successors of their own, and
    `warm_replacement` for every other.

    Parameters
    ----------
    name
        a key of `PARAMETERS`.
    fresh
        gives an untrained learner for a generation number (1, 2, …); the same number gives the same learner.
    current
        gives the learner in place, with all it has been told to learn learned.
    known
        gives, in plain values, what is to be kept with a learner that may come back.
    parameters
        by name; what the policy does not use is left alone, what is left out has the policy's default.

    Raises
    ------
    ValueError
        there is no such policy, or it refuses a parameter.
    """
    if name not in PARAMETERS:
        raise ValueError(f"policy = {name!r}: must be one of {', '.join(sorted(PARAMETERS))}")
    if name == "none" or (name == "auto" and getattr(current(), "adapts_itself", False)):
        return None
    used = {key: value for key, value in parameters.items() if key in PARAMETERS[name]}
    if name == "recurring" and known is not None:
        used["known"] = known
    if name in _MADE_OF_FRESH:
        return _MADE_OF_FRESH[name](fresh, **used)
    return _MADE_OF_BOTH[name](fresh, current, **used)
