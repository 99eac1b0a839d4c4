"""Loss and accuracy over a split: each slot counts its own shards, each sample counts once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from slotwise.engines.engine import CONFUSION_CLASSES, Evaluation
from slotwise.engines.tensorflow.collective import Slots
from slotwise.engines.timing import INFERENCES, median_seconds
from slotwise.feed.pipeline import any_length


def inference_seconds(model: keras.Model, image_shape: tuple[int, int, int]) -> float:
    """Median seconds that one image alone takes from pixels to logits, over `INFERENCES` of them."""
    infer = tf.function(lambda image: model(image, training=False), autograph=False)
    image = tf.zeros((1, *image_shape), tf.uint8)
    return median_seconds(lambda: infer(image).numpy(), INFERENCES)


class Evaluator:
    """Evaluates a model that gives logits."""

    def __init__(self, model: keras.Model, slots: Slots) -> None:
        self._model, self._slots = model, slots
        classes = model.output_shape[-1]
        self._classes = classes if classes <= CONFUSION_CLASSES else 0
        self._count: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None

    def __call__(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> Evaluation | None:
        """Evaluates this slot's batches (images, labels) together with the other slots'; None if no slot has any."""
        sums = tf.zeros([3 + self._classes**2], tf.float64)
        for images, labels in batches:
            if self._count is None:
                self._count = tf.function(self._traced_count, input_signature=any_length((images, labels)), autograph=False)
            sums += self._count(images, labels)
        loss, correct, images, *confusion = self._slots.summed(sums).numpy().tolist()
        matrix = np.array(confusion, np.int64).reshape(self._classes, self._classes) if confusion else None
        return Evaluation(loss / images, correct / images, int(images), matrix) if images else None

    def _traced_count(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = tf.cast(self._model(images, training=False), tf.float64)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        answers = tf.argmax(logits, 1)
        correct = tf.cast(answers == labels, tf.float64)
        sums = tf.stack([tf.reduce_sum(losses), tf.reduce_sum(correct), tf.cast(tf.size(labels), tf.float64)])
        if not self._classes:
            return sums
        return tf.concat([sums, tf.reshape(tf.math.confusion_matrix(labels, answers, self._classes, dtype=tf.float64), [-1])], 0)
