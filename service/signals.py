"""The signals that are known when a prediction arrives: each feature, all jointly, score, margin, class, quality.

The first `reference.n` predictions are the reference; from then on whole blocks of rows go through the banks. No
alarm raised here changes anything that a later event meets in the fold, so a block may be folded at once and its
alarms put into the order of events afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.encoding import JointEncoder
from detectors.gapped_blocks import GappedBlocks
from service.config import MonitorConfig
from service.joint_signals import JointSignals
from service.level_signals import LevelSignals
from service.mean_signals import MeanSignals, Spoken
from service.pairing import RANKS, Run, runs, trailing
from service.scaling import LARGEST
from service.vocabulary import Vocabulary
from service.window_signals import RankSignals, WatchedColumn, suspects

__all__ = ["FeatureSignals", "PredictionColumns"]

_LEAST_REFERENCE_N = 30


@dataclass(slots=True)
class PredictionColumns:
    """Accepted predictions as columns: numeric[p, n], categories, class or value, score, margin (NaN = unknown)."""

    numbers: NDArray[np.int64]
    numeric: NDArray[np.float64]
    categorical: list[tuple[str | None, ...]]
    predicted: list[str | float | None]
    score: NDArray[np.float64]
    margin: NDArray[np.float64]


class FeatureSignals:
    """All columnar signals of one monitor."""

    def __init__(self, config: MonitorConfig) -> None:
        self.config = config
        features = config.features
        numeric = [n for n, f in features.items() if f.type == "numeric"]
        categorical = [n for n, f in features.items() if f.type != "numeric"]
        self._numeric_at = [i for i, n in enumerate(numeric) if features[n].watch]
        self._categorical_at = [i for i, n in enumerate(categorical) if features[n].watch]
        watched = [numeric[i] for i in self._numeric_at] + [categorical[i] for i in self._categorical_at]
        classes = ["prediction"] if config.task == "classification" else []
        self._watched = watched
        self.names = tuple(f"feature:{n}" for n in watched) + tuple(classes) + ("score", "margin")
        self.kinds = tuple(["data"] * len(watched) + ["prediction"] * (len(classes) + 2))
        self.quality_names = tuple(f"missing:{n}" for n in watched) + tuple(
            f"unseen:{categorical[i]}" for i in self._categorical_at
        )
        self.seen = 0
        self.filled = 0
        self.blind: dict[str, str] = {}
        self.vocabularies = [Vocabulary(config.max_categories) for _ in range(len(self._categorical_at) + len(classes))]
        self._buffer: NDArray[np.float64] | None = np.empty((config.reference.n, len(self.names)))
        self._make_parts()

    def _make_parts(self) -> None:
        config, detectors, reference = self.config, self.config.detectors, self.config.reference
        chosen = {name: runs(config, name) for name in (*self.names, *self.quality_names)}
        columns = [WatchedColumn(n, kind, c) for c, (n, kind) in enumerate(zip(self.names, self.kinds, strict=True))]
        self.means = MeanSignals(
            self.names, "data", detectors, runs=chosen, reference_n=reference.n, quiet_n=config.cooldown
        )
        self.quality = MeanSignals(
            self.quality_names, "quality", detectors, runs=chosen, bounds=(0.0, 1.0), reference_n=reference.n,
            order=len(self.names), quiet_n=config.cooldown,
        )  # fmt: skip
        self.ranks = [
            RankSignals(part, config=detectors, reference=reference, mode=mode, min_effect=effect, runs=chosen)
            for (mode, effect), part in self._rank_groups(columns, chosen).items()
        ]
        self.levels = LevelSignals(
            columns, runs=chosen, config=detectors, window_n=reference.window,
            min_effects={c.name: self._min_effect(c.name) for c in columns},
        )  # fmt: skip
        self.joint = JointSignals(config, order=len(self.names) + len(self.quality_names))
        self._blocks = GappedBlocks(max(1, len(self.quality_names)), block_n=config.quality_block, gap_n=0)
        self._encoder: JointEncoder | None = None

    def _rank_groups(
        self, columns: list[WatchedColumn], chosen: dict[str, tuple[Run, ...]]
    ) -> dict[tuple[str, float | None], list[WatchedColumn]]:
        groups: dict[tuple[str, float | None], list[WatchedColumn]] = {}
        for column in columns:
            if any(run.detector in RANKS for run in chosen[column.name]):
                mode = "trailing" if trailing(self.config, column.name) else "fixed"
                groups.setdefault((mode, self._min_effect(column.name)), []).append(column)
        return groups

    def _min_effect(self, name: str) -> float | None:
        feature = self.config.features.get(name.removeprefix("feature:")) if name.startswith("feature:") else None
        return None if feature is None else feature.min_effect

    @property
    def watching(self) -> bool:
        """Whether the reference is complete."""
        return self._buffer is None

    @property
    def events_left(self) -> int:
        """Predictions that the reference still needs."""
        return 0 if self._buffer is None else self.config.reference.n - self.seen

    def restart(self) -> None:
        """Forget the reference: the next `reference.n` predictions are the new one."""
        self.seen, self.filled, self.blind = 0, 0, {}
        for vocabulary in self.vocabularies:
            vocabulary.__init__(vocabulary.cap)  # type: ignore[misc]
        self._buffer = np.empty((self.config.reference.n, len(self.names)))
        self._make_parts()

    def update(self, columns: PredictionColumns) -> list[Spoken]:
        """Take a block of accepted predictions; returns alarms in the order (row, signal, detector)."""
        total = len(columns.numbers)
        start = 0
        if self._buffer is not None:
            start = min(total, self.events_left)
            self._learn(columns, start)
        if start == total:
            return []
        return self._watch(columns, start)

    def _learn(self, columns: PredictionColumns, until: int) -> None:
        if self._buffer is None:
            return
        rows = self._matrix(columns, 0, until, learn=True)
        self._buffer[self.seen : self.seen + until] = rows
        self.seen += until
        if self.seen == self.config.reference.n:
            self._freeze(int(columns.numbers[until - 1]))

    def _freeze(self, last_number: int) -> None:
        reference = self._buffer
        if reference is None:
            return
        first_class = len(self._numeric_at)
        for place, vocabulary in enumerate(self.vocabularies):
            _recode(reference[:, first_class + place], vocabulary)
        index = np.arange(len(reference), dtype=np.int64) + last_number + 1 - len(reference)
        self._find_blind(reference)
        self.means.update(reference, index)
        self._watch_quality(self._quality_of_reference(reference), index)
        for ranks in self.ranks:
            ranks.start(reference[:, ranks.columns], index)
        self.levels.start(reference)
        self._start_joint(reference)
        self._buffer = None

    def _find_blind(self, reference: NDArray[np.float64]) -> None:
        for column, name in enumerate(self.names):
            known = int(np.count_nonzero(~np.isnan(reference[:, column])))
            if known < min(_LEAST_REFERENCE_N, len(reference)):
                self.blind[name] = f"only {known} of {len(reference)} reference predictions carry a value"

    def _joint_columns(self) -> tuple[list[int], list[int]]:
        features = self.config.features
        fixed = [
            i for i, n in enumerate(self._watched) if (features[n].reference or self.config.reference.mode) == "fixed"
        ]
        split = len(self._numeric_at)
        return [i for i in fixed if i < split], [i for i in fixed if i >= split]

    def _joint_rows(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        numeric, categorical = self._joint_columns()
        codes = np.where(np.isnan(rows[:, categorical]), -1.0, rows[:, categorical]).astype(np.int64)
        return np.ascontiguousarray(rows[:, numeric]), codes

    def _start_joint(self, reference: NDArray[np.float64]) -> None:
        numeric, categorical = self._joint_columns()
        if not self.joint.wanted or not numeric + categorical:
            return
        split = len(self._numeric_at)
        sizes = [len(self.vocabularies[i - split]) + 1 for i in categorical]
        values, codes = self._joint_rows(reference)
        self._encoder = JointEncoder.fit(values, codes, sizes)
        self.joint.start(self._encoder.transform(values, codes)[0], self._encoder.groups())

    def _watch(self, columns: PredictionColumns, start: int) -> list[Spoken]:
        total = len(columns.numbers)
        rows = self._matrix(columns, start, total, learn=False)
        index = columns.numbers[start:]
        self.seen += total - start
        spoken = [_shifted(s, start) for s in self.means.update(rows, index)]
        spoken = [self._kind(s) for s in spoken]
        for ranks in self.ranks:
            spoken += ranks.update(np.ascontiguousarray(rows[:, ranks.columns]), index, start)
        spoken += self.levels.update(rows, index, start)
        spoken += [_shifted(s, start) for s in self._watch_quality(self._quality(rows), index)]
        spoken += self._watch_joint(rows, index, start)
        spoken = [s for s in spoken if s.alarm.signal not in self.blind]
        spoken.sort(key=lambda s: (s.row, s.order))
        return spoken

    def _kind(self, spoken: Spoken) -> Spoken:
        kind = self.kinds[spoken.order[0]]
        if kind == spoken.alarm.kind:
            return spoken
        return Spoken(spoken.row, spoken.order, msgspec.structs.replace(spoken.alarm, kind=kind))

    def _watch_joint(self, rows: NDArray[np.float64], index: NDArray[np.int64], start: int) -> list[Spoken]:
        if self._encoder is None:
            return []
        encoded, filled = self._encoder.transform(*self._joint_rows(rows))
        self.filled += int(filled.sum())
        spoken = self.joint.update(encoded, index, start)
        for said in spoken:
            importances = said.alarm.facts.pop("importances", None)
            if importances is None:
                said.alarm.facts["suspects"] = self._suspects(said.row - start)
            else:
                names = [self._watched[i] for part in self._joint_columns() for i in part]
                said.alarm.facts["suspects"] = suspects(names, importances)
        return spoken

    def _suspects(self, row: int) -> list[dict[str, Any]]:
        names: list[str] = []
        effects: list[float] = []
        for ranks in self.ranks:
            if ranks.row_effects is None:
                continue
            for column, name in enumerate(ranks.names):
                if name.startswith("feature:"):
                    names.append(name)
                    effects.append(ranks.row_effects[row, column])
        return suspects(names, np.array(effects))

    def _matrix(self, columns: PredictionColumns, start: int, until: int, *, learn: bool) -> NDArray[np.float64]:
        rows = np.empty((until - start, len(self.names)))
        split = len(self._numeric_at)
        rows[:, :split] = columns.numeric[start:until][:, self._numeric_at]
        for place, at in enumerate(self._categorical_at):
            values = [row[at] for row in columns.categorical[start:until]]
            rows[:, split + place] = self._codes(self.vocabularies[place], values, learn=learn)
        if self.config.task == "classification":
            values = [None if v is None else str(v) for v in columns.predicted[start:until]]
            rows[:, -3] = self._codes(self.vocabularies[-1], values, learn=learn)
        rows[:, -2] = columns.score[start:until]
        rows[:, -1] = columns.margin[start:until]
        # Larger numbers would overflow in spreads and distances; up to here their order is kept.
        return np.clip(rows, -LARGEST, LARGEST)

    @staticmethod
    def _codes(vocabulary: Vocabulary, values: list[str | None], *, learn: bool) -> list[float]:
        code = vocabulary.learn if learn else vocabulary.code
        return [np.nan if value is None else code(value) for value in values]

    def _quality(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Zeros and ones [n, quality names]: each feature missing, each categorical one unseen."""
        features, split = len(self._watched), len(self._numeric_at)
        codes = rows[:, split:features]
        sizes = np.array([len(self.vocabularies[place]) for place in range(features - split)])
        # Of a missing value nobody knows whether it would have been an unseen one.
        unseen = np.where(np.isnan(codes), np.nan, codes == sizes)
        return np.column_stack([np.isnan(rows[:, :features]), unseen])

    def _watch_quality(self, bits: NDArray[np.float64], index: NDArray[np.int64]) -> list[Spoken]:
        """Missing and unseen values, as means of blocks where they come in runs; none where no feature is watched."""
        if not self.quality_names:
            return []
        return self.quality.update(bits if self.config.quality_block == 1 else self._blocks.update_many(bits), index)

    def _quality_of_reference(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same for the reference, where no category is unseen: those seen once stand for them, because unseen ones
        come at the rate of those seen once (Good 1953, doi:10.1093/biomet/40.3-4.237)."""
        bits = self._quality(rows)
        features, split = len(self._watched), len(self._numeric_at)
        for place in range(features - split):
            codes = rows[:, split + place]
            counts = np.array([*self.vocabularies[place].counts, 0])
            known = ~np.isnan(codes)
            bits[known, features + place] = counts[np.minimum(codes[known], len(counts) - 1).astype(np.int64)] == 1
        return bits

    def latest(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Newest (statistic, threshold) by signal and detector, for pages and metrics."""
        merged: dict[str, dict[str, tuple[float, float]]] = {}
        parts: tuple[MeanSignals | RankSignals | LevelSignals | JointSignals, ...]
        parts = (self.means, self.quality, *self.ranks, self.levels, self.joint)
        for part in parts:
            for name, detectors in part.latest.items():
                merged.setdefault(name, {}).update(detectors)
        return merged

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        return {
            "seen": self.seen,
            "filled": self.filled,
            "blind": self.blind,
            "vocabularies": [vocabulary.state() for vocabulary in self.vocabularies],
            "buffer": None if self._buffer is None else self._buffer[: self.seen],
            "means": self.means.state(),
            "quality": self.quality.state(),
            "blocks": self._blocks.state(),
            "ranks": [ranks.state() for ranks in self.ranks],
            "levels": self.levels.state(),
            "joint": self.joint.state(),
            "encoder": None if self._encoder is None else self._encoder.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        self.seen, self.filled, self.blind = state["seen"], state["filled"], dict(state["blind"])
        for vocabulary, saved in zip(self.vocabularies, state["vocabularies"], strict=True):
            vocabulary.load(saved)
        self._buffer = None
        if state["buffer"] is not None:
            self._buffer = np.empty((self.config.reference.n, len(self.names)))
            self._buffer[: self.seen] = state["buffer"]
        self.means.load(state["means"])
        self.quality.load(state["quality"])
        self._blocks = GappedBlocks.from_state(state["blocks"])
        for ranks, saved in zip(self.ranks, state["ranks"], strict=True):
            ranks.load(saved)
        self.levels.load(state["levels"])
        self.joint.load(state["joint"])
        self._encoder = None if state["encoder"] is None else JointEncoder.from_state(state["encoder"])


def _recode(column: NDArray[np.float64], vocabulary: Vocabulary) -> None:
    rank = np.array([*vocabulary.freeze(), 0], dtype=np.float64)
    known = ~np.isnan(column)
    codes = np.minimum(column[known], len(rank) - 1).astype(np.int64)
    rank[-1] = len(rank) - 1
    column[known] = rank[codes]


def _shifted(spoken: Spoken, start: int) -> Spoken:
    return Spoken(spoken.row + start, spoken.order, spoken.alarm)
