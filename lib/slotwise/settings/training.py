"""Settings that every job which trains has: the model, how it learns, and how its slots are watched."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from slotwise.config import Settings, option
from slotwise.errors import UsageError
from slotwise.settings.types import CommaSeparated, KeyValues

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16", "float64"]
Augmentation = Literal["flip", "crop", "shift", "rotate", "shear", "zoom", "brightness"]
Schedule = Literal["constant", "exponential", "cosine"]
Engine = Literal["tensorflow", "torch"]


def check_batch_size(batch_size: int, logical_shards: int) -> None:
    """Sees that a step can take as many images from each logical shard as from any other.

    Raises:
        UsageError: it cannot.
    """
    if batch_size % logical_shards:
        lower = batch_size // logical_shards * logical_shards
        nearest = f"{lower} or {lower + logical_shards}" if lower else f"{logical_shards} or {2 * logical_shards}"
        raise UsageError(
            f"Every step takes the same number of images from each of the dataset's {logical_shards} logical shards",
            received=f"--batch-size {batch_size}",
            accepted=f"a multiple of {logical_shards}, for example {nearest}",
        )


class TrainingSettings(Settings):
    """What to train, whatever the dataset and the number of slots."""

    model: str | None = option(None, "the model: a name, or your own function of image shape and classes (default: covers, or simple for images below 48 pixels)", accepted="covers, fashion, leaf, resnet18, simple, or module:function", metavar="NAME")
    model_parameters: Annotated[dict[str, int | float | str], KeyValues] = option({}, "parameters of the model, for example filters=40,l2=0.001", accepted="name=value pairs, with commas", metavar="NAME=VALUE,…")
    epochs: int = option(8, "times that every training image is seen", accepted="a whole number from 1", metavar="E", ge=1)
    batch_size: int = option(64, "images per step over all slots", accepted="a multiple of the dataset's logical shards", metavar="B", ge=1)
    optimizer: Literal["adam", "sgd"] = option("adam", "what turns gradients into steps", accepted="adam or sgd", metavar="NAME")
    momentum: float = option(0.0, "momentum of sgd", accepted="a number from 0, below 1", metavar="M", ge=0, lt=1)
    learning_rate: float = option(0.001, "the optimizer's step size, where the schedule begins or, after a warm-up, gets to", accepted="a number above 0", metavar="R", gt=0)
    schedule: Schedule = option("constant", "how the learning rate goes on: constant, times --decay-rate each epoch, or down to 0 along half a cosine", accepted="constant, exponential or cosine", metavar="NAME")
    decay_rate: float | None = option(None, "what exponential multiplies the learning rate by over an epoch (default: 0.96)", accepted="a number above 0, at most 1", metavar="D", gt=0, le=1)
    warmup_epochs: float = option(0.0, "epochs in which the learning rate rises evenly from 0 first", accepted="a number from 0, below --epochs", metavar="W", ge=0)
    label_smoothing: float = option(0.0, "share of each label that is spread evenly over all classes", accepted="a number from 0, below 1", metavar="A", ge=0, lt=1)
    patience: int | None = option(None, "end early after that many epochs without a lower validation loss", accepted="a whole number from 1", metavar="P", ge=1)
    precision: Precision = option("float32", "arithmetic of the model", accepted="float32, mixed_bfloat16, mixed_float16 or float64", metavar="NAME")
    train_on: Literal["train", "train+validation"] = option("train", "which images; with those of validation too there is nothing to tell the best epoch by, and the last weights are kept", accepted="train or train+validation", metavar="SPLITS")
    limit: int | None = option(None, "train on N of the training images only, evenly from all logical shards", accepted="a whole number from the dataset's logical shards on", metavar="N", ge=1)
    steps_per_epoch: int | None = option(None, "end each epoch after S steps", accepted="a whole number from 1", metavar="S", ge=1)
    augment: Annotated[list[Augmentation], CommaSeparated] = option([], "changes drawn anew for each image and epoch", accepted="flip, crop, shift, rotate, shear, zoom, brightness, with commas", metavar="A,B")
    seed: int = option(7, "seed of weights, order, augmentation and dropout", accepted="a whole number from 0 to 4294967295", metavar="S", ge=0, le=2**32 - 1)
    cores_per_slot: int = option(1, "processor cores of each slot", accepted="a whole number from 1", metavar="C", ge=1)
    use_gpu: bool = option(False, "train on the GPUs that Spark assigns", accepted="true or false")
    unencrypted_gradients: bool = option(False, "let slots exchange gradients unencrypted on a cluster that encrypts or authenticates its own traffic", accepted="true or false")
    local_cache: str | None = option(None, "directory on each executor's machine that keeps shards (default: the system's temporary directory)", accepted="a path", metavar="DIR")
    feed_memory: int = option(2048, "MiB of images a slot may hold in memory: decoded if all of its own fit, else compressed, else read from its local cache", accepted="MiB from 0", metavar="MIB", ge=0)
    checkpoint_seconds: float = option(30.0, "seconds between checkpoints within an epoch; each epoch ends with one anyway", accepted="seconds above 0", metavar="T", gt=0)
    checkpoint_steps: int | None = option(None, "steps between checkpoints within an epoch, whatever the time", accepted="a whole number from 1", metavar="S", ge=1)
    keep_checkpoints: int = option(2, "how many of the newest checkpoints stay, with the best weights", accepted="a whole number from 1", metavar="K", ge=1)
    restarts: int = option(3, "times the run is taken up again from its last checkpoint after slots were lost", accepted="a whole number from 0", metavar="R", ge=0)
    slot_timeout: int = option(60, "seconds without a sign of life after which a slot counts as lost", accepted="seconds from 5", metavar="SECONDS", ge=5)
    rendezvous_timeout: int = option(60, "seconds the slots may take to find each other", accepted="seconds from 5", metavar="SECONDS", ge=5)

    @model_validator(mode="after")
    def _check_training(self) -> TrainingSettings:
        if self.momentum and self.optimizer != "sgd":
            raise UsageError("--momentum belongs to --optimizer sgd", received=f"--momentum {self.momentum} --optimizer {self.optimizer}", accepted="--optimizer sgd, or no --momentum")
        if self.decay_rate and self.schedule != "exponential":
            raise UsageError("--decay-rate belongs to --schedule exponential", received=f"--decay-rate {self.decay_rate} --schedule {self.schedule}", accepted="--schedule exponential, or no --decay-rate")
        if self.warmup_epochs and self.warmup_epochs >= self.epochs:
            raise UsageError("The warm-up is as long as the training", received=f"--warmup-epochs {self.warmup_epochs} --epochs {self.epochs}", accepted="--warmup-epochs below --epochs")
        if self.patience and self.train_on != "train":
            raise UsageError("--patience needs validation images that are not trained on", received=f"--patience {self.patience} --train-on {self.train_on}", accepted="--train-on train, or no --patience")
        return self
