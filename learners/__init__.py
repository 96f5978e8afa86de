"""Learners that adapt, the baselines that they must beat, and the metrics that say whether they do."""
