"""Canonical bytes of a learner's state, without pickle: only river's own classes and a few plain types are rebuilt.

The bytes are a magic word, a format version, a SHA-256 and a MessagePack of the graph. No constructor runs that the
bytes could choose, and no name is looked up outside the packages listed here.
"""

from __future__ import annotations

import builtins
import copy
import hashlib
import math
import operator
import re
import statistics
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

import msgspec

from learners.errors import EstimatorRefusedError, SnapshotError
from learners.graph import GraphWriter
from learners.graph_reader import GraphReader

__all__ = ["FORMAT_VERSION", "decode", "encode", "find_river_class", "kind_of"]

FORMAT_VERSION = 1
_MAGIC = b"AWLC"
_HEADER_N = len(_MAGIC) + 2 + 32

# River packages whose classes hold state and touch no file or network when used.
# fmt: off
RIVER_PACKAGES = frozenset({
    "_river_rust", "active", "anomaly", "bandit", "base", "cluster", "compose", "conf", "covariance", "drift",
    "dummy", "ensemble", "facto", "feature_extraction", "feature_selection", "forest", "imblearn", "linear_model",
    "metrics", "misc", "model_selection", "multiclass", "multioutput", "naive_bayes", "neighbors", "optim",
    "preprocessing", "proba", "reco", "rules", "sketch", "stats", "time_series", "tree", "utils",
})
# fmt: on
_RIVER_MODULE = re.compile(r"river(\.[A-Za-z_][A-Za-z_0-9]*)+")
_BUILTINS = frozenset(
    {"abs", "bool", "dict", "float", "int", "len", "list", "max", "min", "set", "str", "sum", "tuple"}
)
_BUILTIN_CLASSES = {name: getattr(builtins, name) for name in _BUILTINS if isinstance(getattr(builtins, name), type)}
_COLLECTIONS = frozenset({"Counter", "OrderedDict", "defaultdict", "deque"})


class _Names:
    """The allow list, in both directions: from an object to its name and back."""

    def class_name(self, cls: type) -> str | None:
        name = f"{cls.__module__}:{cls.__qualname__}"
        return name if _class(name) is cls else None

    def function_name(self, function: Any) -> str | None:
        module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
        if module is None or name is None:
            return None
        full = f"{module}:{name}"
        return full if _function(full) is function else None

    def find_class(self, name: str) -> type:
        cls = _class(name)
        if cls is None:
            raise ValueError(f"class {name!r} is not allowed")
        return cls

    def find_function(self, name: str) -> Callable[..., Any]:
        function = _function(name)
        if function is None:
            raise ValueError(f"function {name!r} is not allowed")
        return function

    def new_random(self) -> Any:
        """River's estimators hold one; the package as such draws no random numbers, so it is imported here alone."""
        return import_module("random").Random(0)


_NAMES = _Names()


@lru_cache(maxsize=4096)
def _class(name: str) -> type | None:
    module, _, qualname = name.partition(":")
    if module == "builtins":
        return _BUILTIN_CLASSES.get(qualname)
    if name == "statistics:NormalDist":
        return statistics.NormalDist
    if module == "collections" and qualname in _COLLECTIONS:
        found: Any = getattr(import_module("collections"), qualname)
        return found if isinstance(found, type) else None
    found = _in_river(module, qualname)
    return found if isinstance(found, type) else None


@lru_cache(maxsize=4096)
def _function(name: str) -> Callable[..., Any] | None:
    module, _, qualname = name.partition(":")
    if module == "builtins":
        return getattr(builtins, qualname) if qualname in _BUILTINS else None
    if module == "copy" and qualname == "deepcopy":
        return copy.deepcopy
    if module in {"math", "_operator"} and not qualname.startswith("_"):
        return getattr(math if module == "math" else operator, qualname, None)
    found = _in_river(module, qualname)
    return found if callable(found) and not isinstance(found, type) else None


def _in_river(module: str, qualname: str) -> Any:
    """What river really defines under that name, or None."""
    if not _RIVER_MODULE.fullmatch(module) or module.split(".")[1] not in RIVER_PACKAGES:
        return None
    found: Any = _river_module(module)
    for part in qualname.split("."):
        found = None if part.startswith("__") else getattr(found, part, None)
    if getattr(found, "__module__", None) != module or getattr(found, "__qualname__", None) != qualname:
        return None
    return found


def _river_module(module: str) -> Any:
    if module.startswith("river._river_rust."):
        # One compiled file holds these; they are no modules of their own to the import system.
        return getattr(import_module("river._river_rust"), module.rsplit(".", 1)[1], None)
    try:
        return import_module(module)
    except ImportError:
        return None


def find_river_class(name: str) -> type | None:
    """The class behind a public dotted name such as `river.tree.HoeffdingTreeClassifier`, or None."""
    module, _, attribute = name.rpartition(".")
    if not _RIVER_MODULE.fullmatch(module) or module.split(".")[1] not in RIVER_PACKAGES:
        return None
    found = getattr(_river_module(module), attribute, None)
    if not isinstance(found, type) or not found.__module__.startswith("river."):
        return None
    return found


def encode(obj: object) -> bytes:
    """Turn an object graph into canonical bytes: equal states give equal bytes, in every process.

    Raises
    ------
    EstimatorRefusedError
        the graph holds something that is not on the allow list; the message names it.
    """
    try:
        plain = GraphWriter(_NAMES).write(obj)
        payload = msgspec.msgpack.encode([_river_version(plain[0]), *plain])
    except RecursionError as error:
        raise EstimatorRefusedError("tuples are nested too deeply to be stored") from error
    head = _MAGIC + FORMAT_VERSION.to_bytes(2, "big")
    return head + hashlib.sha256(head + payload).digest() + payload


def _river_version(layouts: list[list[Any]]) -> str | None:
    if not any(len(layout) > 1 and str(layout[1]).startswith("river.") for layout in layouts):
        return None
    return str(import_module("river").__version__)


def decode(data: bytes) -> Any:
    """Rebuild what `encode` was given.

    Raises
    ------
    SnapshotError
        the bytes are damaged, of another format, or were written with another version of river.
    """
    return _rebuild(_payload(data))


def _payload(data: bytes) -> bytes:
    if len(data) < _HEADER_N or data[:4] != _MAGIC:
        raise SnapshotError("this is no snapshot of a learner: restore a backup, or let the learner start anew")
    version = int.from_bytes(data[4:6], "big")
    payload = data[_HEADER_N:]
    if hashlib.sha256(data[:6] + payload).digest() != data[6:_HEADER_N]:
        raise SnapshotError("the snapshot fails its checksum: restore a backup, or let the learner start anew")
    if version != FORMAT_VERSION:
        raise SnapshotError(f"snapshot format {version} is not {FORMAT_VERSION}: use the program that wrote it")
    return payload


def kind_of(data: bytes) -> str | None:
    """The text under `"kind"` in the dict that the bytes hold, None if there is none; builds nothing.

    Raises
    ------
    SnapshotError
        the bytes are damaged.
    """
    try:
        _, layouts, bodies, (top,) = msgspec.msgpack.decode(_payload(data))
        body = bodies[top]
        pairs = body[1:] if layouts[body[0]] == ["dict"] else []
        return next((str(v) for k, v in zip(pairs[::2], pairs[1::2], strict=True) if k == "kind"), None)
    except (msgspec.DecodeError, TypeError, ValueError, IndexError, KeyError) as error:
        raise SnapshotError(f"the snapshot contradicts itself ({error})") from error


def _rebuild(payload: bytes) -> Any:
    try:
        written_with, *plain = msgspec.msgpack.decode(payload)
        if written_with is not None and written_with != import_module("river").__version__:
            raise SnapshotError(f"written with river {written_with}: install that version, or let it start anew")
        return GraphReader(_NAMES).read(plain)
    except SnapshotError:
        raise
    except Exception as error:  # whatever a forged payload trips over is one verdict
        raise SnapshotError(f"the snapshot contradicts itself ({type(error).__name__}: {error})") from error
