"""Files by URI: local paths, hdfs:// through hdfs-native, and whatever else fsspec knows, each write whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import shutil
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import fsspec

from slotwise.errors import DataError, UsageError

_CHUNK = 4 * 1024 * 1024

# A NameNode that restarts is waited for, up to half a minute; the driver's own 15 attempts would take minutes over a mistyped host.
_HDFS_OPTIONS = {"dfs.client.failover.max.attempts": "5"}
_REACHED: set[str] = set()

# fsspec forgets its file systems in a forked child. With the last reference hdfs-native's would shut down there, and wait for
# ever for threads that a fork does not copy: even starting Java from Python would hang.
_KEPT: dict[int, fsspec.AbstractFileSystem] = {}


def normalise(uri: str) -> str:
    """The absolute form of a URI: a plain path becomes `file:///…`, a trailing slash goes.

    Spark resolves a path without a scheme against its own default file system, Python against the working
    directory; with the scheme written out both mean the same file.

    Raises:
        UsageError: the text is empty or its scheme is one fsspec does not know.
    """
    if not uri:
        raise UsageError("A URI is empty", received=repr(uri), accepted="a path or a URI such as hdfs://host:port/path")
    scheme = urlparse(uri).scheme
    if not scheme:
        return Path(os.path.abspath(os.path.expanduser(uri))).as_uri()
    if scheme == "file":
        return Path(os.path.abspath(local_path(uri))).as_uri()
    if scheme not in fsspec.available_protocols():
        known = "a plain path, file://, hdfs:// or any protocol of fsspec (s3://, gs://, abfs://, …)"
        raise UsageError(f"The storage scheme '{scheme}' is not known", received=uri, accepted=known)
    return uri.rstrip("/")


def local_path(uri: str) -> str:
    """The path of a `file:` URI on this machine."""
    from urllib.request import url2pathname

    parsed = urlparse(uri)
    if parsed.scheme not in ("", "file"):
        raise ValueError(f"{uri} is not a local file")
    return url2pathname(parsed.path) if parsed.scheme else uri


def for_spark(uri: str, *, pattern: bool = False) -> str:
    """The form in which Spark's readers and writers understand a URI: Hadoop's paths do not decode `%20`.

    Args:
        uri: a normalised URI.
        pattern: true for readers, which take `[ ] { } * ?` for a pattern unless they are escaped.
    """
    path = f"file://{local_path(uri)}" if is_local(uri) else uri
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path) if pattern else path


def is_local(uri: str) -> bool:
    return urlparse(uri).scheme in ("", "file")


def join(uri: str, *parts: str) -> str:
    """`uri` with path parts appended."""
    return posixpath.join(uri.rstrip("/"), *parts)


def parent(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[0]


def name(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[2]


def filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The fsspec file system of a URI and the URI's path on it.

    Raises:
        DataError: the storage cannot be reached or its driver is not installed.
    """
    if is_local(uri):
        return fsspec.filesystem("file"), local_path(uri)
    try:
        if urlparse(uri).scheme == "hdfs":
            return _hdfs(uri)
        fs, path = fsspec.core.url_to_fs(uri)
    except Exception as error:
        raise DataError(f"The storage of {uri} cannot be used: {error}") from error
    return fs, path


def _hdfs(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    from hdfs_native.fsspec import HdfsFileSystem

    fsspec.register_implementation("hdfs", HdfsFileSystem, clobber=True)
    fs, path = fsspec.core.url_to_fs(uri, **_HDFS_OPTIONS)
    _KEPT[id(fs)] = fs
    address = urlparse(uri).netloc
    if address not in _REACHED:
        fs.exists("/")
        _REACHED.add(address)
    return fs, path


def exists(uri: str) -> bool:
    fs, path = filesystem(uri)
    return bool(fs.exists(path))


def is_directory(uri: str) -> bool:
    fs, path = filesystem(uri)
    return bool(fs.exists(path) and fs.isdir(path))


def children(uri: str) -> list[str]:
    """The names directly under a directory, sorted; an absent directory has none."""
    fs, path = filesystem(uri)
    if not fs.exists(path):
        return []
    return sorted(posixpath.basename(entry.rstrip("/")) for entry in fs.ls(path, detail=False))


def empty_files(uri: str) -> list[str]:
    """URIs of the files of no bytes at any depth below a directory, sorted."""
    fs, path = filesystem(uri)
    found = fs.find(path, detail=True)
    return [join(uri, posixpath.relpath(name, path)) for name, info in sorted(found.items()) if info["size"] == 0]


def size(uri: str) -> int:
    fs, path = filesystem(uri)
    return int(fs.info(path)["size"])


def make_directory(uri: str) -> None:
    fs, path = filesystem(uri)
    fs.makedirs(path, exist_ok=True)


def delete(uri: str) -> None:
    """Removes a file or a whole directory; what is not there is already removed."""
    fs, path = filesystem(uri)
    if fs.exists(path):
        fs.rm(path, recursive=True)


def rename(source: str, target: str) -> None:
    """Moves a file or directory within one storage; an existing *file* at the target is replaced in one step."""
    fs, path = filesystem(source)
    _, target_path = filesystem(target)
    if is_local(source):
        os.makedirs(os.path.dirname(target_path), exist_ok=True)
        os.replace(path, target_path)
    elif urlparse(source).scheme == "hdfs":
        fs.makedirs(posixpath.dirname(target_path), exist_ok=True)
        replaces_file = fs.exists(target_path) and not fs.isdir(target_path)
        fs.client.rename(path, target_path, replaces_file)
    else:
        fs.mv(path, target_path, recursive=True)


def replace_directory(source: str, target: str) -> None:
    """Puts a finished directory in the place of another, which survives until the new one stands."""
    if not exists(target):
        rename(source, target)
        return
    outgoing = temporary(target)
    rename(target, outgoing)
    rename(source, target)
    delete(outgoing)


def temporary(uri: str) -> str:
    """A name beside `uri` that no reader takes for a finished file."""
    return join(parent(uri), f".{name(uri)}.{uuid.uuid4().hex[:12]}.tmp")


def read_bytes(uri: str) -> bytes:
    fs, path = filesystem(uri)
    try:
        with fs.open(path, "rb") as handle:
            return bytes(handle.read())
    except FileNotFoundError as error:
        raise DataError(f"{uri} does not exist") from error


def write_bytes(uri: str, content: bytes) -> None:
    """Writes a whole file under a temporary name, then renames it into place."""
    fs, _ = filesystem(uri)
    scratch = temporary(uri)
    make_directory(parent(uri))
    try:
        with fs.open(filesystem(scratch)[1], "wb") as handle:
            handle.write(content)
        rename(scratch, uri)
    except BaseException:
        delete(scratch)
        raise


def read_text(uri: str) -> str:
    return read_bytes(uri).decode("utf-8")


def write_text(uri: str, text: str) -> None:
    write_bytes(uri, text.encode("utf-8"))


def read_json(uri: str) -> Any:
    return json.loads(read_text(uri))


def write_json(uri: str, value: Any) -> None:
    write_text(uri, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def upload(local: str, uri: str) -> None:
    """Copies a local file to `uri`, through a temporary name whose size is checked before the rename."""
    fs, _ = filesystem(uri)
    scratch = temporary(uri)
    make_directory(parent(uri))
    try:
        with open(local, "rb") as source, fs.open(filesystem(scratch)[1], "wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
        written, expected = size(scratch), os.path.getsize(local)
        if written != expected:
            raise DataError(f"{uri} was written with {written} bytes instead of {expected}")
        rename(scratch, uri)
    except BaseException:
        delete(scratch)
        raise


def download(uri: str, local: str) -> str:
    """Copies a file to this machine through a temporary name; returns its SHA-256 as hexadecimal text.

    Raises:
        DataError: the file does not exist.
    """
    fs, path = filesystem(uri)
    os.makedirs(os.path.dirname(os.path.abspath(local)), exist_ok=True)
    scratch = f"{local}.{uuid.uuid4().hex[:12]}.tmp"
    digest = hashlib.sha256()
    try:
        with fs.open(path, "rb") as source, open(scratch, "wb") as target:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
        os.replace(scratch, local)
    except FileNotFoundError as error:
        raise DataError(f"{uri} does not exist") from error
    finally:
        if os.path.exists(scratch):
            os.remove(scratch)
    return digest.hexdigest()


def sha256(uri: str) -> str:
    """SHA-256 of a file's bytes as its storage gives them, as hexadecimal text."""
    fs, path = filesystem(uri)
    digest = hashlib.sha256()
    with fs.open(path, "rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def file_sha256(local: str) -> str:
    """SHA-256 of a local file as hexadecimal text."""
    digest = hashlib.sha256()
    with open(local, "rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
