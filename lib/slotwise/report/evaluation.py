"""The page of an evaluation: runs side by side, then each of them class by class, with examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slotwise import storage
from slotwise.contracts.evaluation import EvaluatedRun, EvaluationRecord, ExampleRecord
from slotwise.report import charts, fragments, wording
from slotwise.report.fragments import Picture
from slotwise.report.page import Section, page

CLASS_COLUMNS = ("Class", "Images", "Precision", "Recall", "F1")
PAIR_COLUMNS = ("True class", "Taken for", "Images", "Share of the class")

# A matrix of more classes is neither legible nor, with its square of cells, quickly shown.
_MOST_CLASSES = 60


def evaluation_report(record: EvaluationRecord, images: Mapping[str, bytes]) -> str:
    """`OUTPUT/evaluation.html` as one self-contained HTML page.

    Args:
        record: the evaluation.
        images: JPEGs of its examples by id.
    """
    names = run_names(record)
    sections = [
        Section("Result", _headline(record) + fragments.table(run_columns(record), run_cells(record)) + fragments.paragraphs(*notes(record))),
        Section("Learning", fragments.figures(_curves(record, names))),
    ]
    for run, name in zip(record.runs, names, strict=True):
        of = f" of {name}" if len(names) > 1 else ""
        sections += _run_sections(record, run, of, images)
    sections.append(Section("Made with", fragments.code(record.command) + fragments.paragraphs(f"on {record.created}.")))
    return page(f"{' and '.join(names)} on the {record.split} split of {storage.name(record.dataset)}", sections)


def run_names(record: EvaluationRecord) -> list[str]:
    """What to call the runs: the last part of their URI, or all of it where two share that."""
    names = [storage.name(run.uri) for run in record.runs]
    return names if len(set(names)) == len(names) else [run.uri for run in record.runs]


def run_columns(record: EvaluationRecord) -> list[str]:
    top = [f"Top-{record.top_k} accuracy"]
    return ["Run", "Model", "Engine", "Slots", "Seed", "Accuracy", *top, "Loss", "Precision", "Recall", "F1", "Calibration error", "Images/s"]


def run_cells(record: EvaluationRecord) -> list[list[str]]:
    """For each run one text for each of `run_columns`."""
    return [
        [
            name,
            run.model,
            run.engine,
            str(run.slots),
            wording.value(run.seed),
            wording.percent(run.accuracy),
            wording.percent(run.top_k_accuracy),
            wording.number(run.loss, 4),
            *(wording.percent(share) for share in (run.precision, run.recall, run.f1, run.expected_calibration_error)),
            wording.number(run.images_per_second, 0),
        ]
        for run, name in zip(record.runs, run_names(record), strict=True)
    ]


def class_cells(run: EvaluatedRun) -> list[list[str]]:
    """For each class one text for each of `CLASS_COLUMNS`."""
    return [[each.name, f"{each.images:,}", *(wording.percent(share) for share in (each.precision, each.recall, each.f1))] for each in run.classes]


def pair_cells(run: EvaluatedRun) -> list[list[str]]:
    """For each confused pair one text for each of `PAIR_COLUMNS`."""
    return [[pair.true, pair.predicted, f"{pair.images:,}", wording.percent(pair.share)] for pair in run.confused]


def notes(record: EvaluationRecord) -> list[str]:
    """What a reader has to know to take the tables rightly."""
    counted = "all images" if record.confusion_per_class is None else f"up to {wording.count(record.confusion_per_class, 'image')} of each class, drawn by hash"
    return [
        f"{wording.count(record.images, 'image')} of the {record.split} split of {record.dataset}.",
        "Precision, recall and F1 are means over the classes, each counting alike. The calibration error is the expected one of Guo et al. 2017.",
        f"The confusion matrix counts {counted}; all other figures count all images.",
    ]


def _headline(record: EvaluationRecord) -> str:
    best = max(record.runs, key=lambda run: run.accuracy)
    numbers = {
        "accuracy" if len(record.runs) == 1 else "highest accuracy": wording.percent(best.accuracy),
        f"top-{record.top_k} accuracy": wording.percent(best.top_k_accuracy),
        "loss": wording.number(best.loss),
        "calibration error": wording.percent(best.expected_calibration_error),
        "images": f"{record.images:,}",
    }
    return fragments.headline(numbers)


def _curves(record: EvaluationRecord, names: Sequence[str]) -> dict[str, charts.Figure]:
    losses, accuracies = [], []
    for colour, (run, name) in enumerate(zip(record.runs, names, strict=True)):
        curves = run.curves
        losses += [charts.Line(name, curves.loss, colour), charts.Line(None, curves.validation_loss, colour, dashed=True)]
        parts = ([None if value is None else 100 * value for value in values] for values in (curves.accuracy, curves.validation_accuracy))
        accuracies += [charts.Line(name if not dashed else None, values, colour, dashed) for dashed, values in zip((False, True), parts, strict=True)]
    return {
        "Loss per epoch: training solid, validation dashed": charts.curves(losses, "loss"),
        "Accuracy per epoch: training solid, validation dashed": charts.curves(accuracies, "accuracy in %"),
    }


def _run_sections(record: EvaluationRecord, run: EvaluatedRun, of: str, images: Mapping[str, bytes]) -> list[Section]:
    bins = [(each.low, each.high, each.accuracy) for each in run.reliability]
    pairs = fragments.table(PAIR_COLUMNS, pair_cells(run), texts=2) if run.confused else fragments.paragraphs("No image was taken for another class.")
    return [
        Section(f"Classes{of}", fragments.table(CLASS_COLUMNS, class_cells(run))),
        Section(f"Confusion{of}", _confusion(run, record.class_names, of)),
        Section(f"Most confused{of}", pairs),
        Section(f"Calibration{of}", fragments.figures({f"Reliability{of}: accuracy of the images of each confidence": charts.reliability(bins, "accuracy")})),
        Section(f"Wrong answers{of}", _pictures(run.wrong, images) + fragments.paragraphs("The mistakes that the model was surest of.")),
        Section(f"Right answers{of}", _pictures(run.right, images) + fragments.paragraphs("Drawn by the hash of their ids.")),
    ]


def _confusion(run: EvaluatedRun, names: Sequence[str], of: str) -> str:
    if len(names) > _MOST_CLASSES:
        return fragments.paragraphs(f"The matrix of {len(names):,} classes is in evaluation.json.")
    cells = [[name, *(f"{count:,}" for count in row)] for name, row in zip(names, run.confusion, strict=True)]
    picture = {f"Confusion{of}: rows are true classes, shaded by their shares": charts.matrix(run.confusion, names)}
    return fragments.figures(picture) + fragments.table(("True class", *names), cells)


def _pictures(examples: Sequence[ExampleRecord], images: Mapping[str, bytes]) -> str:
    if not examples:
        return fragments.paragraphs("None.")
    lines = [[f"{name} {wording.percent(chance)}" for name, chance in example.top] for example in examples]
    return fragments.pictures([Picture(images[example.id], f"{example.true}:", said) for example, said in zip(examples, lines, strict=True)])
