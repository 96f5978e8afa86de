"""Cases of the detectors of a stream of errors: DDM, RDDM, EDDM and ECDD.

With the papers' levels all of them raise false alarms on the quiet part of the suite's streams, which is 3,600 values
for each of two directions: the suite holds them with a longer start or a longer run length.
"""

from __future__ import annotations

from detectors.ddm import DDMBank
from detectors.ecdd import ECDDBank
from detectors.eddm import EDDMBank
from detectors.rddm import RDDMBank
from tests.detectors.cases import COLUMNS, Case

__all__ = ["CASES"]

# DDM, RDDM and EDDM look back over all values since the restart: after 1,200 a fall of errors from 30 % to 2 % takes
# them hundreds of values, and their onsets reach back 256.
CASES: dict[str, Case] = {
    "ddm": Case(
        lambda _: DDMBank(COLUMNS, direction="both", warm_start=150), stream="bits", within=350, onset_within=240
    ),
    "ecdd": Case(
        lambda _: ECDDBank(COLUMNS, direction="both", average_run_length=100_000), stream="bits"
    ),
    "eddm": Case(
        lambda _: EDDMBank(COLUMNS, direction="both", warm_start=400),
        stream="bits", within=350, onset_within=240, alarms=10,
    ),
    "rddm": Case(
        lambda _: RDDMBank(COLUMNS, direction="both", drift_level=3.0), stream="bits", within=350, onset_within=240
    ),
}  # fmt: skip
