"""Which naive baselines a model does not beat on the newest labels: the last label, the most frequent one, the mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["loses_to"]

_Figures = Mapping[str, Any]


def loses_to(figures: _Figures, summaries: Mapping[str, _Figures]) -> list[str]:
    """Names of the baselines that do as well or better, over the sliding window; empty where nothing can be compared.

    The last label does as well where kappa-temporal is 0 or less, or undefined because the last label is always right;
    of numbers, where the error relative to it is 1 or more. The other baselines are compared by accuracy or MAE.
    """
    window = figures.get("window") or {}
    beaten_by = []
    if _follows(window):
        beaten_by.append("no_change")
    for name, key, sign in (("majority", "accuracy", 1), ("mean", "mae", -1)):
        own, other = window.get(key), (summaries.get(name, {}).get("window") or {}).get(key)
        if own is not None and other is not None and sign * own <= sign * other:
            beaten_by.append(name)
    return beaten_by


def _follows(window: _Figures) -> bool:
    accuracy, last = window.get("accuracy"), window.get("no_change_accuracy")
    if accuracy is not None and last is not None:
        return bool(accuracy <= last)
    relative = window.get("mae_relative")
    if relative is None:  # the last label was never wrong, or never known
        return bool(window.get("no_change_mae") == 0)
    return bool(relative >= 1)
