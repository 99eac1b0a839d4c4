"""Settings of the compare job."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import model_validator

from slotwise import storage
from slotwise.config import Settings, option
from slotwise.errors import UsageError
from slotwise.settings.types import CommaSeparated, Uri


class CompareSettings(Settings):
    """Which runs to put side by side, or which to do first."""

    job: ClassVar[str] = "compare"
    summary: ClassVar[str] = "Compare 1-slot and N-slot runs: accuracy, loss, time, images/s, speed-up, efficiency."
    examples: ClassVar[str] = """\
  spark-submit jobs/compare.py
  spark-submit jobs/compare.py --runs workspace/runs/a workspace/runs/b --output workspace/comparison
  spark-submit jobs/compare.py --dataset workspace/datasets/demo --slots 1,2 --repeats 3 --epochs 4"""

    runs: list[Uri] = option([], "finished runs (default: all comparable ones under workspace/runs)", accepted="URIs of finished runs", metavar="URI")
    output: Uri = option("workspace/comparison", "where the comparison goes", accepted="a path or URI", metavar="URI")
    dataset: Uri | None = option(None, "do the runs first, on this dataset", accepted="a prepared dataset", metavar="URI")
    slots: Annotated[list[int], CommaSeparated] = option([1, 2], "with --dataset: the slot counts to run, interleaved", accepted="whole numbers from 1, with commas", metavar="N,M", min_length=1)
    repeats: int = option(1, "with --dataset: runs of each slot count, with seeds seed, seed+1, …", accepted="a whole number from 1", metavar="R", ge=1)
    model: str | None = option(None, "with --dataset: the model", accepted="covers, fashion or simple", metavar="NAME")
    epochs: int = option(8, "with --dataset: epochs of each run", accepted="a whole number from 1", metavar="E", ge=1)
    batch_size: int = option(64, "with --dataset: images per step over all slots", accepted="a multiple of the dataset's logical shards", metavar="B", ge=1)
    learning_rate: float = option(0.001, "with --dataset: Adam's step size", accepted="a number above 0", metavar="R", gt=0)
    cores_per_slot: int = option(1, "with --dataset: processor cores of each slot", accepted="a whole number from 1", metavar="C", ge=1)
    seed: int = option(7, "with --dataset: seed of the first repeat", accepted="a whole number from 0", metavar="S", ge=0)
    overwrite: bool = option(False, "replace a comparison that is there already", accepted="true or false")

    @model_validator(mode="after")
    def _check(self) -> CompareSettings:
        if self.runs and self.dataset:
            raise UsageError("--runs and --dataset exclude each other", received="both", accepted="--runs to compare finished runs, --dataset to do them first")
        if min(self.slots) < 1:
            raise UsageError("The value of --slots is wrong", received=self.slots, accepted="whole numbers from 1, with commas")
        return self

    @property
    def run_directory(self) -> str:
        """Where runs done for this comparison are kept."""
        return storage.join(self.output, "runs")
