"""What Spark's readers raise for an input that cannot be read, in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from slotwise.errors import DataError
from slotwise.texts import printable

READ_ERRORS = (PySparkException, Py4JError)
CSV, PARQUET = "CSV with quoted fields", "Parquet"
# Spark's name for it (https://spark.apache.org/docs/latest/sql-error-conditions.html), wherever in the causes it stands.
_FAILED = "[FAILED_READ_FILE"


@contextmanager
def reading(uri: str, form: str | None) -> Iterator[None]:
    """Makes a DataError of what Spark raises inside where a file at `uri` is not of the form; other errors pass, and all where it reads none."""
    try:
        yield
    except READ_ERRORS as error:
        if form is None or _FAILED not in str(error):
            raise
        raise unreadable(uri, form, error) from error


def unreadable(uri: str, form: str, error: Exception) -> DataError:
    return DataError(f"{uri} cannot be read as {form}: {cause_of(error)}")


def cause_of(error: Exception) -> str:
    """The innermost cause of a Java exception, without its class, else the error's first line."""
    lines = str(error).splitlines() or [type(error).__name__]
    causes = [line.partition("Caused by: ")[2] for line in lines if "Caused by: " in line]
    return printable(causes[-1].partition(": ")[2] or causes[-1] if causes else lines[0], 300)
