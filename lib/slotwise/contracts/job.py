"""What the driver hands to each slot's training process, and what comes back."""

from __future__ import annotations

import signal
from enum import IntEnum

from pydantic import BaseModel, ConfigDict

from slotwise.contracts.run import EpochRecord, Position
from slotwise.settings.train import TrainSettings


class TrainingJob(BaseModel):
    """A training that is ready to start: the same text for every slot."""

    model_config = ConfigDict(frozen=True)

    settings: TrainSettings
    """With `dataset`, `run` and `model` filled in."""
    resume: bool
    name: str = ""
    """What tells it from other trainings at the same time, in front of all that it prints."""

    @property
    def before_lines(self) -> str:
        return f"{self.name} | " if self.name else ""

    @property
    def dataset(self) -> str:
        assert self.settings.dataset is not None
        return self.settings.dataset

    @property
    def run(self) -> str:
        assert self.settings.run is not None
        return self.settings.run

    @property
    def model(self) -> str:
        assert self.settings.model is not None
        return self.settings.model


class TrainingResult(BaseModel):
    """What the chief slot measured; the same numbers on every slot."""

    model_config = ConfigDict(frozen=True)

    epochs: list[EpochRecord]
    best_epoch: int
    test_loss: float
    test_accuracy: float
    test_images: int
    parameters: int
    inference_seconds: float | None
    """Median for one image alone; measured on the chief slot only."""
    resumed_from: list[Position]
    versions: dict[str, str]
    began: float
    """When the chief slot's process began, in seconds since 1970."""
    starting: dict[str, float]
    """Where its seconds before the end of the first step went."""


class SlotExit(IntEnum):
    """Exit codes of a slot's training process."""

    DONE = 0
    FAILED = 1
    # Not this slot's own fault: another one went away, or never came.
    PEER_LOST = 75
    # By a signal to the driver; a checkpoint holds all that was done.
    STOPPED = 76
    # Ended by an alarm, the one thing that reaches a process while it waits in TensorFlow; the number is `subprocess`'s for a signal.
    RENDEZVOUS_TIMEOUT = -signal.SIGALRM


class SlotFailure(BaseModel):
    """Why a slot's process ended: `RUN/failures/slot-N.json`."""

    model_config = ConfigDict(frozen=True)

    slot: int
    host: str
    exit_code: int
    explained: bool
    """Whether `message` is one of slotwise's own errors, which needs no traceback."""
    message: str
    is_lost: bool
    """Whether the process was killed, hung or lost its peers, rather than failed by itself."""
    tail: list[str]
    """The last lines that the process printed."""
    time: float
    """Seconds since 1970, by the slot's own clock."""
