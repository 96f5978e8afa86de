"""Regression trees as plain values for a snapshot, and back; all is checked before a kernel sees it.

Kernels follow numbers of nodes, blocks and slots without looking: one that points outside, or round in a circle, must
be found here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners._regression_adwin import windows_hold
from learners._regression_ensemble import RegressionEnsemble
from learners._regression_forest import ACTIVE, BACKGROUND
from learners._regression_layout import (
    BLOCKS_USED,
    FEATURE,
    LEFT,
    NODES_USED,
    RIGHT,
    SLOT_WIDTH,
    SLOTS,
    TOTAL,
    WEIGHTS,
)
from learners._regression_scale import clip_holds

__all__ = ["load_ensemble", "tree_of"]

_FIXED = ("members", "record", "windows", "streams", "clip", "scale")


def tree_of(ensemble: RegressionEnsemble) -> dict[str, Any]:
    """Plain tree: what is in use of each region, and the rest whole."""
    regions = [[part.copy() for part in _parts(ensemble, i)] for i in range(ensemble.layout.regions)]
    fixed = {name: getattr(ensemble, name).copy() for name in _FIXED}
    return {"nominal": list(ensemble.nominal), "regions": regions, **fixed}


def _parts(ensemble: RegressionEnsemble, i: int) -> list[NDArray[Any]]:
    pool, layout = ensemble.pool, ensemble.layout
    nodes = slice(i * layout.nodes, i * layout.nodes + int(pool.region[i, NODES_USED]))
    blocks = slice(i * layout.blocks, i * layout.blocks + int(pool.region[i, BLOCKS_USED]))
    return [
        pool.region[i],
        pool.link[nodes],
        pool.cut[nodes],
        pool.codes[nodes],
        pool.stats[blocks],
        pool.subset[blocks],
    ]


def load_ensemble(ensemble: RegressionEnsemble, tree: dict[str, Any]) -> None:
    """Take over what `tree_of` gave; ValueError where it contradicts itself."""
    nominal = tuple(bool(part) for part in tree["nominal"])
    ensemble.reshape(nominal)
    ensemble.scale = np.zeros((len(nominal), ensemble.scale.shape[1]))
    _require(len(tree["regions"]) == ensemble.layout.regions, "regions")
    for i, parts in enumerate(tree["regions"]):
        _load_region(ensemble, i, parts)
    for name in _FIXED:
        before = getattr(ensemble, name)
        setattr(ensemble, name, _array(tree[name], before.dtype, before.shape))
    _require(windows_hold(ensemble.windows), "windows")
    _require(clip_holds(ensemble.clip), "targets so far")
    for name in ("record", "scale"):
        _require(
            bool(np.isfinite(getattr(ensemble, name)).all() and (getattr(ensemble, name)[:, 0] >= 0.0).all()), name
        )
    _check_members(ensemble)


def _load_region(ensemble: RegressionEnsemble, i: int, parts: list[Any]) -> None:
    pool, layout = ensemble.pool, ensemble.layout
    region = _array(parts[0], np.int64, pool.region[i].shape)
    _require(0 <= region[NODES_USED] <= layout.nodes and 0 <= region[BLOCKS_USED] <= layout.blocks, "region")
    _require(bool((region[NODES_USED] == 0) == (region[BLOCKS_USED] == 0)), "region")
    pool.region[i] = region
    for target, part in zip(_parts(ensemble, i)[1:], parts[1:], strict=True):
        target[:] = _array(part, target.dtype, target.shape)
    _, link, cut, _, stats, subset = _parts(ensemble, i)
    _require(bool(np.isfinite(cut).all() and np.isfinite(stats).all()), "numbers")
    _require(bool(np.all((subset >= -1) & (subset < layout.columns))), "observed columns")
    _check_links(link, i * layout.nodes, i * layout.blocks, len(stats), layout.columns)
    _check_blocks(ensemble, stats, subset)


def _check_links(link: NDArray[np.int32], first_node: int, first_block: int, blocks_n: int, columns: int) -> None:
    feature = link[:, FEATURE]
    split, leaf = feature >= 0, feature == -1
    _require(bool(np.all((feature >= -1) & (feature < columns))), "columns")
    # Every block is one leaf's; every node but the root is below one other, and behind it: there is no way round.
    _require(np.array_equal(np.sort(link[leaf, LEFT]), first_block + np.arange(blocks_n)), "leaves")
    below = np.sort(np.concatenate([link[split, LEFT], link[split, RIGHT]]))
    _require(np.array_equal(below, first_node + np.arange(1, len(link))), "branches")
    own = first_node + np.flatnonzero(split)
    _require(bool(np.all(link[split, LEFT] > own) and np.all(link[split, RIGHT] > own)), "branches")


def _check_blocks(ensemble: RegressionEnsemble, stats: NDArray[np.float64], subset: NDArray[np.int16]) -> None:
    _require(bool(np.all(stats[:, TOTAL] >= 0.0)), "weights")
    columns = ensemble.layout.columns
    slots = stats[:, WEIGHTS + columns :].reshape(len(stats), subset.shape[1], SLOT_WIDTH)
    used = slots[:, :, 0]
    _require(bool(np.all((used >= 0) & (used <= SLOTS) & (used == np.trunc(used)))), "slots")
    taken = np.arange(SLOTS) < used[:, :, None]
    edges, weights = slots[:, :, 1 : 1 + SLOTS], slots[:, :, 1 + SLOTS : 1 + 2 * SLOTS]
    _require(bool(np.all(weights[taken] > 0.0)), "slots")
    _require(bool(np.all(np.diff(edges, axis=2)[taken[:, :, 1:]] > 0.0)), "slots")
    is_code = np.array([*ensemble.nominal, False])[subset]  # -1 means no column: the last
    codes = edges[taken & is_code[:, :, None]]
    _require(bool(np.all((codes >= 0) & (codes < 64) & (codes == np.trunc(codes)))), "codes")


def _check_members(ensemble: RegressionEnsemble) -> None:
    step = ensemble.layout.regions // ensemble.plan.trees
    for t, member in enumerate(ensemble.members):
        active, background, own = int(member[ACTIVE]), int(member[BACKGROUND]), range(t * step, (t + 1) * step)
        _require(active in own and (background == -1 or (background in own and background != active)), "members")
        for region in (active, background):
            _require(region < 0 or ensemble.pool.region[region, NODES_USED] > 0, "members")


def _array(part: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    _require(isinstance(part, np.ndarray) and part.dtype == dtype and part.shape == shape, "an array")
    return np.ascontiguousarray(part).copy()


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{what} of the trees")
