"""`OUTPUT/evaluation.json`: one or more runs side by side on one split of a dataset, class by class."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

VERSION = 1


class ClassMetrics(BaseModel):
    """One class by its own images and by those taken for it; shares are 0 to 1, and 0 where nothing was taken for the class."""

    model_config = ConfigDict(frozen=True)

    name: str
    images: int
    precision: float
    """Share of the images taken for the class that are of it."""
    recall: float
    """Share of the images of the class that were taken for it."""
    f1: float


class ConfusedPair(BaseModel):
    """Images of one class that were taken for another."""

    model_config = ConfigDict(frozen=True)

    true: str
    predicted: str
    images: int
    share: float
    """Of the images of the true class, 0 to 1."""


class ReliabilityBin(BaseModel):
    """The images whose highest probability lies above `low`, up to `high`; means are None where there are none."""

    model_config = ConfigDict(frozen=True)

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


class ExampleRecord(BaseModel):
    """One image with the most probable classes and their probabilities, highest first."""

    model_config = ConfigDict(frozen=True)

    id: str
    true: str
    predicted: str
    top: list[tuple[str, float]]


class Curves(BaseModel):
    """One value per epoch, from the run's record; None where it was not finite or not measured."""

    model_config = ConfigDict(frozen=True)

    loss: list[float | None]
    accuracy: list[float | None]
    validation_loss: list[float | None]
    validation_accuracy: list[float | None]


class EvaluatedRun(BaseModel):
    """One run on the split; lists over classes are in the order of `EvaluationRecord.class_names`."""

    model_config = ConfigDict(frozen=True)

    uri: str
    model: str
    engine: str
    slots: int
    seed: int | None
    images: int
    accuracy: float
    top_k_accuracy: float
    """Share of the images whose class is among the k most probable."""
    loss: float
    """Mean cross-entropy, as in `run.json`."""
    precision: float
    """This and the next two are means over the classes, each counting alike."""
    recall: float
    f1: float
    expected_calibration_error: float
    """Guo et al. 2017, over `reliability`."""
    classes: list[ClassMetrics]
    confusion: list[list[int]]
    """`confusion[i][j]`: images of class i taken for class j; of each class `EvaluationRecord.confusion_per_class` at most."""
    confused: list[ConfusedPair]
    """Over all images, most first."""
    reliability: list[ReliabilityBin]
    wrong: list[ExampleRecord]
    """The mistakes of the highest probability."""
    right: list[ExampleRecord]
    """Drawn by the hash of the id."""
    curves: Curves
    seconds: float
    """Of the whole evaluation, loading the model included."""
    images_per_second: float


class EvaluationRecord(BaseModel):
    """The whole of `evaluation.json`."""

    model_config = ConfigDict(frozen=True)

    version: int
    created: str
    command: str
    """What made this evaluation, as typed."""
    dataset: str
    dataset_fingerprint: str
    split: str
    images: int
    class_names: list[str]
    top_k: int
    confusion_per_class: int | None
    """None where the confusion matrices count all images."""
    runs: list[EvaluatedRun]
