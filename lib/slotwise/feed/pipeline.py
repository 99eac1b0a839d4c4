"""A slot's batches: decoded, augmented and batched ahead of need by native tf.data operations."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from slotwise.feed.augment import augment
from slotwise.feed.order import SlotOrder, sample_keys
from slotwise.feed.records import Records

PREFETCHED_BATCHES = 4

_FEATURES = {
    "label": tf.io.FixedLenFeature([], tf.int64),
    "image": tf.io.FixedLenFeature([], tf.string),
}


def training_batches(
    records: Records,
    order: SlotOrder,
    shards: Sequence[int],
    image_shape: tuple[int, int, int],
    *,
    augmentation: Sequence[str],
    seed: int,
    epoch: int,
    threads: int,
    first_step: int = 0,
) -> tf.data.Dataset:
    """One epoch of a slot from `first_step` on, in exactly the order given.

    Returns:
        a dataset of (images [b, height, width, channels], uint8 or float32 once augmented; labels int64 [b]; keys int64
        [b]; origins int64 [b, 2]: each sample's place in the global batch and its record); one element for each step in
        which the slot has samples.
    """
    position = {shard: number for number, shard in enumerate(shards)}
    first = records.starts[[position[int(shard)] for shard in order.shards]]
    index = first + order.records
    keys = sample_keys(seed, epoch, order.shards, order.records)
    done = sum(order.sizes[:first_step])

    def load(at: tf.Tensor, label: tf.Tensor, key: tf.Tensor, place: tf.Tensor, first: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image = _decode(records.image(at), image_shape)
        # The record is worked out from what was loaded, so that the audit tells of the image itself.
        return (augment(image, key, augmentation) if augmentation else image), label, key, tf.stack([place, at - first])

    columns = (index, records.labels[index], keys, order.places, first)
    samples = tf.data.Dataset.from_tensor_slices(tuple(column[done:] for column in columns))
    batches = samples.map(load, num_parallel_calls=threads, deterministic=True).batch(max(order.sizes[0], 1))
    return batches.prefetch(PREFETCHED_BATCHES).with_options(_options(threads))


def evaluation_batches(paths: Sequence[str], image_shape: tuple[int, int, int], *, batch_size: int, threads: int) -> tf.data.Dataset:
    """Every sample of local TFRecord shards once, read lazily in file order: (images uint8, labels int64)."""

    def load(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = tf.io.parse_single_example(record, _FEATURES)
        return _decode(features["image"], image_shape), features["label"]

    samples = tf.data.TFRecordDataset(list(paths), buffer_size=1 << 20).map(load, num_parallel_calls=threads, deterministic=True)
    return samples.batch(batch_size).prefetch(PREFETCHED_BATCHES).with_options(_options(threads))


def _decode(jpeg: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    # The accurate transform, not the fast default: what a slot sees must not depend on the machine's JPEG library settings.
    image = tf.io.decode_jpeg(jpeg, channels=image_shape[2], dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(image, image_shape)


def _options(threads: int) -> tf.data.Options:
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
