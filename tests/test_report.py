"""The HTML pages: whole in one file, safe against the names in them, and legible."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from records import epoch_record, evaluation_record, export_record, run_record, slot_record
from slotwise.compare.table import Run
from slotwise.compare.write import comparison_record
from slotwise.report import wording
from slotwise.report.comparison import comparison_report
from slotwise.report.evaluation import evaluation_report
from slotwise.report.export import export_report
from slotwise.report.page import Section, figure_svg, page, table
from slotwise.report.run import run_report

EVIL = "<script>alert('x')</script>"


class Tags(HTMLParser):
    """Every opening tag of a page, and whether all that were opened were closed in order."""

    VOID = frozenset({"meta", "br", "hr", "link", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def comparison_page() -> str:
    records = [run_record(slots=slots, settings={"seed": seed}, train_seconds=100 / slots + seed) for slots in (1, 2) for seed in (7, 8)]
    return comparison_report(comparison_record([Run(f"file:///runs/{index}", record) for index, record in enumerate(records)], f"compare {EVIL}"))


def evaluation_page() -> str:
    record, images = evaluation_record([EVIL, "Fiction & more", "History"], runs=2, command=f"evaluate {EVIL}")
    return evaluation_report(record, images)


PAGES = {
    "run": lambda: run_report(run_record(slots=2, class_names=[EVIL, "Fiction & more"], dataset=f"file:///{EVIL}")),
    "comparison": comparison_page,
    "evaluation": evaluation_page,
    "export": lambda: export_report(export_record([EVIL, "Fiction & more"], command=f"export {EVIL}", reason=EVIL)),
}


@pytest.fixture(params=PAGES, name="html")
def _html(request: pytest.FixtureRequest) -> str:
    return PAGES[request.param]()


def test_pages_load_nothing_from_elsewhere(html: str) -> None:
    for tag, attributes in Tags(html).tags:
        assert tag not in ("script", "link", "iframe", "object", "embed")
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/jpeg;base64,"))
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_names_are_escaped(html: str) -> None:
    assert EVIL not in html
    assert "&lt;script&gt;" in html


def test_pages_are_well_formed_and_fit_a_phone(html: str) -> None:
    tags = Tags(html)
    assert tags.open == []
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in tags.tags
    assert "prefers-color-scheme: dark" in html


def test_every_figure_has_a_size_and_no_ground_of_its_own(html: str) -> None:
    figures = [attributes for tag, attributes in Tags(html).tags if tag == "svg"]
    assert len(figures) >= 4
    for attributes in figures:
        _, _, width, height = map(float, (attributes["viewbox"] or "").split())
        assert width > 100
        assert height > 100
        assert attributes["aria-label"]
    assert "#ffffff" not in html[html.index("<body") :]
    assert "#000000" not in html


def test_links_within_a_page_lead_somewhere(html: str) -> None:
    tags = Tags(html).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [(attributes.get("href") or "")[1:] for tag, attributes in tags if tag == "a"]
    assert targets
    assert set(targets) <= set(ids)
    assert set(re.findall(r'url\(#([^)]+)\)|href="#(.+?)"', html)) <= {(name, "") for name in ids} | {("", name) for name in ids}


def test_the_run_page_says_what_came_of_it() -> None:
    record = run_record(slots=2, test_accuracy=0.625, test_loss=1.125, train_seconds=3399, placement=[slot_record(0, 2), slot_record(1, 2)])
    html = run_report(record)
    for words in ("62.50 %", "1.125", "56 min 39 s", "worker-1", "8, 9, 10, 11, 12, 13, 14, 15", "learning_rate", "2.21.0", "all-reduce", "waiting for data"):
        assert words in html


def test_what_was_not_measured_is_not_drawn_as_zero() -> None:
    epochs = [epoch_record(epoch, all_reduce_share=None, validation_loss=None, validation_accuracy=None, loss=math.nan) for epoch in (1, 2)]
    html = run_report(run_record().model_copy(update={"epochs": epochs}))
    assert "not measured" in html
    assert ">all-reduce<" not in html
    assert ">validation<" not in html


def test_one_epoch_and_no_one_slot_run_still_make_pages() -> None:
    record = run_record(slots=4, epochs=1)
    assert "covers on 4 slots" in run_report(record)
    html = comparison_report(comparison_record([Run("file:///runs/a", record)], "compare"))
    assert "No run on 1 slot" in html
    assert "Speed-up against 1 slot" not in html


def test_a_confusion_matrix_of_too_many_classes_is_left_to_the_json() -> None:
    record, images = evaluation_record([f"class {number}" for number in range(61)])
    html = evaluation_report(record, images)
    assert "The matrix of 61 classes is in evaluation.json" in html
    assert "shaded by their shares" not in html


def test_the_frame_escapes_titles_and_keeps_the_html_of_sections() -> None:
    html = page(EVIL, [Section("A & B", "<p>kept</p>")])
    assert EVIL not in html
    assert "A &amp; B" in html
    assert "<p>kept</p>" in html


def test_tables_escape_their_cells_and_align_numbers() -> None:
    html = table(["name", "count"], [[EVIL, 1234], ["b", 0.25]])
    assert EVIL not in html
    assert '<td class="number">1,234</td>' in html
    assert '<td class="number">0.25</td>' in html


def test_figures_are_the_same_text_each_time_and_keep_their_words_as_text() -> None:
    def draw() -> str:
        figure = Figure(figsize=(4, 3))
        figure.add_subplot().plot([1, 2], label="a")
        figure.suptitle("words & more")
        return figure_svg(figure)

    assert draw() == draw()
    assert "words &amp; more" in draw()
    assert draw().startswith("<svg")


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (119.94, "119.9 s"), (120, "2 min 00 s"), (3399.4, "56 min 39 s"), (7200, "2 h 00 min")])
def test_durations(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text
