"""The images of a slot's shards, any of them at once: decoded in memory if they fit, else compressed, else by their place in a file."""

from __future__ import annotations

import math
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

    `ids` and `labels` (int64 [n]) are in memory; `starts[s]` is the index of the first sample of the s-th shard.
    `image(index)` gives the pixels of one sample, uint8 [height, width, channels], and may be called inside `tf.data`; where they
    `are_decoded`, that of many samples too, for an index [b].
    """

    ids: list[str]
    labels: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    image: Callable[[tf.Tensor], tf.Tensor]
    are_decoded: bool


def load(
    paths: Sequence[str],
    image_shape: tuple[int, int, int],
    memory_bytes: int,
    *,
    files_per_shard: int = 1,
    counts: Sequence[int] | None = None,
    threads: int = 1,
) -> Records:
    """Reads local TFRecord files once, and keeps their images decoded if all take at most `memory_bytes`, else as they are under the same condition.

    Args:
        paths: the files, so many of them one after another a shard.
        image_shape: height, width and channels of every image.
        memory_bytes: that the images may take.
        files_per_shard: files of each shard.
        counts: how many samples of each shard, from its first on, are wanted; all if not given.
        threads: that decode at the same time.

    Raises:
        DataError: a record is damaged.
    """
    ids: list[str] = []
    labels: list[int] = []
    images: list[bytes] | None = []
    places: list[tuple[int, int, int]] = []  # file, first byte and length of each image
    starts: list[int] = []
    used = 0
    for number, path in enumerate(paths):
        shard, is_begun = divmod(number, files_per_shard)
        if not is_begun:
            starts.append(len(ids))
        at = 0
        for record in tfrecord.read_records(path):
            if counts and len(ids) - starts[-1] == counts[shard]:
                break
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
    jpeg = _from_memory(images) if images is not None else _from_files(paths, places)
    fits = 0 < len(ids) * math.prod(image_shape) <= memory_bytes
    image = _decoded(jpeg, len(ids), image_shape, threads) if fits else lambda index: decode(jpeg(index), image_shape)
    return Records(ids, np.array(labels, np.int64), np.array(starts, np.int64), image, are_decoded=fits)


def decode(jpeg: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """The pixels of a JPEG (scalar string) of just this shape, uint8 [height, width, channels]."""
    # The accurate transform, not the fast default: what a slot sees must not depend on the machine's JPEG library settings.
    image = tf.io.decode_jpeg(jpeg, channels=image_shape[2], dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(image, image_shape)


def pipeline_options(threads: int) -> tf.data.Options:
    """Of every pipeline here: so many threads of its own, and nothing that tf.data would tune by itself."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options


def _decoded(jpeg: Callable[[tf.Tensor], tf.Tensor], count: int, image_shape: tuple[int, int, int], threads: int) -> Callable[[tf.Tensor], tf.Tensor]:
    images = tf.data.Dataset.range(count).map(lambda index: decode(jpeg(index), image_shape), num_parallel_calls=threads)
    # Its iterators make one operation of a map and a batch, which decodes into the batch: nothing is in memory twice.
    pixels = next(iter(images.batch(count).with_options(pipeline_options(threads))))
    return lambda index: tf.gather(pixels, index)


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
