"""The HTML pages: whole in one file, safe against the names in them, and legible."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from records import LAUNCHED, epoch_record, evaluation_record, export_record, run_record, search_record, slot_record
from slotwise.compare.table import Run
from slotwise.compare.write import comparison_record
from slotwise.contracts.run import AuditRecord, RestartRecord, RunRecord
from slotwise.report import charts, fragments, wording
from slotwise.report.comparison import comparison_report
from slotwise.report.evaluation import evaluation_report
from slotwise.report.export import export_report
from slotwise.report.page import Section, figure_svg, page, table
from slotwise.report.run import run_report
from slotwise.report.search import search_report
from slotwise.report.timeline import attempts, timeline_cells

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
    "search": lambda: search_report(search_record(command=f"tune {EVIL}", reason=EVIL)),
    "export": lambda: export_report(export_record([EVIL, "Fiction & more"], command=f"export {EVIL}", reason=EVIL)),
}


@pytest.fixture(params=PAGES, name="html", scope="module")
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


def lost_twice() -> RunRecord:
    """Launched on 3 slots, lost after epoch 2, lost again before an epoch was over, and ended on 2."""
    restarts = [RestartRecord(reason="slot 1: killed", slots=3, seconds=30, lost=25), RestartRecord(reason="slot 2: silent", slots=2, seconds=60, lost=50)]
    ends = {1: 10.0, 2: 20.0, 3: 75.0, 4: 81.0}
    epochs = [epoch_record(epoch, ended=LAUNCHED + end) for epoch, end in ends.items()]
    return run_record(slots=3, restarts=restarts, total_seconds=90.0, best_epoch=3).model_copy(update={"epochs": epochs})


def test_a_time_line_has_each_launch_with_its_epochs_and_its_end() -> None:
    found = [(each.slots, each.start, each.epochs_begin, each.end, [epoch.epoch for epoch, _ in each.epochs]) for each in attempts(lost_twice())]
    assert found == [(3, 0, 5.5, 25, [1, 2]), (3, 30, 50, 50, []), (2, 60, 70.5, 90, [3, 4])]
    assert [(after.replace("\N{NO-BREAK SPACE}", " "), what) for after, what in timeline_cells(lost_twice())] == [
        ("0.0 s", "Launched on 3 slots"),
        ("10.0 s", "Epoch 1 over, the first of this launch"),
        ("25.0 s", "Slots lost: slot 1: killed"),
        ("30.0 s", "Launched again from the last checkpoint, on 3 slots"),
        ("50.0 s", "Slots lost: slot 2: silent"),
        ("60.0 s", "Launched again from the last checkpoint, on 2 slots"),
        ("75.0 s", "Epoch 3 over, the first of this launch, whose weights were kept"),
        ("81.0 s", "Epoch 4 over, the last"),
        ("90.0 s", "The model was tested and written, and the slots ended; finished 2026-01-02T03:04:05+00:00"),
    ]
    html = run_report(lost_twice())
    for words in ("launch 3: 2 slots", ">slots lost<", ">starting<", ">test, model<", "taken up again 2 times", "slot 2: silent"):
        assert words in html


def test_a_run_of_an_earlier_version_has_a_time_line_without_epochs() -> None:
    record = lost_twice()
    restarts = [restart.model_copy(update={"lost": None}) for restart in record.restarts]
    epochs = [epoch.model_copy(update={"ended": None}) for epoch in record.epochs]
    html = run_report(record.model_copy(update={"launched": None, "epochs": epochs, "restarts": restarts}))
    assert "launch 3: 2 slots" in html
    assert ">starting<" not in html
    assert ">end of an epoch<" not in html


def test_the_run_page_says_what_the_audit_found_and_what_comes_next() -> None:
    html = run_report(run_record(settings={"run": "file:///runs/a"}, audit=AuditRecord(samples=9, epochs=2, per_epoch=9, faults=["epoch 2: 8 of 9 ids seen, not seen: x-1"])))
    for words in ("NOT every sample was fed exactly once", "not seen: x-1", "jobs/audit.py --runs file:///runs/a", "jobs/evaluate.py --runs file:///runs/a", "jobs/export.py --run file:///runs/a"):
        assert words in html


def test_many_bars_lie_on_their_side() -> None:
    bars = [charts.Bar(f"torch\n{number} slots", number, 0.5, [number - 0.5, number + 0.5], number, f"{number} s") for number in range(1, 6)]
    for draw in (charts.bars, charts.dots):
        (lying,), (upright,) = draw(bars, "seconds").axes, draw(bars[:4], "seconds").axes
        assert [text.get_text() for text in lying.get_yticklabels()] == [f"torch, {number} slots" for number in range(1, 6)]
        assert (lying.get_xlabel(), upright.get_ylabel()) == ("seconds", "seconds")


def test_a_legend_has_as_many_columns_as_fit_and_takes_names_as_they_are() -> None:
    columns = []
    for names in (["a", "b", "c", "d"], ["a name of some length", "b", "another of some length"], [r"$\frac{1" + "x" * 300, "x" * 300]):
        (legend,) = charts.curves([charts.Line(name, [1, 2]) for name in names], "loss").legends
        columns.append(legend._ncols)
        assert [text.get_text() for text in legend.get_texts()] == list(map(charts.short_name, names))
    assert columns == [3, 2, 1]


def test_what_is_long_or_wide_is_broken_or_scrolls() -> None:
    assert '<td class="long">' + "x" * 40 in fragments.table(("a", "b"), [("x" * 40, "1")])
    assert "long" not in fragments.table(("a", "b"), [("short", "1")])
    wide, narrow = (fragments.figures({"plot": charts.matrix([[1] * names] * names, list(map(str, range(names))))}) for names in (20, 4))
    assert '<figure class="wide"><div class="scroll">' in wide
    assert "wide" not in narrow


def test_numbers_of_a_search_have_no_ends_of_rounding() -> None:
    html = search_report(search_record())
    assert ">0.00015<" in html
    assert "0.00015000" not in html


def test_a_comparison_of_engines_names_each_once() -> None:
    runs = [Run(f"file:///runs/{engine}-{slots}", run_record(slots=slots, engine=engine)) for engine in ("tensorflow", "torch") for slots in (1, 2)]
    assert "<h1>covers: tensorflow and torch on 1 and 2 slots</h1>" in comparison_report(comparison_record(runs, "compare"))


@pytest.mark.parametrize(("seeds", "slots", "is_warned"), [([7], (1, 2), True), ([7, 8], (1, 2), False), ([7], (1,), False), ([7], (2, 4), False)])
def test_a_difference_between_single_runs_comes_with_a_warning(seeds: list[int], slots: tuple[int, ...], is_warned: bool) -> None:
    runs = [Run(f"file:///runs/{count}-{seed}", run_record(slots=count, settings={"seed": seed})) for count in slots for seed in seeds]
    notes = wording.notes(comparison_record(runs, "compare"))
    assert any("between single runs" in note for note in notes) == is_warned


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
