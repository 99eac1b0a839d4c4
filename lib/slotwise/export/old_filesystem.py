"""Any fsspec storage behind pyarrow's old file system interface, which ended with pyarrow 15 and is all that petastorm 0.13 takes."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator
from typing import Any

from pyarrow.filesystem import DaskFileSystem


class OldFileSystem(DaskFileSystem):
    """Adds what `DaskFileSystem` leaves out and petastorm needs of a storage that is not local."""

    def isdir(self, path: str) -> bool:
        return bool(self.fs.isdir(path))

    def isfile(self, path: str) -> bool:
        return bool(self.fs.isfile(path))

    def walk(self, path: str) -> Iterator[tuple[str, list[str], list[str]]]:
        for directory, folders, files in self.fs.walk(path):
            yield directory.rstrip("/"), [posixpath.basename(name) for name in folders], [posixpath.basename(name) for name in files]

    def open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        return _WrittenOnClose(self.fs, path) if "w" in mode else self.fs.open(path, mode)


class _WrittenOnClose(io.BytesIO):
    """A file being written that can tell its position, which files on HDFS cannot."""

    def __init__(self, fs: Any, path: str) -> None:
        super().__init__()
        self._fs, self._path = fs, path

    def close(self) -> None:
        if not self.closed:
            with self._fs.open(self._path, "wb") as file:
                file.write(self.getvalue())
        super().close()
