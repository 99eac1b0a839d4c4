"""Settings of the doctor job."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from slotwise import storage
from slotwise.config import Settings, option
from slotwise.errors import UsageError
from slotwise.settings.types import Uri


class DoctorSettings(Settings):
    """What the cluster is to be fit for."""

    job: ClassVar[str] = "doctor"
    sections: ClassVar[tuple[str, ...]] = ("doctor",)
    summary: ClassVar[str] = "Look at a cluster before the first run on it: each check with what was found and what to change; exit code 1 if one fails."
    examples: ClassVar[str] = """\
  spark-submit jobs/doctor.py --slots 2
  spark-submit --master spark://host:7077 jobs/doctor.py --slots 2 --dataset hdfs://host:9000/datasets/demo --run hdfs://host:9000/runs/demo
  spark-submit --master yarn --num-executors 4 jobs/doctor.py --slots 4 --run hdfs://host:9000/runs/demo --output hdfs://host:9000/doctor.json"""

    slots: int = option(1, "processes that are to train together", accepted="a whole number from 1", metavar="N", ge=1)
    cores_per_slot: int = option(1, "processor cores of each slot", accepted="a whole number from 1", metavar="C", ge=1)
    use_gpu: bool = option(False, "the slots are to train on GPUs", accepted="true or false")
    unencrypted_gradients: bool = option(False, "training will be told the same: gradients may travel in clear", accepted="true or false")
    dataset: Uri | None = option(None, "where a dataset is or is to go", accepted="a path or URI", metavar="URI")
    run: Uri | None = option(None, "where a run is to go", accepted="a path or URI", metavar="URI")
    output: Uri | None = option(None, "a JSON file for the findings too; replaced if it is there", accepted="a path or URI that ends in .json", metavar="URI")

    @model_validator(mode="after")
    def _check(self) -> DoctorSettings:
        if self.output is not None and not self.output.endswith(".json"):
            raise UsageError("The findings are a JSON file", received=f"--output {self.output}", accepted="a path or URI that ends in .json")
        return self

    @property
    def places(self) -> list[str]:
        """The directories in which dataset and run are to appear, each once."""
        return list(dict.fromkeys(storage.parent(uri) for uri in (self.dataset, self.run) if uri is not None))
