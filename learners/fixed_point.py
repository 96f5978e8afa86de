"""Exact sums of floats as whole numbers, so that what is taken out again leaves nothing behind.

A float within ±1e30 becomes a count of 2^-128: no float down to 2^-75 in size loses a bit. Beyond ±1e30 it is
clipped, below 3e-39 it is 0.
"""

from __future__ import annotations

__all__ = ["LARGEST", "ONE", "SCALE", "fixed"]

SCALE = 128
ONE = 1 << SCALE
LARGEST = 1e30


def fixed(value: float) -> int:
    """`value` in units of 2^-128, clipped to ±1e30 and rounded towards minus infinity below the unit."""
    if not -LARGEST <= value <= LARGEST:
        value = LARGEST if value > 0 else -LARGEST
    numerator, denominator = value.as_integer_ratio()
    shift = SCALE + 1 - denominator.bit_length()
    return numerator << shift if shift >= 0 else numerator >> -shift
