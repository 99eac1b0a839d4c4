"""Settings of the evaluate job."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from slotwise.config import Settings, option
from slotwise.errors import UsageError
from slotwise.settings.types import Uri


class EvaluateSettings(Settings):
    """Which runs to evaluate, and on what."""

    job: ClassVar[str] = "evaluate"
    sections: ClassVar[tuple[str, ...]] = ("evaluate",)
    summary: ClassVar[str] = "Evaluate runs side by side on a split of a dataset, on the executors: figures by class, confusion, calibration, examples."
    examples: ClassVar[str] = """\
  spark-submit jobs/evaluate.py --runs workspace/runs/demo-covers-2slot-1
  spark-submit jobs/evaluate.py --runs workspace/runs/a workspace/runs/b --confusion-per-class 100 --output workspace/evaluation-of-two
  spark-submit --master spark://host:7077 jobs/evaluate.py --runs hdfs://host:9000/runs/demo --split validation --output hdfs://host:9000/evaluation"""

    runs: list[Uri] = option([], "finished runs, to be put side by side", accepted="URIs of finished runs", metavar="URI")
    dataset: Uri | None = option(None, "a dataset of the same classes (default: that of the first run)", accepted="a prepared dataset", metavar="URI")
    split: Literal["train", "validation", "test"] = option("test", "which of its images", accepted="train, validation or test", metavar="NAME")
    output: Uri = option("workspace/evaluation", "where the evaluation goes", accepted="a path or URI", metavar="URI")
    top_k: int | None = option(None, "among how many of the most probable classes the right one has to be for the top-k accuracy (default: 5, or 2 of up to 5 classes)", accepted="a whole number from 1 to the number of classes", metavar="K", ge=1)
    confusion_per_class: int | None = option(None, "count N images of each class in the confusion matrix, drawn by the hash of their ids (default: all)", accepted="a whole number from 1", metavar="N", ge=1)
    examples_shown: int = option(12, "how many right, and how many wrong, answers to show", accepted="a whole number from 0 to 100", metavar="N", ge=0, le=100)
    batch_size: int = option(64, "images that the model takes at a time", accepted="a whole number from 1", metavar="B", ge=1)
    local_cache: str | None = option(None, "directory on each executor's machine that keeps shards (default: the system's temporary directory)", accepted="a path", metavar="DIR")
    overwrite: bool = option(False, "replace an evaluation that is there already", accepted="true or false")

    @model_validator(mode="after")
    def _check(self) -> EvaluateSettings:
        if not self.runs:
            raise UsageError("No run is named", received="no --runs", accepted="--runs URI …")
        if len(set(self.runs)) < len(self.runs):
            raise UsageError("A run is given more than once", received=", ".join(self.runs), accepted="each run once")
        return self
