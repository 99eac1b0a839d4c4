"""Settings of the tune job."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from slotwise.config import option
from slotwise.errors import UsageError
from slotwise.settings.training import Engine, TrainingSettings
from slotwise.settings.types import Uri

Kind = Literal["grid", "random", "hyperband", "bayesian"]


class TuneSettings(TrainingSettings):
    """What to search, and the settings that all trials share."""

    job: ClassVar[str] = "tune"
    sections: ClassVar[tuple[str, ...]] = ("training", "tune")
    summary: ClassVar[str] = "Search the best settings: KerasTuner chooses, a training on one slot tries each choice, as many at the same time as there are slots."
    examples: ClassVar[str] = """\
  spark-submit jobs/tune.py --epochs 5
  spark-submit jobs/tune.py --dataset workspace/datasets/demo --space covers --slots 2 --output workspace/search-of-covers
  spark-submit jobs/tune.py --space my-space.toml --oracle bayesian --max-trials 20 --output workspace/search-by-bayes
  spark-submit --master spark://host:7077 jobs/tune.py --dataset hdfs://host:9000/datasets/demo --output hdfs://host:9000/search --resume"""

    space: str = option("covers", "search space: a TOML file that gives settings, or model-parameters.NAME, their values = […] or a min and a max; or covers: filters 24, 32, 40 × learning rate 1e-4, 5e-4, 1e-3", accepted="covers, or a TOML file", metavar="FILE")
    oracle: Kind = option("grid", "what chooses; hyperband gives the better trials more epochs, up to --epochs, and they go on from where they ended", accepted="grid, random, hyperband or bayesian", metavar="NAME")
    max_trials: int | None = option(None, "try N choices at most (default: the whole grid, what hyperband takes, or 10)", accepted="a whole number from 1", metavar="N", ge=1)
    dataset: Uri | None = option(None, "the dataset (default: the one prepared last under workspace/datasets)", accepted="a prepared dataset", metavar="URI")
    output: Uri = option("workspace/search", "where the search and its trials go", accepted="a path or URI", metavar="URI")
    slots: int | None = option(None, "trials at the same time (default: as many as the cluster has slots)", accepted="a whole number from 1", metavar="N", ge=1)
    engine: Engine = option("tensorflow", "what trains", accepted="tensorflow or torch", metavar="NAME")
    patience: int | None = option(2, "end a trial after that many epochs without a lower validation loss", accepted="a whole number from 1", metavar="P", ge=1)
    resume: bool = option(False, "go on with the search: trials that have ended, well or not, are kept, the others go on from their checkpoints", accepted="true or false")
    overwrite: bool = option(False, "replace a search that is there already", accepted="true or false")

    @model_validator(mode="after")
    def _check_search(self) -> TuneSettings:
        if self.resume and self.overwrite:
            raise UsageError("--resume and --overwrite exclude each other", received="both", accepted="one of them")
        if self.train_on != "train":
            raise UsageError("Trials are told apart by validation images that are not trained on", received=f"--train-on {self.train_on}", accepted="--train-on train; the final training may have both")
        return self
