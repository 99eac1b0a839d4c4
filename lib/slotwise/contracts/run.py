"""`RUN/run.json`: what a training run was told, where it ran, and what came of it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from slotwise import storage
from slotwise.errors import DataError

VERSION = 1


class Position(BaseModel):
    """A place in a training: so many epochs are over, and so many steps of the next."""

    model_config = ConfigDict(frozen=True)

    epoch: int
    step: int

    def __str__(self) -> str:
        return f"epoch {self.epoch}" + (f" and {self.step} step{'s' if self.step > 1 else ''}" if self.step else "")


class EpochRecord(BaseModel):
    """One epoch over all slots; losses are means per sample, shares are of the epoch's training time (0 to 1)."""

    model_config = ConfigDict(frozen=True)

    epoch: int
    steps: int
    images: int
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    seconds: float
    """Training only; validation is in `validation_seconds`."""
    validation_seconds: float
    checkpoint_seconds: float
    """How long training stood still for checkpoints, which are written while it goes on."""
    images_per_second: float
    waiting_for_data_share: float
    all_reduce_share: float | None
    """What the sums over the slots take, measured apart and one after the other, of the epoch's time. None where it was not measured."""
    gradient_norm: float | None = None
    """Euclidean norm of one step's gradient, that of the last step but one; runs of earlier versions have none."""
    ended: float | None = None
    """When it was over, validation included, in seconds since 1970 by the chief slot's clock; runs of earlier versions have none."""


class SlotRecord(BaseModel):
    """Where one slot ran."""

    model_config = ConfigDict(frozen=True)

    slot: int
    host: str
    executor: str
    cores: int
    gpus: list[str]
    logical_shards: list[int]


class RestartRecord(BaseModel):
    """One time the run was taken up again after slots were lost."""

    model_config = ConfigDict(frozen=True)

    reason: str
    slots: int
    """Slots it went on with."""
    seconds: float
    """When they were launched again, since the launch of the first slots."""
    lost: float | None = None
    """When the driver noticed the loss, likewise; runs of earlier versions have none."""


class AuditRecord(BaseModel):
    """Whether every training sample was fed as often as it should have been, by what the slots wrote down step by step."""

    model_config = ConfigDict(frozen=True)

    samples: int
    """Samples of the training split."""
    epochs: int
    per_epoch: int
    """Samples that an epoch takes: all, unless `--steps-per-epoch` cuts it."""
    faults: list[str]
    """One line for each epoch that was not right, with the ids; empty when all were."""

    def __str__(self) -> str:
        if self.faults:
            return "\n".join(["NOT every sample was fed exactly once in each epoch:", *self.faults])
        times = f"in each of {self.epochs:,} epoch{'s' if self.epochs > 1 else ''}"
        if self.per_epoch < self.samples:
            return f"{self.per_epoch:,} of {self.samples:,} ids {times}, none twice"
        return f"each of {self.samples:,} ids exactly once {times}"


class RunRecord(BaseModel):
    """The whole of `run.json`; written once, when the run has ended well."""

    model_config = ConfigDict(frozen=True)

    version: int
    created: str
    dataset: str
    dataset_fingerprint: str
    model: str
    engine: str
    slots: int
    parameters: int
    """Trainable weights of the model."""
    epochs: list[EpochRecord]
    test_loss: float
    test_accuracy: float
    test_images: int
    best_epoch: int
    """The epoch (from 1) whose weights are in `model.keras`: the lowest validation loss."""
    train_seconds: float
    """Sum of the epochs' training seconds, the first traced step included."""
    inference_seconds: float | None = None
    """Median for one image alone, on the chief slot's cores; runs of earlier versions have none."""
    total_seconds: float
    """From the launch of the slots to their end."""
    launched: float | None = None
    """When that was, in seconds since 1970; runs of earlier versions have none."""
    images_per_second: float
    """Median over epochs after the first (the only one, if there is one)."""
    placement: list[SlotRecord]
    settings: dict[str, Any]
    versions: dict[str, str]
    resumed_from: list[Position]
    """Where each `--resume` and each restart went on."""
    restarts: list[RestartRecord]
    audit: AuditRecord
    starting: dict[str, float] = {}
    """Where the seconds from spark-submit, or from the call in a session that ran already, to the end of the first step went; of a run
    that was restarted, those of its last slots. Runs of earlier versions have none."""
    class_names: list[str]

    @property
    def uri(self) -> str:
        """Where the run was written."""
        return str(self.settings["run"])


def load(run: str) -> RunRecord:
    """The record of a finished run.

    Raises:
        DataError: there is no finished run, or its record is damaged or of another version.
    """
    uri = storage.join(run, "run.json")
    if not storage.exists(uri):
        raise DataError(f"{run} is not a finished run: it has no run.json")
    try:
        content = storage.read_json(uri)
        version = content.get("version") if isinstance(content, dict) else None
        if version != VERSION:
            raise DataError(f"The run at {run} has record version {version}; this slotwise reads version {VERSION}")
        return RunRecord.model_validate(content)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise DataError(f"{uri} is damaged at '{where}': {error.errors()[0]['msg']}") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{uri} is not JSON ({error})") from error
