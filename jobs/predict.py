"""spark-submit jobs/predict.py: classify a folder, a Parquet or a table of URLs with a run's model. Kept short: the work is in the library."""

from __future__ import annotations

from collections.abc import Sequence

from slotwise import config
from slotwise.pipelines import predict
from slotwise.settings.predict import PredictSettings


def main(arguments: Sequence[str]) -> None:
    job = predict.check(config.load(PredictSettings, arguments))
    with predict.start_session(job) as spark:
        predicted = predict.predict(spark, job)
    print(predict.describe(predicted, job.settings.output), flush=True)


if __name__ == "__main__":
    config.run_job(main)
