"""What sources of images with ready-made splits have in common: their catalogue's columns, and pixels as a file."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, DataType, StructType

from slotwise.contracts.catalogue import Status


def with_splits(rows: DataFrame, *, row_id: Column, label: Column, image: Column, split: Column) -> DataFrame:
    """The catalogue of `rows`, which have a column `row`; without a label a row is set aside."""
    return rows.select("row", row_id.alias("id"), label.alias("label"), image.alias("image"), split.alias("split")).select(
        "row",
        "id",
        "label",
        F.lit(None).cast("string").alias("url"),
        "image",
        "split",
        F.when(F.col("label").isNull(), Status.MISSING_CATEGORY.value).alias("status"),
        F.lit(None).cast("string").alias("error"),
    )


def class_name(label: Column, names: Sequence[str]) -> Column:
    """The name of a class by its number from 0; null where there is no such class."""
    return F.element_at(F.array(*(F.lit(name) for name in names)), F.when(label < len(names), label + 1))


def bytes_column(table: DataFrame, names: Sequence[str] = ("image", "img")) -> Column | None:
    """The files of images in the first of these columns that has any, bytes or a struct with `bytes`; None where none has."""
    for name in names:
        if name in table.columns:
            kind: DataType = table.schema[name].dataType
            if isinstance(kind, BinaryType):
                return F.col(name)
            if isinstance(kind, StructType) and "bytes" in kind.names and isinstance(kind["bytes"].dataType, BinaryType):
                return F.col(name)["bytes"]
    return None


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Pixels, [height, width] or [height, width, 3], as a PNG, which loses nothing."""
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(content, "PNG", compress_level=1)
    return content.getvalue()
