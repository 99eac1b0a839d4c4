"""Petastorm's metadata around Parquet shards, so that plain `petastorm.make_reader` decodes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from slotwise import storage
from slotwise.errors import UsageError


@contextmanager
def materialize(spark: SparkSession, uri: str, image_size: tuple[int, int]) -> Iterator[None]:
    """Runs petastorm's `materialize_dataset` around the writing of shards below `uri`.

    On leaving it, `_common_metadata` holds the schema (id, label, image of uint8 [height, width, 3]) and the row groups.

    Raises:
        UsageError: petastorm is not installed.
    """
    try:
        from petastorm.etl.dataset_metadata import materialize_dataset
    except ImportError as error:
        raise UsageError("Parquet datasets need petastorm", received=f"not importable: {error}", accepted="pip install 'slotwise[petastorm]', or --format tfrecord") from error
    # Petastorm's own way to HDFS is libhdfs, a native library that neither Spark nor pip brings.
    with materialize_dataset(spark, uri, _unischema(image_size), filesystem_factory=partial(_petastorm_filesystem, uri)):
        yield


def _petastorm_filesystem(uri: str) -> Any:
    return storage.filesystem(uri)[0]


def _unischema(image_size: tuple[int, int]) -> Any:
    import numpy as np
    from petastorm.codecs import CompressedImageCodec, ScalarCodec
    from petastorm.unischema import Unischema, UnischemaField
    from pyspark.sql.types import LongType, StringType

    height, width = image_size
    return Unischema(
        "Sample",
        [
            UnischemaField("id", np.str_, (), ScalarCodec(StringType()), False),
            UnischemaField("label", np.int64, (), ScalarCodec(LongType()), False),
            UnischemaField("image", np.uint8, (height, width, 3), CompressedImageCodec("jpeg"), False),
        ],
    )
