"""What a monitor's events must look like: features, their types and limits, the task, the time zone."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["FeatureSchema", "MonitorSchema"]


class FeatureSchema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One feature. `min`/`max` bound numbers, `allowed` closes the set of categories.

    A `sensitive` category is replaced by a keyed hash while it is decoded, a sensitive number by the index of
    its bin (`bins`, ascending edges, required then), so that the plain value never reaches state or pages.
    """

    type: Literal["numeric", "categorical", "boolean"]
    required: bool = False
    min: float | None = None
    max: float | None = None
    allowed: tuple[str, ...] | None = None
    sensitive: bool = False
    bins: tuple[float, ...] | None = None


class MonitorSchema(msgspec.Struct, frozen=True, kw_only=True):
    """The schema of one monitor; feature order is the order of columns."""

    name: str
    task: Literal["classification", "regression"]
    features: dict[str, FeatureSchema]
    timezone: str | None = None

    @property
    def numeric(self) -> tuple[str, ...]:
        """Names of the numeric columns, in order."""
        return tuple(n for n, f in self.features.items() if f.type == "numeric")

    @property
    def categorical(self) -> tuple[str, ...]:
        """Names of the categorical and boolean columns, in order."""
        return tuple(n for n, f in self.features.items() if f.type != "numeric")
