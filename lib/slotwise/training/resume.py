"""Whether a run may go on from a checkpoint: the data and the settings that decide its weights have to be the same."""

from __future__ import annotations

from typing import Any

from slotwise.contracts.job import TrainingJob
from slotwise.errors import DataError, UsageError
from slotwise.settings.train import TrainSettings
from slotwise.training.checkpoints import Progress

# What the weights depend on, but for the learning rate, which may be lowered to save a run.
_FIXED_FOR_A_RUN = {
    "model", "model_parameters", "batch_size", "optimizer", "momentum", "schedule", "decay_rate", "warmup_epochs", "label_smoothing",
    "precision", "limit", "steps_per_epoch", "train_on", "augment", "seed",
}  # fmt: skip


def fixed_settings(job: TrainingJob) -> dict[str, Any]:
    """The settings that cannot change within a run, as JSON values."""
    # Half a cosine ends with the last epoch; the other schedules do not depend on how many there are.
    along_epochs = {"epochs"} if job.settings.schedule == "cosine" else set()
    return job.settings.model_dump(mode="json", include=_FIXED_FOR_A_RUN | along_epochs)


def check_resumable(progress: Progress, job: TrainingJob, fingerprint: str) -> None:
    """Compares a checkpoint's progress with the job that is to go on from it.

    Args:
        fingerprint: that of the dataset as it is now.

    Raises:
        DataError: the dataset has changed.
        UsageError: a setting has.
    """
    if progress.dataset_fingerprint != fingerprint:
        raise DataError(f"The run at {job.run} was trained on other data than {job.dataset} holds now")
    for name, value in fixed_settings(job).items():
        # A setting that the run began without had no other value than its default.
        then = progress.settings.get(name, TrainSettings.model_fields[name].default)
        if then != value:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError("A resumed run keeps its settings", received=f"{flag} {value}", accepted=f"{flag} {then}, as the run began")
