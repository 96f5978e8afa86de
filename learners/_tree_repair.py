"""What a compiled tree learner does when it is told of a drift: replace its worst tree, or let its past count less.

Both work on the arrays of an ensemble between two blocks, so they happen at the same row however blocks are cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learners._forest_kernels import ACTIVE, BACKGROUND, DRIFTS, HITS, SEEN
from learners._tree_adwin import WINDOW_N, clear_window, error_rate
from learners._tree_ensemble import Ensemble
from learners._tree_layout import COUNTS, FEATURE, LEFT, NODES_USED

__all__ = ["fade", "replace_worst"]

# A variance needs more than one value: below, evidence is left alone.
_LEAST_WEIGHT = 2.0


def replace_worst(ensemble: Ensemble) -> int:
    """Put the tree that grows in the background, or else an empty one, in the place of the one with the most errors.

    Errors are those in the tree's ADWIN window, or, where it keeps none, since it began to vote; the first of equals
    goes. Returns 1, or 0 where there is one tree.
    """
    members = ensemble.members
    if len(members) < 2:
        return 0
    worst = int(np.argmax([_recent_error(ensemble, t) for t in range(len(members))]))
    background = int(members[worst, BACKGROUND])
    if background >= 0:
        members[worst, ACTIVE], members[worst, BACKGROUND] = background, -1
    else:
        ensemble.start(int(members[worst, ACTIVE]), worst)
    members[worst, DRIFTS] += 1
    members[worst, SEEN] = members[worst, HITS] = 0
    for window in _windows(ensemble, worst):
        clear_window(ensemble.windows, window)
    return 1


def _windows(ensemble: Ensemble, t: int) -> range:
    each = len(ensemble.windows) // len(ensemble.members)
    return range(t * each, (t + 1) * each)


def _recent_error(ensemble: Ensemble, t: int) -> float:
    """A forest's tree has two windows, of which the second, for drifts, reaches further back."""
    window = _windows(ensemble, t)[-1]
    if ensemble.windows[window, WINDOW_N] > 0:
        return float(error_rate(ensemble.windows, window))
    seen, hits = int(ensemble.members[t, SEEN]), int(ensemble.members[t, HITS])
    return (seen - hits) / seen if seen else 0.0


def fade(ensemble: Ensemble, keep: float) -> None:
    """Multiply the weights in all leaves by `keep`.

    Means, variances and ranges stay as they are. The weight of a class in a column of numbers stays at 2 or what
    it was, so that its variance stays one.

    Raises
    ------
    ValueError
        `keep` is out of range.
    """
    if not 0.0 < keep <= 1.0:
        raise ValueError(f"keep = {keep}: must be in (0, 1]")
    pool, shape = ensemble.pool, ensemble.shape
    blocks = _leaves(ensemble)
    head = COUNTS + shape.class_places
    pool.stats[blocks, :head] *= keep
    numeric = np.append(pool.columns == 0, [False])  # the last stands for a place without a column
    nominal = np.append(pool.columns > 0, [False])
    for i, (at, width) in enumerate(pool.slots.tolist()):
        column = pool.subset[blocks, i]
        for k in range(shape.class_places):
            place = at + k * width
            if numeric[column].any():  # else the place may lie behind the last
                _fade_numbers(pool.stats, blocks[numeric[column]], place, keep)
            pool.stats[blocks[nominal[column]], place : place + width] *= keep


def _leaves(ensemble: Ensemble) -> NDArray[np.int64]:
    """Blocks of all leaves, those of background trees and alternate branches included."""
    link, layout = ensemble.pool.link, ensemble.layout
    found = [np.zeros(0, dtype=np.int64)]
    for i, used in enumerate(ensemble.pool.region[:, NODES_USED].tolist()):
        nodes = link[i * layout.nodes : i * layout.nodes + used]
        found.append(nodes[nodes[:, FEATURE] == -1, LEFT].astype(np.int64))
    return np.concatenate(found)


def _fade_numbers(stats: NDArray[np.float64], blocks: NDArray[np.int64], place: int, keep: float) -> None:
    """Weight and sum of squares, so that the sum divided by the weight less 1 stays."""
    weight = stats[blocks, place]
    kept = np.maximum(keep * weight, np.minimum(weight, _LEAST_WEIGHT))
    changed = kept < weight
    at = blocks[changed]
    stats[at, place + 2] *= (kept[changed] - 1.0) / (weight[changed] - 1.0)
    stats[at, place] = kept[changed]
