"""Named places where a test may have the process killed, to prove that any of them is a safe place to die.

Nothing happens unless the environment variable ANCHORWATCH_FAILPOINT names a point; then the process sends
itself SIGKILL at the n-th hit, n from ANCHORWATCH_FAILPOINT_HIT (default 1).
"""

from __future__ import annotations

import os
import signal
from collections import Counter

__all__ = ["FAILPOINTS", "failpoint"]

FAILPOINTS = (
    "log.before_write",
    "log.after_write",
    "log.after_sync",
    "models.after_write",
    "store.after_begin",
    "store.after_positions",
    "store.after_state",
    "store.after_outbox",
    "store.after_audit",
    "store.after_versions",
    "store.before_commit",
    "store.after_commit",
    "store.before_mark",
    "store.after_mark",
    "worker.after_poll",
    "worker.after_fold",
    "worker.before_publish",
    "worker.after_publish",
)

_hits: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Kill this process if the environment asks for it here.

    Raises
    ------
    ValueError
        The environment names a point that does not exist: a test that waits for a kill would wait for ever.
    """
    wanted = os.environ.get("ANCHORWATCH_FAILPOINT")
    if wanted is None:
        return
    if wanted not in FAILPOINTS:
        raise ValueError(f"ANCHORWATCH_FAILPOINT={wanted!r}: must be one of {', '.join(FAILPOINTS)}")
    if wanted != name:
        return
    _hits[name] += 1
    if _hits[name] >= int(os.environ.get("ANCHORWATCH_FAILPOINT_HIT", "1")):
        os.kill(os.getpid(), signal.SIGKILL)
