"""The canary: an old, validated model whose disagreement with the served one is a signal while labels are on their way.

Disagreement is no error of either: it says that the two now see different things, never which of them is right.
"""

from __future__ import annotations

from typing import Any

from service.config import MonitorConfig
from service.recent_share import RecentShare
from stream.join import PendingPrediction

__all__ = ["CANARY", "Canary"]

CANARY = "canary"


class Canary:
    """How often the answers of one member and the served ones differ.

    Classes differ where they are not the same; numbers, where they lie further apart than `canary.apart`. The window is
    the monitor's `metrics_window`, in predictions that both answered.
    """

    def __init__(self, config: MonitorConfig) -> None:
        self._rule = config.canary
        self.wanted = self._rule is not None
        self._window_n = config.metrics_window
        self.restart()

    def restart(self) -> None:
        """Forget what was compared: another model is the canary."""
        self.recent = RecentShare(self._window_n)

    def see(self, pending: PendingPrediction) -> bool | None:
        """Whether the two differ on a prediction; None where one of them gave no answer."""
        rule = self._rule
        if rule is None:
            return None
        now, _ = pending.given()
        old = pending.answers[rule.model][0] if rule.model in pending.answers else None
        if now is None or old is None:
            return None
        differs = now != old if rule.apart is None else abs(float(now) - float(old)) > rule.apart
        self.recent.add(differs)
        return differs

    def view(self) -> dict[str, Any] | None:
        """What the read view says; None without a canary."""
        if self._rule is None:
            return None
        return {"model": self._rule.model, "n": self.recent.n, "disagreement": self.recent.share}

    def state(self) -> list[Any]:
        """Plain tree for a checkpoint."""
        return self.recent.state()

    def load(self, state: list[Any]) -> None:
        """Restore what `state` gave."""
        self.recent.load(state)
