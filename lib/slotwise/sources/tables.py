"""Tables as CSV files, plain or gzipped: some of their columns by name, every row numbered, a damaged row told from the others."""

from __future__ import annotations

import codecs
import csv
import io
import zlib
from collections.abc import Mapping
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from slotwise import storage
from slotwise.errors import DataError, UsageError
from slotwise.sources.numbering import numbered, numbered_already, placed
from slotwise.sources.reading import CSV, READ_ERRORS, unreadable
from slotwise.texts import printable

ENDINGS = (".csv", ".csv.gz")
MALFORMED = "the number of cells is not that of the header"
_CORRUPT = "_corrupt_record"
# A field beyond this is a quote that was never closed, and would swallow the rest of the file.
_LONGEST_FIELD = 1_000_000
_LONGEST_HEADER = 1_000_000
_CSV: dict[str, Any] = {"quote": '"', "escape": '"', "multiLine": True, "encoding": "UTF-8", "maxCharsPerColumn": _LONGEST_FIELD}


def read(spark: SparkSession, uri: str, wanted: Mapping[str, tuple[str, str]]) -> DataFrame:
    """Columns of a CSV file, or of a directory of such files with one header, as trimmed text.

    Args:
        uri: the file or directory.
        wanted: for each column of the result the flag that names a column of the table, and that name.

    Returns:
        the columns; `corrupt`, whether the row had another number of cells than the header; `row`, its number from 0 over all
        files by name; `place`, that in its file; `file`, that file's name. A single file is read when the rows are.

    Raises:
        UsageError: there is no such table, or it lacks a column.
        DataError: it is no text, or one of several files cannot be read as CSV.
    """
    files = _files(uri)
    columns = columns_of(files, wanted)
    rows = _read(spark, files, columns, {name: column for name, (_, column) in wanted.items()})
    if len(files) == 1:
        return numbered_already(rows)
    try:
        # Their rows are counted first, and parsed but once.
        return numbered(spark, rows.persist(StorageLevel.MEMORY_AND_DISK))
    except READ_ERRORS as error:
        raise unreadable(uri, CSV, error) from error


def _files(uri: str) -> list[str]:
    if not storage.exists(uri):
        raise UsageError("The table of URLs does not exist", received=uri, accepted="a CSV file, plain or gzipped, or a directory of them")
    if not storage.is_directory(uri):
        return [uri]
    files = [storage.join(uri, name) for name in storage.children(uri) if name.lower().endswith(ENDINGS) and not name.startswith((".", "_"))]
    if not files:
        raise UsageError("The --input directory holds no table", received=uri, accepted=f"files that end in {' or '.join(ENDINGS)}")
    return files


def columns_of(files: list[str], wanted: Mapping[str, tuple[str, str]]) -> list[str]:
    """The names of the columns that all these files have, found without Spark; `wanted` and errors are as for `read`."""
    headers = {file: _header(file) for file in files}
    first = headers[files[0]]
    for file, header in headers.items():
        if header != first:
            raise UsageError(f"The tables of --input have different columns: {storage.name(files[0])} has {printable(', '.join(first))}", received=f"{storage.name(file)}: {', '.join(header)}", accepted="tables with the same header")
    for flag, column in wanted.values():
        if first.count(column) != 1:
            how = "several columns" if column in first else "no column"
            raise UsageError(f"{printable(storage.parent(files[0]) if len(files) > 1 else files[0])} has {how} '{column}'", received=f"{flag} {column}", accepted=f"one of {', '.join(first)}")
    return first


def _header(file: str) -> list[str]:
    """The names in the first row that is not blank. Only the start of the file is read, whatever a gzipped one would unpack to."""
    try:
        start = storage.read_start(file, _LONGEST_HEADER)
        if file.lower().endswith(".gz"):
            start = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(start, _LONGEST_HEADER)
    except (OSError, zlib.error) as error:
        raise unreadable(file, CSV, error) from error
    text = start.decode("utf-8", errors="replace").removeprefix("\ufeff")
    lines = io.StringIO(text, newline=None)
    try:
        first = next((row for row in csv.reader(lines) if len(row) > 1 or "".join(row).strip()), None)
    except csv.Error as error:
        raise unreadable(file, CSV, error) from error
    if first is None:
        raise DataError(f"{file} is empty: not even a header is there")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or any("\0" in name for name in first):
        raise DataError(f"{file} is no text in UTF-8: it begins as UTF-16 does, or its header has NUL bytes in it")
    if len(start) == _LONGEST_HEADER and not lines.read(1):
        raise DataError(f"{file} cannot be read as CSV: its header has more than {_LONGEST_HEADER:,} bytes")
    return first


def _read(spark: SparkSession, files: list[str], columns: list[str], wanted: Mapping[str, str]) -> DataFrame:
    """The wanted columns and `corrupt` of each row.

    Line breaks in quoted fields are legal in CSV, and whether a file has any is only known at its end. A reader that splits
    the file would break such rows without a word, so each file is parsed by one task. It is the only step that is not
    parallel, and takes seconds for a table of a million rows; a gzipped table cannot be split in any case.
    """
    names = [f"c{number}" for number in range(len(columns))]
    schema = StructType([StructField(name, StringType()) for name in [*names, _CORRUPT]])
    paths = [storage.for_spark(file, pattern=True) for file in files]
    table = placed(spark.read.csv(paths, schema=schema, header=True, mode="PERMISSIVE", columnNameOfCorruptRecord=_CORRUPT, **_CSV))
    chosen = [F.col(names[columns.index(column)]).alias(name) for name, column in wanted.items()]
    narrow = table.select(*chosen, F.col(_CORRUPT).isNotNull().alias("corrupt"), *table.columns[-3:])
    return narrow.repartition(spark.sparkContext.defaultParallelism * 2).withColumns({name: trimmed(F.col(name)) for name in wanted})


def trimmed(text: Column) -> Column:
    """The text without white space at its ends; null where nothing is left."""
    # Only where a stretch of white space begins is its end looked for: from each of its characters on, a long one would take hours.
    trimmed = F.regexp_replace(text, r"^[\s\x{A0}]+|(?<![\s\x{A0}])[\s\x{A0}]+$", "")
    return F.when(trimmed != "", trimmed)
