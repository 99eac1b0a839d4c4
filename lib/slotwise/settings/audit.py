"""Settings of the audit job."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from slotwise.config import Settings, option
from slotwise.errors import UsageError
from slotwise.settings.types import Uri


class AuditSettings(Settings):
    """Which runs to audit."""

    job: ClassVar[str] = "audit"
    sections: ClassVar[tuple[str, ...]] = ("audit",)
    summary: ClassVar[str] = "Say whether every epoch of a run fed every training sample exactly once, whatever happened to its slots; needs no Spark."
    examples: ClassVar[str] = """\
  spark-submit jobs/audit.py --runs workspace/runs/demo-covers-2slot-1
  spark-submit jobs/audit.py --runs hdfs://host:9000/runs/a hdfs://host:9000/runs/b"""

    runs: list[Uri] = option([], "finished or unfinished runs", accepted="URIs of runs", metavar="URI")

    @model_validator(mode="after")
    def _check(self) -> AuditSettings:
        if not self.runs:
            raise UsageError("No run is named", received="no --runs", accepted="--runs URI …")
        return self
