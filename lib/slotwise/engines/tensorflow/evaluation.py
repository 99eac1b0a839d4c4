"""Loss and accuracy over a split: each slot counts its own shards, each sample counts once."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import tensorflow as tf

from slotwise.engines.engine import Evaluation
from slotwise.engines.tensorflow.collective import Slots
from slotwise.engines.timing import INFERENCES, median_seconds


def inference_seconds(model: keras.Model, image_shape: tuple[int, int, int]) -> float:
    """Median seconds that one image alone takes from pixels to logits, over `INFERENCES` of them."""
    infer = tf.function(lambda image: model(image, training=False), autograph=False)
    image = tf.zeros((1, *image_shape), tf.uint8)
    return median_seconds(lambda: infer(image).numpy(), INFERENCES)


class Evaluator:
    """Evaluates a model that gives logits."""

    def __init__(self, model: keras.Model, slots: Slots) -> None:
        self._model, self._slots = model, slots
        self._count = tf.function(self._traced_count, reduce_retracing=True, autograph=False)

    def __call__(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> Evaluation | None:
        """Evaluates this slot's batches (images, labels) together with the other slots'; None if no slot has any."""
        sums = tf.zeros([3], tf.float64)
        for images, labels in batches:
            sums += self._count(images, labels)
        loss, correct, images = (float(value) for value in self._slots.summed(sums).numpy())
        return Evaluation(loss / images, correct / images, int(images)) if images else None

    def _traced_count(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = tf.cast(self._model(images, training=False), tf.float64)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        correct = tf.cast(tf.argmax(logits, 1) == labels, tf.float64)
        return tf.stack([tf.reduce_sum(losses), tf.reduce_sum(correct), tf.cast(tf.size(labels), tf.float64)])
