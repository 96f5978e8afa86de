"""Errors of the learners, one tree; what to do stands in each docstring.

LearnerError
├── EstimatorRefusedError   (a ValueError too: the configuration names something that cannot be carried)
└── SnapshotError
"""

from __future__ import annotations

__all__ = ["EstimatorRefusedError", "LearnerError", "SnapshotError", "raise_unless_panic"]


class LearnerError(Exception):
    """A learner failed on one event. Count it and go on: the learner stays usable."""


class EstimatorRefusedError(LearnerError, ValueError):
    """An estimator cannot be built, or its state cannot be stored exactly. Choose another, as the message says."""


class SnapshotError(LearnerError):
    """A snapshot is damaged, of another format, or of another version of river. Restore a backup, or start anew."""


def raise_unless_panic(error: BaseException) -> None:
    """Raise `error` again unless it is an ordinary exception or a panic of river's compiled part.

    A panic derives from `BaseException` and cannot be imported; KeyboardInterrupt and SystemExit must go through.
    """
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
