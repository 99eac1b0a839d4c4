"""Settings of the train_distributed job."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from slotwise import storage
from slotwise.config import Settings, option
from slotwise.errors import UsageError
from slotwise.settings.types import CommaSeparated, Uri

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16", "float64"]
Augmentation = Literal["flip", "crop", "shift", "rotate", "shear", "zoom", "brightness"]


class TrainSettings(Settings):
    """What to train, on which slots."""

    job: ClassVar[str] = "train_distributed"
    summary: ClassVar[str] = "Train a CNN on the executor slots of a Spark cluster; the model does not depend on how many."
    examples: ClassVar[str] = """\
  spark-submit jobs/train_distributed.py --slots 2
  spark-submit jobs/train_distributed.py --dataset workspace/datasets/demo --model covers --slots 1 --epochs 10
  spark-submit --master spark://host:7077 jobs/train_distributed.py --dataset hdfs://host:9000/datasets/cifar10 --model simple --slots 2
  spark-submit jobs/train_distributed.py --slots 2 --run workspace/runs/mine --resume"""

    dataset: Uri | None = option(None, "the dataset (default: the one prepared last under workspace/datasets)", accepted="a prepared dataset", metavar="URI")
    run: Uri | None = option(None, "where the run goes (default: workspace/runs/DATASET-MODEL-SLOTSslot-N)", accepted="a path or URI", metavar="URI")
    slots: int = option(1, "processes that train together", accepted="a whole number from 1", metavar="N", ge=1)
    cores_per_slot: int = option(1, "processor cores of each slot", accepted="a whole number from 1", metavar="C", ge=1)
    model: str | None = option(None, "the model (default: covers, or simple for images below 48 pixels)", accepted="covers, fashion or simple", metavar="NAME")
    engine: Literal["tensorflow"] = option("tensorflow", "what trains", accepted="tensorflow", metavar="NAME")
    epochs: int = option(8, "times that every training image is seen", accepted="a whole number from 1", metavar="E", ge=1)
    batch_size: int = option(64, "images per step over all slots", accepted="a multiple of the dataset's logical shards", metavar="B", ge=1)
    optimizer: Literal["adam", "sgd"] = option("adam", "what turns gradients into steps", accepted="adam or sgd", metavar="NAME")
    momentum: float = option(0.0, "momentum of sgd", accepted="a number from 0, below 1", metavar="M", ge=0, lt=1)
    learning_rate: float = option(0.001, "the optimizer's step size", accepted="a number above 0", metavar="R", gt=0)
    patience: int | None = option(None, "end early after that many epochs without a lower validation loss", accepted="a whole number from 1", metavar="P", ge=1)
    precision: Precision = option("float32", "arithmetic of the model", accepted="float32, mixed_bfloat16, mixed_float16 or float64", metavar="NAME")
    steps_per_epoch: int | None = option(None, "end each epoch after S steps", accepted="a whole number from 1", metavar="S", ge=1)
    augment: Annotated[list[Augmentation], CommaSeparated] = option([], "changes drawn anew for each image and epoch", accepted="flip, crop, shift, rotate, shear, zoom, brightness, with commas", metavar="A,B")
    seed: int = option(7, "seed of weights, order, augmentation and dropout", accepted="a whole number from 0 to 4294967295", metavar="S", ge=0, le=2**32 - 1)
    use_gpu: bool = option(False, "train on the GPUs that Spark assigns", accepted="true or false")
    resume: bool = option(False, "go on from the run's last checkpoint", accepted="true or false")
    overwrite: bool = option(False, "replace a run that is there already", accepted="true or false")
    local_cache: str | None = option(None, "directory on each executor's machine that keeps shards (default: the system's temporary directory)", accepted="a path", metavar="DIR")
    feed_memory: int = option(2048, "MiB of compressed images a slot may hold in memory; beyond it they are read from its local cache", accepted="MiB from 0", metavar="MIB", ge=0)
    checkpoint_seconds: float = option(30.0, "seconds between checkpoints within an epoch; each epoch ends with one anyway", accepted="seconds above 0", metavar="T", gt=0)
    checkpoint_steps: int | None = option(None, "steps between checkpoints within an epoch, whatever the time", accepted="a whole number from 1", metavar="S", ge=1)
    keep_checkpoints: int = option(2, "how many of the newest checkpoints stay, with the best weights", accepted="a whole number from 1", metavar="K", ge=1)
    restarts: int = option(3, "times the run is taken up again from its last checkpoint after slots were lost", accepted="a whole number from 0", metavar="R", ge=0)
    min_slots: int | None = option(None, "go on with as few as this where the cluster has lost some (default: as many as --slots)", accepted="a whole number from 1 up to --slots", metavar="M", ge=1)
    slot_timeout: int = option(60, "seconds without a sign of life after which a slot counts as lost", accepted="seconds from 5", metavar="SECONDS", ge=5)
    rendezvous_timeout: int = option(60, "seconds the slots may take to find each other", accepted="seconds from 5", metavar="SECONDS", ge=5)

    @model_validator(mode="after")
    def _check(self) -> TrainSettings:
        if self.resume and self.overwrite:
            raise UsageError("--resume and --overwrite exclude each other", received="both", accepted="one of them")
        if self.min_slots is not None and self.min_slots > self.slots:
            raise UsageError("--min-slots is more than --slots", received=f"{self.min_slots} and {self.slots}", accepted=f"--min-slots from 1 to {self.slots}")
        if self.momentum and self.optimizer != "sgd":
            raise UsageError("--momentum belongs to --optimizer sgd", received=f"--momentum {self.momentum} --optimizer {self.optimizer}", accepted="--optimizer sgd, or no --momentum")
        if self.resume and self.run is None:
            raise UsageError("--resume needs --run, the run to go on with", received="no --run", accepted="the URI of an earlier run")
        return self


def latest_dataset(workspace: str = "workspace/datasets") -> str:
    """The dataset whose record was written last in the default workspace.

    Raises:
        UsageError: nothing has been prepared there.
    """
    root = storage.normalise(workspace)
    found = [uri for uri in (storage.join(root, name) for name in storage.children(root) if not name.startswith(".")) if storage.exists(storage.join(uri, "dataset.json"))]
    if not found:
        raise UsageError("No dataset was named and none is prepared", received=f"nothing under {workspace}", accepted="--dataset URI, or run spark-submit jobs/prepare.py first")
    return max(found, key=lambda uri: str(storage.read_json(storage.join(uri, "dataset.json")).get("created", "")))
