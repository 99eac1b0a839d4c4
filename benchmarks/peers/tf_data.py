"""tf.data as its performance guide has it, in whatever order is fastest: TFRecord, JPEG, flip, crop to nine tenths and back to size.

    python -m benchmarks.peers.tf_data DATASET BATCH EPOCHS crop|decode_and_crop|cache     prints images per second after the first epoch

`decode_and_crop` decodes only what the crop keeps; `cache` keeps decoded images in memory.
"""

from __future__ import annotations

import sys

import tensorflow as tf

from benchmarks.feeding import rate
from slotwise import storage
from slotwise.contracts import dataset as datasets


def main(dataset: str, batch_size: int, epochs: int, way: str) -> float:
    """Images per second on one core."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    record = datasets.load(dataset)
    height, width = record.image_size
    kept = (9 * height // 10, 9 * width // 10)
    files = [storage.local_path(storage.join(dataset, shard.file)) for shard in record.splits["train"].shards]
    features = {"label": tf.io.FixedLenFeature([], tf.int64), "image": tf.io.FixedLenFeature([], tf.string)}

    def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(serialized, features)
        return example["image"], example["label"]

    def decode(jpeg: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.io.decode_jpeg(jpeg, channels=3), label

    def decode_and_crop(jpeg: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        top = tf.random.uniform([], 0, height - kept[0] + 1, tf.int32)
        left = tf.random.uniform([], 0, width - kept[1] + 1, tf.int32)
        return changed(tf.image.decode_and_crop_jpeg(jpeg, [top, left, *kept], channels=3), label)

    def crop(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return changed(tf.image.random_crop(image, (*kept, 3)), label)

    def changed(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        resized = tf.image.resize(tf.image.random_flip_left_right(image), (height, width))
        return tf.ensure_shape(resized, (height, width, 3)), label

    parsed = tf.data.TFRecordDataset(files).map(parse, tf.data.AUTOTUNE)
    images = {
        "crop": lambda: parsed.shuffle(2000).map(lambda jpeg, label: crop(*decode(jpeg, label)), tf.data.AUTOTUNE),
        "decode_and_crop": lambda: parsed.shuffle(2000).map(decode_and_crop, tf.data.AUTOTUNE),
        "cache": lambda: parsed.map(decode, tf.data.AUTOTUNE).cache().shuffle(2000).map(crop, tf.data.AUTOTUNE),
    }[way]()
    options = tf.data.Options()
    options.deterministic = False
    batches = images.batch(batch_size).prefetch(tf.data.AUTOTUNE).with_options(options)
    return rate(lambda _: batches, epochs, record.splits["train"].samples)


if __name__ == "__main__":
    print(main(storage.normalise(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
