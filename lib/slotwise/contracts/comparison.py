"""`OUTPUT/comparison.json`: runs of one dataset and model side by side, one row per engine and slot count."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from slotwise.contracts.run import Position

VERSION = 1


class ComparisonRow(BaseModel):
    """The repeats of one (model, engine, slots) together.

    Means are over the repeats; a `_std` is their sample standard deviation (divisor n - 1), None for a single repeat.
    Whatever is measured against one slot is None where no run on one slot of the same engine is among the runs.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    engine: str
    slots: int
    repeats: int
    accuracy_mean: float
    """Accuracy on the test split, 0 to 1."""
    accuracy_std: float | None
    validation_accuracy_mean: float | None
    """At the epoch whose weights were kept."""
    loss_mean: float | None
    """Loss on the test split; None where a run's loss is not finite."""
    loss_std: float | None
    seconds_mean: float
    """Training only, as `train_seconds` of the runs."""
    seconds_std: float | None
    seconds_per_epoch_mean: float
    inference_seconds_mean: float | None
    """For one image alone, on the chief slot; None where a run did not measure it."""
    total_seconds_mean: float
    """From the launch of the slots to their end."""
    images_per_second: float
    images_per_second_std: float | None
    speedup: float | None
    """Seconds on one slot divided by seconds on these."""
    efficiency: float | None
    """`speedup / slots`; 1 is ideal."""
    accuracy_difference_points: float | None
    """100 × (accuracy here - accuracy on one slot)."""
    paired_seeds: int
    """Seeds that were trained both on one slot and on these; 0 for the one-slot row itself."""
    accuracy_difference_interval: tuple[float, float] | None
    """95 % confidence interval, in points, of the mean difference between runs of the same seed; needs two such seeds."""


class ComparedRun(BaseModel):
    """One run of the comparison; losses have one value per epoch, None where it was not finite or not measured."""

    model_config = ConfigDict(frozen=True)

    uri: str
    engine: str
    slots: int
    seed: int | None
    accuracy: float
    loss: float | None
    seconds: float
    images_per_second: float
    epoch_loss: list[float | None]
    epoch_validation_loss: list[float | None]
    resumed_from: list[Position]


class ComparisonRecord(BaseModel):
    """The whole of `comparison.json`."""

    model_config = ConfigDict(frozen=True)

    version: int
    created: str
    command: str
    """What made this comparison, as typed."""
    published: str
    """The published work that this is held against, or nothing."""
    published_accuracy: dict[str, float]
    """Its test accuracy, 0 to 1, by number of slots or `ENGINE-SLOTS`."""
    dataset: str
    dataset_fingerprint: str
    model: str
    epochs: int
    settings: dict[str, Any]
    """The training settings that all runs share, as far as they decide whether runs can be compared."""
    rows: list[ComparisonRow]
    runs: list[ComparedRun]
    hosts: list[str]
    """Every machine a slot of these runs was on."""
    versions: dict[str, list[str]]
    """For each package the versions that the runs were made with: more than one where they differ."""
