"""Every HTML page in a real browser: whole and legible on a phone and on a desktop, in light and dark, however long the names in it are."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

import pytest

from browser import SCHEMES, SIZES, Seen, look_at, needs_chromium
from records import (
    LAUNCHED,
    SETTINGS,
    epoch_record,
    evaluation_record,
    explore_result,
    export_record,
    run_record,
    search_record,
    slot_record,
)
from slotwise.compare.table import Run
from slotwise.compare.write import comparison_record
from slotwise.contracts.run import AuditRecord, Position, RestartRecord, RunRecord
from slotwise.explore.page import explore_report
from slotwise.report.comparison import comparison_report
from slotwise.report.evaluation import evaluation_report
from slotwise.report.export import export_report
from slotwise.report.page import Section, page
from slotwise.report.run import run_report
from slotwise.report.search import search_report

LONG = "Tomato___Spider_mites_Two-spotted_spider_mite_and_whatever_else_lives_on_the_lower_side_of_its_leaves"
NAMES = [LONG, "Fiction", "Juvenile Nonfiction & Young Adult Fiction / Social Themes / Friendship", "漫画", "Art", r"$\frac{1", "x" * 300]
URI = f"hdfs://namenode-1.cluster.example:9000/user/someone/{'a-directory-of-a-long-name/' * 5}demo"
COMMAND = f"spark-submit --master spark://127.0.0.1:7077 jobs/any.py --runs {URI}-1 {URI}-2 --output {URI}"
REASON = f"slot 1: the training process was ended by signal 9 (SIGKILL)\n{'a line of a traceback of some length; ' * 6}\n{'/usr/lib/python/' * 12}loop.py"


def many(names: int) -> list[str]:
    return [*NAMES, *(f"a class of the number {number}" for number in range(names - len(NAMES)))]


def hard_run(**fields: object) -> RunRecord:
    """A run of many epochs that lost slots three times and was resumed once."""
    restarts = [RestartRecord(reason=REASON, slots=slots, seconds=seconds, lost=seconds - 20) for slots, seconds in ((4, 2000.0), (3, 2300.0), (2, 9000.0))]
    placement = [slot_record(slot, 3).model_copy(update={"host": f"worker-{slot}.some-long-domain-of-a-cluster.example", "gpus": ["0", "1"]}) for slot in range(3)]
    values: dict[str, object] = {
        "slots": 3, "best_epoch": 31, "starting": {"session": 4.0, "checks": 3.0, "first step": 7.0}, "dataset": URI, "class_names": many(40), "placement": placement, "restarts": restarts, "train_seconds": 9999.0, "total_seconds": 12345.6,
        "resumed_from": [Position(epoch=2, step=0), Position(epoch=4, step=3)], "epochs": [epoch_record(epoch, learning_rate=0.001234567, seconds=250.0, ended=LAUNCHED + 300 * epoch) for epoch in range(1, 41)],
        "settings": {**SETTINGS, "run": URI, "dataset": URI, "model_parameters": {"filters": 32, LONG: 0.001}},
        "audit": AuditRecord(samples=12_345, epochs=40, per_epoch=12_345, faults=[f"epoch 3: 12,340 of 12,345 ids seen, not seen: {', '.join(5 * ['f' * 64])}"]),
    }  # fmt: skip
    return run_record().model_copy(update={**values, **fields})


def hard_comparison() -> str:
    runs = [
        Run(f"{URI}-{engine}-{slots}-{seed}", run_record(slots=slots, engine=engine, settings={"seed": seed}, train_seconds=10_000 / slots + 100 * seed, test_accuracy=0.6 + seed / 300))
        for engine in ("tensorflow", "torch")
        for slots in (1, 2, 4, 8)
        for seed in (7, 8)
    ]
    return comparison_report(comparison_record(runs, COMMAND))


def hard_evaluation(names: int, runs: int) -> str:
    record, images = evaluation_record(many(names), runs=runs, command=COMMAND, images=400)
    renamed = [run.model_copy(update={"uri": f"{URI}-{run.slots}"}) for run in record.runs]
    return evaluation_report(record.model_copy(update={"dataset": URI, "runs": renamed}), images)


def hard_export() -> str:
    record = export_record(NAMES, command=COMMAND, reason=REASON)
    names = ["saved_model", "tflite", "tflite_float16", "tflite_dynamic", "tflite_int8", "torch", "torch_dynamic", "torch_static"]
    models = [record.models[place % 2].model_copy(update={"format": name, "accuracy": 0.7 - place / 500}) for place, name in enumerate(names)]
    return export_report(record.model_copy(update={"run": URI, "dataset": URI, "models": models}))


PAGES: dict[str, Callable[[], str]] = {
    "run": lambda: run_report(run_record(slots=2)),
    "run-hard": lambda: run_report(hard_run()),
    "comparison": hard_comparison,
    "evaluation-20-classes": lambda: hard_evaluation(20, 2),
    "evaluation-60-classes": lambda: hard_evaluation(60, 1),
    "export": hard_export,
    "search": lambda: search_report(search_record(command=COMMAND, reason=REASON, dataset=URI, commands=[COMMAND, COMMAND])),
    "explore": lambda: explore_report(explore_result(many(40), error=REASON)),
}
# A page with one of each fault that is looked for: what has to be found of it on a phone.
BROKEN = page(
    "Broken",
    [
        Section(
            "Faults",
            '<p style="white-space: nowrap">' + "so wide " * 60 + '</p><p style="overflow: hidden; white-space: nowrap; width: 90px">more than its box has room for</p>'
            '<p style="color: #999; background: #bbb">pale</p><p style="opacity: .3">faint</p><img alt="none" src="data:image/png;base64,"><a href="#nowhere">x</a>'
            '<svg class="figure" aria-label="plot" viewBox="0 0 200 150"><path d="M0 0h200v20z" style="fill: #808080; fill-opacity: .2"/><text x="190" y="60">outside</text><text x="20" y="60">one</text>'
            '<text x="22" y="62">two</text><text x="20" y="90" style="fill: #777">grey</text><text x="20" y="120" style="font-size: 2px">tiny</text></svg>'
            '<svg class="figure" aria-label="nothing" viewBox="0 0 200 150" style="width: 0"></svg><script>console.log("complaint")</script>',
        )
    ],
)
FOUND = {"scrolls sideways", "cut off", "contrast", "no size", "small target", "leads nowhere", "outside its plot", "overlaps", "too small"}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[tuple[str, str, str], Seen], str]:
    pages = {name: make() for name, make in PAGES.items()}
    return look_at({**pages, "broken": BROKEN}, tmp_path_factory.mktemp("pages"))


@needs_chromium
@pytest.mark.parametrize(("name", "size", "scheme"), list(product(PAGES, SIZES, SCHEMES)))
def test_a_page_is_whole_and_legible(name: str, size: str, scheme: str, shown: tuple[dict[tuple[str, str, str], Seen], str]) -> None:
    seen = shown[0][name, size, scheme]
    assert (seen.width, seen.dark) == (SIZES[size][0], scheme == "dark")
    assert seen.pictures >= 2
    assert seen.faults == []


@needs_chromium
def test_no_page_has_a_complaint_for_the_console(shown: tuple[dict[tuple[str, str, str], Seen], str]) -> None:
    complaints = {line for line in shown[1].splitlines() if "broken.html" not in line}
    assert complaints == set()


@needs_chromium
@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_looked_for_is_found(scheme: str, shown: tuple[dict[tuple[str, str, str], Seen], str]) -> None:
    faults = shown[0]["broken", "phone", scheme].faults
    assert {fault.partition(":")[0] for fault in faults} == FOUND
    for words in ('p "pale"', 'p "faint"', 'text "grey"', "a line or shape"):
        assert any(fault.startswith("contrast") and words in fault for fault in faults), faults
    assert re.search("broken.html", shown[1])
