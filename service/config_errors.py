"""What is wrong with a configuration, in words: the key, the value, and the nearest right key."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, MutableMapping
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

__all__ = ["ConfigurationError", "at_least", "explain", "override", "reject_unknown", "share"]

_PREFIX = "ANCHORWATCH__"
_SECRET = re.compile(r"(secret|password|hash_key)$")


class ConfigurationError(ValueError):
    """A wrong configuration; the message names the key, the value and, where one is near, the right key."""


def override(tree: MutableMapping[str, Any], environment: Mapping[str, str]) -> None:
    """Write every `ANCHORWATCH__A__B=value` of `environment` to `tree["a"]["b"]`; values are TOML, else text."""
    for name in sorted(environment):
        if not name.startswith(_PREFIX):
            continue
        *path, key = name.removeprefix(_PREFIX).lower().split("__")
        node: Any = tree
        for part in path:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise ConfigurationError(f"{name}: {part!r} is a value, not a section")
        node[key] = _value(environment[name])


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def reject_unknown(model: Any, tree: Any, path: str = "") -> None:
    """Walk `tree` beside the types of `model`; the first key that no field has raises with the nearest one."""
    struct = _struct_of(model)
    if struct is not None and isinstance(tree, Mapping):
        hints = get_type_hints(struct)
        for key, value in tree.items():
            here = f"{path}.{key}" if path else str(key)
            if key not in hints:
                raise ConfigurationError(_unknown(here, key, value, sorted(hints)))
            reject_unknown(hints[key], value, here)
    elif get_origin(model) is dict and isinstance(tree, Mapping):
        for key, value in tree.items():
            reject_unknown(get_args(model)[1], value, f"{path}.{key}")


def _struct_of(model: Any) -> Any:
    if isinstance(model, type) and issubclass(model, msgspec.Struct):
        return model
    if get_origin(model) in (Union, UnionType):
        return next((found for part in get_args(model) if (found := _struct_of(part)) is not None), None)
    return None


def _unknown(path: str, key: str, value: Any, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    secret = _SECRET.search(near[0] if near else key) or "whsec_" in str(value)
    shown = "a section" if isinstance(value, Mapping) else "(value not shown)" if secret else repr(value)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return f"{path} = {shown}: unknown key; {hint}"


def explain(model: Any, tree: Any, path: str = "") -> str:
    """Say `a.b = value: …` of the first value that does not fit `model`; msgspec's own path lacks the keys of dicts."""
    try:
        msgspec.convert(tree, model)
    except msgspec.ValidationError as error:
        for key, part in _parts(model, tree):
            found = explain(part, tree[key], f"{path}.{key}" if path else key)
            if found:
                return found
        text = str(error).partition(" - at `$")[0]
        shown = "" if isinstance(tree, Mapping) or _SECRET.search(path) else f" = {tree!r}"
        return f"{path or 'configuration'}{shown}: {text[:1].lower()}{text[1:]}"
    return ""


def _parts(model: Any, tree: Any) -> list[tuple[str, Any]]:
    """The keys of `tree` with the type of each, if `model` gives them types."""
    if not isinstance(tree, Mapping):
        return []
    struct = _struct_of(model)
    if struct is not None:
        hints = get_type_hints(struct)
        return [(key, hints[key]) for key in tree if key in hints]
    return [(key, get_args(model)[1]) for key in tree] if get_origin(model) is dict else []


def at_least(key: str, value: int, least: int) -> None:
    """Refuse a whole number below `least`."""
    if value < least:
        raise ConfigurationError(f"{key} = {value}: must be {least} or more")


def share(key: str, value: float) -> None:
    """Refuse what is not between 0 and 1."""
    if not 0 < value < 1:
        raise ConfigurationError(f"{key} = {value}: must lie between 0 and 1")
