"""Petastorm's metadata around Parquet shards, so that plain `petastorm.make_reader` decodes them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any

from pyspark.sql import SparkSession

from slotwise import storage
from slotwise.errors import UsageError


def require() -> None:
    """Sees that petastorm is there, without loading it.

    Raises:
        UsageError: it is not installed.
    """
    if find_spec("petastorm") is None:
        raise UsageError("Parquet datasets need petastorm", received="--format parquet", accepted="pip install 'slotwise[petastorm]', or --format tfrecord")


@contextmanager
def materialize(spark: SparkSession, uri: str, image_shape: tuple[int, ...]) -> Iterator[None]:
    """Runs petastorm's `materialize_dataset` around the writing of shards below `uri`.

    On leaving it, `_common_metadata` holds the schema (id, label, image of uint8 [height, width, 3], or [height, width] for grey) and the row groups.
    """
    from petastorm.etl.dataset_metadata import materialize_dataset

    # Petastorm's own way to HDFS is libhdfs, a native library that neither Spark nor pip brings.
    factory = partial(_petastorm_filesystem, uri)
    manager = materialize_dataset(spark, storage.for_spark(uri), _unischema(image_shape), filesystem_factory=factory)
    with _without_deprecations():
        manager.__enter__()
    yield
    with _without_deprecations():
        manager.__exit__(None, None, None)


@contextmanager
def _without_deprecations() -> Iterator[None]:
    """Petastorm lives on what pyarrow has deprecated; each call would say so, to people who cannot change it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _petastorm_filesystem(uri: str) -> Any:
    with _without_deprecations():
        if storage.is_local(uri):
            from pyarrow.filesystem import LocalFileSystem

            return LocalFileSystem()
        from slotwise.export.old_filesystem import OldFileSystem

        return OldFileSystem(storage.filesystem(uri)[0])


def _unischema(image_shape: tuple[int, ...]) -> Any:
    import numpy as np
    from petastorm.codecs import CompressedImageCodec, ScalarCodec
    from petastorm.unischema import Unischema, UnischemaField
    from pyspark.sql.types import LongType, StringType

    return Unischema(
        "Sample",
        [
            UnischemaField("id", np.str_, (), ScalarCodec(StringType()), False),
            UnischemaField("label", np.int64, (), ScalarCodec(LongType()), False),
            UnischemaField("image", np.uint8, image_shape, CompressedImageCodec("jpeg"), False),
        ],
    )
