"""Parameters that are out of range are refused with their name, their value and what is allowed."""

from __future__ import annotations

__all__ = ["in_range"]


def in_range(name: str, value: object, allowed: str, *, holds: bool) -> None:
    """Raise a ValueError that names the parameter, its value and what is allowed, unless that holds."""
    if not holds:
        raise ValueError(f"{name} = {value!r}: must be {allowed}")
