"""spark-submit jobs/prepare.py: a table of image URLs, CIFAR-10 or a folder becomes a dataset. Kept short: the work is in the library."""

from __future__ import annotations

from collections.abc import Sequence

from slotwise import config
from slotwise.pipelines import prepare
from slotwise.settings.prepare import PrepareSettings


def main(arguments: Sequence[str]) -> None:
    record = prepare.run(config.load(PrepareSettings, arguments))
    print(prepare.describe(record), flush=True)


if __name__ == "__main__":
    config.run_job(main)
