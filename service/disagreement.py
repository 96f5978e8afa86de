"""Do the members agree: each learner with the champion, and the parts of a learner with its answer?

Where members disagree while no feature drifts, the answers are unstable: that is no drift of the stream.
"""

from __future__ import annotations

from typing import Any

from service.config import MonitorConfig
from service.members import Committee
from service.recent_share import RecentShare

__all__ = ["UNSTABLE", "Disagreement", "reading"]

# Where one answer in five depends on which member is asked, the choice of the member matters more than most drifts do.
UNSTABLE = 0.2


class Disagreement:
    """Of each learner, the share of the newest `metrics_window` predictions that it answered otherwise than the
    champion.

    Classes differ where they are not the same; numbers, where they lie further apart than `review.spread`. Predictions
    to which one of the two had no answer do not count. A new champion begins anew.
    """

    def __init__(self, config: MonitorConfig) -> None:
        self.config = config
        self._apart = None if config.review is None else config.review.spread
        known = config.task == "classification" or self._apart is not None
        self.wanted = len(config.learners) > 1 and known
        self.champion: str | None = None
        self.others: dict[str, RecentShare] = {}

    def see(self, answers: dict[str, list[Any]], champion: str | None) -> None:
        """Take the answers to one prediction, as they were made."""
        if champion != self.champion:
            self.champion = champion
            names = [name for name in self.config.learners if name != champion]
            self.others = {name: RecentShare(self.config.metrics_window) for name in names}
        said = answers[champion][0] if champion in answers else None
        if said is None:
            return
        for name, recent in self.others.items():
            other = answers[name][0] if name in answers else None
            if other is not None:
                recent.add(other != said if self._apart is None else abs(other - said) > self._apart)

    def shares(self) -> dict[str, float]:
        """By learner, from 0 to 1; without those that have not answered yet."""
        return {name: recent.share for name, recent in self.others.items() if recent.share is not None}

    def state(self) -> dict[str, Any]:
        """Plain tree for a checkpoint."""
        return {"champion": self.champion, "others": {name: recent.state() for name, recent in self.others.items()}}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        self.champion = state["champion"]
        self.others = {}
        for name in self.config.learners:
            if name in state["others"]:
                self.others[name] = RecentShare(self.config.metrics_window)
                self.others[name].load(state["others"][name])


def reading(disagreement: Disagreement, committee: Committee, *, features_drift: bool) -> dict[str, Any]:
    """What the read view says: the shares, their means, and what to make of them.

    `says` is `agreement`, `instability` (members disagree while no feature drifts), `drift` (they do while features
    drift), or None while nothing is known. `between` is the mean over the learners, `within` the champion's own, which
    counts only where its parts are learners that could answer alone: the trees of a forest are made to differ.
    """
    by_learner, own = disagreement.shares(), _spreads(committee)
    between = sum(by_learner.values()) / len(by_learner) if by_learner else None
    within = own.get(committee.champion or "")
    champion = committee.members.get(committee.champion or "")
    counts = not getattr(champion and champion.learner, "parts_differ_by_design", False)
    known = [value for value in (between, within if counts else None) if value is not None]
    unstable = "drift" if features_drift else "instability"
    says = None if not known else unstable if max(known) >= UNSTABLE else "agreement"
    return {"between": between, "within": within, "by_learner": by_learner, "own": own, "says": says}


def _spreads(committee: Committee) -> dict[str, float]:
    """By learner, the share of its own parts (trees, members) that disagree with its answer, of those that tell it."""
    told = {}
    for name, member in committee.members.items():
        spread = getattr(member.learner, "spread", None)
        value = spread() if spread is not None and member.role == "learner" else None
        if value is not None:
            told[name] = float(value)
    return told
