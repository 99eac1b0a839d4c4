"""What came of a search, as files: the best settings to train with, a page, a table, a record."""

from __future__ import annotations

import json
from typing import Any

from slotwise import storage
from slotwise.contracts.paths import SearchPaths
from slotwise.contracts.search import SearchRecord, TrialRecord
from slotwise.report import markdown as md
from slotwise.report import search as page
from slotwise.settings.train import TrainSettings
from slotwise.settings.training import TrainingSettings


def write(record: SearchRecord, best: TrainSettings, output: str) -> None:
    """Writes `best.toml`, `tune.html`, `.md` and, last, `.json` under `output`; what else is there stays.

    Args:
        best: what the best trial trained.
    """
    paths = SearchPaths(output)
    assert record.best is not None
    storage.write_text(paths.best, best_settings(record.best, best))
    storage.write_text(paths.html, page.search_report(record))
    storage.write_text(paths.markdown, markdown(record))
    storage.write_json(paths.json, record.model_dump(mode="json"))


def best_settings(trial: TrialRecord, settings: TrainSettings) -> str:
    """The text of `best.toml`: what a trial trained, as far as it is no default, for as many epochs as were best.

    Half a cosine ends with the last epoch, so its epochs stay as they were. There is no patience, which needs the validation images.
    """
    own = {name: getattr(settings, name) for name, field in TrainingSettings.model_fields.items() if getattr(settings, name) != field.default and name != "patience"}
    if settings.schedule != "cosine":
        own["epochs"] = max(trial.best_epoch, int(settings.warmup_epochs) + 1)
    lines = [f"# Trial {trial.number} of a search: validation loss {trial.validation_loss}, accuracy {trial.validation_accuracy}, after epoch {trial.best_epoch}."]
    lines += [f"dataset = {_toml(settings.dataset)}", "", "[training]", *(f"{name.replace('_', '-')} = {_toml(value)}" for name, value in own.items())]
    lines += ["", "[train_distributed]", f"engine = {_toml(settings.engine)}", ""]
    return "\n".join(lines)


def _toml(value: Any) -> str:
    """A value as TOML writes it: as JSON does, but for tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml(part)}" for name, part in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def markdown(record: SearchRecord) -> str:
    """The search as a person reads it in a terminal or on a code host."""
    lines = [f"# {page.title(record)}", "", *md.table(page.columns(record), page.cells(record)), "", *(f"- {note}" for note in page.notes(record))]
    lines += ["", "## Made with", "", "```", record.command, "```", "", "## Next", "", "```", *record.commands, "```", ""]
    return "\n".join(lines)
