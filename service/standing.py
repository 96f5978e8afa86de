"""Which naive baselines a model does not beat on the newest labels: the last label, the most frequent one, the mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["loses_to"]

_Figures = Mapping[str, Any]


def loses_to(figures: _Figures) -> list[str]:
    """Names of the baselines that do as well or better, over the sliding window; empty where nothing can be compared.

    All are judged on the predictions that the model itself answered. The last label does as well where kappa-temporal
    is 0 or less, or undefined because the last label is always right; of numbers, where the error relative to it is 1
    or more. The most frequent class does where its share is the accuracy or more; the mean, where R² is 0 or less, or
    the labels are constant.
    """
    window = figures.get("window") or {}
    beaten_by = []
    if _follows(window):
        beaten_by.append("no_change")
    accuracy, majority = window.get("accuracy"), window.get("majority_accuracy")
    if accuracy is not None and majority is not None and accuracy <= majority:
        beaten_by.append("majority")
    r2 = window.get("r2")
    if window.get("mae") is not None and (r2 is None or r2 <= 0.0):
        beaten_by.append("mean")
    return beaten_by


def _follows(window: _Figures) -> bool:
    accuracy, last = window.get("accuracy"), window.get("no_change_accuracy")
    if accuracy is not None and last is not None:
        return bool(accuracy <= last)
    relative = window.get("mae_relative")
    if relative is None:  # the last label was never wrong, or never known
        return bool(window.get("no_change_mae") == 0)
    return bool(relative >= 1)
