"""The source `folder`: one sub-folder of images per class, on this machine or on HDFS."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from slotwise import storage
from slotwise.contracts.catalogue import Status
from slotwise.errors import UsageError
from slotwise.settings.prepare import PrepareSettings

ENDINGS = ("jpg", "jpeg", "png", "gif", "webp", "bmp", "tif", "tiff")
_ACCEPTED = f"a directory with one folder per class, with files of {', '.join(ENDINGS)} in it"


def catalogue(spark: SparkSession, settings: PrepareSettings) -> DataFrame:
    """The catalogue of the images below `settings.input`; the class is the first folder, the id the path from there on.

    Folders in a class folder belong to the class. Other files are no rows, nor is what begins with a dot or an underscore:
    Spark's readers take that for hidden. An image beside the class folders has no class and is set aside.

    Raises:
        UsageError: there is no such directory, no class folder in it, a class folder that counts as hidden, or no image.
    """
    root = str(settings.input)
    if not storage.is_directory(root):
        raise UsageError("The --input of source folder is no directory", received=root, accepted=_ACCEPTED)
    folders = [name for name in storage.children(root) if not name.startswith(".") and storage.is_directory(storage.join(root, name))]
    if not folders:
        raise UsageError("The --input directory has no class folders", received=root, accepted=_ACCEPTED)
    hidden = [name for name in folders if name.startswith("_")]
    if hidden:
        raise UsageError("A class folder begins with '_' and would be passed over as hidden", received=hidden[0], accepted="names that begin otherwise")
    files = _files(spark, root)
    numbers = files.select("path").withColumn("row", F.row_number().over(Window.orderBy("path")).cast("long") - 1)
    if numbers.isEmpty():
        raise UsageError("The class folders hold no images", received=root, accepted=_ACCEPTED)
    # Paths are narrow and go to every task; the images stay where they were read.
    return _catalogue(files.join(F.broadcast(numbers), "path"), root)


def _files(spark: SparkSession, root: str) -> DataFrame:
    patterns = ("".join(f"[{letter}{letter.upper()}]" for letter in ending) for ending in ENDINGS)
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true").option("pathGlobFilter", f"*.{{{','.join(patterns)}}}")
    files = reader.load(storage.for_spark(root, pattern=True)).select("path", "content")
    # Spark's reader passes over files of no bytes; here they are rows like any other, and end as unreadable.
    found = [uri for uri in storage.empty_files(root) if _is_image(uri[len(root) + 1 :])]
    empty = [(storage.for_spark(uri).replace("file:///", "file:/"), bytearray()) for uri in found]  # as Spark spells paths
    return files.unionByName(spark.createDataFrame(empty, files.schema)) if empty else files


def _is_image(relative: str) -> bool:
    """Whether Spark's reader would take a file for an image: by its ending, and hidden nowhere on the way to it."""
    return relative.lower().rpartition(".")[2] in ENDINGS and not any(part.startswith((".", "_")) for part in relative.split("/"))


def _catalogue(files: DataFrame, root: str) -> DataFrame:
    # Spark writes file:/a/b where the URI is file:///a/b; what counts is the path behind scheme and host.
    base = storage.for_spark(root).partition("://")[2].partition("/")[2].rstrip("/")
    inside = F.regexp_replace("path", r"^[a-z0-9+.-]+:(//[^/]*)?/+", "")
    relative = F.expr(f"substring(inside, {len(base) + 2})") if base else F.col("inside")
    label = F.when(F.instr("id", "/") > 0, F.element_at(F.split("id", "/"), 1))
    rows = files.withColumn("inside", inside).withColumn("id", relative).withColumn("label", label)
    return rows.select(
        "row",
        "id",
        "label",
        F.lit(None).cast("string").alias("url"),
        F.col("content").alias("image"),
        F.lit(None).cast("string").alias("split"),
        F.when(F.col("label").isNull(), Status.MISSING_CATEGORY.value).alias("status"),
        F.lit(None).cast("string").alias("error"),
    )
