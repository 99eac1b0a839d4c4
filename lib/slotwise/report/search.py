"""The page of a search: its trials, what each setting did to the validation loss, and how the best ones learned."""

from __future__ import annotations

from slotwise import storage
from slotwise.contracts.search import Axis, SearchRecord, TrialRecord
from slotwise.report import charts, fragments, wording
from slotwise.report.page import Section, page

_CURVES = 6
# Values that lie further apart than this are read better on a logarithmic scale.
_WIDE = 8


def search_report(record: SearchRecord) -> str:
    """`OUTPUT/tune.html` as one self-contained HTML page."""
    result = fragments.table(columns(record), cells(record), texts=0) + fragments.paragraphs(*notes(record))
    settings = [(name, wording.value(content)) for name, content in record.settings.items()]
    space = [(_short(axis.name), str(axis)) for axis in record.space]
    made = fragments.code(record.command) + fragments.paragraphs(f"on {record.created}.")
    sections = [
        Section("Result", _headline(record) + result),
        Section("Settings and loss", fragments.figures(_by_setting(record))),
        Section("Learning", fragments.figures(_learning(record))),
        Section("Space", fragments.table(("Setting", "Searched"), space, texts=2)),
        Section("Shared settings", fragments.table(("Setting", "Value"), settings, texts=2)),
        Section("Made with", made + fragments.paragraphs("What comes next:") + fragments.code("\n".join(record.commands))),
    ]
    return page(title(record), sections)


def title(record: SearchRecord) -> str:
    return f"{wording.count(len(record.trials), 'trial')} of {record.settings['model']} on {storage.name(record.dataset)}"


def columns(record: SearchRecord) -> list[str]:
    return ["Trial", *(_short(axis.name) for axis in record.space), "Validation loss", "Validation accuracy", "Best epoch", "Epochs", "Time", "Restarts"]


def cells(record: SearchRecord) -> list[list[str]]:
    """For each trial, the best first, one text for each of `columns`."""
    return [
        [
            str(trial.number),
            *(wording.value(trial.values[axis.name]) for axis in record.space),
            "failed" if trial.status == "failed" else wording.number(trial.validation_loss, 4),
            wording.percent(trial.validation_accuracy),
            str(trial.best_epoch or wording.ABSENT),
            f"{len(trial.epoch_validation_loss)} of {trial.epochs}",
            wording.duration(trial.seconds),
            str(trial.restarts),
        ]
        for trial in ranked(record)
    ]


def ranked(record: SearchRecord) -> list[TrialRecord]:
    """The finished trials by validation loss, then those that failed."""
    return sorted(record.trials, key=lambda trial: (trial.validation_loss is None, trial.validation_loss or 0.0, trial.number))


def notes(record: SearchRecord) -> list[str]:
    """What a reader has to know to take the table rightly, and why trials failed."""
    texts = [
        f"Chosen by KerasTuner's {record.oracle} oracle, {wording.count(record.slots, 'trial')} at a time, in {wording.duration(record.seconds)}. "
        "Trials are told apart by their lowest validation loss alone; no test image has a part in it.",
    ]
    if any(trial.parent for trial in record.trials):
        promoted = ", ".join(f"{trial.number} after {trial.parent}" for trial in record.trials if trial.parent)
        texts.append(f"Given more epochs for what they had shown: {promoted}.")
    return [*texts, *(f"Trial {trial.number} failed: {trial.reason.splitlines()[0]}" for trial in record.trials if trial.status == "failed")]


def _finished(record: SearchRecord) -> list[TrialRecord]:
    return [trial for trial in ranked(record) if trial.status == "finished"]


def _headline(record: SearchRecord) -> str:
    best = record.best
    assert best is not None
    return fragments.headline(
        {
            "lowest validation loss": wording.number(best.validation_loss),
            "its accuracy": wording.percent(best.validation_accuracy),
            **{_short(name): wording.value(value) for name, value in best.values.items()},
            "finished trials": str(len(_finished(record))),
            "failed": str(len(record.trials) - len(_finished(record))),
        }
    )


def _by_setting(record: SearchRecord) -> dict[str, charts.Figure]:
    trials = _finished(record)
    losses = [trial.validation_loss or 0.0 for trial in trials]
    figures = {}
    for axis in record.space:
        places = [trial.values[axis.name] for trial in trials]
        figures[f"Validation loss by {_short(axis.name)}: each trial a dot"] = charts.points(places, losses, 0, "validation loss", _short(axis.name), log=_is_wide(axis))
    return figures


def _is_wide(axis: Axis) -> bool:
    numbers = [value for value in (*axis.values, axis.min, axis.max) if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return bool(numbers) and min(numbers) > 0 and max(numbers) / min(numbers) > _WIDE


def _learning(record: SearchRecord) -> dict[str, charts.Figure]:
    best = _finished(record)[:_CURVES]
    lines = [charts.Line(f"trial {trial.number}", trial.epoch_validation_loss, colour) for colour, trial in enumerate(best)]
    return {"Validation loss per epoch of the best trials": charts.curves(lines, "validation loss")}


def _short(name: str) -> str:
    return name.removeprefix("model_parameters.").replace("_", " ")
