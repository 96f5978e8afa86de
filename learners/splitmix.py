"""SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): numbers that depend on nothing but the one they are made of."""

from __future__ import annotations

__all__ = ["GOLDEN", "scrambled"]

GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def scrambled(z: int) -> int:
    """The next number of the generator at `z`, of 64 bits: neighbours have nothing in common."""
    z = (z + GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)
