"""What holds other learners stays within its byte budget over a million examples with names."""

from __future__ import annotations

import pytest

from benchmarks.memory import CASES, grown

__all__: list[str] = []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CASES))
def test_the_snapshot_stays_within_its_limit(name: str) -> None:
    """Ever more categories, classes and names, other rules and scales: no snapshot is larger than the budgets allow.

    A million examples, or fewer where that would take minutes (`python -m benchmarks.memory` takes a million of each).
    """
    case = CASES[name]
    assert grown(case, case.quick_n) <= case.limit
