"""Arrays of the rank tests: what is known of a reference, and of a window's values between the reference's, F signals.

A value's *place* is 2i in the gap below the i-th unique reference value and 2i + 1 on it: so the places of two values
compare as they do with regard to the reference, and both tests are sums over places up to each place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.base import Floats, Ints

__all__ = ["WIDTH", "Places", "Prefixes", "Ring", "Rule", "empty_places", "empty_prefixes", "empty_ring"]

# Places of a block: a fixed number lets the compiler turn a walk over a block into a handful of vector instructions.
WIDTH = 64
# Blocks come in multiples of this, so that a walk over them leaves no remainder.
_BLOCKS = 16
_CELLS_A_VALUE = 4
_SLOTS_A_VALUE = 16  # one value in 16 shares its hash, or fewer

Shorts = NDArray[np.int32]  # halves the memory to walk; the sizes of the samples are held to what it takes


class Places(NamedTuple):
    """The references of F signals; n is a reference's size, m the window's."""

    unique: Floats  # [F, U] ascending
    cells: Shorts  # [F, cells + 1]: unique values below each of the cells that cut the range evenly
    grid: Floats  # [F, 2]: where the first cell begins, cells per unit
    ranks: Shorts  # [F, blocks, WIDTH]: twice the mid-rank among the reference of a value at the place, from 0
    due: Shorts  # [F, blocks, WIDTH]: m times the reference's values up to the place
    size: Ints  # [F, 3]: unique values, n, sum(g^3 - g) over the counts g of equal reference values


class Prefixes(NamedTuple):
    """Sums over the window's values up to each place: that of the block, and for each block what to add to all of it.

    Current while the window is full and there is a reference; `gaps` for Kolmogorov-Smirnov, the others for CvM.
    """

    gaps: Shorts  # [F, blocks, WIDTH]: `due` less n times the count
    gaps_before: Shorts  # [F, blocks]
    most: Shorts  # [F, blocks]: largest of a block's `gaps`
    least: Shorts  # [F, blocks]: smallest
    counts: Shorts  # [F, blocks, WIDTH]: how many
    counts_before: Shorts  # [F, blocks]
    ranks: Shorts  # [F, blocks, WIDTH]: their `Places.ranks`
    ranks_before: Shorts  # [F, blocks]


class Ring(NamedTuple):
    """The newest `window_n` values of F signals; places, sums and hashes are kept as `Prefixes` are."""

    values: Floats  # [F, m]
    positions: Ints  # [F, m]: `index` of each
    places: Shorts  # [F, m]
    flags: Ints  # [F, 3]: values seen, KS open, CvM open
    sums: Ints  # [F, 4]: see `_rank_places`
    newest: Floats  # [F, 3]: KS, CvM and the part of CvM that ties alone make, of the newest test
    hashes: NDArray[np.uint16]  # [F, slots]: how many values have each hash, see `_window_ties`


class Rule(NamedTuple):
    """When to test and what is an alarm."""

    test_every: int
    min_effect: float
    clear_ratio: float
    ks: int
    cvm: int


def empty_places(n_signals: int, reference_n: int) -> Places:
    """Room for references of up to `reference_n` values."""
    shape = (n_signals, _blocks(reference_n), WIDTH)
    return Places(
        unique=np.zeros((n_signals, max(1, reference_n))),
        cells=np.zeros((n_signals, _CELLS_A_VALUE * max(1, reference_n) + 1), dtype=np.int32),
        grid=np.zeros((n_signals, 2)),
        ranks=np.zeros(shape, dtype=np.int32),
        due=np.zeros(shape, dtype=np.int32),
        size=np.zeros((n_signals, 3), dtype=np.int64),
    )


def empty_prefixes(n_signals: int, reference_n: int) -> Prefixes:
    """Sums of no values against references of up to `reference_n`."""
    blocks = _blocks(reference_n)
    shapes = {name: (n_signals, blocks, WIDTH) if name in ("gaps", "counts", "ranks") else (n_signals, blocks)
              for name in Prefixes._fields}  # fmt: skip
    return Prefixes(**{name: np.zeros(shape, dtype=np.int32) for name, shape in shapes.items()})


def empty_ring(n_signals: int, window_n: int) -> Ring:
    """An empty window."""
    shape = (n_signals, window_n)
    slots = 1 << (_SLOTS_A_VALUE * window_n - 1).bit_length()
    return Ring(
        values=np.zeros(shape), positions=np.zeros(shape, dtype=np.int64), places=np.zeros(shape, dtype=np.int32),
        flags=np.zeros((n_signals, 3), dtype=np.int64), sums=np.zeros((n_signals, 4), dtype=np.int64),
        newest=np.full((n_signals, 3), np.nan), hashes=np.zeros((n_signals, slots), dtype=np.uint16),
    )  # fmt: skip


def _blocks(reference_n: int) -> int:
    places = 2 * reference_n + 1
    return -(-places // (WIDTH * _BLOCKS)) * _BLOCKS
