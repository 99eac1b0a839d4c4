"""spark-submit jobs/audit.py --runs URI: was every sample fed exactly once? Kept short: the work is in the library."""

from __future__ import annotations

from collections.abc import Sequence

from slotwise import config
from slotwise.errors import DataError
from slotwise.settings.audit import AuditSettings
from slotwise.training import audit


def main(arguments: Sequence[str]) -> None:
    settings = config.load(AuditSettings, arguments)
    records = {run: audit.check_run(run) for run in settings.runs}
    for run, record in records.items():
        print(f"{run}: {record}", flush=True)
    if faulty := [run for run, record in records.items() if record.faults]:
        raise DataError(f"The audit is not clean: {', '.join(faulty)}")


if __name__ == "__main__":
    config.run_job(main)
