"""HDFS through hdfs-native: the first contact with a host, and patience with one that goes away for a minute."""

from __future__ import annotations

import posixpath
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar
from urllib.parse import urlparse

import fsspec

from slotwise.errors import DataError

# Longer than a NameNode's restart with the half minute of safe mode behind it. A host never reached is more likely mistyped.
AWAY_SECONDS = 120.0
_FIRST_SECONDS = 15.0
# The driver does not tell a block damaged in all its replicas from DataNodes that restart: a reader waits for these a little.
_REPLICAS_SECONDS = 15.0
_LONGEST_PAUSE = 5.0

# The driver's own attempts cannot be interrupted and double their pauses without end: about 5 s in all, the rest is here.
_OPTIONS = {"dfs.client.failover.max.attempts": "5", "dfs.client.failover.sleep.max.millis": "1000"}

# What the driver says while servers are missing or not ready; each goes away by itself.
_HEALS = (
    "SafeModeException",
    "RetriableException",
    "StandbyException",
    "NotReplicatedYetException",
    "could only be written to 0 of",
    "DataTransferError",
    "BlocksNotFound",
    "Insufficient blocks succeeded",
    "Failed to complete file in time",
)

_REPLICAS_FAIL = "All DataNodes failed: [Datanode"  # with an empty list nothing has been reported to the NameNode yet

_REACHED: set[str] = set()
_AWAY: set[str] = set()

# fsspec forgets its file systems in a forked child. With the last reference hdfs-native's would shut down there, and wait for
# ever for threads that a fork does not copy: even starting Java from Python would hang.
_KEPT: dict[int, fsspec.AbstractFileSystem] = {}

Result = TypeVar("Result")


class _Mode(threading.local):
    at_once = False


_MODE = _Mode()


def connect(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of an `hdfs:` URI and the URI's path on it, once its host has answered this process.

    Raises:
        OSError: nobody answers there, for about half a minute.
    """
    fsspec.register_implementation("hdfs", _file_system(), clobber=True)
    fs, path = fsspec.core.url_to_fs(uri, **_OPTIONS)
    _KEPT[id(fs)] = fs
    address = urlparse(uri).netloc
    if address not in _REACHED:
        _retry(address, lambda: fs.exists("/"), _FIRST_SECONDS)
        _REACHED.add(address)
    return fs, path


@cache
def _file_system() -> type[fsspec.AbstractFileSystem]:
    """hdfs-native's class, but for names with `#`, `?` or `;`, which it would cut off there."""
    from hdfs_native.fsspec import HdfsFileSystem

    class Hdfs(HdfsFileSystem):
        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return re.sub("^hdfs://[^/]*", "", path) or str(cls.root_marker)

    return Hdfs


def outlast(uri: str, action: Callable[[], Result]) -> Result:
    """Carries out `action`, on HDFS again and again while it fails for a reason that passes; other storages have one attempt.

    Args:
        uri: a URI of the storage that the action uses.
        action: may be carried out partly, and then once more from its start.

    Raises:
        DataError: the storage has been away for `AWAY_SECONDS`, or no replica of a block can be read.
    """
    if urlparse(uri).scheme != "hdfs" or _MODE.at_once:
        return action()
    address = urlparse(uri).netloc
    try:
        with at_once():
            return _retry(address, action, AWAY_SECONDS)
    except (OSError, RuntimeError) as error:
        if _REPLICAS_FAIL in str(error):
            raise DataError(f"No replica of a block of {uri} can be read: damaged, or its DataNodes are gone") from error
        if _patience(error, AWAY_SECONDS):
            raise DataError(f"The storage hdfs://{address} has been away for more than {AWAY_SECONDS:.0f} s: {_reason(error)}") from error
        raise


@contextmanager
def at_once() -> Iterator[None]:
    """Within this block, and this thread, an operation on a storage that is away fails after a few seconds instead of waiting."""
    before, _MODE.at_once = _MODE.at_once, True
    try:
        yield
    finally:
        _MODE.at_once = before


def rename_on_hdfs(source: str, target: str, *, replace: bool) -> None:
    """Moves a file or directory; a rename whose answer was lost with the connection counts as done.

    Raises:
        FileExistsError: something is at the target, unless it is a file and `replace` is true.
        FileNotFoundError: the source is absent.
    """
    (fs, path), (_, target_path) = connect(source), connect(target)

    def mark(of: str) -> tuple[int, int]:
        info = fs.info(of)
        return info["size"], info["modification_time"]

    def attempt() -> None:
        try:
            fs.makedirs(posixpath.dirname(target_path), exist_ok=True)
            replaces_file = replace and fs.exists(target_path) and not fs.isdir(target_path)
            fs.client.rename(path, target_path, replaces_file)
        except FileNotFoundError:
            if not fs.exists(target_path) or mark(target_path) != moved:
                raise

    moved = outlast(source, lambda: mark(path))
    outlast(source, attempt)


def _retry(address: str, action: Callable[[], Result], limit: float) -> Result:
    """`action` until it works, fails for good, or has failed for `limit` seconds."""
    begun = None
    pause = 0.5
    while True:
        try:
            result = action()
        except (OSError, RuntimeError) as error:
            now = time.monotonic()
            begun = begun or now
            patience = _patience(error, limit)
            if now - begun >= patience:
                _AWAY.discard(address)
                raise
            if address not in _AWAY:  # several threads wait at the same time, one says so
                _AWAY.add(address)
                print(f"storage hdfs://{address} is away ({_reason(error)}): waits up to {patience:.0f} s", flush=True)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            continue
        if begun and address in _AWAY:
            _AWAY.discard(address)
            print(f"storage hdfs://{address} is back after {time.monotonic() - begun:.0f} s", flush=True)
        return result


def _patience(error: Exception, limit: float) -> float:
    """For how many seconds to wait for an error to pass; 0 for one that does not."""
    if isinstance(error, RuntimeError):
        if _REPLICAS_FAIL in str(error):
            return min(limit, _REPLICAS_SECONDS)
        return limit if any(sign in str(error) for sign in _HEALS) else 0.0
    # The driver's connection errors have no number; a local file's have one, and what is absent or forbidden its own class.
    return limit if type(error) is OSError and error.errno is None else 0.0


def _reason(error: Exception) -> str:
    """The error without the server's stack trace."""
    return str(error).replace("\\n", "\n").partition("\n")[0][:200]
