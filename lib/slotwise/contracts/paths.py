"""Every file of a dataset, a run and of reports by name, so that no path is put together elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from slotwise import storage


@dataclass(frozen=True)
class DatasetPaths:
    """Files of a dataset; `root` is its URI."""

    root: str

    @property
    def record(self) -> str:
        return storage.join(self.root, "dataset.json")

    @property
    def explore(self) -> str:
        return storage.join(self.root, "explore")

    @property
    def rows(self) -> str:
        """Parquet table with the end of every input row: row, id, label, split, status, error."""
        return storage.join(self.root, "rows")

    @property
    def failed(self) -> str:
        """Beside the dataset: how every row ended in an attempt that made none."""
        return f"{self.root}.failed"

    def split(self, split: str) -> str:
        return storage.join(self.root, split)

    def shard(self, file: str) -> str:
        return storage.join(self.root, file)


def shard_file(split: str, shard: int, extension: str) -> str:
    """Path of a logical shard below its dataset."""
    return f"{split}/shard-{shard:05d}.{extension}"


@dataclass(frozen=True)
class RunPaths:
    """Files of a run; `root` is its URI."""

    root: str

    @property
    def record(self) -> str:
        return storage.join(self.root, "run.json")

    @property
    def model(self) -> str:
        return storage.join(self.root, "model.keras")

    @property
    def checkpoints(self) -> str:
        return storage.join(self.root, "checkpoints")

    @property
    def audit(self) -> str:
        return storage.join(self.root, "audit")

    @property
    def tensorboard(self) -> str:
        return storage.join(self.root, "tensorboard")

    def audit_epoch(self, epoch: int) -> str:
        """Parquet table of what an epoch (from 1) fed: step, slot, shard, record."""
        return storage.join(self.audit, f"epoch-{epoch:05d}.parquet")

    def audit_ids(self, shard: int) -> str:
        """Parquet table of a training shard's ids in the order of its records."""
        return storage.join(self.audit, "ids", f"shard-{shard:05d}.parquet")

    @property
    def stop(self) -> str:
        """There while the slots are asked to leave a checkpoint and end."""
        return storage.join(self.root, "stop")

    @property
    def lock(self) -> str:
        """There while a driver is at work on the run."""
        return storage.join(self.root, "running.json")

    @property
    def report(self) -> str:
        return storage.join(self.root, "report.html")

    @property
    def export(self) -> str:
        return storage.join(self.root, "export")

    @property
    def failures(self) -> str:
        return storage.join(self.root, "failures")

    def failure(self, slot: int) -> str:
        return storage.join(self.failures, f"slot-{slot}.json")


@dataclass(frozen=True)
class _ReportPaths:
    """One report as a page, as tables and as a record; `root` is the URI of their directory."""

    root: str
    stem: ClassVar[str]

    @property
    def json(self) -> str:
        return self._file("json")

    @property
    def markdown(self) -> str:
        return self._file("md")

    @property
    def html(self) -> str:
        return self._file("html")

    def _file(self, ending: str) -> str:
        return storage.join(self.root, f"{self.stem}.{ending}")


class ComparisonPaths(_ReportPaths):
    """Files of a comparison."""

    stem = "comparison"


class EvaluationPaths(_ReportPaths):
    """Files of an evaluation."""

    stem = "evaluation"


class SearchPaths(_ReportPaths):
    """Files of a search."""

    stem = "tune"

    @property
    def state(self) -> str:
        return storage.join(self.root, "search.json")

    @property
    def best(self) -> str:
        """The best trial's settings, as `train_distributed --config` takes them."""
        return storage.join(self.root, "best.toml")

    @property
    def lock(self) -> str:
        """There while a driver is at work on the search."""
        return storage.join(self.root, "running.json")

    @property
    def trials(self) -> str:
        return storage.join(self.root, "trials")

    def trial(self, number: int) -> str:
        """The run of a trial, by its number from 1."""
        return storage.join(self.trials, f"{number:03d}")


class ExportPaths(_ReportPaths):
    """Files of an export, beside those of its formats."""

    stem = "export"
