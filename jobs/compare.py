"""spark-submit jobs/compare.py: 1 slot against N, time and accuracy. Kept short: the work is in the library."""

from __future__ import annotations

from collections.abc import Sequence

from slotwise import compare, config
from slotwise.contracts.paths import ComparisonPaths
from slotwise.pipelines import compare as pipeline
from slotwise.settings.compare import CompareSettings


def main(arguments: Sequence[str]) -> None:
    settings = config.load(CompareSettings, arguments)
    pipeline.run_all(pipeline.check(settings))
    record = pipeline.finish(settings, ["spark-submit", "jobs/compare.py", *arguments])
    print(compare.markdown(record))
    print(f"report: {ComparisonPaths(settings.output).html}", flush=True)


if __name__ == "__main__":
    config.run_job(main)
