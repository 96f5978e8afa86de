"""Durations as people write them; inside the service they are whole milliseconds."""

from __future__ import annotations

import re

__all__ = ["parse_duration_ms"]

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_duration_ms(text: str) -> int:
    """Turn `"90s"`, `"15m"`, `"12h"`, `"30d"` or `"250ms"` into milliseconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no duration; write a number and ms, s, m, h or d, such as '12h'")
    return round(float(found[1]) * _UNITS_MS[found[2]])
