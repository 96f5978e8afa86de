"""A poll, decoded into columns: what the monitor fold reads.

One `MonitorBatch` holds the events of one monitor in the partition's order. A NaN in `numeric` and a None
in `categorical` both mean *missing*; no other non-finite value can stand here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream.events import Control, Reject

__all__ = ["CONTROL", "LABEL", "PREDICTION", "Decoded", "MonitorBatch"]

PREDICTION, LABEL, CONTROL = 0, 1, 2


@dataclass(slots=True)
class MonitorBatch:
    """Events of one monitor, in order; `n` events of which `p` predictions, `q` labels, the rest controls.

    Attributes
    ----------
    kind : int8[n]        PREDICTION, LABEL or CONTROL
    offset : int64[n]     position in the partition (strictly increasing; names a place, never enters state)
    time_ms : int64[n]    event time, milliseconds since the epoch
    ids : n texts         the id of a prediction, or the id that a label answers; "" for controls
    row : int64[n]        row in the prediction columns, the labels or the controls, by kind
    numeric : float64[p, number of numeric features]       NaN = missing
    categorical : p tuples, one text or None a categorical or boolean feature     None = missing
    prediction : p        canonical class text, float (regression) or None
    scores : p            class -> probability, or None
    model_version : p     "" when the producer gave none
    segment : p           slice -> value, or None
    backfill : bool[p]    the event was marked `"origin": "backfill"`
    unknown : int64[p]    how many features the schema does not know (counted and ignored)
    label : q             canonical class text or float
    control : the control events
    """

    monitor: str
    kind: NDArray[np.int8]
    offset: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    ids: list[str]
    row: NDArray[np.int64]
    numeric: NDArray[np.float64]
    categorical: Sequence[tuple[str | None, ...]]
    prediction: Sequence[str | float | None]
    scores: Sequence[dict[str, float] | None]
    model_version: Sequence[str]
    segment: Sequence[dict[str, str] | None]
    backfill: NDArray[np.bool_]
    unknown: NDArray[np.int64]
    label: Sequence[str | float]
    control: Sequence[Control]


@dataclass(slots=True)
class Decoded:
    """What became of one block of raw messages: every message is in exactly one batch or is one reject."""

    batches: dict[str, MonitorBatch] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    next_offset: int = 0
