"""Files by URI: local paths, hdfs:// through hdfs-native, and whatever else fsspec knows, each write whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlparse

import fsspec

from slotwise.errors import DataError, UsageError
from slotwise.hdfs import at_once as at_once
from slotwise.hdfs import connect, outlast, rename_on_hdfs

_CHUNK = 4 * 1024 * 1024
LEADS_OUT = "a link that leads out of it"


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


def child(uri: str, name: str) -> str:
    """The URI of what a directory's listing calls `name`: a `file:` URI has `%`, `#` and `?` of names encoded, others have them as they are."""
    return join(uri, quote(name) if urlparse(uri).scheme == "file" else name)


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
            return connect(uri)
        fs, path = fsspec.core.url_to_fs(uri)
    except Exception as error:
        raise DataError(f"The storage of {uri} cannot be used: {error}") from error
    return fs, path


def exists(uri: str) -> bool:
    fs, path = filesystem(uri)
    return outlast(uri, lambda: bool(fs.exists(path)))


def is_directory(uri: str) -> bool:
    fs, path = filesystem(uri)
    return outlast(uri, lambda: bool(fs.exists(path) and fs.isdir(path)))


def children(uri: str) -> list[str]:
    """The names directly under a directory, sorted; an absent directory has none."""
    fs, path = filesystem(uri)
    entries = outlast(uri, lambda: fs.ls(path, detail=False) if fs.exists(path) else [])
    return sorted(posixpath.basename(entry.rstrip("/")) for entry in entries)


def finished(uri: str) -> list[str]:
    """As `children`, without hidden names, which those of files that somebody is just writing are."""
    return [name for name in children(uri) if not name.startswith(".")]


def folders_and_files(uri: str) -> tuple[list[str], list[str]]:
    """The names of the directories, and of all else, directly under a directory, each sorted; links are what they lead to."""
    fs, path = filesystem(uri)
    kinds = {name: is_folder for name, is_folder, _ in _entries(uri, fs, path)}
    return sorted(name for name, is_folder in kinds.items() if is_folder), sorted(name for name, is_folder in kinds.items() if not is_folder)


def files_below(uri: str) -> Iterator[tuple[str, int]]:
    """The name below a directory, with `/` between its parts, and the bytes of each file at any depth; links are what they lead to."""
    fs, root = filesystem(uri)
    found = [""]
    while found:
        directory = found.pop()
        place = posixpath.join(root, directory)
        for entry, is_folder, size in sorted(_entries(uri, fs, place)):
            name = posixpath.join(directory, entry)
            if not is_folder:
                yield name, size
            elif not (is_local(uri) and _is_above(posixpath.join(place, entry), place)):
                found.append(name)


def oddities(uri: str) -> Iterator[tuple[str, str]]:
    """What is below a local directory and leads out of it, or is no name or no file that can be passed on: its name, and what it is.

    Links within the directory are not odd. Other storages have nothing of the kind, and no directory has nothing.
    """
    if not (is_local(uri) and os.path.isdir(local_path(uri))):
        return
    root, found = os.path.realpath(local_path(uri)), [""]
    while found:
        directory = found.pop()
        with os.scandir(os.path.join(root, directory)) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = os.path.join(directory, entry.name)
                if odd := _oddity(entry, root):
                    yield name, odd
                elif entry.is_dir(follow_symlinks=False):
                    found.append(name)


def _oddity(entry: os.DirEntry[str], root: str) -> str | None:
    if any("\ud800" <= character <= "\udfff" for character in entry.name):
        return "a name that is not UTF-8"
    if entry.is_symlink():
        target = os.path.realpath(entry.path)
        if not os.path.exists(target):
            return "a link to nowhere"
        return None if f"{target}/".startswith(f"{root}/") else LEADS_OUT
    return None if entry.is_dir() or entry.is_file() else "neither a file nor a directory"


def _entries(uri: str, fs: fsspec.AbstractFileSystem, path: str) -> Iterator[tuple[str, bool, int]]:
    """Name, whether it is a directory, and bytes of what is directly under a directory; links are what they lead to."""
    for info in outlast(uri, partial(fs.ls, path, detail=True)):
        place = info["name"].rstrip("/")
        if info.get("islink"):
            yield posixpath.basename(place), fs.isdir(place), os.path.getsize(place) if os.path.exists(place) else 0
        else:
            yield posixpath.basename(place), info["type"] == "directory", int(info["size"] or 0)


def _is_above(link: str, directory: str) -> bool:
    """Whether a local link leads to a directory that it is in itself, and so would lead on for ever."""
    return f"{os.path.realpath(directory)}/".startswith(f"{os.path.realpath(link)}/")


def size(uri: str) -> int:
    fs, path = filesystem(uri)
    return outlast(uri, lambda: int(fs.info(path)["size"]))


def make_directory(uri: str) -> None:
    fs, path = filesystem(uri)
    outlast(uri, lambda: fs.makedirs(path, exist_ok=True))


def delete(uri: str) -> None:
    """Removes a file or a whole directory; what is not there is already removed."""
    fs, path = filesystem(uri)
    outlast(uri, lambda: fs.rm(path, recursive=True) if fs.exists(path) else None)


def rename(source: str, target: str) -> None:
    """Moves a file or directory within one storage; an existing *file* at the target is replaced in one step."""
    fs, path = filesystem(source)
    _, target_path = filesystem(target)
    if is_local(source):
        os.makedirs(os.path.dirname(target_path), exist_ok=True)
        os.replace(path, target_path)
    elif urlparse(source).scheme == "hdfs":
        rename_on_hdfs(source, target, replace=True)
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

    def read() -> bytes:
        with fs.open(path, "rb") as handle:
            return bytes(handle.read())

    try:
        return outlast(uri, read)
    except FileNotFoundError as error:
        raise DataError(f"{uri} does not exist") from error


def write_bytes(uri: str, content: bytes | memoryview) -> None:
    """Writes a whole file under a temporary name, whose size is checked, then renames it into place."""
    _write(uri, lambda target: target.write(content), len(content))


def create_exclusively(uri: str, content: bytes) -> bool:
    """Writes a file that must not exist yet; false if it does.

    Of several callers at the same time one is told true, on local paths and on HDFS; other storages are looked at first.
    """
    if is_local(uri):
        return _create_locally(local_path(uri), content)
    if urlparse(uri).scheme == "hdfs":
        try:
            _write(uri, lambda target: target.write(content), len(content), replace=False)
        except FileExistsError:
            return False
        return True
    if exists(uri):
        return False
    write_bytes(uri, content)
    return True


def _create_locally(path: str, content: bytes) -> bool:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
    except BaseException:
        os.remove(path)
        raise
    return True


def _write(uri: str, fill: Callable[[BinaryIO], object], expected: int, *, replace: bool = True) -> None:
    """Has `fill` write a file of `expected` bytes under a temporary name, checks its size and renames it.

    Raises:
        DataError: the file has another size than expected.
        FileExistsError: something is there, and `replace` is false (HDFS only).
    """
    scratch = temporary(uri)
    fs, path = filesystem(scratch)

    def attempt() -> None:
        make_directory(parent(uri))
        with fs.open(path, "wb") as target:
            fill(target)
        if (written := size(scratch)) != expected:
            raise DataError(f"{uri} was written with {written} bytes instead of {expected}")

    try:
        outlast(uri, attempt)
        if replace:
            rename(scratch, uri)
        else:
            rename_on_hdfs(scratch, uri, replace=False)
    except BaseException:
        with at_once(), suppress(OSError, RuntimeError):  # what went wrong first is what counts
            delete(scratch)
        raise


def read_text(uri: str) -> str:
    return read_bytes(uri).decode("utf-8")


def write_text(uri: str, text: str) -> None:
    write_bytes(uri, text.encode("utf-8"))


def read_json(uri: str) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.loads(read_text(uri))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_start(uri: str, length: int) -> bytes:
    """The first bytes of a file, fewer where it has fewer."""
    fs, path = filesystem(uri)

    def read() -> bytes:
        with fs.open(path, "rb") as handle:
            return bytes(handle.read(length))

    return outlast(uri, read)


def write_json(uri: str, value: Any) -> None:
    write_text(uri, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def upload(local: str, uri: str) -> None:
    """Copies a local file to `uri`, through a temporary name whose size is checked before the rename."""

    def copy(target: BinaryIO) -> None:
        with open(local, "rb") as source:
            shutil.copyfileobj(source, target, _CHUNK)

    _write(uri, copy, os.path.getsize(local))


def download(uri: str, local: str) -> str:
    """Copies a file to this machine through a temporary name; returns its SHA-256 as hexadecimal text.

    Raises:
        DataError: the file does not exist.
    """
    os.makedirs(os.path.dirname(os.path.abspath(local)), exist_ok=True)
    scratch = f"{local}.{uuid.uuid4().hex[:12]}.tmp"

    def copy() -> str:
        with open(scratch, "wb") as target:
            return _digest(uri, target.write)

    try:
        checksum = outlast(uri, copy)
        os.replace(scratch, local)
    except FileNotFoundError as error:
        raise DataError(f"{uri} does not exist") from error
    finally:
        if os.path.exists(scratch):
            os.remove(scratch)
    return checksum


def sha256(uri: str) -> str:
    """SHA-256 of a file's bytes as its storage gives them, as hexadecimal text."""
    return outlast(uri, lambda: _digest(uri, len))


def _digest(uri: str, each: Callable[[bytes], object]) -> str:
    """SHA-256 of a file whose chunks go to `each` as they are read."""
    fs, path = filesystem(uri)
    digest = hashlib.sha256()
    with fs.open(path, "rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
            each(chunk)
    return digest.hexdigest()


def file_sha256(local: str) -> str:
    """SHA-256 of a local file as hexadecimal text."""
    digest = hashlib.sha256()
    with open(local, "rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
