"""Settings of the train_distributed job."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from slotwise import storage
from slotwise.config import option
from slotwise.errors import UsageError
from slotwise.settings.training import Engine, TrainingSettings
from slotwise.settings.types import Uri


class TrainSettings(TrainingSettings):
    """What to train, on what, on which slots."""

    job: ClassVar[str] = "train_distributed"
    sections: ClassVar[tuple[str, ...]] = ("training", "train_distributed")
    summary: ClassVar[str] = "Train a CNN on the executor slots of a Spark cluster; the model does not depend on how many."
    examples: ClassVar[str] = """\
  spark-submit jobs/train_distributed.py --slots 2
  spark-submit jobs/train_distributed.py --dataset workspace/datasets/demo --model covers --slots 1 --epochs 10
  spark-submit --master spark://host:7077 jobs/train_distributed.py --dataset hdfs://host:9000/datasets/cifar10 --model simple --slots 2
  spark-submit jobs/train_distributed.py --slots 2 --run workspace/runs/mine --resume"""

    dataset: Uri | None = option(None, "the dataset (default: the one prepared last under workspace/datasets)", accepted="a prepared dataset", metavar="URI")
    run: Uri | None = option(None, "where the run goes (default: workspace/runs/DATASET-MODEL-SLOTSslot-N)", accepted="a path or URI", metavar="URI")
    slots: int = option(1, "processes that train together", accepted="a whole number from 1", metavar="N", ge=1)
    engine: Engine = option("tensorflow", "what trains", accepted="tensorflow or torch", metavar="NAME")
    resume: bool = option(False, "go on from the run's last checkpoint", accepted="true or false")
    overwrite: bool = option(False, "replace a run that is there already", accepted="true or false")
    mlflow_experiment: str | None = option(None, "send the run to this experiment of MLflow when it has ended: to the server that MLFLOW_TRACKING_URI names, else into workspace/mlflow", accepted="a name", metavar="NAME", min_length=1)
    min_slots: int | None = option(None, "go on with as few as this where the cluster has lost some (default: as many as --slots)", accepted="a whole number from 1 up to --slots", metavar="M", ge=1)

    @model_validator(mode="after")
    def _check(self) -> TrainSettings:
        if self.resume and self.overwrite:
            raise UsageError("--resume and --overwrite exclude each other", received="both", accepted="one of them")
        if self.min_slots is not None and self.min_slots > self.slots:
            raise UsageError("--min-slots is more than --slots", received=f"{self.min_slots} and {self.slots}", accepted=f"--min-slots from 1 to {self.slots}")
        if self.resume and self.run is None:
            raise UsageError("--resume needs --run, the run to go on with", received="no --run", accepted="the URI of an earlier run")
        return self


def latest_dataset(workspace: str = "workspace/datasets") -> str:
    """The dataset whose record was written last in the default workspace.

    Raises:
        UsageError: nothing has been prepared there.
    """
    root = storage.normalise(workspace)
    found = [uri for uri in (storage.join(root, name) for name in storage.finished(root)) if storage.exists(storage.join(uri, "dataset.json"))]
    if not found:
        raise UsageError("No dataset was named and none is prepared", received=f"nothing under {workspace}", accepted="--dataset URI, or run spark-submit jobs/prepare.py first")
    return max(found, key=lambda uri: str(storage.read_json(storage.join(uri, "dataset.json")).get("created", "")))
