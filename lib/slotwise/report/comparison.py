"""The page of a comparison: the table, and plots of accuracy, time, speed-up and learning."""

from __future__ import annotations

from matplotlib.figure import Figure

from slotwise.contracts.comparison import ComparedRun, ComparisonRecord, ComparisonRow
from slotwise.report import charts, fragments, wording
from slotwise.report.page import Section, page


def comparison_report(record: ComparisonRecord) -> str:
    """`OUTPUT/comparison.html` as one self-contained HTML page."""
    table = fragments.table(wording.COLUMNS, [wording.row_cells(row) for row in record.rows])
    learning = {
        "Test accuracy: each run a dot, their mean a line, the standard deviation a whisker; the scale does not start at zero": _accuracy(record),
        "Loss per epoch: training solid, validation dashed": _losses(record),
    }
    sections = [
        Section("Result", _headline(record) + table + fragments.paragraphs(*wording.notes(record))),
        Section("Accuracy", fragments.figures(learning)),
        Section("Time", fragments.figures(_time(record))),
        Section("Runs", fragments.table(wording.RUN_COLUMNS, [wording.run_cells(run) for run in record.runs], texts=2)),
        Section("Conditions", _conditions(record)),
        Section("Made with", fragments.code(record.command) + fragments.paragraphs(f"on {record.created}.")),
    ]
    return page(f"{record.model}: {wording.row_names(record)}", sections)


def _headline(record: ComparisonRecord) -> str:
    measured = [row for row in record.rows if row.slots > 1 and row.speedup is not None]
    numbers = {"runs": str(len(record.runs)), "epochs each": str(record.epochs)}
    if measured:
        best = max(measured, key=lambda row: row.speedup or 0)
        name = wording.row_name(best, engine=wording.several_engines(record))
        numbers = {
            f"speed-up on {name}": f"{best.speedup:.2f}×",
            "efficiency": f"{100 * (best.efficiency or 0):.0f} %",
            "points of accuracy": f"{best.accuracy_difference_points:+.2f}",
            **numbers,
        }
    return fragments.headline(numbers)


def _runs_of(record: ComparisonRecord, row: ComparisonRow) -> list[ComparedRun]:
    return [run for run in record.runs if (run.engine, run.slots) == (row.engine, row.slots)]


def _label(record: ComparisonRecord, row: ComparisonRow) -> str:
    return wording.row_name(row, engine=wording.several_engines(record)).replace(", ", "\n")


def _accuracy(record: ComparisonRecord) -> Figure:
    dots = [
        charts.Bar(
            _label(record, row),
            100 * row.accuracy_mean,
            None if row.accuracy_std is None else 100 * row.accuracy_std,
            [100 * run.accuracy for run in _runs_of(record, row)],
            colour,
            wording.percent(row.accuracy_mean),
        )
        for colour, row in enumerate(record.rows)
    ]
    return charts.dots(dots, "test accuracy in %")


def _losses(record: ComparisonRecord) -> Figure:
    lines = []
    for colour, row in enumerate(record.rows):
        for index, run in enumerate(_runs_of(record, row)):
            label = wording.row_name(row, engine=wording.several_engines(record)) if index == 0 else None
            lines.append(charts.Line(label, run.epoch_loss, colour))
            if any(value is not None for value in run.epoch_validation_loss):
                lines.append(charts.Line(None, run.epoch_validation_loss, colour, dashed=True))
    return charts.curves(lines, "loss")


def _time(record: ComparisonRecord) -> dict[str, Figure]:
    seconds = [
        charts.Bar(_label(record, row), row.seconds_mean, row.seconds_std, (), colour, wording.duration(row.seconds_mean))
        for colour, row in enumerate(record.rows)
    ]
    rates = [
        charts.Bar(
            _label(record, row), row.images_per_second, row.images_per_second_std, (), colour, wording.number(row.images_per_second, 0)
        )
        for colour, row in enumerate(record.rows)
    ]
    speedups: dict[str, dict[int, float]] = {}
    for row in record.rows:
        if row.speedup is not None:
            speedups.setdefault(row.engine, {})[row.slots] = row.speedup
    figures = {"Training time": charts.bars(seconds, "seconds"), "Images per second over all slots": charts.bars(rates, "images/s")}
    return {**figures, "Speed-up against 1 slot": charts.against_ideal(speedups, "speed-up")} if speedups else figures


def _conditions(record: ComparisonRecord) -> str:
    dataset = {"dataset": record.dataset, "dataset fingerprint": record.dataset_fingerprint}
    shared = {**dataset, "model": record.model, "epochs": record.epochs, **record.settings}
    rows = [(name.replace("_", " "), wording.value(content)) for name, content in shared.items()]
    rows.append(("hosts", wording.value(record.hosts)))
    rows += [(package, " and ".join(versions)) for package, versions in record.versions.items()]
    return fragments.table(("Condition", "Value"), rows, texts=2)
