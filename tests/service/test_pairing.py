"""Which detector runs on which signal; wrong pairings are refused with the reason and with what fits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from detectors.registry import BANKS
from service.config import ConfigurationError, MonitorConfig, parse
from service.detector_config import DetectorName, DetectorsConfig
from service.pairing import DETECTORS, Run, domain, runs

ROOT = Path(__file__).parents[2]
NUMBER, TEXT = {"type": "numeric"}, {"type": "categorical"}
FEATURES = {"amount": NUMBER, "country": TEXT, "wind": NUMBER | {"reference": "trailing"}}


def monitor(**settings: Any) -> MonitorConfig:
    """A monitor with two numbers, one of them trailing, and a category."""
    return parse({"monitors": {"m": {"features": FEATURES} | settings}}).monitors["m"]


def names(config: MonitorConfig, signal: str) -> list[str]:
    """The detectors that run on a signal."""
    return [run.detector for run in runs(config, signal)]


@pytest.mark.parametrize(
    ("signal", "holds", "watched_with"),
    [
        ("feature:amount", "real", ["adwin", "page_hinkley", "ks", "cvm"]),
        ("feature:country", "codes", ["chi_square"]),
        ("feature:wind", "real", ["ks", "cvm"]),
        ("prediction", "codes", ["chi_square"]),
        ("score", "real", ["adwin", "page_hinkley", "ks", "cvm"]),
        ("error:producer@7", "bits", ["adwin", "page_hinkley"]),
        ("error:producer/fraud@7", "bits", ["adwin", "page_hinkley"]),
        ("error:probe", "bits", ["adwin", "page_hinkley"]),
        ("delay", "real", ["adwin", "page_hinkley"]),
        ("missing:amount", "bits", ["rate"]),
        ("unseen:country", "bits", ["rate"]),
        ("joint", "rows", ["energy"]),
        ("context", "labelled", []),
    ],
)
def test_a_signal_is_watched_with_what_fits(signal: str, holds: str, watched_with: list[str]) -> None:
    """What each kind of signal holds, and what watches it unless the configuration says otherwise."""
    assert domain(monitor(), signal) == holds
    got = names(monitor(), signal)
    # Detectors of a level stand beside those of a mean: tests of windows do not apply to errors and delays.
    assert [name for name in got if name in watched_with] == watched_with
    assert got == watched_with


def test_regression_and_blocks_change_what_errors_hold() -> None:
    """The errors of a regression are numbers; averaged errors are fractions."""
    assert domain(monitor(task="regression"), "error:producer") == "real"
    assert domain(monitor(error_block=50), "error:producer") == "unit"


def test_a_signal_takes_the_longest_section_that_names_it() -> None:
    """`error` holds for all errors, `error:producer` before it; `errors` is no part of `error:producer`."""
    config = monitor(
        signals={
            "error": {"detectors": ["ddm"]},
            "error:producer": {"detectors": ["hddm_a", "adwin"], "direction": "up"},
            "missing:amount": {"direction": "both"},
        }
    )
    assert runs(config, "error:producer@7") == (Run("adwin", "up"), Run("hddm_a", "up"))
    assert names(config, "error:producer/fraud@7") == ["adwin", "hddm_a"]
    assert names(config, "error:probe") == ["ddm"]
    assert runs(config, "missing:amount") == (Run("rate", "both"),)
    assert runs(config, "missing:wind") == (Run("rate", "up"),)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"features": {"a": NUMBER | {"detectors": ["chi_square"]}}},
            ["features.a.detectors", "chi_square takes categories", "feature:a holds numbers", "use adwin"],
        ),
        (
            {"features": {"a": TEXT | {"detectors": ["ks"]}}},
            ["ks takes fractions between 0 and 1 or numbers", "holds categories", "use chi_square, g_test"],
        ),
        (
            {"features": {"a": NUMBER | {"detectors": ["psi"], "reference": "trailing"}}},
            ["psi compares with the first predictions", "trailing", "use ks, cvm"],
        ),
        (
            {"task": "regression", "signals": {"error:producer": {"detectors": ["ddm"]}}},
            ["signals.'error:producer'.detectors", "ddm takes zeros and ones", "holds numbers"],
        ),
        (
            {"task": "regression", "detectors": {"hddm_a": {"enabled": True}}},
            ["detectors.hddm_a.enabled", "regression", "enabled = false"],
        ),
        (
            {"error_block": 20, "detectors": {"ddm": {"enabled": True}}},
            ["detectors.ddm.enabled", "error_block = 20", "hddm_a"],
        ),
        ({"signals": {"error": {"detectors": ["energy"]}}}, ["energy takes all features jointly", "zeros and ones"]),
        ({"signals": {"joint": {"detectors": ["ks"]}}}, ["joint holds all features jointly", "use energy"]),
        ({"signals": {"eror": {"direction": "up"}}}, ["signals.'eror'", "no such signal", "error"]),
        ({"signals": {"feature:b": {}}}, ["signals.'feature:b'", "no such signal"]),
        ({"signals": {"score": {"detectors": ["kss"]}}}, ["signals.score.detectors", "kss"]),
        ({"signals": {"score": {"direction": "sideways"}}}, ["signals.score.direction", "sideways"]),
    ],
)
def test_a_wrong_pairing_is_refused_with_the_reason(settings: dict[str, Any], words: list[str]) -> None:
    """The message names the key, what the detector takes, what the signal holds, and what fits."""
    with pytest.raises(ConfigurationError) as refused:
        monitor(**settings)
    assert [word for word in words if word not in str(refused.value)] == []


def test_the_table_is_that_of_the_banks() -> None:
    """What the configuration allows is what each bank says that it takes."""
    banks = {"ks": "rank_tests", "cvm": "rank_tests"}
    assert {name: BANKS[banks.get(name, name)].takes for name in DETECTORS} == DETECTORS


def test_every_detector_has_a_section_and_a_name() -> None:
    """The names that a feature may give, the sections and the table are the same detectors."""
    assert set(get_args(DetectorName)) == set(DetectorsConfig.__struct_fields__) == set(DETECTORS)


def test_the_table_is_documented() -> None:
    """docs/detectors.md shows each detector with what it takes."""
    text = (ROOT / "docs" / "detectors.md").read_text("utf-8")
    order = ("bits", "unit", "real", "codes", "rows", "labelled")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| [^|]* \|$", text, re.MULTILINE)
    shown = {
        name: frozenset(kind for kind, cell in zip(order, cells.split(" | "), strict=True) if cell == "yes")
        for name, cells in rows
        if cells.count(" | ") == len(order) - 1
    }
    assert shown == DETECTORS
