"""Kernels of the ensembles: a block of rows in event order, each row answered before it is learned.

The trees of a forest know nothing of each other, so it goes tree by tree through the block, which keeps one tree in the
cache; in a bag the worst member is replaced, so it goes row by row. What a row goes through is inlined: calls that hand
over all arrays took a quarter of the time.
"""

from __future__ import annotations

from numba import njit

from learners._tree_adwin import add_bit, clear_window, error_rate
from learners._tree_kernels import answer, best_class, find_leaf, observe, random_unit, start_tree
from learners._tree_layout import BAYES_HITS, LEFT, MAJORITY_HITS, ROOT, TOTAL, TRIED_AT
from learners._tree_plan import ADAPTIVE
from learners._tree_split import try_split

__all__ = [
    "ACTIVE",
    "BACKGROUND",
    "DRIFTS",
    "HITS",
    "MEMBER_N",
    "SEEN",
    "WARNINGS",
    "add_votes",
    "bag_block",
    "draw_weight",
    "forest_block",
    "learn_at",
]

# Per member: region of its tree, region of the tree that grows in the background (-1: none), events and hits since the
# tree began to vote, drifts, warnings.
ACTIVE, BACKGROUND, SEEN, HITS, DRIFTS, WARNINGS = range(6)
MEMBER_N = 6


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def draw_weight(poisson, streams, s):  # type: ignore[no-untyped-def]
    """A Poisson number from its distribution function; 1 where that is empty."""
    if poisson.shape[0] == 0:
        return 1
    u = random_unit(streams, s)
    k = 0
    while k < poisson.shape[0] and u >= poisson[k]:
        k += 1
    return k


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def learn_at(rows, r, label, weight, i, node, said, pool, rule, streams, s, work):  # type: ignore[no-untyped-def]
    """Let the leaf at `node` learn a row that it has answered with `said` (majority, naive Bayes)."""
    stats, block = pool.stats, pool.link[node, LEFT]
    if rule.leaf_mode == ADAPTIVE:
        stats[block, MAJORITY_HITS] += weight if said[0] == label else 0.0
        stats[block, BAYES_HITS] += weight if said[1] == label else 0.0
    observe(rows, r, label, weight, block, stats, pool.subset, pool.slots, pool.columns)
    if stats[block, TOTAL] - stats[block, TRIED_AT] >= rule.grace:
        try_split(i, node, pool, rule, streams, s, work)


@njit(cache=True, nogil=True, error_model="numpy")
def forest_block(rows, labels, out, tally, pool, rule, members, windows, streams, poisson, scratch):  # type: ignore[no-untyped-def]
    """Adaptive random forest and random patches: `out` [n, classes] gets the sum of the weighted votes, `tally` how
    many trees named a class.

    `labels` holds codes, -1 for a row that is only to be answered; `windows` two ADWINs per member (warning, drift).
    """
    link, cut, stats, subset = pool.link, pool.cut, pool.stats, pool.subset
    slots, columns, region = pool.slots, pool.columns, pool.region
    votes, scores, work = scratch[0], scratch[1], scratch[2:]
    for t in range(members.shape[0]):
        active = members[t, ACTIVE]
        for r in range(rows.shape[0]):
            node = find_leaf(rows, r, region[active, ROOT], link, cut)
            said, majority, bayes = answer(
                rows, r, link[node, LEFT], stats, subset, slots, columns, rule.classes, rule.leaf_mode, votes, scores
            )
            hits, seen = members[t, HITS], members[t, SEEN]
            # A tree without a record has a full vote, as in MOA.
            add_votes(out, tally, r, said, hits / seen if hits > 0 else 1.0, votes, rule.classes)
            if labels[r] < 0:
                continue
            members[t, SEEN] += 1
            members[t, HITS] += said == labels[r]
            weight = draw_weight(poisson, streams, t)
            if weight > 0:
                learn_at(rows, r, labels[r], weight, active, node, (majority, bayes), pool, rule, streams, t, work)
            if weight > 0 and members[t, BACKGROUND] >= 0:
                _learn_behind(rows, r, labels[r], weight, members[t, BACKGROUND], pool, rule, streams, t, scratch)
            if rule.drift_delta > 0.0:
                _watch(t, int(said != labels[r]), members, windows, pool, rule, streams)
                active = members[t, ACTIVE]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def add_votes(out, tally, r, said, trust, votes, classes):  # type: ignore[no-untyped-def]
    """Add a tree's probabilities, and count the class that it names, unless it knows nothing."""
    if said >= 0:
        tally[r, said] += 1
        for k in range(classes):
            out[r, k] += trust * votes[k]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _learn_behind(rows, r, label, weight, i, pool, rule, streams, s, scratch):  # type: ignore[no-untyped-def]
    """Let the background tree learn."""
    node = find_leaf(rows, r, pool.region[i, ROOT], pool.link, pool.cut)
    _, majority, bayes = answer(
        rows, r, pool.link[node, LEFT], pool.stats, pool.subset, pool.slots, pool.columns, rule.classes,
        rule.leaf_mode, scratch[0], scratch[1],
    )  # fmt: skip
    learn_at(rows, r, label, weight, i, node, (majority, bayes), pool, rule, streams, s, scratch[2:])


@njit(cache=True, nogil=True, error_model="numpy")
def _watch(t, error, members, windows, pool, rule, streams):  # type: ignore[no-untyped-def]
    """On a warning begin a background tree, on a drift put it in the place of the tree."""
    spare = 2 * t + 1 - members[t, ACTIVE] % 2
    if rule.warning_delta > 0.0 and add_bit(windows, 2 * t, error, rule.warning_delta):
        members[t, WARNINGS] += 1
        clear_window(windows, 2 * t)
        start_tree(spare, pool, rule, streams, t)
        members[t, BACKGROUND] = spare
    if not add_bit(windows, 2 * t + 1, error, rule.drift_delta):
        return
    members[t, DRIFTS] += 1
    if members[t, BACKGROUND] >= 0:
        members[t, ACTIVE] = spare
        members[t, BACKGROUND] = -1
    else:
        start_tree(members[t, ACTIVE], pool, rule, streams, t)
    members[t, SEEN] = members[t, HITS] = 0
    clear_window(windows, 2 * t)
    clear_window(windows, 2 * t + 1)


@njit(cache=True, nogil=True, error_model="numpy")
def bag_block(rows, labels, out, tally, pool, rule, members, windows, streams, poisson, scratch):  # type: ignore[no-untyped-def]
    """Online and leveraging bagging, and a single tree: `out` [n, classes] gets the sum of the votes, `tally` how many
    trees named a class.

    `windows` holds an ADWIN per member; when one has seen the error rise, the member with the most errors begins anew.
    """
    link, cut, stats, subset = pool.link, pool.cut, pool.stats, pool.subset
    slots, columns, region = pool.slots, pool.columns, pool.region
    votes, scores, work = scratch[0], scratch[1], scratch[2:]
    for r in range(rows.shape[0]):
        risen = False
        for t in range(members.shape[0]):
            node = find_leaf(rows, r, region[t, ROOT], link, cut)
            said, majority, bayes = answer(
                rows, r, link[node, LEFT], stats, subset, slots, columns, rule.classes, rule.leaf_mode, votes, scores
            )
            add_votes(out, tally, r, said, 1.0, votes, rule.classes)
            if labels[r] < 0:
                continue
            members[t, SEEN] += 1
            members[t, HITS] += said == labels[r]
            weight = draw_weight(poisson, streams, t)
            if weight > 0:
                learn_at(rows, r, labels[r], weight, t, node, (majority, bayes), pool, rule, streams, t, work)
                node = find_leaf(rows, r, node, link, cut)
                said = best_class(
                    rows, r, link[node, LEFT], stats, subset, slots, columns, rule.classes, rule.leaf_mode, scores
                )
            if rule.drift_delta > 0.0 and add_bit(windows, t, int(said != labels[r]), rule.drift_delta):
                risen = True
        if risen:
            _replace_worst(members, windows, pool, rule, streams)


@njit(cache=True, nogil=True, error_model="numpy")
def _replace_worst(members, windows, pool, rule, streams):  # type: ignore[no-untyped-def]
    worst, highest = 0, -1.0
    for t in range(members.shape[0]):
        if error_rate(windows, t) > highest:
            worst, highest = t, error_rate(windows, t)
    members[worst, DRIFTS] += 1
    members[worst, SEEN] = members[worst, HITS] = 0
    clear_window(windows, worst)
    start_tree(worst, pool, rule, streams, worst)
