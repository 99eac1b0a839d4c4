"""One function of bytes for each reader of files from strangers: it returns for whatever is read or refused in words, and raises for a defect."""

from __future__ import annotations

import gzip
import os
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import google_crc32c

from slotwise import storage
from slotwise.contracts import dataset, run
from slotwise.contracts.paths import DatasetPaths
from slotwise.errors import DataError, UsageError
from slotwise.formats import tfrecord
from slotwise.imaging import ImageFailure, normalise, normalised_jpeg
from slotwise.sources import tables
from slotwise.training.checkpoints import Checkpoints

_SIZE = {"height": 12, "width": 16, "max_pixels": 100_000}
# In memory where there is such a directory, for a fuzzer writes thousands of files a second.
_PLACE = "/dev/shm" if os.path.isdir("/dev/shm") else None


def _image(data: bytes) -> None:
    found = normalise(data, **_SIZE)
    if isinstance(found, ImageFailure):
        assert found.error
        assert len(found.error) <= 300
    else:
        assert found.image.startswith(b"\xff\xd8")
        assert 0 <= found.pixel_min <= found.brightness <= found.pixel_max <= 255
        assert found.source_width * found.source_height <= _SIZE["max_pixels"]
        assert not isinstance(normalised_jpeg(data, **_SIZE), ImageFailure)
        assert not isinstance(normalise(found.image, **_SIZE), ImageFailure)


def _tfrecord(data: bytes) -> None:
    """The first byte says whether the rest is a file, or a record in a frame whose checksums are right, which chance would never find."""
    content = data[1:] if data[:1] == b"\x00" else framed(data[1:])
    with tempfile.NamedTemporaryFile(dir=_PLACE) as file:
        file.write(content)
        file.flush()
        try:
            samples = list(tfrecord.read(file.name))
        except DataError:
            return
        assert sum(len(sample.image) + len(sample.id.encode()) for sample in samples) <= len(content)
        for sample in samples:
            assert tfrecord.decode_example(tfrecord.encode_example(sample)) == sample


def framed(record: bytes) -> bytes:
    """A record as it stands in a TFRecord file."""

    def masked(part: bytes) -> bytes:
        crc = google_crc32c.value(part)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(record))
    return length + masked(length) + record + masked(record)


def _dataset(data: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=_PLACE) as directory:
        (Path(directory) / "dataset.json").write_bytes(data)
        uri = Path(directory).as_uri()
        try:
            record = dataset.load(uri)
            for split in record.splits.values():
                for shard in split.shards:
                    place = os.path.realpath(storage.local_path(DatasetPaths(uri).shard(shard.file)))
                    assert place.startswith(f"{os.path.realpath(directory)}/"), place
            assert record.fingerprint
            dataset.check_files(uri, record)
            dataset.check_trainable(uri, record)
        except DataError:
            return


def _run(data: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=_PLACE) as directory:
        (Path(directory) / "run.json").write_bytes(data)
        try:
            record = run.load(Path(directory).as_uri())
        except DataError:
            return
        assert run.RunRecord.model_validate(record.model_dump()) == record or "nan" in repr(record)


def _checkpoint(data: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=_PLACE) as directory:
        (Path(directory) / "epoch-00000-step-00000000.npz").write_bytes(data)
        found = Checkpoints(Path(directory).as_uri()).latest()
        if found is not None:
            assert sum(array.nbytes for array in (*found.weights, *found.optimizer, found.fed)) <= len(data)


def _table(data: bytes) -> None:
    """The first byte says whether the rest is packed. What Spark makes of the rows behind a header is in test_fuzz.py: it is too slow for here."""
    packed = data[:1] == b"\x01"
    with tempfile.NamedTemporaryFile(dir=_PLACE, suffix=".csv.gz" if packed or data[:1] == b"\x02" else ".csv") as file:
        file.write(gzip.compress(data[1:], 1) if packed else data[1:])
        file.flush()
        try:
            tables.columns_of([Path(file.name).as_uri()], {"url": ("--url-column", "image")})
        except (UsageError, DataError) as error:
            said = str(error)
            if not said.isprintable():
                raise AssertionError(repr(said)) from error


TARGETS: dict[str, Callable[[bytes], None]] = {"image": _image, "tfrecord": _tfrecord, "dataset": _dataset, "run": _run, "checkpoint": _checkpoint, "table": _table}
