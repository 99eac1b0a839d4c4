"""The source `cifar10`: Parquet of image bytes and labels in two layouts, or the official binary batches; its own split is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import IntegralType

from slotwise import storage
from slotwise.contracts.catalogue import Status
from slotwise.errors import DataError, UsageError
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources.numbering import numbered, placed
from slotwise.sources.reading import PARQUET, READ_ERRORS, unreadable
from slotwise.sources.rows import bytes_column, class_name, png, with_splits

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_ACCEPTED = "a directory or file of CIFAR-10: Parquet with image and label, or data_batch_*.bin and test_batch.bin"
_SIDE = 32
_RECORD = 1 + 3 * _SIDE * _SIDE
_RECORDS_A_BATCH = 500


def catalogue(spark: SparkSession, settings: PrepareSettings) -> DataFrame:
    """The catalogue of the files at `settings.input`, with `image` bytes and `split` `train`, `validation` or `test`.

    Parquet has a column `image` or `img` (bytes, or a struct with `bytes`) and a column `label` (a number); `label_name`, `split`
    and `path` are used where they are; of rows with the same path, the first is. Without `split` the file's name says it. Batches are turned into PNG, without loss.

    Raises:
        UsageError: there are no such files, or they lack a column.
        DataError: a file cannot be read, or a batch is cut off.
    """
    uri = str(settings.input)
    if not storage.exists(uri):
        raise UsageError("The --input of source cifar10 does not exist", received=uri, accepted=_ACCEPTED)
    batches = _batches(uri)
    return _from_batches(spark, uri, batches) if batches else _from_parquet(spark, uri)


# Parquet


def _from_parquet(spark: SparkSession, uri: str) -> DataFrame:
    table = _table(spark, uri)
    image, label = _image_column(uri, table), _label_column(uri, table)
    rows = placed(table.withColumn("_image", image).withColumn("_label", label).withColumn("_split", _named_split(table)))
    path = F.col("path") if "path" in table.columns else F.lit(None).cast("string")
    rows = rows.select("_image", "_label", "_split", path.alias("_path"), *rows.columns[-3:])
    try:
        rows = numbered(spark, rows)
    except READ_ERRORS as error:
        raise unreadable(uri, PARQUET, error) from error
    split = F.coalesce("_split", _split_of_file(F.col("file")))
    stem = F.regexp_replace("file", r"\.parquet$", "")
    number = F.concat_ws("/", F.coalesce(split, F.lit("all")), stem, F.col("place").cast("string"))
    found = with_splits(rows, row_id=F.coalesce(F.when(F.col("_path") != "", F.col("_path")), number), label=F.col("_label"), image=F.col("_image"), split=split)
    return _repeats_aside(found) if "path" in table.columns else found


def _repeats_aside(rows: DataFrame) -> DataFrame:
    """The catalogue with every candidate set aside whose id an earlier one has; only ids travel for that, no image does."""
    candidates = rows.where(F.col("status").isNull()).groupBy("id").agg(F.count(F.lit(1)).alias("_times"), F.min("row").alias("_first"))
    repeated = F.broadcast(candidates.where(F.col("_times") > 1).select("id", "_first"))
    status = F.when(F.col("status").isNull() & (F.col("row") > F.col("_first")), Status.DUPLICATE.value).otherwise(F.col("status"))
    return rows.join(repeated, "id", "left").withColumn("status", status).select(*rows.columns)


def _table(spark: SparkSession, uri: str) -> DataFrame:
    reader = spark.read.option("recursiveFileLookup", "true")
    if storage.is_directory(uri):
        reader = reader.option("pathGlobFilter", "*.parquet")
    try:
        return reader.parquet(storage.for_spark(uri, pattern=True))
    except READ_ERRORS as error:
        if isinstance(error, PySparkException) and error.getCondition() == "UNABLE_TO_INFER_SCHEMA":
            raise UsageError("The --input of source cifar10 holds neither Parquet nor binary batches", received=uri, accepted=_ACCEPTED) from error
        raise unreadable(uri, PARQUET, error) from error


def _image_column(uri: str, table: DataFrame) -> Column:
    column = bytes_column(table)
    if column is None:
        raise _lacking(uri, table, "'image' or 'img' of bytes")
    return column


def _label_column(uri: str, table: DataFrame) -> Column:
    if "label_name" in table.columns:
        return F.col("label_name").cast("string")
    if "label" not in table.columns:
        raise _lacking(uri, table, "'label' or 'label_name'")
    if not isinstance(table.schema["label"].dataType, IntegralType):
        return F.col("label").cast("string")
    names = F.array(*(F.lit(name) for name in CLASSES))
    return F.when(F.col("label").between(0, len(CLASSES) - 1), names[F.col("label").cast("int")])


def _lacking(uri: str, table: DataFrame, what: str) -> UsageError:
    return UsageError(f"The Parquet at {uri} has no column {what}", received=", ".join(table.columns), accepted=_ACCEPTED)


def _named_split(table: DataFrame) -> Column:
    if "split" not in table.columns:
        return F.lit(None).cast("string")
    return _known_split(F.lower(F.col("split")))


def _split_of_file(file: Column) -> Column:
    return _known_split(F.regexp_extract(F.lower(file), r"^(train|test|validation|valid|val)\b", 1))


def _known_split(text: Column) -> Column:
    return F.when(text.isin("train", "test"), text).when(text.isin("validation", "valid", "val"), "validation")


# Binary batches


@dataclass(frozen=True)
class _Batch:
    """One file of 3,073-byte records: a label byte, then 1,024 bytes each of red, green and blue."""

    uri: str
    split: str
    first_row: int
    records: int


def _batches(uri: str) -> list[_Batch]:
    files = [storage.join(uri, name) for name in storage.children(uri)] if storage.is_directory(uri) else [uri]
    batches, row = [], 0
    for file in files:
        name = storage.name(file)
        if name.endswith(".bin") and name.startswith(("data_batch", "test_batch")):
            records, rest = divmod(storage.size(file), _RECORD)
            if rest or not records:
                raise DataError(f"{file} is cut off: {storage.size(file)} bytes are not a number of records of {_RECORD} bytes")
            batches.append(_Batch(file, "test" if name.startswith("test") else "train", row, records))
            row += records
    return batches


def _from_batches(spark: SparkSession, uri: str, batches: list[_Batch]) -> DataFrame:
    names = _names(storage.join(uri if storage.is_directory(uri) else storage.parent(uri), "batches.meta.txt"))
    listing = [(batch.uri, batch.split, batch.first_row) for batch in batches]
    files = spark.createDataFrame(listing, "uri string, split string, first_row long").repartition(len(batches))
    records = files.mapInArrow(_records, "row long, row_id string, split string, label int, raw binary")
    # The PNG is a column of its own, so that counting labels does not draw 60,000 of them.
    image = F.pandas_udf(_pngs, "binary")(F.col("raw"))  # type: ignore[call-overload]
    return with_splits(records, row_id=F.col("row_id"), label=class_name(F.col("label"), names), image=image, split=F.col("split"))


def _names(uri: str) -> list[str]:
    if not storage.exists(uri):
        return list(CLASSES)
    return [line.strip() for line in storage.read_text(uri).splitlines() if line.strip()]


def _records(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for file in batch.to_pylist():
            content = np.frombuffer(storage.read_bytes(file["uri"]), np.uint8).reshape(-1, _RECORD)
            stem = f"{file['split']}/{storage.name(file['uri']).removesuffix('.bin')}"
            for start in range(0, len(content), _RECORDS_A_BATCH):
                part = content[start : start + _RECORDS_A_BATCH]
                numbers = range(start, start + len(part))
                yield pa.RecordBatch.from_arrays(
                    [
                        pa.array([file["first_row"] + number for number in numbers], pa.int64()),
                        pa.array([f"{stem}/{number}" for number in numbers], pa.string()),
                        pa.array([file["split"]] * len(part), pa.string()),
                        pa.array(part[:, 0].astype(np.int32)),
                        pa.array([record[1:].tobytes() for record in part], pa.binary()),
                    ],
                    names=["row", "row_id", "split", "label", "raw"],
                )


def _pngs(raw: pd.Series) -> pd.Series:
    return raw.map(lambda pixels: png(np.frombuffer(pixels, np.uint8).reshape(3, _SIDE, _SIDE).transpose(1, 2, 0)))
