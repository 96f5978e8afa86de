"""The documents name what exists, and all of it: commands, keys, metrics, alerts, files."""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest
import yaml

from service.cli import build_parser
from service.config import Config
from stream import store

__all__: list[str] = []

ROOT = Path(__file__).parents[1]
PACKAGES = ("stream", "detectors", "learners", "service")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of a document leads to a file of the repository."""
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text("utf-8"))
    broken = [t for t in targets if "://" not in t and not (document.parent / t).exists()]
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_exist(document: Path) -> None:
    """Every path of the repository that a document quotes exists."""
    folders = "docs|grafana|tests|tools|service|stream|detectors|learners|benchmarks"
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", document.read_text("utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_make_targets_in_documents_exist() -> None:
    """A document that says `make x` means a target of the Makefile."""
    targets = set(re.findall(r"^\.PHONY: (\S+)", _text("Makefile"), re.MULTILINE))
    named = {name for d in DOCUMENTS for name in _make_targets(d.read_text("utf-8"))}
    assert {"run", "check", "test"} <= named
    assert named - targets == set()


def _make_targets(text: str) -> list[str]:
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    lines = re.findall(r"^make ([a-z -]+)", blocks, re.MULTILINE) + re.findall(r"`make ([a-z -]+)", text)
    return [target for line in lines for target in line.split()]


def _struct(annotation: Any) -> type[msgspec.Struct] | None:
    candidates = (annotation, *get_args(annotation))
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, msgspec.Struct)), None)


def _keys(struct: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(struct):
        path = f"{prefix}{field.name}"
        inner = _struct(field.type)
        if inner is None:
            yield path, _default(field)
        else:
            yield from _keys(inner, f"{path}.NAME." if get_origin(field.type) is dict else f"{path}.")


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return list(field.default) if isinstance(field.default, tuple) else field.default
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return "–"


def _documented() -> dict[str, Any]:
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \| .*\|$", _text("docs/configuration.md"), re.MULTILINE)
    plain = {"–": "–", "none": None}
    return {k: plain[d] if d in plain else tomllib.loads(f"value = {d.strip('`')}")["value"] for k, d in rows}


def test_every_configuration_key_is_documented_with_its_default() -> None:
    """The configuration page names each key that the program knows, no other, and the default that is in force."""
    assert _documented() == dict(_keys(Config))


def _commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def test_every_command_is_documented() -> None:
    """The documents show each command of the command line, and no command that is not there."""
    shown = {name for d in DOCUMENTS for name in re.findall(r"\banchorwatch ([a-z]+)(?![\w.])", _code(d))}
    assert shown == set(_commands())


def test_options_in_documents_exist() -> None:
    """An option that a document gives to a command is one of that command's."""
    for document in DOCUMENTS:
        for command, rest in re.findall(r"\banchorwatch ([a-z]+)([^\n`#|]*)", _code(document)):
            known = set(_commands()[command]._option_string_actions)
            assert set(re.findall(r"(?<!\S)--?[a-z][\w-]*", rest)) <= known, f"{document.name}: {command}{rest}"


def _code(document: Path) -> str:
    """What a document quotes as code: blocks and inline."""
    text = document.read_text("utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`]+)`", re.sub(r"^```\w*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*blocks, *(" ".join(quoted.split()) for quoted in inline)])


def test_every_environment_variable_is_documented() -> None:
    """Each variable that the packages read stands in the runbook, and each that stands there is read."""
    sources = [p.read_text("utf-8") for package in PACKAGES for p in (ROOT / package).glob("*.py")]
    read = {name for source in sources for name in re.findall(r"\"(ANCHORWATCH_[A-Z]\w+)\"", source)}
    documented = set(re.findall(r"`(ANCHORWATCH_[A-Z]\w+)`", _text("docs/operations.md")))
    assert documented == read


def test_commit_steps_are_the_stores() -> None:
    """The architecture page numbers the steps of a commit as the store's docstring does, in the same words."""
    steps = re.findall(r"^ +(\d)\. (.+)$", store.__doc__ or "", re.MULTILINE)
    documented = re.findall(r"^(\d)\. (.+)$", _text("docs/architecture.md").partition("step by step")[2], re.MULTILINE)
    assert len(steps) >= 5
    assert documented[: len(steps)] == steps


def _alerts() -> dict[str, dict[str, Any]]:
    rules = yaml.safe_load(_text("grafana/prometheus/rules.yml"))
    return {r["alert"]: r for group in rules["groups"] for r in group["rules"] if "alert" in r}


def test_every_alert_has_a_section_in_the_runbook() -> None:
    """Each alert has a section of its own, and each section of an alert still has its alert."""
    sections = set(re.findall(r"^### (Anchorwatch\w+)", _text("docs/operations.md"), re.MULTILINE))
    assert sections == set(_alerts())


@pytest.mark.parametrize("name", sorted(_alerts()))
def test_alert_says_what_to_do(name: str) -> None:
    """An alert carries a severity that is routed, a summary and a pointer to its section of the runbook."""
    alert = _alerts()[name]
    assert alert["labels"]["severity"] in {"page", "ticket", "note"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_no_machine(document: Path) -> None:
    """No document holds a path of somebody's machine."""
    assert re.findall(r"(?<![\w.])/(?:home|root|work|Users)/\w+", document.read_text("utf-8")) == []
