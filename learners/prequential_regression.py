"""Prequential figures of a regressor, over all scored predictions and over the last W, exact and revisable.

Errors are summed as whole numbers (`learners.fixed_point`): what leaves leaves no residue.
"""

from __future__ import annotations

import math
from array import array
from typing import Any

from learners.errors import SnapshotError
from learners.fixed_point import ONE, fixed

__all__ = ["RegressionScore"]

_NAN = float("nan")


class _Sums:
    """Counts and exact sums over some set of predictions; added with sign 1, removed with sign -1."""

    FIELDS = ("n", "answered", "absolute", "square", "truth", "truth_square", "paired", "paired_absolute", "no_change")
    __slots__ = FIELDS

    def __init__(self) -> None:
        self.n = self.answered = self.absolute = self.square = self.truth = self.truth_square = 0
        self.paired = self.paired_absolute = self.no_change = 0

    def change(self, sign: int, error: int | None, value: int, no_change_error: int) -> None:
        """Add or remove one prediction; no error: nothing was known; a no-change error of -1: no label was known."""
        self.n += sign
        if error is None:
            return
        size = abs(error)
        self.answered += sign
        self.absolute += sign * size
        self.square += sign * error * error
        self.truth += sign * value
        self.truth_square += sign * value * value
        if no_change_error >= 0:
            self.paired += sign
            self.paired_absolute += sign * size
            self.no_change += sign * no_change_error


class RegressionScore:
    """Prequential figures of one regressor whose labels arrive late and may be corrected.

    Parameters
    ----------
    window_n
        predictions in the sliding window, 1 or more.

    Notes
    -----
    A prediction of None is counted in `n`, not in `answered`, and enters no figure. Errors and labels beyond ±1e30
    count as ±1e30. `add` costs about 5 µs, whatever the window; memory is 300 bytes per prediction in the window.

    - `mae`, `rmse`: of the answered ones; `r2`: 1 - squared errors / squared deviations of the labels from their
      mean, None where the labels are constant.
    - `no_change_mae`: of the newest label that had arrived, over answered predictions that had one;
      `mae_relative`: the regressor's own absolute error over the same predictions, divided by it: below 1 is better
      than repeating the newest label. None where that was never wrong.

    Examples
    --------
    >>> score = RegressionScore(window_n=100)
    >>> score.add(3.0, 2.5, 1.0)
    0
    >>> score.summary()["mae"], score.summary()["mae_relative"]
    (0.5, 0.25)
    """

    def __init__(self, window_n: int) -> None:
        if window_n < 1:
            raise ValueError(f"window_n = {window_n}: must be 1 or more")
        self._window_n = window_n
        self._all, self._window = _Sums(), _Sums()
        self._ring: list[tuple[float, float, float]] = []
        self._exact: list[tuple[int | None, int, int]] = []

    def add(self, truth: float, predicted: float | None, no_change: float | None) -> int:
        """Score one prediction and give its ticket, which `revise` takes; None: nothing was known then."""
        scored = _scored(truth, predicted, no_change)
        exact = _exact(*scored)
        ticket = self._all.n
        if ticket < self._window_n:
            self._ring.append(scored)
            self._exact.append(exact)
        else:
            place = ticket % self._window_n
            self._window.change(-1, *self._exact[place])
            self._ring[place], self._exact[place] = scored, exact
        self._all.change(1, *exact)
        self._window.change(1, *exact)
        return ticket

    def revise(
        self, ticket: int, old_truth: float, new_truth: float, *, predicted: float | None, no_change: float | None
    ) -> None:
        """Score the prediction of `ticket` again, for a label that was corrected; everything else as it was added.

        The totals change always, the window if the prediction is still inside.
        """
        if not 0 <= ticket < self._all.n:
            raise ValueError(f"ticket = {ticket}: must be one of the {self._all.n} that were given out")
        scored = _scored(new_truth, predicted, no_change)
        old, new = _exact(*_scored(old_truth, predicted, no_change)), _exact(*scored)
        if ticket >= self._all.n - self._window_n:
            place = ticket % self._window_n
            if self._exact[place] != old:
                raise ValueError(f"ticket = {ticket} was not scored with truth {old_truth!r}, {predicted!r}")
            self._ring[place], self._exact[place] = scored, new
            self._window.change(-1, *old)
            self._window.change(1, *new)
        self._all.change(-1, *old)
        self._all.change(1, *new)

    def summary(self) -> dict[str, Any]:
        """The figures over everything; None where undefined."""
        return _figures(self._all)

    def window_summary(self) -> dict[str, Any]:
        """The figures over the last `window_n` predictions; None where undefined."""
        return _figures(self._window)

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        return {
            "window_n": self._window_n,
            # As text, because exact sums need more than the 64 bits that a store's integers have.
            "sums": [f"{getattr(self._all, field):x}" for field in _Sums.FIELDS],
            "ring": array("d", (value for scored in self._ring for value in scored)).tobytes(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> RegressionScore:
        """The score that `state` was taken of.

        Raises
        ------
        SnapshotError
            the state contradicts itself.
        """
        try:
            score = cls(state["window_n"])
            score._load(state)
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"the state of a score contradicts itself ({error!r}): restore a backup") from error
        return score

    def _load(self, state: dict[str, Any]) -> None:
        for field, text in zip(_Sums.FIELDS, state["sums"], strict=True):
            setattr(self._all, field, int(text, 16))
        flat = array("d", state["ring"])
        if len(flat) != 3 * min(self._all.n, self._window_n):
            raise ValueError("its parts differ in length")
        self._ring = list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))
        self._exact = [_exact(*scored) for scored in self._ring]
        for exact in self._exact:
            self._window.change(1, *exact)


def _scored(truth: float, predicted: float | None, no_change: float | None) -> tuple[float, float, float]:
    return (
        float(truth),
        _NAN if predicted is None else float(predicted),
        _NAN if no_change is None else float(no_change),
    )


def _exact(truth: float, predicted: float, no_change: float) -> tuple[int | None, int, int]:
    value = fixed(truth)
    error = None if math.isnan(predicted) else fixed(truth - predicted)
    return error, value, -1 if math.isnan(no_change) else abs(fixed(truth - no_change))


def _figures(sums: _Sums) -> dict[str, Any]:
    m = sums.answered
    square = _ratio(sums.square, m * ONE * ONE)
    unexplained = _ratio(sums.square * m, m * sums.truth_square - sums.truth**2)
    return {
        "n": sums.n,
        "answered": m,
        "mae": _ratio(sums.absolute, m * ONE),
        "rmse": None if square is None else math.sqrt(square),
        "r2": None if unexplained is None else 1.0 - unexplained,
        "no_change_mae": _ratio(sums.no_change, sums.paired * ONE),
        "mae_relative": _ratio(sums.paired_absolute, sums.no_change),
    }


def _ratio(numerator: int, denominator: int) -> float | None:
    """Correctly rounded; None for nothing, and where the quotient is beyond every float."""
    try:
        return numerator / denominator if denominator else None
    except OverflowError:
        return None
