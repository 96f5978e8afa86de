"""The audit trail: every edit is found and named, on a chain in memory and in a store's file."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.audit_chain import FIRST_PREVIOUS, ChainHead, ChainLink, link_hash, verify_chain
from stream.errors import StoreCorruptError
from stream.sqlite_owner import sign_owner
from stream.sqlite_state import read_state
from stream.sqlite_store import SQLiteStore
from tests.stream.test_store import KEY

__all__: list[str] = []

PLACE = ("main", 0)
ENTRIES = 300


def chain(texts: list[str]) -> tuple[list[ChainLink], ChainHead]:
    """Chain texts with nothing but the formula of the documents."""
    links, previous = [], FIRST_PREVIOUS
    for n, text in enumerate(texts, 1):
        digest = hashlib.sha256(previous + f'["main",0,{n}]\n{text}'.encode()).digest()
        links.append(ChainLink(n, text, previous, digest))
        previous = digest
    return links, ChainHead(len(links), previous)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=12), st.data())
def test_every_single_change_is_found(texts: list[str], data: st.DataObject) -> None:
    """One entry edited, removed, doubled or moved is found, and named by the first number where the chain is wrong."""
    links, head = chain(texts)
    assert verify_chain(links, PLACE, head) is None
    at = data.draw(st.integers(0, len(links) - 1))
    link = links[at]
    edited = [*links[:at], ChainLink(link.seq, link.entry + "!", link.previous, link.sha256), *links[at + 1 :]]
    assert verify_chain(edited, PLACE, head) == (at + 1, f"entry {at + 1} was edited")
    removed = verify_chain(links[:at] + links[at + 1 :], PLACE, head)
    assert removed is not None
    assert removed[0] == at + 1
    doubled = verify_chain(links[: at + 1] + links[at:], PLACE, head)
    assert doubled is not None
    assert doubled[0] == at + 1
    renumbered = [*links[:at], link, *(ChainLink(x.seq + 1, x.entry, x.previous, x.sha256) for x in links[at:])]
    inserted = verify_chain(renumbered, PLACE, head)
    assert inserted is not None
    assert inserted[0] == at + 2


def test_a_chain_of_another_place_is_no_chain() -> None:
    """Entries copied from another partition fail their hashes."""
    links, head = chain(["a", "b"])
    assert verify_chain(links, ("main", 1), head) == (1, "entry 1 was edited")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed store with a trail of 300 entries, more than a claim looks at."""
    store = SQLiteStore(tmp_path / "state.db")
    claim = store.claim(*PLACE)
    for start in range(0, ENTRIES, 50):
        audit = [{"action": "promote", "n": n} for n in range(start + 1, start + 51)]
        store.commit(claim, positions={"e": start}, components={KEY: b"x"}, audit=audit)
    store.close()
    return tmp_path / "state.db"


def _edited(entry: str) -> str:
    return json.dumps(json.loads(entry) | {"action": "nothing"}, sort_keys=True)


def _edit(db: sqlite3.Connection, seq: int) -> None:
    (entry,) = db.execute("SELECT entry FROM audit WHERE seq = ?", (seq,)).fetchone()
    db.execute("UPDATE audit SET entry = ? WHERE seq = ?", (_edited(entry), seq))


def _remove(db: sqlite3.Connection, seq: int) -> None:
    db.execute("DELETE FROM audit WHERE seq = ?", (seq,))


def _remove_and_close_the_gap(db: sqlite3.Connection, seq: int) -> None:
    _remove(db, seq)
    db.execute("UPDATE audit SET seq = seq - 1 WHERE seq > ?", (seq,))


def _insert(db: sqlite3.Connection, seq: int) -> None:
    db.execute("UPDATE audit SET seq = seq + 1 WHERE seq >= ?", (seq,))
    (previous,) = db.execute("SELECT sha256 FROM audit WHERE seq = ?", (seq - 1,)).fetchone()
    forged = '{"action": "forged"}'
    digest = link_hash(previous, PLACE, seq, forged)
    db.execute(
        "INSERT INTO audit (pipeline, partition, seq, entry, prev, sha256) VALUES (?, ?, ?, ?, ?, ?)",
        (*PLACE, seq, forged, previous, digest),
    )


def _swap(db: sqlite3.Connection, seq: int) -> None:
    columns = db.execute("SELECT entry, prev, sha256 FROM audit WHERE seq IN (?, ?) ORDER BY seq", (seq, seq + 1))
    first, second = columns.fetchall()
    for number, row in ((seq, second), (seq + 1, first)):
        db.execute("UPDATE audit SET entry = ?, prev = ?, sha256 = ? WHERE seq = ?", (*row, number))


@pytest.mark.parametrize("seq", [2, 50, 299], ids=["begin", "middle", "end"])
@pytest.mark.parametrize(
    ("forge", "found_at"),
    [(_edit, 0), (_remove, 0), (_remove_and_close_the_gap, 0), (_insert, 1), (_swap, 0)],
    ids=["edited", "removed", "removed and renumbered", "inserted with a right hash", "reordered"],
)
def test_a_forged_entry_is_named(
    path: Path, forge: Callable[[sqlite3.Connection, int], None], found_at: int, seq: int
) -> None:
    """The full check names the first entry that is not as it was written; a claim refuses where it is near the end."""
    with sqlite3.connect(path) as db:
        forge(db, seq)
    db.close()
    store = SQLiteStore(path)
    verdict = store.verify_audit(*PLACE)
    assert (verdict.broken_seq, verdict.entries) == (seq + found_at, ENTRIES)
    assert f"entry {seq + found_at}" in verdict.detail
    if seq > ENTRIES - 200:
        with pytest.raises(StoreCorruptError, match=f"entry {seq + found_at}"):
            store.claim(*PLACE)
    store.close()


FORGED = '{"action": "promote", "by": "forged"}'


def _store_forged(db: sqlite3.Connection, seq: object, *, entry: object = FORGED) -> None:
    db.execute(
        "INSERT INTO audit (pipeline, partition, seq, entry, prev, sha256) VALUES ('main', 0, ?, ?, x'00', x'00')",
        (seq, entry),
    )


def _without_constraints(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE loose AS SELECT * FROM audit")
    db.execute("DROP TABLE audit")
    db.execute("ALTER TABLE loose RENAME TO audit")


def _null(column: str) -> Callable[[sqlite3.Connection], None]:
    def forge(db: sqlite3.Connection) -> None:
        _without_constraints(db)
        db.execute(f"UPDATE audit SET {column} = NULL WHERE seq = 298")  # noqa: S608 a constant

    return forge


def _written_anew(db: sqlite3.Connection) -> None:
    """Every entry from 250 on edited, with right hashes."""
    (previous,) = db.execute("SELECT prev FROM audit WHERE seq = 250").fetchone()
    for seq, entry in db.execute("SELECT seq, entry FROM audit WHERE seq >= 250 ORDER BY seq").fetchall():
        digest = link_hash(previous, PLACE, seq, _edited(entry))
        db.execute(
            "UPDATE audit SET entry = ?, prev = ?, sha256 = ? WHERE seq = ?", (_edited(entry), previous, digest, seq)
        )
        previous = digest


@pytest.mark.parametrize(
    ("forge", "found_at"),
    [
        (lambda db: _store_forged(db, -(1 << 63) + 1), -(1 << 63) + 1),
        (lambda db: _store_forged(db, 0), 0),
        (lambda db: _store_forged(db, 299), 299),
        (lambda db: _store_forged(db, 301), 301),
        (lambda db: _store_forged(db, "twelve"), 301),
        (lambda db: _store_forged(db, b"twelve"), 301),
        (lambda db: _store_forged(db, 299.5), 300),
        (lambda db: _store_forged(db, float("inf")), 301),
        (lambda db: db.execute("UPDATE audit SET seq = 'last' WHERE seq = 300"), 300),
        (lambda db: db.execute("UPDATE audit SET entry = CAST(x'ff' AS TEXT) WHERE seq = 298"), 298),
        (lambda db: db.execute("UPDATE audit SET entry = ? WHERE seq = 298", ("[" * 100_000,)), 298),
        (lambda db: db.execute("UPDATE audit SET partition = 1 WHERE seq = 298"), 298),
        (_null("seq"), 1),
        (_null("entry"), 298),
        (_null("prev"), 298),
        (_null("sha256"), 298),
        (_written_anew, 300),
    ],
    ids=[
        "under the least number", "under zero", "a number twice", "after the last", "under text", "under bytes",
        "under a fraction", "under infinity", "renumbered as text", "no UTF-8", "too deep", "in another partition",
        "no number", "no text", "no hash before", "no hash", "the end written anew",
    ],
)  # fmt: skip
def test_whatever_plain_sql_can_write_is_named(
    path: Path, forge: Callable[[sqlite3.Connection], None], found_at: int
) -> None:
    """Forged numbers, types and partitions are verdicts, never another error; a claim refuses them; what is shown as
    the trail holds only integers as numbers."""
    with sqlite3.connect(path) as db:
        forge(db)
    db.close()
    store = SQLiteStore(path)
    verdict = store.verify_audit(*PLACE)
    assert (verdict.broken_seq, verdict.entries) == (found_at, ENTRIES)
    assert f"entry {found_at}" in verdict.detail
    with pytest.raises(StoreCorruptError, match=f"entry {found_at}"):
        store.claim(*PLACE)
    assert all(type(row.seq) is int for row in store.audit_rows(*PLACE, 1_000))
    store.close()


@pytest.mark.parametrize("head", ["audit_seq = 'x'", "audit_seq = 1.5", "audit_sha256 = 'x'"])
def test_a_head_of_another_type_is_an_edited_row(path: Path, head: str) -> None:
    """The owner's row with text where a number or a hash belongs is named as edited, and not claimed."""
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE owner SET {head}")  # noqa: S608 a constant
    db.close()
    store = SQLiteStore(path)
    verdict = store.verify_audit(*PLACE)
    assert verdict.broken_seq is not None
    assert "owner's row" in verdict.detail
    assert store.audit_head(*PLACE) is None
    with pytest.raises(StoreCorruptError, match="signed"):
        store.claim(*PLACE)
    store.close()


def test_the_order_of_the_trail_is_that_of_its_numbers(path: Path) -> None:
    """Row ids, which no hash covers, change neither what is shown first nor the head, which the owner's row signs."""
    with sqlite3.connect(path) as db:
        (digest,) = db.execute("SELECT sha256 FROM audit WHERE seq = 300").fetchone()
        db.execute("UPDATE audit SET id = -1 WHERE seq = 300")
    db.close()
    store = SQLiteStore(path)
    assert [row.seq for row in store.audit_rows(*PLACE, 2)] == [300, 299]
    assert store.audit_head(*PLACE) == ChainHead(300, digest)
    assert store.verify_audit(*PLACE).broken_seq is None
    store.close()


def test_cutting_off_the_end_is_noticed(path: Path) -> None:
    """Entries removed at the end are missed, because the owner's row signs the head."""
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM audit WHERE seq > 290")
    db.close()
    store = SQLiteStore(path)
    assert store.verify_audit(*PLACE).broken_seq == 291
    with pytest.raises(StoreCorruptError, match="entry 291 is missing"):
        store.claim(*PLACE)
    store.close()


def test_a_head_that_was_moved_is_noticed(path: Path) -> None:
    """Cutting off the end and writing the head to match breaks the signature of the owner's row."""
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM audit WHERE seq > 290")
        (digest,) = db.execute("SELECT sha256 FROM audit WHERE seq = 290").fetchone()
        db.execute("UPDATE owner SET audit_seq = 290, audit_sha256 = ?", (digest,))
    db.close()
    store = SQLiteStore(path)
    verdict = store.verify_audit(*PLACE)
    assert (verdict.broken_seq, verdict.entries) == (290, 290)
    assert "owner" in verdict.detail
    with pytest.raises(StoreCorruptError, match="signed"):
        store.claim(*PLACE)
    store.close()


def test_a_cut_that_was_signed_anew_is_told_by_a_noted_head_only(path: Path) -> None:
    """Whoever may write the file can sign too: the trail is whole in itself, and shorter than the head noted."""
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM audit WHERE seq > 290")
        (digest,) = db.execute("SELECT sha256 FROM audit WHERE seq = 290").fetchone()
        epoch, positions = db.execute("SELECT epoch, positions FROM owner").fetchone()
        state = read_state(db, *PLACE)[0].signature()
        signature = sign_owner(PLACE, epoch, positions, state=state, audit=ChainHead(290, digest))
        db.execute("UPDATE owner SET audit_seq = 290, audit_sha256 = ?, sha256 = ?", (digest, signature))
    db.close()
    store = SQLiteStore(path)
    assert store.verify_audit(*PLACE).broken_seq is None
    assert store.audit_head(*PLACE) == ChainHead(290, digest)
    store.close()


def test_an_intact_trail_is_verified_before_and_after_a_claim(path: Path) -> None:
    """The verdict carries the head, which is the newest entry's hash."""
    store = SQLiteStore(path)
    verdicts = [store.verify_audit(*PLACE)]
    store.claim(*PLACE)
    verdicts.append(store.verify_audit(*PLACE))
    newest = store.audit_rows(*PLACE, 1)[0]
    for verdict in verdicts:
        assert (verdict.broken_seq, verdict.entries, verdict.head) == (None, ENTRIES, newest.sha256)
    store.close()
