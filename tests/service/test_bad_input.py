"""Promise 5: a bad message never stops a partition, is found in the dead letters, and changes nothing else."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from service.config import Config, parse
from service.outputs import outbox_rows
from service.partition import PartitionFold
from stream.events import RawMessage
from tests.kills.stream import CONFIGURATION, MONITOR, events

GOOD_N = 400

# What json.loads takes and a service must not, and other ways to be wrong.
TRAPS = (
    b"",
    b"null",
    b"[]",
    b"17",
    b'"text"',
    b"{",
    b"\xff\xfe\x00",
    b'{"type":"prediction"}',
    b'{"type":"prediction","id":"t","monitor":"m","time":1760000000000,"features":{"a":NaN}}',
    b'{"type":"prediction","id":"t","monitor":"m","time":1760000000000,"features":{"a":Infinity}}',
    b'{"type":"prediction","id":"t","monitor":"m","time":1760000000000,"features":{"a":1e999}}',
    b'{"type":"prediction","id":"t","monitor":"m","time":1760000000000,"features":{"a":1,"a":2}}',
    b'{"type":"prediction","id":"\\ud800","monitor":"m","time":1760000000000,"features":{}}',
    b'{"type":"prediction","id":"a\\u0000b","monitor":"m","time":1760000000000,"features":{}}',
    b'{"type":"prediction","id":"t","monitor":"m","time":18446744073709551616,"features":{}}',
    b'{"type":"prediction","id":"t","monitor":"m","time":1760000000,"features":{}}',
    b'{"type":"prediction","id":"t","monitor":"m","time":"2026-01-01T00:00:00","features":{}}',
    b'{"type":"prediction","id":"t","monitor":"other","time":1760000000000,"features":{}}',
    b'{"type":"label","id":"t","monitor":"m","time":1760000000000,"label":null}',
    b'{"type":"control","monitor":"m","time":1760000000000,"action":"explode"}',
    b'{"a":' * 200_000,
    b"[" * 200_000,
)


@functools.cache
def good() -> tuple[bytes, ...]:
    """Events that are all in order."""
    return tuple(event for event in events(GOOD_N) if event.endswith(b"}"))


def config() -> Config:
    """The configuration of the kill tests."""
    return parse(tomllib.loads(CONFIGURATION))


def run(raw: Sequence[bytes | None]) -> tuple[str, list[dict[str, Any]]]:
    """Fold in blocks of 97; returns the monitor's hash and the dead letters as they leave."""
    partition = PartitionFold(config())
    letters: list[dict[str, Any]] = []
    block_n = 97
    for start in range(0, len(raw), block_n):
        block = [RawMessage("t", 0, start + n, value) for n, value in enumerate(raw[start : start + block_n])]
        partition.fold(block)
        for row in outbox_rows(partition.release(), config(), 0):
            if row.kind == "dead_letters":
                letters += [msgspec.json.decode(line) for line in row.body.split(b"\n")]
    return partition.commit().hashes[MONITOR], letters


@functools.cache
def alone() -> str:
    """The hash of the good events alone."""
    return run(good())[0]


def spoilt(bad: Sequence[bytes | None]) -> tuple[list[bytes | None], list[int]]:
    """Bad messages spread among the good ones, and their offsets."""
    raw: list[bytes | None] = list(good())
    step = max(1, len(raw) // (len(bad) + 1))
    for n, value in enumerate(bad):
        raw.insert((n + 1) * step + n, value)
    return raw, [(n + 1) * step + n for n in range(len(bad))]


def test_every_trap_is_a_dead_letter_with_its_place_and_reason() -> None:
    """Each trap is found with topic, partition, offset, reason and a sentence; the good events fold as if alone."""
    raw, offsets = spoilt([*TRAPS, None])
    state, letters = run(raw)
    assert [letter["offset"] for letter in letters] == offsets
    assert all(letter["topic"] == "t" and letter["partition"] == 0 for letter in letters)
    assert all(letter["reason"] and len(letter["detail"]) > 10 for letter in letters)
    assert state == alone()


mutations = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
        max_leaves=8,
    ).map(lambda value: repr(value).replace("'", '"').encode("utf-8", "surrogatepass")),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(mutations, min_size=1, max_size=30))
def test_fuzzed_payloads_change_nothing(bad: list[bytes]) -> None:
    """Whatever bytes come, each is a dead letter at its offset, and state is what it is without them."""
    raw, offsets = spoilt(bad)
    state, letters = run(raw)
    assert [letter["offset"] for letter in letters] == offsets
    assert state == alone()
