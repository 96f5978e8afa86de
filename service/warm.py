"""Run every kernel once on a few rows, so that compiling and loading is over before real events come.

`python -m service.warm` fills numba's cache and exits, for images and installations.
"""

from __future__ import annotations

import gc
import sys
import time

__all__ = ["warm"]

_ROWS = 64
# A fold makes many small objects that live until their correction window passes; with the default thresholds the
# collector walks all of them again and again (measured: a tenth of all CPU).
_COLLECT_AFTER = (50_000, 20, 50)


def warm() -> float:
    """Compile or load all kernels; returns the seconds that it took."""
    started_s = time.perf_counter()
    from service.config import parse
    from service.replay import replay

    feature = {"type": "numeric"}
    monitor = {
        "features": {"a": feature, "b": feature | {"reference": "trailing"}, "c": {"type": "categorical"}},
        "reference": {"n": 32, "window": 8, "step": 8},
        "labels": {"age": "1s", "age_n": 8},
    }
    config = parse({"monitors": {"warm": monitor}})
    replay(_events(), config, block_n=16)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    return time.perf_counter() - started_s


def _events() -> list[bytes]:
    import msgspec

    events = []
    for row in range(4 * _ROWS):
        common = {"id": str(row), "monitor": "warm", "time": 1_700_000_000_000 + 1000 * row}
        answer = "yes" if row % 3 else "no"
        features = {"a": row * 0.5, "b": float(row % 7), "c": answer}
        scores = {"yes": 0.75, "no": 0.25}
        prediction = common | {"type": "prediction", "features": features, "prediction": answer, "scores": scores}
        events += [prediction, common | {"type": "label", "label": "yes" if row < 2 * _ROWS else "no"}]
    return [msgspec.json.encode(event) for event in events]


if __name__ == "__main__":
    sys.stderr.write(f"kernels ready in {warm():.1f} s\n")
