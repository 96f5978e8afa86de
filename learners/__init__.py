"""Learners that adapt, the baselines that they must beat, and the metrics that say whether they do.

Nothing here imports river until a river estimator is built or restored.
"""

from __future__ import annotations

from learners.errors import EstimatorRefusedError, LearnerError, SnapshotError

__all__ = ["EstimatorRefusedError", "LearnerError", "SnapshotError"]
