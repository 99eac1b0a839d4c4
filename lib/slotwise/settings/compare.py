"""Settings of the compare job."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import model_validator

from slotwise import storage
from slotwise.config import option
from slotwise.errors import UsageError
from slotwise.settings.training import Engine, TrainingSettings
from slotwise.settings.types import CommaSeparated, KeyValues, Uri


class ComparisonSettings(TrainingSettings):
    """Which runs a comparison does, where it keeps them, and what it is held against."""

    output: Uri = option("workspace/comparison", "where the comparison goes", accepted="a path or URI", metavar="URI")
    slots: Annotated[list[int], CommaSeparated] = option([1, 2], "slot counts of the runs that a comparison does itself, interleaved", accepted="whole numbers from 1, with commas", metavar="N,M", min_length=1)
    engines: Annotated[list[Engine], CommaSeparated] = option(["tensorflow"], "what trains them, one after the other", accepted="tensorflow or torch, with commas", metavar="NAME,…", min_length=1)
    repeats: int = option(1, "how many of each, with seeds seed, seed+1, …", accepted="a whole number from 1", metavar="R", ge=1)
    published: str = option("", "the published work that the result is to be held against", accepted="its name", metavar="NAME")
    published_accuracy: Annotated[dict[str, float], KeyValues] = option({}, "its test accuracy on so many slots, for example 1=0.709,2=0.676", accepted="[ENGINE-]SLOTS=SHARE pairs, with commas", metavar="SLOTS=SHARE,…")
    resume: bool = option(False, "keep the finished runs of this comparison and go on with the others", accepted="true or false")
    overwrite: bool = option(False, "replace what is there already", accepted="true or false")

    @model_validator(mode="after")
    def _check_comparison(self) -> ComparisonSettings:
        if min(self.slots) < 1:
            raise UsageError("The value of --slots is wrong", received=self.slots, accepted="whole numbers from 1, with commas")
        if self.resume and self.overwrite:
            raise UsageError("--resume and --overwrite exclude each other", received="both", accepted="one of them")
        return self

    @property
    def run_directory(self) -> str:
        """Where runs done for this comparison are kept."""
        return storage.join(self.output, "runs")


class CompareSettings(ComparisonSettings):
    """Which runs to put side by side, or which to do first."""

    job: ClassVar[str] = "compare"
    sections: ClassVar[tuple[str, ...]] = ("training", "compare")
    summary: ClassVar[str] = "Compare 1-slot and N-slot runs: accuracy, loss, time, images/s, speed-up, efficiency. What says how to train counts with --dataset only."
    examples: ClassVar[str] = """\
  spark-submit jobs/compare.py
  spark-submit jobs/compare.py --runs workspace/runs/a workspace/runs/b --output workspace/comparison
  spark-submit jobs/compare.py --dataset workspace/datasets/demo --slots 1,2 --repeats 3 --epochs 4"""

    runs: list[Uri] = option([], "finished runs (default: all comparable ones under workspace/runs)", accepted="URIs of finished runs", metavar="URI")
    dataset: Uri | None = option(None, "do the runs first, on this dataset", accepted="a prepared dataset", metavar="URI")

    @model_validator(mode="after")
    def _check_runs(self) -> CompareSettings:
        if self.runs and self.dataset:
            raise UsageError("--runs and --dataset exclude each other", received="both", accepted="--runs to compare finished runs, --dataset to do them first")
        return self
