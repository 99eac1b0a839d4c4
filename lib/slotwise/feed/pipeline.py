"""A slot's batches: decoded, augmented and batched ahead of need by native tf.data operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from slotwise.feed.augment import change, finish
from slotwise.feed.order import Plan, sample_keys
from slotwise.feed.records import Records, decode, pipeline_options

PREFETCHED_BATCHES = 4

# Keys of samples are not negative.
NO_SAMPLE = -1

# Tensor operations alone: to look for Python's own branches in them takes longer than to trace them.
_as_written = tf.autograph.experimental.do_not_convert

_FEATURES = {
    "label": tf.io.FixedLenFeature([], tf.int64),
    "image": tf.io.FixedLenFeature([], tf.string),
}


class Batch(NamedTuple):
    """A slot's part of one global batch; b samples."""

    images: tf.Tensor
    """[b, height, width, channels], 0 to 255; uint8, or float32 once augmented."""
    labels: tf.Tensor
    """int64 [b]"""
    keys: tf.Tensor
    """int64 [b]: the seed of all that is drawn for a sample."""
    origins: tf.Tensor
    """int64 [b, 2]: each sample's place in the global batch, and its record."""


def any_length(parts: tuple[tf.Tensor, ...]) -> Any:
    """What batches of any number of samples have in common, for one trace that serves all of them; a tuple like the one given."""
    return tf.nest.map_structure(lambda part: tf.TensorSpec([None, *part.shape[1:]], part.dtype), parts)


def no_sample(image_shape: tuple[int, int, int], augmentation: Sequence[str]) -> Batch:
    """A stand-in that counts for nothing, for a slot that has no sample in a step: kernels give wrong shapes for an empty batch."""
    dtype = tf.float32 if augmentation else tf.uint8
    return Batch(tf.zeros((1, *image_shape), dtype), tf.zeros([1], tf.int64), tf.constant([NO_SAMPLE], tf.int64), tf.zeros([1, 2], tf.int64))


def training_batches(
    records: Records,
    plan: Plan,
    shards: tuple[int, ...],
    image_shape: tuple[int, int, int],
    *,
    augmentation: Sequence[str],
    seed: int,
    threads: int,
    first_epoch: int = 0,
    first_step: int = 0,
) -> tf.data.Dataset:
    """A slot's batches of all epochs from a step of one on, in exactly the order of a plan, without end.

    Returns:
        a dataset of the fields of a `Batch`; one element for each step in which the slot has samples.
    """
    position = {shard: number for number, shard in enumerate(shards)}

    def columns(epoch: np.int64) -> list[npt.NDArray[np.int64]]:
        order = plan.epoch_order(int(epoch), shards)
        first = records.starts[[position[int(shard)] for shard in order.shards]]
        index = first + order.records
        done = sum(order.sizes[:first_step]) if epoch == first_epoch else 0
        keys = sample_keys(seed, int(epoch), order.shards, order.records)
        return [column[done:] for column in (index, records.labels[index], keys, order.places, first)]

    # The record is worked out from what was loaded, so that the audit tells of the image itself.
    def load(at: tf.Tensor, label: tf.Tensor, key: tf.Tensor, place: tf.Tensor, first: tf.Tensor) -> Batch:
        return Batch(records.image(at), label, key, tf.stack([place, at - first], -1))

    def load_changed(*sample: tf.Tensor) -> tuple[tf.Tensor, ...]:
        images, *others = load(*sample)
        return change(images, others[1], augmentation), *others

    def finished(changed: tuple[tf.Tensor, tf.Tensor, tf.Tensor], *others: tf.Tensor) -> Batch:
        return Batch(finish(*changed, image_shape, augmentation), *others)

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        drawn = [tf.ensure_shape(column, [None]) for column in tf.numpy_function(columns, [epoch], [tf.int64] * 5)]
        samples = tf.data.Dataset.from_tensor_slices(tuple(drawn))
        each = {"num_parallel_calls": threads, "deterministic": True}
        size = plan.per_shard * len(shards)
        if augmentation:
            return samples.map(_as_written(load_changed), **each).batch(size).map(_as_written(finished), **each)
        if records.are_decoded:
            return samples.batch(size).map(_as_written(load), **each)
        return samples.map(_as_written(load), **each).batch(size)

    # One pipeline for all epochs: to make one takes as long as some steps, and this way the next epoch's first batches are ready before it begins.
    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    return epochs.flat_map(_as_written(epoch_batches)).prefetch(PREFETCHED_BATCHES).with_options(pipeline_options(threads))


def evaluation_batches(paths: Sequence[str], image_shape: tuple[int, int, int], *, batch_size: int, threads: int) -> tf.data.Dataset:
    """Every sample of local TFRecord shards once, read lazily in file order: (images uint8, labels int64)."""

    def load(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = tf.io.parse_single_example(record, _FEATURES)
        return decode(features["image"], image_shape), features["label"]

    samples = tf.data.TFRecordDataset(list(paths), buffer_size=1 << 20).map(_as_written(load), num_parallel_calls=threads, deterministic=True)
    return samples.batch(batch_size).prefetch(PREFETCHED_BATCHES).with_options(pipeline_options(threads))
