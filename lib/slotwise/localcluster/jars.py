"""Jars of the Hadoop servers that pyspark does not ship, fetched once for this user through the Ivy that it does."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from slotwise import storage
from slotwise.errors import DataError
from slotwise.localcluster import spark


class Jar(NamedTuple):
    """One file of a Maven repository, known by its content."""

    organisation: str
    name: str
    version: str
    sha256: str


def user_cache() -> Path:
    """This user's directory for what is fetched or made once."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slotwise"


def fetched(jar: Jar) -> Path:
    """The jar on this machine, without anything that it depends on.

    Raises:
        DataError: it cannot be fetched, or what came is not the known file.
    """
    cache = user_cache()
    path = cache / f"{jar.name}-{jar.version}.jar"
    if path.exists():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    # One at a time: Ivy's own cache does not bear two that fetch the same.
    with open(cache / ".fetching", "w") as lock, tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path
        file = Path(scratch) / path.name
        pattern = f"{scratch}/[artifact]-[revision].[ext]"
        ivy = ["org.apache.ivy.Main", "-warn", "-notransitive", "-types", "jar", "bundle", "-confs", "master", "-retrieve", pattern]
        command = [spark.java(), "-cp", f"{spark.home()}/jars/*", *ivy, "-dependency", jar.organisation, jar.name, jar.version]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=540)
        if not file.exists():
            raise DataError(f"{path.name}, of the Hadoop servers, could not be fetched:\n{(done.stdout + done.stderr).strip()[-2000:]}")
        checksum = storage.file_sha256(str(file))
        if checksum != jar.sha256:
            raise DataError(f"{path.name} as fetched has SHA-256 {checksum}; {jar.sha256} was expected")
        file.replace(path)
    return path
