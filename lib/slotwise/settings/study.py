"""Settings of the study job: those of prepare and of a comparison that does its own runs, together."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from pydantic import model_validator

from slotwise.config import Settings
from slotwise.errors import UsageError
from slotwise.settings.compare import CompareSettings, ComparisonSettings
from slotwise.settings.prepare import PrepareSettings
from slotwise.settings.training import check_batch_size

SettingsT = TypeVar("SettingsT", bound=Settings)


class StudySettings(PrepareSettings, ComparisonSettings):
    """What to prepare, how to train on it, and what to hold the result against."""

    job: ClassVar[str] = "study"
    sections: ClassVar[tuple[str, ...]] = ("prepare", "training", "compare", "study")
    summary: ClassVar[str] = "From images to the comparison in one go: prepare a dataset, train on each number of slots, compare. What is finished is kept."
    examples: ClassVar[str] = """\
  spark-submit jobs/study.py --config conf/studies/fashion-orca.toml --input fashion-mnist
  spark-submit jobs/study.py --config conf/studies/covers-mazzon.toml
  spark-submit jobs/study.py --source folder --input photos --slots 1,2 --epochs 20 --output workspace/studies/photos"""

    @model_validator(mode="after")
    def _check_study(self) -> StudySettings:
        check_batch_size(self.batch_size, self.logical_shards)
        if max(self.slots) > self.logical_shards:
            raise UsageError("Each slot needs at least one logical shard", received=f"--slots {max(self.slots)} --logical-shards {self.logical_shards}", accepted=f"1 to {self.logical_shards} slots")
        return self

    def preparation(self) -> PrepareSettings:
        """The part that prepares, with every default filled in."""
        return self._part(PrepareSettings).resolved()

    def comparison(self) -> CompareSettings:
        """The part that trains and compares, on the dataset prepared."""
        # What is there already is kept unless it is to be replaced: a study that broke off goes on with the same command.
        return self._part(CompareSettings).model_copy(update={"dataset": self.preparation().dataset, "resume": not self.overwrite})

    def _part(self, model: type[SettingsT]) -> SettingsT:
        return model(**{name: getattr(self, name) for name in model.model_fields if name in type(self).model_fields})
