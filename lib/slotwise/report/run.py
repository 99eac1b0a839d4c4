"""The page of one training run: what came of it, how it got there, where it ran and with which settings."""

from __future__ import annotations

import shlex

from matplotlib.figure import Figure

from slotwise.contracts.run import EpochRecord, RunRecord, SlotRecord
from slotwise.report import charts, fragments, wording
from slotwise.report.page import Section, page
from slotwise.report.timeline import COLUMNS, timeline_cells, timeline_figure


def run_report(record: RunRecord) -> str:
    """`RUN/report.html` as one self-contained HTML page."""
    settings = [(name, wording.value(content)) for name, content in record.settings.items()]
    learning = {"Loss per epoch": _loss(record.epochs), "Accuracy per epoch": _accuracy(record)}
    sections = [
        Section("Result", _headline(record) + _summary(record)),
        Section("Time line", _timeline(record)),
        Section("Learning", fragments.figures(learning)),
        Section("Speed", _speed(record.epochs)),
        Section("Epochs", fragments.table(*_epoch_table(record.epochs), texts=0)),
        Section("Audit", _audit(record)),
        Section("Slots", fragments.table(_SLOT_COLUMNS, [_slot_cells(slot) for slot in record.placement], texts=0)),
        Section("Classes", fragments.paragraphs(", ".join(record.class_names))),
        Section("Settings", fragments.table(("Setting", "Value"), settings, texts=2)),
        Section("Versions", fragments.table(("Package", "Version"), sorted(record.versions.items()), texts=2)),
        Section("What comes next", _next(record)),
    ]
    return page(f"{record.model} on {wording.count(record.slots, 'slot')}", sections)


def _headline(record: RunRecord) -> str:
    return fragments.headline(
        {
            "test accuracy": wording.percent(record.test_accuracy),
            "test loss": wording.number(record.test_loss),
            "training time": wording.duration(record.train_seconds),
            "images/s": wording.number(record.images_per_second, 0),
            "slots": str(record.slots),
        }
    )


def _summary(record: RunRecord) -> str:
    texts = [
        f"{record.model} ({record.parameters:,} trainable weights, {record.engine}) learned {len(record.class_names)} classes "
        f"from {record.dataset} in {wording.count(len(record.epochs), 'epoch')}; {wording.duration(record.total_seconds)} from the launch of the slots to their end. "
        f"The kept weights are those of epoch {record.best_epoch}, {_why_kept(record)}; "
        f"they were tested on {wording.count(record.test_images, 'image')}.",
    ]
    if record.resumed_from:
        texts.append(f"Gone on after {'; '.join(map(str, record.resumed_from))}.")
    if record.restarts:
        texts.append(f"Slots were lost on the way, and it was taken up again {'once' if len(record.restarts) == 1 else f'{len(record.restarts)} times'}.")
    texts += [f"Audit: {record.audit if not record.audit.faults else 'NOT every sample was fed as it should have been'}.", f"Finished {record.created}."]
    return fragments.paragraphs(*texts)


def _timeline(record: RunRecord) -> str:
    figure = {"Each launch of the slots, from its start to its end or to their loss": timeline_figure(record)}
    texts = []
    if record.starting:
        stretches = ", ".join(f"{name} {wording.duration(seconds)}" for name, seconds in record.starting.items())
        what = "From the last launch" if record.restarts else "From spark-submit, or from the call in a session that ran already,"
        texts.append(f"{what} to the end of the first step, {wording.duration(sum(record.starting.values()))}: {stretches}.")
    return fragments.figures(figure) + fragments.table(COLUMNS, timeline_cells(record), texts=2) + fragments.paragraphs(*texts)


def _audit(record: RunRecord) -> str:
    """What the audit found, and how to do it again."""
    found = f"By what the slots wrote down step by step in {_place(record)}/audit: {record.audit}."
    return fragments.paragraphs(*found.splitlines()) + fragments.code(f".venv/bin/python jobs/audit.py --runs {shlex.quote(_place(record))}")


def _next(record: RunRecord) -> str:
    told = "The confusion matrix, the mistakes that the model was surest of, and its calibration are in the report of an evaluation; other formats of the model, with what they cost, in that of an export:"
    jobs = [f"spark-submit jobs/{job} {shlex.quote(_place(record))}" for job in ("evaluate.py --runs", "export.py --run")]
    return fragments.paragraphs(told) + fragments.code("\n".join(jobs))


def _place(record: RunRecord) -> str:
    return str(record.settings.get("run") or "RUN")


def _why_kept(record: RunRecord) -> str:
    return "which had the lowest validation loss" if any(epoch.validation_loss is not None for epoch in record.epochs) else "the last, without validation"


def _loss(epochs: list[EpochRecord]) -> Figure:
    lines = [charts.Line("training", [epoch.loss for epoch in epochs])]
    validation = [epoch.validation_loss for epoch in epochs]
    if any(value is not None for value in validation):
        lines.append(charts.Line("validation", validation, colour=1))
    return charts.curves(lines, "loss")


def _accuracy(record: RunRecord) -> Figure:
    lines = [charts.Line("training", [100 * epoch.accuracy for epoch in record.epochs])]
    validation = [None if epoch.validation_accuracy is None else 100 * epoch.validation_accuracy for epoch in record.epochs]
    if any(value is not None for value in validation):
        lines.append(charts.Line("validation", validation, colour=1))
    return charts.curves(lines, "accuracy in %")


def _speed(epochs: list[EpochRecord]) -> str:
    figures = {
        "Images per second over all slots; the first epoch of a launch includes building the computation": charts.curves(
            [charts.Line(None, [epoch.images_per_second for epoch in epochs])], "images/s", from_zero=True
        ),
        "Where the training time of each epoch went": charts.stacked_shares(_shares(epochs), "% of training time"),
    }
    if all(epoch.all_reduce_share is not None for epoch in epochs):
        return fragments.figures(figures)
    return fragments.figures(figures) + fragments.paragraphs("Where all-reduce was not measured, it is part of computing.")


def _shares(epochs: list[EpochRecord]) -> dict[str, list[float]]:
    waiting = [100 * epoch.waiting_for_data_share for epoch in epochs]
    reducing = [100 * (epoch.all_reduce_share or 0) for epoch in epochs]
    computing = [max(0.0, 100 - data - network) for data, network in zip(waiting, reducing, strict=True)]
    shares = {"computing": computing, "waiting for data": waiting}
    return {**shares, "all-reduce": reducing} if any(epoch.all_reduce_share is not None for epoch in epochs) else shares


def _epoch_table(epochs: list[EpochRecord]) -> tuple[list[str], list[list[str]]]:
    columns = ["Epoch", "Steps", "Images", "Loss", "Accuracy", "Validation loss", "Validation accuracy", "Learning rate"]
    columns += ["Training", "Validation", "Checkpoint", "Images/s", "Waiting for data", "All-reduce"]
    rows = [
        [
            str(epoch.epoch),
            f"{epoch.steps:,}",
            f"{epoch.images:,}",
            wording.number(epoch.loss),
            wording.percent(epoch.accuracy),
            wording.number(epoch.validation_loss),
            wording.percent(epoch.validation_accuracy),
            f"{epoch.learning_rate:g}",
            wording.duration(epoch.seconds),
            wording.duration(epoch.validation_seconds),
            wording.duration(epoch.checkpoint_seconds),
            wording.number(epoch.images_per_second, 0),
            wording.percent(epoch.waiting_for_data_share),
            wording.percent(epoch.all_reduce_share),
        ]
        for epoch in epochs
    ]
    return columns, rows


_SLOT_COLUMNS = ("Slot", "Host", "Executor", "Cores", "GPUs", "Logical shards")


def _slot_cells(slot: SlotRecord) -> tuple[str, ...]:
    return str(slot.slot), slot.host, slot.executor, str(slot.cores), wording.value(slot.gpus), wording.value(slot.logical_shards)
