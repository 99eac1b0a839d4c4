"""spark-submit jobs/predict.py: classify a folder, a Parquet or a table of URLs with a run's model. Kept short: the work is in the library."""

from __future__ import annotations

from collections.abc import Sequence

from slotwise import config
from slotwise.pipelines import predict
from slotwise.settings.predict import PredictSettings


def main(arguments: Sequence[str]) -> None:
    settings = config.load(PredictSettings, arguments)
    print(predict.describe(predict.run(settings), settings.output), flush=True)


if __name__ == "__main__":
    config.run_job(main)
