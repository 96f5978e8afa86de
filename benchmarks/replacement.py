"""Whether replacing a learner as a whole pays: prequential accuracy with and without, labels 200 predictions late.

Each learner is the champion of a monitor with the default settings, under `adaptation.policy` `none` and
`warm_replacement`; the first 60,000 rows of each stream.
`python -m benchmarks.replacement FOLDER [PREDICTIONS]`, FOLDER with the streams that are not generated.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tqdm import tqdm

from benchmarks._learner_streams import STREAMS, path_of
from benchmarks.adaptive_fold import configuration, messages, run

LEARNERS = (
    "AdaptiveRandomForest",
    "StreamingRandomPatches",
    "LeveragingBagging",
    "HoeffdingAdaptiveTree",
    "NaiveBayes",
)
POLICIES = ("none", "warm_replacement")
ROWS_N = 60_000


def main() -> int:
    """Print a line for each learner; without the streams say how to name their folder."""
    from service.warm import warm

    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    rows_n = int(sys.argv[2]) if len(sys.argv) > 2 else ROWS_N
    streams = [name for name, stream in STREAMS.items() if stream.generate or path_of(folder, name).exists()]
    if len(streams) < len(STREAMS):
        print(f"{folder} lacks streams: usage: python -m benchmarks.replacement FOLDER [PREDICTIONS]")
        return 2 if len(sys.argv) > 1 else 0
    warm()
    shares: dict[str, list[str]] = {learner: [] for learner in LEARNERS}
    for name in tqdm(streams, desc="streams", disable=not sys.stderr.isatty()):
        raw, width = messages(folder, rows_n, name)
        for learner in LEARNERS:
            both = []
            for policy in POLICIES:
                member = {"member": {"estimator": f"anchorwatch.{learner}"}}
                found = run(raw, configuration(width, member, policy))
                both.append(f"{100 * found.accuracies['member']:.2f}")
            shares[learner].append(" / ".join(both))
    print(f"% right, {' / '.join(POLICIES)}: {', '.join(streams)}")
    for learner, said in shares.items():
        print(f"{learner:24} {'   '.join(said)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
