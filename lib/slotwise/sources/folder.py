"""The source `folder`: one folder of images per class, in split folders or not, on this machine or on HDFS."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from slotwise import storage
from slotwise.errors import UsageError
from slotwise.settings.prepare import PrepareSettings
from slotwise.sources.layout import ENDINGS, Layout, is_image, layout_of
from slotwise.sources.rows import with_splits


def catalogue(spark: SparkSession, settings: PrepareSettings) -> DataFrame:
    """The catalogue of the images below `settings.input`, laid out as `layout_of` says; the id is the path below the layout's root.

    Folders in a class folder belong to the class. Other files are no rows, nor is what begins with a dot or an underscore:
    Spark's readers take that for hidden. An image beside the class folders has no class and is set aside.

    Raises:
        UsageError: as `layout_of`, or there is no image, or something below the directory leads out of it or cannot be passed on.
    """
    _check_names(settings)
    layout = layout_of(settings)
    files = image_files(spark, layout.root)
    numbers = files.select("path").withColumn("row", F.row_number().over(Window.orderBy("path")).cast("long") - 1)
    if numbers.isEmpty():
        raise UsageError("The class folders hold no images", received=layout.root, accepted=f"files of {', '.join(ENDINGS)}")
    # Paths are narrow and go to every task; the images stay where they were read.
    return _catalogue(files.join(F.broadcast(numbers), "path"), layout)


def _check_names(settings: PrepareSettings) -> None:
    """Sees that a folder from a stranger holds no links to files of somebody else, which would become part of the dataset."""
    for name, what in storage.oddities(str(settings.input)):
        if what != storage.LEADS_OUT:
            raise UsageError(f"In the --input directory is {what}", received=name, accepted="files and directories with names in UTF-8")
        if not settings.follow_links:
            raise UsageError(f"In the --input directory is {what}", received=name, accepted="links within it, or --follow-links if these are your own")


def image_files(spark: SparkSession, root: str) -> DataFrame:
    """`path` (as Spark spells it) and `content` of every image file at any depth below a directory.

    Raises:
        UsageError: there is one that cannot be read by its name.
    """
    patterns = ("".join(f"[{letter}{letter.upper()}]" for letter in ending) for ending in ENDINGS)
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true").option("pathGlobFilter", f"*.{{{','.join(patterns)}}}")
    files = reader.load(storage.for_spark(root, pattern=True)).select("path", "content")
    # Spark's reader passes over files of no bytes; here they are rows like any other, and end as unreadable.
    visible = [(name, size) for name, size in storage.files_below(root) if is_visible_image(name)]
    for name, _ in visible:
        if ":" in name:
            raise UsageError("Hadoop reads no file with a colon in its name", received=name, accepted="images and folders with other names")
    found = [storage.child(root, name) for name, size in visible if not size]
    empty = [(storage.for_spark(uri).replace("file:///", "file:/"), bytearray()) for uri in found]  # as Spark spells paths
    return files.unionByName(spark.createDataFrame(empty, files.schema)) if empty else files


def is_visible_image(relative: str) -> bool:
    """Whether a file below a directory is one of an image by its ending, and hidden nowhere on the way to it, as Spark's readers see it."""
    return is_image(relative) and not any(part.startswith((".", "_")) for part in relative.split("/"))


def path_below(root: str) -> Column:
    """The part of `path`, as Spark spells it, that comes after a directory."""
    # Spark writes file:/a/b where the URI is file:///a/b; what counts is the path behind scheme and host.
    base = storage.for_spark(root).partition("://")[2].partition("/")[2].rstrip("/")
    inside = F.regexp_replace("path", r"^[a-z0-9+.-]+:(//[^/]*)?/+", "")
    return F.substr(inside, F.lit(len(base) + 2)) if base else inside


def _catalogue(files: DataFrame, layout: Layout) -> DataFrame:
    # The class folder is the last but one part of a path at the least: behind it comes the image.
    depth = 1 if layout.splits else 0
    label = F.when(F.size("parts") > depth + 1, F.get("parts", F.lit(depth)))
    split = F.coalesce(*(F.when(F.get("parts", F.lit(0)) == name, split) for name, split in layout.splits.items()), F.lit(None).cast("string"))
    rows = files.withColumn("id", path_below(layout.root)).withColumn("parts", F.split("id", "/"))
    return with_splits(rows, row_id=F.col("id"), label=label, image=F.col("content"), split=split)
