"""A folder of images with one sub-folder for each class, locally or on HDFS."""

from __future__ import annotations

from urllib.parse import urlparse

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from slotwise import storage
from slotwise.contracts.catalogue import Status
from slotwise.errors import UsageError
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources.rows import existing_input, numbered

EXTENSIONS = ("jpg", "jpeg", "png", "gif", "webp", "bmp", "tif", "tiff")


def catalogue(spark: SparkSession, settings: PrepareSettings) -> DataFrame:
    """The catalogue of a folder: `label` is the first folder below the input, `id` the path below it.

    Image files that lie in no class folder are set aside; files of other kinds are no rows.

    Raises:
        UsageError: there is no class folder, or no image in any.
    """
    uri = existing_input(settings, directory=True)
    classes = [name for name in storage.children(uri) if not name.startswith((".", "_")) and storage.is_directory(storage.join(uri, name))]
    if not classes:
        raise UsageError("The input has no class folders", received=f"--input {uri}", accepted="a directory with one sub-directory of images for each class")
    files = spark.read.format("binaryFile").option("recursiveFileLookup", True).option("pathGlobFilter", _glob()).load(storage.for_spark(uri, pattern=True))
    if files.select("path").isEmpty():
        raise UsageError("The class folders hold no images", received=f"--input {uri}", accepted="files ending in " + ", ".join(EXTENSIONS))
    below = F.expr(f"substring(path, instr(path, {_sql_text(_root(uri))}) + {len(_root(uri))})")
    rows = files.orderBy("path").withColumn("id", below)
    in_class = F.instr("id", "/") > 0
    return numbered(rows).select(
        "row",
        "id",
        F.when(in_class, F.substring_index("id", "/", 1)).alias("label"),
        F.lit(None).cast("string").alias("url"),
        F.col("content").alias("image"),
        F.lit(None).cast("string").alias("split"),
        F.when(~in_class, Status.MISSING_CATEGORY.value).alias("status"),
        F.lit(None).cast("string").alias("error"),
    )


def _root(uri: str) -> str:
    """The path of the input as Spark writes it in front of each file's."""
    path = storage.local_path(uri) if storage.is_local(uri) else urlparse(uri).path
    return path.rstrip("/") + "/"


def _sql_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _glob() -> str:
    """A Hadoop glob over the extensions in any case."""
    spelled = ("".join(f"[{letter}{letter.upper()}]" for letter in extension) for extension in EXTENSIONS)
    return "*.{" + ",".join(spelled) + "}"
