"""CIFAR-10 as Parquet of image bytes (also in Hugging Face's layout) or as the official binary batches."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from slotwise import storage
from slotwise.contracts.catalogue import Status
from slotwise.errors import DataError, UsageError
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources.rows import existing_input, numbered

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_SIDE = 32
_RECORD_BYTES = 1 + 3 * _SIDE * _SIDE
_RECORDS_AT_A_TIME = 1000
_ACCEPTED = "a directory with *.parquet (columns image or img, and label) or data_batch_*.bin and test_batch.bin"


def catalogue(spark: SparkSession, settings: PrepareSettings) -> DataFrame:
    """The catalogue of CIFAR-10; the official split is kept, and `train` rows are still to be divided.

    Raises:
        UsageError: the input holds neither layout.
        DataError: a binary batch is cut off.
    """
    uri = existing_input(settings)
    names = [storage.name(uri)] if not storage.is_directory(uri) else storage.children(uri)
    if any(name.endswith(".bin") for name in names):
        rows = _binary_batches(spark, uri, names)
    elif any(name.endswith(".parquet") for name in names) or storage.is_directory(uri):
        rows = _parquet(spark, uri)
    else:
        raise UsageError("The input is not CIFAR-10", received=f"--input {uri}", accepted=_ACCEPTED)
    known = F.col("label_index").between(0, len(NAMES) - 1)
    label = F.array(*(F.lit(name) for name in NAMES))[F.col("label_index").cast("int")]
    return numbered(rows).select(
        "row",
        "id",
        F.when(known, label).alias("label"),
        F.lit(None).cast("string").alias("url"),
        "image",
        "split",
        F.when(F.col("image").isNull(), Status.MISSING_IMAGE.value).when(known.isNull() | ~known, Status.MISSING_CATEGORY.value).alias("status"),
        F.lit(None).cast("string").alias("error"),
    )


def _parquet(spark: SparkSession, uri: str) -> DataFrame:
    """Rows id, image, label_index, split of Parquet files."""
    try:
        table = spark.read.option("recursiveFileLookup", True).option("pathGlobFilter", "*.parquet").parquet(storage.for_spark(uri, pattern=True))
    except Exception as error:  # Spark has no narrower class for "no Parquet file here"
        raise UsageError("The input is not CIFAR-10", received=f"--input {uri}", accepted=_ACCEPTED) from error
    image = next((name for name in ("image", "img") if name in table.columns), None)
    if image is None or "label" not in table.columns:
        raise UsageError("The Parquet input lacks columns", received=", ".join(table.columns), accepted="image or img, and label")
    is_struct = isinstance(table.schema[image].dataType, StructType)
    file = F.col("_metadata.file_name")
    split = F.lower("split") if "split" in table.columns else F.when(file.startswith("test"), "test").otherwise("train")
    place = F.concat_ws("/", file, F.col("_metadata.row_index").cast("string"))
    return table.select(
        (F.col("path") if "path" in table.columns else place).alias("id"),
        (F.col(f"{image}.bytes") if is_struct else F.col(image)).alias("image"),
        F.col("label").cast("int").alias("label_index"),
        _known_split(split).alias("split"),
    )


def _known_split(split: Column) -> Column:
    return F.when(split.isin("val", "valid", "validation"), "validation").when(split == "test", "test").otherwise("train")


def _binary_batches(spark: SparkSession, uri: str, names: list[str]) -> DataFrame:
    """Rows of the official binary version (https://www.cs.toronto.edu/~kriz/cifar.html), each image as lossless PNG."""
    files = [uri] if not storage.is_directory(uri) else [storage.join(uri, name) for name in names if name.endswith("_batch.bin") or name.startswith("data_batch_")]
    for file in files:
        if storage.size(file) % _RECORD_BYTES:
            raise DataError(f"{file} is cut off: its {storage.size(file)} bytes are not whole records of {_RECORD_BYTES}")
    schema = "id string, image binary, label_index int, split string"
    return spark.read.format("binaryFile").load([storage.for_spark(file, pattern=True) for file in files]).select("path", "content").mapInArrow(_records, schema)


def _records(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for path, content in zip(batch.column("path").to_pylist(), batch.column("content").to_pylist(), strict=True):
            name = path.rpartition("/")[2].removesuffix(".bin")
            split = "test" if name.startswith("test") else "train"
            count = len(content) // _RECORD_BYTES
            for start in range(0, count, _RECORDS_AT_A_TIME):
                rows = range(start, min(start + _RECORDS_AT_A_TIME, count))
                records = [content[row * _RECORD_BYTES : (row + 1) * _RECORD_BYTES] for row in rows]
                columns = [[f"{split}/{name}/{row:05d}" for row in rows], [_png(record[1:]) for record in records], [record[0] for record in records], [split] * len(rows)]
                types = (pa.string(), pa.binary(), pa.int32(), pa.string())
                arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, names=["id", "image", "label_index", "split"])


def _png(planes: bytes) -> bytes:
    """One record's red, green and blue planes as PNG."""
    from PIL import Image

    bands = [Image.frombytes("L", (_SIDE, _SIDE), planes[start : start + _SIDE * _SIDE]) for start in range(0, len(planes), _SIDE * _SIDE)]
    out = io.BytesIO()
    Image.merge("RGB", bands).save(out, "PNG", compress_level=1)
    return out.getvalue()
