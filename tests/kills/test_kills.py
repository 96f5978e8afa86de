"""Promises 1 to 3: nothing lost, nothing doubled, the same bits, however often the service is killed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kills.harness import ROOT, Harness, ServiceEndedError, faults

KILLS = 50
PREDICTIONS = 55_000
BUG_PREDICTIONS = 6_000
BUG_KILLS = 6

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile the kernels before the first start is timed."""
    subprocess.run([sys.executable, "-m", "service.warm"], cwd=ROOT, check=True)


@pytest.mark.timeout(1200)
def test_fifty_kills_change_nothing(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """50 random SIGKILLs over more than 100,000 events: no event lost, none counted twice, state and outbox as
    without kills; at least 40 kills land with folded, uncommitted events and 5 with unsent outbox rows."""
    harness = Harness(tmp_path, PREDICTIONS, kills=KILLS)
    try:
        for number in range(KILLS):
            harness.start()
            harness.kill("unsent" if number % 8 == 7 else "uncommitted")
        harness.start()
        found = faults(harness, harness.finish())
    finally:
        harness.close()
    tally = harness.tally
    record_property(
        "kills",
        f"{tally.kills}, with folded uncommitted events {tally.with_uncommitted}, with unsent outbox rows "
        f"{tally.with_unsent}; events {2 * PREDICTIONS} and more; faults found {len(found)}",
    )
    assert found == []
    assert tally.kills == KILLS
    assert tally.with_uncommitted >= 40
    assert tally.with_unsent >= 5


_COMMIT = "        store.commit(\n            self.claim_held,\n            positions={self.topic: commit.position},\n"
# Says that the gap is open and keeps it open for a moment, so that a kill lands in it.
_PAUSE = (
    "        import os, pathlib, time\n"
    "        pathlib.Path(os.environ['ANCHORWATCH_PROGRESS_FILE'] + '.inside').touch()\n"
    "        time.sleep(1.0)\n"
)
PLANTED = {
    "offset stored before state": (
        "service/owned.py",
        _COMMIT,
        "        store.commit(self.claim_held, positions={self.topic: commit.position}, components={})\n"
        + _PAUSE
        + _COMMIT,
    ),
    "state and offset in two transactions": (
        "service/owned.py",
        _COMMIT,
        "        held = dict(self.claim_held.positions)\n"
        "        store.commit(self.claim_held, positions=held, components=commit.components)\n"
        + _PAUSE
        + "        self.claim_held.positions = {self.topic: commit.position}\n"
        + _COMMIT,
    ),
    "generator state not restored": (
        "learners/graph_reader.py",
        '    obj.setstate((body[1], tuple(np.frombuffer(body[2], "<u4").tolist()), body[3]))',
        "    obj.seed(1)",
    ),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_are_caught(bug: str, tmp_path: Path) -> None:
    """Each planted bug makes the same harness find a fault."""
    source = tmp_path / "source"
    for package in ("stream", "detectors", "learners", "service"):
        shutil.copytree(ROOT / package, source / package)
    name, before, after = PLANTED[bug]
    text = (source / name).read_text()
    assert text.count(before) == 1, f"the patch for {bug!r} no longer fits {name}"
    (source / name).write_text(text.replace(before, after))
    folder = tmp_path / "run"
    folder.mkdir()
    harness = Harness(folder, BUG_PREDICTIONS, source=source, kills=BUG_KILLS)
    try:
        for _ in range(BUG_KILLS):
            harness.start()
            harness.kill("inside" if _PAUSE in after else "anywhere")
        harness.start()
        found = faults(harness, harness.finish())
    except ServiceEndedError as error:
        found = [str(error)]
    finally:
        harness.close()
    assert found, f"{bug!r} was not caught"
