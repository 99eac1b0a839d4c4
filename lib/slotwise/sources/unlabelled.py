"""Images to be classified, whose classes nobody knows: a folder, Parquet of bytes or URLs, or CSV of URLs, of any size."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from slotwise import storage
from slotwise.contracts.catalogue import Status
from slotwise.contracts.prediction import INPUT_SCHEMA, ImageSource
from slotwise.errors import UsageError
from slotwise.formats.ddl import arrow_schema, columns_of
from slotwise.settings.predict import FrameSettings, InputKind, PredictSettings
from slotwise.sources import layout, tables
from slotwise.sources.folder import is_visible_image
from slotwise.sources.reading import CSV, PARQUET, READ_ERRORS, reading, unreadable
from slotwise.sources.rows import bytes_column

ENDINGS: dict[InputKind, tuple[str, ...]] = {"images": tuple(f".{ending}" for ending in layout.ENDINGS), "parquet": (".parquet",), "csv": tables.ENDINGS}
_ACCEPTED = f"files of {', '.join(ending for endings in ENDINGS.values() for ending in endings)}, or a directory of them"
_KEYS = ("id", "path")
_FORMS: dict[InputKind, str] = {"parquet": PARQUET, "csv": CSV}


@dataclass(frozen=True)
class Unlabelled:
    """Rows of INPUT_SCHEMA, and where their images are."""

    rows: DataFrame
    source: ImageSource


def kind_of(settings: PredictSettings) -> InputKind:
    """What the input is, found without Spark.

    Raises:
        UsageError: there is no input, nothing in it can be read, or it is of several kinds and none was named.
    """
    uri = str(settings.input)
    if not storage.exists(uri):
        raise UsageError("The input does not exist", received=f"--input {uri}", accepted=_ACCEPTED)
    kinds = _kinds_in(uri) if storage.is_directory(uri) else _kinds([storage.name(uri)])
    if not kinds:
        raise UsageError("There is nothing in the input that can be classified", received=f"--input {uri}", accepted=_ACCEPTED)
    if settings.kind is None and len(kinds) > 1:
        raise UsageError(f"The input holds {' and '.join(kinds)}", received=f"--input {uri}", accepted=f"--kind {' or '.join(kinds)}")
    if settings.kind not in (None, *kinds):
        raise UsageError(f"The input holds {kinds[0]}", received=f"--input {uri} --kind {settings.kind}", accepted=f"--kind {kinds[0]}")
    return settings.kind or kinds[0]


def _kinds_in(uri: str) -> list[InputKind]:
    """The kinds of the files nearest to a directory that are of any."""
    level = [uri]
    while level:
        below: list[str] = []
        for directory in level:
            folders, files = storage.folders_and_files(directory)
            if kinds := _kinds(files):
                return kinds
            below += [storage.child(directory, name) for name in folders if not name.startswith((".", "_"))]
        level = below
    return []


def _kinds(names: list[str]) -> list[InputKind]:
    visible = [name.lower() for name in names if not name.startswith((".", "_"))]
    return [kind for kind, endings in ENDINGS.items() if any(name.endswith(endings) for name in visible)]


def read(spark: SparkSession, settings: PredictSettings, kind: InputKind) -> Unlabelled:
    """The rows of the input: one for each image file, or for each row of a table, whatever is in it.

    Raises:
        UsageError: a table lacks a column.
        DataError: a table cannot be read.
    """
    if kind == "images":
        return Unlabelled(_from_files(spark, settings), "files")
    return _from_parquet(spark, settings) if kind == "parquet" else Unlabelled(_from_csv(spark, settings), "urls")


def reading_input(settings: PredictSettings, kind: InputKind) -> AbstractContextManager[None]:
    """For the first use of the rows: a DataError where the input turns out to be damaged."""
    return reading(str(settings.input), _FORMS.get(kind))


def images_of(frame: DataFrame, settings: FrameSettings) -> tuple[Column, ImageSource]:
    """The column of a DataFrame's image files as bytes or of URLs, and which it is.

    Raises:
        UsageError: there is none.
    """
    image = bytes_column(frame, (settings.image_column,)) if settings.image_column else bytes_column(frame)
    if image is not None:
        return image, "bytes"
    if settings.image_column is None and settings.url_column in frame.columns:
        return F.col(settings.url_column).cast("string"), "urls"
    accepted = "--image-column, a column of bytes, or --url-column, one of URLs"
    raise UsageError(f"The DataFrame has no column of images{f' {settings.image_column!r}' if settings.image_column else ''}", received=frame.schema.simpleString(), accepted=accepted)


def _from_files(spark: SparkSession, settings: PredictSettings) -> DataFrame:
    """Names alone: Spark would open one file after the other, a task opens several at a time."""
    uri = str(settings.input)
    if storage.is_directory(uri):
        root, files = uri, [file for file in storage.files_below(uri) if is_visible_image(file[0])]
    else:
        root, files = storage.parent(uri), [(storage.name(storage.filesystem(uri)[1]), storage.size(uri))]
    names = [name for name, _ in files]
    columns = {"id": names, "url": [storage.child(root, name) for name in names], "size": [size for _, size in files]}
    return _completed(spark.createDataFrame(pa.table(columns, arrow_schema("id string, url string, size long"))))


def _from_parquet(spark: SparkSession, settings: PredictSettings) -> Unlabelled:
    uri = str(settings.input)
    reader = spark.read.option("recursiveFileLookup", "true")
    try:
        table = reader.option("pathGlobFilter", "*.parquet").parquet(storage.for_spark(uri, pattern=True))
    except READ_ERRORS as error:
        if isinstance(error, PySparkException) and error.getCondition() == "UNABLE_TO_INFER_SCHEMA":
            raise UsageError("The input holds no Parquet", received=f"--input {uri}", accepted=_ACCEPTED) from error
        raise unreadable(uri, PARQUET, error) from error
    image = bytes_column(table)
    place = F.concat(F.col("_metadata.file_name"), F.lit("#"), F.col("_metadata.row_index").cast("string"))
    if image is None and settings.url_column not in table.columns:
        accepted = "a column 'image' or 'img' of bytes, or a column of URLs that --url-column names"
        raise UsageError(f"The Parquet at {uri} has no column of images", received=", ".join(table.columns), accepted=accepted)
    if image is None:
        return Unlabelled(_of_urls(table, F.trim(F.col(settings.url_column).cast("string")), _key(table, settings), place, F.lit(False)), "urls")
    size = F.length(image).cast("long")
    key = _key(table, settings, _KEYS)
    rows = table.select(F.coalesce(*([key] if key is not None else []), place).alias("id"), size.alias("size"), F.when(size <= settings.max_bytes, image).alias("image"))
    return Unlabelled(_completed(rows), "bytes")


def _from_csv(spark: SparkSession, settings: PredictSettings) -> DataFrame:
    wanted = {"url": ("--url-column", settings.url_column)}
    if settings.id_column:
        wanted["key"] = ("--id-column", settings.id_column)
    rows = tables.read(spark, str(settings.input), wanted)
    place = F.concat("file", F.lit("#"), F.col("place").cast("string"))
    return _of_urls(rows, F.col("url"), F.col("key") if settings.id_column else None, place, F.col("corrupt"))


def _of_urls(rows: DataFrame, url: Column, key: Column | None, place: Column, is_corrupt: Column) -> DataFrame:
    found = F.when((url != "") & ~is_corrupt, url)
    status = F.when(is_corrupt, Status.MALFORMED_ROW.value).when(found.isNull(), Status.MISSING_IMAGE.value)
    names = F.coalesce(*([key] if key is not None else []), found, place)
    error = F.when(is_corrupt, tables.MALFORMED).when(found.isNull(), "no URL")
    return _completed(rows.select(names.alias("id"), found.alias("url"), status.alias("status"), error.alias("error")))


def _key(table: DataFrame, settings: PredictSettings, usual: tuple[str, ...] = ()) -> Column | None:
    if settings.id_column and settings.id_column not in table.columns:
        raise UsageError("The input has no such column", received=f"--id-column {settings.id_column}", accepted=f"one of {', '.join(table.columns)}")
    name = settings.id_column or next((name for name in usual if name in table.columns), None)
    return F.col(name).cast("string") if name else None


def _completed(rows: DataFrame) -> DataFrame:
    types = columns_of(INPUT_SCHEMA).items()
    return rows.select(*(F.col(name) if name in rows.columns else F.lit(None).cast(kind).alias(name) for name, kind in types))
