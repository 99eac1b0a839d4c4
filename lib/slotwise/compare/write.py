"""The comparison as a record, as Markdown and as files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from slotwise import storage
from slotwise.compare.runs import read_runs
from slotwise.compare.statistics import finite
from slotwise.compare.table import SHARED_SETTINGS, Run, check_comparable, rows
from slotwise.contracts.comparison import VERSION, ComparedRun, ComparisonRecord
from slotwise.contracts.paths import ComparisonPaths
from slotwise.errors import UsageError
from slotwise.report import wording
from slotwise.report.comparison import comparison_report
from slotwise.report.markdown import table as markdown_table


class Published(NamedTuple):
    """A published work, and its test accuracy (0 to 1) by number of slots or `ENGINE-SLOTS`."""

    work: str
    accuracy: dict[str, float]


NOTHING = Published("", {})


def refuse_existing(output: str, *, overwrite: bool) -> None:
    """Sees that no finished comparison would be replaced unasked; runs kept under `output` do not count as one.

    Raises:
        UsageError: there is a comparison and `overwrite` is false.
    """
    if not overwrite and storage.exists(ComparisonPaths(output).json):
        raise UsageError("There is a comparison already", received=output, accepted="--overwrite, or another --output")


def compare_runs(uris: Sequence[str], output: str, *, overwrite: bool, command: str, published: Published = NOTHING) -> ComparisonRecord:
    """Compares finished runs and writes `comparison.html`, `.md` and, last, `.json` under `output`.

    Args:
        uris: the runs, each once.
        output: URI of the comparison's directory; what else it holds stays.
        overwrite: whether a comparison that is there may be replaced.
        command: what the user typed, kept in all three files.
        published: what the comparison is held against.

    Raises:
        UsageError: the runs are not comparable, or there is a comparison already; nothing was written.
        DataError: a run is not finished, or its record is damaged; nothing was written.
    """
    output = storage.normalise(output)
    refuse_existing(output, overwrite=overwrite)
    runs = read_runs(uris)
    check_comparable(runs)
    record = comparison_record(runs, command, published)
    page, text = comparison_report(record), markdown(record)
    paths = ComparisonPaths(output)
    storage.write_text(paths.html, page)
    storage.write_text(paths.markdown, text)
    storage.write_json(paths.json, record.model_dump(mode="json"))
    return record


def comparison_record(runs: Sequence[Run], command: str, published: Published = NOTHING) -> ComparisonRecord:
    """The comparison of runs that have passed `check_comparable`."""
    first = runs[0].record
    packages = sorted({package for run in runs for package in run.record.versions})
    return ComparisonRecord(
        version=VERSION,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=command,
        published=published.work,
        published_accuracy=published.accuracy,
        dataset=first.dataset,
        dataset_fingerprint=first.dataset_fingerprint,
        model=first.model,
        epochs=len(first.epochs),
        settings={name: first.settings.get(name) for name in SHARED_SETTINGS},
        rows=rows(runs),
        runs=[_compared(run) for run in sorted(runs, key=lambda run: (run.record.engine, run.record.slots, run.seed or 0, run.uri))],
        hosts=sorted({slot.host for run in runs for slot in run.record.placement}),
        versions={package: sorted({run.record.versions.get(package, "none") for run in runs}) for package in packages},
    )


def _compared(run: Run) -> ComparedRun:
    record = run.record
    return ComparedRun(
        uri=run.uri,
        engine=record.engine,
        slots=record.slots,
        seed=run.seed,
        accuracy=record.test_accuracy,
        loss=finite(record.test_loss),
        seconds=record.train_seconds,
        images_per_second=record.images_per_second,
        epoch_loss=[finite(epoch.loss) for epoch in record.epochs],
        epoch_validation_loss=[finite(epoch.validation_loss) for epoch in record.epochs],
        resumed_from=record.resumed_from,
    )


def markdown(record: ComparisonRecord) -> str:
    """The comparison as a person reads it in a terminal or on a code host."""
    lines = [f"# {record.model}: {wording.row_names(record)}", ""]
    lines += [f"{wording.count(len(record.runs), 'run')} of {wording.count(record.epochs, 'epoch')} on {record.dataset}.", ""]
    lines += markdown_table(wording.COLUMNS, [wording.row_cells(row) for row in record.rows])
    lines += ["", *(f"- {note}" for note in wording.notes(record)), "", "## Runs", ""]
    lines += markdown_table(wording.RUN_COLUMNS, [wording.run_cells(run) for run in record.runs])
    lines += ["", "## Made with", "", "```", record.command, "```", ""]
    return "\n".join(lines)
