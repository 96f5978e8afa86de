"""A monitor's rules refuse with the feature, the value and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from stream.columns import LABEL, PREDICTION
from stream.refusal import RefusalError, nearest, show
from stream.schema import FeatureSchema, MonitorSchema
from stream.validate import PredictionRow, Rules, identify
from tests.stream.messages import HASH_KEY, SCHEMAS, event, label

RULES = Rules(SCHEMAS["fraud"], HASH_KEY)


def refusal(made: dict[str, Any]) -> RefusalError:
    """How a prediction for `fraud` is refused."""
    with pytest.raises(RefusalError) as raised:
        RULES.check(PREDICTION, made)
    return raised.value


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"amount": -5}, ["features.amount", "-5", "0", "inf"]),
        ({"amount": "5"}, ["features.amount", "text", "number"]),
        ({"amount": True}, ["features.amount", "boolean", "number"]),
        ({}, ["features.amount", "required"]),
        ({"amount": 1, "country": "FRA"}, ["features.country", "'FRA'", "did you mean 'FR'"]),
        ({"amount": 1, "country": ["FR"]}, ["features.country", "array", "text"]),
        ({"amount": 1, "new": "true"}, ["features.new", "text", "true or false"]),
        ({"amount": 1, "shop": "x" * 513}, ["features.shop", "513", "512"]),
        ({"amount": 1, "age": 151}, ["features.age", "not shown", "150"]),
        ({"amount": 1, "temperature": 10**400}, ["features.temperature", "64-bit"]),
    ],
)
def test_a_bad_feature_is_named_with_what_is_allowed(features: dict[str, Any], words: list[str]) -> None:
    """A person can mend the producer from the sentence alone."""
    found = refusal(event(features=features))
    assert found.monitor == "fraud"
    assert [word for word in words if word not in found.detail] == []


@pytest.mark.parametrize("value", [0, 0.0, 150, 150.0, -1])
def test_limits_are_inclusive(value: float) -> None:
    """min and max themselves are allowed."""
    schema = MonitorSchema(name="m", task="regression", features={"x": FeatureSchema(type="numeric", min=-1, max=150)})
    assert Rules(schema).check(PREDICTION, event(features={"x": value}, prediction=1, scores=None)).payload
    for outside in (-1.0000001, 150.0000001):
        with pytest.raises(RefusalError, match=r"outside -1(\.0)? to 150"):
            Rules(schema).check(PREDICTION, event(features={"x": outside}))


def test_limits_of_512_characters_are_inclusive() -> None:
    """512 characters pass everywhere, counted as characters and not as bytes."""
    long = "é" * 512
    made = event(
        id=long,
        prediction=long,
        scores={long: 1},
        model_version=long,
        segment={long: long},
        features={"amount": 1, "shop": long},
    )
    assert RULES.check(PREDICTION, made).id == long


def test_required_applies_to_categories_and_booleans_too() -> None:
    """A required text or boolean that is null or absent refuses the event."""
    for kind in ("categorical", "boolean"):
        feature = FeatureSchema(type=kind, required=True)
        rules = Rules(MonitorSchema(name="m", task="classification", features={"c": feature}))
        for features in ({}, {"c": None}):
            with pytest.raises(RefusalError, match=r"features\.c is required"):
                rules.check(PREDICTION, event(features=features))


def test_hashes_depend_on_key_feature_and_value_only() -> None:
    """A sensitive category is stable under one key and says nothing across features or keys."""

    def hashed(name: str, key: bytes, value: Any) -> Any:
        feature = FeatureSchema(type="categorical", sensitive=True)
        rules = Rules(MonitorSchema(name="m", task="classification", features={name: feature}), key)
        row = rules.check(PREDICTION, event(features={name: value})).payload
        assert isinstance(row, PredictionRow)
        return row.categorical

    first = hashed("a", b"k", "x")
    assert hashed("a", b"k", "x") == first
    assert len({hashed("a", b"k", "x"), hashed("b", b"k", "x"), hashed("a", b"l", "x"), hashed("a", b"k", "y")}) == 4
    assert hashed("a", b"k", 5) == hashed("a", b"k", "5")


def test_plain_values_of_sensitive_features_are_not_remembered() -> None:
    """The memory of converted categories never holds a sensitive plain value."""
    RULES.check(PREDICTION, event())
    (mail,) = (column for column in RULES.categories if column.name == "mail")
    assert dict(mail) == {None: None}


def test_identify_returns_kind_and_monitor() -> None:
    """Kind and monitor are read before a monitor's rules are known."""
    assert identify(event()) == (PREDICTION, "fraud")
    assert identify(label(monitor="nobody")) == (LABEL, "nobody")
    with pytest.raises(RefusalError, match="did you mean 'label'"):
        identify(label(type="labels"))


@pytest.mark.parametrize(
    "value", ["x" * 10_000, b"\xff" * 10_000, 10**5000, ["a"] * 10_000, "\ud800\0\n", 1.5, None], ids=range(7)
)
def test_shown_values_are_short_and_printable(value: Any) -> None:
    """No value makes a detail long or unprintable."""
    shown = show(value)
    assert len(shown) <= 80
    assert shown.isascii()
    assert shown.isprintable()


def test_no_name_is_suggested_when_none_is_near() -> None:
    """A suggestion is only made for a likely slip."""
    assert nearest("zzz", ["fraud"]) == ""
    assert nearest("fruad", {"fraud": 1, "price": 2}) == "; did you mean 'fraud'?"
