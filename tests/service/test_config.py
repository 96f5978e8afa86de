"""The configuration: every mistake is refused with its key, its value and what would be right."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from service.config import Config, ConfigurationError, load, parse, parse_duration_ms

WEBHOOK = 'url = "http://r/"\nsecret = "whsec_MTIz"\n'
MISTAKES = {
    "a misspelt section": ("[comit]\nevents = 3", ["comit = a section", "did you mean 'commit'"]),
    "a misspelt key": ("[http]\nprt = 80", ["http.prt = 80", "did you mean 'port'"]),
    "two settings for one structure": (
        "[monitors.Fraud.detectors.ks]\nalpha = 1e-4",
        ["monitors.Fraud.detectors.cvm.alpha = 1e-06", "0.0001", "enabled"],
    ),
    "a misspelt key of a monitor": (
        "[monitors.Fraud.labels]\ntimout = '3d'", ["monitors.Fraud.labels.timout = '3d'", "did you mean 'timeout'"],
    ),
    "a misspelt key of a detector": (
        "[monitors.Fraud.detectors.adwin]\ndelat = 0.1", ["monitors.Fraud.detectors.adwin.delat = 0.1", "'delta'"],
    ),
    "a misspelt key of a feature": (
        "[monitors.Fraud.features.amount]\ntype = 'numeric'\nsensitiv = true",
        ["monitors.Fraud.features.amount.sensitiv = True", "'sensitive'"],
    ),
    "text for a number": ("[http]\nport = 'x'", ["http.port = 'x'", "int"]),
    "text for a number of a monitor": ("[monitors.Fraud]\ncooldown = 'x'", ["monitors.Fraud.cooldown = 'x'", "int"]),
    "a number for a duration": ("[monitors.Fraud.labels]\nage = 5", ["monitors.Fraud.labels.age = 5", "str"]),
    "an unknown type of a feature": (
        "[monitors.Fraud.features.amount]\ntype = 'numbr'", ["monitors.Fraud.features.amount.type = 'numbr'"],
    ),
    "a feature without a type": ("[monitors.F.features.amount]\nmin = 1", ["monitors.F.features.amount", "`type`"]),
    "an unknown task": ("[monitors.F]\ntask = 'ranking'", ["monitors.F.task = 'ranking'"]),
    "no duration": ("[commit]\ninterval = '5 parsecs'", ["commit.interval = '5 parsecs'", "12h"]),
    "a duration of nothing": ("[monitors.F.labels]\nage = '0s'", ["monitors.F.labels.age = '0s'"]),
    "a window of none": ("[monitors.F.reference]\nwindow = 0", ["monitors.F.reference.window = 0", "1 or more"]),
    "a reference too short": ("[monitors.F.reference]\nn = 2", ["monitors.F.reference.n = 2", "5 or more"]),
    "a level that is none": ("[monitors.F.detectors.ks]\nalpha = 2.0", ["monitors.F.detectors.ks.alpha = 2.0", "1"]),
    "no clock": ("[monitors.F.detectors.adwin]\nclock = 0", ["monitors.F.detectors.adwin.clock = 0", "1 or more"]),
    "a window longer than its cap": (
        "[monitors.F.labels]\ncorrection_window = 9\nmax_pending = 5",
        ["monitors.F.labels.correction_window = 9", "max_pending = 5"],
    ),
    "a champion that is no learner": ("[monitors.F]\nchampion = 'x'", ["monitors.F.champion = 'x'", "none"]),
    "a learner with a taken name": (
        "[monitors.F.learners.probe]\nestimator = 'river.naive_bayes.GaussianNB'", ["monitors.F.learners.probe"],
    ),
    "limits upside down": (
        "[monitors.F.features.a]\ntype='numeric'\nmin=3\nmax=1", ["monitors.F.features.a.min = 3", "max = 1"],
    ),
    "a sensitive number without bins": (
        "[monitors.F.features.a]\ntype='numeric'\nsensitive=true", ["monitors.F.features.a.bins"],
    ),
    "a sensitive category without a key": (
        "[monitors.F.features.a]\ntype='categorical'\nsensitive=true", ["hash_key"],
    ),
    "an unknown zone": ("[monitors.F]\ntimezone = 'Mars/Base'", ["monitors.F.timezone = 'Mars/Base'", "IANA"]),
    "a value on time-out that is none": (
        "[monitors.F.labels]\non_timeout = {valeu = 'x'}", ["monitors.F.labels.on_timeout", "valeu", "value"],
    ),
    "a class on time-out of a regression": (
        "[monitors.F]\ntask = 'regression'\nlabels.on_timeout = {value = 'x'}", ["monitors.F.labels.on_timeout"],
    ),
    "a port beyond the last": ("[http]\nport = 70000", ["http.port = 70000", "65535"]),
    "an address without a scheme": (
        f"[webhooks.ops]\n{WEBHOOK}".replace("http://r/", "r.example"), ["webhooks.ops.url = 'r.example'", "https"],
    ),
    "a severity that is none": (
        f"[webhooks.ops]\n{WEBHOOK}severities = ['loud']", ["webhooks.ops.severities", "loud"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake: str) -> None:
    """The refusal names the whole key, the value, and the nearest right key or what is allowed."""
    text, wanted = MISTAKES[mistake]
    with pytest.raises(ConfigurationError) as caught:
        parse(tomllib.loads(text))
    assert [part for part in wanted if part not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    "tree",
    [
        {"webhooks": {"ops": {"url": "http://r/", "secret": "TELLNOBODY"}}},
        {"webhooks": {"ops": {"url": "http://r/", "secrt": "whsec_TELLNOBODY"}}},
        {"webhooks": {"ops": {"url": "http://r/", "zzz": "whsec_TELLNOBODY"}}},
        {"webhooks": {"ops": {"url": "http://r/", "secret": ["TELLNOBODY"]}}},
        {"transport": {"kafka": {"sasl_pasword": "TELLNOBODY"}}},
        {"pipeline": {"hash_kye": "TELLNOBODY"}},
    ],
)
def test_a_secret_is_never_shown(tree: dict[str, Any]) -> None:
    """Neither a wrong secret nor one under a misspelt key stands in the refusal."""
    with pytest.raises(ConfigurationError) as caught:
        parse(tree)
    assert "TELLNOBODY" not in str(caught.value)


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    """`ANCHORWATCH__A__B` wins over the file, makes sections that are missing, and leaves the rest."""
    path = tmp_path / "anchorwatch.toml"
    path.write_text('[http]\nport = 1\nhost = "h"\n[monitors.m]\ncooldown = 5\n')
    environment = {
        "ANCHORWATCH__HTTP__PORT": "9000",
        "ANCHORWATCH__COMMIT__INTERVAL": "2s",
        "ANCHORWATCH__MONITORS__M__LABELS__MAX_PENDING": "20000",
        "ANCHORWATCH__DEAD_LETTERS__RAW": "true",
        "ANCHORWATCHING": "no",
    }
    config = load(path, environment)
    assert (config.http.port, config.http.host, config.commit.interval) == (9000, "h", "2s")
    assert (config.monitors["m"].cooldown, config.monitors["m"].labels.max_pending) == (5, 20_000)
    assert config.dead_letters.raw is True


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"ANCHORWATCH__HTPP__PORT": "1"}, "did you mean 'http'"),
        ({"ANCHORWATCH__HTTP__PORT": "many"}, "http.port = 'many'"),
        ({"ANCHORWATCH__HTTP": "1", "ANCHORWATCH__HTTP__PORT": "1"}, "'http' is a value, not a section"),
    ],
)
def test_a_wrong_variable_is_refused(environment: dict[str, str], wanted: str) -> None:
    """A mistake in the environment is refused like one in the file."""
    with pytest.raises(ConfigurationError, match=wanted.replace("(", r"\(")):
        load(None, environment)


@pytest.mark.parametrize(("content", "wanted"), [(None, "init"), (b"a = ", "not TOML"), (b"\xff\xfe", "not TOML")])
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes | None, wanted: str) -> None:
    """A missing file names the command that writes one; what is not TOML is called so."""
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=wanted):
        load(path, {})


def test_nothing_at_all_is_a_configuration() -> None:
    """Every key has a default."""
    assert load(None, {}) == parse({}) == Config()


@pytest.mark.parametrize(
    ("text", "ms"), [("250ms", 250), ("90s", 90_000), ("1.5h", 5_400_000), ("15m", 900_000), (" 2d ", 172_800_000)]
)
def test_durations(text: str, ms: int) -> None:
    """A number and a unit."""
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "5", "-5s", "5 s", "1e3s", "5w", "infs", "٣s s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="no duration"):
        parse_duration_ms(text)
