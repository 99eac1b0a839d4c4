"""Numbers of runs and comparisons as short texts, the same in Markdown, HTML and plots."""

from __future__ import annotations

from typing import Any

from slotwise.contracts.comparison import ComparedRun, ComparisonRecord, ComparisonRow

COLUMNS = (
    "Engine",
    "Slots",
    "Repeats",
    "Test accuracy",
    "Difference in points",
    "95 % interval",
    "Test loss",
    "Training time",
    "One epoch",
    "Images/s",
    "One image at inference",
    "Speed-up",
    "Efficiency",
)
RUN_COLUMNS = ("Run", "Engine", "Slots", "Seed", "Test accuracy", "Test loss", "Training time", "Images/s")
ABSENT = "–"


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent(share: float | None) -> str:
    return ABSENT if share is None else f"{100 * share:.2f} %"


def number(value: float | None, digits: int = 3) -> str:
    return ABSENT if value is None else f"{value:,.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds below two minutes, then minutes and seconds, then hours and minutes."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 7200:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def value(content: Any) -> str:
    """A setting: lists and pairs with commas, a number without what rounding left at its end, and a dash for what was not set."""
    if isinstance(content, float):
        return f"{content:.6g}"
    if content in (None, "", [], {}):
        return ABSENT
    if isinstance(content, dict):
        return ", ".join(f"{name}={value(part)}" for name, part in content.items())
    return ", ".join(map(value, content)) if isinstance(content, (list, tuple)) else str(content)


def row_name(row: ComparisonRow | ComparedRun, *, engine: bool) -> str:
    name = count(row.slots, "slot")
    return f"{row.engine}, {name}" if engine else name


def row_names(record: ComparisonRecord) -> str:
    """"1 slot and 2 slots", or "tensorflow and torch on 1 and 2 slots": what the comparison puts side by side."""
    if not several_engines(record):
        return _listed([row_name(row, engine=False) for row in record.rows])
    slots = sorted({row.slots for row in record.rows})
    on = count(1, "slot") if slots == [1] else f"{_listed(list(map(str, slots)))} slots"
    return f"{_listed(list(dict.fromkeys(row.engine for row in record.rows)))} on {on}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def several_engines(record: ComparisonRecord) -> bool:
    return len({row.engine for row in record.rows}) > 1


def row_cells(row: ComparisonRow) -> list[str]:
    """One text for each of `COLUMNS`."""
    single = row.slots == 1
    return [
        row.engine,
        str(row.slots),
        str(row.repeats),
        percent(row.accuracy_mean) + _spread(row.accuracy_std, 100, 2),
        ABSENT if single or row.accuracy_difference_points is None else f"{row.accuracy_difference_points:+.2f}",
        interval(row),
        number(row.loss_mean) + _spread(row.loss_std, 1, 3),
        duration(row.seconds_mean) + _spread(row.seconds_std, 1, 1, " s"),
        duration(row.seconds_per_epoch_mean),
        number(row.images_per_second, 0) + _spread(row.images_per_second_std, 1, 0),
        ABSENT if row.inference_seconds_mean is None else f"{1000 * row.inference_seconds_mean:.1f} ms",
        ABSENT if row.speedup is None else f"{row.speedup:.2f}×",
        ABSENT if row.efficiency is None else f"{100 * row.efficiency:.0f} %",
    ]


def interval(row: ComparisonRow) -> str:
    if row.accuracy_difference_interval is None:
        return ABSENT
    low, high = row.accuracy_difference_interval
    return f"{low:+.2f} to {high:+.2f}"


def run_cells(run: ComparedRun) -> list[str]:
    """One text for each of `RUN_COLUMNS`."""
    return [
        run.uri,
        run.engine,
        str(run.slots),
        value(run.seed),
        percent(run.accuracy),
        number(run.loss),
        duration(run.seconds),
        number(run.images_per_second, 0),
    ]


def notes(record: ComparisonRecord) -> list[str]:
    """What a reader has to know to take the table rightly."""
    texts = []
    if any(row.repeats > 1 for row in record.rows):
        texts.append("Means over the repeats, ± the sample standard deviation.")
    engines = {row.engine for row in record.rows}
    without = sorted(engines - {row.engine for row in record.rows if row.slots == 1})
    if without:
        texts.append(f"No run on 1 slot of {' and '.join(without)}: no speed-up, efficiency or difference.")
    if engines - set(without):
        texts.append("Speed-up, efficiency and difference are against 1 slot of the same engine; time is training time alone.")
    if any(row.accuracy_difference_interval for row in record.rows):
        texts.append("The interval is for the mean difference between runs of the same seed (Student's t).")
    if any(row.slots > 1 and row.accuracy_difference_points is not None and row.accuracy_difference_interval is None for row in record.rows):
        texts.append("A difference in accuracy without an interval is between single runs, which rounding alone drives apart; --repeats 5 gives the interval.")
    if record.published_accuracy:
        texts.append(f"{record.published or 'Published'}: {'; '.join(_against_published(record))}.")
    resumed = [run.uri for run in record.runs if run.resumed_from]
    if resumed:
        texts.append(f"Resumed on the way, so that their times are not those of one undisturbed run: {', '.join(resumed)}.")
    differing = [f"{package} {' and '.join(versions)}" for package, versions in record.versions.items() if len(versions) > 1]
    if differing:
        texts.append(f"Not all runs had the same versions: {'; '.join(differing)}.")
    return texts


def _against_published(record: ComparisonRecord) -> list[str]:
    """For each published figure what it is, and by how much the row with its slots is above it."""
    texts = []
    for key, accuracy in record.published_accuracy.items():
        engine, _, slots = key.rpartition("-")
        rows = [row for row in record.rows if str(row.slots) == slots and engine in ("", row.engine)]
        here = [f"here {100 * (row.accuracy_mean - accuracy):+.2f} points" + (f" ({row.engine})" if several_engines(record) else "") for row in rows]
        texts.append(", ".join([f"{percent(accuracy)} on {key.replace('-', ', ')} slot{'' if slots == '1' else 's'}", *here]))
    return texts


def _spread(deviation: float | None, factor: float, digits: int, unit: str = "") -> str:
    return "" if deviation is None else f" ± {deviation * factor:,.{digits}f}{unit}"
