"""Canonical bytes of a state: the same state gives the same bytes, in every process.

A component is a plain tree of dicts with text keys, lists, numbers, texts, bytes and numpy arrays. The bytes carry
a format version, the fingerprint of the parameters that the state belongs to, and a SHA-256 of the payload.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import numpy as np

from stream.errors import StoreCorruptError

__all__ = ["FORMAT_VERSION", "StateMismatchError", "decode", "encode", "fingerprint"]

FORMAT_VERSION = 1
_MAGIC = b"AWST"
_ARRAY_EXT = 1
_HEADER_N = len(_MAGIC) + 2 + 8 + 32
_ARRAY_KINDS = frozenset("fiub")


class StateMismatchError(ValueError):
    """The state belongs to other parameters or to a newer format; the component must start anew, or the
    program that wrote it must read it."""


def fingerprint(parameters: object) -> bytes:
    """Eight bytes that name `parameters`; equal for equal values."""
    return hashlib.sha256(_pack(msgspec.to_builtins(parameters))).digest()[:8]


def encode(tree: object, parameters_fingerprint: bytes = b"\0" * 8) -> bytes:
    """Turn a plain tree into canonical bytes."""
    payload = _pack(tree)
    head = _MAGIC + FORMAT_VERSION.to_bytes(2, "big") + parameters_fingerprint
    return head + hashlib.sha256(head + payload).digest() + payload


def decode(data: bytes, parameters_fingerprint: bytes | None = None) -> Any:
    """Read what `encode` wrote.

    Raises
    ------
    StoreCorruptError
        the checksum does not hold.
    StateMismatchError
        another format version, or other parameters than `parameters_fingerprint`.
    """
    if len(data) < _HEADER_N or data[:4] != _MAGIC:
        raise StoreCorruptError("a state component has no valid header: restore the data folder from a backup")
    head, payload = data[:14], data[_HEADER_N:]
    if hashlib.sha256(head + payload).digest() != data[14:_HEADER_N]:
        raise StoreCorruptError("a state component fails its checksum: restore the data folder from a backup")
    version = int.from_bytes(data[4:6], "big")
    if version > FORMAT_VERSION:
        raise StateMismatchError(f"state format {version} is newer than {FORMAT_VERSION}: run the newer program")
    if parameters_fingerprint is not None and data[6:14] != parameters_fingerprint:
        raise StateMismatchError("the state belongs to other parameters")
    return msgspec.msgpack.decode(payload, ext_hook=_from_ext)


def _pack(tree: object) -> bytes:
    return msgspec.msgpack.encode(tree, enc_hook=_to_ext, order="deterministic")


def _to_ext(value: object) -> object:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _ARRAY_KINDS:
            raise TypeError(f"arrays of {value.dtype} are no state")
        head = msgspec.msgpack.encode([value.dtype.str, list(value.shape)])
        return msgspec.msgpack.Ext(_ARRAY_EXT, head + np.ascontiguousarray(value).tobytes())
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no part of a state")


def _from_ext(code: int, data: memoryview) -> object:
    if code != _ARRAY_EXT:
        raise StoreCorruptError(f"unknown extension {code} in a state component")
    raw = bytes(data)
    head_n = 1
    dtype_n = raw[1] & 0x1F
    head_n += 1 + dtype_n
    dtype = np.dtype(raw[2:head_n].decode("ascii"))
    dims = raw[head_n] & 0x0F
    head_n += 1
    shape = []
    for _ in range(dims):
        value, used = _unsigned(raw, head_n)
        shape.append(value)
        head_n += used
    return np.frombuffer(raw, dtype=dtype, offset=head_n).reshape(shape).copy()


def _unsigned(raw: bytes, at: int) -> tuple[int, int]:
    size = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(raw[at], 0)
    return (raw[at], 1) if size == 0 else (int.from_bytes(raw[at + 1 : at + 1 + size], "big"), 1 + size)
