"""spark-submit jobs/doctor.py: is this cluster fit for a first run, and if not, what to change? Kept short: the work is in the library."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from slotwise import config
from slotwise.errors import DataError
from slotwise.pipelines import doctor
from slotwise.settings.doctor import DoctorSettings


def main(arguments: Sequence[str]) -> None:
    settings = config.load(DoctorSettings, arguments)
    record = doctor.run(settings, shlex.join(["spark-submit", "jobs/doctor.py", *arguments]))
    print(doctor.describe(record), flush=True)
    if failed := record.named("fail"):
        raise DataError(f"This cluster is not fit for it: {', '.join(failed)}")


if __name__ == "__main__":
    config.run_job(main)
