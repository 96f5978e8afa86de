"""The reference's scale: robust, bounded, and finite whatever the reference holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.scaling import Scaling

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def test_spreads_of_a_normal_reference_are_standard_deviations() -> None:
    """For a normal reference the spread is its standard deviation and the centre its mean, within sampling error."""
    reference = np.random.default_rng(1).normal(7.0, 3.0, (20_000, 1))
    scaling = Scaling.of(reference)
    assert scaling.spreads(np.array([[7.0], [10.0]]))[:, 0] == pytest.approx([0.0, 1.0], abs=0.05)


def test_the_unit_scale_is_the_reference_widened_once() -> None:
    """The reference's range is the middle third of [0, 1]; what lies beyond the widened range is clipped."""
    scaling = Scaling.of(np.array([[10.0], [20.0], [15.0]]))
    got = scaling.unit(np.array([[10.0], [20.0], [0.0], [30.0], [1e308], [-1e308]]))[:, 0]
    assert got == pytest.approx([1 / 3, 2 / 3, 0.0, 1.0, 1.0, 0.0])


def test_columns_without_values_and_constants_have_a_scale() -> None:
    """A column that is all missing, or constant, is scaled without division by nothing; NaN stays NaN."""
    scaling = Scaling.of(np.array([[np.nan, 4.0, 0.0]] * 10))
    assert all(np.all(part > 0) for part in (scaling.width, scaling.spread))
    assert np.isnan(scaling.unit(np.array([[np.nan, 4.0, 0.0]]))).tolist() == [[True, False, False]]


@given(st.lists(FINITE, min_size=1, max_size=30), FINITE)
def test_absurd_numbers_give_finite_bounded_values(reference: list[float], value: float) -> None:
    """Whatever finite numbers a reference holds, every finite value is scaled into the stated ranges."""
    scaling = Scaling.of(np.array(reference)[:, None])
    unit, spreads = scaling.unit(np.array([[value]])), scaling.spreads(np.array([[value]]))
    assert 0.0 <= unit[0, 0] <= 1.0
    assert -8.0 <= spreads[0, 0] <= 8.0


def test_a_signal_bounded_by_definition_needs_no_reference() -> None:
    """Errors in [0, 1] are their own unit scale."""
    scaling = Scaling.bounded(2, 0.0, 1.0)
    assert scaling.unit(np.array([[0.0, 0.25]])).tolist() == [[0.0, 0.25]]
    assert scaling.spreads(np.array([[0.0, 1.0]])).tolist() == [[-1.0, 1.0]]
