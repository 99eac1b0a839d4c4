"""spark-submit jobs/export.py --run URI: a run's model in other formats, each measured beside it. Kept short: the work is in the library."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from slotwise import config
from slotwise.contracts.paths import ExportPaths
from slotwise.conversion.write import markdown
from slotwise.pipelines import convert
from slotwise.settings.export import ExportSettings


def main(arguments: Sequence[str]) -> None:
    settings = config.load(ExportSettings, arguments)
    record = convert.run(settings, shlex.join(["spark-submit", "jobs/export.py", *arguments]))
    print(markdown(record))
    print(f"report: {ExportPaths(convert.place(settings)).html}", flush=True)


if __name__ == "__main__":
    config.run_job(main)
