"""The source `fashion-mnist`: the four IDX files of Fashion-MNIST (Xiao et al. 2017), gzipped or not; its own test split is kept."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from slotwise import storage
from slotwise.errors import DataError, UsageError
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources.rows import class_name, png, with_splits

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_SPLITS = {"train": "train", "t10k": "test"}
_ACCEPTED = "a directory with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each plain or with .gz"
_RECORDS_A_BATCH = 500
# IDX (http://yann.lecun.com/exdb/mnist): two zero bytes, 8 for unsigned bytes, the number of dimensions, the size of each.
_UNSIGNED_BYTE = 8


def catalogue(spark: SparkSession, settings: PrepareSettings) -> DataFrame:
    """The catalogue of the files at `settings.input`, with `image` a grey PNG and `split` `train` or `test`.

    Raises:
        UsageError: one of the four files is missing.
        DataError: a file is damaged, or there are not as many labels as images.
    """
    parts, row = [], 0
    for prefix, split in _SPLITS.items():
        images, labels = (_file(str(settings.input), f"{prefix}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
        parts.append((images, labels, split, row))
        row += _images(images, labels)
    files = spark.createDataFrame(parts, "images string, labels string, split string, first_row long").repartition(len(parts))
    rows = files.mapInArrow(_rows, "row long, row_id string, split string, label int, raw binary, width int")
    # The PNG is a column of its own, so that counting labels does not draw 70,000 of them.
    image = F.pandas_udf(_pngs, "binary")(F.col("raw"), F.col("width"))  # type: ignore[call-overload]
    return with_splits(rows, row_id=F.col("row_id"), label=class_name(F.col("label"), CLASSES), image=image, split=F.col("split"))


def _file(directory: str, name: str) -> str:
    for uri in (storage.join(directory, name), storage.join(directory, f"{name}.gz")):
        if storage.exists(uri):
            return uri
    raise UsageError("The --input of source fashion-mnist lacks a file", received=f"no {name} or {name}.gz in {directory}", accepted=_ACCEPTED)


def _images(images: str, labels: str) -> int:
    """How many images a split has; read here, before Spark does, so that a damaged file ends the job with the file's name."""
    found, named = len(read_idx(images, 3)), len(read_idx(labels, 1))
    if found != named:
        raise DataError(f"{images} has {found:,} images, {labels} has {named:,} labels")
    return found


def read_idx(uri: str, dimensions: int) -> npt.NDArray[np.uint8]:
    """An IDX file of unsigned bytes as an array with that many dimensions.

    Raises:
        DataError: it is no such file, or is cut off.
    """
    content = storage.read_bytes(uri)
    try:
        content = gzip.decompress(content) if uri.endswith(".gz") else content
        zeros, kind, found = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{found}I", content, 4)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError(f"{uri} is damaged: {error}") from error
    if (zeros, kind, found) != (0, _UNSIGNED_BYTE, dimensions):
        raise DataError(f"{uri} is no IDX file of unsigned bytes in {dimensions} dimension{'s' if dimensions > 1 else ''}")
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * found)
    if values.size != np.prod(shape):
        raise DataError(f"{uri} is cut off: {values.size:,} bytes of values instead of {' × '.join(map(str, shape))}")
    return values.reshape(shape)


@dataclass(frozen=True)
class _Part:
    """One split: the URIs of its files, and the number of its first row."""

    images: str
    labels: str
    split: str
    first_row: int


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for part in (_Part(**row) for row in batch.to_pylist()):
            images, labels = read_idx(part.images, 3), read_idx(part.labels, 1)
            for start in range(0, len(images), _RECORDS_A_BATCH):
                numbers = range(start, min(start + _RECORDS_A_BATCH, len(images)))
                yield pa.RecordBatch.from_arrays(
                    [
                        pa.array([part.first_row + number for number in numbers], pa.int64()),
                        pa.array([f"{part.split}/{number}" for number in numbers], pa.string()),
                        pa.array([part.split] * len(numbers), pa.string()),
                        pa.array(labels[numbers.start : numbers.stop].astype(np.int32)),
                        pa.array([images[number].tobytes() for number in numbers], pa.binary()),
                        pa.array([images.shape[2]] * len(numbers), pa.int32()),
                    ],
                    names=["row", "row_id", "split", "label", "raw", "width"],
                )


def _pngs(raw: pd.Series, width: pd.Series) -> pd.Series:
    return pd.Series([png(np.frombuffer(pixels, np.uint8).reshape(-1, columns)) for pixels, columns in zip(raw, width, strict=True)])
