"""The trees of an ensemble as plain values for a snapshot, and back; all is checked before a kernel sees it.

Kernels follow numbers of nodes and blocks without looking: one that points outside, or round in a circle, must be found
here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners._forest_kernels import MEMBER_N
from learners._tree_adwin import ADWIN_N, windows_are_sound
from learners._tree_ensemble import Ensemble
from learners._tree_layout import (
    ALTERNATE,
    BLOCKS_FREE,
    BLOCKS_USED,
    FEATURE,
    FLAGS,
    LEFT,
    MULTIWAY,
    NEXT,
    NODES_FREE,
    NODES_USED,
    NOMINAL,
    RIGHT,
    ROOT,
    Shape,
)

__all__ = ["load_ensemble", "tree_of"]


def tree_of(ensemble: Ensemble) -> dict[str, Any]:
    """Plain tree: what is in use of each region, and the rest whole."""
    return {
        "classes": ensemble.classes,
        "class_places": ensemble.shape.class_places,
        "categories": list(ensemble.shape.categories),
        "members": ensemble.members.copy(),
        "streams": ensemble.streams.copy(),
        "windows": [] if ensemble.by_node else [ensemble.windows.copy()],
        "regions": [_region(ensemble, i) for i in range(ensemble.layout.regions)],
    }


def _slices(ensemble: Ensemble, i: int, used: NDArray[np.int64]) -> tuple[slice, slice]:
    layout = ensemble.layout
    nodes = slice(i * layout.nodes, i * layout.nodes + int(used[NODES_USED]))
    return nodes, slice(i * layout.blocks, i * layout.blocks + int(used[BLOCKS_USED]))


def _region(ensemble: Ensemble, i: int) -> list[Any]:
    pool = ensemble.pool
    nodes, blocks = _slices(ensemble, i, pool.region[i])
    parts = [pool.region[i], pool.link[nodes], pool.cut[nodes], pool.stats[blocks], pool.subset[blocks]]
    if ensemble.by_node:
        parts.append(ensemble.windows[nodes])
    return [part.copy() for part in parts]


def load_ensemble(ensemble: Ensemble, tree: dict[str, Any]) -> None:
    """Take over what `tree_of` gave; ValueError where it contradicts itself."""
    plan = ensemble.plan
    shape = Shape(int(tree["class_places"]), 0, tuple(int(n) for n in tree["categories"]))
    _require(2 <= shape.class_places <= 2 * plan.classes_cap, "class places")
    _require(all(0 <= n <= 2 * plan.categories_cap for n in shape.categories), "categories")
    _require(0 <= tree["classes"] <= min(plan.classes_cap, shape.class_places), "classes")
    ensemble.reshape(shape.class_places, shape.categories)
    ensemble.classes = int(tree["classes"])
    _require(len(tree["regions"]) == ensemble.layout.regions, "regions")
    for i, parts in enumerate(tree["regions"]):
        _load_region(ensemble, i, parts)
    ensemble.members = _array(tree["members"], np.int64, (plan.trees, MEMBER_N))
    ensemble.streams = _array(tree["streams"], np.uint64, (plan.trees,))
    if not ensemble.by_node:
        ensemble.windows = _array(tree["windows"][0], np.int32, (ensemble.layout.regions, ADWIN_N))
    _require(windows_are_sound(ensemble.windows), "windows")
    _check_members(ensemble)


def _load_region(ensemble: Ensemble, i: int, parts: list[Any]) -> None:
    pool, layout = ensemble.pool, ensemble.layout
    region = _array(parts[0], np.int64, pool.region[i].shape)
    _require(0 <= region[NODES_USED] <= layout.nodes and 0 <= region[BLOCKS_USED] <= layout.blocks, "region")
    nodes, blocks = _slices(ensemble, i, region)
    targets: list[Any] = [pool.link[nodes], pool.cut[nodes], pool.stats[blocks], pool.subset[blocks]]
    if ensemble.by_node:
        targets.append(ensemble.windows[nodes])
    for target, part in zip(targets, parts[1:], strict=True):
        target[:] = _array(part, target.dtype, target.shape)
    pool.region[i] = region
    _check_links(ensemble, pool.link[nodes].astype(np.int64), nodes, blocks)
    columns = len(ensemble.shape.categories)
    _require(bool(np.all((pool.subset[blocks] >= -1) & (pool.subset[blocks] < columns))), "observed columns")
    _require(region[ROOT] == -1 or nodes.start <= region[ROOT] < nodes.stop, "root")
    _check_free(region[NODES_FREE], lambda at: int(pool.link[nodes.start + at, LEFT]), int(region[NODES_USED]))
    _check_free(region[BLOCKS_FREE], lambda at: int(pool.stats[blocks.start + at, 0]), int(region[BLOCKS_USED]))


def _check_links(ensemble: Ensemble, link: NDArray[np.int64], nodes: slice, blocks: slice) -> None:
    columns, cut = len(ensemble.shape.categories), ensemble.pool.cut[nodes]
    feature, many = link[:, FEATURE], (link[:, FLAGS] & MULTIWAY) != 0
    split, leaf = feature >= 0, feature == -1
    _require(bool(np.all((feature >= -2) & (feature < columns))), "columns")
    _require(_within(link[leaf, LEFT], blocks) and len(np.unique(link[leaf, LEFT])) == leaf.sum(), "leaves")
    # Each node is reached from one place at most, so that there is no way round.
    live = split | leaf
    reached = [link[split, LEFT], link[split & ~many, RIGHT]]
    reached += [link[live & (link[:, field] >= 0), field] for field in (NEXT, ALTERNATE)]
    targets = np.concatenate(reached)
    roots = ensemble.pool.region[:, ROOT]
    _require(_within(targets, nodes) and len(np.unique(targets)) == len(targets), "branches")
    _require(not np.isin(targets, roots).any() and bool(live[targets - nodes.start].all()), "branches")
    _require(_within(link[split & many, RIGHT], nodes), "branches")
    for at in np.flatnonzero(split & many):
        _require(bool(feature[at] < columns and link[at, FLAGS] & NOMINAL), "branches")
        child, seen = link[at, LEFT], set()
        while child >= 0:
            seen.add(int(child))
            child = link[child - nodes.start, NEXT]
        _require(len(seen) == cut[at] and int(link[at, RIGHT]) in seen, "branches")


def _check_members(ensemble: Ensemble) -> None:
    regions, step = ensemble.layout.regions, ensemble.layout.regions // ensemble.plan.trees
    for t, (active, background) in enumerate(ensemble.members[:, :2]):
        own = range(t * step, (t + 1) * step)
        _require(active in own and (background == -1 or (background in own and background != active)), "members")
        for region in (active, background):
            _require(region < regions and (region < 0 or ensemble.pool.region[region, ROOT] >= 0), "members")


def _check_free(first: int, following: Any, used: int) -> None:
    at = int(first)
    for _ in range(used):
        if at < 0:
            return
        _require(at < used, "free places")
        at = following(at)
    _require(at < 0, "free places")


def _within(numbers: NDArray[np.int64], places: slice) -> bool:
    return bool(np.all((numbers >= places.start) & (numbers < places.stop)))


def _array(part: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    _require(isinstance(part, np.ndarray) and part.dtype == dtype and part.shape == shape, "an array")
    return np.ascontiguousarray(part).copy()


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{what} of the trees")
