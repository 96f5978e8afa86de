"""A graph of Python objects as plain nested lists, and back; shared references and cycles are kept.

Every mutable object gets a number in the order in which it is first met; a value in a list is either plain
(None, bool, int, float, text, bytes) or a list that begins with a tag. Nothing recurses along the graph, so a
chain of ten thousand nodes is no deeper than one.
"""

from __future__ import annotations

import collections
import functools
import statistics
import types
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import numpy as np

from learners.errors import EstimatorRefusedError
from learners.sorted_set import SortedSet

__all__ = ["GraphWriter", "Names", "slot_names"]

# Tags of values that stand in place. A list of one number is a reference to an object.
BIG, SURROGATE, TUPLE, FROZENSET, CLASS, FUNCTION, SCALAR, METHOD, UNSEEDED = range(9)

BIT_GENERATORS = frozenset({"MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"})
ARRAY_KINDS = frozenset("fiubc")
_PLAIN = frozenset({float, bool, type(None), bytes})
_MAX_INT, _MIN_INT = 2**63 - 1, -(2**63)

Layout = tuple[Any, ...]


class Names(Protocol):
    """Which classes and functions may be carried, by name."""

    def class_name(self, cls: type) -> str | None:
        """Name of an allowed class, or None."""

    def function_name(self, function: Any) -> str | None:
        """Name of an allowed function, or None."""


class GraphWriter:
    """Turns one graph into `[layouts, objects, root]`.

    A layout is `[kind, class name, attribute names …]`, an object `[layout number, values …]`.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._kinds: set[type] = set(_OBJECTS)
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._layouts: dict[Layout, int] = {}
        self._class_layouts: dict[tuple[type, tuple[str, ...]], int] = {}
        self._slots: dict[type, tuple[str, ...]] = {}

    def write(self, root: object) -> list[Any]:
        """The plain form of everything that `root` reaches.

        Raises
        ------
        EstimatorRefusedError
            something in the graph is not allowed; the message names it and what holds it.
        """
        top = self._or_refuse(root, lambda: self.value(root))
        bodies: list[list[Any]] = []
        done = 0
        while done < len(self._objects):
            obj = self._objects[done]
            bodies.append(self._or_refuse(obj, functools.partial(self._body, obj)))
            done += 1
        self._refuse_views()
        return [[list(layout) for layout in self._layouts], bodies, top]

    @staticmethod
    def _or_refuse(obj: object, describe: Callable[[], Any]) -> Any:
        try:
            return describe()
        except _NotCarriedError as error:
            raise EstimatorRefusedError(f"{type(obj).__qualname__} holds {error}: it cannot be stored") from None

    def _number(self, obj: object) -> int:
        number = self._numbers.get(id(obj))
        if number is None:
            number = self._numbers[id(obj)] = len(self._objects)
            self._objects.append(obj)
        return number

    def layout(self, *layout: Any) -> int:
        """The number of a layout."""
        return self._layouts.setdefault(layout, len(self._layouts))

    def values(self, values: Any) -> list[Any]:
        """Values in their plain form."""
        value = self.value
        return [v if type(v) in _PLAIN else value(v) for v in values]

    def value(self, v: Any) -> Any:
        """One value in its plain form; an object met for the first time is queued."""
        kind = type(v)
        if kind is str:
            return v if v.isascii() else _text(v)
        if kind is int:
            return v if _MIN_INT <= v <= _MAX_INT else [BIG, v.to_bytes(v.bit_length() // 8 + 1, "big", signed=True)]
        if kind in _PLAIN:
            return v
        if kind is tuple:
            return [TUPLE, self.values(v)]
        if kind in self._kinds:
            return [self._number(v)]
        return self._rare(v)

    def _rare(self, v: Any) -> list[Any]:
        if v is _UNSEEDED:
            return [UNSEEDED, None]
        if isinstance(v, frozenset):
            return [FROZENSET, self.members(v)]
        if isinstance(v, type):
            return [CLASS, self._allowed(self._names.class_name(v), v)]
        if type(v).__module__.startswith("river."):
            self._kinds.add(type(v))
            return [self._number(v)]
        if isinstance(v, np.generic) and v.dtype.kind in ARRAY_KINDS:
            return [SCALAR, v.dtype.str, v.tobytes()]
        if isinstance(v, types.MethodType) and self._names.function_name(v.__func__) is not None:
            return [METHOD, self.value(v.__self__), v.__func__.__name__]
        if callable(v) and not isinstance(v, functools.partial):
            return [FUNCTION, self._allowed(self._names.function_name(v), v)]
        return [self._number(v)]

    @staticmethod
    def _allowed(name: str | None, v: object) -> str:
        if name is None:
            raise _NotCarriedError(f"{getattr(v, '__qualname__', v)!r} of module {getattr(v, '__module__', None)}")
        return name

    def members(self, members: Any) -> list[Any]:
        """Members of a set in an order of their own."""
        values = self.values(members)
        for value in values:
            if _refers(value):
                raise _NotCarriedError("a set of objects, whose order is not defined")
        return sorted(values, key=msgspec.msgpack.encode)

    def _body(self, obj: Any) -> list[Any]:
        kind = type(obj)
        describe = _OBJECTS.get(kind)
        if describe is not None:
            return describe(self, obj)
        if kind.__module__.startswith("river._river_rust"):
            return self._native(obj)
        if kind.__module__.startswith("river.") or kind is statistics.NormalDist:
            return self._instance(obj)
        if (kind.__module__, kind.__qualname__) == ("random", "Random"):
            return _random(self, obj)
        if kind.__module__.startswith("numpy.random") and kind.__name__ in BIT_GENERATORS:
            return [self.layout("bit_generator", kind.__name__), self.value(obj.state)]
        raise _NotCarriedError(f"a {kind.__module__}.{kind.__qualname__}")

    def _instance(self, obj: Any) -> list[Any]:
        kind = type(obj)
        fields: dict[str, Any] = getattr(obj, "__dict__", _EMPTY)
        slots = self._slots.get(kind)
        if slots is None:
            slots = self._slots[kind] = self._check_instance(kind)
        if slots:
            fields = {name: getattr(obj, name) for name in slots if hasattr(obj, name)} | fields
        if "_rng" in fields and fields.get("seed", 0) is None and kind.__module__.startswith("river.proba."):
            fields = fields | {"_rng": _UNSEEDED}
        key = (kind, tuple(fields))
        layout = self._class_layouts.get(key)
        if layout is None:
            layout = self._class_layouts[key] = self.layout("instance", self._names.class_name(kind), *key[1])
        body = self.values(fields.values())
        body.insert(0, layout)
        return body

    def _check_instance(self, kind: type) -> tuple[str, ...]:
        self._allowed(self._names.class_name(kind), kind)
        maker: Any = kind.__new__
        if maker is not object.__new__:
            raise _NotCarriedError(f"a {kind.__module__}.{kind.__qualname__}, which is built in a way of its own")
        return slot_names(kind)

    def _native(self, obj: Any) -> list[Any]:
        kind = type(obj)
        name = self._allowed(self._names.class_name(kind), kind)
        if kind.__name__ == "VectorDict":
            data, factory, mask, _ = obj.__reduce__()[1]
            if mask is not None:
                raise _NotCarriedError("a masked VectorDict")
            return [self.layout("vector", name), self.value(factory), *self.pairs(data)]
        arguments = obj.__getnewargs__() if hasattr(obj, "__getnewargs__") else ()
        return [self.layout("native", name), obj.__getstate__(), *self.values(arguments)]

    def pairs(self, mapping: Any) -> list[Any]:
        """Keys and values of a mapping, alternating, in its order."""
        pairs: list[Any] = []
        for key, value in mapping.items():
            pairs.append(self._key(key))
            pairs.append(value if type(value) in _PLAIN else self.value(value))
        return pairs

    def _key(self, key: Any) -> Any:
        value = self.value(key)
        if isinstance(value, list) and len(value) == 1 and _hash_of(key) is not object.__hash__:
            raise _NotCarriedError(f"a key of type {type(key).__qualname__}, whose hash depends on its state")
        return value

    def _refuse_views(self) -> None:
        for obj in self._objects:
            if type(obj) is np.ndarray and obj.base is not None and id(obj.base) in self._numbers:
                raise EstimatorRefusedError("two numpy arrays share memory, which cannot be stored")


class _NotCarriedError(Exception):
    """Something in the graph that has no plain form."""


_EMPTY: dict[str, Any] = {}

# Every river distribution (a tree keeps thousands) carries a generator that only `sample` uses. Where it has no seed
# it was seeded by the operating system: 2,500 bytes that never repeat and decide nothing, so they are not stored.
_UNSEEDED = object()


def slot_names(kind: type) -> tuple[str, ...]:
    """Names in the `__slots__` of a class and its bases, as attributes are read."""
    names: list[str] = []
    for base in reversed(kind.__mro__):
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in {"__dict__", "__weakref__"}:
                private = name.startswith("__") and not name.endswith("__")
                names.append(f"_{base.__name__.lstrip('_')}{name}" if private else name)
    return tuple(names)


def _refers(value: Any) -> bool:
    """Whether a plain value refers to an object, whose number says nothing about what it is."""
    if not isinstance(value, list):
        return False
    if value[0] in {TUPLE, FROZENSET} and len(value) == 2:
        return any(_refers(part) for part in value[1])
    return len(value) == 1 or value[0] == METHOD


def _hash_of(key: object) -> Any:
    return type(key).__hash__


def _text(v: str) -> Any:
    try:
        v.encode()
    except UnicodeEncodeError:
        return [SURROGATE, v.encode("utf-8", "surrogatepass")]
    return v


def _list(writer: GraphWriter, obj: Any) -> list[Any]:
    return [writer.layout("list"), *writer.values(obj)]


def _dict(writer: GraphWriter, obj: Any) -> list[Any]:
    return [writer.layout(_DICTS[type(obj)]), *writer.pairs(obj)]


def _defaultdict(writer: GraphWriter, obj: Any) -> list[Any]:
    return [writer.layout("defaultdict"), writer.value(obj.default_factory), *writer.pairs(obj)]


def _set(writer: GraphWriter, obj: Any) -> list[Any]:
    return [writer.layout("sorted_set" if type(obj) is SortedSet else "set"), *writer.members(obj)]


def _deque(writer: GraphWriter, obj: Any) -> list[Any]:
    return [writer.layout("deque"), obj.maxlen, *writer.values(obj)]


def _array(writer: GraphWriter, obj: Any) -> list[Any]:
    if obj.dtype.kind not in ARRAY_KINDS:
        raise _NotCarriedError(f"a numpy array of {obj.dtype}")
    order = "F" if obj.ndim > 1 and obj.flags.f_contiguous and not obj.flags.c_contiguous else "C"
    return [writer.layout("array"), obj.dtype.str, order, list(obj.shape), obj.tobytes(order)]


def _partial(writer: GraphWriter, obj: Any) -> list[Any]:
    pairs = [item for pair in obj.keywords.items() for item in pair]
    return [writer.layout("partial"), *writer.values((obj.func, tuple(obj.args), tuple(pairs)))]


def _random(writer: GraphWriter, obj: Any) -> list[Any]:
    version, words, gauss = obj.getstate()
    return [writer.layout("random"), version, np.array(words, "<u4").tobytes(), gauss]


def _generator(writer: GraphWriter, obj: Any) -> list[Any]:
    return [writer.layout("generator"), writer.value(obj.bit_generator)]


def _random_state(writer: GraphWriter, obj: Any) -> list[Any]:
    return [writer.layout("random_state"), writer.value(obj.get_state(legacy=False))]


_DICTS: dict[type, str] = {dict: "dict", collections.OrderedDict: "ordered_dict", collections.Counter: "counter"}
_OBJECTS: dict[type, Callable[[GraphWriter, Any], list[Any]]] = {
    list: _list,
    dict: _dict,
    collections.OrderedDict: _dict,
    collections.Counter: _dict,
    collections.defaultdict: _defaultdict,
    set: _set,
    SortedSet: _set,
    collections.deque: _deque,
    functools.partial: _partial,
    np.ndarray: _array,
    np.random.Generator: _generator,
    np.random.RandomState: _random_state,
}
