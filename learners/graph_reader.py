"""Rebuild a graph of objects from plain nested lists, calling no constructor that the lists could choose.

Empty shells of all objects come first and are filled afterwards, so that cycles need no care.
"""

from __future__ import annotations

import collections
import functools
import types
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from learners.errors import raise_unless_panic
from learners.graph import (
    ARRAY_KINDS,
    BIG,
    BIT_GENERATORS,
    CLASS,
    FROZENSET,
    FUNCTION,
    METHOD,
    SCALAR,
    SURROGATE,
    TUPLE,
    UNSEEDED,
    slot_names,
)
from learners.sorted_set import SortedSet

__all__ = ["GraphReader", "Resolver"]

# (reader, object, body, layout) -> object
Step = Callable[["GraphReader", Any, list[Any], list[Any]], Any]


class Resolver(Protocol):
    """Gives allowed classes and functions for their names; raises ValueError for any other name."""

    def find_class(self, name: str) -> type:
        """The class of that name."""

    def find_function(self, name: str) -> Callable[..., Any]:
        """The function of that name."""

    def new_random(self) -> Any:
        """A `random.Random`."""


class GraphReader:
    """Rebuilds what `GraphWriter` wrote. Whatever is malformed raises some ordinary exception."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self._objects: list[Any] = []

    def read(self, plain: list[Any]) -> Any:
        """The root of the graph."""
        layouts, bodies, top = plain
        makers = [self._maker(layout) for layout in layouts]
        self._objects = [makers[body[0]](body) for body in bodies]
        for phase in _PHASES:
            steps = [phase.get(layout[0]) for layout in layouts]
            for number, body in enumerate(bodies):
                step = steps[body[0]]
                if step is not None:
                    self._objects[number] = step(self, self._objects[number], body, layouts[body[0]])
        return self.value(top)

    def _maker(self, layout: list[Any]) -> Callable[[list[Any]], Any]:
        kind = layout[0]
        if kind == "instance":
            cls = self.resolver.find_class(layout[1])
            return lambda _: object.__new__(cls)
        if kind in {"native", "vector"}:
            native = self.resolver.find_class(layout[1])
            if not native.__module__.startswith("river._river_rust"):
                raise ValueError(f"{layout[1]} is not compiled")
            return lambda _: native
        if kind == "bit_generator":
            if layout[1] not in BIT_GENERATORS:
                raise ValueError(f"no bit generator {layout[1]!r}")
            generator = getattr(np.random, layout[1])
            return lambda _: generator(0)
        if kind == "random":
            return lambda _: self.resolver.new_random()
        return _SHELLS[kind]

    def values(self, values: list[Any]) -> list[Any]:
        """Plain values as objects."""
        value = self.value
        return [value(v) if type(v) is list else v for v in values]

    def pairs(self, flat: list[Any]) -> list[tuple[Any, Any]]:
        """Keys and values that alternate in a list."""
        values = self.values(flat)
        return list(zip(values[::2], values[1::2], strict=True))

    def value(self, v: Any) -> Any:
        """One plain value as an object."""
        if type(v) is not list:
            return v
        if len(v) == 1:
            if v[0] < 0:
                raise ValueError("a reference is negative")
            return self._objects[v[0]]
        return _VALUES[v[0]](self, *v[1:])


def _method(reader: GraphReader, owner: Any, name: str) -> Any:
    owner = reader.value(owner)
    function = getattr(type(owner), name)
    if not isinstance(function, types.FunctionType) or not function.__module__.startswith("river."):
        raise ValueError(f"{name} is no method of river")
    return types.MethodType(function, owner)


def _scalar(_: GraphReader, dtype: str, data: bytes) -> Any:
    return np.frombuffer(data, _dtype(dtype), count=1)[0]


def _dtype(name: str) -> np.dtype[Any]:
    dtype = np.dtype(name)
    if dtype.kind not in ARRAY_KINDS:
        raise ValueError(f"arrays of {name} are not stored")
    return dtype


def _array(body: list[Any]) -> Any:
    _, dtype, order, shape, data = body
    if order not in {"C", "F"}:
        raise ValueError(f"no order {order!r}")
    return np.frombuffer(data, _dtype(dtype)).reshape(shape, order=order).copy(order)


def _fill_instance(reader: GraphReader, obj: Any, body: list[Any], layout: list[Any]) -> Any:
    fields = dict(zip(layout[2:], reader.values(body[1:]), strict=True))
    for name in slot_names(type(obj)):
        if name in fields:
            object.__setattr__(obj, name, fields.pop(name))
    if fields:
        obj.__dict__.update(fields)
    return obj


def _make_native(reader: GraphReader, cls: Any, body: list[Any], _: list[Any]) -> Any:
    try:
        obj = cls(*(reader.values(body[2:]) or _NATIVE_ARGUMENTS.get(cls.__name__, ())))
        obj.__setstate__(body[1])
    except BaseException as error:
        raise_unless_panic(error)
        raise ValueError(f"a {cls.__name__} refuses its state") from error
    if obj.__getstate__() != body[1]:
        raise ValueError(f"the state of a {cls.__name__} is not what it was")
    return obj


def _make_vector(reader: GraphReader, cls: Any, body: list[Any], _: list[Any]) -> Any:
    return cls(None, reader.value(body[1]))


def _make_generator(reader: GraphReader, _: Any, body: list[Any], __: list[Any]) -> Any:
    return np.random.Generator(reader.value(body[1]))


def _fill_random(_: GraphReader, obj: Any, body: list[Any], __: list[Any]) -> Any:
    obj.setstate((body[1], tuple(np.frombuffer(body[2], "<u4").tolist()), body[3]))
    return obj


def _fill_partial(reader: GraphReader, obj: Any, body: list[Any], _: list[Any]) -> Any:
    function, arguments, flat = reader.values(body[1:])
    if not callable(function):
        raise ValueError("a partial of nothing that can be called")  # noqa: TRY004 # any malformed snapshot is one error
    obj.__setstate__((function, arguments, dict(zip(flat[::2], flat[1::2], strict=True)), None))
    return obj


def _extend(start: int) -> Step:
    def step(reader: GraphReader, obj: Any, body: list[Any], _: list[Any]) -> Any:
        obj.extend(reader.values(body[start:]))
        return obj

    return step


def _update(start: int) -> Step:
    def step(reader: GraphReader, obj: Any, body: list[Any], _: list[Any]) -> Any:
        obj.update(dict(reader.pairs(body[start:])))
        return obj

    return step


def _fill_defaultdict(reader: GraphReader, obj: Any, body: list[Any], _: list[Any]) -> Any:
    obj.default_factory = reader.value(body[1])
    return obj


def _fill_set(reader: GraphReader, obj: Any, body: list[Any], _: list[Any]) -> Any:
    obj.update(reader.values(body[1:]))
    return obj


def _set_state(reader: GraphReader, obj: Any, body: list[Any], _: list[Any]) -> Any:
    obj.state = reader.value(body[1])
    return obj


def _set_random_state(reader: GraphReader, obj: Any, body: list[Any], _: list[Any]) -> Any:
    obj.set_state(reader.value(body[1]))
    return obj


# What compiled classes are made with before their state is set, where they do not tell it themselves.
_NATIVE_ARGUMENTS: dict[str, tuple[Any, ...]] = {"RsQuantile": (0.5,)}

_VALUES: dict[int, Callable[..., Any]] = {
    BIG: lambda _, data: int.from_bytes(data, "big", signed=True),
    SURROGATE: lambda _, data: data.decode("utf-8", "surrogatepass"),
    TUPLE: lambda reader, values: tuple(reader.values(values)),
    FROZENSET: lambda reader, values: frozenset(reader.values(values)),
    CLASS: lambda reader, name: reader.resolver.find_class(name),
    FUNCTION: lambda reader, name: reader.resolver.find_function(name),
    SCALAR: _scalar,
    METHOD: _method,
    UNSEEDED: lambda reader, _: reader.resolver.new_random(),
}

_SHELLS: dict[str, Callable[[list[Any]], Any]] = {
    "list": lambda _: [],
    "dict": lambda _: {},
    "ordered_dict": lambda _: collections.OrderedDict(),
    "counter": lambda _: collections.Counter(),
    "defaultdict": lambda _: collections.defaultdict(),
    "set": lambda _: set(),
    "sorted_set": lambda _: SortedSet(),
    "deque": lambda body: collections.deque(maxlen=body[1]),
    "partial": lambda _: functools.partial(int),
    "array": _array,
    "generator": lambda _: None,
    "random_state": lambda _: np.random.RandomState(0),
}

# Each phase needs the ones before it: what is compiled wants its shells, a hash wants its object filled, and a
# generator wants the dict of its state filled.
_PHASES: tuple[dict[str, Step], ...] = (
    {"native": _make_native, "vector": _make_vector, "generator": _make_generator},
    {
        "instance": _fill_instance,
        "list": _extend(1),
        "deque": _extend(2),
        "defaultdict": _fill_defaultdict,
        "partial": _fill_partial,
        "random": _fill_random,
    },
    {
        "dict": _update(1),
        "ordered_dict": _update(1),
        "counter": _update(1),
        "defaultdict": _update(2),
        "vector": _update(2),
        "set": _fill_set,
        "sorted_set": _fill_set,
    },
    {"bit_generator": _set_state, "random_state": _set_random_state},
)
