"""spark-submit jobs/study.py: a whole study, from images to the comparison. Kept short: the work is in the library."""

from __future__ import annotations

from collections.abc import Sequence

from slotwise import compare, config
from slotwise.contracts.paths import ComparisonPaths
from slotwise.pipelines import study
from slotwise.settings.study import StudySettings


def main(arguments: Sequence[str]) -> None:
    settings = config.load(StudySettings, arguments)
    record = study.run(settings, study.check(settings), ["spark-submit", "jobs/study.py", *arguments])
    print(compare.markdown(record))
    print(f"report: {ComparisonPaths(settings.output).html}", flush=True)


if __name__ == "__main__":
    config.run_job(main)
