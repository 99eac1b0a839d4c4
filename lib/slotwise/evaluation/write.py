"""The evaluation as a record, as Markdown and as files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slotwise import storage
from slotwise.contracts.evaluation import Curves, EvaluatedRun, EvaluationRecord, ExampleRecord
from slotwise.contracts.paths import EvaluationPaths
from slotwise.contracts.run import RunRecord
from slotwise.errors import UsageError
from slotwise.evaluation.answers import Answer, Kept
from slotwise.evaluation.metrics import class_metrics, confused_pairs, expected_calibration_error, reliability
from slotwise.evaluation.tally import Tally
from slotwise.report import evaluation as page
from slotwise.report import markdown as md


def refuse_existing(output: str, *, overwrite: bool) -> None:
    """Sees that no evaluation would be replaced unasked.

    Raises:
        UsageError: there is one, and `overwrite` is false.
    """
    if not overwrite and storage.exists(EvaluationPaths(output).json):
        raise UsageError("There is an evaluation already", received=f"--output {output}", accepted="--overwrite, or another --output")


@dataclass(frozen=True)
class Findings:
    """Of one run: sums over all images, the images kept, and the seconds that the evaluation took."""

    tally: Tally
    kept: Kept
    seconds: float


def evaluated_run(uri: str, record: RunRecord, found: Findings, *, names: Sequence[str], top_k: int, per_class: int | None) -> EvaluatedRun:
    """The figures of one run; where `per_class` is not None, the confusion matrix counts the images kept for it."""
    tally, kept = found.tally, found.kept
    classes = class_metrics(tally.confusion, names)
    confusion = tally.confusion if per_class is None else kept.confusion(len(names))
    images = tally.images
    return EvaluatedRun(
        uri=uri,
        model=record.model,
        engine=record.engine,
        slots=record.slots,
        seed=record.settings.get("seed"),
        images=images,
        accuracy=int(tally.ranks[0]) / images,
        top_k_accuracy=int(tally.ranks[:top_k].sum()) / images,
        loss=tally.loss / images,
        precision=_mean([each.precision for each in classes]),
        recall=_mean([each.recall for each in classes]),
        f1=_mean([each.f1 for each in classes]),
        expected_calibration_error=expected_calibration_error(tally.bins),
        classes=classes,
        confusion=confusion.tolist(),
        confused=confused_pairs(tally.confusion, names),
        reliability=reliability(tally.bins),
        wrong=[_example(answer, names) for answer in kept.wrong],
        right=[_example(answer, names) for answer in kept.right],
        curves=_curves(record),
        seconds=found.seconds,
        images_per_second=images / found.seconds,
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _example(answer: Answer, names: Sequence[str]) -> ExampleRecord:
    top = [(names[label], chance) for label, chance in answer.top]
    return ExampleRecord(id=answer.sample.id, true=names[answer.sample.label], predicted=top[0][0], top=top)


def _curves(record: RunRecord) -> Curves:
    def values(name: str) -> list[float | None]:
        found = [getattr(epoch, name) for epoch in record.epochs]
        return [value if value is not None and math.isfinite(value) else None for value in found]

    return Curves(**{name: values(name) for name in Curves.model_fields})


def write(record: EvaluationRecord, images: Mapping[str, bytes], output: str) -> None:
    """Writes `evaluation.html`, `.md` and, last, `.json` under `output`; what else is there stays."""
    paths = EvaluationPaths(output)
    storage.write_text(paths.html, page.evaluation_report(record, images))
    storage.write_text(paths.markdown, markdown(record))
    storage.write_json(paths.json, record.model_dump(mode="json"))


def markdown(record: EvaluationRecord) -> str:
    """The evaluation as a person reads it in a terminal or on a code host."""
    names = page.run_names(record)
    lines = [f"# {' and '.join(names)} on the {record.split} split of {storage.name(record.dataset)}", ""]
    lines += [*md.table(page.run_columns(record), page.run_cells(record)), "", *(f"- {note}" for note in page.notes(record))]
    for run, name in zip(record.runs, names, strict=True):
        lines += ["", f"## {name}", "", *md.table(page.CLASS_COLUMNS, page.class_cells(run))]
        if run.confused:
            lines += ["", *md.table(page.PAIR_COLUMNS, page.pair_cells(run))]
    lines += ["", "## Made with", "", "```", record.command, "```", ""]
    return "\n".join(lines)
