"""What comes before the model in a task: a row's image file, or what its URL leads to, as a JPEG of the model's size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from slotwise import storage
from slotwise.contracts.catalogue import Status
from slotwise.contracts.prediction import ImageSource
from slotwise.download.connections import Connections
from slotwise.download.fetch import Fetched, FetchOptions, fetch, host_of
from slotwise.download.polite import map_politely
from slotwise.errors import DataError
from slotwise.imaging import ImageFailure, normalised_jpeg

# While one is decoded, others are on their way from the storage.
_OPEN_FILES = 8


class Prepared(NamedTuple):
    """A row with its JPEG, or with the reason why there is none."""

    id: str
    image: bytes | None
    status: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Preparation:
    """Makes rows of INPUT_SCHEMA ready for a model, by the function that made its training images."""

    image_shape: tuple[int, int, int]
    max_pixels: int
    options: FetchOptions
    threads: int
    per_host: int
    """Connections of this task to one host at a time."""
    source: ImageSource

    def __call__(self, rows: Iterable[dict[str, Any]]) -> Iterator[Prepared]:
        """One for each row; those of files and URLs in the order in which these are read."""
        if self.source == "bytes":
            yield from map(self._from_bytes, rows)
            return
        if self.source == "files":
            found = map_politely(self._read, rows, lambda _: "", threads=_OPEN_FILES, per_host=_OPEN_FILES)
            yield from (self._from_file(row, content) for row, content in found)
            return
        connections = Connections(self.threads, self.options.allowed)
        # The threads wait for servers and the task decodes: it has one core, on which many that decode are in each other's way.
        results = map_politely(partial(self._fetch, connections), rows, self._host, threads=self.threads, per_host=self.per_host)
        yield from (self._from_url(row, fetched) for row, fetched in results)
        connections.close()

    def _host(self, row: dict[str, Any]) -> str:
        return host_of(self.options.mirrored(row["url"] or ""))

    def _fetch(self, connections: Connections, row: dict[str, Any]) -> Fetched | None:
        """None for a row that has its end already."""
        return None if row["status"] else fetch(connections, row["url"], self.options)

    def _from_url(self, row: dict[str, Any], fetched: Fetched | None) -> Prepared:
        if fetched is None:
            return Prepared(row["id"], None, row["status"], row["error"])
        if fetched.status is not None:
            return Prepared(row["id"], None, fetched.status.value, fetched.error)
        return self._from_bytes({**row, "image": fetched.body})

    def _read(self, row: dict[str, Any]) -> bytes | Exception | None:
        """A file's content; what is too large is not read at all."""
        try:
            return storage.read_bytes(row["url"]) if row["size"] <= self.options.max_bytes else None
        except (DataError, OSError) as error:
            return error

    def _from_file(self, row: dict[str, Any], content: bytes | Exception | None) -> Prepared:
        if isinstance(content, Exception):
            return Prepared(row["id"], None, Status.UNREACHABLE.value, f"{content}"[:300])
        return self._from_bytes({**row, "image": content})

    def _from_bytes(self, row: dict[str, Any]) -> Prepared:
        data, size = row["image"], row["size"]
        if data is None and size is None:
            return Prepared(row["id"], None, Status.MISSING_IMAGE.value, "no bytes")
        if data is None:
            return Prepared(row["id"], None, Status.TOO_LARGE.value, f"{size} bytes are more than {self.options.max_bytes}")
        height, width, channels = self.image_shape
        image = normalised_jpeg(data, height=height, width=width, channels=channels, max_pixels=self.max_pixels)
        if isinstance(image, ImageFailure):
            return Prepared(row["id"], None, image.status.value, image.error)
        return Prepared(row["id"], image)
