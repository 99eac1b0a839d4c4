"""One training step: the gradient of the true global batch, the same on every slot, applied once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from slotwise.engines.tensorflow.collective import Slots
from slotwise.engines.tensorflow.layers import SlotContext


@dataclass(frozen=True)
class Totals:
    """Sums over the samples of an epoch so far, over all slots."""

    loss: float
    correct: float
    images: float


class TrainingStep:
    """A traced training step and the sums it keeps.

    Args:
        model: a `training_copy`, giving logits.
        context: the copy's context.
        optimizer: built for the model's trainable variables.
        slots: those that train together.
        class_weights: weight of each class in the loss, or None for equal ones.
    """

    def __init__(
        self, model: keras.Model, context: SlotContext, optimizer: keras.Optimizer, slots: Slots, class_weights: Sequence[float] | None
    ) -> None:
        self._model, self._context, self._optimizer, self._slots = model, context, optimizer, slots
        self._variables = model.trainable_variables
        self._shapes = [variable.shape for variable in self._variables]
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        self._dtype = tf.as_dtype(keras.config.floatx())
        self._class_weights = None if class_weights is None else tf.constant(class_weights, self._dtype)
        self._totals = tf.Variable(tf.zeros([3], tf.float64), trainable=False)
        self._step: Callable[..., None] = tf.function(self._traced_step, reduce_retracing=True, autograph=False)

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, keys: tf.Tensor, global_images: tf.Tensor) -> None:
        """Takes one step with this slot's part of a global batch of `global_images` (scalar) images."""
        self._step(images, labels, keys, global_images)

    def totals(self) -> Totals:
        return Totals(*(float(value) for value in self._totals.numpy()))

    def reset_totals(self) -> None:
        self._totals.assign(tf.zeros([3], tf.float64))

    def _traced_step(self, images: tf.Tensor, labels: tf.Tensor, keys: tf.Tensor, global_images: tf.Tensor) -> None:
        flat = self._slots.run(self._global_gradient, images, labels, keys, global_images)
        *parts, metrics = tf.split(flat, [*self._sizes, 2])
        gradients = [tf.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]
        self._optimizer.apply(gradients, self._variables)
        sums = tf.cast(metrics, tf.float64)
        self._totals.assign_add(tf.concat([sums, [tf.cast(global_images, tf.float64)]], 0))

    def _global_gradient(self, images: tf.Tensor, labels: tf.Tensor, keys: tf.Tensor, global_images: tf.Tensor) -> tf.Tensor:
        """Gradient of the mean loss over the global batch, then the sums of loss and correct answers: one flat vector."""
        values = [variable.value for variable in self._variables]
        # The image's own gradient is nobody's need, so only the weights are watched.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            with self._context.samples(keys):
                logits = tf.cast(self._model(images, training=True), self._dtype)
                present = self._context.present(self._dtype)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits) * present
            weighted = losses if self._class_weights is None else losses * tf.gather(self._class_weights, labels)
            objective = tf.reduce_sum(weighted) / tf.cast(global_images, self._dtype)
            # Each slot adds its share of the penalty, so that the sum over the slots has it once.
            penalty = tf.add_n([tf.cast(loss, self._dtype) for loss in self._model.losses] or [tf.zeros([], self._dtype)])
            objective = self._scaled(objective + penalty / self._slots.count)
        gradients = tape.gradient(objective, values)
        correct = tf.reduce_sum(tf.cast(tf.argmax(logits, 1) == labels, self._dtype)) * present
        pieces = [tf.reshape(tf.cast(gradient, self._dtype), [-1]) for gradient in gradients]
        return self._slots.sum(tf.concat([*pieces, [tf.reduce_sum(losses), correct]], 0))

    def _scaled(self, objective: tf.Tensor) -> tf.Tensor:
        if isinstance(self._optimizer, keras.optimizers.LossScaleOptimizer):
            return self._optimizer.scale_loss(objective)
        return objective
