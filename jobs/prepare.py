"""spark-submit jobs/prepare.py: a table of image URLs, CIFAR-10 or a folder becomes a dataset. Kept short: the work is in the library."""

from __future__ import annotations

from collections.abc import Sequence

from slotwise import config
from slotwise.pipelines import prepare
from slotwise.settings.prepare import PrepareSettings


def main(arguments: Sequence[str]) -> None:
    settings = prepare.check(config.load(PrepareSettings, arguments))
    with prepare.start_session(settings) as spark:
        record = prepare.prepare(spark, settings)
    print(prepare.describe(record, str(settings.dataset)), flush=True)


if __name__ == "__main__":
    config.run_job(main)
