"""Kernels of the Hoeffding adaptive tree: every node watches its errors, and a branch that fails is replaced alone.

A split whose errors have risen, and not in one of its branches alone, grows an alternate beside it; the alternate takes
its place once it is surely better, and is dropped once it is surely worse.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from learners._forest_kernels import DRIFTS, HITS, SEEN, WARNINGS, add_votes, draw_weight, learn_at
from learners._tree_adwin import WINDOW_N, add_bit, clear_window, error_rate, has_changed
from learners._tree_kernels import answer, branch_of, find_leaf, new_leaf, start_tree
from learners._tree_layout import (
    ALTERNATE,
    BLOCKS_FREE,
    FEATURE,
    FLAGS,
    LEFT,
    MULTIWAY,
    NEXT,
    NODES_FREE,
    RIGHT,
    ROOT,
)

__all__ = ["adaptive_block", "start_adaptive"]

# Of the published algorithm: values before two branches are compared, and 1 - confidence of the comparison.
_COMPARED_N, _COMPARED_DELTA = 300, 0.05
_KEEP, _SWAP, _PRUNE = range(3)


@njit(cache=True, nogil=True, error_model="numpy")
def start_adaptive(pool, rule, windows, streams):  # type: ignore[no-untyped-def]
    """Make the only region a tree of one empty leaf."""
    clear_window(windows, start_tree(0, pool, rule, streams, 0))


@njit(cache=True, nogil=True, error_model="numpy")
def adaptive_block(rows, labels, out, tally, pool, rule, members, windows, streams, poisson, scratch):  # type: ignore[no-untyped-def]
    """Answer and learn a block row by row; `windows` holds an ADWIN per node."""
    path = np.empty(rule.nodes, dtype=np.int64)
    # Branches still to be visited: root, the node that holds it (-1: the tree), and whether as its alternate.
    todo = np.empty((rule.nodes + 1, 3), dtype=np.int64)
    for r in range(rows.shape[0]):
        if labels[r] < 0:
            _only_answer(rows, r, out, tally, pool, rule, scratch)
            continue
        todo[0, 0], todo[0, 1], todo[0, 2] = pool.region[0, ROOT], -1, 0
        open_n, members[0, SEEN] = 1, members[0, SEEN] + 1
        is_main = True
        while open_n > 0:
            open_n -= 1
            depth = _walk(rows, r, todo[open_n, 0], path, pool)
            said, majority, bayes = _ask(rows, r, path[depth], pool, rule, scratch)
            if is_main:
                add_votes(out, tally, r, said, 1.0, scratch[0], rule.classes)
                members[0, HITS] += said == labels[r]
            is_main = False
            error = int(said != labels[r])
            stays, open_n = _review(path, depth, error, todo, open_n, pool, rule, windows, streams, members)
            weight = draw_weight(poisson, streams, 0) if stays else 0
            if weight > 0:
                node = path[depth]
                learn_at(rows, r, labels[r], weight, 0, node, (majority, bayes), pool, rule, streams, 0, scratch[2:])
                _clear_new(node, pool, windows)


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(rows, r, node, path, pool):  # type: ignore[no-untyped-def]
    """Fill `path` from `node` to the leaf of row `r`; returns the leaf's place."""
    depth = 0
    path[0] = node
    while pool.link[node, FEATURE] >= 0:
        node = branch_of(rows, r, node, pool.link, pool.cut)
        depth += 1
        path[depth] = node
    return depth


@njit(cache=True, nogil=True, error_model="numpy")
def _ask(rows, r, node, pool, rule, scratch):  # type: ignore[no-untyped-def]
    return answer(
        rows, r, pool.link[node, LEFT], pool.stats, pool.subset, pool.slots, pool.columns, rule.classes,
        rule.leaf_mode, scratch[0], scratch[1],
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _only_answer(rows, r, out, tally, pool, rule, scratch):  # type: ignore[no-untyped-def]
    node = find_leaf(rows, r, pool.region[0, ROOT], pool.link, pool.cut)
    said, _, _ = _ask(rows, r, node, pool, rule, scratch)
    add_votes(out, tally, r, said, 1.0, scratch[0], rule.classes)


@njit(cache=True, nogil=True, error_model="numpy")
def _clear_new(node, pool, windows):  # type: ignore[no-untyped-def]
    """If the leaf at `node` has just split, its two or more leaves and the split begin to watch anew."""
    link = pool.link
    if link[node, FEATURE] < 0:
        return
    clear_window(windows, node)
    child = link[node, LEFT]
    while child >= 0:
        clear_window(windows, child)
        child = _next_branch(node, child, link)


@njit(cache=True, nogil=True, error_model="numpy")
def _next_branch(node, child, link):  # type: ignore[no-untyped-def]
    """The branch of the split at `node` after `child`; -1: none."""
    if link[node, FLAGS] & MULTIWAY:
        return link[child, NEXT]
    return link[node, RIGHT] if child == link[node, LEFT] else np.int32(-1)


@njit(cache=True, nogil=True, error_model="numpy")
def _review(path, depth, error, todo, at, pool, rule, windows, streams, members):  # type: ignore[no-untyped-def]
    """Let the nodes of `path` watch the error, from the top; alternates are put into `todo` from `at` on.

    Returns whether the leaf is still in the tree, and the number of branches to be visited.
    """
    link, open_n = pool.link, at
    holder, as_alternate = todo[at, 1], todo[at, 2]
    for d in range(depth + 1):
        node = path[d]
        risen = add_bit(windows, node, error, rule.drift_delta)
        verdict = _KEEP
        if d < depth and risen and not _is_of_one_branch(node, pool, rule, windows, todo, open_n):
            _begin_alternate(node, pool, rule, windows, streams, members, todo, open_n)
        elif link[node, ALTERNATE] >= 0:
            verdict = _compare(windows, node, link[node, ALTERNATE])
        alternate = link[node, ALTERNATE]
        if verdict != _KEEP:
            link[node, ALTERNATE] = -1
        if verdict == _PRUNE:
            _free(alternate, pool, rule, todo, open_n)
            alternate = -1
        if verdict == _SWAP:
            members[0, DRIFTS] += 1
            _replace(holder, as_alternate, node, alternate, pool)
            _free(node, pool, rule, todo, open_n)
            todo[open_n, 0], todo[open_n, 1], todo[open_n, 2] = alternate, holder, as_alternate
            return False, open_n + 1
        if alternate >= 0:
            todo[open_n, 0], todo[open_n, 1], todo[open_n, 2] = alternate, node, 1
            open_n += 1
        holder, as_alternate = node, 0
    return True, open_n


@njit(cache=True, nogil=True, error_model="numpy")
def _is_of_one_branch(node, pool, rule, windows, todo, at):  # type: ignore[no-untyped-def]
    """Whether errors have changed in one branch of the split alone, and that one can be replaced by itself."""
    link = pool.link
    child, changed_n, can_be_replaced = link[node, LEFT], 0, False
    while child >= 0:
        if _shows_change(child, link, rule, windows, todo, at):
            changed_n += 1
            can_be_replaced = link[child, FEATURE] >= 0
        child = _next_branch(node, child, link)
    return changed_n == 1 and can_be_replaced


@njit(cache=True, nogil=True, error_model="numpy")
def _shows_change(top, link, rule, windows, todo, at):  # type: ignore[no-untyped-def]
    """Whether errors have changed somewhere from `top` down, or an alternate grows there; `todo` is the stack."""
    todo[at, 0] = top
    end = at + 1
    while end > at:
        end -= 1
        node = todo[end, 0]
        if link[node, ALTERNATE] >= 0 or has_changed(windows, node, rule.drift_delta):
            return True
        child = link[node, LEFT] if link[node, FEATURE] >= 0 else -1
        while child >= 0:
            todo[end, 0] = child
            end += 1
            child = _next_branch(node, child, link)
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def _begin_alternate(node, pool, rule, windows, streams, members, todo, open_n):  # type: ignore[no-untyped-def]
    """A new leaf beside `node`, in the place of an earlier alternate."""
    if pool.link[node, ALTERNATE] >= 0:
        _free(pool.link[node, ALTERNATE], pool, rule, todo, open_n)
    members[0, WARNINGS] += 1
    alternate = new_leaf(0, pool, rule, -1, streams, 0)
    pool.link[node, ALTERNATE] = alternate
    if alternate >= 0:
        clear_window(windows, alternate)


@njit(cache=True, nogil=True, error_model="numpy")
def _compare(windows, node, alternate):  # type: ignore[no-untyped-def]
    """Whether the alternate is surely better or surely worse."""
    n, m = windows[node, WINDOW_N], windows[alternate, WINDOW_N]
    if n <= _COMPARED_N or m <= _COMPARED_N:
        return _KEEP
    old, new = error_rate(windows, node), error_rate(windows, alternate)
    bound = math.sqrt(2.0 * old * (1.0 - old) * math.log(2.0 / _COMPARED_DELTA) * (1.0 / n + 1.0 / m))
    if bound < old - new:
        return _SWAP
    return _PRUNE if bound < new - old else _KEEP


@njit(cache=True, nogil=True, error_model="numpy")
def _replace(holder, as_alternate, old, new, pool):  # type: ignore[no-untyped-def]
    """Put `new` where `old` hangs."""
    link = pool.link
    if holder < 0:
        pool.region[0, ROOT] = new
        return
    if as_alternate:
        link[holder, ALTERNATE] = new
        return
    if link[holder, LEFT] != old and link[holder, FLAGS] & MULTIWAY:
        before = link[holder, LEFT]
        while link[before, NEXT] != old:
            before = link[before, NEXT]
        link[before, NEXT] = new
    if link[holder, LEFT] == old:
        link[holder, LEFT] = new
    if link[holder, RIGHT] == old:
        link[holder, RIGHT] = new
    link[new, NEXT] = link[old, NEXT]


@njit(cache=True, nogil=True, error_model="numpy")
def _free(top, pool, rule, todo, at):  # type: ignore[no-untyped-def]
    """Set free all below `top` and itself; `todo` from `at` on serves as the stack."""
    link, region = pool.link, pool.region
    todo[at, 0] = top
    end = at + 1
    while end > at:
        end -= 1
        node = todo[end, 0]
        held = (link[node, ALTERNATE], link[node, LEFT], link[node, RIGHT])
        if link[node, FEATURE] == -1:
            pool.stats[link[node, LEFT], 0] = region[0, BLOCKS_FREE]
            region[0, BLOCKS_FREE] = link[node, LEFT]
            held = (link[node, ALTERNATE], np.int32(-1), np.int32(-1))
        many = link[node, FEATURE] >= 0 and link[node, FLAGS] & MULTIWAY
        for k in range(2 if many else 3):
            child = held[k]
            while child >= 0:
                todo[end, 0] = child
                end += 1
                child = link[child, NEXT] if many and k == 1 else -1
        link[node, FEATURE], link[node, ALTERNATE], link[node, NEXT] = -2, -1, -1
        link[node, LEFT] = region[0, NODES_FREE]
        region[0, NODES_FREE] = node
