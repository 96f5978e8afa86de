"""Who is right, prequentially: figures over all scored classifications and over the last W, exact and revisable.

Every count and every sum is a whole number, so that a prediction that leaves the window, or is revised, is taken
out without residue, and no batch cut matters. Regression is in `learners.prequential_regression`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import chain, repeat
from operator import eq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.errors import SnapshotError
from learners.prequential_regression import RegressionScore

__all__ = ["ClassificationScore", "RegressionScore"]

_NONE, _OTHER, _FIRST = 0, 1, 2  # classes "nothing known" and "beyond the cap", then the real ones
_LEAST_PROBABILITY = 1e-15
_LOSS_UNIT = 1 << 40
_HIT, _NO_CHANGE_HIT, _HAS_LOSS = 1, 2, 4


class _Totals:
    """Counts over some set of predictions. A scored prediction is (true class, predicted class, flags, loss)."""

    __slots__ = ("hit", "hits", "loss", "losses", "n", "no_change_hits", "predicted", "truth")

    def __init__(self, size: int) -> None:
        self.truth, self.predicted, self.hit = [0] * size, [0] * size, [0] * size
        self.n = self.hits = self.no_change_hits = self.losses = self.loss = 0

    def add(self, truth: int, predicted: int, flags: int, loss: int) -> None:
        self.n += 1
        self.truth[truth] += 1
        self.predicted[predicted] += 1
        if flags & _HIT:
            self.hits += 1
            self.hit[truth] += 1
        if flags & _NO_CHANGE_HIT:
            self.no_change_hits += 1
        if flags & _HAS_LOSS:
            self.losses += 1
            self.loss += loss

    def remove(self, truth: int, predicted: int, flags: int, loss: int) -> None:
        self.n -= 1
        self.truth[truth] -= 1
        self.predicted[predicted] -= 1
        if flags & _HIT:
            self.hits -= 1
            self.hit[truth] -= 1
        if flags & _NO_CHANGE_HIT:
            self.no_change_hits -= 1
        if flags & _HAS_LOSS:
            self.losses -= 1
            self.loss -= loss


class ClassificationScore:
    """Prequential figures of one classifier whose labels arrive late and may be corrected.

    Parameters
    ----------
    window_n
        predictions in the sliding window, 1 or more.
    max_classes
        classes counted one by one; further ones share one count. A prediction is right only if the texts are
        equal, whatever they are counted as.

    Notes
    -----
    A prediction of None (nothing known yet) counts as wrong. `add` costs about 1 µs, whatever the window and the
    number of classes; memory is 16 bytes per prediction in the window and 24 per class, both only once they are seen.

    - `accuracy`: share of right predictions; `no_change_accuracy`: share that the newest arrived label had right;
      `majority_accuracy`: share of the most frequent true class, which saying nothing else would have had right.
    - `kappa`: (p - e) / (1 - e), e = chance agreement of the two marginal distributions (Cohen 1960); None if e = 1.
    - `kappa_temporal`: (p - c) / (1 - c) with c = `no_change_accuracy` (Žliobaitė et al. 2015,
      doi:10.1007/s10994-014-5441-4), here with the newest label that had arrived; None if c = 1.
    - `f1`: unweighted mean over the classes that occur as truth or prediction; `f1_minority`: F1 of the rarer of
      exactly two true classes (equally frequent: the later in order of text), else None.
    - `log_loss`: mean of -ln of the probability given to the true class, clipped to [1e-15, 1], over predictions
      that came with one; resolution 2^-40.

    Examples
    --------
    >>> score = ClassificationScore(window_n=100)
    >>> score.add("ok", "ok", 0.9, None)
    0
    >>> score.summary()["accuracy"]
    1.0
    """

    def __init__(self, window_n: int, max_classes: int = 64) -> None:
        if window_n < 1:
            raise ValueError(f"window_n = {window_n}: must be 1 or more")
        if max_classes < 1:
            raise ValueError(f"max_classes = {max_classes}: must be 1 or more")
        self._window_n, self._max_classes = window_n, max_classes
        self._size = max_classes + _FIRST
        self._codes: dict[str, int] = {}
        self._all = _Totals(_FIRST)
        self._ring, self._losses = array("q"), array("q")  # grow up to `window_n`; the scores of a small group never do

    def add(self, truth: str, predicted: str | None, probability: float | None, no_change: str | None) -> int:
        """Score one prediction and give its ticket, which `revise` takes.

        Parameters
        ----------
        truth, predicted
            the label that arrived, and what was predicted then (None: nothing was known).
        probability
            what the true class was given then; None if no probabilities were given.
        no_change
            the newest label that had arrived when the prediction was made.
        """
        # What `_scored` and `_Totals.add` do, written out: this runs for every label and member.
        codes, totals = self._codes, self._all
        true_class = guess = codes.get(truth) or self._code(truth)
        flags = loss = 0
        if predicted == truth:
            flags = _HIT
            totals.hits += 1
            totals.hit[true_class] += 1
        else:
            guess = _NONE if predicted is None else codes.get(predicted) or self._code(predicted)
        if no_change == truth:
            flags |= _NO_CHANGE_HIT
            totals.no_change_hits += 1
        if probability is not None:
            flags |= _HAS_LOSS
            loss = _loss(probability)
            totals.losses += 1
            totals.loss += loss
        totals.truth[true_class] += 1
        totals.predicted[guess] += 1
        ticket = totals.n
        totals.n = ticket + 1
        packed = (true_class * self._size + guess) << 3 | flags
        if ticket < self._window_n:
            self._ring.append(packed)
            self._losses.append(loss)
        else:
            place = ticket % self._window_n
            self._ring[place], self._losses[place] = packed, loss
        return ticket

    def add_many(
        self,
        truths: Sequence[str],
        predicted: Sequence[str | None],
        probabilities: Sequence[float | None],
        no_changes: Sequence[str | None],
    ) -> int:
        """Score predictions in order, bit for bit as `add` does but in half the time where there are hundreds; the
        first of their tickets, which follow each other."""
        first, n, totals = self._all.n, len(truths), self._all
        self._know(truths, predicted)
        guesses: dict[str | None, int] = {None: _NONE}
        guesses.update(self._codes)
        right = np.array(list(map(eq, truths, predicted)), dtype=np.bool_)
        lucky = np.array(list(map(eq, truths, no_changes)), dtype=np.bool_)
        true_class = np.array(list(map(self._codes.get, truths, repeat(_OTHER))), dtype=np.int64)
        # Beyond the cap two classes share a code, but only equal texts are a hit.
        guess = np.array(list(map(guesses.get, predicted, repeat(_OTHER))), dtype=np.int64)
        given = np.array([p is not None for p in probabilities], dtype=np.bool_)
        losses = np.zeros(n, dtype=np.int64)
        losses[given] = _losses([p for p in probabilities if p is not None])
        flags = right * _HIT | lucky * _NO_CHANGE_HIT | given * _HAS_LOSS
        totals.n += n
        totals.hits += int(right.sum())
        totals.no_change_hits += int(lucky.sum())
        totals.losses += int(given.sum())
        totals.loss += sum(losses.tolist())
        for counts, codes in ((totals.truth, true_class), (totals.predicted, guess), (totals.hit, true_class[right])):
            counts[:] = [a + b for a, b in zip(counts, np.bincount(codes, minlength=len(counts)).tolist(), strict=True)]
        self._keep((true_class * self._size + guess) << 3 | flags, losses, first)
        return first

    def _know(self, truths: Sequence[str], predicted: Sequence[str | None]) -> None:
        """Give new classes their codes, in the order in which `add` would meet them."""
        if len(self._codes) < self._max_classes and not {None, *self._codes}.issuperset({*truths, *predicted}):
            for text in chain.from_iterable(zip(truths, predicted, strict=True)):
                if text is not None and text not in self._codes:
                    self._code(text)

    def _keep(self, packed: NDArray[np.int64], losses: NDArray[np.int64], first: int) -> None:
        """Put the newest scores, from ticket `first` on, in the ring."""
        window_n, end = self._window_n, first + len(packed)
        for ring, values in ((self._ring, packed), (self._losses, losses)):
            new = array("q", values[-window_n:].tobytes())
            ring.extend(new[: min(end, window_n) - len(ring)])  # places; what stands in them is written below
            start = end - len(new)
            while start < end:  # a score's place follows from its ticket
                place = start % window_n
                part = new[len(new) - (end - start) :][: window_n - place]
                ring[place : place + len(part)] = part
                start += len(part)

    def revise(
        self,
        ticket: int,
        old_truth: str,
        new_truth: str,
        *,
        predicted: str | None,
        old_probability: float | None,
        new_probability: float | None,
        no_change: str | None,
    ) -> None:
        """Score the prediction of `ticket` again, for a label that was corrected; everything else as it was added.

        The totals change always, the window if the prediction is still inside.
        """
        if not 0 <= ticket < self._all.n:
            raise ValueError(f"ticket = {ticket}: must be one of the {self._all.n} that were given out")
        old = self._scored(old_truth, predicted, old_probability, no_change)
        new = self._scored(new_truth, predicted, new_probability, no_change)
        if ticket >= self._all.n - self._window_n:
            place = ticket % self._window_n
            if self._at(place) != old:
                raise ValueError(f"ticket = {ticket} was not scored with truth {old_truth!r}, {predicted!r}")
            true_class, guess, flags, self._losses[place] = new
            self._ring[place] = (true_class * self._size + guess) << 3 | flags
        self._all.remove(*old)
        self._all.add(*new)

    def summary(self) -> dict[str, Any]:
        """The figures over everything; None where undefined."""
        return self._figures(self._all)

    def window_summary(self) -> dict[str, Any]:
        """The figures over the last `window_n` predictions; None where undefined."""
        return self._figures(self._in_window())

    def _in_window(self) -> _Totals:
        """The window's totals, counted when they are asked for: far more is added than asked."""
        totals = _Totals(_FIRST + len(self._codes))
        for place in range(len(self._ring)):
            totals.add(*self._at(place))
        return totals

    def _scored(
        self, truth: str, predicted: str | None, probability: float | None, no_change: str | None
    ) -> tuple[int, int, int, int]:
        true_class = self._codes.get(truth) or self._code(truth)
        guess = _NONE if predicted is None else self._codes.get(predicted) or self._code(predicted)
        flags = (predicted == truth) | ((no_change == truth) << 1)
        if probability is None:
            return true_class, guess, flags, 0
        return true_class, guess, flags | _HAS_LOSS, _loss(probability)

    def _code(self, label: str) -> int:
        if len(self._codes) >= self._max_classes:
            return _OTHER
        code = self._codes[label] = _FIRST + len(self._codes)
        for counts in (self._all.truth, self._all.predicted, self._all.hit):
            counts.append(0)
        return code

    def _at(self, place: int) -> tuple[int, int, int, int]:
        packed = self._ring[place]
        true_class, guess = divmod(packed >> 3, self._size)
        return true_class, guess, packed & 7, self._losses[place]

    def _figures(self, totals: _Totals) -> dict[str, Any]:
        n, hits, by_luck = totals.n, totals.hits, totals.no_change_hits
        chance = sum(t * p for t, p in zip(totals.truth, totals.predicted, strict=True))
        return {
            "n": n,
            "accuracy": _ratio(hits, n),
            "kappa": _ratio(hits * n - chance, n * n - chance),
            "kappa_temporal": _ratio(hits - by_luck, n - by_luck),
            "f1": self._macro_f1(totals),
            "f1_minority": self._minority_f1(totals),
            "log_loss": _ratio(totals.loss, totals.losses * _LOSS_UNIT),
            "no_change_accuracy": _ratio(by_luck, n),
            "majority_accuracy": _ratio(max(totals.truth[_FIRST:], default=0), n),
        }

    def _f1(self, totals: _Totals, code: int) -> float | None:
        return _ratio(2 * totals.hit[code], totals.truth[code] + totals.predicted[code])

    def _macro_f1(self, totals: _Totals) -> float | None:
        scores = [f1 for code in range(_OTHER, len(totals.truth)) if (f1 := self._f1(totals, code)) is not None]
        return math.fsum(scores) / len(scores) if scores else None

    def _minority_f1(self, totals: _Totals) -> float | None:
        seen = [(totals.truth[code], label) for label, code in self._codes.items() if totals.truth[code]]
        if len(seen) != 2 or totals.truth[_OTHER]:
            return None
        fewest = min(n for n, _ in seen)
        return self._f1(totals, self._codes[max(label for n, label in seen if n == fewest)])

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        totals = self._all
        return {
            "window_n": self._window_n,
            "max_classes": self._max_classes,
            "labels": list(self._codes),
            "counts": [totals.n, totals.hits, totals.no_change_hits, totals.losses],
            "loss": f"{totals.loss:x}",  # may need more than the 64 bits that a store's integers have
            "classes": [list(totals.truth), list(totals.predicted), list(totals.hit)],
            "ring": self._ring.tobytes(),
            "losses": self._losses.tobytes(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> ClassificationScore:
        """The score that `state` was taken of.

        Raises
        ------
        SnapshotError
            the state contradicts itself.
        """
        try:
            score = cls(state["window_n"], state["max_classes"])
            score._load(state)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise SnapshotError(f"the state of a score contradicts itself ({error!r}): restore a backup") from error
        return score

    def _load(self, state: dict[str, Any]) -> None:
        totals = self._all
        self._codes = {label: _FIRST + i for i, label in enumerate(state["labels"])}
        totals.n, totals.hits, totals.no_change_hits, totals.losses = state["counts"]
        totals.loss = int(state["loss"], 16)
        totals.truth, totals.predicted, totals.hit = (list(counts) for counts in state["classes"])
        ring, losses = array("q", state["ring"]), array("q", state["losses"])
        sizes = {len(counts) for counts in (totals.truth, totals.predicted, totals.hit)}
        if sizes != {_FIRST + len(self._codes)} or {len(ring), len(losses)} != {min(totals.n, self._window_n)}:
            raise ValueError("its parts differ in length")
        self._ring, self._losses = ring, losses
        self._in_window()  # a class out of range shows here, not at the next question


def _loss(probability: float) -> int:
    if probability >= 1.0:
        return 0
    if not probability >= _LEAST_PROBABILITY:  # NaN, too
        probability = _LEAST_PROBABILITY
    return round(-math.log(probability) * _LOSS_UNIT)


def _losses(probabilities: list[float]) -> NDArray[np.int64]:
    """`_loss` of each; the logarithm is the same, not numpy's."""
    given = np.array(probabilities, dtype=np.float64)
    clipped = np.where(given >= _LEAST_PROBABILITY, np.minimum(given, 1.0), _LEAST_PROBABILITY)
    logarithms = np.array(list(map(math.log, clipped.tolist())))
    losses: NDArray[np.int64] = np.rint(-logarithms * _LOSS_UNIT).astype(np.int64)
    return losses


def _ratio(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None
