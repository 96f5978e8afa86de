"""The first line of the page: yes, no or cannot tell, and the phase behind it, in words."""

from __future__ import annotations

import pytest

from service.verdict import monitor_phase, verdict
from tests.service.fold_rig import Folded, configured, control, fold, label, prediction


def stream(first: int, until: int, *, wrong: bool = False) -> list[bytes]:
    """Predictions and their labels, ten milliseconds each."""
    return [
        event
        for n in range(first, until)
        for event in (prediction(f"p{n}", n * 10), label(f"p{n}", n * 10 + 1, "n" if wrong else "y"))
    ]


def answer(folded: Folded) -> tuple[str, str, str]:
    """Phase, its detail, and the answer."""
    phase, detail = monitor_phase(folded.monitor)
    return phase, detail, verdict(folded.monitor, phase, detail)["answer"]


def test_the_phases_in_their_order() -> None:
    """Waiting; learning, with how many predictions are left; blind until one is judged; then watching."""
    folded = fold([])
    assert answer(folded) == ("waiting", "no prediction has arrived yet", "cannot_tell")
    folded.feed(stream(0, 10))
    assert answer(folded) == ("learning_reference", "learning its reference, 40 predictions left", "cannot_tell")
    folded.feed(stream(10, 60))
    assert answer(folded) == (
        "blind", "no prediction has come of age yet: none has been judged by its label", "cannot_tell",
    )  # fmt: skip
    folded.feed(stream(60, 200))
    assert answer(folded) == ("watching", "", "yes")


def test_without_labels_it_is_blind() -> None:
    """No label at all, or none in time: errors cannot be seen, and the advice is to send labels."""
    folded = fold([prediction(f"p{n}", n * 10) for n in range(60)])
    phase, detail, said = answer(folded)
    assert (phase, said) == ("blind", "cannot_tell")
    assert "no label has arrived yet" in detail
    folded.feed([control("tick", 5_000), label("p1", 5_001, "y")])
    phase, detail, said = answer(folded)
    assert (phase, said) == ("blind", "cannot_tell")
    assert "in time" in detail
    assert "labels" in verdict(folded.monitor, phase, detail)["what_to_do"]


def test_errors_that_rise_say_no_and_accepting_ends_it() -> None:
    """A performance incident that pages: no, since when, in what; a person who accepts it makes it cannot tell."""
    folded = fold([*stream(0, 400), *stream(400, 800, wrong=True)])
    phase, detail, said = answer(folded)
    line = verdict(folded.monitor, phase, detail)
    assert said == "no"
    assert "error:producer" in line["reason"]
    assert folded.monitor.episodes.incidents
    opened = next(b for b in folded.bodies("drift") if b["notification"] == "opened" and b["kind"] == "performance")
    assert (opened["severity"], opened["direction"]) == ("page", "up")
    folded.feed([control("accept_reference", 8_000)])
    closed = folded.bodies("drift")[-1]
    assert (closed["resolution"], closed["notification"]) == ("accepted", "resolved")
    assert answer(folded)[2] == "cannot_tell"


@pytest.mark.parametrize("backfill", [True, False])
def test_a_backfill_never_says_no(backfill: bool) -> None:
    """The same errors in a backfill are notes: nobody is paged and the answer stays yes."""
    origin = "backfill" if backfill else None
    events = [
        event
        for n in range(800)
        for event in (
            prediction(f"p{n}", n * 10, origin=origin),
            label(f"p{n}", n * 10 + 1, "n" if n > 400 else "y"),
        )
    ]
    folded = fold(events, configured())
    severities = {body["severity"] for body in folded.bodies("drift")}
    assert (severities, answer(folded)[2]) == (({"note"}, "yes") if backfill else ({"page"}, "no"))
