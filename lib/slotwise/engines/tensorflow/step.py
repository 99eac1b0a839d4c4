"""One training step: the gradient of the true global batch, the same on every slot, applied once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from slotwise.engines.engine import Totals, watched_step
from slotwise.engines.tensorflow.collective import Slots
from slotwise.engines.tensorflow.layers import presence
from slotwise.engines.training_copy import SlotContext
from slotwise.feed.pipeline import NO_SAMPLE, Batch, any_length

# 1 and 25 MiB in single precision, as PyTorch's DDP has them.
_FIRST_BUCKET, _BUCKET = 1 << 18, 25 << 18


def buckets(sizes: Sequence[int], last: int, first: int = _FIRST_BUCKET, least: int = _BUCKET) -> list[slice]:
    """Neighbouring variables whose gradients are summed together: from the last variable on, as many as have `first` numbers, then as many as have `least`.

    The later a layer, the sooner its gradient is known, so the last layers' sum sets out first and travels while the gradients of layers before
    are computed; further sums are few, for each has its latency (Li et al. 2020, https://arxiv.org/abs/2006.15704, section 3.2.3). The last
    sum alone is waited for, so variables at the beginning with at most `last` numbers have one of their own.

    Args:
        sizes: numbers of each variable.

    Returns:
        the buckets in the order of variables.
    """
    found: list[slice] = []
    small = sum(total <= last for total in itertools.accumulate(sizes))
    end, numbers = len(sizes), 0
    for index in reversed(range(len(sizes))):
        numbers += sizes[index]
        if numbers >= (least if found else first) or index in (small, 0):
            found.insert(0, slice(index, end))
            end, numbers = index, 0
    return found


class TrainingStep:
    """A traced training step; see `Step` and `MakeStep` in `slotwise.engines.engine`."""

    def __init__(
        self,
        model: keras.Model,
        context: SlotContext,
        optimizer: keras.Optimizer,
        slots: Slots,
        *,
        class_weights: Sequence[float] | None,
        label_smoothing: float,
        epoch_shape: tuple[int, int],
    ) -> None:
        self._model, self._context, self._optimizer, self._slots = model, context, optimizer, slots
        self._variables = model.trainable_variables
        self._places = epoch_shape[1]
        # Each variable's gradient, and what goes with those of the last: loss and correct answers; whether to stop; what was fed at each place.
        sizes = [*(int(np.prod(variable.shape)) for variable in self._variables), 2, 1, 2 * self._places]
        self._buckets = buckets(sizes, slots.last_bucket_bytes // 4)
        self._dtype = tf.as_dtype(keras.config.floatx())
        self._class_weights = None if class_weights is None else tf.constant(class_weights, self._dtype)
        self._label_smoothing = label_smoothing
        self._totals = tf.Variable(tf.zeros([3], tf.float64), trainable=False)
        self._watched, self._norm = watched_step(epoch_shape[0]), tf.Variable(-tf.ones([], self._dtype), trainable=False)
        with tf.device("/CPU:0"):  # a GPU has no kernels for tables of whole numbers
            self._fed = tf.Variable(tf.zeros([*epoch_shape, 2], tf.int32), trainable=False)
        self._step: Callable[..., tf.Tensor] | None = None

    def __call__(self, step: int, batch: Batch, global_images: int, *, stop: bool) -> bool:
        if self._step is None:
            scalars = (tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.float32), tf.TensorSpec([], self._dtype))
            # Its one concrete function: to choose it anew takes a third of a millisecond in each call.
            self._step = tf.function(self._traced_step, autograph=False).get_concrete_function(scalars[0], any_length(batch), *scalars[1:])
        asked = self._step(tf.constant(step), batch, tf.constant(global_images, tf.float32), tf.constant(float(stop), self._dtype))
        return bool(asked.numpy() > 0)

    def totals(self) -> Totals:
        norm = float(self._norm.numpy())
        loss, correct, images = self._totals.numpy().tolist()
        return Totals(loss, correct, images, norm if norm >= 0 else None)

    def fed(self, steps: int) -> npt.NDArray[np.int32]:
        return np.array(self._fed[:steps])

    def begin_epoch(self, sums: Sequence[float] = (0.0, 0.0, 0.0), fed: npt.NDArray[np.int32] | None = None) -> None:
        self._totals.assign(sums)
        self._norm.assign(-1.0)
        done = np.zeros(self._fed.shape, np.int32)
        if fed is not None:
            done[: len(fed)] = fed
        self._fed.assign(done)

    def _traced_step(self, step: tf.Tensor, batch: Batch, global_images: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        *gradients, metrics, asked, fed = self._slots.run(self._global_sums, batch, global_images, stop)
        # Taken in every step, for less than a branch would cost: with one in it, TensorFlow runs the whole graph in a slower way.
        self._norm.assign(tf.where(step == self._watched, self._gradient_norm(gradients), self._norm))
        self._optimizer.apply(gradients, self._variables)
        self._totals.assign_add(tf.concat([tf.cast(metrics, tf.float64), [tf.cast(global_images, tf.float64)]], 0))
        rows = tf.reshape(tf.cast(tf.round(fed), tf.int32), [1, self._places, 2])
        self._fed.scatter_update(tf.IndexedSlices(rows, step[None]))
        return asked[0]

    def _global_sums(self, batch: Batch, global_images: tf.Tensor, stop: tf.Tensor) -> list[tf.Tensor]:
        """What is summed over the slots: the gradient of the mean loss over the global batch, and what goes with it."""
        values = [variable.value for variable in self._variables]
        # The image's own gradient is nobody's need, so only the weights are watched.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            with self._context.samples(batch.keys):
                logits = tf.cast(self._model(batch.images, training=True), self._dtype)
                present = presence(self._context, self._dtype)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch.labels, logits) * present
            sought = self._smoothed(batch.labels, logits) * present if self._label_smoothing else losses
            weighted = sought if self._class_weights is None else sought * tf.gather(self._class_weights, batch.labels)
            objective = tf.reduce_sum(weighted) / tf.cast(global_images, self._dtype)
            # Each slot adds its share of the penalty, so that the sum over the slots has it once.
            penalty = tf.add_n([tf.cast(loss, self._dtype) for loss in self._model.losses] or [tf.zeros([], self._dtype)])
            objective = self._scaled(objective + penalty / self._slots.count)
        gradients = tape.gradient(objective, values)
        correct = tf.reduce_sum(tf.cast(tf.argmax(logits, 1) == batch.labels, self._dtype)) * present
        pieces = [tf.ensure_shape(tf.cast(gradient, self._dtype), value.shape) for gradient, value in zip(gradients, values, strict=True)]
        pieces += [tf.stack([tf.reduce_sum(losses), correct]), stop[None], self._own_fed(batch)]
        return self._slots.sums(*(pieces[bucket] for bucket in self._buckets))

    def _gradient_norm(self, gradients: Sequence[tf.Tensor]) -> tf.Tensor:
        norm = tf.linalg.global_norm(gradients)
        is_scaled = isinstance(self._optimizer, keras.optimizers.LossScaleOptimizer)
        return norm / tf.cast(self._optimizer.dynamic_scale, self._dtype) if is_scaled else norm

    def _smoothed(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Cross-entropy with labels of which a share is spread evenly over all classes, [b]."""
        classes = logits.shape[-1]
        evenly = self._label_smoothing / classes
        targets = tf.one_hot(labels, classes, 1.0 - self._label_smoothing + evenly, evenly, dtype=self._dtype)
        return tf.nn.softmax_cross_entropy_with_logits(targets, logits)

    def _own_fed(self, batch: Batch) -> tf.Tensor:
        """Record and slot, from 1, at the places of this slot's samples, and 0 elsewhere; [2 × batch]."""
        places, records = tf.unstack(batch.origins, axis=1)
        present = tf.cast(batch.keys != NO_SAMPLE, self._dtype)
        slot = tf.cast(tf.fill(tf.shape(records), self._slots.rank + 1), self._dtype)
        pairs = tf.stack([tf.cast(records + 1, self._dtype), slot], 1) * present[:, None]
        return tf.reshape(tf.scatter_nd(places[:, None], pairs, [self._places, 2]), [-1])

    def _scaled(self, objective: tf.Tensor) -> tf.Tensor:
        if isinstance(self._optimizer, keras.optimizers.LossScaleOptimizer):
            return self._optimizer.scale_loss(objective)
        return objective
