"""TFRecord shards of `tf.train.Example`, written without TensorFlow, which Spark's Python workers need not load.

File layout: https://www.tensorflow.org/tutorials/load_data/tfrecord. Message layout: `tensorflow/core/example/example.proto`
in the wire format of https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from types import TracebackType

import google_crc32c

from slotwise.contracts.sample import Sample
from slotwise.errors import DataError

_HEADER_BYTES = 12
_FOOTER_BYTES = 4
_LONGEST_VARINT = 10


class Writer:
    """Writes samples to one local TFRecord file."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 - closed by __exit__

    def write(self, sample: Sample) -> None:
        self._file.write(framed(encode_example(sample)))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def read(path: str) -> Iterator[Sample]:
    """The samples of a local file, in order.

    Raises:
        DataError: as `read_records`, or a record is no sample.
    """
    for number, record in enumerate(read_records(path)):
        try:
            yield decode_example(record)
        except ValueError as error:
            raise DataError(f"{path} holds something else than a sample at record {number}: {error}") from error


def read_records(path: str) -> Iterator[bytes]:
    """The serialized examples of a local file, in order; both checksums of each are checked.

    Raises:
        DataError: a record is cut off or its checksum is wrong.
    """
    with open(path, "rb") as file:
        number, left = 0, os.fstat(file.fileno()).st_size
        while header := file.read(_HEADER_BYTES):
            if len(header) < _HEADER_BYTES or _masked_crc(header[:8]) != struct.unpack("<I", header[8:])[0]:
                raise DataError(f"{path} is damaged at record {number}: its length does not match its checksum")
            (length,) = struct.unpack("<Q", header[:8])
            left -= _HEADER_BYTES + length + _FOOTER_BYTES
            # A length is only what the file says: memory is asked for after a look at what is there.
            record = file.read(length) if left >= 0 else b""
            footer = file.read(_FOOTER_BYTES)
            if len(footer) < _FOOTER_BYTES or _masked_crc(record) != struct.unpack("<I", footer)[0]:
                raise DataError(f"{path} is damaged at record {number}: its bytes do not match their checksum")
            yield record
            number += 1


def framed(record: bytes) -> bytes:
    """A record as it stands in a file: between its length and its checksum."""
    length = struct.pack("<Q", len(record))
    return length + struct.pack("<I", _masked_crc(length)) + record + struct.pack("<I", _masked_crc(record))


def encode_example(sample: Sample) -> bytes:
    """A serialized `tf.train.Example` with features `id` (bytes), `label` (int64) and `image` (bytes)."""
    features = b"".join(
        _message(1, _message(1, name.encode()) + _message(2, value))
        for name, value in (
            ("id", _message(1, _message(1, sample.id.encode()))),
            ("label", _message(3, _message(1, _varint(sample.label)))),
            ("image", _message(1, _message(1, sample.image))),
        )
    )
    return _message(1, features)


def decode_example(record: bytes) -> Sample:
    """The sample in a serialized example that `encode_example` made.

    Raises:
        ValueError: it made no such example.
    """
    fields: dict[str, bytes] = {}
    for _, features in _fields(record):
        for _, entry in _fields(features):
            (_, name), (_, feature) = _fields(entry)
            ((_, values),) = _fields(feature)
            ((_, value),) = _fields(values)
            fields[name.decode()] = value
    if missing := {"id", "label", "image"} - fields.keys():
        raise ValueError(f"it has no {' and no '.join(sorted(missing))}")
    label, _ = _read_varint(fields["label"], 0)
    return Sample(fields["id"].decode(), label, fields["image"])


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _message(field: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return bytes([field << 3 | 2]) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(message: bytes) -> list[tuple[int, bytes]]:
    """The length-delimited fields of a message: (field number, payload)."""
    found, at = [], 0
    while at < len(message):
        key, at = _read_varint(message, at)
        length, at = _read_varint(message, at)
        if key & 7 != 2 or at + length > len(message):
            raise ValueError("a field is of another kind, or cut off")
        found.append((key >> 3, message[at : at + length]))
        at += length
    return found


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number does not end")
