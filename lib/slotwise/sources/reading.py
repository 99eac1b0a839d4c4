"""What Spark's readers raise for an input that cannot be read, and the line in it that says why."""

from __future__ import annotations

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from slotwise.texts import printable

READ_ERRORS = (PySparkException, Py4JError)


def cause_of(error: Exception) -> str:
    """The innermost cause of a Java exception, without its class, else the error's first line."""
    lines = str(error).splitlines() or [type(error).__name__]
    causes = [line.partition("Caused by: ")[2] for line in lines if "Caused by: " in line]
    return printable(causes[-1].partition(": ")[2] or causes[-1] if causes else lines[0], 300)
