"""From a run's model and a DataFrame to that DataFrame with predictions; the work is done when these are asked for."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame

from slotwise.contracts.prediction import ANSWER_SCHEMA, ImageSource
from slotwise.download.fetch import FetchOptions
from slotwise.errors import UsageError
from slotwise.formats.ddl import columns_of
from slotwise.inference import model_file
from slotwise.inference.column import prediction
from slotwise.inference.model_file import ModelFile
from slotwise.inference.preparation import Preparation
from slotwise.inference.task import Classification
from slotwise.inference.worker import send
from slotwise.pipelines.predict import classes_kept
from slotwise.settings.predict import FrameSettings
from slotwise.sources import unlabelled

_ANSWER = "_slotwise_answer"


def predict(frame: DataFrame, settings: FrameSettings) -> DataFrame:
    """The same rows with the columns of ANSWER_SCHEMA beside their own.

    Raises:
        UsageError: the run has no model, or fewer classes than asked for; the DataFrame has no images, or columns of these names already.
        DataError: the model or the run's record is damaged.
    """
    model = model_file.read(str(settings.run))
    top_k = classes_kept(settings, model)
    images, source = unlabelled.images_of(frame, settings)
    taken = {name.lower() for name in frame.columns} & columns_of(ANSWER_SCHEMA).keys()
    if taken:
        raise UsageError("The DataFrame has columns of the predictions' names already", received=", ".join(sorted(taken)), accepted="a DataFrame in which they are renamed or dropped")
    answer = answers(frame, images, model, settings, top_k=top_k, source=source)
    return frame.withColumn(_ANSWER, answer).select("*", f"{_ANSWER}.*").drop(_ANSWER)


def answers(frame: DataFrame, images: Column, model: ModelFile, settings: FrameSettings, *, top_k: int, source: ImageSource) -> Column:
    """Structs of ANSWER_SCHEMA for a column of image files or URLs.

    How many tasks will fetch at a time is not known: each gets its core's part of the connections to one host, one at the least.
    """
    spark = frame.sparkSession
    per_host = max(1, settings.per_host // spark.sparkContext.defaultParallelism)
    prepare = Preparation(model.image_shape, settings.max_pixels, FetchOptions.of(settings), settings.threads, per_host, source)
    return prediction(prepare, Classification(send(spark, model), top_k, settings.batch_size))(images)
