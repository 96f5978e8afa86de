"""What kind of column this is: id, clock, code, constant or leak of the label, judged by its values and its name.

Such columns drift by construction or give the answer away, so `init` leaves them out of the drift signals. A rule
looks at values first; a name only decides what values cannot (a column `hour` that holds 0 to 23).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Column",
    "Mark",
    "Value",
    "by_construction",
    "is_score_name",
    "leak",
    "linear_leaks",
    "mark",
    "serial_correlation",
    "tokens",
]

Value = str | float | int | bool | None

_CALENDAR = {
    "year": (1900, 2200), "yr": (0, 2200), "quarter": (1, 4), "season": (0, 4), "month": (0, 12), "mnth": (0, 12),
    "mon": (0, 12), "week": (0, 53), "weekday": (0, 7), "dow": (0, 7), "dayofweek": (0, 7), "day": (0, 366),
    "dom": (1, 31), "doy": (1, 366), "hour": (0, 24), "hr": (0, 24), "minute": (0, 59), "second": (0, 60),
}  # fmt: skip
_DATES = frozenset(["date", "datetime", "timestamp", "time", "epoch", "ts", "dt"])
_IDS = frozenset(["id", "uuid", "guid", "key", "pk", "sku", "serial"])
_CODES = frozenset(["flight", "code", "zip", "zipcode", "postcode", "phone", "account", "index", "idx"])
_COUNTED = frozenset(["number", "no", "nr", "num"])  # as a last word only: `order_no` is a code, `no_of_items` is not
_PREDICTED = frozenset(["pred", "prediction", "predicted", "proba", "yhat"])
_SCORES = frozenset(["score", "scores", "probability", "prob", "y_score", "y_prob", "model_score", "y_hat"])
_AMOUNTS = frozenset(["per", "since", "last", "count", "total", "mean", "avg", "of"])  # days_since_… is no calendar
_LEAST_ROWS = 30  # under as many values nothing is claimed from values, only from names
_ALMOST_ALL = 0.98
_KAPPA_OF_A_LEAK = 0.95  # agreement with the label beyond chance; a real single feature stays well below
_BINS = 50
_MANY = 50


@dataclass(frozen=True, slots=True)
class Mark:
    """Why a column is left out of the drift signals, and whether learners may still use it."""

    kind: str
    reason: str
    learn: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the sample, in row order; None = missing."""

    name: str
    values: Sequence[Value]

    @property
    def given(self) -> list[Value]:
        """The values that are not missing."""
        return [value for value in self.values if value is not None]

    @property
    def type(self) -> str:
        """`numeric`, `categorical` or `boolean`: what most of the given values are."""
        kinds = Counter(
            "boolean" if isinstance(v, bool) else "categorical" if isinstance(v, str) else "numeric" for v in self.given
        )
        return max(sorted(kinds), key=lambda kind: kinds[kind]) if kinds else "numeric"

    def numbers(self) -> NDArray[np.float64]:
        """The column as float64, NaN for what is no number."""
        plain = [float(v) if isinstance(v, int | float) and not isinstance(v, bool) else np.nan for v in self.values]
        return np.array(plain, dtype=np.float64)


def is_score_name(name: str) -> bool:
    """Say whether a column's name claims to be what a model said; `credit_score` is not, `y_pred_proba` is."""
    return bool(_PREDICTED & set(tokens(name))) or "_".join(tokens(name)) in _SCORES


def tokens(name: str) -> tuple[str, ...]:
    """Split a column's name into lower-case words: `flightNumber`, `flight_number` and `FLIGHT-NUMBER` agree."""
    apart = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return tuple(word for word in re.split(r"[^a-z]+", apart.lower()) if word)


def mark(column: Column) -> Mark | None:
    """Return why `column` does not belong among the drift signals, judged by itself; None if it does."""
    given = column.given
    if not given:
        return Mark("constant", "no value in the whole sample", learn=True)
    if len(set(given)) == 1 and len(given) >= _LEAST_ROWS:
        return Mark("constant", f"constant in the sample ({given[0]!r}); watch it if it can change", learn=True)
    if column.type == "categorical":
        return _mark_text(column, [str(v) for v in given])
    if column.type == "boolean":
        return None
    return _mark_number(column, column.numbers())


def _mark_text(column: Column, texts: list[str]) -> Mark | None:
    if sum(_is_moment(text) for text in texts) >= _ALMOST_ALL * len(texts):
        return Mark("clock", "date or time: grows with every row")
    if _names_an_id(column.name, len(set(texts)), len(texts)):
        return Mark("id", "identifier: every window holds new values")
    if len(texts) >= _LEAST_ROWS and len(set(texts)) > 0.5 * len(texts):
        return Mark("id", f"identifier: {len(set(texts))} different texts in {len(texts)} rows")
    if all(text.isdigit() for text in texts) and _is_hhmm(np.array([float(text) for text in texts])):
        return Mark("code", "HHMM code of a time of day", learn=True)
    return None


def _is_moment(text: str) -> bool:
    if len(text) < 8 or not text[0].isdigit():
        return False
    try:
        datetime.fromisoformat(text)  # only whether it is a date matters
    except ValueError:
        return re.fullmatch(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d.*)?", text) is not None
    return not text.isdigit() or text[:2] in {"19", "20"}


def _mark_number(column: Column, numbers: NDArray[np.float64]) -> Mark | None:
    known = numbers[~np.isnan(numbers)]
    words, whole = tokens(column.name), bool(np.all(known == np.round(known)))
    distinct = len(np.unique(known))
    if whole and _names_an_id(column.name, distinct, len(known)):
        return Mark("id", "identifier: every window holds new values")
    if whole and _is_hhmm(known):
        return Mark("code", "HHMM code of a time of day: 0759 and 0800 are a minute apart, not 41", learn=True)
    clock = _mark_clock(column.name, known, whole=whole)
    if clock is not None:
        return clock
    coded = bool(_CODES & set(words)) or (words[-1:] != () and words[-1] in _COUNTED)
    if whole and coded and distinct >= min(_MANY, len(known)):
        return Mark("code", f"number of a thing, no quantity: {distinct} different ones in {len(known)} rows")
    return None


def _names_an_id(name: str, distinct: int, rows: int) -> bool:
    """Whether the name says id and the values agree: `store_id` with ten stores is a category."""
    words = tokens(name)
    return words in {("id",), ("uuid",), ("guid",)} or (
        bool(_IDS & set(words)) and (distinct >= _MANY or 2 * distinct > rows)
    )


def _mark_clock(name: str, known: NDArray[np.float64], *, whole: bool) -> Mark | None:
    if len(known) < 2:
        return None
    steps, span = np.diff(known), float(np.ptp(known))
    enough = len(known) >= _LEAST_ROWS and len(np.unique(known)) >= 3
    if enough and np.mean(steps >= 0) >= 0.995 and known[-1] - known[0] >= 0.9 * span:
        if whole and np.all(steps > 0):
            return Mark("id", "counter: grows with every row")
        calendar = bool(set(tokens(name)) & (_CALENDAR.keys() - {"year", "yr"}))
        return Mark("clock", "clock: never falls with the row order", learn=calendar)
    if enough and _starts_again(known, steps, span):
        return Mark("clock", "clock: rises with the row order and starts again", learn=True)
    words = set(tokens(name))
    for word in sorted(words & _CALENDAR.keys()) if not words & _AMOUNTS else []:
        low, high = _CALENDAR[word]
        if whole and known.min() >= low and known.max() <= high:
            return Mark("clock", f"part of the calendar ({word})", learn=word not in {"year", "yr"})
    if words & _DATES and whole and known.min() >= 1e8:
        return Mark("clock", "point in time, as an epoch")
    return None


def _starts_again(known: NDArray[np.float64], steps: NDArray[np.float64], span: float) -> bool:
    """Whether values rise to the top and fall back to the bottom at once, as hours and days of the month do."""
    falls = np.flatnonzero(steps < 0)
    if not 1 <= len(falls) <= 0.2 * len(steps):
        return False
    low = float(known.min())
    from_top = known[falls] >= low + 0.75 * span
    to_bottom = known[falls + 1] <= low + 0.25 * span
    return bool(np.mean(from_top & to_bottom) >= 0.8)


def _is_hhmm(known: NDArray[np.float64]) -> bool:
    """Whether whole numbers are times such as 559 and 2359: random ones pass one of 20 minutes < 60 by 0.6^20."""
    distinct = np.unique(known)
    if len(distinct) < 20 or distinct[0] < 0 or distinct[-1] > 2400:
        return False
    hours, minutes = np.divmod(distinct, 100)
    return bool(np.all(minutes < 60) and len(np.unique(hours)) >= 3 and len(np.unique(minutes)) >= 5)


def serial_correlation(column: Column) -> float:
    """Return the correlation of neighbouring rows, 0 where there is none or too few numbers."""
    known = column.numbers()
    known = known[~np.isnan(known)]
    if len(known) < _LEAST_ROWS or np.ptp(known) == 0:
        return 0.0
    centred = known - known.mean()
    return float((centred[1:] * centred[:-1]).sum() / (centred * centred).sum())


def leak(column: Column, labels: Sequence[Value]) -> Mark | None:
    """Return a mark if `column` tells the label (aligned with it, None = unknown) better than any honest feature.

    A majority vote in up to 50 bins is learned on every second row and tried on the others.
    """
    if is_score_name(column.name):
        return Mark("leak", "says what a model predicted, by its name: no input of the model")
    pairs = [(v, y) for v, y in zip(column.values, labels, strict=True) if v is not None and y is not None]
    if len(pairs) < _LEAST_ROWS:
        return None
    if all(v == y for v, y in pairs) and len({y for _, y in pairs}) > 1:
        return Mark("leak", "a copy of the label")
    answers = [y for _, y in pairs]
    if _is_quantity(answers):
        return _correlated([v for v, _ in pairs], answers)
    kappa = _kappa_of_bins(_bins([v for v, _ in pairs]), answers)
    if kappa >= _KAPPA_OF_A_LEAK:
        return Mark("leak", f"gives the label away: by itself it agrees with it at kappa {kappa:.2f}")
    return None


def _is_quantity(answers: Sequence[Value]) -> bool:
    return len(set(answers)) > _BINS and all(isinstance(y, int | float) for y in answers)


def _correlated(values: Sequence[Value], answers: Sequence[Value]) -> Mark | None:
    if any(isinstance(v, str | bool) for v in values):
        return None
    x, y = np.array(values, dtype=np.float64), np.array(answers, dtype=np.float64)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    correlation = float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])
    if abs(correlation) < 0.98:
        return None
    return Mark("leak", f"gives the label away: rank correlation {correlation:.3f}")


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2.0
    return np.asarray(middle[place], dtype=np.float64)


def _bins(values: list[Value]) -> list[object]:
    if len(set(values)) <= _BINS or any(isinstance(v, str) for v in values):
        return list(values)
    numbers = np.array(values, dtype=np.float64)
    edges = np.quantile(numbers, np.linspace(0.0, 1.0, _BINS + 1)[1:-1])
    return [int(k) for k in np.searchsorted(edges, numbers, side="right")]


def _kappa_of_bins(bins: list[object], answers: Sequence[Value]) -> float:
    votes: dict[object, Counter[Value]] = defaultdict(Counter)
    for group, answer in zip(bins[::2], answers[::2], strict=True):
        votes[group][answer] += 1
    tried = list(zip(bins[1::2], answers[1::2], strict=True))
    said = [votes[group].most_common(1)[0][0] if group in votes else None for group, _ in tried]
    right = sum(guess == answer for guess, (_, answer) in zip(said, tried, strict=True)) / len(tried)
    of_guess, of_answer = Counter(said), Counter(answer for _, answer in tried)
    chance = sum(of_guess[c] * of_answer[c] for c in of_answer) / len(tried) ** 2
    return (right - chance) / (1.0 - chance) if chance < 1.0 else 0.0


def linear_leaks(columns: Sequence[Column], labels: Sequence[Value]) -> dict[str, Mark]:
    """Mark the columns of which the label is an exact linear function, such as the two parts of a total."""
    numeric = [c for c in columns if c.type == "numeric"]
    if not numeric or not _is_quantity([y for y in labels if y is not None]):
        return {}
    matrix = np.column_stack([c.numbers() for c in numeric])
    target = Column("label", labels).numbers()
    whole = ~(np.isnan(matrix).any(axis=1) | np.isnan(target))
    matrix, target = matrix[whole], target[whole]
    spread = matrix.std(axis=0) if len(matrix) else np.zeros(len(numeric))
    used = [k for k in range(len(numeric)) if spread[k] > 0]
    if len(target) < 5 * len(numeric) + _LEAST_ROWS or not used:
        return {}
    scaled = (matrix[:, used] - matrix[:, used].mean(axis=0)) / spread[used]
    centred = target - target.mean()
    weights = np.linalg.lstsq(scaled, centred, rcond=None)[0]
    if np.abs(scaled @ weights - centred).max() > 1e-6 * np.abs(centred).max():
        return {}
    heavy = [numeric[used[k]].name for k in np.flatnonzero(np.abs(weights) > 1e-6 * np.abs(weights).max())]
    return {name: Mark("leak", f"the label is computed from {', '.join(heavy)}") for name in heavy}


def by_construction(column: Column, reference: Column) -> Mark | None:
    """Return a mark if not one value of `column` lies where `reference` has its own."""
    here, there = column.given, reference.given
    if min(len(here), len(there)) < _LEAST_ROWS or column.type != reference.type:
        return None
    if column.type == "numeric":
        ours, theirs = Column("", here).numbers(), Column("", there).numbers()
        apart = bool(np.nanmin(ours) > np.nanmax(theirs) or np.nanmax(ours) < np.nanmin(theirs))
    else:
        apart = not set(here) & set(there)
    if not apart:
        return None
    return Mark("clock", "no value in common with the reference file: a clock, an id, or it has changed already")
