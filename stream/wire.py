"""Strict parsing of one message: bytes to plain values, with a reason for whatever is not strictly valid.

This is the slow, obvious path: it refuses duplicate keys, numbers that are not finite, lone surrogates, U+0000 and
depth, which common parsers let through. The fast path in `fast_path` may only accept what this accepts.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable
from typing import Any, NoReturn

from stream.events import Reason
from stream.refusal import MAX_TEXT, RefusalError, show

__all__ = ["MAX_DEPTH", "is_msgpack_map", "parse_json", "parse_msgpack"]

MAX_DEPTH = 32
"""Deepest nesting of objects and arrays: events need 3, and every reader's stack can take this."""

_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_FORBIDDEN = re.compile("[\0\ud800-\udfff]")


def is_msgpack_map(value: bytes) -> bool:
    """Whether the first byte marks a MessagePack map; no JSON text begins with one of these bytes."""
    return 0x80 <= value[0] <= 0x8F or value[0] in (0xDE, 0xDF)


def parse_json(value: bytes) -> Any:
    """Parse one JSON text strictly.

    Raises
    ------
    RefusalError
        `bad_text`, `too_deep`, `not_json`, `not_finite`, `duplicate_key`
    """
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusalError(Reason.BAD_TEXT, f"not UTF-8 at byte {error.start}: {error.reason}") from error
    if text.startswith("\ufeff"):
        raise RefusalError(Reason.NOT_JSON, "starts with a byte order mark; send UTF-8 without one")
    if _is_too_deep(value):
        raise _too_deep()
    try:
        parsed = _JSON.decode(text)
    except json.JSONDecodeError as error:
        raise RefusalError(Reason.NOT_JSON, f"not JSON: {error.msg} at character {error.pos}") from error
    if "\\u" in text:
        _check_texts(parsed)
    return parsed


def _is_too_deep(value: bytes) -> bool:
    if value.count(b"[") + value.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for token in _BRACKETS.finditer(value):
        mark = token[0]
        if mark in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif mark in (b"]", b"}"):
            depth -= 1
    return False


def _too_deep() -> RefusalError:
    return RefusalError(Reason.TOO_DEEP, f"objects and arrays nest deeper than {MAX_DEPTH}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        raise _duplicate(key for key, _ in pairs)
    return parsed


def _duplicate(keys: Iterable[str]) -> RefusalError:
    seen: set[str] = set()
    repeated = next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return RefusalError(Reason.DUPLICATE_KEY, f"the key {show(repeated)} stands twice in one object; keep one")


def _constant(text: str) -> NoReturn:
    raise RefusalError(Reason.NOT_FINITE, f"{text} is not a JSON number; send null for a missing value")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise RefusalError(Reason.NOT_FINITE, "a number is too large for 64-bit floating point")
    return number


def _int(text: str) -> int:
    if len(text) > MAX_TEXT:
        raise RefusalError(Reason.NOT_FINITE, f"a number of {len(text)} characters; at most {MAX_TEXT} are read")
    return int(text)


_JSON = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int)


def _check_texts(value: Any) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key)
            _check_texts(item)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item)


def _check_text(text: str) -> None:
    found = _FORBIDDEN.search(text)
    if found is not None:
        what = "U+0000" if found[0] == "\0" else "a lone surrogate"
        raise RefusalError(Reason.BAD_TEXT, f"a text holds {what}, which no text may")


def parse_msgpack(value: bytes) -> Any:
    """Parse one MessagePack value strictly, down to the last byte.

    Raises
    ------
    RefusalError
        `bad_text`, `too_deep`, `not_msgpack`, `not_finite`, `duplicate_key`, `wrong_type` (binary, extension, odd keys)
    """
    reader = _Msgpack(value)
    parsed = reader.value(0)
    if reader.position != len(value):
        raise RefusalError(Reason.NOT_MSGPACK, f"{len(value) - reader.position} bytes follow the MessagePack value")
    return parsed


_UNSIGNED_AND_FLOAT = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
_NUMBERS = _UNSIGNED_AND_FLOAT | {0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_TEXTS = {0xD9: 1, 0xDA: 2, 0xDB: 4}  # mark to bytes of its length, as in the two below
_ARRAYS = {0xDC: 2, 0xDD: 4}
_MAPS = {0xDE: 2, 0xDF: 4}


class _Msgpack:
    """A cursor over MessagePack bytes; the format: https://github.com/msgpack/msgpack/blob/master/spec.md."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def value(self, depth: int) -> Any:
        mark = self._take(1)[0]
        if mark <= 0x7F or mark >= 0xE0:
            return mark if mark <= 0x7F else mark - 0x100
        if mark in _CONSTANTS:
            return _CONSTANTS[mark]
        if mark in _NUMBERS:
            return self._number(_NUMBERS[mark])
        if 0xA0 <= mark <= 0xBF or mark in _TEXTS:
            return self._text(mark & 0x1F if mark <= 0xBF else self._length(_TEXTS[mark]))
        if depth >= MAX_DEPTH:
            raise _too_deep()
        if 0x90 <= mark <= 0x9F or mark in _ARRAYS:
            n = mark & 0x0F if mark <= 0x9F else self._length(_ARRAYS[mark])
            return [self.value(depth + 1) for _ in range(n)]
        if mark <= 0x8F or mark in _MAPS:
            return self._map(mark & 0x0F if mark <= 0x8F else self._length(_MAPS[mark]), depth + 1)
        if mark == 0xC1:
            raise RefusalError(Reason.NOT_MSGPACK, f"byte {self.position - 1} is 0xc1, which MessagePack never uses")
        raise RefusalError(Reason.WRONG_TYPE, "binary and extension values have no place in an event; send text")

    def _take(self, n: int) -> bytes:
        start = self.position
        self.position += n
        if self.position > len(self.data):
            raise RefusalError(Reason.NOT_MSGPACK, f"MessagePack ends early, at byte {len(self.data)}")
        return self.data[start : self.position]

    def _length(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def _number(self, form: str) -> int | float:
        number: int | float = struct.unpack(form, self._take(struct.calcsize(form)))[0]
        if not math.isfinite(number):
            raise RefusalError(Reason.NOT_FINITE, "a number is not finite; send nil for a missing value")
        return number

    def _text(self, n: int) -> str:
        try:
            text = self._take(n).decode("utf-8")
        except UnicodeDecodeError as error:
            raise RefusalError(Reason.BAD_TEXT, f"a text is not UTF-8: {error.reason}") from error
        _check_text(text)
        return text

    def _map(self, n: int, depth: int) -> dict[str, Any]:
        pairs = [(self.value(depth), self.value(depth)) for _ in range(n)]
        for key, _ in pairs:
            if not isinstance(key, str):
                raise RefusalError(Reason.WRONG_TYPE, f"a key is {show(key)}; keys are text")
        return _object(pairs)
