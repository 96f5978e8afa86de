"""The live page in a real headless Chromium, against a stand-in of the service that moves on with every look."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.service.chromium import Chromium, Tab
from tests.service.page_mock import ASSETS, HOSTILE, MockService, serving

pytestmark = pytest.mark.browser

_FILES = (
    "index.html",
    "style.css",
    "favicon.svg",
    "app.js",
    "charts.js",
    "dom.js",
    "segments.js",
    "verdict.js",
    "views.js",
    "words.js",
)
_DRAWN = "!!document.querySelector('#intake-body .card')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all tests of this file."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on PATH: install the package `chromium` to test the page")
    with Chromium(program, tmp_path_factory.mktemp("chromium")) as running:
        yield running


class Page:
    """An open page, and the service behind it."""

    def __init__(self, tab: Tab, service: MockService, url: str) -> None:
        self.tab, self.service, self.url = tab, service, url


@pytest.fixture
def page(browser: Chromium, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page on the stories given by `@pytest.mark.parametrize("page", [...], indirect=True)`."""
    asked: dict[str, Any] = {"stories": {"fraud": "drift"}} | request.param
    service = MockService(asked.pop("stories"))
    service.extra = asked.pop("extra", {})
    with serving(service) as url:
        tab = browser.open(url + asked.pop("hash", ""), **asked)
        tab.wait(_DRAWN)
        yield Page(tab, service, url)
        tab.close()


def stories(**more: Any) -> pytest.MarkDecorator:
    """Parametrize `page` with one set of stories and browser settings."""
    return pytest.mark.parametrize("page", [more], indirect=True)


@pytest.mark.parametrize(
    ("page", "answer", "headline"),
    [
        ({"stories": {"fraud": "fine"}}, "yes", "Yes, fraud is all right"),
        ({"stories": {"fraud": "drift"}}, "no", "No, fraud is not all right"),
        ({"stories": {"fraud": "learning"}}, "cannot_tell", "Cannot tell whether fraud is all right"),
    ],
    indirect=["page"],
)
def test_first_line_answers_in_words_icon_and_colour(page: Page, answer: str, headline: str) -> None:
    """Yes, no or cannot tell stands in the one h1, with an icon of its own shape, since when and what to do."""
    assert headline == page.tab.text("h1")
    assert page.tab.run("document.querySelectorAll('h1').length") == 1
    assert page.tab.run(f"document.querySelector('#verdict').classList.contains('{answer}')")
    assert page.tab.run(f"!!document.querySelector('#verdict svg.icon.{answer}')")
    assert page.tab.text("#verdict .since").startswith("Since ")
    assert "What to do: " in page.tab.text("#verdict")
    assert page.tab.text("#announcement").startswith(headline)
    assert page.tab.run("document.querySelector('#verdict').getBoundingClientRect().top < 120")


@stories(stories={"churn": "fine", "fraud": "drift", "pricing": "learning"})
def test_first_look_shows_the_monitor_that_is_worst(page: Page) -> None:
    """Of several monitors the page opens on one whose answer is no; the others are one click away, and stay chosen."""
    assert page.tab.text("h1") == "No, fraud is not all right"
    page.tab.run("document.querySelector('#monitors a').click()")
    page.tab.wait("document.querySelector('h1').innerText === 'Yes, churn is all right'")
    assert page.tab.run("document.querySelector('#monitors [aria-current]').innerText.startsWith('churn')")


@stories(stories={"fraud": "drift"}, zone="Asia/Tokyo")
def test_incident_says_when_where_and_what_to_do(page: Page) -> None:
    """An open incident names severity, onset, event, suspects and advice, in the reader's time with UTC beside it."""
    said = page.tab.text(".incident")
    for part in ("PAGE", "between 47,800 and 48,100", "event 48,213", "amount (0.91)", "What to do:", "2 Mar, 04:22"):
        assert part in said
    assert page.tab.run("document.querySelector('.incident time').title") == "2026-03-01 19:22:29 UTC"
    assert page.tab.run("document.querySelectorAll('.incident tbody tr').length") == 5
    assert "1 earlier incident" in page.tab.text("#happened")


_SPREAD = """(selector) => [...document.querySelectorAll(selector)].map((path) => {
  const box = path.getBBox();
  return [Math.round(box.width), Math.round(box.height * 10) / 10];
})"""


@stories(stories={"fraud": "drift"})
def test_charts_draw_every_series_and_mark_the_drift(page: Page) -> None:
    """Five models have a line as wide as the chart, the accuracy's fall is seen, drifts are marked with their onset."""
    spread = page.tab.run(f"({_SPREAD})('#chart-main .line')")
    assert len(spread) == 5
    assert all(width > 600 for width, _ in spread)
    assert max(height for _, height in spread) > 80
    assert page.tab.run("document.querySelectorAll('#chart-main .mark.page rect').length") == 1
    assert page.tab.run(f"({_SPREAD})('#chart-side .line').length") == 2
    label = page.tab.run("document.querySelector('#chart-main svg').getAttribute('aria-label')")
    assert "your model (version 7) 0.7" in label
    assert "2 drifts marked" in label


@stories(stories={"fraud": "drift"})
def test_charts_move_with_the_stream(page: Page) -> None:
    """Without a reload, new events reach charts and figures."""
    path = "document.querySelector('#chart-main .line.producer').getAttribute('d')"
    before = page.tab.run(path)
    page.tab.wait(f"{path} !== {json.dumps(before)}")


@stories(stories={"fraud": "drift"})
def test_arrow_keys_read_single_events(page: Page) -> None:
    """A focused chart shows the values of the event under a cursor that the keyboard moves."""
    page.service.moving = False
    page.tab.run("document.querySelector('#chart-main svg').focus()")
    for key in ("Home", "ArrowRight"):
        page.tab.send("Input.dispatchKeyEvent", type="keyDown", key=key, code=key)
    assert page.tab.text("#chart-main .at").startswith("at event 37,")
    assert page.tab.run("document.querySelectorAll('#chart-main .cursor circle').length") == 5


@stories(stories={"fraud": "drift"})
def test_alarming_signals_come_first_and_the_filter_finds_the_rest(page: Page) -> None:
    """Alarms lead, then open episodes, then blind signals with their reason; text filters by name, kind or detector."""
    states = page.tab.run("[...document.querySelectorAll('.signal')].map((li) => li.className.split(' ')[1])")
    order = ["alarm", "open", "blind", "watching", "learning", "waiting"]
    assert states == sorted(states, key=order.index)
    assert states[0] == "alarm"
    assert "blind: 97 % of the values are missing" in page.tab.text(".signal.blind")
    assert "learning its reference, 312 predictions left" in page.tab.text(".signal.learning")
    page.tab.run("document.querySelector('#filter').focus()")
    page.tab.send("Input.insertText", text="BASKET")
    assert page.tab.run("document.querySelectorAll('.signal').length") == 1


@stories(stories={"fraud": "drift"})
def test_table_admits_where_a_baseline_wins(page: Page) -> None:
    """A model that is beaten by a naive baseline has this written beside it; the champion that is not, has not."""
    rows = dict(
        page.tab.run(
            "[...document.querySelectorAll('.models tbody tr')].map((r) => [r.className, r.cells[1].innerText])"
        )
    )
    assert rows["producer"] == "the most frequent label wins here"
    assert rows["champion"] == "beats every baseline"


_SCORES = {"probe": (0.5, 0.5), "majority": (0.6, 0.9), "no_change": (0.7, 0.8)}
_BEATEN_TWICE = {
    "producer": {},
    "learners": {
        who: {"n": 9, "accuracy": ever, "window": {"n": 9, "accuracy": now}, "role": "baseline" if now > 0.5 else who}
        for who, (now, ever) in _SCORES.items()
    },
}


@stories(stories={"fraud": "drift"}, extra=_BEATEN_TWICE)
def test_table_names_each_baseline_that_wins(page: Page) -> None:
    """Where one baseline wins over the window and another over all, both are named."""
    said = page.tab.text(".models tr.probe td")
    assert said == "the last label wins here, the most frequent label over all"


@stories(stories={"fraud": "drift"}, extra={"learners": {"lazy": {"n": 9, "loses_to": ["no_change", "majority"]}}})
def test_a_model_that_does_not_beat_the_last_label_is_marked(page: Page) -> None:
    """What the service names as not beaten stands beside the model."""
    said = page.tab.text("#learners .loses")
    assert said == "does not beat the last label, nor the most frequent label"


@stories(stories={"fraud": "drift"})
def test_segments_stand_in_a_table(page: Page) -> None:
    """Each model has a row in each segment, with coverage; where it is clearly worse there, its accuracy is marked."""
    cells = "[...document.querySelectorAll('#segments tbody tr')].map((r) => [...r.cells].map((c) => c.innerText))"
    rows = page.tab.run(cells)
    assert [row[:3] for row in rows] == [
        ["channel=app", "your model (version 7)", "0.714"], ["channel=app", "hoeffding", "0.872"],
        ["channel=web", "your model (version 7)", "0.544"], ["channel=web", "hoeffding", "0.872"],
    ]  # fmt: skip
    assert {row[-1] for row in rows} == {"93.0 %"}
    assert page.tab.run("[...document.querySelectorAll('#segments .loses')].map((c) => c.innerText)") == ["0.544"]


@stories(stories={"fraud": "learning"})
def test_without_segments_there_is_no_table(page: Page) -> None:
    """A monitor without segments does not show the section."""
    assert page.tab.run("document.querySelector('#segments').hidden") is True


@pytest.mark.parametrize(
    ("page", "meaning"),
    [
        ({"stories": {"fraud": "fine"}}, "while no feature drifts: this is instability of the learners, not drift."),
        ({"stories": {"fraud": "drift"}}, "while features drift: settle that before you call them unstable."),
    ],
    indirect=["page"],
)
def test_page_tells_instability_from_drift(page: Page, meaning: str) -> None:
    """A line under the models says how far the members disagree, and what that means; another how many are unsure."""
    said = page.tab.text("#learners-body")
    assert f"The learners disagree with the champion on 23.0 % of the newest answers, {meaning}" in said
    assert "For review (margin below 0.200): 14.0 % of the newest 500 of the champion's answers; 100 of 1,000" in said


_HOSTILE_EXTRA = {
    "verdict": {"answer": "no", "since_ms": 1, "reason": HOSTILE, "what_to_do": HOSTILE},
    "incidents": [
        {"id": HOSTILE, "severity": HOSTILE, "status": "open", "kind": HOSTILE, "first_event": 9, "onset_low": 1,
         "onset_high": 9, "time_ms": 1, "episodes": [], "signals": [HOSTILE], "headline": HOSTILE}
    ],
    "signals": [
        {"name": f"feature:{HOSTILE}", "kind": HOSTILE, "phase": "watching", "phase_detail": HOSTILE, "value": 1,
         "detectors": [{"detector": HOSTILE, "statistic": 1, "threshold": 2, "over": True}]}
    ],
    "coverage": {"by_class": {HOSTILE: {"matured": 9, "labelled": 1}}}, "model_version": HOSTILE,
    "producer": {HOSTILE: {"n": 1, "accuracy": 0.5}},
    "learners": {HOSTILE: {"n": 1, "accuracy": 0.4, "role": HOSTILE, "loses_to": [HOSTILE]}},
    "segments": {HOSTILE: {"producer": {HOSTILE: {"n": 1}}, "champion": {"name": HOSTILE}, "challengers": {HOSTILE: {}},
                           "coverage": {"matured": 9, "labelled": 1}}},
    "agreement": {"between": 0.5, "within": 0.5, "by_learner": {}, "own": {}, "says": HOSTILE},
    "series": {f"accuracy:{HOSTILE}": [[1, 0.5], [2, 0.6]]},
}  # fmt: skip


@stories(stories={HOSTILE: "drift", "__proto__": "fine"}, extra=_HOSTILE_EXTRA, hash="#monitor=" + quote(HOSTILE))
def test_hostile_names_stay_text(page: Page) -> None:
    """Markup in any name, class, reason or reject is shown as text and creates no element."""
    assert HOSTILE in page.tab.text("h1")
    assert page.tab.run("[...document.querySelectorAll('main img, main script, main [onerror]')].length") == 0
    assert HOSTILE in page.tab.text(".signal")
    assert HOSTILE in page.tab.text("#intake .rejects")
    assert "owned" not in page.tab.run("document.title").split(":")[-1]
    assert page.tab.complaints() == []


@stories(stories={"fraud": "drift", "pricing": "learning"}, hash="#monitor=pricing")
def test_page_is_quiet_and_stays_at_home(page: Page) -> None:
    """No console error, no breach of the policy `default-src 'self'`, no request to another origin."""
    page.tab.run("location.hash = '#monitor=fraud'")
    page.tab.wait("document.querySelector('h1').innerText.includes('fraud')")
    assert page.tab.complaints() == []
    requests = page.tab.requests()
    assert len(requests) > 10
    assert [url for url in requests if not url.startswith(page.url)] == []


@stories(stories={"fraud": "fine"})
def test_lost_connection_is_said_and_heals_by_itself(page: Page) -> None:
    """While the service is away nobody knows: a banner says since when, the answer is cannot tell, both recover."""
    height = page.tab.run("document.querySelector('#happened').getBoundingClientRect().top")
    page.service.away = True
    page.tab.wait("document.querySelector('#connection').innerText.startsWith('Connection lost since')")
    page.tab.wait("document.querySelector('h1').innerText.startsWith('Cannot tell')")
    assert "The last word" in page.tab.text("#verdict")
    moved = page.tab.run("document.querySelector('#happened').getBoundingClientRect().top") - height
    assert abs(moved) <= 40
    page.service.away = False
    page.tab.wait("document.querySelector('h1').innerText === 'Yes, fraud is all right'")
    assert page.tab.text("#connection").startswith("Live")


@stories(stories={"fraud": "fine"})
def test_service_that_is_not_ready_cannot_say_yes(page: Page) -> None:
    """A worker that stopped behind a living API is no all-clear: cannot tell, with the part that failed."""
    page.service.unready = "store: the disk is full"
    page.tab.wait("document.querySelector('h1').innerText.startsWith('Cannot tell')")
    assert "Store: the disk is full." in page.tab.text("#verdict")
    page.service.unready = ""
    page.tab.wait("document.querySelector('h1').innerText === 'Yes, fraud is all right'")


@stories(stories={"fraud": "drift"}, extra={"signals": 7})
def test_part_that_cannot_be_drawn_takes_no_other_with_it(page: Page) -> None:
    """An answer that the page does not understand costs its own section only, which says so."""
    assert "cannot be drawn" in page.tab.text("#signals-body")
    assert page.tab.text("h1") == "No, fraud is not all right"
    assert page.tab.run("document.querySelectorAll('.models tbody tr').length") == 6


@pytest.mark.parametrize("page", [{"width": 390, "height": 844, "dark": dark} for dark in (False, True)], indirect=True)
def test_phone_needs_no_sideways_scrolling(page: Page) -> None:
    """At 390 pixels, dark or light, nothing but tables and tabs is wider than the screen; the answer is in sight."""
    assert page.tab.run("document.documentElement.scrollWidth") == 390
    assert page.tab.run("document.querySelector('h1').getBoundingClientRect().bottom < 200")


_CONTRAST = """(selectors) => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || []).map((v) => Number(v) * (text.startsWith('color(') ? 255 : 1));
  const light = (c) => {
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = c.slice(0, 3).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    const colour = rgb(getComputedStyle(node).backgroundColor);
    return colour.length === 3 || colour[3] > 0 ? colour : ground(node.parentElement);
  };
  return selectors.map((selector) => {
    const node = document.querySelector(selector);
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
    return [selector, (a + 0.05) / (b + 0.05)];
  });
}"""
_TEXTS = [
    "h1",
    ".since",
    ".facts dt",
    "#connection",
    ".badge.page",
    ".badge.ticket",
    ".loses",
    ".wins",
    ".signal .chip",
    ".muted",
]


@pytest.mark.parametrize("page", [{"dark": dark} for dark in (False, True)], indirect=True)
def test_texts_have_contrast(page: Page) -> None:
    """Every kind of text has a contrast of at least 4.5 to 1 with its ground, in the light and in the dark."""
    measured = dict(page.tab.run(f"({_CONTRAST})({json.dumps(_TEXTS)})"))
    assert {selector: ratio for selector, ratio in measured.items() if ratio < 4.5} == {}


def test_page_is_small() -> None:
    """All files of the page together are under 70 kB, uncompressed and as written: nothing to build or wait for."""
    assert sum((Path(ASSETS) / name).stat().st_size for name in _FILES) < 70_000
