"""spark-submit jobs/tune.py: search the best settings, one trial per slot. Kept short: the work is in the library."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from slotwise import config
from slotwise.contracts.paths import SearchPaths
from slotwise.pipelines import tune
from slotwise.settings.tune import TuneSettings
from slotwise.tuning.write import markdown


def main(arguments: Sequence[str]) -> None:
    settings = config.load(TuneSettings, arguments)
    record = tune.run(settings, shlex.join(["spark-submit", "jobs/tune.py", *arguments]))
    print(markdown(record))
    print(f"report: {SearchPaths(settings.output).html}\nnext:", *record.commands, sep="\n  ", flush=True)


if __name__ == "__main__":
    config.run_job(main)
