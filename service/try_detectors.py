"""Making a small bank with a section of the configuration, to see whether its values are within their ranges."""

from __future__ import annotations

from typing import Any

import numpy as np

from detectors.context import ContextBank
from service.stream_detectors import RECIPES
from service.window_detectors import LEVELS

__all__ = ["try_section"]

_BITS = (np.arange(40.0) % 3 == 0)[:, None]


def try_section(name: str, section: Any) -> None:
    """Make a bank of the detector `name`.

    Raises
    ------
    ValueError
        a value is out of its range: names it and the range.
    """
    if name in RECIPES:
        RECIPES[name].make(section, 1, _BITS * 1.0)
    elif name in LEVELS:
        LEVELS[name].make(section, [np.arange(40.0) % 3], 20, section.min_effect, np.ones(1))
    elif name == "context":
        ContextBank(1, window_n=section.window, test_every=section.test_every, alpha=section.alpha)
