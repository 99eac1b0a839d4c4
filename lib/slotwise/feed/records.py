"""The compressed images of a slot's shards, any one of them at once: in memory while they fit, else by their place in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from slotwise.errors import DataError
from slotwise.formats import tfrecord

_LENGTH_AND_CRC = 12
_CRC = 4


@dataclass(frozen=True)
class Records:
    """Samples of several shards under one index, shard after shard.

    `ids` and `labels` (int64 [n]) are in memory; `image(index)` gives the JPEG of one sample as a scalar string
    tensor and may be called inside `tf.data`. `starts[s]` is the index of the first sample of the s-th shard.
    """

    ids: list[str]
    labels: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    image: Callable[[tf.Tensor], tf.Tensor]


def load(paths: Sequence[str], memory_bytes: int, *, files_per_shard: int = 1) -> Records:
    """Reads local TFRecord files once, so many of them one after another a shard, and keeps their images if all take at most `memory_bytes`.

    Raises:
        DataError: a record is damaged.
    """
    ids: list[str] = []
    labels: list[int] = []
    images: list[bytes] | None = []
    places: list[tuple[int, int, int]] = []  # file, first byte and length of each image
    starts, used = [], 0
    for number, path in enumerate(paths):
        starts.append(len(ids))
        at = 0
        for record in tfrecord.read_records(path):
            sample = tfrecord.decode_example(record)
            if not record.endswith(sample.image):
                raise DataError(f"{path} was not written by slotwise: the image is not the last feature of its examples")
            ids.append(sample.id)
            labels.append(sample.label)
            places.append((number, at + _LENGTH_AND_CRC + len(record) - len(sample.image), len(sample.image)))
            at += _LENGTH_AND_CRC + len(record) + _CRC
            used += len(sample.image)
            if images is not None:
                images.append(sample.image)
                images = None if used > memory_bytes else images
    image = _from_memory(images) if images is not None else _from_files(paths, places)
    return Records(ids, np.array(labels, np.int64), np.array(starts[::files_per_shard], np.int64), image)


def _from_memory(images: list[bytes]) -> Callable[[tf.Tensor], tf.Tensor]:
    held = tf.constant(images, tf.string, shape=[len(images)])
    return lambda index: held[index]


def _from_files(paths: Sequence[str], places: list[tuple[int, int, int]]) -> Callable[[tf.Tensor], tf.Tensor]:
    names = tf.constant(list(paths), tf.string)
    sizes = tf.constant([tf.io.gfile.stat(path).length for path in paths], tf.int64)
    table = tf.constant(places, tf.int64, shape=[len(places), 3])

    def read(index: tf.Tensor) -> tf.Tensor:
        file, first, length = tf.unstack(table[index])
        region = tf.data.FixedLengthRecordDataset(
            names[file], record_bytes=length, header_bytes=first, footer_bytes=sizes[file] - first - length, buffer_size=length
        )
        return region.get_single_element()

    return read
