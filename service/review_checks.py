"""What the types of `monitors.NAME.review` cannot refuse: a rule that could never decide, or would tell too much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.config_errors import ConfigurationError

if TYPE_CHECKING:
    from service.config import MonitorConfig, ReviewConfig

__all__ = ["check_review"]


def check_review(key: str, monitor: MonitorConfig) -> None:
    """Refuse a rule that does not fit the task, the learners or the features.

    Raises
    ------
    ConfigurationError
        names the key, its value, the reason and what to write instead.
    """
    rule = monitor.review
    if rule is None:
        return
    if rule.of == "champion" and not monitor.learners:
        raise ConfigurationError(
            f"{key}.of = 'champion', but no learner is configured that could answer; add one, or write of = 'producer'"
        )
    if monitor.task == "classification":
        _check_class(key, rule)
    else:
        _check_number(key, rule, len(monitor.learners))
    _check_priority(f"{key}.priority", rule.priority, monitor)


def _check_class(key: str, rule: ReviewConfig) -> None:
    if rule.spread is not None:
        raise ConfigurationError(f"{key}.spread = {rule.spread}: is for regression; a class is decided by its margin")
    if rule.margin is None or not 0 < rule.margin <= 1:
        raise ConfigurationError(f"{key}.margin = {rule.margin}: write a number above 0 and up to 1, as 0.2")


def _check_number(key: str, rule: ReviewConfig, learners_n: int) -> None:
    if rule.margin is not None:
        raise ConfigurationError(
            f"{key}.margin = {rule.margin}: a regression has no probabilities, so no margin; write spread, in the "
            "label's unit"
        )
    if rule.of == "producer":
        raise ConfigurationError(
            f"{key}.of = 'producer': how sure a producer's number is cannot be told from the number; write 'champion'"
        )
    if rule.spread is None or not rule.spread > 0:
        raise ConfigurationError(f"{key}.spread = {rule.spread}: write a number above 0, in the label's unit")
    if learners_n < 2:
        raise ConfigurationError(
            f"{key}.spread = {rule.spread}: the spread is that of the learners' answers, and {learners_n} is "
            "configured; configure two or more"
        )


def _check_priority(key: str, priority: str, monitor: MonitorConfig) -> None:
    kind, _, name = priority.partition(":")
    if priority not in ("margin", "rare") and (kind != "value" or not name):
        raise ConfigurationError(f"{key} = {priority!r}: write 'margin', 'rare' or 'value:FEATURE'")
    if priority == "rare" and monitor.task == "regression":
        raise ConfigurationError(f"{key} = 'rare': a regression has no classes; write 'margin' or 'value:FEATURE'")
    feature = monitor.features.get(name)
    if name and (feature is None or feature.type != "numeric" or feature.sensitive):
        known = [n for n, f in monitor.features.items() if f.type == "numeric" and not f.sensitive]
        raise ConfigurationError(
            f"{key} = {priority!r}: names no number that may be shown; there are: {', '.join(known) or 'none'}"
        )
