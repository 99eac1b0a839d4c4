"""spark-submit jobs/train_distributed.py: train a prepared dataset on executor slots. Kept short: the work is in the library."""

from __future__ import annotations

from collections.abc import Sequence

from slotwise import config
from slotwise.pipelines import train
from slotwise.settings.train import TrainSettings


def main(arguments: Sequence[str]) -> None:
    record = train.run(config.load(TrainSettings, arguments))
    print(train.describe(record), flush=True)


if __name__ == "__main__":
    config.run_job(main)
