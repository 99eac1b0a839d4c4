"""`OUTPUT/export.json`: a run's model in other formats, how to call each, and what each is worth beside the original."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

VERSION = 1

ORIGINAL = "keras"
"""What tables call the run's own model, as a compiled function."""


class FileRecord(BaseModel):
    """One file; `path` is below the export, or the URI of what is not in it."""

    model_config = ConfigDict(frozen=True)

    path: str
    bytes: int
    sha256: str


class TensorRecord(BaseModel):
    """What a model takes or gives: the value is `(number - zero_point) * scale`."""

    model_config = ConfigDict(frozen=True)

    dtype: str
    shape: list[int | None]
    """None stands for the number of images."""
    scale: float = 1.0
    zero_point: int = 0


class TimeRecord(BaseModel):
    """Seconds per image, from pixels in memory to probabilities in memory: the median over the rounds and its quartiles."""

    model_config = ConfigDict(frozen=True)

    batch: int
    median: float
    low: float
    high: float


class ModelRecord(BaseModel):
    """The model in one format."""

    model_config = ConfigDict(frozen=True)

    format: str
    """A name of `slotwise.settings.export.FormatName`, or ORIGINAL."""
    files: list[FileRecord]
    bytes: int
    takes: TensorRecord
    """Pixels as decoded, 0 to 255, [images, height, width, channels]."""
    gives: TensorRecord
    """Probabilities, [images, classes]."""
    accuracy: float
    agreement: float
    """Share of the images for which it names the original's class."""
    times: list[TimeRecord]

    def seconds(self, batch: int) -> float:
        """The median per image at a batch size that was measured."""
        return next(time.median for time in self.times if time.batch == batch)


class MissingRecord(BaseModel):
    """A format that there is no file of, and why."""

    model_config = ConfigDict(frozen=True)

    format: str
    reason: str


class ExportRecord(BaseModel):
    """The whole of `export.json`."""

    model_config = ConfigDict(frozen=True)

    version: int
    created: str
    command: str
    """What made this export, as typed."""
    run: str
    model: str
    model_sha256: str
    """Of the run's `model.keras`."""
    class_names: list[str]
    """Output i of every model is the probability of `class_names[i]`."""
    image_shape: tuple[int, int, int]
    dataset: str
    dataset_fingerprint: str
    images: int
    """Of the test split, on which accuracy and agreement were measured."""
    calibration_images: int
    """Of the validation split; 0 where no format needed any."""
    cores: int
    """Threads that each model had where it was timed."""
    versions: dict[str, str]
    original: ModelRecord
    models: list[ModelRecord]
    missing: list[MissingRecord]
