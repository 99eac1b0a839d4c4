"""The page of an export: a run's model in other formats beside the original, and how each is called."""

from __future__ import annotations

from slotwise import storage
from slotwise.contracts.export import ExportRecord, ModelRecord, TensorRecord
from slotwise.report import charts, fragments, wording
from slotwise.report.page import Section, page

COLUMNS = (
    "Format",
    "Size",
    "Share of the original",
    "Test accuracy",
    "Points lost",
    "Agreement",
    "One image alone",
    "Speed-up",
    "One of 32 images",
    "Speed-up at 32",
)
FILE_COLUMNS = ("Format", "File", "SHA-256", "Takes", "Gives")
MISSING_COLUMNS = ("Format", "Why not")


def export_report(record: ExportRecord) -> str:
    """`OUTPUT/export.html` as one self-contained HTML page."""
    sections = [
        Section("Result", _headline(record) + fragments.table(COLUMNS, cells(record)) + fragments.paragraphs(*notes(record))),
        Section("What it costs", fragments.figures(_pictures(record))),
        Section("How to call them", fragments.table(FILE_COLUMNS, file_cells(record), texts=2) + fragments.paragraphs(*calling_notes(record))),
    ]
    if record.missing:
        sections.append(Section("Not made", fragments.table(MISSING_COLUMNS, missing_cells(record), texts=2)))
    sections.append(Section("Made with", fragments.code(record.command) + fragments.paragraphs(f"on {record.created}.")))
    return page(title(record), sections)


def title(record: ExportRecord) -> str:
    return f"{storage.name(record.run)} in {wording.count(len(record.models), 'other format')}"


def cells(record: ExportRecord) -> list[list[str]]:
    """For the original and each format one text for each of `COLUMNS`."""
    return [_cells(model, record.original) for model in (record.original, *record.models)]


def file_cells(record: ExportRecord) -> list[list[str]]:
    """For each format one text for each of `FILE_COLUMNS`."""
    return [[model.format, *_file(model), _tensor(model.takes), _tensor(model.gives)] for model in record.models]


def missing_cells(record: ExportRecord) -> list[list[str]]:
    """For each format that was not made one text for each of `MISSING_COLUMNS`."""
    return [[each.format, each.reason] for each in record.missing]


def notes(record: ExportRecord) -> list[str]:
    """What a reader has to know to take the table rightly."""
    calibrated = f" Formats in whole numbers were calibrated on {wording.count(record.calibration_images, 'validation image')}." if record.calibration_images else ""
    return [
        f"{record.original.format} is the run's model.keras, called as a compiled TensorFlow function in the arithmetic that it was trained in; the others compute in float32 or less.",
        f"Accuracy, and agreement with the class that the original names: {wording.count(record.images, 'image')} of the test split of {record.dataset}.{calibrated}",
        f"Times are medians, from pixels in memory to probabilities in memory, of all models in turn on {wording.count(record.cores, 'thread')}; ± is half of the distance of the quartiles.",
    ]


def calling_notes(record: ExportRecord) -> list[str]:
    """How the files are used."""
    height, width, channels = record.image_shape
    return [
        f"All take pixels as decoded, 0 to 255, {height} high and {width} wide, {'grey' if channels == 1 else 'RGB'}; what training did to them before the first layer is in the files. None stands for the number of images.",
        "All give probabilities; where these are whole numbers, the probability is (number - zero point) × scale.",
        f"Output i is the probability of class i of: {', '.join(record.class_names)}.",
        f"The original has SHA-256 {record.model_sha256}; the dataset's fingerprint is {record.dataset_fingerprint}.",
    ]


def _cells(model: ModelRecord, original: ModelRecord) -> list[str]:
    is_other = model is not original
    return [
        model.format,
        f"{model.bytes / 1e6:.2f} MB",
        f"{model.bytes / original.bytes:.2f}" if is_other else wording.ABSENT,
        wording.percent(model.accuracy),
        f"{100 * (original.accuracy - model.accuracy):+.2f}" if is_other else wording.ABSENT,
        wording.percent(model.agreement) if is_other else wording.ABSENT,
        *(text for batch in (1, 32) for text in (_time(model, batch), f"{original.seconds(batch) / model.seconds(batch):.2f}×" if is_other else wording.ABSENT)),
    ]


def _time(model: ModelRecord, batch: int) -> str:
    time = next(time for time in model.times if time.batch == batch)
    return f"{1000 * time.median:.3f} ± {1000 * (time.high - time.low) / 2:.3f} ms"


def _file(model: ModelRecord) -> tuple[str, str]:
    """Its name and checksum, or the name of the directory of several."""
    first, *others = model.files
    return (f"{first.path.partition('/')[0]}/", "of each file in export.json") if others else (first.path, first.sha256)


def _tensor(tensor: TensorRecord) -> str:
    shape = ", ".join(map(str, tensor.shape))
    scaled = f", scale {tensor.scale:.6g}, zero point {tensor.zero_point}" if (tensor.scale, tensor.zero_point) != (1.0, 0) else ""
    return f"{tensor.dtype} [{shape}]{scaled}"


def _headline(record: ExportRecord) -> str:
    smallest = min(record.models, key=lambda model: model.bytes)
    fastest = min(record.models, key=lambda model: model.seconds(1))
    return fragments.headline(
        {
            "test accuracy of the original": wording.percent(record.original.accuracy),
            f"smallest: {smallest.format}": f"{smallest.bytes / 1e6:.2f} MB",
            f"fastest for one image: {fastest.format}": f"{1000 * fastest.seconds(1):.2f} ms",
        }
    )


def _pictures(record: ExportRecord) -> dict[str, charts.Figure]:
    models = (record.original, *record.models)
    worth = {"accuracy": [model.accuracy for model in models], "agreement": [model.agreement for model in models]}
    costs = {
        ("time", "ms for one image alone"): [1000 * model.seconds(1) for model in models],
        ("size", "size in MB"): [model.bytes / 1e6 for model in models],
    }
    names = [model.format for model in models]
    return {
        f"{what.capitalize()} against {cost}": charts.named_points(list(zip(names, x, [100 * share for share in y], strict=True)), f"{what} in %", label)
        for what, y in worth.items()
        for (cost, label), x in costs.items()
    }
