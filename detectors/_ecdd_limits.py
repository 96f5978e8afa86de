"""Limits of the ECDD chart with lambda = 0.2, by simulation, for error rates from .01 to .97.

At an error rate p the limit lies at 1 - (1 - p) exp(room): so written, a limit between two rates stays below 1.
"""

from __future__ import annotations

import numpy as np

from detectors.base import Floats

__all__ = ["LENGTHS", "RATES", "ROOM"]

# Values between two false alarms, on average, of a chart that knows p and starts from it.
LENGTHS = (100, 400, 1_000, 10_000, 100_000)
# A rate, then its room for each of LENGTHS, from 300 to 4,000 runs each. Simulated again, the run lengths are within a
# tenth at these rates (the longest within a fifth); between them up to a quarter too short, the longest up to a third.
# Where whole errors allow only some run lengths (rates below .025) it may be longer than asked for, and below -30
# float64 can hardly tell the limit from 1: almost nothing alarms.
_TABLE = np.array(
    [
        [0.01, -0.214, -0.214, -0.231, -0.437, -0.48],
        [0.015, -0.209, -0.22, -0.294, -0.437, -0.57],
        [0.02, -0.204, -0.247, -0.34, -0.459, -0.623],
        [0.025, -0.199, -0.284, -0.373, -0.503, -0.649],
        [0.03, -0.2, -0.33, -0.416, -0.536, -0.68],
        [0.04, -0.217, -0.361, -0.417, -0.603, -0.753],
        [0.05, -0.253, -0.396, -0.451, -0.636, -0.825],
        [0.06, -0.284, -0.407, -0.495, -0.678, -0.868],
        [0.08, -0.331, -0.463, -0.562, -0.771, -0.987],
        [0.1, -0.362, -0.516, -0.611, -0.845, -1.081],
        [0.15, -0.435, -0.624, -0.745, -1.031, -1.308],
        [0.2, -0.514, -0.731, -0.878, -1.203, -1.532],
        [0.25, -0.6, -0.843, -1.0, -1.383, -1.759],
        [0.3, -0.671, -0.954, -1.139, -1.576, -1.995],
        [0.35, -0.755, -1.076, -1.281, -1.779, -2.283],
        [0.4, -0.841, -1.208, -1.445, -2.008, -2.58],
        [0.45, -0.947, -1.359, -1.62, -2.279, -2.937],
        [0.5, -1.046, -1.528, -1.827, -2.581, -3.337],
        [0.55, -1.184, -1.714, -2.07, -2.926, -3.792],
        [0.6, -1.327, -1.95, -2.359, -3.348, -4.419],
        [0.65, -1.5, -2.236, -2.722, -3.884, -5.085],
        [0.7, -1.717, -2.597, -3.178, -4.592, -6.045],
        [0.75, -2.03, -3.089, -3.788, -5.569, -7.333],
        [0.8, -2.415, -3.755, -4.694, -6.989, -9.291],
        [0.85, -3.018, -4.821, -6.08, -9.248, -12.347],
        [0.9, -4.089, -6.839, -8.72, -13.516, -18.363],
        [0.93, -5.196, -9.02, -11.767, -18.8, -25.858],
        [0.95, -6.442, -11.672, -15.502, -25.392, -33.041],
        [0.97, -8.681, -16.847, -23.216, -32.526, -40.0],
    ]
)
RATES: Floats = _TABLE[:, 0].copy()
ROOM: Floats = _TABLE[:, 1:].T.copy()
